/* examples.c - teacher and students are asked about held-out images. At most 512 of them, evenly
 * spaced, are looked at by every model; which of these are shown depends on the answers alone, so that the
 * same models give the same page. */
#include "report/examples.h"
#include "eval/metrics.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES = 1 << 14 };

/* ---- the subject */

static tc_status add_class(tc_example_subject *s, const char *name, tc_error *err) {
    char *copy = tc_strdup(name);
    if (!copy) return tc_fail_memory(err, strlen(name));
    s->names[s->classes++] = copy;
    return TC_OK;
}

/* The caption's number among those seen so far; a new one is added. */
static tc_status caption_class(tc_example_subject *s, const char *caption, int *number, tc_error *err) {
    for (int i = 0; i < s->classes; i++)
        if (strcmp(s->names[i], caption) == 0) {
            *number = i;
            return TC_OK;
        }
    *number = s->classes;
    return add_class(s, caption, err);
}

static tc_status read_captions(tc_example_subject *s, tc_error *err) {
    char *caption = tc_new(CAPTION_BYTES, 1);
    tc_status status = caption ? TC_OK : tc_fail_memory(err, CAPTION_BYTES);
    for (int64_t i = 0; i < s->selection.count && status == TC_OK; i++) {
        status = tc_data_caption(s->data, tc_selected(&s->selection, i), 0, caption, CAPTION_BYTES, err);
        if (status == TC_OK) status = caption_class(s, caption, &s->label[i], err);
    }
    free(caption);
    return status;
}

static tc_status read_labels(tc_example_subject *s, tc_error *err) {
    tc_status status = TC_OK;
    for (int i = 0; i < tc_data_classes(s->data) && status == TC_OK; i++)
        status = add_class(s, tc_data_class_name(s->data, i), err);
    for (int64_t i = 0; i < s->selection.count; i++)
        s->label[i] = tc_data_label(s->data, tc_selected(&s->selection, i));
    return status;
}

static tc_status open_subject(tc_example_subject *s, const tc_data_record *d, tc_error *err) {
    tc_data_options o = tc_data_options_default();
    o.split = d->split && strcmp(d->split, "all") != 0 ? d->split : NULL;
    tc_status status = tc_data_open(&s->data, d->spec, &o, err);
    if (status != TC_OK) return status;
    int classes = tc_data_classes(s->data);
    s->selection = tc_select(tc_data_count(s->data), TC_EXAMPLE_LOOK);
    s->pairs = classes == 0;
    s->label = tc_new((size_t)s->selection.count, sizeof *s->label);
    s->names = tc_new(s->pairs ? (size_t)s->selection.count : (size_t)classes, sizeof *s->names);
    if (!s->label || !s->names) return tc_fail_memory(err, (size_t)s->selection.count * sizeof *s->names);
    return s->pairs ? read_captions(s, err) : read_labels(s, err);
}

static void close_subject(tc_example_subject *s) {
    for (int i = 0; i < s->classes; i++) free(s->names[i]);
    free(s->names);
    free(s->label);
    tc_data_close(&s->data);
}

/* ---- one model */

typedef struct opened {
    tc_model *model;
    const tc_model_info *info;
    tc_tokenizer *tokenizer;
    tc_session *session;
    tc_preprocess preprocess;
} opened;

static tc_status open_model(opened *m, const tc_report_model *which, tc_error *err) {
    tc_status status = tc_report_open(which, &m->model, err);
    if (status == TC_OK) status = tc_model_tokenizer(m->model, &m->tokenizer, err);
    if (status == TC_OK) status = tc_session_create(&m->session, m->model, err);
    if (status != TC_OK) return status;
    m->info = tc_model_get_info(m->model);
    m->preprocess = tc_model_preprocess(m->model);
    return TC_OK;
}

static void close_model(opened *m) {
    tc_session_close(&m->session);
    tc_tokenizer_close(&m->tokenizer);
    tc_model_close(&m->model);
}

/* A row a class. */
static tc_status class_weights(const opened *m, const tc_example_subject *s, const tc_log *log,
                               float *weights, tc_error *err) {
    static const char *const as_it_is[] = {"{}"};
    if (!s->pairs)
        return tc_zeroshot_data_weights(m->session, m->tokenizer, s->data, log->fn, log->user, weights, err);
    return tc_zeroshot_weights(m->session, m->tokenizer, (const char *const *)s->names, s->classes, as_it_is,
                               1, log->fn, log->user, weights, err);
}

