/* kern_mask.h - the checks of the kernels with masks: LayerNorm over kept columns, columns times a mask. */
#ifndef KERN_MASK_H
#define KERN_MASK_H

#include "kern/kern_check.h"

/* Zeros, ones and fractions; now and then nothing but zeros or none at all. */
static float *some_mask(run *r, int64_t n) {
    float *mask = vector(r, n);
    int64_t zeros = pick(r, 0, 5); /* in 4 */
    for (int64_t i = 0; i < n; i++)
        mask[i] = pick(r, 0, 3) < zeros ? 0 : pick(r, 0, 1) ? 1 : (float)tc_rng_uniform(&r->rng) + 0.01f;
    return mask;
}

/* What is in columns without a mask must not matter. */
static float *spoiled(float *x, int64_t rows, int64_t n, const float *mask) {
    for (int64_t i = 0; i < rows * n; i++)
        if (mask[i % n] == 0) x[i] = i & 1 ? NAN : INFINITY;
    return x;
}

/* One row in double: its mean and 1/sqrt(variance + eps); size: the largest |x|. */
static void kept_moments(int64_t n, const float *x, const float *mask, double *mean, double *rstd,
                         double *size) {
    double count = 0, square = 0;
    *mean = *size = 0;
    for (int64_t j = 0; j < n; j++) count += mask[j] != 0;
    for (int64_t j = 0; j < n; j++) {
        if (mask[j] == 0) continue;
        *mean += (double)x[j] / count;
        *size = fmax(*size, fabs((double)x[j]));
    }
    for (int64_t j = 0; j < n; j++) square += mask[j] != 0 ? pow((double)x[j] - *mean, 2) / count : 0;
    *rstd = 1 / sqrt(square + 1e-5);
}

static void check_layernorm_kept(run *r) {
    int64_t rows = pick_size(r, 0, 70), n = pick_size(r, 1, 600);
    bool in_place = pick(r, 0, 1), with_stats = pick(r, 0, 1);
    float shift = pick(r, 0, 1) ? 100 : 0, *mask = some_mask(r, n);
    float *x = filled(r, matrix(r, rows, n, n), 1), *w = filled(r, vector(r, n), 1),
          *b = filled(r, vector(r, n), 1);
    for (int64_t i = 0; i < rows * n; i++) x[i] += shift;
    spoiled(x, rows, n, mask);
    float *from = same(r, x, rows, n, n), *y = in_place ? x : matrix(r, rows, n, n),
          *stats = matrix(r, rows, 2, 2);
    r->k->layernorm_kept(rows, n, mask, x, w, b, 1e-5f, y, with_stats ? stats : NULL);
    for (int64_t i = 0; i < rows; i++) {
        double mean, rstd, size;
        kept_moments(n, from + i * n, mask, &mean, &rstd, &size);
        for (int64_t j = 0; j < n; j++) {
            double h = ((double)from[i * n + j] - mean) * rstd, want = h * (double)w[j] + (double)b[j];
            /* as without a mask: the mean, rounded to float, and each difference from it err by EPS |x|; the
             * rest is relative */
            double bound = 3 * EPS * size * rstd * fabs((double)w[j]) +
                           32 * EPS * (fabs(h * (double)w[j]) + fabs((double)b[j]));
            if (mask[j] == 0) near(r, (double)y[i * n + j], 0, 0);
            else near(r, (double)y[i * n + j], want, bound);
        }
        if (with_stats) {
            near(r, (double)stats[2 * i], mean, 3 * EPS * size);
            near(r, (double)stats[2 * i + 1], rstd, (32 + 6 * size * rstd) * EPS * rstd);
        }
    }
}

static void equal_numbers(run *r, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) near(r, (double)a[i], (double)b[i], 0);
}

/* All columns kept: the numbers of LayerNorm without a mask. */
static void check_layernorm_all_kept(run *r) {
    int64_t rows = pick_size(r, 0, 70), n = pick_size(r, 1, 600);
    float *mask = vector(r, n), *x = filled(r, matrix(r, rows, n, n), 1), *w = filled(r, vector(r, n), 1),
          *dy = filled(r, matrix(r, rows, n, n), 1);
    float *y[2], *stats[2], *dx[2], *sums[2];
    for (int64_t i = 0; i < n; i++) mask[i] = 0.5f;
    for (int k = 0; k < 2; k++) {
        y[k] = matrix(r, rows, n, n), stats[k] = matrix(r, rows, 2, 2), dx[k] = matrix(r, rows, n, n),
        sums[k] = filled(r, vector(r, 2 * n), 0);
        if (k) r->k->layernorm_kept(rows, n, mask, x, w, w, 1e-5f, y[k], stats[k]);
        else r->k->layernorm(rows, n, x, n, w, w, 1e-5f, y[k], n, stats[k]);
        if (k)
            r->k->layernorm_kept_backward(rows, n, mask, x, w, stats[k], dy, dx[k], false, sums[k],
                                          sums[k] + n);
        else r->k->layernorm_backward(rows, n, x, w, stats[k], dy, dx[k], false, sums[k], sums[k] + n);
    }
    equal_numbers(r, y[0], y[1], rows * n);
    equal_numbers(r, stats[0], stats[1], rows * 2);
    equal_numbers(r, dx[0], dx[1], rows * n);
    equal_numbers(r, sums[0], sums[1], 2 * n);
}

