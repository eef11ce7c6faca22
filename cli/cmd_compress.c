/* cmd_compress.c - a whole compression: the stages of a recipe, one after the other. */
#include "training.h"

#include <stdlib.h>
#include <string.h>

typedef struct compress {
    cli_run run;
    tc_compress_options options;
    bool dry_run;
} compress;

static compress defaults;
static void prepare(void) { defaults.options = tc_compress_options_default(); }
static const cli_settings settings[] = {{tc_compress_setting, offsetof(compress, options), 0}, {NULL, 0, 0}};
static const cli_option options[] = {
    {"--dry-run", NULL, CLI_FLAG, offsetof(compress, dry_run),
     "only tell what the stages will be, and memory and time at the speed of a few training steps; nothing "
     "is written, and TEACHER may be a configuration",
     0, 0, NULL},
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
    cli_print_prose(
        "left: of the teacher's parameters in attention and FFN (ResNet: in convolutions within blocks). "
        "What an automatic stage leaves is decided by its masks; here all blocks keep the same part.");
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
    json_object_set_new(j, "macs_image", json_integer((json_int_t)s->macs_image));
    json_object_set_new(j, "macs_text", json_integer((json_int_t)s->macs_text));
    json_object_set_new(j, "vision_summary", json_string(s->vision));
    json_object_set_new(j, "text_summary", json_string(s->text));
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
    json_object_set_new(t, "macs_image", json_integer((json_int_t)p->teacher_macs_image));
    json_object_set_new(t, "macs_text", json_integer((json_int_t)p->teacher_macs_text));
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
    int code;
    if (status != TC_OK) code = cli_failed(&err);
    else code = o->run.common.json ? print_plan_json(teacher, p) : print_plan(teacher, p);
    free(p);
    return code;
}

/* ---- what it was */

static double real_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void print_result(const json_t *m, const char *name, double teacher_prunable) {
    char params[32], time[32];
    const json_t *top1 = json_object_get(m, "top1");
    const json_t *retrieval = json_object_get(m, "retrieval");
    const json_t *speed = json_object_get(m, "images_per_second");
    printf("%-18.18s %12s %6.1f %7.3f", name,
           cli_grouped((int64_t)json_integer_value(json_object_get(m, "params_without_tokens")), params,
                       sizeof params),
           100 * real_of(m, "params_prunable") / (teacher_prunable > 0 ? teacher_prunable : 1),
           (real_of(m, "macs_image") + real_of(m, "macs_text")) / 1e9);
    if (json_is_number(top1)) printf(" %7.2f", 100 * json_number_value(top1));
    else if (json_is_object(retrieval))
        printf(" %7.2f", 100 * real_of(json_object_get(retrieval, "image_to_text"), "r1"));
    else printf(" %7s", "-");
    if (json_is_number(speed))
        printf(" %8.1f %8.1f", json_number_value(speed), real_of(m, "texts_per_second"));
    else printf(" %8s %8s", "-", "-");
    cli_duration(real_of(m, "seconds"), time, sizeof time);
    printf(" %7s\n", json_object_get(m, "seconds") ? time : "");
}

static int print_record(const compress *o, const tc_compress_result *r) {
    tc_error err = {0};
    json_t *record = cli_record(o->options.out, &err), *s;
    size_t k;
    if (!record) return cli_failed(&err);
    if (o->run.common.json) return cli_print_json(record);
    const json_t *teacher = json_object_get(record, "teacher"), *eval = json_object_get(record, "eval_data");
    bool pairs = json_is_object(eval) && !json_is_number(json_object_get(teacher, "top1"));
    printf("%-18s %12s %6s %7s %7s %8s %8s %7s\n", "", "parameters*", "left %", "GMACs",
           pairs ? "R@1 %**" : "top-1 %", "images/s", "texts/s", "time");
    print_result(teacher, "teacher", real_of(teacher, "params_prunable"));
    json_array_foreach(json_object_get(record, "stages"), k, s) if (json_is_true(json_object_get(s, "done")))
        print_result(s, json_string_value(json_object_get(s, "name")), real_of(teacher, "params_prunable"));
    printf("* without the token table%s\n", pairs ? "; ** from image to text" : "");
    if (r->finished) printf("%s: complete\n", o->options.out);
    else
        printf("%s: %d of %d stages are done; go on with --resume %s\n", o->options.out, r->stages_done,
               r->stages, o->options.out);
    json_decref(record);
    return CLI_DONE;
}