static void guess(tc_example_guess *g, const float *p, int classes) {
    tc_top_k(p, classes, TC_EXAMPLE_GUESSES, g->index);
    for (int k = 0; k < TC_EXAMPLE_GUESSES; k++) g->p[k] = g->index[k] >= 0 ? p[g->index[k]] : 0;
}

static tc_status ask_batches(tc_example_model *model, const opened *m, const tc_example_subject *s,
                             tc_image_pass *pass, const float *weights, tc_error *err) {
    size_t room = (size_t)TC_IMAGES_AT_ONCE * (size_t)s->classes;
    float *p = tc_new(room, sizeof *p), scale = expf(m->info->logit_scale);
    tc_status status = p ? TC_OK : tc_fail_memory(err, room * sizeof *p);
    int64_t at = 0;
    int n = 1;
    while (status == TC_OK && n > 0) {
        const int64_t *index;
        const float *embeds;
        status = tc_image_pass_next(pass, &n, &index, &embeds, err);
        if (status != TC_OK) break;
        tc_logits(embeds, weights, n, s->classes, m->info->embed_dim, scale, p);
        tc_softmax(p, n, s->classes);
        for (int i = 0; i < n; i++, at++) {
            while (tc_selected(&s->selection, at) != index[i]) at++; /* left out */
            guess(&model->says[at], p + (size_t)i * (size_t)s->classes, s->classes);
        }
    }
    if (status == TC_OK) status = tc_image_pass_check(pass, err);
    free(p);
    return status;
}

static tc_status ask(tc_example_model *model, const opened *m, const tc_example_subject *s, const tc_log *log,
                     tc_error *err) {
    float *weights = tc_new((size_t)s->classes * (size_t)m->info->embed_dim, sizeof *weights);
    tc_image_pass *pass = NULL;
    tc_pass_log pass_log = {.log = *log, .what = "examples"};
    model->says = tc_new((size_t)s->selection.count, sizeof *model->says);
    for (int64_t i = 0; i < s->selection.count && model->says; i++) model->says[i].index[0] = -1;
    tc_status status = weights && model->says
                           ? class_weights(m, s, log, weights, err)
                           : tc_fail_memory(err, (size_t)s->classes * (size_t)m->info->embed_dim * 4);
    if (status == TC_OK)
        status =
            tc_image_pass_logged(&pass, m->session, s->data, &m->preprocess, TC_EXAMPLE_LOOK, &pass_log, err);
    if (status == TC_OK) status = ask_batches(model, m, s, pass, weights, err);
    tc_image_pass_close(&pass);
    free(weights);
    return status;
}

/* A model that is not there any more, or not the one that was measured, is told on the page. */
static void open_and_ask(tc_examples *e, tc_example_model *model, const tc_log *log) {
    opened m = {0};
    tc_error *why = &model->why;
    tc_status status = open_model(&m, model->model, why);
    if (status == TC_OK && e->picture.crop == 0) e->picture = m.preprocess;
    if (status == TC_OK) status = ask(model, &m, &e->subject, log, why);
    if (status != TC_OK) {
        free(model->says);
        model->says = NULL;
    }
    close_model(&m);
}

/* The teacher, and the last ones of the students if there are too many. */
static void list_models(tc_examples *e, const tc_report *r) {
    int students = 0;
    for (int i = 0; i < r->model_count; i++) students += r->models[i].shown;
    e->models[e->model_count++].model = &r->models[0];
    for (int i = 1; i < r->model_count; i++)
        if (r->models[i].shown && students-- < TC_EXAMPLE_MODELS)
            e->models[e->model_count++].model = &r->models[i];
}

/* ---- which images */

static bool right(const tc_examples *e, int model, int64_t position) {
    return e->models[model].says[position].index[0] == e->subject.label[position];
}

