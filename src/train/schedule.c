/* schedule.c - the learning rate of each step. */
#include "train/schedule.h"

#include <math.h>

static double cosine(double base, double part) {
    return 0.5 * (1 + cos(3.14159265358979323846 * part)) * base;
}

static double warm_cosine(const tc_schedule *s, double step, double steps) {
    if (step < s->warmup) return s->base * (step + 1) / s->warmup;
    return cosine(s->base, (step - s->warmup) / (steps - s->warmup));
}

double tc_schedule_lr(const tc_schedule *s, double step, double current) {
    switch (s->kind) {
    case TC_SCHEDULE_COSINE:
        return warm_cosine(s, step, s->steps);
    case TC_SCHEDULE_COSINE_START:
        return step < s->start ? 5e-5 : warm_cosine(s, step - s->start, s->steps - s->start);
    case TC_SCHEDULE_COSINE_START_NOWARMUP:
        return step < s->start ? 1e-4 : cosine(s->base, (step - s->start) / (s->steps - s->start));
    case TC_SCHEDULE_STEP:
        return step > s->start ? 0 : current;
    case TC_SCHEDULE_EXPONENTIAL:
        if (step < s->warmup) return s->base * (step + 1) / s->warmup;
        return s->base * pow(s->gamma, (step - s->warmup) / (s->steps - s->warmup) * s->w);
    }
    return current;
}
