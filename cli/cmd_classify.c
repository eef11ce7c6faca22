/* cmd_classify.c - zero-shot classification: which label fits each image best. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct classify {
    cli_common common;
    const char *labels, *labels_file;
    cli_list templates;
    int64_t top;
} classify;

static const classify defaults = {.top = 5};
static const cli_option options[] = {
    {"--labels", "A,B,...", CLI_TEXT, offsetof(classify, labels), "the labels, separated by commas", 0, 0,
     NULL},
    {"--labels-file", "F", CLI_TEXT, offsetof(classify, labels_file), "a file with one label a line", 0, 0,
     NULL},
    {"--template", "TEXT", CLI_LIST, offsetof(classify, templates),
     "a prompt with {} in the place of the label, by itself \"a photo of a {}.\"; the embeddings of several "
     "are averaged",
     0, 0, NULL},
    {"--top", "K", CLI_INT, offsetof(classify, top), "labels to print for an image", 1, 1e9, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* What is computed once: a unit row for each label. */
typedef struct classifier {
    cli_model model;
    cli_list labels;
    float *weights; /* [labels,E] */
    float scale;
    int top;
    bool json;
} classifier;

static void split_labels(const char *text, cli_list *out) {
    char *copy = cli_text("%s", text);
    for (char *at = copy, *end; at; at = end) {
        end = strchr(at, ',');
        if (end) *end++ = '\0';
        at += strspn(at, " ");
        size_t n = strlen(at);
        while (n && at[n - 1] == ' ') at[--n] = '\0';
        if (n) cli_list_add(out, at);
    }
    free(copy);
}

static tc_status make_weights(classifier *c, const classify *o, tc_error *err) {
    int n = (int)o->templates.count, labels = (int)c->labels.count;
    c->weights = cli_new((size_t)labels * (size_t)c->model.info->embed_dim, sizeof *c->weights);
    for (int i = 0; i < n; i++)
        if (!strstr(o->templates.items[i], "{}"))
            return cli_fail(err, TC_EARG, "--template '%s': there is no {} in it", o->templates.items[i]);
    tc_status status = tc_zeroshot_weights(
        c->model.session, c->model.tokenizer, (const char *const *)c->labels.items, labels,
        (const char *const *)o->templates.items, n, cli_log, NULL, c->weights, err);
    c->scale = (float)exp((double)c->model.info->logit_scale);
    c->top = o->top < labels ? (int)o->top : labels;
    c->json = o->common.json;
    return status;
}

static json_t *json_row(const classifier *c, const char *path, const float *probability, const int *best) {
    json_t *predictions = json_array(), *row = json_object();
    for (int k = 0; k < c->top; k++) {
        json_t *one = json_object();
        json_object_set_new(one, "label", cli_json_text(c->labels.items[best[k]]));
        json_object_set_new(one, "probability", cli_json_real((double)probability[best[k]]));
        json_array_append_new(predictions, one);
    }
    json_object_set_new(row, "image", cli_json_text(path));
    json_object_set_new(row, "predictions", predictions);
    return row;
}

static void print_row(const classifier *c, const char *path, const float *probability, const int *best) {
    printf("%s\n", path);
    for (int k = 0; k < c->top; k++)
        printf("  %8.4f  %s\n", (double)probability[best[k]], c->labels.items[best[k]]);
}

static json_t *json_bad(const char *path, const tc_error *error) {
    json_t *row = json_object();
    json_object_set_new(row, "image", cli_json_text(path));
    json_object_set_new(row, "error", cli_json_error(tc_status_name(error->status), error->message));
    return row;
}

/* A pass over the images, and where its results go. */
typedef struct answers {
    cli_watch watch;
    const classifier *c;
    const cli_list *images;
    json_t *results; /* one for each image, in their order; or NULL: they are printed as they come */
    int64_t bad;     /* images that could not be read */
} answers;

static void tell_bad(void *user, int64_t i, const tc_error *error) {
    answers *a = user;
    tc_error told = *error;
    if (told.status == TC_EIO) cli_suggest(&told, a->images->items[i], CLI_KNOWN_FILES);
    cli_say("%s", told.message);
    a->bad++;
    if (a->results) json_array_set_new(a->results, (size_t)i, json_bad(a->images->items[i], &told));
}

