/* kern.h - the kernels: one table of function pointers, one contract each.
 *
 * Three levels fill the table: `ref` (plain C, the specification), avx2 (AVX2 + FMA + F16C) and avx512 (F,
 * BW, DQ, VL). tc_kern_get() gives the table of the best level that the CPU has and TINYCLIP_CPU allows. gemm
 * is oneDNN's at avx2 and avx512 and plain C at ref; products with a weight that stays have forms of their
 * own (form.h). In the double build (TC_REAL=double) only ref exists.
 *
 * Common rules. All matrices are row-major; `ld` is the distance between rows in elements. Pointers need no
 * alignment beyond the element's, but aligned ones are faster. Outputs never overlap inputs unless the
 * comment says so. Kernels are thread-safe, never allocate (except conv_create and a bounded thread-local
 * scratch on first use), and split their own work over the threads (threads.h) where it is worth it.
 * Reductions have a fixed order whatever the number of threads. Sequences: seq[0..nseq] are row offsets,
 * seq[0] = 0, ascending; sequence s has rows seq[s] .. seq[s+1]-1. */
#ifndef TC_KERN_H
#define TC_KERN_H

#include "kern/form.h"

/* Attention of one head set. Row r of q, k, v holds the heads one after the other, `heads` x `dim` elements.
 * q has one row for every key row (nq_rows == NULL), or only row q_row[s] of every sequence s is wanted: then
 * q, out, dq, dout have nseq rows. The scores are scale * q . k; with `causal`, key j is seen by query i only
 * if j <= i (positions within the sequence). */
typedef struct tc_attention {
    int heads, dim; /* dim: of one head, any size >= 1 */
    int nseq;
    const int32_t *seq; /* [nseq+1], offsets of key rows */
    /* NULL: every row; else [nseq] position of the query within its sequence; q has nseq rows */
    const int32_t *q_row;
    bool causal;
    tc_real scale;            /* > 0 */
    const tc_real *q, *k, *v; /* rows ldq, ldk, ldv apart */
    int64_t ldq, ldk, ldv;
} tc_attention;

typedef struct tc_conv tc_conv;

