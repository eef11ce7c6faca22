/* measure.c - speed on random pictures and captions: of a training step, and of a model in use. Figures are medians after a warm-up. */
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

/* ---- a model in use */

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 100000 };
static const double WARM_UP_PART = 0.2, PEAK_SECONDS = 0.3; /* of the measured time; of each measurement of the peak */

typedef struct use {
    tc_session *session;
    const float *pixels;
    const int32_t *ids;
    float *embeds;
    int batch, context;
} use;

static tc_status call(const use *u, bool text, tc_error *err) {
    if (text) return tc_session_encode_text(u->session, u->ids, u->batch, u->context, u->embeds, err);
    return tc_session_encode_image(u->session, u->pixels, u->batch, u->embeds, err);
}

static tc_status measure_calls(const use *u, bool text, double seconds, double *times, double *median, double *p90, tc_error *err) {
    double start = tc_now();
    int n = 0;
    tc_status status = call(u, text, err);
    while (status == TC_OK && tc_now() - start < seconds * WARM_UP_PART) status = call(u, text, err);
    for (start = tc_now(); status == TC_OK && n < MOST_ROUNDS && (n < LEAST_ROUNDS || tc_now() - start < seconds); n++) {
        double before = tc_now();
        status = call(u, text, err);
        times[n] = tc_now() - before;
    }
    if (status != TC_OK) return status;
    qsort(times, (size_t)n, sizeof *times, by_size);
    *median = times[n / 2];
    *p90 = times[(n * 9) / 10];
    return TC_OK;
}

tc_status tc_measure_speed(const tc_model *m, int batch, int caption, double seconds, tc_speed *out, tc_error *err) {
    const tc_config *c = &m->config;
    if (c->vocab_size < 3 || c->context_length < 2)
        return tc_fail(err, TC_EARG, "the vocabulary or the context of the model is too small for a text");
    if (batch < 1 || caption < 2 || !(seconds >= 0)) return tc_fail(err, TC_EARG, "%d captions of %d ids make no sense", batch, caption);
    if (caption > c->context_length) caption = c->context_length;
    size_t side = (size_t)c->image_size, n = (size_t)batch;
    double *times = tc_new(MOST_ROUNDS, sizeof *times);
    float *pixels = tc_new_aligned(n * 3 * side * side, sizeof *pixels), *embeds = tc_new(n * (size_t)c->embed_dim, sizeof *embeds);
    int32_t *ids = tc_new(n * (size_t)c->context_length, sizeof *ids);
    use u = {.pixels = pixels, .ids = ids, .embeds = embeds, .batch = batch, .context = c->context_length};
    tc_status status = times && pixels && embeds && ids ? tc_session_create(&u.session, m, err) : tc_fail_memory(err, n * 3 * side * side * 4);
    if (status == TC_OK) random_batch(c, batch, caption, pixels, ids);
    /* The peak on both sides of the measurement that it is compared with. */
    double before = status == TC_OK ? tc_measure_peak(PEAK_SECONDS) : 0;
    if (status == TC_OK) status = measure_calls(&u, false, seconds, times, &out->image_seconds, &out->image_seconds_p90, err);
    double after = status == TC_OK ? tc_measure_peak(PEAK_SECONDS) : 0;
    if (status == TC_OK) status = measure_calls(&u, true, seconds, times, &out->text_seconds, &out->text_seconds_p90, err);
    if (status == TC_OK) {
        out->images_per_second = batch / out->image_seconds;
        out->texts_per_second = batch / out->text_seconds;
        out->peak = before > after ? before : after;
    }
    tc_session_close(&u.session);
    free(times);
    free(pixels);
    free(embeds);
    free(ids);
    return status;
}

double tc_measure_peak(double seconds) { return tc_kern_measure_peak(seconds); }
