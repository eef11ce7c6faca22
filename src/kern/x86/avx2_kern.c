/* avx2_kern.c - the kernels compiled for AVX2, FMA and F16C, and their table. */
#include "kern/ref.h"
#include "kern/x86/x86.h"

#include "kern/x86/vec256.h"

#include "kern/x86/simd_math.h"
#include "kern/x86/simd_tile.h"
#include "kern/x86/simd_linear.h"

const tc_kern tc_kern_avx2 = {
    .name = "avx2",
    .gemm = tc_dnnl_gemm,
    .linear_prepare = linear_prepare,
    .linear_run = linear_run,
    .linear_free = tc_x86_linear_free,
    .layernorm = ref_layernorm,
    .layernorm_backward = ref_layernorm_backward,
    .act = ref_act,
    .act_backward = ref_act_backward,
    .bias_act = ref_bias_act,
    .bias_backward = ref_bias_backward,
    .add = ref_add,
    .softmax = ref_softmax,
    .l2norm = ref_l2norm,
    .l2norm_backward = ref_l2norm_backward,
    .attention = ref_attention,
    .attention_backward = ref_attention_backward,
    .softmax_xent = ref_softmax_xent,
    .dot = ref_dot,
    .adamw = ref_adamw,
};

double tc_avx2_peak(int64_t count)
{
    return tile_peak(count);
}
