/* session.c - runs a model: one session a thread, the packed weights shared. Captions are run only up to
 * their end-of-text token, a large batch in pieces that fit the caches.
 *
 * A ResNet is some sixty short convolutions, and the threads lose 7 % of the time waiting for each other
 * behind them (docs/PERF.md). So each thread takes images of its own, with a memory plan of its own; those
 * left over, fewer than threads, are run by all together. oneDNN may add up in another order then: an image's
 * last bits depend on which of the two it was. */
#include "base/threads.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES_AT_ONCE = 8, TEXT_ROWS_AT_ONCE = 8192 };

struct tc_session {
    const tc_model *model;
    tc_runner *runner[2]; /* by tower */
    tc_runner **apart;    /* [apart_count] ResNet: one for each thread that runs images by itself */
    int apart_count;
    int threads; /* 0: as many as tc_threads says */
    tc_captions captions;
    tc_real *pixels; /* only where tc_real is not float */
};

tc_status tc_session_create(tc_session **out, const tc_model *m, tc_error *err) {
    *out = NULL;
    tc_session *s = tc_new(1, sizeof *s);
    if (!s) return tc_fail_memory(err, sizeof *s);
    s->model = m;
    *out = s;
    return TC_OK;
}

const tc_model *tc_session_model(const tc_session *s) { return s->model; }

void tc_session_set_threads(tc_session *s, int n) { s->threads = n < 1 ? 0 : n; }

int tc_session_threads(const tc_session *s) {
    int before = tc_threads_enter(s->threads), n = tc_threads();
    tc_threads_leave(before);
    return n;
}

/* The tower is made ready when it is first used: who embeds images only does not wait for the text tower. */
static tc_status make_ready(tc_session *s, int tower, tc_error *err) {
    const tc_model *m = s->model;
    if (s->runner[tower]) return tc_model_check(m, err);
    tc_status status = tc_model_prepare(m, tower, err);
    if (status != TC_OK) return status;
    return tc_runner_create(&s->runner[tower], m->graph[tower], m->data, NULL, &m->prepared[tower], false,
                            err);
}

void tc_session_close(tc_session **s) {
    if (!*s) return;
    for (int tower = 0; tower < 2; tower++) tc_runner_free(&(*s)->runner[tower]);
    for (int i = 0; i < (*s)->apart_count; i++) tc_runner_free(&(*s)->apart[i]);
    free((*s)->apart);
    tc_captions_free(&(*s)->captions);
    free((*s)->pixels);
    free(*s);
    *s = NULL;
}

static void copy_out(const tc_runner *r, float *embeds) {
    int64_t width = r->graph->values[r->graph->output].width;
    r->kern->to_float(r->batch * width, tc_runner_output(r), embeds);
}

/* In the double build the pixels are converted; otherwise they are used where they lie. */
static const tc_real *as_real(tc_session *s, const float *x, int64_t n) {
    if (sizeof(tc_real) == sizeof(float)) return (const tc_real *)(const void *)x;
    free(s->pixels);
    s->pixels = tc_new((size_t)n, sizeof *s->pixels);
    if (s->pixels) tc_kern_get()->from_float(n, x, s->pixels);
    return s->pixels;
}

static tc_status run_images(tc_runner *r, const tc_real *pixels, int n, float *embeds, tc_error *err) {
    tc_feed feed = {.batch = n, .pixels = pixels};
    tc_status status = tc_runner_forward(r, &feed, err);
    if (status == TC_OK) copy_out(r, embeds);
    return status;
}

/* A runner for each thread. When they are made, the first images are run by all threads once: those left over
 * in later calls then find what they need. */
static tc_status make_apart(tc_session *s, int threads, const tc_real *pixels, float *embeds, tc_error *err) {
    const tc_model *m = s->model;
    if (threads <= s->apart_count) return TC_OK;
    tc_runner **grown = realloc(s->apart, (size_t)threads * sizeof *grown);
    if (!grown) return tc_fail_memory(err, (size_t)threads * sizeof *grown);
    s->apart = grown;
    for (; s->apart_count < threads; s->apart_count++) {
        tc_status status = tc_runner_create(&grown[s->apart_count], m->graph[TC_TOWER_VISION], m->data, NULL,
                                            &m->prepared[TC_TOWER_VISION], false, err);
        if (status != TC_OK) return status;
    }
    return run_images(s->runner[TC_TOWER_VISION], pixels, threads - 1, embeds, err);
}

typedef struct apart_work {
    tc_session *s;
    int each;
    const tc_real *pixels;
    float *embeds;
    pthread_mutex_t lock; /* of what follows */
    tc_status status;
    tc_error *err;
} apart_work;

static void one_apart(void *user, int64_t first, int64_t end) {
    apart_work *a = user;
    const tc_config *c = &a->s->model->config;
    int64_t size = 3 * (int64_t)c->image_size * c->image_size;
    for (int64_t t = first; t < end; t++) {
        tc_error own;
        tc_status status = run_images(a->s->apart[t], a->pixels + t * a->each * size, a->each,
                                      a->embeds + t * a->each * c->embed_dim, &own);
        if (status == TC_OK) continue;
        pthread_mutex_lock(&a->lock);
        a->status = status;
        if (a->err) *a->err = own;
        pthread_mutex_unlock(&a->lock);
    }
}

