/* report_examples.c - teacher and students are asked about held-out images. At most 512 of them, evenly
 * spaced, are looked at by every model; which of these are shown depends on the answers alone, so that the
 * same models give the same page. */
#include "report_examples.h"
#include "eval/metrics.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES = 1 << 14 };

/* ---- the subject */

/* The caption's number among those seen so far; a new one is added. */
static int caption_class(example_subject *s, const char *caption) {
    for (int i = 0; i < s->classes; i++)
        if (strcmp(s->names[i], caption) == 0) return i;
    s->names[s->classes] = cli_new(strlen(caption) + 1, 1);
    strcpy(s->names[s->classes], caption);
    return s->classes++;
}

static tc_status read_captions(example_subject *s, tc_error *err) {
    char *caption = cli_new(CAPTION_BYTES, 1);
    tc_status status = TC_OK;
    for (int64_t i = 0; i < s->selection.count && status == TC_OK; i++) {
        status = tc_data_caption(s->data, tc_selected(&s->selection, i), 0, caption, CAPTION_BYTES, err);
        if (status == TC_OK) s->label[i] = caption_class(s, caption);
    }
    free(caption);
    return status;
}

static tc_status open_subject(example_subject *s, const report_data *d, tc_error *err) {
    cli_data_args args = {.spec = d->spec, .split = d->split};
    tc_status status = cli_data_open(&s->data, &args, "test", err);
    if (status != TC_OK) return status;
    s->selection = tc_select(tc_data_count(s->data), EXAMPLE_LOOK);
    s->pairs = tc_data_classes(s->data) == 0;
    s->label = cli_new((size_t)s->selection.count, sizeof *s->label);
    s->names =
        cli_new(s->pairs ? (size_t)s->selection.count : (size_t)tc_data_classes(s->data), sizeof *s->names);
    if (s->pairs) return read_captions(s, err);
    s->classes = tc_data_classes(s->data);
    for (int i = 0; i < s->classes; i++) {
        const char *name = tc_data_class_name(s->data, i);
        s->names[i] = cli_new(strlen(name) + 1, 1);
        strcpy(s->names[i], name);
    }
    for (int64_t i = 0; i < s->selection.count; i++)
        s->label[i] = tc_data_label(s->data, tc_selected(&s->selection, i));
    return TC_OK;
}

static void close_subject(example_subject *s) {
    for (int i = 0; i < s->classes; i++) free(s->names[i]);
    free(s->names);
    free(s->label);
    tc_data_close(&s->data);
}

/* ---- one model */

/* A row a class. */
static tc_status class_weights(cli_model *m, const example_subject *s, float *weights, tc_error *err) {
    if (!s->pairs)
        return tc_zeroshot_data_weights(m->session, m->model, s->data, m->tokenizer, NULL, weights, err);
    tc_status status = cli_embed_texts(m, s->names, (size_t)s->classes, weights, err);
    if (status == TC_OK) tc_normalize(weights, s->classes, m->info->embed_dim);
    return status;
}

static void guess(example_guess *g, const float *p, int classes) {
    tc_top_k(p, classes, EXAMPLE_GUESSES, g->index);
    for (int k = 0; k < EXAMPLE_GUESSES; k++) g->p[k] = g->index[k] >= 0 ? p[g->index[k]] : 0;
}

static tc_status ask_batches(example_model *model, cli_model *m, const example_subject *s,
                             tc_image_pass *pass, const float *weights, tc_error *err) {
    float *p = cli_new((size_t)CLI_BATCH * (size_t)s->classes, sizeof *p), scale = expf(m->info->logit_scale);
    tc_status status = tc_image_pass_start(pass, m->model, err);
    int64_t at = 0;
    while (status == TC_OK && pass->at < pass->selection.count) {
        int n;
        status = tc_image_pass_next(pass, &n, err);
        if (status != TC_OK) break;
        tc_logits(pass->embeds, weights, n, s->classes, m->info->embed_dim, scale, p);
        tc_softmax(p, n, s->classes);
        for (int i = 0; i < n; i++, at++) {
            while (tc_selected(&s->selection, at) != pass->index[i]) at++; /* left out */
            guess(&model->says[at], p + (size_t)i * (size_t)s->classes, s->classes);
        }
    }
    if (status == TC_OK) status = tc_image_pass_check(pass, err);
    free(p);
    return status;
}

