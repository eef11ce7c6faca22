/* products.h - the products that levels above ref leave to others: of two changing matrices, and
 * convolutions.
 *
 * They are oneDNN's (dnnl.c, dnnl_conv.c), or in a build without it (make DNNL=0) those of ref. TC_PRODUCTS
 * are their entries in a level's table, TC_CONV_FORM is the form of a convolution's weight. */
#ifndef TC_PRODUCTS_H
#define TC_PRODUCTS_H

#include "kern/ref.h"

#ifdef TC_DNNL

/* ---- dnnl.c */
void tc_dnnl_cap_avx2(void);
void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a,
                  int64_t lda, const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc);

/* Sets how many threads oneDNN takes where the calling thread calls it; returns what it was. */
int tc_dnnl_threads(int n);

/* ---- dnnl_conv.c */
extern const tc_form tc_form_dnnl_conv;
tc_conv *tc_dnnl_conv_create(const tc_conv_shape *s);
void tc_dnnl_conv_run(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y);
void tc_dnnl_conv_backward(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                           tc_real *dx, tc_real *dw);
void tc_dnnl_conv_free(tc_conv *c);

#define TC_PRODUCTS                                                                         \
    .gemm = tc_dnnl_gemm, .conv_create = tc_dnnl_conv_create, .conv_run = tc_dnnl_conv_run, \
    .conv_backward = tc_dnnl_conv_backward, .conv_free = tc_dnnl_conv_free
#define TC_CONV_FORM tc_form_dnnl_conv
#define tc_products_cap_avx2 tc_dnnl_cap_avx2

#else

#define TC_PRODUCTS                                                             \
    .gemm = ref_gemm, .conv_create = ref_conv_create, .conv_run = ref_conv_run, \
    .conv_backward = ref_conv_backward, .conv_free = ref_conv_free
#define TC_CONV_FORM ref_form
#define tc_products_cap_avx2 NULL

#endif

#endif
