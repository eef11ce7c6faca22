/* embed_texts.c - many texts through the text tower: split into ids in parallel, embedded a batch at a time.
 */
#include "base/threads.h"
#include "eval/eval.h"

#include <stdlib.h>

enum { BATCH = 256, MOST_BATCH = 1 << 16 };

typedef struct split {
    const tc_tokenizer *tokenizer;
    int context;
    int32_t *ids;     /* [batch,context] */
    int *cut;         /* [batch] ids that did not fit */
    tc_error *errors; /* [batch] */
} split;

tc_text_options tc_text_options_default(void) { return (tc_text_options){.batch = BATCH}; }

typedef struct text_batch {
    const split *s;
    const char *const *text;
} text_batch;

static void tokenize_one(void *user, int64_t i) {
    const text_batch *t = user;
    const split *s = t->s;
    s->errors[i].status = tc_tokenizer_encode(s->tokenizer, t->text[i], s->context, s->ids + i * s->context,
                                              NULL, &s->cut[i], &s->errors[i]);
}

static tc_status tokenize(split *s, const char *const *text, int n, int threads, tc_error *err) {
    int before = tc_threads_enter(threads);
    tc_parallel_each(n, tokenize_one, &(text_batch){s, text});
    tc_threads_leave(before);
    for (int i = 0; i < n; i++)
        if (s->errors[i].status != TC_OK)
            return tc_fail(err, s->errors[i].status, "%s", s->errors[i].message);
    return TC_OK;
}

static tc_status embed(tc_session *session, split *s, const char *const *texts, int64_t n,
                       const tc_text_options *o, float *embeds, tc_error *err) {
    int dim = tc_model_get_info(tc_session_model(session))->embed_dim;
    for (int64_t at = 0; at < n; at += o->batch) {
        int batch = n - at < o->batch ? (int)(n - at) : o->batch;
        float *rows = embeds + at * dim;
        tc_status status = tokenize(s, texts + at, batch, tc_session_threads(session), err);
        for (int i = 0; i < batch && status == TC_OK; i++)
            if (s->cut[i] && o->on_cut) o->on_cut(o->user, at + i, s->cut[i]);
        if (status == TC_OK) status = tc_session_encode_text(session, s->ids, batch, s->context, rows, err);
        if (status != TC_OK) return status;
        if (o->normalize) tc_normalize(rows, batch, dim);
        if (o->on_progress) o->on_progress(o->user, at + batch, n);
    }
    return TC_OK;
}

tc_status tc_embed_texts(tc_session *s, const tc_tokenizer *t, const char *const *texts, int64_t n,
                         const tc_text_options *options, float *embeds, tc_error *err) {
    tc_text_options o = options ? *options : tc_text_options_default();
    tc_status status = tc_check_reserved(o.reserved, sizeof o.reserved, "tc_text_options", err);
    if (status != TC_OK) return status;
    if (o.batch < 1 || o.batch > MOST_BATCH || n < 0)
        return tc_fail(err, TC_EARG, "a pass over texts: %d at once of %lld", o.batch, (long long)n);
    split p = {.tokenizer = t, .context = tc_model_get_info(tc_session_model(s))->context_length};
    size_t batch = n < o.batch ? (size_t)n : (size_t)o.batch;
    p.ids = tc_new(batch * (size_t)p.context, sizeof *p.ids);
    p.cut = tc_new(batch, sizeof *p.cut);
    p.errors = tc_new(batch, sizeof *p.errors);
    status = p.ids && p.cut && p.errors ? embed(s, &p, texts, n, &o, embeds, err)
                                        : tc_fail_memory(err, batch * sizeof *p.errors);
    free(p.ids);
    free(p.cut);
    free(p.errors);
    return status;
}
