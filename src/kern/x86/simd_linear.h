/* simd_linear.h - y = act(x W^T + b + y) for a weight packed once.
 *
 * W is kept in panels of COLS outputs, [panel][k][COLS]: one panel at a time passes through the caches, read in order, against a block of rows of
 * x that stays there. A tile's sums are finished (bias, activation, old y) while they are in the first cache. Any number of rows runs at the same
 * speed, without set-up: the row count of captions changes from call to call. The order of the sums is the same whatever the
 * rows and threads. */
#ifndef TC_SIMD_LINEAR_H
#define TC_SIMD_LINEAR_H

enum { LINE = 16 }; /* floats of a cache line */

static tc_linear *linear_prepare(const float *w, int64_t ldw, bool transposed, const float *bias, int64_t n, int64_t k, int act, bool add,
                                 int64_t rows_hint) {
    (void)rows_hint;
    size_t padded, count;
    tc_linear *l = tc_new(1, sizeof *l);
    if (!l) return NULL;
    l->n = n, l->k = k, l->act = act, l->add = add;
    if (!tc_round_up((size_t)n, COLS, &padded) || !tc_mul(padded, (size_t)k, &count) || !(l->packed = tc_new_aligned(count, sizeof *w)) ||
        !(l->bias = tc_new_aligned(padded, sizeof *w))) {
        tc_x86_linear_free(l);
        return NULL;
    }
    if (transposed)
        for (int64_t i = 0; i < n; i += COLS)
            for (int64_t p = 0; p < k; p++)
                memcpy((float *)l->packed + i * k + p * COLS, w + p * ldw + i, (size_t)(n - i < COLS ? n - i : COLS) * sizeof *w);
    else panels_pack(w, ldw, n, k, l->packed);
    if (bias) memcpy(l->bias, bias, (size_t)n * sizeof *w);
    return l;
}

INLINE void finish_rows(int act, bool add, const float *sum, const float *bias, int rows, int64_t columns, float *y, int64_t ldy) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < COLS; j += VL) {
            float *to = y + i * ldy + j;
            vf x = v_load(sum + i * COLS + j) + v_load(bias + j);
            if (add) x = x + v_load_part(to, columns - j);
            if (act == TC_ACT_GELU) x = gelu(x);
            if (act == TC_ACT_QUICK_GELU) x = quick_gelu(x);
            if (act == TC_ACT_RELU) x = v_max(v_zero(), x);
            v_store_part(to, x, columns - j);
        }
}

static void linear_finish(const tc_linear *l, const float *sum, int64_t column, int rows, float *y, int64_t ldy) {
    const float *bias = l->bias + column;
    y += column;
    if (l->act == TC_ACT_GELU) finish_rows(TC_ACT_GELU, l->add, sum, bias, rows, l->n - column, y, ldy);
    else if (l->act == TC_ACT_QUICK_GELU) finish_rows(TC_ACT_QUICK_GELU, l->add, sum, bias, rows, l->n - column, y, ldy);
    else if (l->act == TC_ACT_RELU) finish_rows(TC_ACT_RELU, l->add, sum, bias, rows, l->n - column, y, ldy);
    else finish_rows(TC_ACT_NONE, l->add, sum, bias, rows, l->n - column, y, ldy);
}

/* Rows of x that are packed at once: so many that they take half of a second-level cache of 1 MB, beside the panels. */
static int64_t linear_chunk(int64_t k) {
    int64_t rows = (1 << 17) / (k > 0 ? k : 1);
    return rows < 4 * TILE_ROWS ? 4 * TILE_ROWS : rows > 512 ? 512 : rows;
}

/* All rows of x, panels first .. last-1. A block of BLOCK x COLS weights stays in the first cache while every tile meets it; the tiles' sums wait
 * in `sum` for the next block. Tiles share the rows evenly, since small ones do not keep the multipliers busy. */
static void linear_chunk_run(const tc_linear *l, int64_t first, int64_t last, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy,
                             float *scratch) {
    left_blocks left;
    float *sum = scratch + left_size(m, l->k);
    int64_t tiles = (m + TILE_ROWS - 1) / TILE_ROWS;
    left_pack(&left, scratch, x, ldx, m, l->k);
    for (int64_t panel = first; panel < last; panel++)
        for (int64_t p = 0; p == 0 || p < l->k; p += BLOCK) {
            int64_t step = l->k - p < BLOCK ? l->k - p : BLOCK;
            const float *a = scratch + p / BLOCK * m * A_STRIDE, *b = (const float *)l->packed + panel * COLS * l->k + p * COLS;
            /* Blocks follow one another in memory: while the tiles use one, they fetch the next, each its share. */
            int64_t share = step * COLS * (int64_t)sizeof *b / tiles;
            for (int64_t t = 0; t < tiles; t++) {
                int64_t row = m * t / tiles, end = m * (t + 1) / tiles;
                if (p + step == l->k)
                    for (int64_t i = row; i < end; i++)
                        for (int64_t j = 0; j < COLS && panel * COLS + j < l->n; j += LINE) __builtin_prefetch(y + i * ldy + panel * COLS + j);
                ahead next = {(const char *)(b + step * COLS) + t * share, share / BLOCK};
                tile_any((int)(end - row), a + row * A_STRIDE, b, COLS, step, sum + row * COLS, COLS, p > 0, next);
                if (p + step == l->k) linear_finish(l, sum + row * COLS, panel * COLS, (int)(end - row), y + row * ldy, ldy);
            }
        }
}

static void linear_part(const tc_linear *l, int64_t first, int64_t last, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy) {
    int64_t most = linear_chunk(l->k), chunks = (m + most - 1) / most, rows = chunks ? (m + chunks - 1) / chunks : 0;
    if (first >= last || m < 1) return;
    float *scratch = tc_scratch((size_t)(left_size(rows, l->k) + rows * COLS) * sizeof *scratch);
    if (!scratch) {
        tc_x86_linear_slow(l, COLS, first * COLS, last * COLS < l->n ? last * COLS : l->n, m, x, ldx, y, ldy);
        return;
    }
    for (int64_t c = 0; c < chunks; c++) {
        int64_t row = m * c / chunks, end = m * (c + 1) / chunks;
        linear_chunk_run(l, first, last, end - row, x + row * ldx, ldx, y + row * ldy, ldy, scratch);
    }
}

static void linear_run(const tc_linear *l, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy) {
    int64_t panels = (l->n + COLS - 1) / COLS;
    int threads = m * l->n * l->k > TC_PARALLEL_WORK ? tc_threads() : 1;
    /* Threads share the weights if there are few rows, so that each weight is read by one; else the rows. */
    int64_t row_parts = m / 96 < threads ? m / 96 : threads;
    while (row_parts > 1 && threads % row_parts) row_parts--;
    row_parts = row_parts < 1 ? 1 : row_parts;
    int64_t panel_parts = threads / row_parts;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t part = 0; part < row_parts * panel_parts; part++) {
        int64_t r = part / panel_parts, c = part % panel_parts;
        int64_t row = m * r / row_parts, end = m * (r + 1) / row_parts;
        linear_part(l, panels * c / panel_parts, panels * (c + 1) / panel_parts, end - row, x + row * ldx, ldx, y + row * ldy, ldy);
    }
}

#endif