static tc_status ask(example_model *model, cli_model *m, const example_subject *s, tc_error *err) {
    float *weights = tc_new((size_t)s->classes * (size_t)m->info->embed_dim, sizeof *weights);
    tc_image_pass pass = {.data = s->data,
                          .preprocess = &m->preprocess,
                          .session = m->session,
                          .selection = s->selection,
                          .what = "examples"};
    model->says = cli_new((size_t)s->selection.count, sizeof *model->says);
    for (int64_t i = 0; i < s->selection.count; i++) model->says[i].index[0] = -1;
    tc_status status = weights ? class_weights(m, s, weights, err)
                               : tc_fail_memory(err, (size_t)s->classes * (size_t)m->info->embed_dim * 4);
    if (status == TC_OK) status = ask_batches(model, m, s, &pass, weights, err);
    tc_image_pass_release(&pass);
    free(weights);
    return status;
}

/* Whether it is the model that was measured. */
static tc_status check_model(const cli_model *m, const example_model *model, tc_error *err) {
    uint64_t hash;
    char text[32];
    if (m->info->params != model->facts->params)
        return tc_fail(err, TC_EARG, "%s: %lld parameters; the model that was measured had %lld", model->path,
                       (long long)m->info->params, (long long)model->facts->params);
    if (!model->facts->hash) return TC_OK;
    tc_status status = tc_model_hash(m->model, &hash, err);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (status == TC_OK && strcmp(text, model->facts->hash) != 0)
        status = tc_fail(err, TC_EARG, "%s: its weights are not those that were measured", model->path);
    return status;
}

/* A model that is not there any more, or not the one that was measured, is told on the page. */
static void open_and_ask(examples *e, example_model *model) {
    static const cli_common usual;
    cli_model m = {0};
    tc_error *why = &model->why;
    tc_status status = model->path ? cli_model_open(&m, model->path, &usual, CLI_TOKENIZER | CLI_SESSION, why)
                                   : tc_fail(why, TC_EIO, "its file is not there");
    if (status == TC_OK) status = check_model(&m, model, why);
    if (status == TC_OK && e->picture.crop == 0) e->picture = m.preprocess;
    if (status == TC_OK) status = ask(model, &m, &e->subject, why);
    if (status != TC_OK) {
        free(model->says);
        model->says = NULL;
    }
    cli_model_close(&m);
}

/* ---- which models */

static void add_model(examples *e, char *name, char *path, const report_facts *facts, int colour) {
    e->models[e->model_count++] =
        (example_model){.name = name, .path = path, .facts = facts, .colour = colour};
}

/* The path that a compression was given, from here or from beside its folder. */
static char *teacher_path(const report_run *run) {
    const char *path = run->teacher.path;
    if (!path || tc_path_exists(path) || path[0] == '/') return path ? tc_strdup(path) : NULL;
    char *within = tc_path_join(run->dir, path), *up = tc_path_join(run->dir, ".."),
         *beside = up ? tc_path_join(up, path) : NULL;
    bool in = within && tc_path_exists(within), by = beside && tc_path_exists(beside);
    char *found = tc_strdup(in ? within : by ? beside : path);
    free(within);
    free(up);
    free(beside);
    return found;
}

static char *stage_path(const report_stage *s) {
    char *folder = tc_path_join(s->dir, "model"), *file = tc_path_join(s->dir, "model.safetensors");
    bool is_file = file && tc_path_exists(file), is_folder = folder && tc_path_exists(folder);
    char *found = is_folder ? folder : is_file ? file : NULL;
    if (found != folder) free(folder);
    if (found != file) free(file);
    return found;
}

/* The teacher, and of one compression every stage, of several the last one of each; the last ones if there
 * are too many. */
static void list_models(examples *e, const report *r) {
    const report_stage *all[REPORT_RUNS * REPORT_STAGES];
    int run_of[REPORT_RUNS * REPORT_STAGES], n = 0;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            const report_stage *s = &r->runs[i].stages[k];
            if (!s->done || (r->count > 1 && s != report_result(&r->runs[i]))) continue;
            run_of[n] = i;
            all[n++] = s;
        }
    char *name = cli_new(8, 1);
    strcpy(name, "teacher");
    add_model(e, name, teacher_path(&r->runs[0]), report_teacher(r), 0);
    for (int i = n > EXAMPLE_MODELS - 1 ? n - (EXAMPLE_MODELS - 1) : 0; i < n; i++)
        add_model(e, report_model_name(r, &r->runs[run_of[i]], all[i]), stage_path(all[i]), &all[i]->facts,
                  r->count > 1 ? run_of[i] % REPORT_COLOURS + 1 : 1);
}

