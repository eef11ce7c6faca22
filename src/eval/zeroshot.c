/* zeroshot.c - zero-shot classification (Radford et al. 2021, section 3.1.4): the weights of a class are the
 * mean over its prompts of the unit text embeddings, made unit again; an image belongs to the class with the
 * largest cosine. */
#include "eval/eval.h"
#include "eval/metrics.h"

#include <stdlib.h>
#include <string.h>

enum { PROMPTS_AT_ONCE = 256 };

/* ---- weights */

typedef struct prompts {
    const char *const *names, *const *templates;
    int n_templates, context;
    int64_t cut;
    int32_t *ids;   /* [PROMPTS_AT_ONCE,context] */
    float *embeds;  /* [classes at once,templates,E] */
    float *columns; /* [E,classes at once] */
} prompts;

static tc_status tokenize_prompt(prompts *p, const tc_tokenizer *t, int64_t prompt, int32_t *ids,
                                 tc_error *err) {
    char *text = tc_template_fill(p->templates[prompt % p->n_templates], p->names[prompt / p->n_templates]);
    if (!text) return tc_fail_memory(err, 1);
    int cut = 0;
    tc_status status = tc_tokenizer_encode(t, text, p->context, ids, NULL, &cut, err);
    p->cut += cut > 0;
    free(text);
    return status;
}

/* Embeddings of prompts first .. first+n-1, class-major. */
static tc_status embed_prompts(prompts *p, tc_session *s, const tc_tokenizer *t, int64_t first, int64_t n,
                               int dim, tc_error *err) {
    tc_status status = TC_OK;
    for (int64_t at = 0; at < n && status == TC_OK; at += PROMPTS_AT_ONCE) {
        int batch = n - at < PROMPTS_AT_ONCE ? (int)(n - at) : PROMPTS_AT_ONCE;
        for (int i = 0; i < batch && status == TC_OK; i++)
            status = tokenize_prompt(p, t, first + at + i, p->ids + (int64_t)i * p->context, err);
        if (status == TC_OK)
            status = tc_session_encode_text(s, p->ids, batch, p->context, p->embeds + at * dim, err);
    }
    return status;
}

/* What the caller may not expect of the prompts. */
static tc_status tell(const prompts *p, int classes, const tc_log *log, tc_error *err) {
    int c, t;
    if (p->cut)
        tc_log_line(log, 2, "%lld prompts were longer than the context and were cut", (long long)p->cut);
    if (!tc_template_conflict(p->names, classes, p->templates, p->n_templates, &c, &t)) return TC_OK;
    char *asked = tc_template_fill(p->templates[t], p->names[c]);
    if (!asked) return tc_fail_memory(err, 1);
    tc_log_line(log, 1, "\"%s\" has an article, so that of the template \"%s\" is left out: \"%s\"",
                p->names[c], p->templates[t], asked);
    free(asked);
    return TC_OK;
}

tc_status tc_zeroshot_weights(tc_session *s, const tc_tokenizer *t, const char *const *names, int classes,
                              const char *const *templates, int n_templates, tc_log_fn log, void *log_user,
                              float *weights, tc_error *err) {
    static const char *const plain[] = {"a photo of a {}."};
    const tc_model_info *info = tc_model_get_info(tc_session_model(s));
    const tc_log to = {log, log_user};
    prompts p = {.names = names,
                 .templates = n_templates > 0 ? templates : plain,
                 .n_templates = n_templates > 0 ? n_templates : 1,
                 .context = info->context_length};
    int dim = info->embed_dim;
    int at_once = p.n_templates < PROMPTS_AT_ONCE ? PROMPTS_AT_ONCE / p.n_templates : 1;
    if (at_once > classes) at_once = classes;
    size_t rows = (size_t)at_once * (size_t)p.n_templates;
    p.ids = tc_new((size_t)PROMPTS_AT_ONCE * (size_t)p.context, sizeof *p.ids);
    p.embeds = tc_new(rows * (size_t)dim, sizeof *p.embeds);
    p.columns = tc_new((size_t)at_once * (size_t)dim, sizeof *p.columns);
    tc_status status =
        p.ids && p.embeds && p.columns ? TC_OK : tc_fail_memory(err, rows * (size_t)dim * sizeof *p.embeds);
    for (int first = 0; first < classes && status == TC_OK; first += at_once) {
        int n = classes - first < at_once ? classes - first : at_once;
        status =
            embed_prompts(&p, s, t, (int64_t)first * p.n_templates, (int64_t)n * p.n_templates, dim, err);
        if (status != TC_OK) break;
        tc_zeroshot_classifier(p.embeds, n, p.n_templates, dim, p.columns);
        for (int c = 0; c < n; c++)
            for (int e = 0; e < dim; e++)
                weights[(int64_t)(first + c) * dim + e] = p.columns[(int64_t)e * n + c];
    }
    if (status == TC_OK) status = tell(&p, classes, &to, err);
    free(p.ids);
    free(p.embeds);
    free(p.columns);
    return status;
}

