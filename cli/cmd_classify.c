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

/* One batch: prints it, or adds it to `results`. *bad counts the images that could not be read. */
static tc_status classify_batch(classifier *c, char *const *paths, int n, json_t *results, int64_t *bad,
                                tc_error *err) {
    int labels = (int)c->labels.count;
    float *embeds = cli_new((size_t)n * (size_t)c->model.info->embed_dim, sizeof *embeds),
          *p = cli_new((size_t)n * (size_t)labels, sizeof *p);
    tc_error *errors = cli_new((size_t)n, sizeof *errors);
    int *best = cli_new((size_t)c->top, sizeof *best);
    tc_status status = cli_embed_images(&c->model, paths, n, embeds, errors, err);
    if (status == TC_OK) {
        tc_normalize(embeds, n, c->model.info->embed_dim);
        tc_logits(embeds, c->weights, n, labels, c->model.info->embed_dim, c->scale, p);
        tc_softmax(p, n, labels);
    }
    for (int i = 0; i < n && status == TC_OK; i++) {
        if (errors[i].status != TC_OK) {
            cli_say("%s", errors[i].message);
            ++*bad;
            if (c->json) json_array_append_new(results, json_bad(paths[i], &errors[i]));
            continue;
        }
        tc_top_k(p + (int64_t)i * labels, labels, c->top, best);
        if (c->json) json_array_append_new(results, json_row(c, paths[i], p + (int64_t)i * labels, best));
        else print_row(c, paths[i], p + (int64_t)i * labels, best);
    }
    free(embeds);
    free(p);
    free(errors);
    free(best);
    return status;
}

static tc_status classify_all(classifier *c, const cli_list *images, int64_t *bad, tc_error *err) {
    json_t *results = c->json ? json_array() : NULL;
    tc_status status = TC_OK;
    double start = cli_now();
    for (size_t at = 0; at < images->count && status == TC_OK; at += CLI_BATCH) {
        int n = images->count - at < CLI_BATCH ? (int)(images->count - at) : CLI_BATCH;
        status = classify_batch(c, images->items + at, n, results, bad, err);
        if (c->json && status == TC_OK) cli_progress("images", at + (size_t)n, images->count, start);
    }
    cli_log_end();
    if (status == TC_OK && c->json) {
        json_t *whole = json_object();
        json_object_set(whole, "results", results);
        cli_print_json(whole);
    }
    json_decref(results);
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
    code = status != TC_OK ? cli_failed(&err) : bad ? CLI_FAILED : CLI_DONE;
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
