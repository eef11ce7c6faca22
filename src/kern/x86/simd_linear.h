/* simd_linear.h - y = act(x W^T + b + y) for a weight packed once.
 *
 * W is kept in panels of COLS outputs, [panel][k][COLS]: one panel at a time passes through the caches, read
 * in order, against a block of rows of x that stays there. A tile's sums are finished (bias, activation, old
 * y) while they are in the first cache. Any number of rows runs at the same speed, without set-up: the row
 * count of captions changes from call to call. The order of the sums is the same whatever the rows and
 * threads. */
#ifndef TC_SIMD_LINEAR_H
#define TC_SIMD_LINEAR_H

/* Outputs panel * COLS .. of W -> out [k][COLS]; outputs past the end are 0. */
static void pack_panel(const tc_packed *l, int64_t panel, float *out) {
    const tc_weight *w = &l->weight;
    int64_t first = panel * COLS;
    int64_t count = l->product.n - first < COLS ? l->product.n - first : COLS;
    int64_t k = l->product.k;
    float room[VL][BLOCK];
    for (int64_t p = 0; w->transposed && p < k; p++) {
        const float *from = tc_weight_get(w, first, p, count, room[0]);
        for (int64_t i = 0; i < COLS; i += VL) v_store(out + p * COLS + i, v_load_part(from + i, count - i));
    }
    for (int64_t i = 0; !w->transposed && i < COLS; i += VL)
        for (int64_t block = 0; block < k; block += BLOCK) {
            int64_t step = k - block < BLOCK ? k - block : BLOCK;
            const float *row[VL];
            for (int r = 0; r < VL; r++)
                row[r] = i + r < count ? tc_weight_get(w, first + i + r, block, step, room[r]) : NULL;
            for (int64_t p = 0; p < step; p += VL) {
                vf square[VL];
                for (int r = 0; r < VL; r++)
                    square[r] = row[r] ? v_load_part(row[r] + p, step - p) : v_zero();
                v_transpose(square);
                for (int r = 0; r < VL && p + r < step; r++)
                    v_store(out + (block + p + r) * COLS + i, square[r]);
            }
        }
}

static size_t linear_bytes(const tc_packed *l) {
    size_t padded, count;
    bool fits = tc_round_up((size_t)l->product.n, COLS, &padded) &&
                tc_mul(padded, (size_t)l->product.k, &count) && tc_mul(count, sizeof(float), &count);
    return fits ? count : 0;
}

/* The arguments of packing or of a run, for its ranges of panels or of parts. */
typedef struct linear_work {
    const tc_packed *l;
    const float *packed, *x;
    float *to, *y;
    int64_t m, ldx, ldy, row_parts, panel_parts;
} linear_work;

static int64_t linear_panels(const tc_packed *l) { return (l->product.n + COLS - 1) / COLS; }

static void linear_pack_range(void *user, int64_t first, int64_t end) {
    const linear_work *k = user;
    for (int64_t i = first; i < end; i++) pack_panel(k->l, i, k->to + i * COLS * k->l->product.k);
}

static bool linear_pack(const tc_packed *l, void *to) {
    linear_work k = {.l = l, .to = to};
    tc_parallel(linear_panels(l), l->product.n * l->product.k, linear_pack_range, &k);
    return true;
}

INLINE void finish_rows(int act, bool add, const float *sum, const float *bias, int rows, int64_t columns,
                        float *y, int64_t ldy) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < COLS && j < columns; j += VL) {
            float *to = y + i * ldy + j;
            vf x = v_load(sum + i * COLS + j) + v_load(bias + j);
            if (add) x = x + v_load_part(to, columns - j);
            if (act == TC_ACT_GELU) x = gelu(x);
            if (act == TC_ACT_QUICK_GELU) x = quick_gelu(x);
            if (act == TC_ACT_RELU) x = v_max(v_zero(), x);
            v_store_part(to, x, columns - j);
        }
}

static void linear_finish(const tc_packed *l, const float *sum, int64_t column, int rows, float *y,
                          int64_t ldy) {
    const float *bias = l->bias + column;
    y += column;
    if (l->product.act == TC_ACT_GELU)
        finish_rows(TC_ACT_GELU, l->product.add, sum, bias, rows, l->product.n - column, y, ldy);
    else if (l->product.act == TC_ACT_QUICK_GELU)
        finish_rows(TC_ACT_QUICK_GELU, l->product.add, sum, bias, rows, l->product.n - column, y, ldy);
    else if (l->product.act == TC_ACT_RELU)
        finish_rows(TC_ACT_RELU, l->product.add, sum, bias, rows, l->product.n - column, y, ldy);
    else finish_rows(TC_ACT_NONE, l->product.add, sum, bias, rows, l->product.n - column, y, ldy);
}

/* Rows of x that are packed at once: so many that they take half of a second-level cache of 1 MB, beside the
 * panels. */
static int64_t linear_chunk(int64_t k) {
    int64_t rows = (1 << 17) / (k > 0 ? k : 1);
    if (rows < 4 * TILE_ROWS) return 4 * TILE_ROWS;
    return rows > 512 ? 512 : rows;
}

