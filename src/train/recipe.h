/* recipe.h - a compression in stages, as a JSON file describes it.
 *
 *   {"name": "...", "description": "...", "source": "...",
 *    "train": {...}, "cache_augmentations": N,
 *    "stages": [{"name": "75", "inheritance": "auto", "keep": 0.75, "fold_step": 3000, "target_warmup": 1000,
 * "mask_lr": 0.02, "steps": N, "train": {...}},
 *               {"name": "50", "inheritance": "manual", "student": "a built-in name" or {a configuration},
 * "epochs": X}]}
 *
 * "train" holds what is said about training for all stages, that of a stage what is different in it; its keys
 * are the fields of tc_stage_train. An automatic stage has one of "keep" (part of the teacher's prunable
 * parameters), "params" and "macs" (what is left, as tc_mask_options has them). */
#ifndef TC_RECIPE_H
#define TC_RECIPE_H

#include "net/net.h"

enum { TC_MAX_STAGES = 16 };

/* Hyperparameters, as in tc_train_options. */
typedef struct tc_stage_train {
    int64_t batch;
    double lr;
    double warmup_steps; /* -1: not given, chosen by the run */
    double weight_decay, beta1;
    double beta2; /* -1: not given, by the kind of the image tower */
    double eps;   /* 0: likewise */
    double clip;
    double alpha; /* weight of the affinity loss */
    double logit_scale, crop_scale_min;
    bool flip;
    int64_t checkpoint_every;
} tc_stage_train;

typedef struct tc_stage {
    char *name; /* unique in the recipe */
    bool automatic;
    /* automatic: the goal, one of the three is not 0, and the masks */
    double keep;
    int64_t params;
    double macs;
    int64_t fold_step;
    double target_warmup, mask_lr;
    /* manual */
    json_t *student; /* a built-in name or a configuration */
    tc_config config;
    int64_t steps; /* one of the two is not 0 */
    double epochs;
    tc_stage_train train;
} tc_stage;

typedef struct tc_recipe {
    char *path; /* for messages */
    char *name, *description, *source;
    int cache_augmentations; /* of each sample whose teacher features are kept; 0: no cache */
    int count;
    tc_stage stages[TC_MAX_STAGES];
} tc_recipe;

/* Reads a recipe strictly: an unknown or missing key, a value of the wrong kind or out of range, a stage that
 * would grow, and settings that contradict each other are errors that name the file and the key ("R.json:
 * stages[1].keep: ..."). TC_EIO, TC_EFORMAT. The caller frees *out. */
tc_status tc_recipe_open(tc_recipe **out, const char *path, tc_error *err);
/* The same from JSON; `path` is for messages. */
tc_status tc_recipe_parse(tc_recipe **out, const json_t *json, const char *path, tc_error *err);
void tc_recipe_free(tc_recipe **r);
/* Another goal for the last stage, which must be automatic; one of the three is not 0. TC_EARG. */
tc_status tc_recipe_set_goal(tc_recipe *r, double keep, int64_t params, double macs, tc_error *err);
/* What beta2 and eps are where the recipe does not say it. */
void tc_recipe_resolve(tc_recipe *r, tc_image_tower tower);
/* The recipe with all its defaults; tc_recipe_parse makes the same recipe of it. NULL if memory ran out. */
json_t *tc_recipe_json(const tc_recipe *r);

#endif
