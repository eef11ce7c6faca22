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
    int n_templates;
    int64_t cut;
    float *embeds;  /* [classes at once,templates,E] */
    float *columns; /* [E,classes at once] */
} prompts;

static void count_cut(void *user, int64_t index, int dropped) {
    (void)index, (void)dropped;
    ((prompts *)user)->cut++;
}

/* The prompts of n classes from `first` on -> p->embeds. */
static tc_status embed_prompts(prompts *p, tc_session *s, const tc_tokenizer *t, int first, int n,
                               tc_error *err) {
    int64_t count = (int64_t)n * p->n_templates, made = 0;
    char **texts = tc_new((size_t)count, sizeof *texts);
    tc_text_options o = tc_text_options_default();
    o.batch = PROMPTS_AT_ONCE;
    o.on_cut = count_cut;
    o.user = p;
    for (; texts && made < count; made++) {
        const char *form = p->templates[made % p->n_templates];
        const char *name = p->names[first + made / p->n_templates];
        if (!(texts[made] = tc_template_fill(form, name))) break;
    }
    tc_status status = texts && made == count
                           ? tc_embed_texts(s, t, (const char *const *)texts, count, &o, p->embeds, err)
                           : tc_fail_memory(err, (size_t)count * sizeof *texts);
    for (int64_t i = 0; i < made; i++) free(texts[i]);
    free(texts);
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
    const tc_log to = {log, log_user};
    prompts p = {.names = names,
                 .templates = n_templates > 0 ? templates : plain,
                 .n_templates = n_templates > 0 ? n_templates : 1};
    int dim = tc_model_get_info(tc_session_model(s))->embed_dim;
    int at_once = p.n_templates < PROMPTS_AT_ONCE ? PROMPTS_AT_ONCE / p.n_templates : 1;
    if (at_once > classes) at_once = classes;
    size_t rows = (size_t)at_once * (size_t)p.n_templates;
    p.embeds = tc_new(rows * (size_t)dim, sizeof *p.embeds);
    p.columns = tc_new((size_t)at_once * (size_t)dim, sizeof *p.columns);
    tc_status status =
        p.embeds && p.columns ? TC_OK : tc_fail_memory(err, rows * (size_t)dim * sizeof *p.embeds);
    for (int first = 0; first < classes && status == TC_OK; first += at_once) {
        int n = classes - first < at_once ? classes - first : at_once;
        status = embed_prompts(&p, s, t, first, n, err);
        if (status != TC_OK) break;
        tc_zeroshot_classifier(p.embeds, n, p.n_templates, dim, p.columns);
        for (int c = 0; c < n; c++)
            for (int e = 0; e < dim; e++)
                weights[(int64_t)(first + c) * dim + e] = p.columns[(int64_t)e * n + c];
    }
    if (status == TC_OK) status = tell(&p, classes, &to, err);
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

/* A pass, and what is counted along it. */
typedef struct evaluation {
    const tc_data *data;
    float *weights, *logits; /* [classes,E], [TC_IMAGES_AT_ONCE,classes] */
    int dim;
    int64_t within5;
    tc_zeroshot_result *r;
} evaluation;

static void count_batch(evaluation *e, int n, const int64_t *index, const float *embeds) {
    tc_zeroshot_result *r = e->r;
    tc_logits(embeds, e->weights, n, r->classes, e->dim, 1, e->logits);
    for (int i = 0; i < n; i++) {
        const float *row = e->logits + (int64_t)i * r->classes;
        int label = tc_data_label(e->data, index[i]);
        if (label < 0 || label >= r->classes) continue;
        int64_t rank = tc_rank_of(row, r->classes, label);
        r->images++;
        r->class_count[label]++;
        r->class_correct[label] += rank == 0;
        e->within5 += rank < 5;
        if (r->confusion) r->confusion[(int64_t)label * r->classes + said(row, r->classes)]++;
    }
}

static tc_status count_all(evaluation *e, tc_image_pass *p, tc_error *err) {
    const int64_t *index;
    const float *embeds;
    int n = 0;
    tc_status status;
    while ((status = tc_image_pass_next(p, &n, &index, &embeds, err)) == TC_OK && n > 0)
        count_batch(e, n, index, embeds);
    return status == TC_OK ? tc_image_pass_check(p, err) : status;
}

static void summarise(const evaluation *e, const tc_image_pass *p) {
    tc_zeroshot_result *r = e->r;
    int64_t correct = 0;
    for (int c = 0; c < r->classes; c++) correct += r->class_correct[c];
    r->skipped = tc_image_pass_count(p) - r->images;
    if (r->images == 0) return;
    r->top1 = (double)correct / (double)r->images;
    r->top5 = (double)e->within5 / (double)r->images;
}

static tc_status evaluate(evaluation *e, tc_session *s, const tc_tokenizer *t, const tc_preprocess *p,
                          int64_t limit, tc_pass_log *log, tc_error *err) {
    tc_image_pass *pass = NULL;
    size_t classes = (size_t)e->r->classes;
    e->weights = tc_new(classes * (size_t)e->dim, sizeof *e->weights);
    e->logits = tc_new(TC_IMAGES_AT_ONCE * classes, sizeof *e->logits);
    tc_status status = e->weights && e->logits
                           ? TC_OK
                           : tc_fail_memory(err, classes * TC_IMAGES_AT_ONCE * sizeof *e->logits);
    if (status == TC_OK) status = tc_image_pass_logged(&pass, s, e->data, p, limit, log, err);
    if (status == TC_OK)
        status = tc_zeroshot_data_weights(s, t, e->data, log->log.fn, log->log.user, e->weights, err);
    if (status == TC_OK) status = count_all(e, pass, err);
    if (status == TC_OK) summarise(e, pass);
    tc_image_pass_close(&pass);
    free(e->weights);
    free(e->logits);
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
    result->class_count = tc_new((size_t)result->classes, sizeof *result->class_count);
    result->class_correct = tc_new((size_t)result->classes, sizeof *result->class_correct);
    size_t classes = (size_t)result->classes;
    bool small = classes <= TC_CONFUSION_CLASSES;
    if (small) result->confusion = tc_new(classes * classes, sizeof *result->confusion);
    tc_status status = result->class_count && result->class_correct && (result->confusion || !small)
                           ? TC_OK
                           : tc_fail_memory(err, classes * classes * sizeof *result->confusion);
    tc_session *session = NULL;
    tc_pass_log pass_log = {.log = {log, log_user}, .what = "zero-shot"};
    evaluation e = {.data = d, .dim = tc_model_get_info(m)->embed_dim, .r = result};
    if (status == TC_OK) status = tc_session_create(&session, m, err);
    if (status == TC_OK) status = evaluate(&e, session, t, p, limit, &pass_log, err);
    tc_session_close(&session);
    if (status != TC_OK) tc_zeroshot_result_free(result);
    return status;
}
