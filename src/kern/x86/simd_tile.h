/* simd_tile.h - the register tile that all own matrix products are made of: c [rows,COLS] (+)= a [rows,k] b
 * [k,COLS].
 *
 * The left operand lies in blocks of at most BLOCK columns of k, each a matrix whose rows are A_STRIDE apart.
 * The constant distance lets the tile address all its rows from one pointer, and keeps rows off each other's
 * cache sets. The right operand is any matrix of COLS columns; where only its first VL are wanted, a tile of
 * one vector does half the work. Sums of one block stay in registers; the blocks are added one after the
 * other, which also bounds rounding errors. A product of `rows` rows costs rows * TILE_VECS multiply-adds a
 * step of k against rows + TILE_VECS loads. */
#ifndef TC_SIMD_TILE_H
#define TC_SIMD_TILE_H

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LINE = 16 }; /* floats of a cache line */

enum { COLS = TILE_VECS * VL, BLOCK = 256, A_STRIDE = BLOCK + 16 };

/* What the next product will read from memory: the tile asks for `step` bytes on each of its steps of k. */
typedef struct ahead {
    const char *from;
    int64_t step;
} ahead;

/* Columns of k in a block: equal shares in whole cache lines. A short last block takes as long to start and
 * to end as a long one, and leaves less time to fetch what follows. */
static inline int64_t block_of(int64_t k) {
    int64_t blocks = (k + BLOCK - 1) / BLOCK;
    return blocks ? ((k + blocks - 1) / blocks + LINE - 1) / LINE * LINE : BLOCK;
}

