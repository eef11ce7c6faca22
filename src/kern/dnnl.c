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

void tc_dnnl_linear_run(const tc_linear *l, int64_t m, const tc_real *x, int64_t ldx, tc_real *y, int64_t ldy)
{
    if (l->add && l->act != TC_ACT_NONE) {
        tc_kern_ref.linear_run(l, m, x, ldx, y, ldy);
        return;
    }
    tc_dnnl_gemm(false, true, m, l->n, l->k, 1, x, ldx, l->w, l->k, l->add ? 1 : 0, y, ldy);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; l->bias && j < l->n; j++)
            y[i * ldy + j] += l->bias[j];
        tc_kern_ref.act(l->act, l->n, y + i * ldy, y + i * ldy);
    }
}
