/* simd_norm.h - batch normalisation of columns, and average pooling.
 *
 * Sums over rows: a fixed number of parts, each of whole blocks of TC_REDUCE_ROWS rows; a block's sum is kept
 * in registers, blocks and then parts are added, in order, all in double. So the result does not depend on
 * the number of threads. */
#ifndef TC_SIMD_NORM_H
#define TC_SIMD_NORM_H

enum { COLUMN_PARTS = 64 };

/* What is summed: x; (x - mean)^2; or the gradient and its product with the normalised value. */
typedef enum column_kind { SUM_VALUES, SUM_SQUARES, SUM_GRADIENTS } column_kind;

/* Means are sums of two floats, mean and rest: an error of a mean has the same sign in every row, so it would
 * not cancel in the sums over them. */
typedef struct columns {
    int64_t rows, n;
    const float *x, *mean, *rest, *rstd, *w, *b, *dy;
    int act;
} columns;

INLINE vf column_centred(const columns *c, int64_t row, int64_t i) {
    int64_t left = c->n - i;
    return (v_load_part(c->x + row * c->n + i, left) - v_load_part(c->mean + i, left)) -
           v_load_part(c->rest + i, left);
}

INLINE vf column_normal(const columns *c, int64_t row, int64_t i) {
    return column_centred(c, row, i) * v_load_part(c->rstd + i, c->n - i);
}

/* dy, or 0 where ReLU cut the value off */
INLINE vf column_gradient(const columns *c, vf h, int64_t row, int64_t i) {
    int64_t left = c->n - i;
    vf g = v_load_part(c->dy + row * c->n + i, left);
    return c->act == TC_ACT_RELU
               ? (vf)(g * relu_slope(v_fma(h, v_load_part(c->w + i, left), v_load_part(c->b + i, left))))
               : g;
}

/* sums [2][n] += those of rows first .. last-1, a block */
INLINE void column_block(const columns *c, column_kind kind, int64_t first, int64_t last, double *sums) {
    for (int64_t i = 0; i < c->n; i += VL) {
        vd2 one = vd_zero(), two = vd_zero();
        vf ones = v_set1(1);
        for (int64_t r = first; r < last; r++) {
            if (kind == SUM_GRADIENTS) {
                vf h = column_normal(c, r, i), g = column_gradient(c, h, r, i);
                one = vd_add_product(one, g, ones);
                two = vd_add_product(two, g, h);
            } else {
                vf x = kind == SUM_SQUARES ? column_centred(c, r, i)
                                           : v_load_part(c->x + r * c->n + i, c->n - i);
                one = vd_add_product(one, x, kind == SUM_SQUARES ? x : ones);
            }
        }
        double part[2][VL];
        vd_store(part[0], one);
        vd_store(part[1], two);
        for (int64_t k = 0; k < VL && i + k < c->n; k++) {
            sums[i + k] += part[0][k];
            if (kind == SUM_GRADIENTS) sums[c->n + i + k] += part[1][k];
        }
    }
}

/* sums [2][n]; `parts` [COLUMN_PARTS][2][n] is room to work in. */
INLINE void column_sums(const columns *c, column_kind kind, double *sums, double *parts) {
    int64_t blocks = (c->rows + TC_REDUCE_ROWS - 1) / TC_REDUCE_ROWS,
            count = blocks < COLUMN_PARTS ? blocks : COLUMN_PARTS;
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (c->rows * c->n > TC_PARALLEL_WORK)
    for (int64_t p = 0; p < count; p++) {
        double *part = parts + p * 2 * c->n;
        memset(part, 0, (size_t)(2 * c->n) * sizeof *part);
        for (int64_t k = blocks * p / count; k < blocks * (p + 1) / count; k++)
            column_block(c, kind, k * TC_REDUCE_ROWS,
                         (k + 1) * TC_REDUCE_ROWS < c->rows ? (k + 1) * TC_REDUCE_ROWS : c->rows, part);
    }
    memset(sums, 0, (size_t)(2 * c->n) * sizeof *sums);
    for (int64_t p = 0; p < count; p++)
        for (int64_t i = 0; i < 2 * c->n; i++) sums[i] += parts[p * 2 * c->n + i];
}

/* sums [2][n], parts, and four rows of floats */
static double *column_room(int64_t n) {
    return tc_scratch((size_t)((COLUMN_PARTS + 1) * 2 * n) * sizeof(double) +
                      (size_t)(4 * n) * sizeof(float));
}

static float *column_rows(double *room, int64_t n) {
    return (float *)(void *)(room + (COLUMN_PARTS + 1) * 2 * n);
}

/* mean, rest and (if not NULL) rstd into `rows` [3][n] */
static void column_split(columns *c, const double *mean, const double *rstd, float *rows) {
    c->mean = rows, c->rest = rows + c->n, c->rstd = rows + 2 * c->n;
    for (int64_t i = 0; i < c->n; i++) {
        rows[i] = (float)mean[i];
        rows[c->n + i] = (float)(mean[i] - (double)rows[i]);
        if (rstd) rows[2 * c->n + i] = (float)rstd[i];
    }
}

