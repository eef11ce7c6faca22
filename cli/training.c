/* training.c - a training run as both train and distill start it: options into tc_train_options, signals into
 * a stop, the result into a report. */
#include "training.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_training_options[] = {
    {"--data", "D", CLI_TEXT, offsetof(training, data.spec), CLI_DATA_HELP, 0, 0, NULL},
    {"--out", "DIR", CLI_TEXT, offsetof(training, out),
     "the folder for the model (DIR/model; a ResNet: DIR/model.safetensors), the checkpoints and log.jsonl",
     0, 0, NULL},
    {"--steps", "N", CLI_INT, offsetof(training, steps), "steps in all; 0: from --epochs", 0, 1e12, NULL},
    {"--epochs", "X", CLI_REAL, offsetof(training, epochs),
     "passes over the data; --steps or --epochs is needed", 0, 1e9, NULL},
    {"--batch", "N", CLI_INT, offsetof(training, batch), "pairs a step", 1, 1 << 20, NULL},
    {"--lr", "X", CLI_REAL, offsetof(training, lr), "peak learning rate", 0, 1e3, NULL},
    {"--warmup", "N", CLI_REAL, offsetof(training, warmup),
     "steps of linear warm-up before the cosine; -1: a tenth of the steps, at most 2000", -1, 1e12, NULL},
    {"--wd", "X", CLI_REAL, offsetof(training, wd), "weight decay of the matrices", 0, 1e3, NULL},
    {"--beta1", "X", CLI_REAL, offsetof(training, beta1), "AdamW's decay of the first moment", 0, 1, NULL},
    {"--beta2", "X", CLI_REAL, offsetof(training, beta2),
     "AdamW's decay of the second moment; -1: 0.98, with a ResNet as image tower 0.999", -1, 1, NULL},
    {"--eps", "X", CLI_REAL, offsetof(training, eps),
     "AdamW's epsilon; 0: 1e-6, with a ResNet as image tower 1e-8", 0, 1, NULL},
    {"--clip", "X", CLI_REAL, offsetof(training, clip), "largest norm of the gradient; 0: any", 0, 1e12,
     NULL},
    {"--logit-scale", "X", CLI_REAL, offsetof(training, logit_scale),
     "fixed scale of the logits; 0: learnt, from 1/0.07 on", 0, 1e4, NULL},
    {"--crop-scale-min", "X", CLI_REAL, offsetof(training, crop_scale_min),
     "random resized crop: the smallest part of the area that is kept; 1: no random crop", 1e-6, 1, NULL},
    {"--flip", NULL, CLI_FLAG, offsetof(training, flip), "mirror half of the images", 0, 0, NULL},
    {"--seed", "N", CLI_INT, offsetof(training, seed), "of the weights, the order and the augmentation", 0,
     9e15, NULL},
    {"--workers", "N", CLI_INT, offsetof(training, workers), "threads that decode images; 0: chosen", 0, 1024,
     NULL},
    {"--checkpoint-every", "N", CLI_INT, offsetof(training, checkpoint_every),
     "steps between checkpoints; 0: only at the end and when stopped", 0, 1e12, NULL},
    {"--resume", NULL, CLI_FLAG, offsetof(training, resume),
     "go on from the newest checkpoint in DIR, with the same options", 0, 0, NULL},
    {"--stop-after", "N", CLI_INT, offsetof(training, stop_after),
     "stop after this many steps of this run, with a checkpoint; 0: run to the end", 0, 1e12, NULL},
    {"--split", "PART", CLI_CHOICE, offsetof(training, data.split),
     "the part of the data; without it train for the named sets, all for the others" CLI_SPLIT_HELP, 0, 0,
     "train|test|all"},
    {"--templates", "F", CLI_TEXT, offsetof(training, data.templates),
     "prompt templates of labelled data, one a line, with {} in the place of the class; without it the "
     "data's own",
     0, 0, NULL},
    {"--caption-column", "C", CLI_TEXT, offsetof(training, data.caption_column),
     "column of a .csv that holds the captions; without it found by its name", 0, 0, NULL},
    {"--image-column", "C", CLI_TEXT, offsetof(training, data.image_column),
     "column of a .csv that holds the images; without it found by its name", 0, 0, NULL},
    {"--eval-data", "D", CLI_TEXT, offsetof(training, eval.spec),
     "data for figures while training: zero-shot accuracy of labelled ones, retrieval of pairs", 0, 0, NULL},
    {"--eval-split", "PART", CLI_CHOICE, offsetof(training, eval.split),
     "the part of it; without it test for the named sets, all for the others", 0, 0, "train|test|all"},
    {"--eval-templates", "F", CLI_TEXT, offsetof(training, eval.templates),
     "its templates; without it its own", 0, 0, NULL},
    {"--eval-every", "N", CLI_INT, offsetof(training, eval_every),
     "steps between evaluations; 0: only at the end", 0, 1e12, NULL},
    {"--eval-limit", "N", CLI_INT, offsetof(training, eval_limit), "samples of an evaluation; 0: all", 0,
     1e15, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

int cli_eval_check(const cli_verb *verb, const cli_data_args *eval, int64_t every, int64_t limit) {
    bool wanted = eval->split || eval->templates || every || limit;
    return wanted && !eval->spec ? cli_usage(verb, "name the data to evaluate on with --eval-data")
                                 : CLI_DONE;
}

int cli_training_check(const cli_verb *verb, const training *t) {
    if (!t->data.spec) return cli_usage(verb, "name the data with --data");
    if (!t->out) return cli_usage(verb, "name the folder for the result with --out");
    if ((t->steps > 0) == (t->epochs > 0)) return cli_usage(verb, "give one of --steps and --epochs");
    if (t->beta1 >= 1 || t->beta2 >= 1) return cli_usage(verb, "--beta1 and --beta2 must be below 1");
    return cli_eval_check(verb, &t->eval, t->eval_every, t->eval_limit);
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

/* ---- the run */

static tc_train_options train_options(const training *t) {
    tc_train_options o = tc_train_options_default();
    o.out = t->out;
    o.steps = t->steps;
    o.epochs = t->epochs;
    o.batch = (int)t->batch;
    o.lr = t->lr;
    o.warmup_steps = t->warmup;
    o.weight_decay = t->wd;
    o.beta1 = t->beta1;
    o.clip = t->clip;
    o.distill_weight = t->alpha;
    o.logit_scale = t->logit_scale;
    o.crop_scale_min = t->crop_scale_min;
    o.flip = t->flip;
    o.teacher_cache = t->teacher_cache;
    o.cache_augmentations = t->cache_augmentations > 0 ? (int)t->cache_augmentations
                            : t->teacher_cache         ? CLI_CACHE_AUGMENTATIONS
                                                       : 0;
    o.seed = (uint64_t)t->seed;
    o.workers = (int)t->workers;
    o.checkpoint_every = t->checkpoint_every;
    o.eval_every = t->eval_every;
    o.eval_limit = t->eval_limit;
    o.stop_after = t->stop_after;
    o.resume = t->resume;
    o.log = cli_log;
    return o;
}

static int report(const training *t, const tc_train_result *r) {
    char spent[32];
    if (!t->common.json) {
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
    json_object_set_new(all, "out", cli_json_text(t->out));
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
    tc_train_options o = train_options(t);
    tc_train_result r = {.top1 = -1};
    tc_status status = cli_model_adopt(&m, init, path, &t->common, CLI_TOKENIZER, &err);
    if (status == TC_OK) status = cli_data_open(&data, &t->data, "train", &err);
    if (status == TC_OK && t->eval.spec) status = cli_data_open(&eval, &t->eval, "test", &err);
    if (status == TC_OK) {
        bool resnet = strcmp(m.info->architecture, "ModifiedResNet") == 0;
        o.beta2 = t->beta2 >= 0 ? t->beta2 : resnet ? 0.999 : 0.98;
        o.eps = t->eps > 0 ? t->eps : resnet ? 1e-8 : 1e-6;
        o.init = m.model;
        o.teacher = teacher;
        o.masks = masks;
        o.data = data;
        o.eval_data = eval;
        o.tokenizer = m.tokenizer;
        o.preprocess = m.preprocess;
        o.stop = cli_catch_signals();
        status = tc_train(&o, NULL, &r, &err);
        cli_log_end();
    }
    if (data) tc_data_close(&data);
    if (eval) tc_data_close(&eval);
    cli_model_close(&m);
    return status == TC_OK ? report(t, &r) : cli_failed(&err);
}
