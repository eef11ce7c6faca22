/* cmd_demo.c - the whole method in small, on real pictures: a teacher is trained on Fashion-MNIST, then a student of half its size three ways, with
 * the same number of steps: alone, with affinity mimicking, and with weight inheritance and affinity mimicking. */
#include "demo.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern const char tc_file_examples_demo_teacher_json[], tc_file_examples_demo_teacher_json_end[];
extern const char tc_file_examples_demo_student_json[], tc_file_examples_demo_student_json_end[];

typedef struct demo {
    cli_common common;
    const char *out, *data;
    int64_t seed, teacher_steps, student_steps, batch;
    bool quick;
} demo;

static const demo defaults = {.out = "build/demo", .data = "fashion-mnist", .seed = 1, .teacher_steps = 400, .student_steps = 200, .batch = 256};
static const cli_option options[] = {
    {"--out", "DIR", CLI_TEXT, offsetof(demo, out), "the folder for models, curves and results; an older demonstration in it is replaced", 0, 0,
     NULL},
    {"--data", "DATA", CLI_TEXT, offsetof(demo, data), "fashion-mnist, or other labelled pictures that have a test part", 0, 0, NULL},
    {"--teacher-steps", "N", CLI_INT, offsetof(demo, teacher_steps), "steps of the teacher", 1, 1e6, NULL},
    {"--student-steps", "N", CLI_INT, offsetof(demo, student_steps), "steps of each student", 1, 1e6, NULL},
    {"--batch", "N", CLI_INT, offsetof(demo, batch), "pictures a step", 2, 65536, NULL},
    {"--seed", "N", CLI_INT, offsetof(demo, seed), "of the weights, the order and the captions", 0, 1e15, NULL},
    {"--quick", NULL, CLI_FLAG, offsetof(demo, quick), "a tenth of the steps: shows that everything works, not what it gives", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static volatile int stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

/* ---- one model */

typedef struct kitchen {
    const demo *o;
    tc_data *train, *test;
    tc_tokenizer *tokenizer;
    char *teacher_config, *student_config;
    demo_result results[DEMO_MODELS];
} kitchen;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

/* An older run in the folder would be gone on with, or refused. Links are removed, not followed. */
static tc_status remove_run(const char *dir, tc_error *err) {
    if (!tc_path_exists(dir) || nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0) return TC_OK;
    return tc_fail(err, TC_EIO, "%s: the older run could not be removed: %s", dir, strerror(errno));
}

static tc_status train(kitchen *k, int index, const tc_model *init, const tc_model *teacher, int64_t steps, double lr, tc_model **out,
                       tc_error *err) {
    demo_result *r = &k->results[index];
    const demo *o = k->o;
    char *dir = tc_path_join(o->out, r->name), *log = dir ? tc_path_join(dir, "log.jsonl") : NULL;
    if (!log) {
        free(dir);
        return tc_fail_memory(err, 1);
    }
    tc_train_options t = tc_train_options_default();
    t.out = dir;
    t.init = init;
    t.teacher = teacher;
    t.data = k->train;
    t.eval_data = k->test;
    t.tokenizer = k->tokenizer;
    t.preprocess = tc_model_preprocess(init);
    t.steps = steps;
    t.batch = (int)o->batch;
    t.lr = lr;
    t.logit_scale = teacher ? 50 : 0;
    t.seed = (uint64_t)o->seed;
    t.eval_every = steps >= 10 ? steps / 10 : 1;
    t.eval_limit = o->quick ? 2000 : 0;
    t.log = cli_log;
    t.stop = &stop;
    fputc('\n', stderr);
    cli_say("== %s: %s", r->name, r->what);
    tc_train_result result;
    tc_status status = remove_run(dir, err);
    if (status == TC_OK) status = tc_train(&t, out, &result, err);
    cli_log_end();
    if (status == TC_OK && stop) status = tc_fail(err, TC_ESTATE, "stopped");
    if (status == TC_OK) status = demo_read_curve(log, r, err);
    if (status == TC_OK) {
        const tc_model_info *info = tc_model_get_info(*out);
        r->params = info->params;
        r->params_without_tokens = info->params_without_tokens;
        r->steps = steps;
        r->top1 = result.top1;
        r->seconds = result.seconds;
    }
    free(dir);
    free(log);
    return status;
}

/* ---- the four models */

static const double TEACHER_LR = 2e-3, STUDENT_LR = 2e-3;

static tc_status train_all(kitchen *k, tc_model **best, tc_error *err) {
    static const char *const names[DEMO_MODELS][2] = {{"teacher", "contrastive loss, from random weights"},
                                                      {"scratch-contrastive", "half the size, contrastive loss, from random weights"},
                                                      {"scratch-affinity", "half the size, affinity mimicking, from random weights"},
                                                      {"inherit-affinity", "half the size, inherited weights, affinity mimicking"}};
    const demo *o = k->o;
    int64_t teacher_steps = o->quick ? (o->teacher_steps + 9) / 10 : o->teacher_steps,
            steps = o->quick ? (o->student_steps + 9) / 10 : o->student_steps;
    tc_model *init = NULL, *teacher = NULL, *student = NULL;
    tc_status status = tc_model_create(&init, k->teacher_config, (uint64_t)o->seed, err);
    for (int i = 0; i < DEMO_MODELS && status == TC_OK; i++) {
        k->results[i].name = names[i][0];
        k->results[i].what = names[i][1];
        if (i == 1 || i == 2) status = tc_model_create(&init, k->student_config, (uint64_t)o->seed, err);
        if (i == 3) status = tc_model_inherit(&init, teacher, k->student_config, err);
        if (status == TC_OK)
            status = train(k, i, init, i >= 2 ? teacher : NULL, i == 0 ? teacher_steps : steps, i == 0 ? TEACHER_LR : STUDENT_LR,
                           i == 0 ? &teacher : &student, err);
        tc_model_close(&init);
        if (i == 3 && status == TC_OK) {
            *best = student;
            student = NULL;
        }
        tc_model_close(&student);
    }
    tc_model_close(&init);
    tc_model_close(&teacher);
    return status;
}

/* ---- report */

static void print_table(const kitchen *k) {
    const demo_result *r = k->results;
    char params[32];
    double goal = r[1].top1;
    printf("\n%-20s %12s %7s %8s %12s %9s\n", "model", "parameters", "steps", "top-1 %", "steps to", "seconds");
    printf("%-20s %12s %7s %8s %11.2f%% %9s\n", "", "(no tokens)", "", "", 100 * goal, "");
    for (int i = 0; i < DEMO_MODELS; i++) {
        int64_t reached = demo_steps_to(&r[i], goal);
        printf("%-20s %12s %7lld %8.2f ", r[i].name, cli_grouped(r[i].params_without_tokens, params, sizeof params), (long long)r[i].steps,
               100 * r[i].top1);
        if (reached >= 0) printf("%12lld %9.1f\n", (long long)reached, r[i].seconds);
        else printf("%12s %9.1f\n", "-", r[i].seconds);
    }
    printf("\n'steps to' is the first evaluation that reached what scratch-contrastive had at its end.\n");
}

static tc_status report(kitchen *k, double seconds, tc_error *err) {
    char *json = tc_path_join(k->o->out, "results.json"), *svg = tc_path_join(k->o->out, "curves.svg");
    tc_status status = json && svg ? TC_OK : tc_fail_memory(err, 1);
    if (status == TC_OK) status = demo_write_results(json, k->results, DEMO_MODELS, seconds, err);
    if (status == TC_OK) status = demo_draw_curves(svg, k->results, DEMO_MODELS, err);
    if (status == TC_OK) printf("\nwrote %s, %s and the models under %s\n", json, svg, k->o->out);
    free(json);
    free(svg);
    return status;
}

/* The built-in configurations of the demonstration, as files that the other verbs can take too. */
static tc_status write_config(char **path, const char *dir, const char *name, const char *start, const char *end, tc_error *err) {
    *path = tc_path_join(dir, name);
    return *path ? tc_file_write(*path, start, (size_t)(end - start), err) : tc_fail_memory(err, 1);
}

static tc_status open_all(kitchen *k, tc_error *err) {
    tc_data_options d = tc_data_options_default();
    tc_status status = tc_make_dirs(k->o->out, err);
    d.split = "train";
    if (status == TC_OK) status = tc_data_open(&k->train, k->o->data, &d, err);
    d.split = "test";
    if (status == TC_OK) status = tc_data_open(&k->test, k->o->data, &d, err);
    if (status == TC_OK && tc_data_classes(k->test) < 2) status = tc_fail(err, TC_EARG, "%s: the demonstration needs labelled pictures", k->o->data);
    if (status == TC_OK) status = tc_tokenizer_create(&k->tokenizer, TC_TOKENIZER_HF, err);
    if (status == TC_OK)
        status = write_config(&k->teacher_config, k->o->out, "teacher.json", tc_file_examples_demo_teacher_json,
                              tc_file_examples_demo_teacher_json_end, err);
    if (status == TC_OK)
        status = write_config(&k->student_config, k->o->out, "student.json", tc_file_examples_demo_student_json,
                              tc_file_examples_demo_student_json_end, err);
    return status;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    demo o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    kitchen k = {.o = &o};
    tc_error err = {0};
    tc_model *best = NULL;
    double start = tc_now();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    tc_status status = open_all(&k, &err);
    if (status == TC_OK) status = train_all(&k, &best, &err);
    if (status == TC_OK) {
        tc_preprocess p = tc_model_preprocess(best);
        print_table(&k);
        status = demo_classify(o.out, best, k.test, &p, &err);
    }
    if (status == TC_OK) status = report(&k, tc_now() - start, &err);
    code = status == TC_OK ? CLI_DONE : cli_failed(&err);
    tc_model_close(&best);
    tc_tokenizer_close(&k.tokenizer);
    tc_data_close(&k.train);
    tc_data_close(&k.test);
    free(k.teacher_config);
    free(k.student_config);
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_demo = {
    .name = "demo",
    .summary = "train a teacher and three students on real pictures and compare them",
    .usage = "[--out DIR] [--quick]",
    .description =
        "Runs the main job of this program in small, on the pictures of clothes in Debian's package dataset-fashion-mnist: a teacher is trained on "
        "captioned images, then a student of half its size three ways with the same number of steps. All four are evaluated zero-shot on the 10,000 "
        "test pictures.\n"
        "DIR gets results.json, curves.svg, a few test pictures, and a folder for each model with its log and its weights (DIR/NAME/model).",
    .examples = "tinyclip demo\ntinyclip classify build/demo/inherit-affinity/model build/demo/images --labels \"a bag,a sandal,a coat\"",
    .options = options,
    .common = CLI_WITH_THREADS,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 0,
    .run = run};