/* `each` images by each of the threads. */
static tc_status run_apart(tc_session *s, int threads, int each, const tc_real *pixels, float *embeds,
                           tc_error *err) {
    tc_status status = make_apart(s, threads, pixels, embeds, err);
    if (status != TC_OK) return status;
    apart_work a = {s, each, pixels, embeds, PTHREAD_MUTEX_INITIALIZER, TC_OK, err};
    tc_parallel(threads, INT64_MAX, one_apart, &a);
    pthread_mutex_destroy(&a.lock);
    return a.status;
}

static tc_status encode_images(tc_session *s, const float *pixel_values, int n, float *image_embeds,
                               tc_error *err) {
    const tc_config *c = &s->model->config;
    int64_t size = 3 * (int64_t)c->image_size * c->image_size;
    tc_status status = make_ready(s, TC_TOWER_VISION, err);
    int threads = c->vision.family->images_apart ? tc_threads() : 1;
    for (int at = 0, batch; at < n && status == TC_OK; at += batch) {
        int apart = n - at < threads ? 1 : threads, each = (n - at) / apart;
        if (each > IMAGES_AT_ONCE) each = IMAGES_AT_ONCE;
        batch = apart * each;
        const tc_real *x = as_real(s, pixel_values + at * size, batch * size);
        float *embeds = image_embeds + (int64_t)at * c->embed_dim;
        if (!x) return tc_fail_memory(err, (size_t)(batch * size));
        status = apart > 1 ? run_apart(s, apart, each, x, embeds, err)
                           : run_images(s->runner[TC_TOWER_VISION], x, batch, embeds, err);
    }
    return status;
}

tc_status tc_session_encode_image(tc_session *s, const float *pixel_values, int n, float *image_embeds,
                                  tc_error *err) {
    if (n < 0) return tc_fail(err, TC_EARG, "encode_image: %d images", n);
    int before = tc_threads_enter(s->threads);
    tc_status status = encode_images(s, pixel_values, n, image_embeds, err);
    tc_threads_leave(before);
    return status;
}

static tc_status encode_texts(tc_session *s, const int32_t *input_ids, int n, int context, float *text_embeds,
                              tc_error *err) {
    const tc_config *c = &s->model->config;
    tc_status status = make_ready(s, TC_TOWER_TEXT, err);
    for (int at = 0, batch; at < n && status == TC_OK; at += batch) {
        status = tc_captions_gather(&s->captions, c, input_ids + (int64_t)at * context, n - at, context,
                                    TEXT_ROWS_AT_ONCE, &batch, err);
        tc_feed feed = {.batch = batch, .ids = s->captions.ids, .seq = s->captions.seq};
        if (status == TC_OK) status = tc_runner_forward(s->runner[TC_TOWER_TEXT], &feed, err);
        if (status == TC_OK) copy_out(s->runner[TC_TOWER_TEXT], text_embeds + (int64_t)at * c->embed_dim);
    }
    return status;
}

tc_status tc_session_encode_text(tc_session *s, const int32_t *input_ids, int n, int context,
                                 float *text_embeds, tc_error *err) {
    if (n < 0 || context < 1) return tc_fail(err, TC_EARG, "encode_text: %d texts of %d ids", n, context);
    int before = tc_threads_enter(s->threads);
    tc_status status = encode_texts(s, input_ids, n, context, text_embeds, err);
    tc_threads_leave(before);
    return status;
}

/* ---- what is done with embeddings */

void tc_normalize(float *x, int n, int dim) {
    for (int64_t r = 0; r < n; r++) {
        double sum = 0;
        for (int64_t i = 0; i < dim; i++) sum += (double)x[r * dim + i] * x[r * dim + i];
        double scale = 1 / fmax(sqrt(sum), 1e-12);
        for (int64_t i = 0; i < dim; i++) x[r * dim + i] = (float)(x[r * dim + i] * scale);
    }
}

typedef struct logits_work {
    const float *image, *text;
    int m, dim;
    float scale, *logits;
} logits_work;

static void logits_rows(void *user, int64_t first, int64_t end) {
    const logits_work *w = user;
    for (int64_t i = first; i < end; i++)
        for (int64_t j = 0; j < w->m; j++) {
            const float *x = w->image + i * w->dim, *y = w->text + j * w->dim;
            double sum = 0;
            for (int64_t k = 0; k < w->dim; k++) sum += (double)x[k] * y[k];
            w->logits[i * w->m + j] = (float)(sum * w->scale);
        }
}

void tc_logits(const float *image, const float *text, int n, int m, int dim, float scale, float *logits) {
    logits_work w = {image, text, m, dim, scale, logits};
    tc_parallel(n, (int64_t)n * m * dim, logits_rows, &w);
}

void tc_softmax(float *x, int n, int m) {
    for (int64_t r = 0; r < n; r++) {
        float *row = x + r * m, most = m ? row[0] : 0;
        double sum = 0;
        for (int64_t i = 1; i < m; i++) most = row[i] > most ? row[i] : most;
        for (int64_t i = 0; i < m; i++) sum += exp((double)row[i] - most);
        for (int64_t i = 0; i < m; i++) row[i] = (float)(exp((double)row[i] - most) / sum);
    }
}
