/* ref_train.c - cross-entropy between distributions, inner product and the AdamW step in plain C. */
#include "kern/ref.h"

#include <math.h>

/* One row: returns -sum_c q log_softmax(x), replaces x by (softmax(x) - q) * grad_scale. */
static double xent_row(int64_t n, tc_real *x, const tc_real *q, int64_t target, tc_real grad_scale) {
    double most = -INFINITY, sum = 0, loss = 0;
    for (int64_t c = 0; c < n; c++) most = fmax(most, (double)x[c]);
    for (int64_t c = 0; c < n; c++) sum += exp((double)x[c] - most);
    double log_sum = log(sum) + most;
    for (int64_t c = 0; c < n; c++) {
        double want = q ? (double)q[c] : (double)(c == target);
        double log_p = (double)x[c] - log_sum;
        if (want != 0) loss -= want * log_p;
        x[c] = (tc_real)((exp(log_p) - want) * (double)grad_scale);
    }
    return loss;
}

double ref_softmax_xent(int64_t rows, int64_t n, tc_real *x, int64_t ldx, const tc_real *q, int64_t ldq,
                        int64_t first_target, tc_real grad_scale) {
    double loss = 0;
    for (int64_t r = 0; r < rows; r++)
        loss += xent_row(n, x + r * ldx, q ? q + r * ldq : NULL, r + first_target, grad_scale);
    return loss;
}

double ref_dot(int64_t n, const tc_real *x, const tc_real *y) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

void ref_adamw(int64_t n, tc_real *p, const tc_real *g, tc_real *m, tc_real *v, double gscale, double lr,
               double wd, double b1, double b2, double eps, double c1, double c2) {
    for (int64_t i = 0; i < n; i++) {
        if (!g) {
            p[i] = (tc_real)((double)p[i] * (1 - lr * wd));
            continue;
        }
        double gi = (double)g[i] * gscale;
        double mi = b1 * (double)m[i] + (1 - b1) * gi;
        double vi = b2 * (double)v[i] + (1 - b2) * gi * gi;
        double pi = (double)p[i] * (1 - lr * wd);
        m[i] = (tc_real)mi;
        v[i] = (tc_real)vi;
        p[i] = (tc_real)(pi - lr * (mi / c1) / (sqrt(vi / c2) + eps));
    }
}
