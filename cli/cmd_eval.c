/* cmd_eval.c - accuracy of a model: zero-shot classification or retrieval. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct eval {
    cli_common common;
    cli_data_args data;
    int64_t limit;
} eval;

static const eval defaults = {0};
static const cli_option options[] = {
    {"--data", "D", CLI_TEXT, offsetof(eval, data.spec), CLI_DATA_HELP, 0, 0, NULL},
    {"--split", "PART", CLI_CHOICE, offsetof(eval, data.split),
     "the part of the data; without it test for the named sets, all for the others" CLI_SPLIT_HELP, 0, 0,
     "train|test|all"},
    {"--templates", "F", CLI_TEXT, offsetof(eval, data.templates),
     "prompt templates, one a line, with {} in the place of the class; without it the data's own", 0, 0,
     NULL},
    {"--caption-column", "C", CLI_TEXT, offsetof(eval, data.caption_column),
     "column of a .csv that holds the captions; without it found by its name", 0, 0, NULL},
    {"--image-column", "C", CLI_TEXT, offsetof(eval, data.image_column),
     "column of a .csv that holds the images; without it found by its name", 0, 0, NULL},
    {"--limit", "N", CLI_INT, offsetof(eval, limit), "samples to look at, evenly spaced; 0: all", 0, 1e15,
     NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* ---- zero-shot */

static json_t *class_list(const tc_data *d, const tc_zeroshot_result *r) {
    json_t *classes = json_array();
    for (int c = 0; c < r->classes; c++) {
        json_t *one = json_object();
        json_object_set_new(one, "name", cli_json_text(tc_data_class_name(d, c)));
        json_object_set_new(one, "images", json_integer((json_int_t)r->class_count[c]));
        json_object_set_new(one, "right", json_integer((json_int_t)r->class_correct[c]));
        json_object_set_new(one, "accuracy",
                            r->class_count[c]
                                ? json_real((double)r->class_correct[c] / (double)r->class_count[c])
                                : json_null());
        json_array_append_new(classes, one);
    }
    return classes;
}

static int print_zeroshot(const tc_data *d, const tc_zeroshot_result *r, bool json) {
    if (json) {
        json_t *all =
            json_pack("{s:s, s:I, s:I, s:f, s:f}", "task", "zeroshot", "images", (json_int_t)r->images,
                      "skipped", (json_int_t)r->skipped, "top1", r->top1, "top5", r->top5);
        json_object_set_new(all, "classes", class_list(d, r));
        return cli_print_json(all);
    }
    printf("images  %lld", (long long)r->images);
    if (r->skipped) printf(" (%lld left out)", (long long)r->skipped);
    printf("\ntop-1   %.2f %%\ntop-5   %.2f %%\n\n%7s %7s %9s  class\n", 100 * r->top1, 100 * r->top5,
           "images", "correct", "accuracy");
    for (int c = 0; c < r->classes; c++) {
        printf("%7lld %7lld ", (long long)r->class_count[c], (long long)r->class_correct[c]);
        if (r->class_count[c])
            printf("%7.2f %%  %s\n", 100.0 * (double)r->class_correct[c] / (double)r->class_count[c],
                   tc_data_class_name(d, c));
        else printf("%9s  %s\n", "-", tc_data_class_name(d, c));
    }
    return CLI_DONE;
}

static int zeroshot(const cli_model *m, const tc_data *d, const eval *o) {
    tc_error err = {0};
    tc_zeroshot_result r = {0};
    if (tc_eval_zeroshot(m->model, d, m->tokenizer, &m->preprocess, o->limit, cli_log, NULL, &r, &err) !=
        TC_OK)
        return cli_failed(&err);
    cli_log_end();
    int code = print_zeroshot(d, &r, o->common.json);
    tc_zeroshot_result_free(&r);
    return code;
}

/* ---- retrieval */

static void add_direction(json_t *to, const char *name, const tc_retrieval_direction *d) {
    const struct {
        const char *key;
        double value;
    } figures[] = {{"r1", d->r1},
                   {"r5", d->r5},
                   {"r10", d->r10},
                   {"mean_rank", d->mean_rank},
                   {"median_rank", d->median_rank}};
    json_t *direction = json_object();
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(direction, figures[i].key, cli_json_real(figures[i].value));
    json_object_set_new(to, name, direction);
}

