/* eval.h - what zero-shot classification and retrieval share. */
#ifndef TC_EVAL_H
#define TC_EVAL_H

#include "data/data.h"

/* Who is taken for whom is counted among so many classes at most. */
enum { TC_CONFUSION_CLASSES = 100 };

/* Which samples of a source are looked at: all, or `limit` of them evenly spaced, so that a source sorted by
 * class gives every class. */
typedef struct tc_selection {
    int64_t total, count;
} tc_selection;
tc_selection tc_select(int64_t total, int64_t limit);
int64_t tc_selected(const tc_selection *s, int64_t i);

enum { TC_IMAGES_AT_ONCE = 64 }; /* of a pass, unless told otherwise */

/* What an evaluation says of its pass over images: progress, and the first few that were left out. */
typedef struct tc_pass_log {
    tc_log log;
    const char *what; /* for the line of progress */
    double start;
    int64_t told;
} tc_pass_log;
/* A pass over samples of a source whose rows have length 1, and which says so. `log` stays until its end. */
tc_status tc_image_pass_logged(tc_image_pass **out, tc_session *s, const tc_data *d, const tc_preprocess *p,
                               int64_t limit, tc_pass_log *log, tc_error *err);
/* Error if every image was left out. */
tc_status tc_image_pass_check(const tc_image_pass *p, tc_error *err);

#endif
