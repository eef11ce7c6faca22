/* retrieval.c - retrieval both ways: each picture has one caption, and is to be found among all pictures by
 * it, and the caption by the picture. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES = 1 << 14, TEXTS_AT_ONCE = 256 };

typedef struct captions {
    const tc_data *data;
    const tc_tokenizer *tokenizer;
    int context;
    int32_t *ids;     /* [TEXTS_AT_ONCE,context] */
    tc_error *errors; /* [TEXTS_AT_ONCE] */
    int *cut;         /* [TEXTS_AT_ONCE] */
} captions;

static tc_status one_caption(captions *c, int64_t sample, int i, tc_error *err) {
    char *text = tc_new(CAPTION_BYTES, 1);
    if (!text) return tc_fail_memory(err, CAPTION_BYTES);
    tc_status status = tc_data_caption(c->data, sample, 0, text, CAPTION_BYTES, err);
    if (status == TC_OK)
        status = tc_tokenizer_encode(c->tokenizer, text, c->context, c->ids + (int64_t)i * c->context, NULL,
                                     &c->cut[i], err);
    free(text);
    return status;
}

/* Captions of the samples index[n] -> text [n,E] with unit rows. */
static tc_status embed_captions(captions *c, tc_session *s, const int64_t *index, int64_t n, int dim,
                                float *text, int64_t *cut, tc_error *err) {
    tc_status status = TC_OK;
    for (int64_t at = 0; at < n && status == TC_OK; at += TEXTS_AT_ONCE) {
        int batch = n - at < TEXTS_AT_ONCE ? (int)(n - at) : TEXTS_AT_ONCE;
#pragma omp parallel for schedule(dynamic, 16) num_threads(tc_threads())
        for (int i = 0; i < batch; i++) c->errors[i].status = one_caption(c, index[at + i], i, &c->errors[i]);
        for (int i = 0; i < batch && status == TC_OK; i++) {
            if (c->errors[i].status != TC_OK)
                status = tc_fail(err, c->errors[i].status, "%s", c->errors[i].message);
            *cut += c->cut[i] > 0;
        }
        if (status == TC_OK)
            status = tc_session_encode_text(s, c->ids, batch, c->context, text + at * dim, err);
        if (status == TC_OK) tc_normalize(text + at * dim, batch, dim);
    }
    return status;
}

/* All images -> image [n,E], index [n]; returns through *n the number that could be read. */
static tc_status embed_images(tc_image_pass *p, float *image, int64_t *index, int64_t *n, tc_error *err) {
    tc_status status = TC_OK;
    for (*n = 0; status == TC_OK && p->at < p->selection.count;) {
        int batch;
        status = tc_image_pass_next(p, &batch, err);
        if (status != TC_OK) break;
        memcpy(image + *n * p->embed_dim, p->embeds, (size_t)batch * (size_t)p->embed_dim * sizeof *image);
        memcpy(index + *n, p->index, (size_t)batch * sizeof *index);
        *n += batch;
    }
    return status == TC_OK ? tc_image_pass_check(p, err) : status;
}

static tc_status run(tc_image_pass *p, const tc_tokenizer *t, int context, tc_retrieval_result *r,
                     tc_error *err) {
    size_t most = (size_t)p->selection.count, dim = (size_t)p->embed_dim;
    float *image = tc_new(most * dim, sizeof *image), *text = tc_new(most * dim, sizeof *text);
    int64_t *index = tc_new(most, sizeof *index), n = 0, cut = 0;
    captions c = {.data = p->data, .tokenizer = t, .context = context};
    c.ids = tc_new((size_t)TEXTS_AT_ONCE * (size_t)context, sizeof *c.ids);
    c.errors = tc_new(TEXTS_AT_ONCE, sizeof *c.errors);
    c.cut = tc_new(TEXTS_AT_ONCE, sizeof *c.cut);
    tc_status status = image && text && index && c.ids && c.errors && c.cut
                           ? TC_OK
                           : tc_fail_memory(err, most * dim * sizeof *image);
    if (status == TC_OK && most > INT32_MAX)
        status = tc_fail(err, TC_EARG, "retrieval among %zu pairs is too large; use a limit", most);
    if (status == TC_OK) status = embed_images(p, image, index, &n, err);
    if (status == TC_OK) status = embed_captions(&c, p->session, index, n, p->embed_dim, text, &cut, err);
    if (status == TC_OK && cut)
        tc_log_line(&p->log, 2, "%lld captions were longer than the context and were cut", (long long)cut);
    if (status == TC_OK)
        status = tc_retrieval_ranks(image, text, (int)n, p->embed_dim, 1, NULL, NULL, r, err);
    if (status == TC_OK) r->pairs = n, r->skipped = p->skipped;
    free(image);
    free(text);
    free(index);
    free(c.ids);
    free(c.errors);
    free(c.cut);
    return status;
}

tc_status tc_eval_retrieval(const tc_model *m, const tc_data *d, const tc_tokenizer *t,
                            const tc_preprocess *p, int64_t limit, tc_log_fn log, void *log_user,
                            tc_retrieval_result *result, tc_error *err) {
    *result = (tc_retrieval_result){0};
    tc_image_pass pass = {.data = d,
                          .preprocess = p,
                          .log = {log, log_user},
                          .selection = tc_select(tc_data_count(d), limit),
                          .what = "retrieval"};
    tc_status status = tc_session_create(&pass.session, m, err);
    if (status == TC_OK) status = tc_image_pass_start(&pass, m, err);
    if (status == TC_OK) status = run(&pass, t, tc_model_get_info(m)->context_length, result, err);
    tc_image_pass_release(&pass);
    tc_session_close(&pass.session);
    return status;
}
