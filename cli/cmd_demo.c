/* cmd_demo.c - the whole method in small, on real pictures: a teacher is trained on Fashion-MNIST and made
 * smaller in three ways: to a half by hand; to a half by learnt masks and from there to a quarter; and to a
 * quarter at once, with as many steps.
 *
 * Each way is a recipe, written into the folder and run as the verb compress runs it, so everything here can
 * be done again by hand, and the folder is one that the verb report reads. */
#include "demo.h"
#include "training.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

extern const char cli_file_examples_demo_teacher_json[], cli_file_examples_demo_teacher_json_end[];
extern const char cli_file_examples_demo_student_json[], cli_file_examples_demo_student_json_end[];

typedef struct demo {
    cli_common common;
    const char *out, *data;
    int64_t seed, teacher_steps, stage_steps, batch;
    bool quick;
} demo;

static const demo defaults = {.out = "build/demo",
                              .data = "fashion-mnist",
                              .seed = 1,
                              .teacher_steps = 400,
                              .stage_steps = 200,
                              .batch = 128};
static const cli_option options[] = {
    {"--out", "DIR", CLI_TEXT, offsetof(demo, out),
     "the folder for everything; an older demonstration in it is replaced", 0, 0, NULL},
    {"--data", "DATA", CLI_TEXT, offsetof(demo, data),
     "fashion-mnist, or other labelled pictures that have a test part", 0, 0, NULL},
    {"--teacher-steps", "N", CLI_INT, offsetof(demo, teacher_steps), "steps of the teacher", 1, 1e6, NULL},
    {"--stage-steps", "N", CLI_INT, offsetof(demo, stage_steps),
     "steps of a stage; that from the teacher to a quarter at once has twice as many", 10, 1e6, NULL},
    {"--batch", "N", CLI_INT, offsetof(demo, batch), "pictures a step", 2, 65536, NULL},
    {"--seed", "N", CLI_INT, offsetof(demo, seed), "of the weights, the order, the captions and the masks", 0,
     1e15, NULL},
    {"--quick", NULL, CLI_FLAG, offsetof(demo, quick),
     "a tenth of the steps: shows that everything works, not what it gives", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

typedef struct kitchen {
    demo o;
    tc_data *train, *test;
    tc_tokenizer *tokenizer;
    char *teacher_path;
    tc_model *teacher;
    volatile int *stop;
    int part;                /* from 1: the teacher, then each way */
    int64_t steps;           /* made so far, of all parts */
    double begun, part_left; /* seconds */
} kitchen;

static const double LR = 2e-3;
static const char RESULT[] = "in-two-steps/model.safetensors"; /* what the pictures are shown to */
static const char CACHE[] = "teacher-cache"; /* all ways take the teacher's features from it */
enum { WATCHED = 8, QUICK_IMAGES = 1000 };   /* evaluations on the way; test pictures of --quick */

static int64_t eval_limit(const kitchen *k) { return k->o.quick ? QUICK_IMAGES : 0; }
static int64_t every(int64_t steps) { return steps >= WATCHED ? steps / WATCHED : 1; }

/* ---- the whole of it */

typedef enum way { BY_HAND, IN_TWO_STEPS, IN_ONE_STEP, WAYS } way;
enum { PARTS = 1 + WAYS };

static void begin_part(kitchen *k, const char *text) {
    k->part++;
    k->part_left = 0;
    char *line = cli_text("\n== part %d of %d: %s", k->part, PARTS, text);
    cli_log(NULL, 1, line);
    free(line);
}

/* Seconds of the parts after this one, if a step takes as long there as those before took. */
static double seconds_after(const kitchen *k) {
    int64_t of_way[WAYS] = {[BY_HAND] = 1, [IN_TWO_STEPS] = 2, [IN_ONE_STEP] = 2}, steps = 0;
    for (int w = k->part - 1; w < WAYS; w++) steps += of_way[w] * k->o.stage_steps;
    return (double)steps * (cli_now() - k->begun) / (double)(k->steps > 0 ? k->steps : 1);
}

static void on_step(void *user, double seconds_left) {
    kitchen *k = user;
    k->steps++;
    k->part_left = seconds_left;
}

static void on_teacher_step(void *user, int64_t step, int64_t steps, double seconds_left) {
    (void)step, (void)steps;
    on_step(user, seconds_left);
}

static void tell(void *user, int level, const char *line) {
    const kitchen *k = user;
    char left[32], *whole;
    if (level > 0 || k->steps == 0) {
        cli_log(NULL, level, line);
        return;
    }
    whole = cli_text("part %d/%d, %s in all: %s", k->part, PARTS,
                     cli_duration(k->part_left + seconds_after(k), left, sizeof left), line);
    cli_log(NULL, level, whole);
    free(whole);
}

/* ---- the folder */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

/* An older run in the folder would be gone on with, or refused. Links are removed, not followed. */
static tc_status remove_run(const char *dir, tc_error *err) {
    if (!cli_path_exists(dir) || nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0) return TC_OK;
    return cli_fail(err, TC_EIO, "%s: the older run could not be removed: %s", dir, strerror(errno));
}

/* OUT/NAME; the caller frees it. */
static char *place(const kitchen *k, const char *name) { return cli_path(k->o.out, name); }

/* ---- the teacher */

static tc_status train_teacher(kitchen *k, const char *dir, const tc_model *init, tc_error *err) {
    tc_train_options t = tc_train_options_default();
    t.out = dir;
    t.init = init;
    t.data = k->train;
    t.eval_data = k->test;
    t.tokenizer = k->tokenizer;
    t.preprocess = tc_model_preprocess(init);
    t.steps = k->o.teacher_steps;
    t.batch = (int)k->o.batch;
    t.lr = LR;
    t.seed = (uint64_t)k->o.seed;
    t.eval_every = every(t.steps);
    t.eval_limit = eval_limit(k);
    t.log = tell;
    t.log_user = k;
    t.on_step = on_teacher_step;
    t.on_step_user = k;
    t.stop = k->stop;
    tc_status status = tc_train(&t, NULL, NULL, err);
    cli_log_end();
    return status == TC_OK && *k->stop ? cli_fail(err, TC_ESTATE, "stopped") : status;
}

static tc_status make_teacher(kitchen *k, tc_error *err) {
    char *config = NULL, *dir = NULL, *cache = NULL;
    tc_model *init = NULL;
    begin_part(k, "the teacher, from random weights, by the contrastive loss");
    config = place(k, "teacher.json");
    tc_status status = cli_write_file(
        config, cli_file_examples_demo_teacher_json,
        (size_t)(cli_file_examples_demo_teacher_json_end - cli_file_examples_demo_teacher_json), err);
    if (status == TC_OK) dir = place(k, "teacher");
    if (status == TC_OK) cache = place(k, CACHE);
    if (status == TC_OK) status = remove_run(dir, err);
    if (status == TC_OK) status = remove_run(cache, err);
    if (status == TC_OK) status = tc_model_create(&init, config, (uint64_t)k->o.seed, err);
    if (status == TC_OK) status = train_teacher(k, dir, init, err);
    tc_model_close(&init);
    if (status == TC_OK) k->teacher_path = place(k, "teacher/model");
    if (status == TC_OK) status = tc_model_open(&k->teacher, k->teacher_path, NULL, err);
    free(config);
    free(dir);
    free(cache);
    return status;
}

/* ---- making it smaller */

static const struct {
    const char *name, *recipe, *heading;
} ways[WAYS] = {
    {"by-hand", "by-hand.json", "a half by hand: the leading channels and heads of each layer"},
    {"in-two-steps", "in-two-steps.json", "a half, then a quarter, by learnt masks"},
    {"in-one-step", "in-one-step.json", "a quarter at once, by learnt masks, with as many steps"}};

/* A gate comes from 4.6, the most that it may be, down to 0, where it is as good as closed, by one rate a
 * step at the most: that is to be done well before the fold. */
static void add_masked_stage(FILE *f, const char *name, double keep, int64_t steps) {
    int64_t fold = steps / 2;
    fprintf(f,
            "        {\"name\": \"%s\", \"inheritance\": \"auto\", \"keep\": %g, \"fold_step\": %lld, "
            "\"mask_lr\": %.3g, \"steps\": %lld}",
            name, keep, (long long)fold, 8 / (double)fold, (long long)steps);
}

static void print_recipe(FILE *f, const kitchen *k, way w) {
    int64_t steps = k->o.stage_steps;
    fprintf(f,
            "{\n    \"name\": \"%s\",\n    \"description\": \"%s\",\n    \"train\": {\"batch\": %lld, "
            "\"lr\": %g},\n"
            "    \"cache_augmentations\": 2,\n    \"stages\": [\n",
            ways[w].name, ways[w].heading, (long long)k->o.batch, LR);
    if (w == BY_HAND)
        fprintf(f,
                "        {\"name\": \"50\", \"inheritance\": \"manual\", \"steps\": %lld, "
                "\"student\":\n%.*s}",
                (long long)steps,
                (int)(cli_file_examples_demo_student_json_end - cli_file_examples_demo_student_json),
                cli_file_examples_demo_student_json);
    if (w == IN_TWO_STEPS) {
        add_masked_stage(f, "50", 0.5, steps);
        fprintf(f, ",\n");
    }
    if (w != BY_HAND) add_masked_stage(f, "25", 0.25, w == IN_TWO_STEPS ? steps : 2 * steps);
    fprintf(f, "\n    ]\n}\n");
}

static tc_status write_recipe(const kitchen *k, way w, char **path, tc_error *err) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = cli_or_end(open_memstream(&text, &size));
    print_recipe(f, k, w);
    if (fclose(f) != 0) cli_or_end(NULL);
    *path = place(k, ways[w].recipe);
    tc_status status = cli_write_file(*path, text, size, err);
    free(text);
    return status;
}

static tc_status compress(kitchen *k, way w, tc_error *err) {
    char *recipe = NULL, *dir = NULL, *cache = NULL, seed[24], watch[24];
    begin_part(k, ways[w].heading);
    tc_status status = write_recipe(k, w, &recipe, err);
    if (status == TC_OK) dir = place(k, ways[w].name);
    if (status == TC_OK) cache = place(k, CACHE);
    if (status == TC_OK) status = remove_run(dir, err);
    if (status == TC_OK) {
        tc_compress_options c = tc_compress_options_default();
        snprintf(seed, sizeof seed, "%lld", (long long)k->o.seed);
        snprintf(watch, sizeof watch, "%lld", (long long)every(k->o.stage_steps));
        const char *command[] = {"tinyclip",
                                 "compress",
                                 k->teacher_path,
                                 "--recipe",
                                 recipe,
                                 "--data",
                                 k->o.data,
                                 "--eval-data",
                                 k->o.data,
                                 "--out",
                                 dir,
                                 "--eval-every",
                                 watch,
                                 "--seed",
                                 seed,
                                 "--teacher-cache",
                                 cache};
        c.command = command;
        c.command_count = (int)(sizeof command / sizeof *command);
        c.out = dir;
        c.recipe = recipe;
        c.teacher = k->teacher;
        c.data = k->train;
        c.eval_data = k->test;
        c.tokenizer = k->tokenizer;
        c.preprocess = tc_model_preprocess(k->teacher);
        c.seed = (uint64_t)k->o.seed;
        c.teacher_cache = cache;
        c.eval_every = every(k->o.stage_steps);
        c.eval_limit = eval_limit(k);
        c.speed_seconds = 0; /* all models are measured together, at the end */
        c.log = tell;
        c.log_user = k;
        c.on_step = on_step;
        c.on_step_user = k;
        c.stop = k->stop;
        status = tc_compress(&c, NULL, err);
        cli_log_end();
    }
    if (status == TC_OK && *k->stop) status = cli_fail(err, TC_ESTATE, "stopped");
    free(recipe);
    free(dir);
    free(cache);
    return status;
}

/* ---- all of it */

static tc_status open_data(kitchen *k, tc_error *err) {
    tc_data_options d = tc_data_options_default();
    tc_status status = cli_make_dirs(k->o.out, err);
    d.split = "train";
    if (status == TC_OK) status = tc_data_open(&k->train, k->o.data, &d, err);
    d.split = "test";
    if (status == TC_OK) status = tc_data_open(&k->test, k->o.data, &d, err);
    if (status == TC_OK && tc_data_classes(k->test) < 2)
        status = cli_fail(err, TC_EARG, "%s: the demonstration needs labelled pictures", k->o.data);
    if (status == TC_OK) status = tc_tokenizer_create(&k->tokenizer, TC_TOKENIZER_HF, err);
    return status;
}

/* All models are measured here, together. */
static tc_status write_page(const kitchen *k, const char *page, tc_error *err) {
    tc_report_options r = tc_report_options_default();
    r.dir = k->o.out;
    r.out = page;
    r.speed_seconds = k->o.quick ? 0.3 : 1;
    r.log = cli_log;
    tc_status status = tc_report_write(&r, NULL, err);
    cli_log_end();
    return status;
}

static tc_status show(const kitchen *k, double start, tc_error *err) {
    char *table = NULL, time[32], *page = place(k, "report.html"), *model = place(k, RESULT);
    tc_status status = write_page(k, page, err);
    if (status == TC_OK) status = tc_report_table(k->o.out, &table, err);
    if (status == TC_OK) {
        printf("\n%s", table);
        status = demo_classify(k->o.out, model, k->test, NULL, err);
    }
    if (status == TC_OK)
        printf("\nall of it took %s; the report: %s\n", cli_duration(cli_now() - start, time, sizeof time),
               page);
    free(table);
    free(page);
    free(model);
    return status;
}

/* The same as one object: the record of each way, and what the model says of the pictures. */
static tc_status show_json(const kitchen *k, double start, tc_error *err) {
    char *page = place(k, "report.html"), *model = place(k, RESULT);
    json_t *all = json_object(), *runs = json_array(), *results = json_array();
    tc_status status = demo_classify(k->o.out, model, k->test, results, err);
    for (int w = 0; w < WAYS && status == TC_OK; w++) {
        char *dir = place(k, ways[w].name);
        json_t *record = cli_record(dir, err);
        if (record) json_array_append_new(runs, record);
        else status = err->status;
        free(dir);
    }
    json_object_set_new(all, "output", cli_json_text(k->o.out));
    json_object_set_new(all, "report", cli_json_text(page));
    json_object_set_new(all, "runs", runs);
    json_object_set_new(all, "results", results);
    json_object_set_new(all, "seconds", cli_json_real(cli_now() - start));
    if (status == TC_OK) cli_print_json(all);
    else json_decref(all);
    free(page);
    free(model);
    return status;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    kitchen k = {.o = defaults};
    cli_list args = {0};
    tc_error err = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &k.o, &args, &code)) return code;
    if (k.o.quick) {
        k.o.teacher_steps = (k.o.teacher_steps + 9) / 10;
        k.o.stage_steps = (k.o.stage_steps + 9) / 10;
    }
    double start = cli_now();
    k.begun = start;
    k.stop = cli_catch_signals();
    tc_status status = open_data(&k, &err);
    if (status == TC_OK) status = make_teacher(&k, &err);
    for (int w = 0; w < WAYS && status == TC_OK; w++) status = compress(&k, (way)w, &err);
    if (status == TC_OK) status = k.o.common.json ? show_json(&k, start, &err) : show(&k, start, &err);
    code = status == TC_OK ? CLI_DONE : cli_failed(&err);
    tc_model_close(&k.teacher);
    tc_tokenizer_close(&k.tokenizer);
    tc_data_close(&k.train);
    tc_data_close(&k.test);
    free(k.teacher_path);
    cli_release(verb, &k.o, &args);
    return code;
}

const cli_verb cmd_demo = {
    .name = "demo",
    .summary = "train a teacher, make it smaller in several ways, and compare",
    .usage = "[--out DIR] [--quick]",
    .description =
        "Runs the whole method in small, on the pictures of clothes in Debian's package "
        "dataset-fashion-mnist: a teacher is trained on "
        "captioned images. Then it is "
        "made half as large by hand; half as large by learnt masks, and from there a quarter; and a quarter "
        "as large at once, with as "
        "many steps. All learn "
        "from the teacher's affinities, and all are evaluated zero-shot on the 10,000 test pictures.\n"
        "DIR gets the teacher, a folder for each way as compress leaves it, the recipes, a few test "
        "pictures, and the page report.html.",
    .examples = "tinyclip demo\ntinyclip classify build/demo/in-two-steps/model.safetensors "
                "build/demo/images --labels bag,sandal,coat",
    .options = options,
    .common = CLI_WITH_THREADS | CLI_WITH_JSON,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 0,
    .run = run};
