/* measure.c - the time of a training step, on random pictures and captions: what `bench` prints. */
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Captions of `caption` ids between a start and an end, padded with 0; the end is the largest id, as in CLIP's vocabulary. */
static void random_batch(const tc_config *c, int batch, int caption, float *pixels, int32_t *ids) {
    tc_rng rng = tc_rng_make(1, 2, 3);
    int64_t image = 3 * (int64_t)c->image_size * c->image_size;
    for (int64_t i = 0; i < batch * image; i++) pixels[i] = (float)(2 * tc_rng_uniform(&rng) - 1);
    for (int b = 0; b < batch; b++)
        for (int i = 0; i < c->context_length; i++) {
            int32_t word = (int32_t)tc_rng_below(&rng, c->vocab_size > 2 ? (uint64_t)c->vocab_size - 2 : 1),
                    end = c->eos_id >= 0 ? c->eos_id : c->vocab_size - 1;
            ids[(int64_t)b * c->context_length + i] = i < caption - 1 ? word : i == caption - 1 ? end : 0;
        }
}

tc_status tc_train_measure(const tc_model *student, const tc_model *teacher, int batch, int caption, int steps, double *seconds, tc_error *err) {
    const tc_config *c = &student->config;
    enum { WARM_UP = 2 };
    if (batch < 1 || steps < 1 || caption < 2 || caption > c->context_length)
        return tc_fail(err, TC_EARG, "a step of %d pairs with captions of %d ids makes no sense", batch, caption);
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-6, .steps = steps + WARM_UP + 1},
                  .weight_decay = 0.2,
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .clip = 5,
                  .alpha = 1,
                  .weight = 1,
                  .logit_scale = 50};
    tc_trainer *t = NULL;
    tc_model *copy = NULL;
    double *times = tc_new((size_t)steps, sizeof *times);
    float *pixels = tc_new_aligned((size_t)batch * 3 * (size_t)c->image_size * (size_t)c->image_size, sizeof *pixels);
    int32_t *ids = tc_new((size_t)batch * (size_t)c->context_length, sizeof *ids);
    tc_status status = times && pixels && ids ? tc_model_copy(&copy, student, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_trainer_create(&t, &copy, teacher, &h, err);
    if (status == TC_OK) random_batch(c, batch, caption, pixels, ids);
    for (int i = -WARM_UP; i < steps && status == TC_OK; i++) {
        tc_step_log log;
        double start = tc_now();
        status = tc_trainer_step(t, pixels, ids, batch, c->context_length, &log, err);
        if (i >= 0) times[i] = tc_now() - start;
    }
    if (status == TC_OK) {
        qsort(times, (size_t)steps, sizeof *times, by_size);
        *seconds = times[steps / 2];
    }
    tc_trainer_free(&t);
    free(times);
    free(pixels);
    free(ids);
    return status;
}

double tc_measure_peak(double seconds) { return tc_kern_measure_peak(seconds); }
