/* cmd_train.c - contrastive training, from random weights or from a model. */
#include "training.h"

#include <stdlib.h>
#include <string.h>

static training defaults;
static void prepare(void) { defaults.options = tc_train_options_default(); }
static const cli_settings settings[] = {{tc_train_setting, offsetof(training, options), TC_SETTING_TEACHER},
                                        {NULL, 0, 0}};
static const cli_option options[] = {
    {"--config", "C", CLI_FILE, offsetof(training, config),
     "the configuration: a JSON file or a built-in name; the weights are random unless --init is given", 0, 0,
     NULL},
    {"--init", "MODEL", CLI_FILE, offsetof(training, init), "the model to start from", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* A model to start from must be what --config says, if both are given. */
static tc_status open_start(const training *t, tc_model **out, tc_error *err) {
    if (!t->init) return cli_model_create(out, t->config, t->options.seed, &t->run.common, err);
    /* A folder has its own configuration, which --config is compared with; a file alone may have none. */
    tc_open_options open = cli_open_options(&t->run.common);
    if (!open.config && !cli_path_is_dir(t->init)) open.config = t->config;
    tc_status status = cli_model_load(out, t->init, &open, err);
    if (status != TC_OK || !t->config) return status;
    char difference[256];
    status = tc_model_config_difference(*out, t->config, difference, sizeof difference, err);
    if (status == TC_OK && *difference)
        status = cli_fail(err, TC_EARG,
                          "%s is not of the configuration %s: %s; a model of another size is made by inherit",
                          t->init, t->config, difference);
    if (status != TC_OK) tc_model_close(out);
    return status;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    training t;
    cli_list args = {0};
    tc_error err = {0};
    tc_model *start = NULL;
    int code;
    if (!cli_run_parse(verb, argc, argv, &t, sizeof t, &t.options.out, &args, &code)) return code;
    if (!t.config && !t.init)
        code = cli_usage(verb, "name a configuration with --config, or a model to start from with --init");
    else code = cli_training_check(verb, &t);
    if (code == CLI_DONE) {
        tc_status status = open_start(&t, &start, &err);
        code = status == TC_OK ? cli_training_run(&t, start, t.init ? t.init : "", NULL, NULL)
                               : cli_failed(&err);
    }
    cli_run_release(verb, &t, &args);
    return code;
}

const cli_verb cmd_train = {
    .name = "train",
    .summary = "train a model with the contrastive loss",
    .usage = "--config C.json --data D --out DIR --steps N [options]\n--init MODEL --data D --out DIR "
             "--epochs X [options]\n--resume DIR [options]",
    .description = "Trains on pairs of images and captions, or on labelled images whose captions are made "
                   "from templates. "
                   "Before the first step it tells what the data holds and the "
                   "memory that it takes. An interrupt finishes the step, saves a checkpoint and ends; "
                   "--resume DIR goes on from it, to the same weights bit for bit.\n"
                   "DIR/model is a Hugging Face folder; of a pruned model, or one with a ResNet, which such "
                   "a folder cannot hold, "
                   "DIR/model.safetensors is written instead.",
    .examples =
        "tinyclip train --config teacher.json --data fashion-mnist --out run --steps 300 --batch 256 --lr "
        "1e-3\n"
        "tinyclip train --init model --data pairs/ --out run --epochs 2 --lr 1e-5 --crop-scale-min 0.9\n"
        "tinyclip train --config teacher.json --data pairs.csv --out run --epochs 10 --checkpoint-every 500\n"
        "tinyclip train --resume run",
    .options = options,
    .settings = settings,
    .more = cli_run_options,
    .common = CLI_WITH_ALL,
    .defaults = &defaults,
    .prepare = prepare,
    .least_args = 0,
    .most_args = 0,
    .run = run};
