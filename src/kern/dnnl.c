/* dnnl.c - matrix products by oneDNN; the only file that knows it.
 *
 * Only dnnl_sgemm is used: it takes any size without set-up and is as fast as oneDNN's other calls where
 * neither operand can be packed beforehand (training). Weights that stay the same have their own packed
 * kernel, see x86/simd_linear.h. The functions used are the same in oneDNN 2.x and 3.x.
 *
 * Each thread does its own share of the result with a product of its own: dnnl_sgemm with threads inside
 * loses up to a quarter on some shapes, since its threads share a packed operand and wait for each other
 * (docs/PERF.md). */
#include "kern/products.h"

#include <oneapi/dnnl/dnnl.h>

enum {
    /* a transposed left operand is read across its long side: the sum then goes in pieces of about this many
       rows */
    PIECE = 192,
    GRAIN = 16 /* shares are multiples of this many rows or columns */
};

void tc_dnnl_cap_avx2(void) { dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2); }

typedef struct product {
    bool ta, tb;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
} product;

static void one_thread(const product *p) {
    int64_t pieces = p->ta ? (p->k + PIECE - 1) / PIECE : 1;
    for (int64_t i = 0; i < pieces; i++) {
        int64_t first = p->k * i / pieces, count = p->k * (i + 1) / pieces - first;
        dnnl_sgemm(p->ta ? 'T' : 'N', p->tb ? 'T' : 'N', p->m, p->n, count, p->alpha,
                   p->a + first * (p->ta ? p->lda : 1), p->lda, p->b + first * (p->tb ? 1 : p->ldb), p->ldb,
                   i ? 1 : p->beta, p->c, p->ldc);
    }
}

/* Share i of `parts` of the rows or of the columns of c. */
static product share(const product *whole, bool rows, int64_t i, int64_t parts) {
    product p = *whole;
    int64_t grains = ((rows ? p.m : p.n) + GRAIN - 1) / GRAIN, first = grains * i / parts * GRAIN,
            end = grains * (i + 1) / parts * GRAIN;
    int64_t size = rows ? p.m : p.n;
    end = end < size ? end : size;
    if (rows) {
        p.a += first * (p.ta ? 1 : p.lda);
        p.c += first * p.ldc;
        p.m = end - first;
    } else {
        p.b += first * (p.tb ? p.ldb : 1);
        p.c += first;
        p.n = end - first;
    }
    return p;
}

void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a,
                  int64_t lda, const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc) {
    if (m < 1 || n < 1) return;
    if (k < 1) {
        tc_kern_ref.gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    tc_threads_apply(); /* a product too small to share is oneDNN's to share or not */
    product p = {ta, tb, m, n, k, alpha, beta, a, b, c, lda, ldb, ldc};
    /* Rows unless there are few: the columns of a narrow result would leave each thread too little of them.
     */
    int64_t threads = m * n * k > TC_PARALLEL_WORK ? tc_threads() : 1;
    bool rows = m >= n || m >= 64 * threads;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t i = 0; i < threads; i++) {
        product mine = share(&p, rows, i, threads);
        if (mine.m > 0 && mine.n > 0) one_thread(&mine);
    }
}
