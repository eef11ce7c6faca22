/* x86.h - the tables and functions of the x86 levels. */
#ifndef TC_X86_H
#define TC_X86_H

#include "kern/kern_priv.h"

extern const tc_kern tc_kern_avx2, tc_kern_avx512;

double tc_avx2_peak(int64_t count);
double tc_avx512_peak(int64_t count);

/* ---- dnnl.c */
void tc_dnnl_cap(int level);
void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a,
                  int64_t lda, const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc);

/* ---- dnnl_conv.c */
extern const tc_form tc_form_dnnl_conv;
tc_conv *tc_dnnl_conv_create(const tc_conv_shape *s);
void tc_dnnl_conv_run(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y);
void tc_dnnl_conv_backward(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                           tc_real *dx, tc_real *dw);
void tc_dnnl_conv_free(tc_conv *c);

/* ---- x86_linear.c */
/* Outputs first .. last-1 without scratch. */
void tc_x86_linear_slow(const tc_packed *l, const float *packed, int64_t panel, int64_t first, int64_t last,
                        int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy);

#endif
