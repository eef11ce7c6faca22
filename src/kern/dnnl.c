/* dnnl.c - matrix products by oneDNN; the only file that knows it.
 *
 * Only dnnl_sgemm is used: it takes any size without set-up and is as fast as oneDNN's other calls where neither operand can be packed beforehand
 * (training). Weights that stay the same have their own packed kernel, see x86/simd_linear.h. The functions used are the same in oneDNN 2.x and 3.x. */
#include "kern/x86/x86.h"

#include <oneapi/dnnl/dnnl.h>

/* A transposed left operand of many rows is read across its long side. oneDNN 2.6 loses a fifth of its speed there unless k comes in pieces
 * of about this many rows (docs/PERF.md). */
enum { PIECE = 192 };

void tc_dnnl_cap(int level)
{
    if (level == 1)
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
}

void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a, int64_t lda, const tc_real *b, int64_t ldb,
                  tc_real beta, tc_real *c, int64_t ldc)
{
    if (m < 1 || n < 1)
        return;
    if (k < 1) {
        tc_kern_ref.gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    tc_threads_apply();
    int64_t pieces = ta ? (k + PIECE - 1) / PIECE : 1;
    for (int64_t i = 0; i < pieces; i++) {
        int64_t first = k * i / pieces, count = k * (i + 1) / pieces - first;
        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, count, alpha, a + first * (ta ? lda : 1), lda, b + first * (tb ? 1 : ldb), ldb, i ? 1 : beta,
                   c, ldc);
    }
}
