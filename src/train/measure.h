/* measure.h - what the measurements of speed share. */
#ifndef TC_MEASURE_H
#define TC_MEASURE_H

#include "model/model.h"

/* Random pixel_values [batch,3,S,S] and captions [batch,context] of `caption` ids, padded with 0; the end is
 * the largest id, as in CLIP's vocabulary. */
void tc_random_batch(const tc_config *c, int batch, int caption, float *pixels, int32_t *ids);
/* For qsort of doubles. */
int tc_by_size(const void *a, const void *b);

#endif
