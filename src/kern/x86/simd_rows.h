/* simd_rows.h - row-wise and element-wise kernels: LayerNorm, activations, biases, softmax, L2 norm.
 *
 * A row's sum runs in VL lanes times four, so rounding errors stay far below one long sum's. Sums over rows
 * (dw, db) belong to one thread a column group and go over fixed blocks of rows: no order depends on the
 * number of threads. */
#ifndef TC_SIMD_ROWS_H
#define TC_SIMD_ROWS_H

enum { CHUNK = 4096 }; /* elements that a thread takes at a time */

/* The arguments of a kernel, for its ranges of rows, of chunks of elements or of groups of VL columns. */
typedef struct row_work {
    int kind;
    bool add;
    int64_t rows, n, unit, count, ldx, ldy;
    float eps;
    const float *mask, *x, *w, *b, *dy, *stats;
    float *y, *dx, *dw, *db, *to_stats;
} row_work;

static void share_rows(row_work *k, int64_t work, void (*range)(void *user, int64_t first, int64_t end)) {
    tc_parallel(k->rows, work, range, k);
}

static void share_chunks(row_work *k, int64_t work, void (*range)(void *user, int64_t first, int64_t end)) {
    tc_parallel((k->n + CHUNK - 1) / CHUNK, work, range, k);
}

static void share_columns(row_work *k, int64_t work, void (*range)(void *user, int64_t first, int64_t end)) {
    tc_parallel((k->n + VL - 1) / VL, work, range, k);
}

/* ---- sums over one row; with a mask, of its columns that are not 0 */

INLINE vf kept(vf x, const float *mask, int64_t i, int64_t n) {
    return mask ? v_if_zero(v_load_part(mask + i, n - i), v_zero(), x) : x;
}

INLINE float row_sum(int64_t n, const float *mask, const float *x) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int j = 0; j < 4; j++) s[j] = s[j] + kept(v_load(x + i + j * VL), mask, i + j * VL, n);
    for (; i < n; i += VL) s[0] = s[0] + kept(v_load_part(x + i, n - i), mask, i, n);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* Sums of x - center and of its square. */
INLINE void row_moments(int64_t n, const float *mask, const float *x, float center, float *first,
                        float *second) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()}, c = v_set1(center);
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        for (int j = 0; j < 2; j++) {
            vf d = kept(v_load(x + i + j * VL) - c, mask, i + j * VL, n);
            s[j] = s[j] + d;
            s[j + 2] = v_fma(d, d, s[j + 2]);
        }
    for (; i < n; i += VL) {
        vf d = kept(v_keep(v_load_part(x + i, n - i) - c, v_zero(), n - i), mask, i, n);
        s[0] = s[0] + d;
        s[2] = v_fma(d, d, s[2]);
    }
    *first = v_sum(s[0] + s[1]);
    *second = v_sum(s[2] + s[3]);
}

static float row_dot(int64_t n, const float *x, const float *y) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int j = 0; j < 4; j++) s[j] = v_fma(v_load(x + i + j * VL), v_load(y + i + j * VL), s[j]);
    for (; i < n; i += VL) s[0] = v_fma(v_load_part(x + i, n - i), v_load_part(y + i, n - i), s[0]);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static float row_largest(int64_t n, const float *x) {
    vf most = v_set1(-INFINITY);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) most = v_max(most, v_load(x + i));
    if (i < n) most = v_max(most, v_keep(v_load_part(x + i, n - i), v_set1(-INFINITY), n - i));
    return v_largest(most);
}

/* ---- LayerNorm, over `count` columns: all n, or those that the mask keeps */

