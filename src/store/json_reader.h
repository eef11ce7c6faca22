/* json_reader.h - typed values out of JSON that anybody may have written: configurations, recipes, records.
 *
 *     tc_json_reader r = {.name = path, .dialect = &tc_json_rules, .err = err};
 *     tc_json_object root = tc_json_root(&r, json), vision = tc_json_inner(&root, "vision_cfg", true);
 *     c.width = (int)tc_json_whole(&vision, "width", tc_range_of(1, 1 << 16), TC_JSON_NEEDED);
 *     if (c.width % 2) tc_json_wrong(&vision, "width", "%d is not even", c.width);
 *     return r.status;
 *
 * Nothing need be asked in between: the first thing that is wrong writes the message ("FILE: stages[1].keep
 * must be ...") and sets the status; from then on all is silent, and what is given instead of a value is that
 * of absent keys, or the least of the range if the key is needed. Strings and lists point into the JSON,
 * which must stay. */
#ifndef TC_JSON_READER_H
#define TC_JSON_READER_H

#include "store/store.h"

#include <math.h>

/* How a kind of file is spoken of: messages are the same sentences in other words. */
typedef struct tc_json_dialect {
    const char *colon;   /* between the place of a value and what is wrong with it */
    const char *not_a;   /* before what it should be: "must be ", "is not " */
    const char *missing; /* of a key; NULL: what it should be is said instead */
    const char *no_flag; /* of what is neither true nor false */
    bool whole_reals;    /* 12.0 is a whole number */
    bool null_is_absent; /* else null is a value, of the wrong kind */
} tc_json_dialect;
/* "vision_cfg.width must be ...", "train.lr: must be ...", "stages[0].steps is not ..." */
extern const tc_json_dialect tc_json_config, tc_json_rules, tc_json_record;

typedef struct tc_json_reader {
    const char *name; /* of the file, or "FILE:LINE" */
    const tc_json_dialect *dialect;
    tc_error *err;
    tc_status status;
} tc_json_reader;

typedef struct tc_json_object {
    tc_json_reader *reader;
    const json_t *json; /* NULL: it is not there, and so is none of its keys */
    char path[96];      /* "stages[1].vision"; "" of the whole file */
} tc_json_object;

/* Numbers from `least` to `most`; the ends may be left out. Whole numbers are at most 1e15 in any case. */
typedef struct tc_range {
    double least, most;
    bool above, below; /* least, most themselves do not belong to it */
} tc_range;
tc_range tc_range_of(double least, double most);
/* Any number. */
tc_range tc_range_any(void);
bool tc_range_has(const tc_range *r, double x);
/* "a whole number from 1 to 5", "a number above 0 to 1", "a number" -> out; returns out. */
const char *tc_range_text(const tc_range *r, bool whole, char *out, size_t size);

/* In the place of a value for an absent key: that the key must be there. */
#define TC_JSON_NEEDED INT64_MIN
#define TC_JSON_NEEDED_REAL (-INFINITY)

tc_json_object tc_json_root(tc_json_reader *r, const json_t *json);
tc_json_object tc_json_inner(const tc_json_object *o, const char *key, bool needed);
/* Entry i of the list `key`, which must be an object. */
tc_json_object tc_json_entry(const tc_json_object *o, const char *key, size_t i);

bool tc_json_has(const tc_json_object *o, const char *key);
int64_t tc_json_whole(const tc_json_object *o, const char *key, tc_range range, int64_t absent);
double tc_json_real(const tc_json_object *o, const char *key, tc_range range, double absent);
bool tc_json_flag(const tc_json_object *o, const char *key, bool absent, bool needed);
/* NULL if it is not there. */
const char *tc_json_text(const tc_json_object *o, const char *key, size_t least, size_t most, bool needed);
const json_t *tc_json_list(const tc_json_object *o, const char *key, bool needed);
/* A list of exactly n whole numbers into out [n]; `what` is said if there are more or fewer. False if it is
 * not there, or wrong. */
bool tc_json_wholes(const tc_json_object *o, const char *key, tc_range range, int n, const char *what,
                    int *out);
/* Refuses keys that are not in `known` (ends with NULL). `where`: "" or " in a manual stage". */
void tc_json_only(const tc_json_object *o, const char *const *known, const char *where);

/* A text from the file as messages may show it: cut, and without what would spoil a line. */
typedef struct tc_json_shown {
    char text[64];
} tc_json_shown;
tc_json_shown tc_json_plain(const char *text);
/* "FILE: PATH.KEY what is wrong", unless something was wrong before. key "": the object itself. */
void tc_json_wrong(const tc_json_object *o, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "must be an object": what a value should have been, in the words of the dialect. */
void tc_json_not(const tc_json_object *o, const char *key, const char *what);

#endif