static void batch_stats(int64_t rows, int64_t n, const float *x, double *mean, double *var) {
    columns c = {.rows = rows, .n = n, .x = x};
    double *sums = column_room(n);
    if (!sums) {
        ref_batch_stats(rows, n, x, mean, var);
        return;
    }
    column_sums(&c, SUM_VALUES, sums, sums + 2 * n);
    for (int64_t i = 0; i < n; i++) mean[i] = sums[i] / (double)rows;
    column_split(&c, mean, NULL, column_rows(sums, n));
    column_sums(&c, SUM_SQUARES, sums, sums + 2 * n);
    for (int64_t i = 0; i < n; i++) var[i] = sums[i] / (double)rows;
}

static void batchnorm(int64_t rows, int64_t n, const float *x, const double *mean, const double *rstd,
                      const float *w, const float *b, int kind, float *y) {
    columns c = {.rows = rows, .n = n, .x = x};
    double *room = column_room(n);
    if (!room) {
        ref_batchnorm(rows, n, x, mean, rstd, w, b, kind, y);
        return;
    }
    column_split(&c, mean, rstd, column_rows(room, n));
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (rows * n > TC_PARALLEL_WORK)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i += VL) {
            vf v = v_fma(column_normal(&c, r, i), v_load_part(w + i, n - i), v_load_part(b + i, n - i));
            v_store_part(y + r * n + i, kind == TC_ACT_RELU ? relu(v) : v, n - i);
        }
}

static void batchnorm_backward(int64_t rows, int64_t n, const float *x, const double *mean,
                               const double *rstd, const float *w, const float *b, int kind, const float *dy,
                               float *dx, float *dw, float *db) {
    columns c = {.rows = rows, .n = n, .x = x, .w = w, .b = b, .dy = dy, .act = kind};
    double *sums = column_room(n);
    if (!sums) {
        ref_batchnorm_backward(rows, n, x, mean, rstd, w, b, kind, dy, dx, dw, db);
        return;
    }
    column_split(&c, mean, rstd, column_rows(sums, n));
    column_sums(&c, SUM_GRADIENTS, sums, sums + 2 * n);
    /* [2][n] each, over the parts, which are done with */
    float *average = (float *)(void *)(sums + 2 * n), *rest = average + 2 * n;
    for (int64_t i = 0; i < 2 * n; i++) {
        float *to = i < n ? &db[i] : &dw[i - n];
        *to += (float)sums[i];
        average[i] = (float)(sums[i] / (double)rows);
        rest[i] = (float)(sums[i] / (double)rows - (double)average[i]);
    }
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (rows * n > TC_PARALLEL_WORK)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i += VL) {
            int64_t left = n - i;
            vf h = column_normal(&c, r, i), g = column_gradient(&c, h, r, i) -
                                                v_load_part(average + i, left) - v_load_part(rest + i, left);
            vf factor = v_load_part(w + i, left) * v_load_part(c.rstd + i, left);
            g = v_fnma(h, v_load_part(rest + n + i, left), v_fnma(h, v_load_part(average + n + i, left), g));
            v_store_part(dx + r * n + i, factor * g, left);
        }
}

/* ---- average pooling */

static void avgpool(int64_t batch, int side, int64_t n, int s, const float *x, float *y) {
    int to = side / s;
    vf share = v_set1(1 / (float)(s * s));
#pragma omp parallel for schedule(static) \
    num_threads(tc_threads()) if (batch * side * side * n > TC_PARALLEL_WORK)
    for (int64_t row = 0; row < batch * to; row++)
        for (int u = 0; u < to; u++) {
            const float *from = x + ((row / to * side + row % to * s) * side + (int64_t)u * s) * n;
            float *pixel = y + (row * to + u) * n;
            for (int64_t i = 0; i < n; i += VL) {
                vf sum = v_zero();
                for (int a = 0; a < s; a++)
                    for (int b = 0; b < s; b++)
                        sum = sum + v_load_part(from + ((int64_t)a * side + b) * n + i, n - i);
                v_store_part(pixel + i, sum * share, n - i);
            }
        }
}

static void avgpool_backward(int64_t batch, int side, int64_t n, int s, const float *dy, float *dx,
                             bool add_dx) {
    int to = side / s;
    vf share = v_set1(1 / (float)(s * s));
#pragma omp parallel for schedule(static) \
    num_threads(tc_threads()) if (batch * side * side * n > TC_PARALLEL_WORK)
    for (int64_t row = 0; row < batch * side; row++)
        for (int u = 0; u < side; u++) {
            int v = (int)(row % side) / s;
            const float *from = v < to && u / s < to ? dy + ((row / side * to + v) * to + u / s) * n : NULL;
            float *pixel = dx + (row * side + u) * n;
            for (int64_t i = 0; i < n; i += VL) {
                vf g = from ? (vf)(v_load_part(from + i, n - i) * share) : v_zero();
                v_store_part(pixel + i, add_dx ? (vf)(v_load_part(pixel + i, n - i) + g) : g, n - i);
            }
        }
}

#endif
