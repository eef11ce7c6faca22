/* ref_rows.c - the row-wise and element-wise kernels in plain C: LayerNorm, activations, biases, softmax, L2
 * norm.
 *
 * Sums are kept in double: this is the specification that the other levels are compared with. Sums over rows
 * (dw, db) go over fixed blocks of TC_REDUCE_ROWS rows, each thread having its own columns, so the order
 * never depends on the threads. */
#include "kern/ref.h"

#include <math.h>
#include <string.h>

static const double SQRT_HALF = 0.70710678118654752440, INV_SQRT_2PI = 0.39894228040143267794, QUICK = 1.702;

void ref_layernorm(int64_t rows, int64_t n, const tc_real *x, int64_t ldx, const tc_real *w, const tc_real *b,
                   tc_real eps, tc_real *y, int64_t ldy, tc_real *mean_rstd) {
    for (int64_t r = 0; r < rows; r++) {
        const tc_real *xr = x + r * ldx;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)xr[i];
        double mean = n ? sum / (double)n : 0;
        for (int64_t i = 0; i < n; i++) squares += ((double)xr[i] - mean) * ((double)xr[i] - mean);
        double rstd = 1 / sqrt((n ? squares / (double)n : 0) + (double)eps);
        for (int64_t i = 0; i < n; i++)
            y[r * ldy + i] = (tc_real)(((double)xr[i] - mean) * rstd * (double)w[i] + (double)b[i]);
        if (mean_rstd) {
            mean_rstd[2 * r] = (tc_real)mean;
            mean_rstd[2 * r + 1] = (tc_real)rstd;
        }
    }
}

/* dx = rstd (g - mean(g) - h mean(g h)), g = dy w, h = (x - mean) rstd */
static void layernorm_backward_row(int64_t n, const tc_real *x, const tc_real *w, double mean, double rstd,
                                   const tc_real *dy, tc_real *dx, bool add_dx) {
    double sum_g = 0, sum_gh = 0;
    for (int64_t i = 0; i < n; i++) {
        double g = (double)dy[i] * (double)w[i];
        sum_g += g;
        sum_gh += g * ((double)x[i] - mean) * rstd;
    }
    for (int64_t i = 0; i < n; i++) {
        double h = ((double)x[i] - mean) * rstd;
        double d = rstd * ((double)dy[i] * (double)w[i] - sum_g / (double)n - h * sum_gh / (double)n);
        dx[i] = (tc_real)(add_dx ? (double)dx[i] + d : d);
    }
}

void ref_layernorm_backward(int64_t rows, int64_t n, const tc_real *x, const tc_real *w,
                            const tc_real *mean_rstd, const tc_real *dy, tc_real *dx, bool add_dx,
                            tc_real *dw, tc_real *db) {
    /* dw and db first: dx may be dy's own place in a caller's plan only if they are done. */
    for (int64_t i = 0; i < n; i++) {
        double sum_w = 0, sum_b = 0;
        for (int64_t r = 0; r < rows; r++) {
            double h = ((double)x[r * n + i] - (double)mean_rstd[2 * r]) * (double)mean_rstd[2 * r + 1];
            sum_w += (double)dy[r * n + i] * h;
            sum_b += (double)dy[r * n + i];
        }
        dw[i] = (tc_real)((double)dw[i] + sum_w);
        db[i] = (tc_real)((double)db[i] + sum_b);
    }
    for (int64_t r = 0; r < rows; r++)
        layernorm_backward_row(n, x + r * n, w, (double)mean_rstd[2 * r], (double)mean_rstd[2 * r + 1],
                               dy + r * n, dx + r * n, add_dx);
}

static double act_value(int kind, double x) {
    if (kind == TC_ACT_GELU) return 0.5 * x * erfc(-x * SQRT_HALF);
    if (kind == TC_ACT_QUICK_GELU) return x / (1 + exp(-QUICK * x));
    if (kind == TC_ACT_RELU) return x < 0 ? 0 : x;
    return x;
}

static double act_slope(int kind, double x) {
    if (kind == TC_ACT_GELU) return 0.5 * erfc(-x * SQRT_HALF) + x * exp(-0.5 * x * x) * INV_SQRT_2PI;
    if (kind == TC_ACT_QUICK_GELU) {
        double s = 1 / (1 + exp(-QUICK * x));
        return s * (1 + QUICK * x * (1 - s));
    }
    if (kind == TC_ACT_RELU) return x > 0 ? 1 : 0;
    return 1;
}

void ref_act(int kind, int64_t n, const tc_real *x, tc_real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (tc_real)act_value(kind, (double)x[i]);
}

void ref_act_backward(int kind, int64_t n, const tc_real *x, const tc_real *dy, tc_real *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = (tc_real)((double)dy[i] * act_slope(kind, (double)x[i]));
}

void ref_bias_act(int kind, int64_t rows, int64_t n, tc_real *x, const tc_real *bias, tc_real *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            tc_real sum = x[r * n + i] + bias[i];
            x[r * n + i] = sum;
            y[r * n + i] = (tc_real)act_value(kind, (double)sum);
        }
}

void ref_bias_backward(int64_t rows, int64_t n, const tc_real *dy, tc_real *db) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)dy[r * n + i];
        db[i] = (tc_real)((double)db[i] + sum);
    }
}

void ref_add(int64_t n, const tc_real *a, const tc_real *b, tc_real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void ref_copy(int64_t n, const tc_real *x, tc_real *y) {
    if (n > 0) memcpy(y, x, (size_t)n * sizeof *y);
}

void ref_zero(int64_t n, tc_real *y) {
    if (n > 0) memset(y, 0, (size_t)n * sizeof *y);
}

void ref_from_float(int64_t n, const float *x, tc_real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
}

void ref_to_float(int64_t n, const tc_real *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
}

void ref_softmax(int64_t rows, int64_t n, tc_real *x, int64_t ldx) {
    for (int64_t r = 0; r < rows; r++) {
        tc_real *xr = x + r * ldx, most = -INFINITY;
        double sum = 0;
        for (int64_t i = 0; i < n; i++) most = xr[i] > most ? xr[i] : most;
        for (int64_t i = 0; i < n; i++) sum += exp((double)(xr[i] - most));
        for (int64_t i = 0; i < n; i++) xr[i] = (tc_real)(exp((double)(xr[i] - most)) / sum);
    }
}

void ref_l2norm(int64_t rows, int64_t n, const tc_real *x, tc_real *y, tc_real *inv_norm) {
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)x[r * n + i] * (double)x[r * n + i];
        double inverse = 1 / fmax(sqrt(sum), 1e-12);
        for (int64_t i = 0; i < n; i++) y[r * n + i] = (tc_real)((double)x[r * n + i] * inverse);
        if (inv_norm) inv_norm[r] = (tc_real)inverse;
    }
}

void ref_l2norm_backward(int64_t rows, int64_t n, const tc_real *y, const tc_real *inv_norm,
                         const tc_real *dy, tc_real *dx) {
    for (int64_t r = 0; r < rows; r++) {
        double along = 0;
        for (int64_t i = 0; i < n; i++) along += (double)y[r * n + i] * (double)dy[r * n + i];
        for (int64_t i = 0; i < n; i++)
            dx[r * n + i] =
                (tc_real)(((double)dy[r * n + i] - (double)y[r * n + i] * along) * (double)inv_norm[r]);
    }
}