/* k <= BLOCK; `vecs` vectors of c are made */
INLINE void tile(int rows, int vecs, const float *a, const float *b, int64_t ldb, int64_t k, float *c,
                 int64_t ldc, bool add, ahead next) {
    if (rows > TILE_ROWS) return;
    vf sum[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vecs; j++) sum[i][j] = v_zero();
    for (int64_t p = 0; p < k; p++) {
        vf right[TILE_VECS];
        for (int j = 0; j < vecs; j++) right[j] = v_load(b + p * ldb + j * VL);
        __builtin_prefetch(next.from + p * next.step, 0, 2);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vf left = v_set1(a[i * A_STRIDE + p]);
            for (int j = 0; j < vecs; j++) sum[i][j] = v_fma(left, right[j], sum[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vecs; j++) {
            float *to = c + i * ldc + j * VL;
            v_store(to, add ? (vf)(v_load(to) + sum[i][j]) : sum[i][j]);
        }
}

INLINE void tile_rows(int rows, int vecs, const float *a, const float *b, int64_t ldb, int64_t k, float *c,
                      int64_t ldc, bool add, ahead next) {
    switch (rows) {
    case 1:
        tile(1, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 2:
        tile(2, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 3:
        tile(3, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 4:
        tile(4, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 5:
        tile(5, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 6:
        tile(6, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 7:
        tile(7, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 8:
        tile(8, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 9:
        tile(9, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 10:
        tile(10, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 11:
        tile(11, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 12:
        tile(12, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 13:
        tile(13, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    case 14:
        tile(14, vecs, a, b, ldb, k, c, ldc, add, next);
        break;
    default:
        break;
    }
}

static void tile_whole(int rows, const float *a, const float *b, int64_t ldb, int64_t k, float *c,
                       int64_t ldc, bool add, ahead next) {
    tile_rows(rows, TILE_VECS, a, b, ldb, k, c, ldc, add, next);
}

static void tile_narrow(int rows, const float *a, const float *b, int64_t ldb, int64_t k, float *c,
                        int64_t ldc, bool add, ahead next) {
    tile_rows(rows, 1, a, b, ldb, k, c, ldc, add, next);
}

/* The first `columns` columns of c at least; all COLS may be written. */
static inline void tile_any(int rows, int64_t columns, const float *a, const float *b, int64_t ldb, int64_t k,
                            float *c, int64_t ldc, bool add, ahead next) {
    if (columns > VL) tile_whole(rows, a, b, ldb, k, c, ldc, add, next);
    else tile_narrow(rows, a, b, ldb, k, c, ldc, add, next);
}

/* The left operand: `rows` rows in blocks that lie rows * A_STRIDE apart. */
typedef struct left_blocks {
    float *data;
    int64_t rows, k;
} left_blocks;

static inline int64_t left_size(int64_t rows, int64_t k) {
    return rows * A_STRIDE * ((k + BLOCK - 1) / BLOCK);
}

static void left_pack(left_blocks *l, float *data, const float *x, int64_t ldx, int64_t rows, int64_t k) {
    int64_t block = block_of(k);
    *l = (left_blocks){data, rows, k};
    for (int64_t p = 0; p < k; p += block) {
        size_t bytes = (size_t)(k - p < block ? k - p : block) * sizeof *x;
        for (int64_t i = 0; i < rows; i++, data += A_STRIDE) memcpy(data, x + i * ldx + p, bytes);
    }
}

/* c (+)= rows row .. row+rows of l times the first `columns` columns of b [k,COLS], whose others may be added
 * to c's as well; zero if k is 0. */
static void left_multiply(const left_blocks *l, int64_t row, int rows, int64_t columns, const float *b,
                          int64_t ldb, float *c, int64_t ldc, bool add) {
    const float *a = l->data + row * A_STRIDE;
    int64_t p = 0, block = block_of(l->k);
    do {
        int64_t step = l->k - p < block ? l->k - p : block;
        tile_any(rows, columns, a, b, ldb, step, c, ldc, add || p, (ahead){(const char *)b, 0});
        a += l->rows * A_STRIDE;
        b += step * ldb;
        p += block;
    } while (p < l->k);
}

/* out[columns][rows] = in[rows][columns]; both have room for whole vectors of whole VL x VL squares. */
static void transpose_padded(const float *in, int64_t ld_in, int64_t rows, int64_t columns, float *out,
                             int64_t ld_out) {
    for (int64_t i = 0; i < rows; i += VL)
        for (int64_t j = 0; j < columns; j += VL) {
            vf square[VL];
            for (int r = 0; r < VL; r++) square[r] = v_load(in + (i + r) * ld_in + j);
            v_transpose(square);
            for (int r = 0; r < VL; r++) v_store(out + (j + r) * ld_out + i, square[r]);
        }
}

/* Panels of the transpose: out[panel][column of x][COLS rows of x], rows past the end are 0. */
static void panels_pack(const float *x, int64_t ldx, int64_t rows, int64_t columns, float *out) {
    for (int64_t i = 0; i < rows; i += VL) {
        float *panel = out + i / COLS * COLS * columns + i % COLS;
        for (int64_t j = 0; j < columns; j += VL) {
            vf square[VL];
            for (int r = 0; r < VL; r++)
                square[r] = i + r < rows ? v_load_part(x + (i + r) * ldx + j, columns - j) : v_zero();
            v_transpose(square);
            for (int r = 0; r < VL && j + r < columns; r++) v_store(panel + (j + r) * COLS, square[r]);
        }
    }
    for (int64_t i = (rows + VL - 1) / VL * VL; i % COLS; i += VL)
        for (int64_t j = 0; j < columns; j++)
            v_store(out + i / COLS * COLS * columns + j * COLS + i % COLS, v_zero());
}

static inline int64_t panels_size(int64_t rows, int64_t columns) {
    return (rows + COLS - 1) / COLS * COLS * columns;
}

/* `count` steps of as many independent multiply-adds as a tile has. */
static double tile_peak(int64_t count) {
    enum { SUMS = TILE_ROWS * TILE_VECS };
    vf sum[SUMS], a = v_set1(0.999f), b = v_set1(0.001f), all = v_zero();
#pragma GCC unroll 32
    for (int i = 0; i < SUMS; i++) sum[i] = v_set1((float)i);
    for (int64_t c = 0; c < count; c++) {
#pragma GCC unroll 32
        for (int i = 0; i < SUMS; i++) sum[i] = v_fma(sum[i], a, b);
    }
#pragma GCC unroll 32
    for (int i = 0; i < SUMS; i++) all = all + sum[i];
    volatile float sink = v_sum(all);
    (void)sink;
    return (double)count * SUMS * VL;
}

#endif