static void print_direction(const char *name, const tc_retrieval_direction *d) {
    printf("%-14s %8.2f %8.2f %8.2f %10.2f %11.1f\n", name, 100 * d->r1, 100 * d->r5, 100 * d->r10,
           d->mean_rank, d->median_rank);
}

static int retrieval(const cli_model *m, const tc_data *d, const eval *o) {
    tc_error err = {0};
    tc_retrieval_result r;
    if (tc_eval_retrieval(m->model, d, m->tokenizer, &m->preprocess, o->limit, cli_log, NULL, &r, &err) !=
        TC_OK)
        return cli_failed(&err);
    cli_log_end();
    if (o->common.json) {
        json_t *all = json_pack("{s:s, s:I, s:I}", "task", "retrieval", "pairs", (json_int_t)r.pairs,
                                "skipped", (json_int_t)r.skipped);
        add_direction(all, "image_to_text", &r.image_to_text);
        add_direction(all, "text_to_image", &r.text_to_image);
        return cli_print_json(all);
    }
    printf("pairs  %lld", (long long)r.pairs);
    if (r.skipped) printf(" (%lld left out)", (long long)r.skipped);
    printf("\n\n%-14s %8s %8s %8s %10s %11s\n", "", "R@1 %", "R@5 %", "R@10 %", "mean rank", "median rank");
    print_direction("image to text", &r.image_to_text);
    print_direction("text to image", &r.text_to_image);
    return CLI_DONE;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    eval o = defaults;
    cli_list args = {0};
    tc_error err = {0};
    cli_model m = {0};
    tc_data *d = NULL;
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    bool is_zeroshot = strcmp(args.items[1], "zeroshot") == 0;
    if (!is_zeroshot && strcmp(args.items[1], "retrieval") != 0) {
        bool swapped = strcmp(args.items[0], "zeroshot") == 0 || strcmp(args.items[0], "retrieval") == 0;
        cli_nearest near = {.word = args.items[1]};
        cli_nearest_offer(&near, "zeroshot");
        cli_nearest_offer(&near, "retrieval");
        code = swapped ? cli_usage(verb, "the model comes first: tinyclip eval %s %s", args.items[1],
                                   args.items[0])
                       : cli_usage(verb, "'%s' is none of zeroshot, retrieval%s", args.items[1], near.text);
    } else if (!o.data.spec) {
        code = cli_usage(verb, "name the data with --data");
    } else {
        tc_status status = cli_data_open(&d, &o.data, "test", &err);
        if (status == TC_OK && tc_data_skipped(d)[0]) cli_say("left out: %s", tc_data_skipped(d));
        if (status == TC_OK) status = cli_model_open(&m, args.items[0], &o.common, CLI_TOKENIZER, &err);
        if (status != TC_OK) code = cli_failed(&err);
        else code = is_zeroshot ? zeroshot(&m, d, &o) : retrieval(&m, d, &o);
    }
    cli_model_close(&m);
    if (d) tc_data_close(&d);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_eval = {
    .name = "eval",
    .summary = "measure accuracy: zero-shot classification or retrieval",
    .usage = "MODEL zeroshot --data D [options]\nMODEL retrieval --data D [options]",
    .description = "zeroshot: top-1 and top-5 accuracy and that of each class, for labelled data; the "
                   "embeddings of a class's "
                   "prompts are averaged and made unit length "
                   "again.\nretrieval: how often the right text is among the first 1, 5, 10 of all for a "
                   "picture, and the "
                   "right picture for a text; mean and median rank; one "
                   "caption a picture.\nImages that cannot be read are left out and counted.",
    .examples = "tinyclip eval model zeroshot --data fashion-mnist\n"
                "tinyclip eval model retrieval --data tuxpaint\n"
                "tinyclip eval model zeroshot --data idx:images.idx,labels.idx,classes.txt --templates "
                "templates.txt --json",
    .options = options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 2,
    .most_args = 2,
    .run = run};
