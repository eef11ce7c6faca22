/* image_pass.c - many images through the image tower: decoded in parallel, embedded a batch at a time; bad
 * ones are left out and told. */
#include "base/threads.h"
#include "eval/eval.h"
#include "kern/kern.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BATCH = 1 << 16, REASONS_TOLD = 5 };

struct tc_image_pass {
    tc_image_pass_options o;
    tc_preprocess preprocess;
    tc_session *session;
    int embed_dim;
    tc_selection selection;
    int64_t at, skipped; /* images done, left out */
    size_t size;         /* numbers of an image */
    float *pixels;       /* [batch,3,S,S] */
    float *embeds;       /* [batch,E] */
    int64_t *index;      /* [batch] */
    tc_error *errors;    /* [batch] */
    tc_error last;       /* of the images that were left out */
};

/* ---- which images */

tc_selection tc_select(int64_t total, int64_t limit) {
    return (tc_selection){.total = total, .count = limit > 0 && limit < total ? limit : total};
}

/* i * total / count without a product that could overflow. */
int64_t tc_selected(const tc_selection *s, int64_t i) {
    int64_t step = s->total / s->count, rest = s->total % s->count;
    return i * step + (int64_t)((double)i * (double)rest / (double)s->count);
}

/* ---- opening */

tc_image_pass_options tc_image_pass_options_default(void) {
    return (tc_image_pass_options){.batch = TC_IMAGES_AT_ONCE};
}

static tc_status check(const tc_image_pass_options *o, const tc_preprocess *p, int image_size,
                       tc_error *err) {
    if (!o->data == !o->paths) return tc_fail(err, TC_EARG, "a pass over images: name one of data and paths");
    if (o->batch < 1 || o->batch > MOST_BATCH || o->count < 0)
        return tc_fail(err, TC_EARG, "a pass over images: %d at once of %lld", o->batch, (long long)o->count);
    if (p->crop == image_size) return TC_OK;
    return tc_fail(err, TC_EARG,
                   "the preprocessing makes images of %d pixels, but the model's image_size is %d", p->crop,
                   image_size);
}

tc_status tc_image_pass_open(tc_image_pass **out, tc_session *s, const tc_image_pass_options *options,
                             tc_error *err) {
    const tc_model *m = tc_session_model(s);
    const tc_model_info *info = tc_model_get_info(m);
    tc_preprocess preprocess = options->preprocess ? *options->preprocess : tc_model_preprocess(m);
    *out = NULL;
    tc_status status =
        tc_check_reserved(options->reserved, sizeof options->reserved, "tc_image_pass_options", err);
    if (status == TC_OK) status = check(options, &preprocess, info->image_size, err);
    if (status != TC_OK) return status;
    tc_image_pass *p = tc_new(1, sizeof *p);
    if (!p) return tc_fail_memory(err, sizeof *p);
    size_t n = (size_t)options->batch;
    *p = (tc_image_pass){.o = *options, .preprocess = preprocess, .session = s, .embed_dim = info->embed_dim};
    p->selection = tc_select(options->data ? tc_data_count(options->data) : options->count, options->limit);
    p->size = 3 * (size_t)info->image_size * (size_t)info->image_size;
    p->pixels = tc_new_aligned(n * p->size, sizeof *p->pixels);
    p->embeds = tc_new(n * (size_t)info->embed_dim, sizeof *p->embeds);
    p->index = tc_new(n, sizeof *p->index);
    p->errors = tc_new(n, sizeof *p->errors);
    *out = p;
    if (p->pixels && p->embeds && p->index && p->errors) return TC_OK;
    tc_image_pass_close(out);
    return tc_fail_memory(err, n * p->size * sizeof *p->pixels);
}

void tc_image_pass_close(tc_image_pass **p) {
    if (!*p) return;
    free((*p)->pixels);
    free((*p)->embeds);
    free((*p)->index);
    free((*p)->errors);
    free(*p);
    *p = NULL;
}

/* ---- a batch */

static tc_status decode_one(const tc_image_pass *p, int64_t image, float *pixels, tc_error *err) {
    return p->o.data ? tc_data_image(p->o.data, image, &p->preprocess, pixels, err)
                     : tc_preprocess_file(&p->preprocess, p->o.paths[image], pixels, NULL, err);
}