/* False if a model could not see it. */
static bool kind_of(const tc_examples *e, int64_t position, tc_example_kind *kind) {
    int good = 0, asked = 0;
    for (int i = 0; i < e->model_count; i++) {
        if (!e->models[i].says) continue;
        if (e->models[i].says[position].index[0] < 0) return false;
        asked++;
        good += right(e, i, position);
    }
    bool lost = !e->teacher || right(e, 0, position);
    *kind = lost ? TC_EXAMPLE_LOST : TC_EXAMPLE_GAINED;
    if (good == 0) *kind = TC_EXAMPLE_NONE;
    if (good == asked) *kind = TC_EXAMPLE_ALL;
    return true;
}

/* Up to `most` images of a kind: one of each class, then a second one of each, and so on. */
static void choose(tc_buf *b, tc_examples *e, tc_example_kind kind, int most) {
    int *used = tc_report_new(b, (size_t)e->subject.classes, sizeof *used);
    bool *taken = tc_report_new(b, (size_t)e->subject.selection.count, sizeof *taken);
    for (int i = 0; used && taken && i < most && e->shown_count < TC_REPORT_MOST_EXAMPLES; i++) {
        int64_t best = -1;
        for (int64_t at = 0; at < e->subject.selection.count; at++) {
            tc_example_kind k;
            int label = e->subject.label[at];
            if (taken[at] || label < 0 || !kind_of(e, at, &k) || k != kind) continue;
            if (best < 0 || used[label] < used[e->subject.label[best]]) best = at;
        }
        if (best < 0) break;
        taken[best] = true;
        used[e->subject.label[best]]++;
        e->shown[e->shown_count++] = (struct tc_example_shown){best, kind};
    }
    free(used);
    free(taken);
}

/* A quarter of each kind; what one kind has too few of the others get. */
static void choose_all(tc_buf *b, tc_examples *e, int count) {
    int quota[TC_EXAMPLE_KINDS] = {0};
    for (int k = TC_EXAMPLE_LOST; k < TC_EXAMPLE_KINDS; k++) quota[k] = count / TC_EXAMPLE_KINDS;
    for (int64_t at = 0; at < e->subject.selection.count; at++) {
        tc_example_kind k;
        if (e->subject.label[at] < 0 || !kind_of(e, at, &k)) continue;
        e->of_kind[k]++;
        e->images++;
    }
    int left = count;
    for (int k = TC_EXAMPLE_LOST; k < TC_EXAMPLE_KINDS; k++) {
        if (quota[k] > e->of_kind[k]) quota[k] = (int)e->of_kind[k];
        left -= quota[k];
    }
    for (int k = 0; k < TC_EXAMPLE_KINDS && left > 0; k++) {
        int64_t more = e->of_kind[k] - quota[k] < left ? e->of_kind[k] - quota[k] : left;
        quota[k] += (int)more;
        left -= (int)more;
    }
    for (tc_example_kind k = 0; k < TC_EXAMPLE_KINDS; k++) choose(b, e, k, quota[k]);
}

static void missing(tc_buf *b, const char *why) {
    tc_buf_puts(b, "<section id=\"examples\">\n<h2>Examples</h2>\n<p class=\"missing\">No examples: ");
    tc_report_text(b, why);
    tc_buf_puts(b, ".</p>\n</section>\n");
}

tc_status tc_report_examples(tc_buf *b, const tc_report *r, int count, const tc_log *log, tc_error *err) {
    const tc_data_record *d = &r->runs[0].eval;
    tc_error why = {0};
    tc_status status = TC_OK;
    if (count == 0) return TC_OK;
    if (!d->given) {
        missing(b, "the compression had no data to be measured on");
        return TC_OK;
    }
    tc_examples *e = tc_new(1, sizeof *e);
    if (!e) return tc_fail_memory(err, sizeof *e);
    if (open_subject(&e->subject, d, &why) != TC_OK) {
        missing(b, why.message);
    } else {
        list_models(e, r);
        bool any = false;
        for (int i = 0; i < e->model_count; i++) {
            open_and_ask(e, &e->models[i], log);
            any = any || (i > 0 && e->models[i].says);
        }
        e->teacher = e->models[0].says != NULL;
        if (any) choose_all(b, e, count);
        if (any) status = tc_report_cards(b, e, err);
        else
            missing(b,
                    e->model_count > 1 ? e->models[e->model_count - 1].why.message : "no stage is done yet");
    }
    for (int i = 0; i < e->model_count; i++) free(e->models[i].says);
    close_subject(&e->subject);
    free(e);
    return status;
}
