/* simd_mask.h - LayerNorm over the columns that a mask keeps, and columns times a mask. Sums over rows have
 * the order of simd_rows.h. */
#ifndef TC_SIMD_MASK_H
#define TC_SIMD_MASK_H

static int64_t count_kept(int64_t n, const float *mask) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

static void layernorm_kept_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++)
        layernorm_row(k.n, k.count, k.mask, k.x + r * k.n, k.w, k.b, k.eps, k.y + r * k.n,
                      k.to_stats ? k.to_stats + 2 * r : NULL);
}

static void layernorm_kept(int64_t rows, int64_t n, const float *mask, const float *x, const float *w,
                           const float *b, float eps, float *y, float *mean_rstd) {
    row_work k = {.rows = rows, .n = n, .mask = mask, .x = x, .w = w, .b = b, .eps = eps, .y = y};
    k.count = count_kept(n, mask);
    k.to_stats = mean_rstd;
    share_rows(&k, rows * n * 2, layernorm_kept_range);
}

static void layernorm_kept_dw(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t g = first; g < end; g++)
        layernorm_backward_columns(k.rows, k.n, g * VL, k.mask, k.x, k.stats, k.dy, k.dw, k.db);
}

static void layernorm_kept_dx(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++)
        layernorm_backward_row(k.n, k.count, k.mask, k.x + r * k.n, k.w, k.stats[2 * r], k.stats[2 * r + 1],
                               k.dy + r * k.n, k.dx + r * k.n, k.add);
}

static void layernorm_kept_backward(int64_t rows, int64_t n, const float *mask, const float *x,
                                    const float *w, const float *mean_rstd, const float *dy, float *dx,
                                    bool add_dx, float *dw, float *db) {
    row_work k = {.rows = rows, .n = n, .mask = mask, .x = x, .w = w, .stats = mean_rstd, .dy = dy, .dx = dx};
    k.add = add_dx;
    k.dw = dw, k.db = db;
    k.count = count_kept(n, mask);
    share_columns(&k, rows * n * 2, layernorm_kept_dw);
    share_rows(&k, rows * n * 2, layernorm_kept_dx);
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

static void scale_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++) scale_row(k.n, k.unit, k.x + r * k.n, k.mask, k.y + r * k.n, k.add);
}

static void scale(int64_t rows, int64_t n, int64_t unit, const float *x, const float *mask, float *y) {
    row_work k = {.rows = rows, .n = n, .unit = unit, .x = x, .mask = mask, .y = y};
    share_rows(&k, rows * n, scale_range);
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

static int64_t scale_step(int64_t unit) { return unit == 1 ? VL : unit; }

static void scale_backward_dmask(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    int64_t step = scale_step(k.unit);
    for (int64_t i = first * step; i < k.n && i < end * step; i += step) {
        vf sum = scale_columns(k.rows, k.n, i, i + step < k.n ? i + step : k.n, k.x, k.dy);
        if (k.unit == 1) v_store_part(k.dw + i, v_load_part(k.dw + i, k.n - i) + sum, k.n - i);
        else k.dw[i / k.unit] += v_sum(sum);
    }
}

static void scale_backward(int64_t rows, int64_t n, int64_t unit, const float *x, const float *mask,
                           const float *dy, float *dx, bool add_dx, float *dmask) {
    row_work k = {.rows = rows, .n = n, .unit = unit, .x = x, .mask = mask, .dy = dy, .dw = dmask};
    /* The mask first: dx may be dy. */
    tc_parallel((n + scale_step(unit) - 1) / scale_step(unit), rows * n, scale_backward_dmask, &k);
    if (!dx) return;
    k.x = dy, k.y = dx, k.add = add_dx;
    share_rows(&k, rows * n, scale_range);
}

#endif
