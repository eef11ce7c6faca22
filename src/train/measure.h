/* measure.h - what the measurements of speed share. */
#ifndef TC_MEASURE_H
#define TC_MEASURE_H

#include "model/model.h"

/* Random pixel_values [batch,3,S,S] and captions [batch,context] of `caption` ids, padded with 0; the end is
 * the largest id, as in CLIP's vocabulary. */
void tc_random_batch(const tc_config *c, int batch, int caption, float *pixels, int32_t *ids);
/* What speeds are noted for: images at once, and ids of a caption. */
enum { TC_SPEED_BATCH = 32, TC_SPEED_CAPTION = 10 };
/* tc_measure_speed of several models, which take turns; out [count]. */
tc_status tc_measure_speeds(const tc_model *const *models, int count, int batch, int caption, double seconds,
                            tc_speed *out, tc_error *err);
/* Time of one training step with affinity mimicking on random images and captions of `caption` tokens (start
 * and end included), after warm-up: the median of `steps` steps, seconds. The student's weights are copied,
 * not changed. teacher NULL: the contrastive loss. */
tc_status tc_train_measure(const tc_model *student, const tc_model *teacher, int batch, int caption,
                           int steps, double *seconds, tc_error *err);
/* For qsort of doubles. */
int tc_by_size(const void *a, const void *b);

#endif
