/* recipe.h - a compression in stages, as a JSON file describes it.
 *
 *   {"name": "...", "description": "...", "source": "...",
 *    "train": {...}, "cache_augmentations": N,
 *    "stages": [{"name": "75", "inheritance": "auto", "keep": 0.75, "fold_step": 3000, "target_warmup": 1000,
 * "mask_lr": 0.02, "steps": N, "train": {...}},
 *               {"name": "50", "inheritance": "manual", "student": "a built-in name" or {a configuration},
 * "epochs": X}]}
 *
 * "train" holds what is said about training for all stages, that of a stage what is different in it. The keys
 * of numbers and flags are those of the settings (settings.c). An automatic stage has one of "keep" (part of
 * the teacher's prunable parameters), "params" and "macs" (what is left, as tc_mask_options has them). */
#ifndef TC_RECIPE_H
#define TC_RECIPE_H

#include "net/net.h"

enum { TC_MAX_STAGES = 16 };

typedef struct tc_stage {
    char *name; /* unique in the recipe */
    bool automatic;
    tc_mask_options masks; /* automatic: one goal is not 0, and fold_step is given */
    json_t *student;       /* manual: a built-in name or a configuration */
    tc_config config;
    tc_train_options train; /* what a recipe can say of it; one of steps and epochs is not 0 */
} tc_stage;

typedef struct tc_recipe {
    char *path; /* for messages */
    char *name, *description, *source;
    int cache_augmentations; /* of each sample whose teacher features are kept; 0: no cache. All stages' */
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
/* Puts in what the recipe leaves open and the kind of the image tower decides. */
void tc_recipe_resolve(tc_recipe *r, const tc_tower_family *family);
/* The recipe with all its defaults; tc_recipe_parse makes the same recipe of it. NULL if memory ran out. */
json_t *tc_recipe_json(const tc_recipe *r);

#endif