/* ---- which images */

static bool right(const examples *e, int model, int64_t position) {
    return e->models[model].says[position].index[0] == e->subject.label[position];
}

/* False if a model could not see it. */
static bool kind_of(const examples *e, int64_t position, example_kind *kind) {
    int good = 0, asked = 0;
    for (int i = 0; i < e->model_count; i++) {
        if (!e->models[i].says) continue;
        if (e->models[i].says[position].index[0] < 0) return false;
        asked++;
        good += right(e, i, position);
    }
    bool first = e->teacher && right(e, 0, position);
    *kind = good == asked          ? EXAMPLE_ALL
            : good == 0            ? EXAMPLE_NONE
            : first || !e->teacher ? EXAMPLE_LOST
                                   : EXAMPLE_GAINED;
    return true;
}

/* Up to `most` images of a kind: one of each class, then a second one of each, and so on. */
static void choose(examples *e, example_kind kind, int most) {
    int *used = cli_new((size_t)e->subject.classes, sizeof *used);
    bool *taken = cli_new((size_t)e->subject.selection.count, sizeof *taken);
    for (int i = 0; i < most && e->shown_count < EXAMPLE_MOST; i++) {
        int64_t best = -1;
        for (int64_t at = 0; at < e->subject.selection.count; at++) {
            example_kind k;
            int label = e->subject.label[at];
            if (taken[at] || label < 0 || !kind_of(e, at, &k) || k != kind) continue;
            if (best < 0 || used[label] < used[e->subject.label[best]]) best = at;
        }
        if (best < 0) break;
        taken[best] = true;
        used[e->subject.label[best]]++;
        e->shown[e->shown_count++] = (struct example_shown){best, kind};
    }
    free(used);
    free(taken);
}

/* A quarter of each kind; what one kind has too few of the others get. */
static void choose_all(examples *e, int count) {
    int quota[EXAMPLE_KINDS] = {0};
    for (int k = EXAMPLE_LOST; k < EXAMPLE_KINDS; k++) quota[k] = count / EXAMPLE_KINDS;
    for (int64_t at = 0; at < e->subject.selection.count; at++) {
        example_kind k;
        if (e->subject.label[at] < 0 || !kind_of(e, at, &k)) continue;
        e->of_kind[k]++;
        e->images++;
    }
    int left = count;
    for (int k = EXAMPLE_LOST; k < EXAMPLE_KINDS; k++) {
        if (quota[k] > e->of_kind[k]) quota[k] = (int)e->of_kind[k];
        left -= quota[k];
    }
    for (int k = 0; k < EXAMPLE_KINDS && left > 0; k++) {
        int64_t more = e->of_kind[k] - quota[k] < left ? e->of_kind[k] - quota[k] : left;
        quota[k] += (int)more;
        left -= (int)more;
    }
    for (example_kind k = 0; k < EXAMPLE_KINDS; k++) choose(e, k, quota[k]);
}

static void missing(tc_buf *b, const char *why) {
    tc_buf_puts(b, "<section id=\"examples\">\n<h2>Examples</h2>\n<p class=\"missing\">No examples: ");
    report_text(b, why);
    tc_buf_puts(b, ".</p>\n</section>\n");
}

tc_status report_examples(tc_buf *b, const report *r, int count, tc_error *err) {
    const report_data *d = &r->runs[0].eval;
    tc_error why = {0};
    tc_status status = TC_OK;
    if (count == 0) return TC_OK;
    if (!d->given) {
        missing(b, "the compression had no data to be measured on");
        return TC_OK;
    }
    examples *e = cli_new(1, sizeof *e);
    if (open_subject(&e->subject, d, &why) != TC_OK) {
        missing(b, why.message);
    } else {
        list_models(e, r);
        bool any = false;
        for (int i = 0; i < e->model_count; i++) {
            open_and_ask(e, &e->models[i]);
            any = any || (i > 0 && e->models[i].says);
        }
        cli_log_end();
        e->teacher = e->models[0].says != NULL;
        if (any) choose_all(e, count);
        if (any) status = report_cards(b, e, err);
        else
            missing(b,
                    e->model_count > 1 ? e->models[e->model_count - 1].why.message : "no stage is done yet");
    }
    for (int i = 0; i < e->model_count; i++) {
        free(e->models[i].name);
        free(e->models[i].path);
        free(e->models[i].says);
    }
    close_subject(&e->subject);
    free(e);
    return status;
}
