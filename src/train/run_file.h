/* run_file.h - OUT/run.json: what a run was asked to do, written when it starts. */
#ifndef TC_RUN_FILE_H
#define TC_RUN_FILE_H

#include "train/settings.h"

/* Whether there is one. */
bool tc_run_file_exists(const char *dir);
/* Writes it, atomically: `content` (taken over; NULL: memory ran out) and the words of tc_run_restart. */
tc_status tc_run_file_write(const char *dir, json_t *content, const char *const *restart, int64_t count,
                            tc_error *err);
/* What of models and data belongs into it. */
void tc_run_file_model(json_t *content, const char *key, const tc_model *m);
void tc_run_file_data(json_t *content, const char *key, const tc_data *d);

#endif
