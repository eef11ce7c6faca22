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
    double *parts;               /* [COLUMN_PARTS][2][n], sums of the parts */
    const float *average, *over; /* [2][n] each: mean sums of the gradients, in two floats */
    float *y;
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

static int64_t column_blocks(const columns *c) { return (c->rows + TC_REDUCE_ROWS - 1) / TC_REDUCE_ROWS; }

static int64_t column_parts(const columns *c) {
    return column_blocks(c) < COLUMN_PARTS ? column_blocks(c) : COLUMN_PARTS;
}

INLINE void column_range(const columns *c, column_kind kind, int64_t first, int64_t end) {
    int64_t blocks = column_blocks(c), count = column_parts(c);
    for (int64_t p = first; p < end; p++) {
        double *part = c->parts + p * 2 * c->n;
        memset(part, 0, (size_t)(2 * c->n) * sizeof *part);
        for (int64_t k = blocks * p / count; k < blocks * (p + 1) / count; k++)
            column_block(c, kind, k * TC_REDUCE_ROWS,
                         (k + 1) * TC_REDUCE_ROWS < c->rows ? (k + 1) * TC_REDUCE_ROWS : c->rows, part);
    }
}

static void column_values(void *user, int64_t first, int64_t end) {
    column_range(user, SUM_VALUES, first, end);
}
static void column_squares(void *user, int64_t first, int64_t end) {
    column_range(user, SUM_SQUARES, first, end);
}
static void column_gradients(void *user, int64_t first, int64_t end) {
    column_range(user, SUM_GRADIENTS, first, end);
}

/* sums [2][n] */
static void column_sums(columns *c, void (*range)(void *user, int64_t first, int64_t end), double *sums) {
    tc_parallel(column_parts(c), c->rows * c->n, range, c);
    memset(sums, 0, (size_t)(2 * c->n) * sizeof *sums);
    for (int64_t p = 0; p < column_parts(c); p++)
        for (int64_t i = 0; i < 2 * c->n; i++) sums[i] += c->parts[p * 2 * c->n + i];
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
    c.parts = sums + 2 * n;
    column_sums(&c, column_values, sums);
    for (int64_t i = 0; i < n; i++) mean[i] = sums[i] / (double)rows;
    column_split(&c, mean, NULL, column_rows(sums, n));
    column_sums(&c, column_squares, sums);
    for (int64_t i = 0; i < n; i++) var[i] = sums[i] / (double)rows;
}

static void batchnorm_range(void *user, int64_t first, int64_t end) {
    const columns c = *(const columns *)user;
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < c.n; i += VL) {
            int64_t left = c.n - i;
            vf v = v_fma(column_normal(&c, r, i), v_load_part(c.w + i, left), v_load_part(c.b + i, left));
            v_store_part(c.y + r * c.n + i, c.act == TC_ACT_RELU ? relu(v) : v, left);
        }
}

static void batchnorm(int64_t rows, int64_t n, const float *x, const double *mean, const double *rstd,
                      const float *w, const float *b, int kind, float *y) {
    columns c = {.rows = rows, .n = n, .x = x, .w = w, .b = b, .act = kind, .y = y};
    double *room = column_room(n);
    if (!room) {
        ref_batchnorm(rows, n, x, mean, rstd, w, b, kind, y);
        return;
    }
    column_split(&c, mean, rstd, column_rows(room, n));
    tc_parallel(rows, rows * n, batchnorm_range, &c);
}

static void batchnorm_backward_range(void *user, int64_t first, int64_t end) {
    const columns c = *(const columns *)user;
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < c.n; i += VL) {
            int64_t left = c.n - i;
            vf h = column_normal(&c, r, i);
            vf g = column_gradient(&c, h, r, i) - v_load_part(c.average + i, left) -
                   v_load_part(c.over + i, left);
            vf factor = v_load_part(c.w + i, left) * v_load_part(c.rstd + i, left);
            g = v_fnma(h, v_load_part(c.over + c.n + i, left),
                       v_fnma(h, v_load_part(c.average + c.n + i, left), g));
            v_store_part(c.y + r * c.n + i, factor * g, left);
        }
}

