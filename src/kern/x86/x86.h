/* x86.h - the tables and functions of the x86 levels. */
#ifndef TC_X86_H
#define TC_X86_H

#include "kern/kern_priv.h"

extern const tc_kern tc_kern_avx2, tc_kern_avx512;

double tc_avx2_peak(int64_t count);
double tc_avx512_peak(int64_t count);

/* ---- x86_linear.c */
/* Outputs first .. last-1 without scratch. */
void tc_x86_linear_slow(const tc_packed *l, const float *packed, int64_t panel, int64_t first, int64_t last,
                        int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy);

#endif