INLINE void layernorm_row(int64_t n, int64_t count, const float *mask, const float *x, const float *w,
                          const float *b, float eps, float *y, float *mean_rstd) {
    /* The squares are taken about a first, rounded mean; what that mean lacks corrects both it and the
     * variance. */
    float center = count ? row_sum(n, mask, x) / (float)count : 0, first = 0, second = 0;
    row_moments(n, mask, x, center, &first, &second);
    float rest = count ? first / (float)count : 0, variance = count ? second / (float)count - rest * rest : 0;
    float mean = center + rest, rstd = 1 / sqrtf((variance > 0 ? variance : 0) + eps);
    vf m = v_set1(mean), r = v_set1(rstd);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, kept(v_fma((v_load(x + i) - m) * r, v_load(w + i), v_load(b + i)), mask, i, n));
    if (i < n) {
        vf h = (v_load_part(x + i, n - i) - m) * r;
        v_store_part(y + i, kept(v_fma(h, v_load_part(w + i, n - i), v_load_part(b + i, n - i)), mask, i, n),
                     n - i);
    }
    if (mean_rstd) {
        mean_rstd[0] = mean;
        mean_rstd[1] = rstd;
    }
}

static void layernorm_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++)
        layernorm_row(k.n, k.n, NULL, k.x + r * k.ldx, k.w, k.b, k.eps, k.y + r * k.ldy,
                      k.to_stats ? k.to_stats + 2 * r : NULL);
}

static void layernorm(int64_t rows, int64_t n, const float *x, int64_t ldx, const float *w, const float *b,
                      float eps, float *y, int64_t ldy, float *mean_rstd) {
    row_work k = {.rows = rows, .n = n, .x = x, .ldx = ldx, .w = w, .b = b, .eps = eps, .y = y, .ldy = ldy};
    k.to_stats = mean_rstd;
    share_rows(&k, rows * n * 2, layernorm_range);
}

/* dx = rstd (g - mean(g) - h mean(g h)), g = dy w, h = (x - mean) rstd */
INLINE void layernorm_backward_row(int64_t n, int64_t count, const float *mask, const float *x,
                                   const float *w, float mean, float rstd, const float *dy, float *dx,
                                   bool add_dx) {
    vf sum_g = v_zero(), sum_gh = v_zero(), m = v_set1(mean), r = v_set1(rstd);
    for (int64_t i = 0; i < n; i += VL) {
        vf g = kept(v_load_part(dy + i, n - i) * v_load_part(w + i, n - i), mask, i, n);
        sum_g = sum_g + g;
        sum_gh = v_fma(g, kept((v_load_part(x + i, n - i) - m) * r, mask, i, n), sum_gh);
    }
    vf mean_g = v_set1(v_sum(sum_g) / (float)count), mean_gh = v_set1(v_sum(sum_gh) / (float)count);
    for (int64_t i = 0; i < n; i += VL) {
        vf g = v_load_part(dy + i, n - i) * v_load_part(w + i, n - i);
        vf h = (v_load_part(x + i, n - i) - m) * r;
        vf d = kept(r * v_fnma(h, mean_gh, g - mean_g), mask, i, n);
        v_store_part(dx + i, add_dx ? (vf)(v_load_part(dx + i, n - i) + d) : d, n - i);
    }
}

/* dw and db of columns i .. i+VL-1 over all rows */
INLINE void layernorm_backward_columns(int64_t rows, int64_t n, int64_t i, const float *mask, const float *x,
                                       const float *mean_rstd, const float *dy, float *dw, float *db) {
    vf all_w = v_load_part(dw + i, n - i), all_b = v_load_part(db + i, n - i);
    for (int64_t block = 0; block < rows; block += TC_REDUCE_ROWS) {
        vf sum_w = v_zero(), sum_b = v_zero();
        for (int64_t r = block; r < rows && r < block + TC_REDUCE_ROWS; r++) {
            vf g = v_load_part(dy + r * n + i, n - i);
            vf h =
                (v_load_part(x + r * n + i, n - i) - v_set1(mean_rstd[2 * r])) * v_set1(mean_rstd[2 * r + 1]);
            sum_w = v_fma(g, h, sum_w);
            sum_b = sum_b + g;
        }
        all_w = all_w + kept(sum_w, mask, i, n);
        all_b = all_b + kept(sum_b, mask, i, n);
    }
    v_store_part(dw + i, all_w, n - i);
    v_store_part(db + i, all_b, n - i);
}