static void check_layernorm_kept_backward(run *r) {
    int64_t rows = pick_size(r, 0, 200), n = pick_size(r, 1, 300);
    bool add_dx = pick(r, 0, 1);
    const tc_kern *ref = tc_kern_level(0);
    float *mask = some_mask(r, n), *x = spoiled(filled(r, matrix(r, rows, n, n), 1), rows, n, mask),
          *w = filled(r, vector(r, n), 1);
    float *dy = spoiled(filled(r, matrix(r, rows, n, n), 1), rows, n, mask), *y = matrix(r, rows, n, n),
          *stats = matrix(r, rows, 2, 2);
    float *dx = filled(r, matrix(r, rows, n, n), 1), *wx = same(r, dx, rows, n, n),
          *old = same(r, dx, rows, n, n);
    float *dw = filled(r, vector(r, n), 1), *ww = same(r, dw, 1, n, n), *db = filled(r, vector(r, n), 1),
          *wb = same(r, db, 1, n, n);
    float *old_w = same(r, dw, 1, n, n);
    ref->layernorm_kept(rows, n, mask, x, w, w, 1e-5f, y, stats);
    ref->layernorm_kept_backward(rows, n, mask, x, w, stats, dy, wx, add_dx, ww, wb);
    r->k->layernorm_kept_backward(rows, n, mask, x, w, stats, dy, dx, add_dx, dw, db);
    double most = 1; /* of the sums over rows */
    for (int64_t i = 0; i < rows * n; i++)
        if (mask[i % n] != 0)
            most = fmax(most, fabs((double)dy[i] * ((double)x[i] - (double)stats[i / n * 2]) *
                                   (double)stats[i / n * 2 + 1]));
    for (int64_t i = 0; i < rows; i++) {
        double size = 0;
        for (int64_t j = 0; j < n; j++)
            if (mask[j] != 0)
                size = fmax(size, fabs((double)dy[i * n + j] * (double)w[j]) * (double)stats[2 * i + 1]);
        for (int64_t j = 0; j < n; j++) {
            if (mask[j] == 0) near(r, (double)dx[i * n + j], add_dx ? (double)old[i * n + j] : 0, 0);
            else
                near(r, (double)dx[i * n + j], (double)wx[i * n + j],
                     (40 + (double)n / 8) * EPS * (4 * size + 1));
        }
    }
    for (int64_t j = 0; j < n; j++) {
        double bound = mask[j] == 0 ? 0 : (64 + (double)rows / 64 + 8) * EPS * ((double)rows + 1) * most;
        if (mask[j] == 0) near(r, (double)dw[j], (double)old_w[j], 0);
        near(r, (double)dw[j], (double)ww[j], bound);
        near(r, (double)db[j], (double)wb[j], bound);
    }
}

static void check_scale(run *r) {
    int64_t rows = pick_size(r, 0, 100), unit = pick(r, 0, 1) ? 1 : pick_size(r, 1, 100),
            members = pick_size(r, 1, unit == 1 ? 600 : 9);
    int64_t n = unit * members;
    float *mask = some_mask(r, members), *x = filled(r, matrix(r, rows, n, n), 1),
          *from = same(r, x, rows, n, n);
    float *y = pick(r, 0, 1) ? x : matrix(r, rows, n, n);
    r->k->scale(rows, n, unit, x, mask, y);
    for (int64_t i = 0; i < rows * n; i++) near(r, (double)y[i], (double)(from[i] * mask[i % n / unit]), 0);
}

static void check_scale_backward(run *r) {
    int64_t rows = pick_size(r, 0, 200), unit = pick(r, 0, 1) ? 1 : pick_size(r, 1, 100),
            members = pick_size(r, 1, unit == 1 ? 300 : 9);
    /* enough for more than one thread */
    if (pick(r, 0, 7) == 0) rows = 600, members = unit == 1 ? 300 : 1 + 300 / unit;
    /* dx: written, added, over dy, not wanted */
    int64_t n = unit * members, kind = pick(r, 0, 3);
    float *mask = some_mask(r, members), *x = filled(r, matrix(r, rows, n, n), 1),
          *dy = filled(r, matrix(r, rows, n, n), 1);
    float *from = same(r, dy, rows, n, n), *dx = kind == 2   ? dy
                                                 : kind == 3 ? NULL
                                                             : filled(r, matrix(r, rows, n, n), 1);
    float *old = kind == 1 ? same(r, dx, rows, n, n) : NULL, *dmask = filled(r, vector(r, members), 1),
          *was = same(r, dmask, 1, members, members);
    float *again = same(r, dmask, 1, members, members);
    int threads = tc_threads();
    r->k->scale_backward(rows, n, unit, x, mask, dy, dx, kind == 1, dmask);
    tc_set_threads(threads > 1 ? 1 : 3);
    r->k->scale_backward(rows, n, unit, x, mask, from, NULL, false, again);
    tc_set_threads(threads);
    assert_memory_equal(again, dmask, (size_t)members * sizeof *again);
    for (int64_t i = 0; i < rows * n && dx; i++) {
        double d = (double)from[i] * (double)mask[i % n / unit];
        near(r, (double)dx[i], d + (old ? (double)old[i] : 0),
             EPS * (fabs(d) + (old ? fabs(d + (double)old[i]) + EPS * fabs(d) : 0)));
    }
    for (int64_t m = 0; m < members; m++) {
        double sum = (double)was[m], size = fabs((double)was[m]);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = m * unit; j < (m + 1) * unit; j++) {
                sum += (double)from[i * n + j] * (double)x[i * n + j];
                size += fabs((double)from[i * n + j] * (double)x[i * n + j]);
            }
        /* a lane adds up a member's columns of 64 rows, then the blocks, then the lanes */
        near(r, (double)dmask[m], sum, (64 * (double)((unit + 7) / 8) + (double)rows / 64 + 20) * EPS * size);
    }
}

#endif
