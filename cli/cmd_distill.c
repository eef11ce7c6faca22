/* cmd_distill.c - affinity mimicking: a student learns the teacher's image-text affinities. */
#include "training.h"

#include <stdlib.h>
#include <string.h>

static const training defaults = {CLI_TRAINING_DEFAULTS, .logit_scale = 50};
static const cli_option options[] = {
    {"--teacher", "MODEL", CLI_TEXT, offsetof(training, teacher), "the teacher", 0, 0, NULL},
    {"--student", "S", CLI_TEXT, offsetof(training, student),
     "the student: a model, or a configuration (a JSON file or a built-in name), whose weights are random or "
     "inherited",
     0, 0, NULL},
    {"--inherit", NULL, CLI_FLAG, offsetof(training, inherit),
     "a student given as a configuration starts with the teacher's weights, as the verb inherit makes them",
     0, 0, NULL},
    {"--keep", "PART", CLI_TEXT, offsetof(training, goal.keep),
     "automatic inheritance: the student is the teacher (or --student) under masks that are learnt and then "
     "folded; " CLI_KEEP_HELP,
     0, 0, NULL},
    {"--params", "N", CLI_TEXT, offsetof(training, goal.params), CLI_PARAMS_HELP, 0, 0, NULL},
    {"--macs", "N", CLI_TEXT, offsetof(training, goal.macs), CLI_MACS_HELP, 0, 0, NULL},
    {"--fold-step", "N", CLI_INT, offsetof(training, fold_step),
     "steps before the masks are folded; 0: half of all", 0, 1e12, NULL},
    {"--target-warmup", "N", CLI_REAL, offsetof(training, target_warmup),
     "steps in which the target goes from the whole model to the goal; -1: a third of those before the fold",
     -1, 1e12, NULL},
    {"--mask-lr", "X", CLI_REAL, offsetof(training, mask_lr),
     "learning rate of the masks; a gate needs some 5 / X steps to close", 0, 1e3, NULL},
    {"--alpha", "X", CLI_REAL, offsetof(training, alpha),
     "weight of the affinity loss; 1 - alpha goes to the contrastive loss", 0, 1, NULL},
    {"--teacher-cache", "C", CLI_TEXT, offsetof(training, teacher_cache),
     "a folder that keeps the teacher's features, which later epochs and runs then take from it "
     "(C/teacher.cache, samples x augmentations x (8 E + "
     "8) bytes); "
     "it belongs to this teacher, data, tokenizer and augmentation, and is refused with another",
     0, 0, NULL},
    {"--cache-augmentations", "N", CLI_INT, offsetof(training, cache_augmentations),
     "augmentations (crop, mirror image, template) of a sample, one an epoch, then the first again; 0: 4 "
     "with --teacher-cache, else a new one in "
     "every epoch",
     0, 1 << 20, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* --model-config and --activation belong to the teacher; a student without a configuration of its own is
 * given as one. --image-size is for both. */
static tc_status open_student(const training *t, const tc_model *teacher, tc_model **out, const char **path,
                              tc_error *err) {
    if (!t->student) {
        tc_open_options same = cli_open_options(&t->common);
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
    cli_common own = {.image_size = t->common.image_size};
    tc_open_options open = cli_open_options(&own);
    return configuration ? cli_model_create(out, t->student, (uint64_t)t->seed, &own, err)
                         : cli_model_load(out, t->student, &open, err);
}

/* *masks: whether there are any. */
static int read_masks(const cli_verb *verb, const training *t, tc_mask_options *m, bool *masks) {
    *masks = t->goal.keep || t->goal.params || t->goal.macs;
    *m = tc_mask_options_default();
    if (!*masks &&
        (t->fold_step || t->target_warmup != defaults.target_warmup || t->mask_lr != defaults.mask_lr))
        return cli_usage(
            verb, "--fold-step, --target-warmup and --mask-lr need one of --keep, --params and --macs");
    m->fold_step = t->fold_step;
    m->target_warmup = t->target_warmup;
    m->lr = t->mask_lr;
    return cli_goal_read(verb, &t->goal, &m->keep, &m->params, &m->macs);
}

static int run(const cli_verb *verb, int argc, char **argv) {
    training t = defaults;
    cli_list args = {0};
    tc_error err = {0};
    tc_model *student = NULL, *teacher = NULL;
    const char *path = "";
    tc_mask_options m;
    int code;
    bool masks;
    if (!cli_parse(verb, argc, argv, &t, &args, &code)) return code;
    code = read_masks(verb, &t, &m, &masks);
    if (code == CLI_DONE && (!t.teacher || (!t.student && !masks)))
        code = cli_usage(verb, "name the models with --teacher and --student");
    if (code == CLI_DONE) code = cli_training_check(verb, &t);
    if (code == CLI_DONE) {
        tc_open_options open = cli_open_options(&t.common);
        tc_status status = cli_model_load(&teacher, t.teacher, &open, &err);
        if (status == TC_OK) status = open_student(&t, teacher, &student, &path, &err);
        code = status == TC_OK ? cli_training_run(&t, student, path, teacher, masks ? &m : NULL)
                               : cli_failed(&err);
    }
    if (teacher) tc_model_close(&teacher);
    cli_release(verb, &t, &args);
    return code;
}

const cli_verb cmd_distill = {
    .name = "distill",
    .summary = "train a student on its teacher's affinities",
    .usage = "--teacher T --student S --data D --out DIR --steps N [--inherit] [options]\n"
             "--teacher T --keep 50% --data D --out DIR --steps N [options]",
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
        "tinyclip distill --teacher teacher --student student --data pairs/ --out run --epochs 6 --resume\n"
        "tinyclip distill --teacher teacher --student student --data pairs/ --out run --epochs 20 "
        "--teacher-cache features --crop-scale-min 0.9",
    .options = options,
    .more = cli_training_options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .least_args = 0,
    .most_args = 0,
    .run = run};
