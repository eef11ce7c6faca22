/* simd_mask.h - LayerNorm over the columns that a mask keeps, and columns times a mask. Sums over rows have
 * the order of simd_rows.h. */
#ifndef TC_SIMD_MASK_H
#define TC_SIMD_MASK_H

static int64_t count_kept(int64_t n, const float *mask) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

static void layernorm_kept(int64_t rows, int64_t n, const float *mask, const float *x, const float *w,
                           const float *b, float eps, float *y, float *mean_rstd) {
    int64_t count = count_kept(n, mask);
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (rows * n * 2 > TC_PARALLEL_WORK)
    for (int64_t r = 0; r < rows; r++)
        layernorm_row(n, count, mask, x + r * n, w, b, eps, y + r * n, mean_rstd ? mean_rstd + 2 * r : NULL);
}

static void layernorm_kept_backward(int64_t rows, int64_t n, const float *mask, const float *x,
                                    const float *w, const float *mean_rstd, const float *dy, float *dx,
                                    bool add_dx, float *dw, float *db) {
    bool many = rows * n * 2 > TC_PARALLEL_WORK;
    int64_t count = count_kept(n, mask);
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (many)
    for (int64_t i = 0; i < n; i += VL)
        layernorm_backward_columns(rows, n, i, mask, x, mean_rstd, dy, dw, db);
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (many)
    for (int64_t r = 0; r < rows; r++)
        layernorm_backward_row(n, count, mask, x + r * n, w, mean_rstd[2 * r], mean_rstd[2 * r + 1],
                               dy + r * n, dx + r * n, add_dx);
}

/* y = x * mask, added if asked for, over one row. Members of one column are taken VL at a time, others one
 * after the other. */
INLINE void scale_row(int64_t n, int64_t unit, const float *x, const float *mask, float *y, bool add_y) {
    int64_t step = unit == 1 ? n : unit;
    for (int64_t first = 0; first < n; first += step) {
        vf one = unit == 1 ? v_zero() : v_set1(mask[first / unit]);
        for (int64_t i = first; i < first + step; i += VL) {
            int64_t left = first + step - i;
            vf v = v_load_part(x + i, left) * (unit == 1 ? v_load_part(mask + i, left) : one);
            v_store_part(y + i, add_y ? (vf)(v_load_part(y + i, left) + v) : v, left);
        }
    }
}

static void scale(int64_t rows, int64_t n, int64_t unit, const float *x, const float *mask, float *y) {
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (rows * n > TC_PARALLEL_WORK)
    for (int64_t r = 0; r < rows; r++) scale_row(n, unit, x + r * n, mask, y + r * n, false);
}

/* Sums over all rows of dy * x in columns first .. last-1, each lane those of its own columns. */
INLINE vf scale_columns(int64_t rows, int64_t n, int64_t first, int64_t last, const float *x,
                        const float *dy) {
    vf all = v_zero();
    for (int64_t block = 0; block < rows; block += TC_REDUCE_ROWS) {
        vf sum = v_zero();
        for (int64_t r = block; r < rows && r < block + TC_REDUCE_ROWS; r++)
            for (int64_t i = first; i < last; i += VL)
                sum = v_fma(v_load_part(dy + r * n + i, last - i), v_load_part(x + r * n + i, last - i), sum);
        all = all + sum;
    }
    return all;
}

static void scale_backward(int64_t rows, int64_t n, int64_t unit, const float *x, const float *mask,
                           const float *dy, float *dx, bool add_dx, float *dmask) {
    bool many = rows * n > TC_PARALLEL_WORK;
    int64_t step = unit == 1 ? VL : unit;
    /* The mask first: dx may be dy. */
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (many)
    for (int64_t i = 0; i < n; i += step) {
        vf sum = scale_columns(rows, n, i, i + step < n ? i + step : n, x, dy);
        if (unit == 1) v_store_part(dmask + i, v_load_part(dmask + i, n - i) + sum, n - i);
        else dmask[i / unit] += v_sum(sum);
    }
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (many)
    for (int64_t r = 0; r < (dx ? rows : 0); r++) scale_row(n, unit, dy + r * n, mask, dx + r * n, add_dx);
}

#endif
