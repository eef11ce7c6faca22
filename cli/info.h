/* info.h - what a model is, as the verb info tells it. */
#ifndef TC_CLI_INFO_H
#define TC_CLI_INFO_H

#include "cli.h"

const char *info_activation(tc_activation a);
/* The activation that layout, configuration or option decide: a ModifiedResNet's own is ReLU in every case,
 * its text tower's is not. */
tc_activation info_decided_activation(const tc_model_info *i);
/* A table for people, on standard output. */
void info_print(const cli_model *m);

#endif
