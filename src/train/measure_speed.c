/* measure_speed.c - how many images and texts a second models that are there already embed: medians of
 * batches of random ones, after a warm-up. Several models take turns, so that what slows the machine down for
 * a while slows all of them, and what one is to another is not an accident of when it was measured. */
#include "train/measure.h"
#include "kern/kern.h"

#include <stdlib.h>

enum { LEAST_BATCHES = 5, TURNS = 10 };
/* of the measured time; of each measurement of the peak */
static const double WARM_UP_PART = 0.2, PEAK_SECONDS = 0.3;

/* A model in use, and how long its batches took. */
typedef struct use {
    tc_session *session;
    float *pixels, *embeds;
    int32_t *ids;
    int batch, context;
    double *times;
    size_t count, capacity;
} use;

static tc_status use_open(use *u, const tc_model *m, int batch, int caption, tc_error *err) {
    const tc_config *c = &m->config;
    if (c->vocab_size < 3 || c->context_length < 2)
        return tc_fail(err, TC_EARG, "the vocabulary or the context of the model is too small for a text");
    size_t side = (size_t)c->image_size, n = (size_t)batch;
    u->batch = batch;
    u->context = c->context_length;
    u->pixels = tc_new_aligned(n * 3 * side * side, sizeof *u->pixels);
    u->embeds = tc_new(n * (size_t)c->embed_dim, sizeof *u->embeds);
    u->ids = tc_new(n * (size_t)c->context_length, sizeof *u->ids);
    if (!u->pixels || !u->embeds || !u->ids) return tc_fail_memory(err, n * 3 * side * side * 4);
    tc_random_batch(c, batch, caption < u->context ? caption : u->context, u->pixels, u->ids);
    return tc_session_create(&u->session, m, err);
}

static void use_close(use *u) {
    tc_session_close(&u->session);
    free(u->pixels);
    free(u->embeds);
    free(u->ids);
    free(u->times);
}

/* One batch, whose time is kept if `keep`. */
static tc_status call(use *u, bool text, bool keep, tc_error *err) {
    double before = tc_now();
    tc_status status = text ? tc_session_encode_text(u->session, u->ids, u->batch, u->context, u->embeds, err)
                            : tc_session_encode_image(u->session, u->pixels, u->batch, u->embeds, err);
    if (status != TC_OK || !keep) return status;
    if (!tc_grow(&u->times, &u->capacity, u->count + 1, sizeof *u->times))
        return tc_fail_memory(err, sizeof *u->times);
    u->times[u->count++] = tc_now() - before;
    return TC_OK;
}

/* Batches for `seconds`, but no fewer than `least`. `again`: another model has had a turn, so the first batch
 * finds nothing in the caches and the threads asleep, and does not count. */
static tc_status take_turn(use *u, bool text, bool keep, bool again, double seconds, int least,
                           tc_error *err) {
    tc_status status = again ? call(u, text, false, err) : TC_OK;
    double start = tc_now();
    for (int n = 0; status == TC_OK && (n < least || tc_now() - start < seconds); n++)
        status = call(u, text, keep, err);
    return status;
}

static tc_status measure_tower(use *all, int count, bool text, double seconds, tc_error *err) {
    tc_status status = TC_OK;
    for (int i = 0; i < count && status == TC_OK; i++)
        status = take_turn(&all[i], text, false, false, seconds * WARM_UP_PART, 1, err);
    for (int turn = 0; turn < TURNS && status == TC_OK; turn++)
        for (int i = 0; i < count && status == TC_OK; i++)
            status = take_turn(&all[i], text, true, count > 1, seconds / TURNS, turn < LEAST_BATCHES, err);
    return status;
}

/* The median of the times that were kept, and what 90 % of them stay below; none is kept any longer. */
static void sum_up(use *u, double *median, double *p90) {
    qsort(u->times, u->count, sizeof *u->times, tc_by_size);
    *median = u->times[u->count / 2];
    *p90 = u->times[(u->count * 9) / 10];
    u->count = 0;
}

static tc_status measure(use *all, int count, double seconds, tc_speed *out, tc_error *err) {
    /* The peak on both sides of the measurement that it is compared with. */
    double before = tc_kern_measure_peak(PEAK_SECONDS);
    tc_status status = measure_tower(all, count, false, seconds, err);
    if (status != TC_OK) return status;
    double after = tc_kern_measure_peak(PEAK_SECONDS);
    for (int i = 0; i < count; i++) {
        sum_up(&all[i], &out[i].image_seconds, &out[i].image_seconds_p90);
        out[i].images_per_second = all[i].batch / out[i].image_seconds;
        out[i].peak = before > after ? before : after;
    }
    status = measure_tower(all, count, true, seconds, err);
    if (status != TC_OK) return status;
    for (int i = 0; i < count; i++) {
        sum_up(&all[i], &out[i].text_seconds, &out[i].text_seconds_p90);
        out[i].texts_per_second = all[i].batch / out[i].text_seconds;
    }
    return TC_OK;
}

tc_status tc_measure_speeds(const tc_model *const *models, int count, int batch, int caption, double seconds,
                            tc_speed *out, tc_error *err) {
    if (batch < 1 || caption < 2 || !(seconds >= 0))
        return tc_fail(err, TC_EARG, "%d captions of %d ids make no sense", batch, caption);
    use *all = tc_new((size_t)count, sizeof *all);
    tc_status status = all ? TC_OK : tc_fail_memory(err, (size_t)count * sizeof *all);
    for (int i = 0; i < count && status == TC_OK; i++)
        status = use_open(&all[i], models[i], batch, caption, err);
    if (status == TC_OK) status = measure(all, count, seconds, out, err);
    for (int i = 0; i < count && all; i++) use_close(&all[i]);
    free(all);
    return status;
}

tc_status tc_measure_speed(const tc_model *m, int batch, int caption, double seconds, tc_speed *out,
                           tc_error *err) {
    return tc_measure_speeds(&m, 1, batch, caption, seconds, out, err);
}
