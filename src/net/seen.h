/* seen.h - a checkpoint as families look at it: its tensors by canonical name, whatever it calls them. */
#ifndef TC_SEEN_H
#define TC_SEEN_H

#include "net/config.h"

/* A tensor that is a parameter, or a part of one. */
typedef struct tc_seen_tensor {
    const tc_tensor *tensor; /* NULL: there is none */
    int parts;               /* of so many */
    bool transposed;
} tc_seen_tensor;

typedef struct tc_seen {
    const char *path; /* for messages */
    const void *user;
    tc_seen_tensor (*find)(const void *user, const char *canonical, int part);
    /* The checkpoint's own name, for messages. */
    const char *(*spelling)(const void *user, const char *canonical, char *out, size_t size);
    bool says_pruned; /* it was written by a program that prunes */
    tc_error *err;
    tc_status status; /* the first error sticks */
} tc_seen;

bool tc_seen_has(const tc_seen *s, const char *canonical);
/* Length of axis `axis` of a parameter of `ndim` axes, at most `most`; 1 after an error. Sizes are best read
 * from vectors (biases, norms): a matrix that is stored the wrong way round is then found when it is bound,
 * with what is expected and what is there. */
int tc_seen_size(tc_seen *s, const char *canonical, int ndim, int axis, int64_t most);
/* The same of one that must not be 0. */
int tc_seen_at_least_one(tc_seen *s, const char *canonical, int ndim, int axis, int64_t most);
/* A whole number that is stored beside the weights; `missing` if it is not there. */
int tc_seen_scalar(tc_seen *s, const char *canonical, int missing);
/* Side of a square grid of which a table of positions has one row for each place and one more; 0: it is no
 * square. */
int tc_seen_grid(int positions);
/* Notes an error if there is none yet. */
void tc_seen_wrong(tc_seen *s, tc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