static void layernorm_backward_dw(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t g = first; g < end; g++)
        layernorm_backward_columns(k.rows, k.n, g * VL, NULL, k.x, k.stats, k.dy, k.dw, k.db);
}

static void layernorm_backward_dx(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++)
        layernorm_backward_row(k.n, k.n, NULL, k.x + r * k.n, k.w, k.stats[2 * r], k.stats[2 * r + 1],
                               k.dy + r * k.n, k.dx + r * k.n, k.add);
}

static void layernorm_backward(int64_t rows, int64_t n, const float *x, const float *w,
                               const float *mean_rstd, const float *dy, float *dx, bool add_dx, float *dw,
                               float *db) {
    row_work k = {
        .rows = rows, .n = n, .x = x, .w = w, .stats = mean_rstd, .dy = dy, .dx = dx, .add = add_dx};
    k.dw = dw, k.db = db;
    share_columns(&k, rows * n * 2, layernorm_backward_dw);
    share_rows(&k, rows * n * 2, layernorm_backward_dx);
}

/* ---- activations and biases */

/* v_max gives its second operand if either is not a number: one that is none stays so. */
INLINE vf relu(vf x) { return v_max(v_zero(), x); }

INLINE vf relu_slope(vf x) { return v_if_negative(v_zero() - x, v_set1(1), v_zero()); }

INLINE vf act_value(int kind, vf x) {
    if (kind == TC_ACT_GELU) return gelu(x);
    if (kind == TC_ACT_QUICK_GELU) return quick_gelu(x);
    return kind == TC_ACT_RELU ? relu(x) : x;
}

INLINE vf act_slope(int kind, vf x) {
    if (kind == TC_ACT_GELU) return gelu_slope(x);
    if (kind == TC_ACT_QUICK_GELU) return quick_gelu_slope(x);
    return kind == TC_ACT_RELU ? relu_slope(x) : v_set1(1);
}

static void act_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t i = first * CHUNK; i < k.n && i < end * CHUNK; i += VL)
        v_store_part(k.y + i, act_value(k.kind, v_load_part(k.x + i, k.n - i)), k.n - i);
}

static void act(int kind, int64_t n, const float *x, float *y) {
    row_work k = {.kind = kind, .n = n, .x = x, .y = y};
    share_chunks(&k, n * 4, act_range);
}

static void act_backward_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t i = first * CHUNK; i < k.n && i < end * CHUNK; i += VL) {
        int64_t left = k.n - i;
        v_store_part(k.dx + i, v_load_part(k.dy + i, left) * act_slope(k.kind, v_load_part(k.x + i, left)),
                     left);
    }
}

static void act_backward(int kind, int64_t n, const float *x, const float *dy, float *dx) {
    row_work k = {.kind = kind, .n = n, .x = x, .dy = dy, .dx = dx};
    share_chunks(&k, n * 4, act_backward_range);
}

/* dx is x before, and with the bias after */
static void bias_act_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < k.n; i += VL) {
            int64_t at = r * k.n + i, left = k.n - i;
            vf sum = v_load_part(k.dx + at, left) + v_load_part(k.b + i, left);
            v_store_part(k.dx + at, sum, left);
            v_store_part(k.y + at, act_value(k.kind, sum), left);
        }
}

static void bias_act(int kind, int64_t rows, int64_t n, float *x, const float *bias, float *y) {
    row_work k = {.kind = kind, .rows = rows, .n = n, .dx = x, .b = bias, .y = y};
    share_rows(&k, rows * n * 4, bias_act_range);
}

static void bias_backward_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t i = first * VL; i < k.n && i < end * VL; i += VL) {
        vf all = v_load_part(k.db + i, k.n - i);
        for (int64_t block = 0; block < k.rows; block += TC_REDUCE_ROWS) {
            vf sum = v_zero();
            for (int64_t r = block; r < k.rows && r < block + TC_REDUCE_ROWS; r++)
                sum = sum + v_load_part(k.dy + r * k.n + i, k.n - i);
            all = all + sum;
        }
        v_store_part(k.db + i, all, k.n - i);
    }
}

