/* csv.h - inside data/: a reader of comma- or tab-separated records that lie in memory. */
#ifndef TC_CSV_H
#define TC_CSV_H

#include "base/base.h"

enum { TC_CSV_FIELDS = 1024, TC_CSV_RECORD_LIMIT = 1 << 20 };

typedef struct tc_csv {
    char *at, *end; /* *end is a NUL that may be written to */
    char separator;
    size_t line; /* of `at`, from 1 */
    const char *name;
} tc_csv;

/* Skips a byte order mark and chooses tab if the first line has one, else comma. text[size] must exist; the
 * text is changed by reading. */
void tc_csv_init(tc_csv *c, char *text, size_t size, const char *name);
/* The next record that is not an empty line: fields[0..*n-1] point into the text, quotes removed,
 * NUL-terminated; *n is 0 at the end. *bad is set if text follows a closing quote. An open quote, a NUL byte,
 * a record of more than TC_CSV_RECORD_LIMIT bytes or TC_CSV_FIELDS fields is an error. */
tc_status tc_csv_next(tc_csv *c, char **fields, int *n, bool *bad, tc_error *err);

#endif