typedef struct tc_kern {
    const char *name;

    /* ---- weights that stay: the forms that they may be packed in (form.h), the preferred ones first; ends
     * with NULL */
    const tc_form *const *forms;

    /* ---- matrix products
     * c [m,n] = alpha * op(a) [m,k] . op(b) [k,n] + beta * c; op is transposition if the flag is set. Repeats
     * bit for bit at the same number of threads. m, n or k may be 0. */
    void (*gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a,
                 int64_t lda, const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc);
    /* ---- convolutions whose weight changes (training); those of a weight that stays are forms
     * What a shape needs, made once; NULL if memory ran out. */
    tc_conv *(*conv_create)(const tc_conv_shape *s);
    /* y = conv(x). Thread-safe on one object. An image's bits do not depend on the others; they repeat at the
     * same number of threads. */
    void (*conv_run)(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y);
    /* dx (NULL: not wanted) and dw are written. Repeats bit for bit at the same number of threads. */
    void (*conv_backward)(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                          tc_real *dx, tc_real *dw);
    void (*conv_free)(tc_conv *c);
    /* y [batch, (side/s)^2, n] = mean over squares of s x s pixels of x [batch, side*side, n]; pixels past
     * the last whole square are left out. */
    void (*avgpool)(int64_t batch, int side, int64_t n, int s, const tc_real *x, tc_real *y);
    /* dx is written, or added to if `add`. */
    void (*avgpool_backward)(int64_t batch, int side, int64_t n, int s, const tc_real *dy, tc_real *dx,
                             bool add);

    /* ---- where rows come from
     * x [batch,3,size,size] -> y [batch*g*g, 3*patch*patch], g = size / patch: a row a patch, its channels
     * one after the other; pixels past the last whole patch are left out. */
    void (*patchify)(int64_t batch, int size, int patch, const tc_real *x, tc_real *y);
    /* y [batch*rows, n]: for each image `first` [n], then the rows-1 rows of x, plus positions [rows,n].
     * first NULL: the mean of the image's rows stands in its place. */
    void (*tokens)(int64_t batch, int64_t rows, int64_t n, const tc_real *x, const tc_real *first,
                   const tc_real *positions, tc_real *y);
    /* All are written; dfirst NULL where `first` was. */
    void (*tokens_backward)(int64_t batch, int64_t rows, int64_t n, const tc_real *dy, tc_real *dx,
                            tc_real *dfirst, tc_real *dpositions);
    /* Row i of y = row ids[i] of table + the row of positions that is its place in its sequence. */
    void (*embed)(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *table,
                  const tc_real *positions, tc_real *y);
    /* Adds to the rows of dtable and dpositions, in the order of the rows of dy. */
    void (*embed_backward)(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *dy,
                           tc_real *dtable, tc_real *dpositions);
    /* Rows at[0] .. at[count-1] of x become 0. */
    void (*clear_rows)(int64_t count, const int32_t *at, int64_t n, tc_real *x);
    /* Row s of y [nseq,n] = row `row[s]` of sequence s of x. */
    void (*pick_rows)(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *x,
                      tc_real *y);
    /* Adds dy to those rows of dx. */
    void (*pick_rows_backward)(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *dy,
                               tc_real *dx);

    /* ---- batch normalisation (Ioffe & Szegedy 2015) of the columns of x [rows,n], rows >= 1
     * Mean and biased variance of each column, in double: columns may be few values far from 0. Fixed order.
     */
    void (*batch_stats)(int64_t rows, int64_t n, const tc_real *x, double *mean, double *var);
    /* rstd = 1 / sqrt(var + eps) */
    void (*batch_rstd)(int64_t n, const double *var, double eps, double *rstd);
    /* Statistics that were kept, in place of those of a batch. */
    void (*running_stats)(int64_t n, const tc_real *running_mean, const tc_real *running_var, double *mean,
                          double *var);
    /* running = (1 - momentum) running + momentum * that of the batch of so many rows, whose variance becomes
     * the unbiased one; counter += 1. */
    void (*running_update)(int64_t rows, int64_t n, double momentum, const double *mean, const double *var,
                           tc_real *running_mean, tc_real *running_var, tc_real *counter);
    /* y = act((x - mean) * rstd * w + b), act NONE or RELU; y may be x. */
    void (*batchnorm)(int64_t rows, int64_t n, const tc_real *x, const double *mean, const double *rstd,
                      const tc_real *w, const tc_real *b, int act, tc_real *y);
    /* The gradient through mean and rstd, which are those of x itself. dx is written and may be dy; dw += ,
     * db += (fixed order). */
    void (*batchnorm_backward)(int64_t rows, int64_t n, const tc_real *x, const double *mean,
                               const double *rstd, const tc_real *w, const tc_real *b, int act,
                               const tc_real *dy, tc_real *dx, tc_real *dw, tc_real *db);

    /* ---- rows
     * y = (x - mean) / sqrt(var + eps) * w + b over each row of width n; biased variance. mean_rstd [rows,2]
     * may be NULL. y may be x. */
    void (*layernorm)(int64_t rows, int64_t n, const tc_real *x, int64_t ldx, const tc_real *w,
                      const tc_real *b, tc_real eps, tc_real *y, int64_t ldy, tc_real *mean_rstd);
    /* dx = gradient of x, added if `add_dx`; dw += , db += over all rows (fixed order). */
    void (*layernorm_backward)(int64_t rows, int64_t n, const tc_real *x, const tc_real *w,
                               const tc_real *mean_rstd, const tc_real *dy, tc_real *dx, bool add_dx,
                               tc_real *dw, tc_real *db);
    /* The same over the columns with mask [n] != 0 alone; what x and dy hold in the others does not matter.
     * There y and dx are 0 (or dx, added, as it was), and dw and db are as they were. Without any such column
     * the mean is 0. */
    void (*layernorm_kept)(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x, const tc_real *w,
                           const tc_real *b, tc_real eps, tc_real *y, tc_real *mean_rstd);
    void (*layernorm_kept_backward)(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x,
                                    const tc_real *w, const tc_real *mean_rstd, const tc_real *dy,
                                    tc_real *dx, bool add_dx, tc_real *dw, tc_real *db);
    /* y = x * mask: column j of x [rows,n] belongs to member j / unit of mask [n / unit]; y may be x. */
    void (*scale)(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask, tc_real *y);
    /* dx = dy * mask, added if `add_dx`; dx may be dy, NULL: not wanted. dmask += sum of dy * x over all rows
     * and the member's columns (fixed order). */
    void (*scale_backward)(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask,
                           const tc_real *dy, tc_real *dx, bool add_dx, tc_real *dmask);
    /* y = act(x); y may be x. n elements. */
    void (*act)(int kind, int64_t n, const tc_real *x, tc_real *y);
    /* dx = dy * act'(x); dx may be dy or x. */
    void (*act_backward)(int kind, int64_t n, const tc_real *x, const tc_real *dy, tc_real *dx);
    /* x [rows,n] += bias [n], then y = act(x) (y may be x; x keeps the value before the activation if y
     * differs). */
    void (*bias_act)(int kind, int64_t rows, int64_t n, tc_real *x, const tc_real *bias, tc_real *y);
    /* db [n] += sum of the rows of dy [rows,n]. Fixed order. */
    void (*bias_backward)(int64_t rows, int64_t n, const tc_real *dy, tc_real *db);
    void (*add)(int64_t n, const tc_real *a, const tc_real *b, tc_real *y); /* y = a + b; y may be a or b */
    void (*copy)(int64_t n, const tc_real *x, tc_real *y);
    void (*zero)(int64_t n, tc_real *y);
    void (*from_float)(int64_t n, const float *x, tc_real *y);
    void (*to_float)(int64_t n, const tc_real *x, float *y);
    /* Softmax over each row, in place; the row's maximum is subtracted. */
    void (*softmax)(int64_t rows, int64_t n, tc_real *x, int64_t ldx);
    /* y = x / max(|x|, 1e-12), inv_norm [rows] (may be NULL) = 1 / max(|x|, 1e-12). */
    void (*l2norm)(int64_t rows, int64_t n, const tc_real *x, tc_real *y, tc_real *inv_norm);
    /* dx from y and inv_norm: (dy - y (y . dy)) * inv_norm. */
    void (*l2norm_backward)(int64_t rows, int64_t n, const tc_real *y, const tc_real *inv_norm,
                            const tc_real *dy, tc_real *dx);

    /* ---- attention, see tc_attention. out [rows, heads*dim], ldo apart. lse [rows, heads] (log-sum-exp of
     * the scaled scores) is needed by the backward pass; NULL if not wanted. */
    void (*attention)(const tc_attention *a, tc_real *out, int64_t ldo, tc_real *lse);
    /* dq, dk, dv (same layout and ld as q, k, v) are written, not added. With q_row, dk and dv are written
     * for all key rows. */
    void (*attention_backward)(const tc_attention *a, const tc_real *out, int64_t ldo, const tc_real *lse,
                               const tc_real *dout, int64_t lddo, tc_real *dq, tc_real *dk, tc_real *dv);

    /* ---- losses (definitions: loss goldens; paper section 3.1)
     * x [rows,n] holds logits and is replaced by (softmax(x) - q) * grad_scale. q: target distribution
     * [rows,n], or NULL: one-hot, row r's target is column r + first_target. Returns the sum over rows of
     * -sum_c q log_softmax(x). */
    double (*softmax_xent)(int64_t rows, int64_t n, tc_real *x, int64_t ldx, const tc_real *q, int64_t ldq,
                           int64_t first_target, tc_real grad_scale);
    /* Sum of x*y and of x*x in double, fixed order. */
    double (*dot)(int64_t n, const tc_real *x, const tc_real *y);

    /* ---- optimizer (Loshchilov & Hutter 2019; form of the train goldens)
     * g is first multiplied by gscale. m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p *= 1 - lr wd; p -= lr
     * (m/c1) / (sqrt(v/c2) + eps), c1 = 1 - b1^t, c2 = 1 - b2^t. g NULL: gradient and moments are zero and
     * not read; only the decay is left. */
    void (*adamw)(int64_t n, tc_real *p, const tc_real *g, tc_real *m, tc_real *v, double gscale, double lr,
                  double wd, double b1, double b2, double eps, double c1, double c2);
} tc_kern;

/* The table in use. Thread-safe. */
const tc_kern *tc_kern_get(void);
/* Level `i` (0 ref, 1 avx2, 2 avx512) if this CPU and TINYCLIP_CPU allow it, else NULL: for tests and
 * benchmarks. */
const tc_kern *tc_kern_level(int i);
/* Multiply-accumulates a second of an FMA loop held in registers, on all threads: the peak that a matrix
 * product could reach; `seconds` long. */
double tc_kern_measure_peak(double seconds);

#endif
