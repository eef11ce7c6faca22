/* ref_mask.c - LayerNorm over the columns that a mask keeps, and columns times a mask, in plain C; see kern.h
 * for the contracts. Sums in double. */
#include "kern/ref.h"

#include <math.h>

static double count_kept(int64_t n, const tc_real *mask) {
    double count = 0;
    for (int64_t i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

void ref_layernorm_kept(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x, const tc_real *w,
                        const tc_real *b, tc_real eps, tc_real *y, tc_real *mean_rstd) {
    double count = count_kept(n, mask);
    for (int64_t r = 0; r < rows; r++) {
        const tc_real *xr = x + r * n;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) sum += mask[i] != 0 ? (double)xr[i] : 0;
        double mean = count > 0 ? sum / count : 0;
        for (int64_t i = 0; i < n; i++)
            squares += mask[i] != 0 ? ((double)xr[i] - mean) * ((double)xr[i] - mean) : 0;
        double rstd = 1 / sqrt((count > 0 ? squares / count : 0) + (double)eps);
        for (int64_t i = 0; i < n; i++)
            y[r * n + i] =
                mask[i] != 0 ? (tc_real)(((double)xr[i] - mean) * rstd * (double)w[i] + (double)b[i]) : 0;
        if (mean_rstd) {
            mean_rstd[2 * r] = (tc_real)mean;
            mean_rstd[2 * r + 1] = (tc_real)rstd;
        }
    }
}

/* dx = rstd (g - mean(g) - h mean(g h)), g = dy w, h = (x - mean) rstd; means over the kept columns */
static void backward_row(int64_t n, double count, const tc_real *mask, const tc_real *x, const tc_real *w,
                         double mean, double rstd, const tc_real *dy, tc_real *dx, bool add_dx) {
    double sum_g = 0, sum_gh = 0;
    for (int64_t i = 0; i < n; i++) {
        if (mask[i] == 0) continue;
        double g = (double)dy[i] * (double)w[i];
        sum_g += g;
        sum_gh += g * ((double)x[i] - mean) * rstd;
    }
    for (int64_t i = 0; i < n; i++) {
        double d = 0;
        if (mask[i] != 0)
            d = rstd * ((double)dy[i] * (double)w[i] - sum_g / count -
                        ((double)x[i] - mean) * rstd * sum_gh / count);
        dx[i] = (tc_real)(add_dx ? (double)dx[i] + d : d);
    }
}

void ref_layernorm_kept_backward(int64_t rows, int64_t n, const tc_real *mask, const tc_real *x,
                                 const tc_real *w, const tc_real *mean_rstd, const tc_real *dy, tc_real *dx,
                                 bool add_dx, tc_real *dw, tc_real *db) {
    double count = count_kept(n, mask);
    for (int64_t i = 0; i < n; i++) {
        double sum_w = 0, sum_b = 0;
        for (int64_t r = 0; r < rows && mask[i] != 0; r++) {
            sum_w += (double)dy[r * n + i] * ((double)x[r * n + i] - (double)mean_rstd[2 * r]) *
                     (double)mean_rstd[2 * r + 1];
            sum_b += (double)dy[r * n + i];
        }
        dw[i] = (tc_real)((double)dw[i] + sum_w);
        db[i] = (tc_real)((double)db[i] + sum_b);
    }
    for (int64_t r = 0; r < rows; r++)
        backward_row(n, count, mask, x + r * n, w, (double)mean_rstd[2 * r], (double)mean_rstd[2 * r + 1],
                     dy + r * n, dx + r * n, add_dx);
}

void ref_scale(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask, tc_real *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) y[r * n + i] = x[r * n + i] * mask[i / unit];
}

void ref_scale_backward(int64_t rows, int64_t n, int64_t unit, const tc_real *x, const tc_real *mask,
                        const tc_real *dy, tc_real *dx, bool add_dx, tc_real *dmask) {
    /* The mask first: dx may be dy. */
    for (int64_t member = 0; member < n / unit; member++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = member * unit; i < (member + 1) * unit; i++)
                sum += (double)dy[r * n + i] * (double)x[r * n + i];
        dmask[member] = (tc_real)((double)dmask[member] + sum);
    }
    for (int64_t at = 0; at < rows * n && dx; at++) {
        tc_real d = dy[at] * mask[at % n / unit];
        dx[at] = add_dx ? dx[at] + d : d;
    }
}
