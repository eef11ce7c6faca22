/* golden_run.h - whole training steps, as the folders train and l0 have them. */
#ifndef TC_GOLDEN_RUN_H
#define TC_GOLDEN_RUN_H

#include "golden/golden.h"

#include "train/trainer.h"

typedef struct golden_run {
    const char *title;
    const json_t *json; /* configurations, tolerances, slices of zero gradient */
    tc_store *input, *expected;
    tc_trainer *trainer;
} golden_run;

/* The model of configuration json[config_key] with the input's tensors PREFIX + name. */
tc_status golden_run_model(tc_model **out, const golden_run *r, const char *prefix, const char *config_key,
                           tc_error *err);
/* A step on the input's batch of that number. */
tc_status golden_run_step(golden_run *r, int step, tc_step_log *log, tc_error *err);
/* Every expected tensor that is stored as PREFIX.KEY against values; tolerance by key, with the slices of
 * zero gradient apart. */
void golden_run_compare(const golden_run *r, const char *prefix, const tc_real *flat, const json_t *tolerance,
                        double slice_tolerance);

#endif