static void batchnorm_backward(int64_t rows, int64_t n, const float *x, const double *mean,
                               const double *rstd, const float *w, const float *b, int kind, const float *dy,
                               float *dx, float *dw, float *db) {
    columns c = {.rows = rows, .n = n, .x = x, .w = w, .b = b, .dy = dy, .act = kind, .y = dx};
    double *sums = column_room(n);
    if (!sums) {
        ref_batchnorm_backward(rows, n, x, mean, rstd, w, b, kind, dy, dx, dw, db);
        return;
    }
    column_split(&c, mean, rstd, column_rows(sums, n));
    c.parts = sums + 2 * n;
    column_sums(&c, column_gradients, sums);
    /* [2][n] each, over the parts, which are done with */
    float *average = (float *)(void *)(sums + 2 * n), *rest = average + 2 * n;
    for (int64_t i = 0; i < 2 * n; i++) {
        float *to = i < n ? &db[i] : &dw[i - n];
        *to += (float)sums[i];
        average[i] = (float)(sums[i] / (double)rows);
        rest[i] = (float)(sums[i] / (double)rows - (double)average[i]);
    }
    c.average = average, c.over = rest;
    tc_parallel(rows, rows * n, batchnorm_backward_range, &c);
}

/* ---- average pooling */

typedef struct pool_work {
    int side, s;
    int64_t n;
    const float *x;
    float *y;
    bool add;
} pool_work;

static void avgpool_range(void *user, int64_t first, int64_t end) {
    const pool_work *k = user;
    const int side = k->side, s = k->s, to = side / s;
    const int64_t n = k->n;
    vf share = v_set1(1 / (float)(s * s));
    for (int64_t row = first; row < end; row++)
        for (int u = 0; u < to; u++) {
            const float *from = k->x + ((row / to * side + row % to * s) * side + (int64_t)u * s) * n;
            float *pixel = k->y + (row * to + u) * n;
            for (int64_t i = 0; i < n; i += VL) {
                vf sum = v_zero();
                for (int a = 0; a < s; a++)
                    for (int b = 0; b < s; b++)
                        sum = sum + v_load_part(from + ((int64_t)a * side + b) * n + i, n - i);
                v_store_part(pixel + i, sum * share, n - i);
            }
        }
}

static void avgpool(int64_t batch, int side, int64_t n, int s, const float *x, float *y) {
    pool_work k = {side, s, n, x, y, false};
    tc_parallel(batch * (side / s), batch * side * side * n, avgpool_range, &k);
}

static void avgpool_backward_range(void *user, int64_t first, int64_t end) {
    const pool_work *k = user;
    const int side = k->side, s = k->s, to = side / s;
    const int64_t n = k->n;
    vf share = v_set1(1 / (float)(s * s));
    for (int64_t row = first; row < end; row++)
        for (int u = 0; u < side; u++) {
            int v = (int)(row % side) / s;
            const float *from = v < to && u / s < to ? k->x + ((row / side * to + v) * to + u / s) * n : NULL;
            float *pixel = k->y + (row * side + u) * n;
            for (int64_t i = 0; i < n; i += VL) {
                vf g = from ? (vf)(v_load_part(from + i, n - i) * share) : v_zero();
                v_store_part(pixel + i, k->add ? (vf)(v_load_part(pixel + i, n - i) + g) : g, n - i);
            }
        }
}

static void avgpool_backward(int64_t batch, int side, int64_t n, int s, const float *dy, float *dx,
                             bool add_dx) {
    pool_work k = {side, s, n, dy, dx, add_dx};
    tc_parallel(batch * side, batch * side * side * n, avgpool_backward_range, &k);
}

#endif
