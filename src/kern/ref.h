/* ref.h - the plain-C kernels, the specification of the table; see kern.h for their contracts. */
#ifndef TC_REF_H
#define TC_REF_H

#include "kern/kern_priv.h"

void ref_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a, int64_t lda,
              const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc);
extern const tc_form ref_form;

tc_conv *ref_conv_create(const tc_conv_shape *s);
void ref_conv_run(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y);
void ref_conv_backward(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                       tc_real *dx, tc_real *dw);
void ref_conv_free(tc_conv *c);
/* The same without an object. */
void ref_conv_forward(const tc_conv_shape *s, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y);
void ref_conv_gradients(const tc_conv_shape *s, int64_t batch, const tc_real *x, const tc_real *w,
                        const tc_real *dy, tc_real *dx, tc_real *dw);
void ref_avgpool(int64_t batch, int side, int64_t n, int s, const tc_real *x, tc_real *y);
void ref_avgpool_backward(int64_t batch, int side, int64_t n, int s, const tc_real *dy, tc_real *dx,
                          bool add);

void ref_patchify(int64_t batch, int size, int patch, const tc_real *x, tc_real *y);
void ref_tokens(int64_t batch, int64_t rows, int64_t n, const tc_real *x, const tc_real *first,
                const tc_real *positions, tc_real *y);
void ref_tokens_backward(int64_t batch, int64_t rows, int64_t n, const tc_real *dy, tc_real *dx,
                         tc_real *dfirst, tc_real *dpositions);
void ref_embed(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *table,
               const tc_real *positions, tc_real *y);
void ref_embed_backward(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *dy,
                        tc_real *dtable, tc_real *dpositions);
void ref_clear_rows(int64_t count, const int32_t *at, int64_t n, tc_real *x);
void ref_pick_rows(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *x, tc_real *y);
void ref_pick_rows_backward(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *dy,
                            tc_real *dx);

void ref_batch_stats(int64_t rows, int64_t n, const tc_real *x, double *mean, double *var);
void ref_batch_rstd(int64_t n, const double *var, double eps, double *rstd);
void ref_running_stats(int64_t n, const tc_real *running_mean, const tc_real *running_var, double *mean,
                       double *var);
void ref_running_update(int64_t rows, int64_t n, double momentum, const double *mean, const double *var,
                        tc_real *running_mean, tc_real *running_var, tc_real *counter);
void ref_batchnorm(int64_t rows, int64_t n, const tc_real *x, const double *mean, const double *rstd,
                   const tc_real *w, const tc_real *b, int act, tc_real *y);
void ref_batchnorm_backward(int64_t rows, int64_t n, const tc_real *x, const double *mean, const double *rstd,
                            const tc_real *w, const tc_real *b, int act, const tc_real *dy, tc_real *dx,
                            tc_real *dw, tc_real *db);

void ref_layernorm(int64_t rows, int64_t n, const tc_real *x, int64_t ldx, const tc_real *w, const tc_real *b,
                   tc_real eps, tc_real *y, int64_t ldy, tc_real *mean_rstd);
void ref_layernorm_backward(int64_t rows, int64_t n, const tc_real *x, const tc_real *w,
                            const tc_real *mean_rstd, const tc_real *dy, tc_real *dx, bool add_dx,
                            tc_real *dw, tc_real *db);
void ref_layernorm_kept(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x, const tc_real *w,
                        const tc_real *b, tc_real eps, tc_real *y, tc_real *mean_rstd);
void ref_layernorm_kept_backward(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x,
                                 const tc_real *w, const tc_real *mean_rstd, const tc_real *dy, tc_real *dx,
                                 bool add_dx, tc_real *dw, tc_real *db);
void ref_scale(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask, tc_real *y);
void ref_scale_backward(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask,
                        const tc_real *dy, tc_real *dx, bool add_dx, tc_real *dmask);
void ref_act(int kind, int64_t n, const tc_real *x, tc_real *y);
void ref_act_backward(int kind, int64_t n, const tc_real *x, const tc_real *dy, tc_real *dx);
void ref_bias_act(int kind, int64_t rows, int64_t n, tc_real *x, const tc_real *bias, tc_real *y);
void ref_bias_backward(int64_t rows, int64_t n, const tc_real *dy, tc_real *db);
void ref_add(int64_t n, const tc_real *a, const tc_real *b, tc_real *y);
void ref_copy(int64_t n, const tc_real *x, tc_real *y);
void ref_zero(int64_t n, tc_real *y);
void ref_from_float(int64_t n, const float *x, tc_real *y);
void ref_to_float(int64_t n, const tc_real *x, float *y);
void ref_softmax(int64_t rows, int64_t n, tc_real *x, int64_t ldx);
void ref_l2norm(int64_t rows, int64_t n, const tc_real *x, tc_real *y, tc_real *inv_norm);
void ref_l2norm_backward(int64_t rows, int64_t n, const tc_real *y, const tc_real *inv_norm,
                         const tc_real *dy, tc_real *dx);

void ref_attention(const tc_attention *a, tc_real *out, int64_t ldo, tc_real *lse);
void ref_attention_backward(const tc_attention *a, const tc_real *out, int64_t ldo, const tc_real *lse,
                            const tc_real *dout, int64_t lddo, tc_real *dq, tc_real *dk, tc_real *dv);

/* One sequence and head of the same, on the calling thread. */
void ref_attention_head(const tc_attention *a, int s, int h, tc_real *out, int64_t ldo, tc_real *lse);
void ref_attention_backward_head(const tc_attention *a, int s, int h, const tc_real *out, int64_t ldo,
                                 const tc_real *lse, const tc_real *dout, int64_t lddo, tc_real *dq,
                                 tc_real *dk, tc_real *dv);

double ref_softmax_xent(int64_t rows, int64_t n, tc_real *x, int64_t ldx, const tc_real *q, int64_t ldq,
                        int64_t first_target, tc_real grad_scale);
double ref_dot(int64_t n, const tc_real *x, const tc_real *y);
void ref_adamw(int64_t n, tc_real *p, const tc_real *g, tc_real *m, tc_real *v, double gscale, double lr,
               double wd, double b1, double b2, double eps, double c1, double c2);

#endif
