/* run_plan.h - what is known of a training run before it begins: for those that make several (compress.c). */
#ifndef TC_RUN_PLAN_H
#define TC_RUN_PLAN_H

#include "train/trainer.h"

/* What tc_train finds wrong with its options before it does anything. Of the models only the configurations
 * are looked at. */
tc_status tc_train_check(const tc_train_options *o, tc_error *err);
/* Steps for so many epochs, rounded up. */
int64_t tc_train_steps(double epochs, int64_t samples, int batch);
/* Bytes that a run takes with captions of 12 tokens, and at most. */
tc_status tc_train_memory(const tc_train_options *o, size_t *usual, size_t *most, tc_error *err);

/* What the trainer is told by options that leave nothing open. */
tc_hyper tc_train_hyper(const tc_train_options *o);

#endif