/* ---- running */

static int run_with(compress *o, const char *path) {
    tc_compress_options *c = &o->options;
    tc_error err = {0};
    cli_model m = {0};
    tc_data *data = NULL, *eval = NULL;
    tc_compress_result r = {0};
    tc_status status =
        cli_model_open(&m, path, &o->run.common, CLI_TOKENIZER | (o->dry_run ? CLI_CONFIGS : 0), &err);
    if (status == TC_OK) status = cli_data_open(&data, &o->run.data, "train", &err);
    if (status == TC_OK && o->run.eval.spec) status = cli_data_open(&eval, &o->run.eval, "test", &err);
    int code = CLI_DONE;
    if (status == TC_OK) {
        c->teacher = m.model;
        c->data = data;
        c->eval_data = eval;
        c->tokenizer = m.tokenizer;
        c->preprocess = m.preprocess;
        c->resume = o->run.resume != NULL;
        c->restart = (const char *const *)o->run.restart;
        c->restart_count = o->run.restart_count;
        c->log = cli_log;
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

static int check(const cli_verb *verb, const compress *o) {
    const tc_compress_options *c = &o->options;
    if (!c->recipe) return cli_usage(verb, "name the recipe with --recipe");
    int code = cli_run_check(verb, &o->run, c->out, c->eval_every || c->eval_limit);
    if (code == CLI_DONE && (c->keep != 0) + (c->params != 0) + (c->macs != 0) > 1)
        code = cli_usage(verb, "give one of --keep, --params and --macs");
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    compress o;
    cli_list args = {0};
    int code;
    if (!cli_run_parse(verb, argc, argv, &o, sizeof o, &o.options.out, &args, &code)) return code;
    code = args.count ? check(verb, &o) : cli_argument_missing(verb);
    if (code == CLI_DONE) {
        const char **command = cli_new((size_t)argc + 2, sizeof *command);
        command[0] = "tinyclip";
        command[1] = verb->name;
        for (int i = 0; i < argc; i++) command[i + 2] = argv[i];
        o.options.command = command;
        o.options.command_count = argc + 2;
        code = run_with(&o, args.items[0]);
        free(command);
    }
    cli_run_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_compress = {
    .name = "compress",
    .summary = "make a model smaller in stages, by a recipe",
    .usage = "TEACHER --recipe R.json --data D --out DIR [options]\nTEACHER --recipe R.json --data D --out "
             "DIR --dry-run\n[TEACHER] --resume DIR [options]",
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
                   "anywhere, --resume DIR goes on to the same model bit for bit.\n"
                   "A recipe is a JSON object: name; train, what is said about training for all stages; and "
                   "stages, a list. A stage has name, inheritance, steps or epochs, and train with what is "
                   "different in it. \"inheritance\": \"auto\" has a goal (keep, params or macs) and "
                   "fold_step; \"manual\" has student, the name of a built-in configuration or a "
                   "configuration. 'tinyclip --recipe-keys' prints every key with its range and default. "
                   "The folder recipes of the sources holds the published ones.",
    .examples = "tinyclip compress teacher --recipe recipes/auto-vit-b-32.json --data pairs.csv --out small "
                "--dry-run\n"
                "tinyclip compress build/demo/teacher/model --recipe recipes/small-auto.json --data "
                "fashion-mnist --eval-data fashion-mnist --out small\n"
                "tinyclip compress teacher --recipe r.json --data pairs/ --out small --keep 30%\n"
                "tinyclip compress --resume small",
    .options = options,
    .settings = settings,
    .more = cli_run_options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .prepare = prepare,
    .least_args = 0, /* with --resume DIR */
    .most_args = 1,
    .run = run};
