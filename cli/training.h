/* training.h - what train and distill share: options, the run, its report; and what compress takes of it. */
#ifndef TC_CLI_TRAINING_H
#define TC_CLI_TRAINING_H

#include "cli.h"

/* What every run starts with; first member of the structures of train, distill and compress. */
typedef struct cli_run {
    cli_common common;
    cli_data_args data, eval;
    const char *resume; /* the folder of a run; "": that of --out; NULL: it begins */
    char **kept;        /* the words of run.json that values point into */
    char **restart;     /* [restart_count] words that start the run again, for run.json */
    int restart_count;
} cli_run;

/* Reads the arguments into `values`, `size` bytes that begin with a cli_run, as cli_parse does; of --resume
 * DIR the words that DIR keeps stand before those that are given. *out is the folder of the run. */
bool cli_run_parse(const cli_verb *verb, int argc, char **argv, void *values, size_t size, const char **out,
                   cli_list *args, int *code);
/* Instead of cli_release. */
void cli_run_release(const cli_verb *verb, void *values, cli_list *args);

typedef struct training {
    cli_run run;
    tc_train_options options;
    tc_mask_options masks;         /* distill */
    const char *config, *init;     /* train */
    const char *teacher, *student; /* distill */
    bool inherit;
} training;

/* Of a sample, with a teacher cache, unless told otherwise. */
enum { CLI_CACHE_AUGMENTATIONS = 4 };

/* The options of cli_run. */
extern const cli_option cli_run_options[];

/* What is wrong with the options that all have; CLI_DONE if nothing. */
int cli_run_check(const cli_verb *verb, const cli_run *r, const char *out, bool evaluates);
/* The same for train and distill. */
int cli_training_check(const cli_verb *verb, const training *t);
/* Trains `init`, prints the result, returns the exit code. Takes `init` over; teacher and masks may be NULL.
 * `path` is where init came from, or "". */
int cli_training_run(const training *t, tc_model *init, const char *path, const tc_model *teacher,
                     const tc_mask_options *masks);

/* What DIR/compress.json says, with the folder as "output"; NULL if it cannot be read. The caller releases
 * it. */
json_t *cli_record(const char *dir, tc_error *err);

/* From now on the first SIGINT or SIGTERM sets the number that this gives to 1; a second one ends the program
 * as usual. */
volatile int *cli_catch_signals(void);

#endif
