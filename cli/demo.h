/* demo.h - the demonstration: what its parts share. */
#ifndef TC_CLI_DEMO_H
#define TC_CLI_DEMO_H

#include "cli.h"

/* Writes test pictures as PNG files into DIR/images and classifies them with the model in `path`: prints a
 * table, or adds to `results` if it is not NULL. */
tc_status demo_classify(const char *dir, const char *path, const tc_data *data, json_t *results,
                        tc_error *err);

#endif