/* All rows of x, panels first .. last-1. A block of weights, at most BLOCK x COLS, stays in the first cache
 * while every tile meets it; the tiles' sums wait in `sum` for the next block. Tiles share the rows evenly,
 * since small ones do not keep the multipliers busy. */
static void linear_chunk_run(const tc_packed *l, const float *packed, int64_t first, int64_t last, int64_t m,
                             const float *x, int64_t ldx, float *y, int64_t ldy, float *scratch) {
    left_blocks left;
    float *sum = scratch + left_size(m, l->product.k), *own = sum + m * COLS;
    int64_t tiles = (m + TILE_ROWS - 1) / TILE_ROWS, block = block_of(l->product.k);
    left_pack(&left, scratch, x, ldx, m, l->product.k);
    for (int64_t panel = first; panel < last; panel++) {
        const float *weights = packed ? packed + panel * COLS * l->product.k : own;
        int64_t columns = l->product.n - panel * COLS;
        if (!packed) pack_panel(l, panel, own);
        for (int64_t p = 0; p == 0 || p < l->product.k; p += block) {
            int64_t step = l->product.k - p < block ? l->product.k - p : block;
            int64_t rest = p + step < l->product.k ? l->product.k - p - step : l->product.k;
            const float *a = scratch + p / block * m * A_STRIDE, *b = weights + p * COLS;
            /* Blocks follow one another in memory: while the tiles use one, they fetch the next, each its
             * share. */
            int64_t share = (rest < block ? rest : block) * COLS * (int64_t)sizeof *b / tiles;
            for (int64_t t = 0; t < tiles; t++) {
                int64_t row = m * t / tiles, end = m * (t + 1) / tiles;
                if (p + step == l->product.k)
                    for (int64_t i = row; i < end; i++)
                        for (int64_t j = 0; j < COLS && j < columns; j += LINE)
                            __builtin_prefetch(y + i * ldy + panel * COLS + j);
                ahead next = {(const char *)(b + step * COLS) + t * share, step ? share / step : 0};
                tile_any((int)(end - row), columns, a + row * A_STRIDE, b, COLS, step, sum + row * COLS, COLS,
                         p > 0, next);
                if (p + step == l->product.k)
                    linear_finish(l, sum + row * COLS, panel * COLS, (int)(end - row), y + row * ldy, ldy);
            }
        }
    }
}

static void linear_part(const tc_packed *l, const float *packed, int64_t first, int64_t last, int64_t m,
                        const float *x, int64_t ldx, float *y, int64_t ldy) {
    int64_t most = linear_chunk(l->product.k);
    int64_t chunks = (m + most - 1) / most;
    int64_t rows = chunks ? (m + chunks - 1) / chunks : 0;
    if (first >= last || m < 1) return;
    int64_t panel = packed ? 0 : l->product.k * COLS;
    float *scratch =
        tc_scratch((size_t)(left_size(rows, l->product.k) + rows * COLS + panel) * sizeof *scratch);
    if (!scratch) {
        tc_x86_linear_slow(l, packed, COLS, first * COLS,
                           last * COLS < l->product.n ? last * COLS : l->product.n, m, x, ldx, y, ldy);
        return;
    }
    for (int64_t c = 0; c < chunks; c++) {
        int64_t row = m * c / chunks, end = m * (c + 1) / chunks;
        linear_chunk_run(l, packed, first, last, end - row, x + row * ldx, ldx, y + row * ldy, ldy, scratch);
    }
}

static void linear_range(void *user, int64_t first, int64_t end) {
    const linear_work *k = user;
    int64_t panels = linear_panels(k->l);
    for (int64_t part = first; part < end; part++) {
        int64_t r = part / k->panel_parts, c = part % k->panel_parts;
        int64_t row = k->m * r / k->row_parts, last_row = k->m * (r + 1) / k->row_parts;
        linear_part(k->l, k->packed, panels * c / k->panel_parts, panels * (c + 1) / k->panel_parts,
                    last_row - row, k->x + row * k->ldx, k->ldx, k->y + row * k->ldy, k->ldy);
    }
}

static void linear_run(const tc_packed *l, const void *packed, int64_t m, const float *x, int64_t ldx,
                       float *y, int64_t ldy) {
    int64_t work = m * l->product.n * l->product.k, threads = work > TC_PARALLEL_WORK ? tc_threads() : 1;
    linear_work k = {.l = l, .packed = packed, .m = m, .x = x, .ldx = ldx, .y = y, .ldy = ldy};
    /* Threads share the weights if there are few rows, so that each weight is read by one; else the rows. */
    k.row_parts = m / 96 < threads ? m / 96 : threads;
    while (k.row_parts > 1 && threads % k.row_parts) k.row_parts--;
    k.row_parts = k.row_parts < 1 ? 1 : k.row_parts;
    k.panel_parts = threads / k.row_parts;
    tc_parallel(k.row_parts * k.panel_parts, work, linear_range, &k);
}

static bool linear_can(const tc_product *p) { return !p->map.kernel; }

static const tc_form linear_form = {.name = "panels",
                                    .numbers = "f32",
                                    .can = linear_can,
                                    .bytes = linear_bytes,
                                    .pack = linear_pack,
                                    .run = linear_run};

#endif