static void answer_batch(const answers *a, int n, const int64_t *index, const float *embeds) {
    const classifier *c = a->c;
    int labels = (int)c->labels.count;
    float *p = cli_new((size_t)n * (size_t)labels, sizeof *p);
    int *best = cli_new((size_t)c->top, sizeof *best);
    tc_logits(embeds, c->weights, n, labels, c->model.info->embed_dim, c->scale, p);
    tc_softmax(p, n, labels);
    for (int i = 0; i < n; i++) {
        const float *row = p + (int64_t)i * labels;
        const char *path = a->images->items[index[i]];
        tc_top_k(row, labels, c->top, best);
        if (a->results) json_array_set_new(a->results, (size_t)index[i], json_row(c, path, row, best));
        else print_row(c, path, row, best);
    }
    free(p);
    free(best);
}

static tc_status answer_all(answers *a, tc_error *err) {
    tc_image_pass_options o = cli_pass_options(&a->c->model, a->images);
    tc_image_pass *pass;
    const int64_t *index;
    const float *embeds;
    int n = 1;
    o.normalize = true;
    o.on_bad = tell_bad;
    o.user = a;
    if (!a->results) o.on_progress = NULL;
    tc_status status = tc_image_pass_open(&pass, a->c->model.session, &o, err);
    while (status == TC_OK && n > 0) {
        status = tc_image_pass_next(pass, &n, &index, &embeds, err);
        if (status == TC_OK && n > 0) answer_batch(a, n, index, embeds);
    }
    tc_image_pass_close(&pass);
    cli_log_end();
    return status;
}

static tc_status classify_all(const classifier *c, const cli_list *images, int64_t *bad, tc_error *err) {
    answers a = {.watch = {"images", cli_now()}, .c = c, .images = images};
    if (c->json) a.results = json_array();
    for (size_t i = 0; i < images->count && c->json; i++) json_array_append_new(a.results, json_null());
    tc_status status = answer_all(&a, err);
    *bad = a.bad;
    if (status == TC_OK && c->json) {
        json_t *whole = json_object();
        json_object_set(whole, "results", a.results);
        cli_print_json(whole);
    }
    json_decref(a.results);
    return status;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    classify o = defaults;
    cli_list args = {0}, images = {0}, names = {0};
    tc_error err = {0};
    classifier c = {0};
    int code;
    int64_t bad = 0;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    if (!o.labels == !o.labels_file) {
        code = cli_usage(verb, "give the labels with --labels or with --labels-file");
        goto out;
    }
    tc_status status = TC_OK;
    if (o.labels) split_labels(o.labels, &c.labels);
    else status = cli_lines(o.labels_file, false, &c.labels, &err);
    if (status == TC_OK && c.labels.count == 0)
        status = cli_fail(&err, TC_EARG, "%s: there are no labels", o.labels ? "--labels" : o.labels_file);
    for (size_t i = 1; i < args.count; i++) cli_list_add(&names, args.items[i]);
    if (status == TC_OK) status = cli_images(&names, &images, &err);
    if (status == TC_OK)
        status = cli_model_open(&c.model, args.items[0], &o.common, CLI_TOKENIZER | CLI_SESSION, &err);
    if (status == TC_OK) status = make_weights(&c, &o, &err);
    if (status == TC_OK) status = classify_all(&c, &images, &bad, &err);
    code = bad ? CLI_FAILED : CLI_DONE;
    if (status != TC_OK) code = cli_failed(&err);
out:
    cli_model_close(&c.model);
    free(c.weights);
    cli_list_free(&c.labels);
    cli_list_free(&images);
    cli_list_free(&names);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_classify = {
    .name = "classify",
    .summary = "name the label that fits each image best",
    .usage = "MODEL IMAGE... --labels cat,dog [options]\nMODEL IMAGE... --labels-file F [options]",
    .description =
        "Zero-shot classification. Each label is put into the templates and embedded; an image "
        "gets the softmax over the labels of the model's logit "
        "scale "
        "times the cosine of the two embeddings. The article of a label (\"a cat\") takes the place of the "
        "template's; otherwise the words of the template stay as they are.\nAn image that cannot be read is "
        "reported, the "
        "others are classified, and the exit code is 1; with "
        "--json such an image has an \"error\" in place of its \"predictions\".",
    .examples = "tinyclip classify model photo.jpg --labels cat,dog,bird\n"
                "tinyclip classify model photos/ --labels-file labels.txt --template \"a photo of a {}.\" "
                "--template \"a drawing of a {}.\" --top 3\n"
                "find . -name '*.jpg' | tinyclip classify model - --labels-file labels.txt --json",
    .options = options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 2,
    .most_args = -1,
    .run = run};
