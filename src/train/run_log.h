/* run_log.h - the log.jsonl of a training run, read back. */
#ifndef TC_RUN_LOG_H
#define TC_RUN_LOG_H

#include "base/base.h"

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
