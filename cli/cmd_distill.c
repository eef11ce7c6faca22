/* cmd_distill.c - affinity mimicking: a student learns the teacher's image-text affinities. */
#include "training.h"

#include <stdlib.h>
#include <string.h>

static training defaults;
static void prepare(void) {
    defaults.options = tc_train_options_default();
    defaults.masks = tc_mask_options_default();
}
static const cli_settings settings[] = {{tc_mask_setting, offsetof(training, masks), 0},
                                        {tc_train_setting, offsetof(training, options), 0},
                                        {NULL, 0, 0}};
static const cli_option options[] = {
    {"--teacher", "MODEL", CLI_FILE, offsetof(training, teacher), "the teacher", 0, 0, NULL},
    {"--student", "S", CLI_FILE, offsetof(training, student),
     "the student: a model, or a configuration (a JSON file or a built-in name), whose weights are random or "
     "inherited",
     0, 0, NULL},
    {"--inherit", NULL, CLI_FLAG, offsetof(training, inherit),
     "a student given as a configuration starts with the teacher's weights, as the verb inherit makes them",
     0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* --model-config and --activation belong to the teacher; a student without a configuration of its own is
 * given as one. --image-size is for both. */
static tc_status open_student(const training *t, const tc_model *teacher, tc_model **out, const char **path,
                              tc_error *err) {
    if (!t->student) {
        tc_open_options same = cli_open_options(&t->run.common);
        *path = t->teacher;
        return cli_model_load(out, t->teacher, &same, err);
    }
    bool configuration = t->inherit ? cli_names_configuration(t->student) : cli_is_configuration(t->student);
    *path = configuration ? "" : t->student;
    if (t->inherit && !configuration)
        return cli_fail(err, TC_EARG, "%s: --inherit needs a configuration as the student; this is a model",
                        t->student);
    if (t->inherit) {
        *path = t->teacher;
        return tc_model_inherit(out, teacher, t->student, err);
    }
    cli_common own = {.image_size = t->run.common.image_size};
    tc_open_options open = cli_open_options(&own);
    return configuration ? cli_model_create(out, t->student, t->options.seed, &own, err)
                         : cli_model_load(out, t->student, &open, err);
}

/* *masks: whether there are any. */
static int check_masks(const cli_verb *verb, const training *t, bool *masks) {
    const tc_mask_options *m = &t->masks;
    int goals = (m->keep != 0) + (m->params != 0) + (m->macs != 0);
    const tc_setting *s;
    *masks = goals > 0;
    if (goals > 1) return cli_usage(verb, "give one of --keep, --params and --macs");
    for (size_t i = 0; goals == 0 && (s = tc_mask_setting(i)); i++) {
        char given[32], otherwise[32];
        tc_setting_write(s, m, given, sizeof given);
        tc_setting_write(s, &defaults.masks, otherwise, sizeof otherwise);
        if (strcmp(given, otherwise) != 0)
            return cli_usage(verb, "%s needs one of --keep, --params and --macs", s->option);
    }
    return CLI_DONE;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    training t;
    cli_list args = {0};
    tc_error err = {0};
    tc_model *student = NULL, *teacher = NULL;
    const char *path = "";
    int code;
    bool masks;
    if (!cli_run_parse(verb, argc, argv, &t, sizeof t, &t.options.out, &args, &code)) return code;
    code = check_masks(verb, &t, &masks);
    if (code == CLI_DONE && (!t.teacher || (!t.student && !masks)))
        code = cli_usage(verb, "name the models with --teacher and --student");
    if (code == CLI_DONE) code = cli_training_check(verb, &t);
    if (code == CLI_DONE) {
        tc_open_options open = cli_open_options(&t.run.common);
        tc_status status = cli_model_load(&teacher, t.teacher, &open, &err);
        if (status == TC_OK) status = open_student(&t, teacher, &student, &path, &err);
        code = status == TC_OK ? cli_training_run(&t, student, path, teacher, masks ? &t.masks : NULL)
                               : cli_failed(&err);
    }
    if (teacher) tc_model_close(&teacher);
    cli_run_release(verb, &t, &args);
    return code;
}

const cli_verb cmd_distill = {
    .name = "distill",
    .summary = "train a student on its teacher's affinities",
    .usage = "--teacher T --student S --data D --out DIR --steps N [--inherit] [options]\n"
             "--teacher T --keep 50% --data D --out DIR --steps N [options]\n"
             "--resume DIR [options]",
    .description = "Affinity mimicking: the cross-entropy between the student's and the teacher's softmax "
                   "over the rows and over the columns of the "
                   "batch's image-text cosines. Without "
                   "--inherit a student given as a configuration starts with random weights. Teacher and "
                   "student must have one image size.\n"
                   "With --keep, --params or --macs the student finds out by itself what to inherit: masks "
                   "over the width, the heads and the FFN channels "
                   "(of a ResNet the channels within its blocks) of the teacher are trained together with "
                   "the weights until --fold-step, "
                   "under a Lagrangian that drives what is left of both towers to the goal. Then they are "
                   "folded into the weights, and training "
                   "goes on with the small model and a fresh optimizer.\n"
                   "With --teacher-cache a step costs little more than one of train, once the features are "
                   "there; the result is that of a run without the cache "
                   "and with the same --cache-augmentations.\n"
                   "Data, checkpoints, --resume and the result are as those of train.",
    .examples =
        "tinyclip distill --teacher run/model --student student.json --inherit --data fashion-mnist --out "
        "half --steps 150 --lr 1e-3\n"
        "tinyclip distill --teacher run/model --keep 50% --data fashion-mnist --out auto --steps 300 "
        "--fold-step 150 --mask-lr 0.1\n"
        "tinyclip distill --teacher teacher --student student --data pairs/ --out run --epochs 6\n"
        "tinyclip distill --resume run\n"
        "tinyclip distill --teacher teacher --student student --data pairs/ --out run --epochs 20 "
        "--teacher-cache features --crop-scale-min 0.9",
    .options = options,
    .settings = settings,
    .more = cli_run_options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .prepare = prepare,
    .least_args = 0,
    .most_args = 0,
    .run = run};