tc_status tc_zeroshot_data_weights(tc_session *s, const tc_tokenizer *t, const tc_data *d, tc_log_fn log,
                                   void *log_user, float *weights, tc_error *err) {
    int classes = tc_data_classes(d), n = tc_data_templates(d);
    const char **names = tc_new((size_t)classes, sizeof *names);
    const char **templates = tc_new((size_t)n, sizeof *templates);
    tc_status status = names && templates ? TC_OK : tc_fail_memory(err, (size_t)classes * sizeof *names);
    for (int c = 0; c < classes && status == TC_OK; c++) names[c] = tc_data_class_name(d, c);
    for (int i = 0; i < n && status == TC_OK; i++) templates[i] = tc_data_template(d, i);
    if (status == TC_OK)
        status = tc_zeroshot_weights(s, t, names, classes, templates, n, log, log_user, weights, err);
    free(names);
    free(templates);
    return status;
}

/* ---- evaluation */

void tc_zeroshot_result_free(tc_zeroshot_result *r) {
    free(r->class_count);
    free(r->class_correct);
    free(r->confusion);
    *r = (tc_zeroshot_result){0};
}

static int said(const float *logits, int classes) {
    int best;
    tc_top_k(logits, classes, 1, &best);
    return best;
}

static void count_batch(const tc_image_pass *p, int n, const float *weights, float *logits,
                        tc_zeroshot_result *r, int64_t *within5) {
    tc_logits(p->embeds, weights, n, r->classes, p->embed_dim, 1, logits);
    for (int i = 0; i < n; i++) {
        int label = tc_data_label(p->data, p->index[i]);
        if (label < 0 || label >= r->classes) continue;
        int64_t rank = tc_rank_of(logits + (int64_t)i * r->classes, r->classes, label);
        r->images++;
        r->class_count[label]++;
        r->class_correct[label] += rank == 0;
        *within5 += rank < 5;
        if (r->confusion)
            r->confusion[(int64_t)label * r->classes + said(logits + (int64_t)i * r->classes, r->classes)]++;
    }
}

static tc_status run(tc_image_pass *p, const tc_model *m, const tc_tokenizer *t, tc_zeroshot_result *r,
                     tc_error *err) {
    enum { MOST = 64 };
    size_t classes = (size_t)r->classes;
    float *weights = tc_new(classes * (size_t)tc_model_get_info(m)->embed_dim, sizeof *weights),
          *logits = tc_new(MOST * classes, sizeof *logits);
    int64_t within5 = 0, correct = 0;
    tc_status status = weights && logits ? TC_OK : tc_fail_memory(err, classes * MOST * sizeof *logits);
    if (status == TC_OK)
        status = tc_zeroshot_data_weights(p->session, t, p->data, p->log.fn, p->log.user, weights, err);
    while (status == TC_OK && p->at < p->selection.count) {
        int n;
        status = tc_image_pass_next(p, &n, err);
        if (status == TC_OK) count_batch(p, n, weights, logits, r, &within5);
    }
    if (status == TC_OK) status = tc_image_pass_check(p, err);
    for (int c = 0; c < r->classes; c++) correct += r->class_correct[c];
    r->skipped = p->selection.count - r->images;
    if (r->images > 0)
        r->top1 = (double)correct / (double)r->images, r->top5 = (double)within5 / (double)r->images;
    free(weights);
    free(logits);
    return status;
}

tc_status tc_eval_zeroshot(const tc_model *m, const tc_data *d, const tc_tokenizer *t, const tc_preprocess *p,
                           int64_t limit, tc_log_fn log, void *log_user, tc_zeroshot_result *result,
                           tc_error *err) {
    *result = (tc_zeroshot_result){.classes = tc_data_classes(d)};
    if (result->classes < 1)
        return tc_fail(
            err, TC_EARG,
            "zero-shot classification needs labelled data; this data has captions, which retrieval takes");
    tc_image_pass pass = {.data = d,
                          .preprocess = p,
                          .log = {log, log_user},
                          .selection = tc_select(tc_data_count(d), limit),
                          .what = "zero-shot"};
    result->class_count = tc_new((size_t)result->classes, sizeof *result->class_count);
    result->class_correct = tc_new((size_t)result->classes, sizeof *result->class_correct);
    size_t classes = (size_t)result->classes;
    bool small = classes <= TC_CONFUSION_CLASSES;
    if (small) result->confusion = tc_new(classes * classes, sizeof *result->confusion);
    tc_status status = result->class_count && result->class_correct && (result->confusion || !small)
                           ? TC_OK
                           : tc_fail_memory(err, classes * classes * sizeof *result->confusion);
    if (status == TC_OK) status = tc_session_create(&pass.session, m, err);
    if (status == TC_OK) status = tc_image_pass_start(&pass, m, err);
    if (status == TC_OK) status = run(&pass, m, t, result, err);
    tc_image_pass_release(&pass);
    tc_session_close(&pass.session);
    if (status != TC_OK) tc_zeroshot_result_free(result);
    return status;
}
