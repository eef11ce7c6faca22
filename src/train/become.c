/* become.c - the end of the masks: a trainer becomes one of the folded student. */
#include "train/trainer.h"

tc_status tc_trainer_become(tc_trainer *t, tc_model **student, tc_error *err) {
    tc_hyper h = t->hyper;
    tc_trainer *now = NULL;
    h.masks = NULL;
    h.schedule = t->masks.folded;
    tc_status status = tc_trainer_create(&now, student, t->teacher, &h, err);
    if (status != TC_OK) return status;
    now->step = t->step;
    now->skipped = t->skipped;
    now->skipped_in_a_row = t->skipped_in_a_row;
    now->bad_samples = t->bad_samples;
    now->cache = t->cache;
    now->cache_rows = t->cache_rows;
    now->folded = true;
    now->folded_after = t->step - t->skipped;
    tc_trainer before = *t;
    *t = *now;
    *now = before;
    tc_trainer_free(&now);
    return TC_OK;
}
