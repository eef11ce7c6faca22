/* training.h - a training run while it goes on: what the files about one share (train.c, the loop; run_*.c,
 * its parts; train_auto.c, masks). */
#ifndef TC_TRAINING_H
#define TC_TRAINING_H

#include "train/run_log.h"
#include "train/trainer.h"
#include "data/data.h"

typedef struct tc_training {
    const tc_train_options *o; /* as given; once it is planned, `chosen` */
    tc_train_options chosen;   /* with what they left open */
    tc_log log;
    tc_trainer *trainer;
    tc_loader *loader;
    tc_teacher_cache *cache; /* or NULL */
    int64_t *cache_rows;     /* [batch] */
    uint64_t teacher_hash;
    int64_t steps, first;
    double epochs_per_step;
    char *settings;
    tc_log_file file; /* log.jsonl */
    int lock;
    double started, last_line, last_loss, top1;
    int64_t pairs;      /* of this call */
    int64_t bad_before; /* samples that calls before this one left out */
    int64_t saved;      /* step of the newest checkpoint; -1: none */
    /* with masks: the options as they are meant, and the goal in what `budget` counts */
    tc_mask_options masks;
    tc_budget_kind budget;
    double goal;
} tc_training;

/* Puts in what the options leave open; t->o are those afterwards. */
tc_status tc_training_plan(tc_training *t, tc_error *err);
tc_status tc_training_trainer(tc_training *t, tc_error *err);
tc_loader_options tc_training_loader(const tc_training *t);
/* Bytes that the run takes with captions of usual length, and at most. Returns the ids of a usual caption. */
int tc_training_memory(const tc_training *t, size_t *usual, size_t *most);
/* t->settings, and the hash of the teacher. */
tc_status tc_training_settings(tc_training *t, tc_error *err);
/* Tells and logs figures of the student as it is. */
tc_status tc_training_evaluate(tc_training *t, tc_error *err);
/* The student with its card, as OUT/model or OUT/model.safetensors. */
tc_status tc_training_save_model(tc_training *t, tc_error *err);

/* ---- the automatic phase: masks until the fold. All do nothing, or say nothing, in a run without masks. */

/* Checks the options of the masks, puts in what they leave open, and refuses goals that cannot be met. Needs
 * t->steps. */
tc_status tc_auto_plan(tc_training *t, tc_error *err);
/* What the trainer is to do; `steps` and schedule of `h` are there. */
tc_mask_hyper tc_auto_hyper(const tc_training *t, const tc_hyper *h);
/* Adds what a resumed run must share with the first one. */
void tc_auto_settings(const tc_training *t, json_t *settings);
void tc_auto_tell(const tc_training *t);
/* Adds what a step with masks has. */
void tc_auto_log(const tc_training *t, const tc_step_log *s, tc_step_line *line);
/* A model to evaluate in place of the masked student: folded with the deterministic mask. *out is NULL
 * without masks. */
tc_status tc_auto_model(const tc_training *t, tc_model **out, tc_error *err);
/* Folds the masks if it is time to; *folded: it was. */
tc_status tc_auto_fold(tc_training *t, bool *folded, tc_error *err);
/* Adds to a model card what was kept. */
void tc_auto_card(const tc_training *t, json_t *card);

#endif
