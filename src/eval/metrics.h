/* metrics.h - ranks and best classes, shared by the evaluations. */
#ifndef TC_METRICS_H
#define TC_METRICS_H

#include "base/base.h"

/* Place of column `target` when x [n] is sorted descending, equal values in index order; 0 is best. */
int64_t tc_rank_of(const float *x, int64_t n, int64_t target);
/* best[0..k-1]: columns of the k largest of x [n], best first, equal values in index order; -1 where n < k.
 */
void tc_top_k(const float *x, int n, int k, int *best);

#endif
