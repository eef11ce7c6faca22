/* training.h - what train and distill share: options, the run, its report; and what compress takes of it. */
#ifndef TC_CLI_TRAINING_H
#define TC_CLI_TRAINING_H

#include "cli.h"

typedef struct training {
    cli_common common;
    const char *config, *init;     /* train */
    const char *teacher, *student; /* distill */
    bool inherit;
    cli_goal goal; /* distill: masks */
    int64_t fold_step;
    double target_warmup, mask_lr;
    const char *teacher_cache;
    int64_t cache_augmentations;
    double alpha;
    cli_data_args data, eval;
    const char *out;
    int64_t steps, batch, seed, workers, checkpoint_every, eval_every, eval_limit, stop_after;
    double epochs, lr, warmup, wd, beta1, beta2, eps, clip, logit_scale, crop_scale_min;
    bool flip, resume;
} training;

/* The published recipe, as tc_train_options_default; both verbs change some of it. */
#define CLI_TRAINING_DEFAULTS                                                                            \
    .alpha = 1, .target_warmup = -1, .mask_lr = 0.02, .batch = 256, .lr = 1e-4, .warmup = -1, .wd = 0.2, \
    .beta1 = 0.9, .beta2 = -1, .eps = 0, .clip = 5, .crop_scale_min = 1

/* Of a sample, with a teacher cache, unless told otherwise. */
enum { CLI_CACHE_AUGMENTATIONS = 4 };

extern const cli_option cli_training_options[];

/* What is wrong with the options of evaluation while training: they need data; CLI_DONE if nothing. */
int cli_eval_check(const cli_verb *verb, const cli_data_args *eval, int64_t every, int64_t limit);
/* What is wrong with the options that both share; CLI_DONE if nothing. */
int cli_training_check(const cli_verb *verb, const training *t);
/* Trains `init`, prints the result, returns the exit code. Takes `init` over; teacher and masks may be NULL.
 * `path` is where init came from, or "". */
int cli_training_run(const training *t, tc_model *init, const char *path, const tc_model *teacher,
                     const tc_mask_options *masks);

/* From now on the first SIGINT or SIGTERM sets the number that this gives to 1; a second one ends the program
 * as usual. */
volatile int *cli_catch_signals(void);

#endif