static void decode_next(void *user, int64_t i) {
    const tc_image_pass *p = user;
    p->errors[i].status = TC_OK;
    p->errors[i].status =
        decode_one(p, tc_selected(&p->selection, p->at + i), p->pixels + (size_t)i * p->size, &p->errors[i]);
}

static void decode(tc_image_pass *p, int batch) {
    int before = tc_threads_enter(tc_session_threads(p->session));
    tc_parallel_each(batch, decode_next, p);
    tc_threads_leave(before);
}

/* Tells of bad images and closes the gaps that they leave; *n gets the number of rows that stay. */
static tc_status close_gaps(tc_image_pass *p, int batch, int *n, tc_error *err) {
    *n = 0;
    for (int i = 0; i < batch; i++) {
        int64_t image = tc_selected(&p->selection, p->at + i);
        if (p->errors[i].status != TC_OK) {
            p->last = p->errors[i];
            if (!p->o.on_bad) return tc_fail(err, p->last.status, "%s", p->last.message);
            p->o.on_bad(p->o.user, image, &p->last);
            p->skipped++;
            continue;
        }
        if (*n < i)
            memmove(p->pixels + (size_t)*n * p->size, p->pixels + (size_t)i * p->size,
                    p->size * sizeof *p->pixels);
        p->index[(*n)++] = image;
    }
    return TC_OK;
}

static tc_status next_batch(tc_image_pass *p, int *n, tc_error *err) {
    int64_t left = p->selection.count - p->at;
    int batch = left < p->o.batch ? (int)left : p->o.batch;
    decode(p, batch);
    tc_status status = close_gaps(p, batch, n, err);
    p->at += batch;
    if (status == TC_OK && *n) status = tc_session_encode_image(p->session, p->pixels, *n, p->embeds, err);
    if (status != TC_OK) return status;
    if (p->o.normalize) tc_normalize(p->embeds, *n, p->embed_dim);
    if (p->o.on_progress) p->o.on_progress(p->o.user, p->at, p->selection.count);
    return TC_OK;
}

tc_status tc_image_pass_next(tc_image_pass *p, int *n, const int64_t **index, const float **embeds,
                             tc_error *err) {
    tc_status status = TC_OK;
    *index = p->index;
    *embeds = p->embeds;
    *n = 0;
    while (status == TC_OK && *n == 0 && p->at < p->selection.count) status = next_batch(p, n, err);
    return status;
}

int64_t tc_image_pass_count(const tc_image_pass *p) { return p->selection.count; }

int64_t tc_image_pass_skipped(const tc_image_pass *p) { return p->skipped; }

/* ---- what evaluations say of it */

tc_status tc_image_pass_check(const tc_image_pass *p, tc_error *err) {
    if (p->selection.count == 0) return tc_fail(err, TC_ESTATE, "the data holds no sample");
    if (p->skipped < p->selection.count) return TC_OK;
    return tc_fail(err, TC_ESTATE, "none of the %lld images could be read; the last one: %s",
                   (long long)p->skipped, p->last.message);
}

static void tell_progress(void *user, int64_t done, int64_t all) {
    const tc_pass_log *l = user;
    double seconds = tc_now() - l->start, rate = seconds > 0 ? (double)done / seconds : 0;
    char left[32];
    tc_format_duration(rate > 0 ? (double)(all - done) / rate : 0, left, sizeof left);
    tc_log_line(&l->log, 0, "%s: %lld of %lld images, %.0f a second, %s left", l->what, (long long)done,
                (long long)all, rate, left);
}

static void tell_bad(void *user, int64_t index, const tc_error *error) {
    tc_pass_log *l = user;
    (void)index;
    if (l->told++ < REASONS_TOLD) tc_log_line(&l->log, 2, "left out: %s", error->message);
}

tc_status tc_image_pass_logged(tc_image_pass **out, tc_session *s, const tc_data *d, const tc_preprocess *p,
                               int64_t limit, tc_pass_log *log, tc_error *err) {
    tc_image_pass_options o = tc_image_pass_options_default();
    o.data = d;
    o.preprocess = p;
    o.limit = limit;
    o.normalize = true;
    o.on_progress = tell_progress;
    o.on_bad = tell_bad;
    o.user = log;
    log->start = tc_now();
    return tc_image_pass_open(out, s, &o, err);
}
