/* config_read.h - reading of JSON configurations that others wrote: the first error sticks, and everything
 * after it gives harmless values. */
#ifndef TC_CONFIG_READ_H
#define TC_CONFIG_READ_H

#include "net/config.h"

typedef struct tc_config_reader {
    const char *name; /* for messages */
    tc_error *err;
    tc_status status;
} tc_config_reader;

/* A whole number from `low` to `high`; `missing` if the key is not there (-1: it must be). `where` stands
 * before the key in messages. */
int tc_config_number(tc_config_reader *r, const json_t *object, const char *where, const char *key, int low,
                     int high, int missing);
/* The object `key`. */
const json_t *tc_config_section(tc_config_reader *r, const json_t *object, const char *key);
/* Notes an error if there is none yet. */
void tc_config_wrong(tc_config_reader *r, tc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
