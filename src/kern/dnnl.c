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

/* oneDNN is built with OpenMP and asks it. */
void omp_set_num_threads(int n);
int omp_get_max_threads(void);

int tc_dnnl_threads(int n) {
    int before = omp_get_max_threads();
    if (n != before) omp_set_num_threads(n);
    return before;
}

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
    int64_t grains = ((rows ? p.m : p.n) + GRAIN - 1) / GRAIN;
    int64_t first = grains * i / parts * GRAIN;
    int64_t end = grains * (i + 1) / parts * GRAIN;
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

typedef struct gemm_work {
    product whole;
    bool rows;
    int64_t parts;
} gemm_work;

static void gemm_range(void *user, int64_t first, int64_t end) {
    const gemm_work *k = user;
    int before = tc_dnnl_threads(1);
    for (int64_t i = first; i < end; i++) {
        product mine = share(&k->whole, k->rows, i, k->parts);
        if (mine.m > 0 && mine.n > 0) one_thread(&mine);
    }
    tc_dnnl_threads(before);
}

void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a,
                  int64_t lda, const tc_real *b, int64_t ldb, tc_real beta, tc_real *c, int64_t ldc) {
    if (m < 1 || n < 1) return;
    if (k < 1) {
        ref_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    int64_t work = m * n * k, threads = work > TC_PARALLEL_WORK ? tc_threads() : 1;
    /* Rows unless there are few: the columns of a narrow result would leave each thread too little of them.
     */
    bool rows = m >= n || m >= 64 * threads;
    gemm_work w = {{ta, tb, m, n, k, alpha, beta, a, b, c, lda, ldb, ldc}, rows, threads};
    tc_parallel(threads, work, gemm_range, &w);
}
