/* training.c - a training run as both train and distill start it: options into tc_train_options, signals into
 * a stop, the result into a report. */
#include "training.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_run_options[] = {
    {"--data", "D", CLI_FILE, offsetof(cli_run, data.spec), CLI_DATA_HELP, 0, 0, NULL},
    {"--split", "PART", CLI_CHOICE, offsetof(cli_run, data.split),
     "the part of the data; without it train for the named sets, all for the others" CLI_SPLIT_HELP, 0, 0,
     "train|test|all"},
    {"--templates", "F", CLI_FILE, offsetof(cli_run, data.templates),
     "prompt templates of labelled data, one a line, with {} in the place of the class; without it the "
     "data's own",
     0, 0, NULL},
    {"--caption-column", "C", CLI_TEXT, offsetof(cli_run, data.caption_column),
     "column of a .csv that holds the captions; without it found by its name", 0, 0, NULL},
    {"--image-column", "C", CLI_TEXT, offsetof(cli_run, data.image_column),
     "column of a .csv that holds the images; without it found by its name", 0, 0, NULL},
    {"--eval-data", "D", CLI_FILE, offsetof(cli_run, eval.spec),
     "data to measure on: zero-shot accuracy if it is labelled, else retrieval", 0, 0, NULL},
    {"--eval-split", "PART", CLI_CHOICE, offsetof(cli_run, eval.split),
     "the part of it; without it test for the named sets, all for the others", 0, 0, "train|test|all"},
    {"--eval-templates", "F", CLI_FILE, offsetof(cli_run, eval.templates),
     "its templates; without it its own", 0, 0, NULL},
    {"--resume", "DIR", CLI_MAYBE, offsetof(cli_run, resume),
     "go on with the run in the folder DIR, with the options that it keeps (DIR/run.json); options beside it "
     "tell what lies elsewhere now. Without DIR: with the run in --out, and all options as they were",
     0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

int cli_run_check(const cli_verb *verb, const cli_run *r, const char *out, bool evaluates) {
    if (!r->data.spec) return cli_usage(verb, "name the data with --data");
    if (!out) return cli_usage(verb, "name the folder for the result with --out");
    if ((evaluates || r->eval.split || r->eval.templates) && !r->eval.spec)
        return cli_usage(verb, "name the data to evaluate on with --eval-data");
    return CLI_DONE;
}

int cli_training_check(const cli_verb *verb, const training *t) {
    const tc_train_options *o = &t->options;
    int code = cli_run_check(verb, &t->run, o->out, o->eval_every || o->eval_limit);
    if (code == CLI_DONE && (o->steps > 0) == (o->epochs > 0))
        code = cli_usage(verb, "give one of --steps and --epochs");
    return code;
}

/* ---- signals: the first one finishes the step and saves; a second one ends the program as usual */

static volatile int stop_wanted;

static void on_signal(int number) {
    (void)number;
    stop_wanted = 1;
}

volatile int *cli_catch_signals(void) {
    struct sigaction a = {0};
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART | SA_RESETHAND;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    return &stop_wanted;
}

/* ---- records of compressions */

json_t *cli_record(const char *dir, tc_error *err) {
    json_error_t e;
    char *path = cli_path(dir, "compress.json");
    json_t *record = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!record) cli_fail(err, TC_EFORMAT, "%s: line %d: %s", path, e.line, e.text);
    else json_object_set_new(record, "output", cli_json_text(dir));
    free(path);
    return record;
}

/* ---- the run */

static int report(const training *t, const tc_train_result *r) {
    char spent[32];
    if (!t->run.common.json) {
        cli_duration(r->seconds, spent, sizeof spent);
        printf("steps %lld, loss %.4f, %s, %.1f pairs/s", (long long)r->steps, r->final_loss, spent,
               r->pairs_per_second);
        if (r->skipped_samples) printf(", %lld samples left out", (long long)r->skipped_samples);
        if (r->skipped_steps) printf(", %lld steps left out", (long long)r->skipped_steps);
        if (r->top1 >= 0) printf(", top-1 %.2f %%", 100 * r->top1);
        printf("\n");
        return CLI_DONE;
    }
    json_t *all = json_object();
    json_object_set_new(all, "output", cli_json_text(t->options.out));
    json_object_set_new(all, "steps", json_integer((json_int_t)r->steps));
    json_object_set_new(all, "final_loss", cli_json_real(r->final_loss));
    json_object_set_new(all, "seconds", cli_json_real(r->seconds));
    json_object_set_new(all, "pairs_per_second", cli_json_real(r->pairs_per_second));
    json_object_set_new(all, "skipped_samples", json_integer((json_int_t)r->skipped_samples));
    json_object_set_new(all, "skipped_steps", json_integer((json_int_t)r->skipped_steps));
    json_object_set_new(all, "top1", r->top1 >= 0 ? cli_json_real(r->top1) : json_null());
    return cli_print_json(all);
}

int cli_training_run(const training *t, tc_model *init, const char *path, const tc_model *teacher,
                     const tc_mask_options *masks) {
    tc_error err = {0};
    cli_model m;
    tc_data *data = NULL, *eval = NULL;
    tc_train_options o = t->options;
    tc_train_result r = {.top1 = -1};
    tc_status status = cli_model_adopt(&m, init, path, &t->run.common, CLI_TOKENIZER, &err);
    if (status == TC_OK) status = cli_data_open(&data, &t->run.data, "train", &err);
    if (status == TC_OK && t->run.eval.spec) status = cli_data_open(&eval, &t->run.eval, "test", &err);
    if (status == TC_OK) {
        o.init = m.model;
        o.teacher = teacher;
        o.masks = masks;
        o.data = data;
        o.eval_data = eval;
        o.tokenizer = m.tokenizer;
        o.preprocess = m.preprocess;
        if (o.teacher_cache && !o.cache_augmentations) o.cache_augmentations = CLI_CACHE_AUGMENTATIONS;
        o.resume = t->run.resume != NULL;
        o.restart = (const char *const *)t->run.restart;
        o.restart_count = t->run.restart_count;
        o.log = cli_log;
        o.stop = cli_catch_signals();
        status = tc_train(&o, NULL, &r, &err);
        cli_log_end();
    }
    if (data) tc_data_close(&data);
    if (eval) tc_data_close(&eval);
    cli_model_close(&m);
    return status == TC_OK ? report(t, &r) : cli_failed(&err);
}