static void bias_backward(int64_t rows, int64_t n, const float *dy, float *db) {
    row_work k = {.rows = rows, .n = n, .dy = dy, .db = db};
    share_columns(&k, rows * n, bias_backward_range);
}

static void add_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t i = first * CHUNK; i < k.n && i < end * CHUNK; i += VL)
        v_store_part(k.y + i, v_load_part(k.x + i, k.n - i) + v_load_part(k.b + i, k.n - i), k.n - i);
}

static void add(int64_t n, const float *a, const float *b, float *y) {
    row_work k = {.n = n, .x = a, .b = b, .y = y};
    share_chunks(&k, n, add_range);
}

/* ---- softmax, L2 norm */

/* y = exp(x * scale - most), lanes past n are 0 in the sum; returns the sum. y may be x. */
static float row_exp(int64_t n, const float *x, float scale, float most, float *y) {
    vf sum = v_zero(), k = v_set1(scale), m = v_set1(-most);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf e = v_exp(v_fma(v_load(x + i), k, m));
        v_store(y + i, e);
        sum = sum + e;
    }
    if (i < n) {
        vf e = v_exp(v_fma(v_load_part(x + i, n - i), k, m));
        v_store_part(y + i, e, n - i);
        sum = sum + v_keep(e, v_zero(), n - i);
    }
    return v_sum(sum);
}

static void row_multiply(int64_t n, const float *x, float factor, float *y) {
    for (int64_t i = 0; i < n; i += VL)
        v_store_part(y + i, v_load_part(x + i, n - i) * v_set1(factor), n - i);
}

static void softmax_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++) {
        float *row = k.y + r * k.ldy;
        float sum = row_exp(k.n, row, 1, row_largest(k.n, row), row);
        row_multiply(k.n, row, 1 / sum, row);
    }
}

static void softmax(int64_t rows, int64_t n, float *x, int64_t ldx) {
    row_work k = {.rows = rows, .n = n, .y = x, .ldy = ldx};
    share_rows(&k, rows * n * 4, softmax_range);
}

static void l2norm_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++) {
        /* In double: squares of numbers near 1e-20 or 1e20 leave the range of float. */
        vd2 sum = vd_zero();
        for (int64_t i = 0; i < k.n; i += VL) {
            vf v = v_load_part(k.x + r * k.n + i, k.n - i);
            sum = vd_add_product(sum, v, v);
        }
        double norm = sqrt(vd_sum(sum));
        float inverse = (float)(1 / (norm < 1e-12 ? 1e-12 : norm));
        row_multiply(k.n, k.x + r * k.n, inverse, k.y + r * k.n);
        if (k.to_stats) k.to_stats[r] = inverse;
    }
}

static void l2norm(int64_t rows, int64_t n, const float *x, float *y, float *inv_norm) {
    row_work k = {.rows = rows, .n = n, .x = x, .y = y, .to_stats = inv_norm};
    share_rows(&k, rows * n, l2norm_range);
}

static void l2norm_backward_range(void *user, int64_t first, int64_t end) {
    const row_work k = *(const row_work *)user;
    for (int64_t r = first; r < end; r++) {
        const float *y = k.x + r * k.n, *dy = k.dy + r * k.n;
        vf along = v_set1(row_dot(k.n, y, dy)), factor = v_set1(k.stats[r]);
        for (int64_t i = 0; i < k.n; i += VL) {
            int64_t left = k.n - i;
            vf d = v_fnma(v_load_part(y + i, left), along, v_load_part(dy + i, left));
            v_store_part(k.dx + r * k.n + i, d * factor, left);
        }
    }
}

static void l2norm_backward(int64_t rows, int64_t n, const float *y, const float *inv_norm, const float *dy,
                            float *dx) {
    row_work k = {.rows = rows, .n = n, .x = y, .stats = inv_norm, .dy = dy, .dx = dx};
    share_rows(&k, rows * n, l2norm_backward_range);
}

#endif
