/* verbs.c - the table of verbs, in the order of the help text. */
#include "cli.h"

static const cli_verb *const verbs[] = {
    &cmd_classify, &cmd_score,   &cmd_embed,   &cmd_tokenize, &cmd_preprocess, &cmd_info,
    &cmd_train,    &cmd_inherit, &cmd_distill, &cmd_compress, &cmd_report,     &cmd_convert,
    &cmd_eval,     &cmd_bench,   &cmd_verify,  &cmd_demo,     &cmd_zoo,        &cmd_diff};

const cli_verb *cli_verb_at(size_t i) { return i < sizeof verbs / sizeof *verbs ? verbs[i] : NULL; }
