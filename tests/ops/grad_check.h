/* grad_check.h - a gradient against central differences, in double.
 *
 *   error = |g - d| / max(|g|, |d|)   (Euclidean norms over a whole parameter, d_i = (L(p_i + h) - L(p_i -
 * h)) / 2h) must be at most 1e-6: the differences are off by h^2 L'''/6 and 1e-16 L/h, both about 1e-11 at h
 * = 1e-5, and no gradient here is small. */
#ifndef GRAD_CHECK_H
#define GRAD_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-5
#define TOLERANCE 1e-6

static inline double distance(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += b ? (a[i] - b[i]) * (a[i] - b[i]) : a[i] * a[i];
    return sqrt(sum);
}

/* Compares g with central differences of loss(context) in every element of x. */
static inline void check_gradient(const char *what, const char *name, double *x, const double *g, int64_t n,
                                  double (*loss)(void *), void *context) {
    double *d = tc_new((size_t)n, sizeof *d);
    assert_non_null(d);
    for (int64_t i = 0; i < n; i++) {
        double at = x[i], up = at + STEP, down = at - STEP;
        x[i] = up;
        double high = loss(context);
        x[i] = down;
        double low = loss(context);
        x[i] = at;
        d[i] = (high - low) / (up - down);
    }
    double size = fmax(distance(g, NULL, n), distance(d, NULL, n)), error = distance(g, d, n) / size;
    free(d);
    if (!(size > 1e-4))
        fail_msg("%s: the gradient of %s vanishes (%.3g): the case tests nothing", what, name, size);
    if (!(error <= TOLERANCE)) fail_msg("%s: gradient of %s: relative error %.3g", what, name, error);
}

#endif
