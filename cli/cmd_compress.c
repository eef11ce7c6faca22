/* cmd_compress.c - a whole compression: the stages of a recipe, one after the other. */
#include "training.h"

#include <stdlib.h>
#include <string.h>

typedef struct compress {
    cli_common common;
    cli_data_args data, eval;
    cli_goal goal;
    const char *recipe, *out, *teacher_cache;
    int64_t seed, workers, eval_every, eval_limit, stop_after;
    double speed_seconds;
    bool resume, dry_run;
} compress;

static const compress defaults = {.speed_seconds = 1};
static const cli_option options[] = {
    {"--recipe", "R", CLI_TEXT, offsetof(compress, recipe), "the recipe, a JSON file: see above", 0, 0, NULL},
    {"--data", "D", CLI_TEXT, offsetof(compress, data.spec), CLI_DATA_HELP, 0, 0, NULL},
    {"--out", "DIR", CLI_TEXT, offsetof(compress, out),
     "the folder for compress.json, the stages and the model", 0, 0, NULL},
    {"--keep", "P", CLI_TEXT, offsetof(compress, goal.keep),
     "goal of the last stage instead of the recipe's: " CLI_KEEP_HELP, 0, 0, NULL},
    {"--params", "N", CLI_TEXT, offsetof(compress, goal.params), CLI_PARAMS_HELP, 0, 0, NULL},
    {"--macs", "N", CLI_TEXT, offsetof(compress, goal.macs), CLI_MACS_HELP, 0, 0, NULL},
    {"--dry-run", NULL, CLI_FLAG, offsetof(compress, dry_run),
     "only tell what the stages will be, and memory and time at the speed of a few training steps; nothing "
     "is written, and TEACHER may be a "
     "configuration",
     0, 0, NULL},
    {"--resume", NULL, CLI_FLAG, offsetof(compress, resume),
     "go on with the compression in DIR, with the same recipe, teacher, data and seed", 0, 0, NULL},
    {"--seed", "N", CLI_INT, offsetof(compress, seed), "of the order, the augmentation and the masks", 0,
     9e15, NULL},
    {"--teacher-cache", "C", CLI_TEXT, offsetof(compress, teacher_cache),
     "the folder that keeps the teacher's features, if the recipe has cache_augmentations, for several "
     "compressions to share; without it "
     "DIR/teacher-cache",
     0, 0, NULL},
    {"--eval-data", "D", CLI_TEXT, offsetof(compress, eval.spec),
     "what the teacher and each stage are measured on: zero-shot accuracy if it is labelled, else retrieval",
     0, 0, NULL},
    {"--eval-every", "N", CLI_INT, offsetof(compress, eval_every),
     "steps between evaluations within a stage, on labelled data; 0: only at its end", 0, 1e12, NULL},
    {"--eval-limit", "N", CLI_INT, offsetof(compress, eval_limit), "samples of an evaluation; 0: all", 0,
     1e15, NULL},
    {"--speed-seconds", "S", CLI_REAL, offsetof(compress, speed_seconds),
     "time of each measurement of images and texts a second; 0: none", 0, 600, NULL},
    {"--stop-after", "N", CLI_INT, offsetof(compress, stop_after),
     "stop after this many steps of this run, with a checkpoint; 0: run to the end", 0, 1e12, NULL},
    {"--workers", "N", CLI_INT, offsetof(compress, workers), "threads that decode images; 0: chosen", 0, 1024,
     NULL},
    {"--split", "PART", CLI_CHOICE, offsetof(compress, data.split),
     "the part of the data; without it train for the named sets, all for the others" CLI_SPLIT_HELP, 0, 0,
     "train|test|all"},
    {"--templates", "F", CLI_TEXT, offsetof(compress, data.templates),
     "prompt templates of labelled data, one a line, with {} in the place of the class; without it the "
     "data's own",
     0, 0, NULL},
    {"--caption-column", "C", CLI_TEXT, offsetof(compress, data.caption_column),
     "column of a .csv that holds the captions; without it found by its name", 0, 0, NULL},
    {"--image-column", "C", CLI_TEXT, offsetof(compress, data.image_column),
     "column of a .csv that holds the images; without it found by its name", 0, 0, NULL},
    {"--eval-split", "PART", CLI_CHOICE, offsetof(compress, eval.split),
     "the part of the data for evaluation; without it test for the named sets, all for the others", 0, 0,
     "train|test|all"},
    {"--eval-templates", "F", CLI_TEXT, offsetof(compress, eval.templates),
     "its templates; without it its own", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* ---- what it is going to be */

static void print_stage(const char *number, const char *name, int64_t params, int64_t without_tokens,
                        double keep, double macs, int64_t steps) {
    char a[32], b[32];
    printf("%-3s %-20.20s %13s %13s %6.1f %8.3f ", number, name, cli_grouped(params, a, sizeof a),
           cli_grouped(without_tokens, b, sizeof b), 100 * keep, macs / 1e9);
    if (steps) printf("%9lld\n", (long long)steps);
    else printf("%9s\n", "");
}

static void print_details(const tc_planned_stage *s, int number) {
    char time[32];
    cli_duration(s->seconds, time, sizeof time);
    printf("\nstage %d, \"%s\": %s inheritance, %lld steps of %d pairs", number, s->name,
           s->automatic ? "automatic" : "manual", (long long)s->steps, s->batch);
    if (s->automatic) printf(", masks folded after %lld", (long long)s->fold_step);
    printf("\n  image tower%s: %s\n  text tower%s: %s\n", s->automatic ? ", for example" : "", s->vision,
           s->automatic ? ", for example" : "", s->text);
    printf("  memory %zu MB with captions of 12 tokens, at most %zu MB; about %s\n", (s->memory >> 20) + 1,
           (s->memory_most >> 20) + 1, time);
}

static int print_plan(const char *teacher, const tc_compress_plan *p) {
    char number[16], time[32];
    printf("%s: %d stage%s from %s, %d threads, %s\n\n", p->name, p->count, p->count == 1 ? "" : "s", teacher,
           tc_threads(), tc_cpu_level());
    printf("%-24s %13s %13s %6s %8s %9s\n", "stage", "parameters", "(no tokens)", "left %", "GMACs", "steps");
    print_stage("", "teacher", p->teacher_params, p->teacher_params_without_tokens, 1,
                p->teacher_macs_image + p->teacher_macs_text, 0);
    for (int k = 0; k < p->count; k++) {
        const tc_planned_stage *s = &p->stages[k];
        snprintf(number, sizeof number, "%d", k + 1);
        print_stage(number, s->name, s->params, s->params_without_tokens, s->keep,
                    s->macs_image + s->macs_text, s->steps);
    }
    printf("left: of the teacher's parameters in attention and FFN (ResNet: in convolutions within blocks). "
           "What an automatic stage leaves is decided\n"
           "by its masks; here all blocks keep the same part.\n");
    for (int k = 0; k < p->count; k++) print_details(&p->stages[k], k + 1);
    cli_duration(p->seconds, time, sizeof time);
    printf("\nall stages: about %s\n", time);
    return CLI_DONE;
}

static json_t *plan_stage_json(const tc_planned_stage *s) {
    json_t *j = json_object();
    json_object_set_new(j, "name", cli_json_text(s->name));
    json_object_set_new(j, "inheritance", json_string(s->automatic ? "auto" : "manual"));
    json_object_set_new(j, "steps", json_integer((json_int_t)s->steps));
    json_object_set_new(j, "fold_step", json_integer((json_int_t)s->fold_step));
    json_object_set_new(j, "batch", json_integer(s->batch));
    json_object_set_new(j, "params", json_integer((json_int_t)s->params));
    json_object_set_new(j, "params_without_tokens", json_integer((json_int_t)s->params_without_tokens));
    json_object_set_new(j, "params_prunable", json_integer((json_int_t)s->params_prunable));
    json_object_set_new(j, "keep", cli_json_real(s->keep));
    json_object_set_new(j, "macs_image", cli_json_real(s->macs_image));
    json_object_set_new(j, "macs_text", cli_json_real(s->macs_text));
    json_object_set_new(j, "vision", json_string(s->vision));
    json_object_set_new(j, "text", json_string(s->text));
    json_object_set_new(j, "memory", json_integer((json_int_t)s->memory));
    json_object_set_new(j, "memory_most", json_integer((json_int_t)s->memory_most));
    json_object_set_new(j, "seconds", cli_json_real(s->seconds));
    return j;
}

static int print_plan_json(const char *teacher, const tc_compress_plan *p) {
    json_t *all = json_object(), *stages = json_array(), *t = json_object();
    for (int k = 0; k < p->count; k++) json_array_append_new(stages, plan_stage_json(&p->stages[k]));
    json_object_set_new(t, "path", cli_json_text(teacher));
    json_object_set_new(t, "params", json_integer((json_int_t)p->teacher_params));
    json_object_set_new(t, "params_without_tokens",
                        json_integer((json_int_t)p->teacher_params_without_tokens));
    json_object_set_new(t, "params_prunable", json_integer((json_int_t)p->teacher_params_prunable));
    json_object_set_new(t, "macs_image", cli_json_real(p->teacher_macs_image));
    json_object_set_new(t, "macs_text", cli_json_real(p->teacher_macs_text));
    json_object_set_new(all, "recipe_name", cli_json_text(p->name));
    json_object_set_new(all, "teacher", t);
    json_object_set_new(all, "stages", stages);
    json_object_set_new(all, "seconds", cli_json_real(p->seconds));
    return cli_print_json(all);
}

static int dry_run(const compress *o, const char *teacher, const tc_compress_options *c) {
    tc_error err = {0};
    tc_compress_plan *p = cli_new(1, sizeof *p);
    tc_status status = tc_compress_plan_make(c, true, p, &err);
    cli_log_end();
    int code = status != TC_OK  ? cli_failed(&err)
               : o->common.json ? print_plan_json(teacher, p)
                                : print_plan(teacher, p);
    free(p);
    return code;
}

/* ---- what it was */

static double real_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void print_result(const json_t *m, const char *name, double teacher_prunable) {
    char params[32], time[32];
    const json_t *top1 = json_object_get(m, "top1"), *retrieval = json_object_get(m, "retrieval"),
                 *speed = json_object_get(m, "images_per_second");
    printf("%-20.20s %13s %6.1f %8.3f", name,
           cli_grouped((int64_t)json_integer_value(json_object_get(m, "params_without_tokens")), params,
                       sizeof params),
           100 * real_of(m, "params_prunable") / (teacher_prunable > 0 ? teacher_prunable : 1),
           (real_of(m, "macs_image") + real_of(m, "macs_text")) / 1e9);
    if (json_is_number(top1)) printf(" %8.2f", 100 * json_number_value(top1));
    else if (json_is_object(retrieval))
        printf(" %8.2f", 100 * real_of(json_object_get(retrieval, "image_to_text"), "r1"));
    else printf(" %8s", "-");
    if (json_is_number(speed))
        printf(" %10.1f %10.1f", json_number_value(speed), real_of(m, "texts_per_second"));
    else printf(" %10s %10s", "-", "-");
    cli_duration(real_of(m, "seconds"), time, sizeof time);
    printf(" %9s\n", json_object_get(m, "seconds") ? time : "");
}

static int print_record(const compress *o, const tc_compress_result *r) {
    tc_error err = {0};
    json_t *record = NULL, *s;
    json_error_t e;
    char *path = cli_path(o->out, "compress.json");
    size_t k;
    record = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!record) cli_fail(&err, TC_EFORMAT, "%s: line %d: %s", path, e.line, e.text);
    free(path);
    if (!record) return cli_failed(&err);
    if (o->common.json) return cli_print_json(record);
    const json_t *teacher = json_object_get(record, "teacher"), *eval = json_object_get(record, "eval_data");
    bool pairs = json_is_object(eval) && !json_is_number(json_object_get(teacher, "top1"));
    printf("%-20s %13s %6s %8s %8s %10s %10s %9s\n", "", "parameters*", "left %", "GMACs",
           pairs ? "R@1 %**" : "top-1 %", "images/s", "texts/s", "time");
    print_result(teacher, "teacher", real_of(teacher, "params_prunable"));
    json_array_foreach(json_object_get(record, "stages"), k, s) if (json_is_true(json_object_get(s, "done")))
        print_result(s, json_string_value(json_object_get(s, "name")), real_of(teacher, "params_prunable"));
    printf("* without the token table%s\n", pairs ? "; ** from image to text" : "");
    if (r->finished) printf("%s: complete\n", o->out);
    else printf("%s: %d of %d stages are done; go on with --resume\n", o->out, r->stages_done, r->stages);
    json_decref(record);
    return CLI_DONE;
}

/* ---- running */

static tc_compress_options compress_options(const compress *o) {
    tc_compress_options c = tc_compress_options_default();
    c.out = o->out;
    c.recipe = o->recipe;
    c.seed = (uint64_t)o->seed;
    c.workers = (int)o->workers;
    c.eval_every = o->eval_every;
    c.eval_limit = o->eval_limit;
    c.speed_seconds = o->speed_seconds;
    c.stop_after = o->stop_after;
    c.resume = o->resume;
    c.teacher_cache = o->teacher_cache;
    c.log = cli_log;
    return c;
}

static int run_with(const compress *o, const char *path, tc_compress_options *c) {
    tc_error err = {0};
    cli_model m = {0};
    tc_data *data = NULL, *eval = NULL;
    tc_compress_result r = {0};
    tc_status status =
        cli_model_open(&m, path, &o->common, CLI_TOKENIZER | (o->dry_run ? CLI_CONFIGS : 0), &err);
    if (status == TC_OK) status = cli_data_open(&data, &o->data, "train", &err);
    if (status == TC_OK && o->eval.spec) status = cli_data_open(&eval, &o->eval, "test", &err);
    int code = CLI_DONE;
    if (status == TC_OK) {
        c->teacher = m.model;
        c->data = data;
        c->eval_data = eval;
        c->tokenizer = m.tokenizer;
        c->preprocess = m.preprocess;
        c->stop = cli_catch_signals();
        if (o->dry_run) code = dry_run(o, path, c);
        else status = tc_compress(c, &r, &err);
        cli_log_end();
    }
    if (status != TC_OK) code = cli_failed(&err);
    else if (!o->dry_run) code = print_record(o, &r);
    tc_data_close(&data);
    tc_data_close(&eval);
    cli_model_close(&m);
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    compress o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    tc_compress_options c = compress_options(&o);
    if (!o.recipe) code = cli_usage(verb, "name the recipe with --recipe");
    else if (!o.data.spec) code = cli_usage(verb, "name the data with --data");
    else if (!o.out) code = cli_usage(verb, "name the folder for the result with --out");
    else code = cli_eval_check(verb, &o.eval, o.eval_every, o.eval_limit);
    if (code == CLI_DONE) code = cli_goal_read(verb, &o.goal, &c.keep, &c.params, &c.macs);
    if (code == CLI_DONE) {
        const char **command = cli_new((size_t)argc + 2, sizeof *command);
        command[0] = "tinyclip";
        command[1] = verb->name;
        for (int i = 0; i < argc; i++) command[i + 2] = argv[i];
        c.command = command;
        c.command_count = argc + 2;
        code = run_with(&o, args.items[0], &c);
        free(command);
    }
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_compress = {
    .name = "compress",
    .summary = "make a model smaller in stages, by a recipe",
    .usage = "TEACHER --recipe R.json --data D --out DIR [options]\nTEACHER --recipe R.json --data D --out "
             "DIR --dry-run",
    .description = "Runs the stages of a recipe: each starts from the result of the one before and learns "
                   "from the teacher's affinities. In an automatic stage "
                   "masks "
                   "over widths, heads and FFN channels (of a ResNet the channels within its blocks) are "
                   "learnt and then folded into the weights; in a manual "
                   "one "
                   "the student of a given configuration inherits. Recipe, data, teacher and folder are "
                   "checked before anything is computed.\n"
                   "DIR gets compress.json (what ran, and what was measured of the teacher and each stage), "
                   "a folder stage-1, stage-2 ... for each stage as "
                   "train "
                   "leaves it, and at the end the model: DIR/model or, of what a Hugging Face folder cannot "
                   "hold, DIR/model.safetensors. Stopped or killed "
                   "anywhere, "
                   "--resume goes on to the same model bit for bit.\n"
                   "A recipe is a JSON object: name; description and source (optional); train (for all "
                   "stages: batch, lr, warmup_steps, weight_decay, beta1, "
                   "beta2, "
                   "eps, clip, alpha, logit_scale, crop_scale_min, flip, checkpoint_every; what is not given "
                   "is as published); cache_augmentations (views of a "
                   "sample whose teacher features are kept; 0: none are); stages, a list. A stage has name, "
                   "inheritance, steps or epochs, and train with what "
                   "is "
                   "different in it. \"inheritance\": \"auto\" has keep (part of the teacher's parameters in "
                   "attention and FFN), params (without the token "
                   "table) "
                   "or macs; fold_step; target_warmup and mask_lr (optional). \"manual\" has student, the "
                   "name of a built-in configuration or a configuration. "
                   "The folder recipes of the sources holds the published ones.",
    .examples = "tinyclip compress teacher --recipe recipes/auto-vit-b-32.json --data pairs.csv --out small "
                "--dry-run\n"
                "tinyclip compress build/demo/teacher/model --recipe recipes/small-auto.json --data "
                "fashion-mnist --eval-data fashion-mnist --out small\n"
                "tinyclip compress teacher --recipe r.json --data pairs/ --out small --keep 30% --resume",
    .options = options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 1,
    .run = run};
