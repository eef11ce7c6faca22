/* run_log.h - log.jsonl, which tells a training run step by step: written and read back. What stands in it is
 * described at tc_train. */
#ifndef TC_RUN_LOG_H
#define TC_RUN_LOG_H

#include "base/base.h"

/* ---- writing: each line is on its way to the disk when the function returns */

typedef struct tc_log_file {
    FILE *file;
    char *path;
} tc_log_file;

/* Opens DIR/log.jsonl for a run that goes on after step `first`. Lines of later steps, which a killed run may
 * have left, will be written again: they and what is no complete line are dropped. *loss and *top1 get the
 * last ones of the lines that stay, if there are any. */
tc_status tc_log_file_open(tc_log_file *l, const char *dir, int64_t first, double *loss, double *top1,
                           tc_error *err);
void tc_log_file_close(tc_log_file *l);

/* A step; what is not finite is written as null. */
typedef struct tc_step_line {
    int64_t step;
    double epoch, loss, lr, grad_norm, logit_scale, pairs_per_second;
    int pairs;
    bool skipped;
    bool masked; /* the following are there */
    double sparsity, target, lagrangian, lambda[4];
} tc_step_line;
tc_status tc_log_file_step(tc_log_file *l, const tc_step_line *s, tc_error *err);
/* The fold: the part of the prunable parameters that it left, and the model that it left. */
tc_status tc_log_file_fold(tc_log_file *l, int64_t step, double kept, const tc_model_info *left,
                           tc_error *err);
tc_status tc_log_file_classes(tc_log_file *l, int64_t step, const tc_zeroshot_result *r, tc_error *err);
tc_status tc_log_file_pairs(tc_log_file *l, int64_t step, const tc_retrieval_result *r, tc_error *err);

/* ---- reading */

typedef struct tc_logged_step {
    int64_t step;
    double loss, sparsity, target; /* NAN: not there */
} tc_logged_step;

typedef struct tc_logged_eval {
    int64_t step;
    double top1;
} tc_logged_eval;

typedef struct tc_run_log {
    tc_logged_step *steps; /* [step_count] */
    tc_logged_eval *evals; /* [eval_count] */
    size_t step_count, step_room, eval_count, eval_room;
    int64_t last;  /* the last step of all lines; 0: none yet */
    int64_t fold;  /* the step of the fold; -1: none */
    int64_t pairs; /* that all steps learnt from; -1: not known */
    double kept;   /* part of the prunable parameters that the fold left; NAN */
} tc_run_log;

/* A log of `size` bytes. A run that is going on may have half a last line; any other line that is no JSON, or
 * whose numbers are none, is TC_EFORMAT with its number. Whatever is returned, tc_run_log_free frees. */
tc_status tc_run_log_parse(tc_run_log *log, const char *file, const char *text, size_t size, tc_error *err);
tc_status tc_run_log_read(tc_run_log *log, const char *file, tc_error *err);
/* A log without lines. */
tc_run_log tc_run_log_empty(void);
void tc_run_log_free(tc_run_log *log);

#endif
