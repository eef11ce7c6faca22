/* dnnl.c - matrix products by oneDNN; the only file that knows it. */
#include "kern/x86/x86.h"

#include <oneapi/dnnl/dnnl.h>

void tc_dnnl_cap(int level)
{
    if (level == 1)
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
}

void tc_dnnl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, tc_real alpha, const tc_real *a, int64_t lda, const tc_real *b,
                  int64_t ldb, tc_real beta, tc_real *c, int64_t ldc)
{
    if (m < 1 || n < 1)
        return;
    if (k < 1) {
        tc_kern_ref.gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    tc_threads_apply();
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
