/* ref_norm.c - batch normalisation of columns in plain C; see kern.h for the contracts. Sums in double. */
#include "kern/ref.h"

void ref_batch_stats(int64_t rows, int64_t n, const tc_real *x, tc_real *mean, tc_real *var) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)x[r * n + i];
        sum /= (double)rows;
        for (int64_t r = 0; r < rows; r++) squares += ((double)x[r * n + i] - sum) * ((double)x[r * n + i] - sum);
        mean[i] = (tc_real)sum;
        var[i] = (tc_real)(squares / (double)rows);
    }
}

void ref_batchnorm(int64_t rows, int64_t n, const tc_real *x, const tc_real *mean, const tc_real *rstd, const tc_real *w, const tc_real *b, int act,
                   tc_real *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            tc_real v = (x[r * n + i] - mean[i]) * rstd[i] * w[i] + b[i];
            y[r * n + i] = act == TC_ACT_RELU && v < 0 ? 0 : v;
        }
}

void ref_batchnorm_backward(int64_t rows, int64_t n, const tc_real *x, const tc_real *mean, const tc_real *rstd, const tc_real *w, const tc_real *b,
                            int act, const tc_real *dy, tc_real *dx, tc_real *dw, tc_real *db) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, sum_h = 0;
        for (int64_t r = 0; r < rows; r++) {
            tc_real h = (x[r * n + i] - mean[i]) * rstd[i];
            double g = act == TC_ACT_RELU && !(h * w[i] + b[i] > 0) ? 0 : (double)dy[r * n + i];
            sum += g;
            sum_h += g * (double)h;
        }
        for (int64_t r = 0; r < rows; r++) {
            tc_real h = (x[r * n + i] - mean[i]) * rstd[i];
            double g = act == TC_ACT_RELU && !(h * w[i] + b[i] > 0) ? 0 : (double)dy[r * n + i];
            dx[r * n + i] = (tc_real)((double)w[i] * (double)rstd[i] * (g - (sum + (double)h * sum_h) / (double)rows));
        }
        dw[i] = (tc_real)((double)dw[i] + sum_h);
        db[i] = (tc_real)((double)db[i] + sum);
    }
}
