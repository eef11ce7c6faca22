/* measure_speed.c - how many images and texts a second a model that is there already embeds: medians of
 * batches of random ones, after a warm-up. */
#include "train/measure.h"

#include <stdlib.h>

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 100000 };
/* of the measured time; of each measurement of the peak */
static const double WARM_UP_PART = 0.2, PEAK_SECONDS = 0.3;

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

static tc_status measure_calls(const use *u, bool text, double seconds, double *times, double *median,
                               double *p90, tc_error *err) {
    double start = tc_now();
    int n = 0;
    tc_status status = call(u, text, err);
    while (status == TC_OK && tc_now() - start < seconds * WARM_UP_PART) status = call(u, text, err);
    for (start = tc_now();
         status == TC_OK && n < MOST_ROUNDS && (n < LEAST_ROUNDS || tc_now() - start < seconds); n++) {
        double before = tc_now();
        status = call(u, text, err);
        times[n] = tc_now() - before;
    }
    if (status != TC_OK) return status;
    qsort(times, (size_t)n, sizeof *times, tc_by_size);
    *median = times[n / 2];
    *p90 = times[(n * 9) / 10];
    return TC_OK;
}

tc_status tc_measure_speed(const tc_model *m, int batch, int caption, double seconds, tc_speed *out,
                           tc_error *err) {
    const tc_config *c = &m->config;
    if (c->vocab_size < 3 || c->context_length < 2)
        return tc_fail(err, TC_EARG, "the vocabulary or the context of the model is too small for a text");
    if (batch < 1 || caption < 2 || !(seconds >= 0))
        return tc_fail(err, TC_EARG, "%d captions of %d ids make no sense", batch, caption);
    if (caption > c->context_length) caption = c->context_length;
    size_t side = (size_t)c->image_size, n = (size_t)batch;
    double *times = tc_new(MOST_ROUNDS, sizeof *times);
    float *pixels = tc_new_aligned(n * 3 * side * side, sizeof *pixels),
          *embeds = tc_new(n * (size_t)c->embed_dim, sizeof *embeds);
    int32_t *ids = tc_new(n * (size_t)c->context_length, sizeof *ids);
    use u = {.pixels = pixels, .ids = ids, .embeds = embeds, .batch = batch, .context = c->context_length};
    tc_status status = times && pixels && embeds && ids ? tc_session_create(&u.session, m, err)
                                                        : tc_fail_memory(err, n * 3 * side * side * 4);
    if (status == TC_OK) tc_random_batch(c, batch, caption, pixels, ids);
    /* The peak on both sides of the measurement that it is compared with. */
    double before = status == TC_OK ? tc_measure_peak(PEAK_SECONDS) : 0;
    if (status == TC_OK)
        status = measure_calls(&u, false, seconds, times, &out->image_seconds, &out->image_seconds_p90, err);
    double after = status == TC_OK ? tc_measure_peak(PEAK_SECONDS) : 0;
    if (status == TC_OK)
        status = measure_calls(&u, true, seconds, times, &out->text_seconds, &out->text_seconds_p90, err);
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
