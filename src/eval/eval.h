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

/* Images of a source through the image tower, batch by batch. A sample whose image cannot be read is left
 * out, counted and, the first few times, logged. */
typedef struct tc_image_pass {
    const tc_data *data;
    const tc_preprocess *preprocess;
    tc_session *session;
    int embed_dim;
    tc_log log;
    tc_selection selection;
    const char *what; /* for the line of progress */
    double start;
    int64_t at, skipped;    /* samples done, left out */
    float *pixels, *embeds; /* of the batch; embeds [n,E] has unit rows */
    int64_t *index;         /* sample numbers of its rows */
    tc_error *errors;
} tc_image_pass;
tc_status tc_image_pass_start(tc_image_pass *p, const tc_model *m, tc_error *err);
/* The next batch: *n rows in embeds and index. *n may be 0 although there is more; the pass is over when at
 * == selection.count. */
tc_status tc_image_pass_next(tc_image_pass *p, int *n, tc_error *err);
/* Error if every image was left out. */
tc_status tc_image_pass_check(const tc_image_pass *p, tc_error *err);
void tc_image_pass_release(tc_image_pass *p);

#endif
