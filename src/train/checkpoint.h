/* checkpoint.h - the state of a run on disk: OUT/checkpoint-STEP.safetensors, each complete in itself and
 * with its own checksum. */
#ifndef TC_CHECKPOINT_H
#define TC_CHECKPOINT_H

#include "train/trainer.h"

/* `settings`: JSON text of everything that must be the same on resuming; compared key by key. */
tc_status tc_checkpoint_save(const tc_trainer *t, const char *dir, const char *settings, tc_error *err);
/* Loads the newest valid checkpoint of the folder into the trainer, which becomes one of the folded student
 * if the checkpoint is. A damaged one is passed over and told to the log. TC_ESTATE if there is none; TC_EARG
 * if the settings differ, naming the first difference. On failure the trainer is what it was. */
tc_status tc_checkpoint_load(tc_trainer *t, const char *dir, const char *settings, const tc_log *log,
                             tc_error *err);
/* Whether the folder has any checkpoint file, valid or not. */
bool tc_checkpoint_exists(const char *dir);
/* The first setting that differs: "KEY was A and is now B" is added to out, KEY with the names of the objects
 * and the places in the lists around it. */
bool tc_settings_differ(const char *key, json_t *old, json_t *now, tc_buf *out);

#endif
