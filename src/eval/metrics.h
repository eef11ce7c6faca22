/* metrics.h - ranks, shared by the evaluations. */
#ifndef TC_METRICS_H
#define TC_METRICS_H

#include "base/base.h"

/* Place of column `target` when x [n] is sorted descending, equal values in index order; 0 is best. */
int64_t tc_rank_of(const float *x, int64_t n, int64_t target);

#endif
