/* retrieval.c - retrieval both ways: each picture has one caption, and is to be found among all pictures by
 * it, and the caption by the picture. */
#include "base/threads.h"
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES = 1 << 14, TEXTS_AT_ONCE = 256 };

typedef struct pairs {
    const tc_data *data;
    int64_t *index;      /* [n] samples whose image could be read */
    float *image, *text; /* [n,E] unit rows */
    int64_t n, cut;      /* cut: captions that were longer than the context */
    int dim;
} pairs;

/* ---- captions */

static void count_cut(void *user, int64_t index, int dropped) {
    (void)index, (void)dropped;
    ((pairs *)user)->cut++;
}

/* The caption of a sample; the caller frees it. */
static tc_status one_caption(const tc_data *d, int64_t sample, char **out, tc_error *err) {
    char *text = *out = tc_new(CAPTION_BYTES, 1);
    return text ? tc_data_caption(d, sample, 0, text, CAPTION_BYTES, err)
                : tc_fail_memory(err, CAPTION_BYTES);
}

typedef struct caption_batch {
    const pairs *p;
    int64_t first;
    char **texts;
    tc_error *errors;
} caption_batch;

static void read_caption(void *user, int64_t i) {
    const caption_batch *b = user;
    b->errors[i].status = one_caption(b->p->data, b->p->index[b->first + i], &b->texts[i], &b->errors[i]);
}

/* Those of n pairs from `first` on. */
static tc_status embed_some(pairs *p, tc_session *s, const tc_tokenizer *t, int64_t first, int n,
                            tc_error *err) {
    char *texts[TEXTS_AT_ONCE] = {0};
    tc_error *errors = tc_new((size_t)n, sizeof *errors);
    tc_text_options o = tc_text_options_default();
    o.normalize = true;
    o.on_cut = count_cut;
    o.user = p;
    if (!errors) return tc_fail_memory(err, (size_t)n * sizeof *errors);
    int before = tc_threads_enter(tc_session_threads(s));
    tc_parallel_each(n, read_caption, &(caption_batch){p, first, texts, errors});
    tc_threads_leave(before);
    tc_status status = TC_OK;
    for (int i = 0; i < n && status == TC_OK; i++)
        if (errors[i].status != TC_OK) status = tc_fail(err, errors[i].status, "%s", errors[i].message);
    if (status == TC_OK)
        status = tc_embed_texts(s, t, (const char *const *)texts, n, &o, p->text + first * p->dim, err);
    for (int i = 0; i < n; i++) free(texts[i]);
    free(errors);
    return status;
}

static tc_status embed_captions(pairs *p, tc_session *s, const tc_tokenizer *t, tc_error *err) {
    tc_status status = TC_OK;
    for (int64_t at = 0; at < p->n && status == TC_OK; at += TEXTS_AT_ONCE)
        status = embed_some(p, s, t, at, p->n - at < TEXTS_AT_ONCE ? (int)(p->n - at) : TEXTS_AT_ONCE, err);
    return status;
}

/* ---- images */

static tc_status embed_images(pairs *p, tc_image_pass *pass, tc_error *err) {
    const int64_t *index;
    const float *embeds;
    int n = 0;
    tc_status status;
    while ((status = tc_image_pass_next(pass, &n, &index, &embeds, err)) == TC_OK && n > 0) {
        memcpy(p->image + p->n * p->dim, embeds, (size_t)n * (size_t)p->dim * sizeof *embeds);
        memcpy(p->index + p->n, index, (size_t)n * sizeof *index);
        p->n += n;
    }
    return status == TC_OK ? tc_image_pass_check(pass, err) : status;
}

/* ---- both */

static tc_status evaluate(pairs *p, tc_session *s, const tc_tokenizer *t, tc_image_pass *pass,
                          const tc_log *log, tc_retrieval_result *r, tc_error *err) {
    size_t most = (size_t)tc_image_pass_count(pass), dim = (size_t)p->dim;
    if (most > INT32_MAX)
        return tc_fail(err, TC_EARG, "retrieval among %zu pairs is too large; use a limit", most);
    p->image = tc_new(most * dim, sizeof *p->image);
    p->text = tc_new(most * dim, sizeof *p->text);
    p->index = tc_new(most, sizeof *p->index);
    tc_status status =
        p->image && p->text && p->index ? TC_OK : tc_fail_memory(err, most * dim * sizeof *p->image);
    if (status == TC_OK) status = embed_images(p, pass, err);
    if (status == TC_OK) status = embed_captions(p, s, t, err);
    if (status == TC_OK && p->cut)
        tc_log_line(log, 2, "%lld captions were longer than the context and were cut", (long long)p->cut);
    if (status == TC_OK)
        status = tc_retrieval_ranks(p->image, p->text, (int)p->n, p->dim, 1, NULL, NULL, r, err);
    if (status == TC_OK) r->skipped = tc_image_pass_skipped(pass);
    free(p->image);
    free(p->text);
    free(p->index);
    return status;
}

tc_status tc_eval_retrieval(const tc_model *m, const tc_data *d, const tc_tokenizer *t,
                            const tc_preprocess *p, int64_t limit, tc_log_fn log, void *log_user,
                            tc_retrieval_result *result, tc_error *err) {
    *result = (tc_retrieval_result){0};
    tc_image_pass *pass = NULL;
    tc_session *session = NULL;
    tc_pass_log pass_log = {.log = {log, log_user}, .what = "retrieval"};
    pairs all = {.data = d, .dim = tc_model_get_info(m)->embed_dim};
    tc_status status = tc_session_create(&session, m, err);
    if (status == TC_OK) status = tc_image_pass_logged(&pass, session, d, p, limit, &pass_log, err);
    if (status == TC_OK) status = evaluate(&all, session, t, pass, &pass_log.log, result, err);
    tc_image_pass_close(&pass);
    tc_session_close(&session);
    return status;
}
