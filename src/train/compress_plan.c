/* compress_plan.c - a compression as it is told beforehand: what its stages will be, the memory that they
 * take, and their time from a few training steps of each. */
#include "train/compress.h"
#include "model/model.h"
#include "train/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double MEASURED_MACS = 2e10;
enum { USUAL_CAPTION = 12, MEASURED_STEPS = 3, LEAST_BATCH = 32 };

static void describe(const tc_tower_config *t, char *out, size_t size) { t->family->describe(t, out, size); }

static tc_status plan_memory(const tc_compression *c, int k, tc_planned_stage *out, tc_error *err) {
    tc_model *start = NULL;
    tc_mask_options masks;
    tc_status status = tc_model_random(&start, &c->legs[k].start, 1, err);
    if (status == TC_OK) {
        tc_train_options t = tc_compression_train(c, k, &start->info, &masks);
        t.init = start;
        status = tc_train_memory(&t, &out->memory, &out->memory_most, err);
    }
    tc_model_close(&start);
    return status;
}

/* Seconds of a training step of a student of this configuration, from the steps of a batch that is large
 * enough to measure. */
static tc_status measure(const tc_compression *c, const tc_config *student, const tc_model *teacher,
                         int64_t batch, double *seconds, tc_error *err) {
    tc_model *m = NULL;
    int context = student->context_length, caption = context < USUAL_CAPTION ? context : USUAL_CAPTION;
    /* MEASURED_MACS are less than a second; a batch of 32 is as fast as a larger one, but for models that are
     * faster than that anyway. */
    int64_t most = (int64_t)(MEASURED_MACS / (tc_macs_used(&c->teacher) + 1));
    int64_t n = most < LEAST_BATCH ? LEAST_BATCH : most;
    if (n > batch) n = batch;
    tc_status status = tc_model_random(&m, student, 1, err);
    if (status == TC_OK) status = tc_train_measure(m, teacher, (int)n, caption, MEASURED_STEPS, seconds, err);
    tc_model_close(&m);
    *seconds *= (double)batch / (double)n;
    return status;
}

/* The number of pairs whose features the teacher computes for a cache. */
static int64_t pairs_cached(const tc_compression *c) {
    double pairs = 0, rows = (double)c->recipe->cache_augmentations * (double)tc_data_count(c->o->data);
    for (int k = 0; k < c->recipe->count; k++)
        pairs += (double)c->legs[k].steps * (double)c->recipe->stages[k].train.batch;
    return (int64_t)fmin(fmin(pairs, rows), 1e18);
}

/* With a cache the teacher computes in the beginning, and steps are as without one. */
static tc_status plan_time(const tc_compression *c, int k, tc_planned_stage *out, tc_error *err) {
    const tc_leg *leg = &c->legs[k];
    const tc_model *teacher = c->cache ? NULL : c->o->teacher;
    double before = 0, after = 0;
    tc_speed speed = {.images_per_second = INFINITY, .texts_per_second = INFINITY};
    tc_log_line(&c->log, 0, "measuring training steps of stage %d of %d", k + 1, c->recipe->count);
    tc_status status = measure(c, &leg->result, teacher, out->batch, &after, err);
    if (status == TC_OK && out->fold_step)
        status = measure(c, &leg->start, teacher, out->batch, &before, err);
    if (status == TC_OK && c->cache && k == 0)
        status = tc_measure_speed(c->o->teacher, LEAST_BATCH, USUAL_CAPTION, 0.5, &speed, err);
    if (status == TC_OK)
        out->seconds = before * (double)out->fold_step + after * (double)(leg->steps - out->fold_step) +
                       (double)pairs_cached(c) * (1 / speed.images_per_second + 1 / speed.texts_per_second);
    return status;
}

static tc_status tell_stage(const tc_compression *c, int k, tc_planned_stage *out, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    const tc_leg *leg = &c->legs[k];
    const tc_model_info *z = &leg->result_info;
    *out = (tc_planned_stage){.automatic = s->automatic,
                              .steps = leg->steps,
                              .fold_step = s->masks.fold_step,
                              .batch = s->train.batch,
                              .params = z->params,
                              .params_without_tokens = z->params_without_tokens,
                              .params_prunable = z->params_prunable,
                              .macs_image = z->macs_image,
                              .macs_text = z->macs_text,
                              .keep = (double)z->params_prunable /
                                      (double)(c->teacher.params_prunable ? c->teacher.params_prunable : 1)};
    snprintf(out->name, sizeof out->name, "%s", s->name);
    describe(&leg->result.vision, out->vision, sizeof out->vision);
    describe(&leg->result.text, out->text, sizeof out->text);
    return plan_memory(c, k, out, err);
}

tc_status tc_compress_plan_make(const tc_compress_options *options, bool with_time, tc_compress_plan *out,
                                tc_error *err) {
    tc_compression *c = tc_new(1, sizeof *c);
    if (!c) return tc_fail_memory(err, sizeof *c);
    *out = (tc_compress_plan){0};
    tc_status status = tc_compression_prepare(c, options, err);
    if (status == TC_OK) {
        snprintf(out->name, sizeof out->name, "%s", c->recipe->name);
        out->teacher_params = c->teacher.params;
        out->teacher_params_without_tokens = c->teacher.params_without_tokens;
        out->teacher_params_prunable = c->teacher.params_prunable;
        out->teacher_macs_image = c->teacher.macs_image;
        out->teacher_macs_text = c->teacher.macs_text;
        out->count = c->recipe->count;
    }
    for (int k = 0; k < out->count && status == TC_OK; k++) {
        status = tell_stage(c, k, &out->stages[k], err);
        if (status == TC_OK && with_time) status = plan_time(c, k, &out->stages[k], err);
        out->seconds += out->stages[k].seconds;
    }
    tc_compression_release(c);
    free(c);
    return status;
}
