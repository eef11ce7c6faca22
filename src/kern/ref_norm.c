/* ref_norm.c - batch normalisation of columns in plain C; see kern.h for the contracts. Sums in double. */
#include "kern/ref.h"

#include <math.h>

void ref_batch_stats(int64_t rows, int64_t n, const tc_real *x, double *mean, double *var) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)x[r * n + i];
        mean[i] = sum / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            squares += ((double)x[r * n + i] - mean[i]) * ((double)x[r * n + i] - mean[i]);
        var[i] = squares / (double)rows;
    }
}

void ref_batch_rstd(int64_t n, const double *var, double eps, double *rstd) {
    for (int64_t i = 0; i < n; i++) rstd[i] = 1 / sqrt(var[i] + eps);
}

void ref_running_stats(int64_t n, const tc_real *running_mean, const tc_real *running_var, double *mean,
                       double *var) {
    for (int64_t i = 0; i < n; i++) {
        mean[i] = (double)running_mean[i];
        var[i] = (double)running_var[i];
    }
}

void ref_running_update(int64_t rows, int64_t n, double momentum, const double *mean, const double *var,
                        tc_real *running_mean, tc_real *running_var, tc_real *counter) {
    double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    for (int64_t i = 0; i < n; i++) {
        running_mean[i] = (tc_real)((1 - momentum) * (double)running_mean[i] + momentum * mean[i]);
        running_var[i] = (tc_real)((1 - momentum) * (double)running_var[i] + momentum * unbiased * var[i]);
    }
    *counter += 1;
}

void ref_batchnorm(int64_t rows, int64_t n, const tc_real *x, const double *mean, const double *rstd,
                   const tc_real *w, const tc_real *b, int act, tc_real *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            double v = ((double)x[r * n + i] - mean[i]) * rstd[i] * (double)w[i] + (double)b[i];
            y[r * n + i] = (tc_real)(act == TC_ACT_RELU && v < 0 ? 0 : v);
        }
}

/* The gradient of the value before ReLU; h: the normalised value. */
static double before_act(int act, double h, tc_real w, tc_real b, tc_real dy) {
    return act == TC_ACT_RELU && !(h * (double)w + (double)b > 0) ? 0 : (double)dy;
}

void ref_batchnorm_backward(int64_t rows, int64_t n, const tc_real *x, const double *mean, const double *rstd,
                            const tc_real *w, const tc_real *b, int act, const tc_real *dy, tc_real *dx,
                            tc_real *dw, tc_real *db) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, sum_h = 0;
        for (int64_t at = i; at < rows * n; at += n) {
            double h = ((double)x[at] - mean[i]) * rstd[i], g = before_act(act, h, w[i], b[i], dy[at]);
            sum += g;
            sum_h += g * h;
        }
        for (int64_t at = i; at < rows * n; at += n) {
            double h = ((double)x[at] - mean[i]) * rstd[i], g = before_act(act, h, w[i], b[i], dy[at]);
            dx[at] = (tc_real)((double)w[i] * rstd[i] * (g - (sum + h * sum_h) / (double)rows));
        }
        dw[i] = (tc_real)((double)dw[i] + sum_h);
        db[i] = (tc_real)((double)db[i] + sum);
    }
}
