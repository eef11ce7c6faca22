/* schedule.h - schedules of the learning rate; steps count from 0 (definitions: train goldens). */
#ifndef TC_SCHEDULE_H
#define TC_SCHEDULE_H

#include "base/base.h"

typedef enum tc_schedule_kind {
    TC_SCHEDULE_COSINE,                /* linear warm-up, then half a cosine to the end */
    TC_SCHEDULE_COSINE_START,          /* the same after `start` steps at 5e-5 */
    TC_SCHEDULE_COSINE_START_NOWARMUP, /* half a cosine after `start` steps at 1e-4: after masks are folded */
    TC_SCHEDULE_STEP,                  /* 0 after step `start`, before it what it was: of masks */
    TC_SCHEDULE_EXPONENTIAL            /* warm-up, then base * gamma^(w * part done) */
} tc_schedule_kind;

typedef struct tc_schedule {
    tc_schedule_kind kind;
    double base, warmup, steps, start, gamma, w;
} tc_schedule;

/* The rate for this step; `current` is the rate before it. */
double tc_schedule_lr(const tc_schedule *s, double step, double current);

#endif
