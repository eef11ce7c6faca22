/* ref_gemm.c - matrix products in plain C: c = alpha op(a) op(b) + beta c.
 *
 * Both operands are copied in blocks into small arrays on the stack, so that the four transposition cases
 * share one inner loop and the compiler can keep it in vector registers of the base machine. Sums run over
 * blocks of k that are added up one after the other, which keeps rounding errors small. */
#include "kern/ref.h"

#include <string.h>

enum { BM = 4, BN = 64, BK = 128 };

typedef struct tile {
    tc_real a[BK][BM], b[BK][BN], sum[BM][BN];
} tile;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void load_b(tile *t, bool tb, const tc_real *b, int64_t ldb, int64_t k0, int64_t kn, int64_t j0,
                   int64_t jn) {
    for (int64_t p = 0; p < kn; p++) {
        for (int64_t j = 0; j < jn; j++)
            t->b[p][j] = tb ? b[(j0 + j) * ldb + k0 + p] : b[(k0 + p) * ldb + j0 + j];
        for (int64_t j = jn; j < BN; j++) t->b[p][j] = 0;
    }
}

static void load_a(tile *t, bool ta, const tc_real *a, int64_t lda, int64_t k0, int64_t kn, int64_t i0,
                   int64_t in) {
    for (int64_t p = 0; p < kn; p++)
        for (int64_t i = 0; i < BM; i++)
            t->a[p][i] = i < in ? a[ta ? (k0 + p) * lda + i0 + i : (i0 + i) * lda + k0 + p] : 0;
}

/* sum = the product of the loaded blocks */
static void multiply(tile *t, int64_t kn) {
    memset(t->sum, 0, sizeof t->sum);
    for (int64_t p = 0; p < kn; p++) {
        const tc_real *b = t->b[p];
        for (int i = 0; i < BM; i++) {
            tc_real x = t->a[p][i], *sum = t->sum[i];
            for (int j = 0; j < BN; j++) sum[j] += x * b[j];
        }
    }
}

/* The first block of k meets the old c with beta, the others add to it. */
static void store(const tile *t, int64_t in, int64_t jn, tc_real alpha, tc_real beta, tc_real *c,
                  int64_t ldc) {
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < jn; j++) {
            tc_real *y = &c[i * ldc + j];
            *y = alpha * t->sum[i][j] + (beta != 0 ? beta * *y : 0);
        }
}

/* Columns j0 .. j0+jn of the product, all rows, written from c on. */
static void column_block(bool ta, bool tb, int64_t m, int64_t k, tc_real alpha, const tc_real *a, int64_t lda,
                         const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc, int64_t j0,
                         int64_t jn) {
    tile t;
    int64_t k0 = 0;
    do { /* once even if k is 0: c = beta c */
        int64_t kn = smaller(BK, k - k0);
        load_b(&t, tb, b, ldb, k0, kn, j0, jn);
        for (int64_t i0 = 0; i0 < m; i0 += BM) {
            int64_t in = smaller(BM, m - i0);
            load_a(&t, ta, a, lda, k0, kn, i0, in);
            multiply(&t, kn);
            store(&t, in, jn, alpha, k0 ? 1 : beta, c + i0 * ldc, ldc);
        }
        k0 += BK;
    } while (k0 < k);
}

typedef struct gemm_work {
    bool ta, tb;
    int64_t m, n, k, lda, ldb, ldc;
    tc_real alpha, beta;
    const tc_real *a, *b;
    tc_real *c;
} gemm_work;

static void gemm_range(void *user, int64_t first, int64_t end) {
    const gemm_work *w = user;
    for (int64_t j = first * BN; j < end * BN && j < w->n; j += BN)
        column_block(w->ta, w->tb, w->m, w->k, w->alpha, w->a, w->lda, w->b, w->ldb, w->beta, w->c + j,
                     w->ldc, j, smaller(BN, w->n - j));
}

void ref_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a, int64_t lda,
              const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc) {
    gemm_work w = {ta, tb, m, n, k, lda, ldb, ldc, alpha, beta, a, b, c};
    tc_parallel((n + BN - 1) / BN, m * n * k, gemm_range, &w);
}
