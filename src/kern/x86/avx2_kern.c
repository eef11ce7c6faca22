/* avx2_kern.c - the kernels compiled for AVX2, FMA and F16C, and their table. */
#include "kern/products.h"
#include "kern/x86/x86.h"

#include <math.h>

#include "kern/x86/vec256.h"

#include "kern/x86/simd_math.h"
#include "kern/x86/simd_tile.h"
#include "kern/x86/simd_linear.h"
#include "kern/x86/simd_rows.h"
#include "kern/x86/simd_mask.h"
#include "kern/x86/simd_norm.h"

#include "kern/x86/simd_attention.h"
#include "kern/x86/simd_attention_backward.h"
#include "kern/x86/simd_train.h"

static const tc_form *const forms[] = {&linear_form, &TC_CONV_FORM, NULL};

const tc_kern tc_kern_avx2 = {
    .name = "avx2",
    .forms = forms,
    TC_PRODUCTS,
    .avgpool = avgpool,
    .avgpool_backward = avgpool_backward,
    .patchify = ref_patchify,
    .tokens = ref_tokens,
    .tokens_backward = ref_tokens_backward,
    .embed = ref_embed,
    .embed_backward = ref_embed_backward,
    .clear_rows = ref_clear_rows,
    .pick_rows = ref_pick_rows,
    .pick_rows_backward = ref_pick_rows_backward,
    .batch_stats = batch_stats,
    .batch_rstd = ref_batch_rstd,
    .running_stats = ref_running_stats,
    .running_update = ref_running_update,
    .batchnorm = batchnorm,
    .batchnorm_backward = batchnorm_backward,
    .layernorm = layernorm,
    .layernorm_backward = layernorm_backward,
    .layernorm_kept = layernorm_kept,
    .layernorm_kept_backward = layernorm_kept_backward,
    .scale = scale,
    .scale_backward = scale_backward,
    .act = act,
    .act_backward = act_backward,
    .bias_act = bias_act,
    .bias_backward = bias_backward,
    .add = add,
    .copy = ref_copy,
    .zero = ref_zero,
    .from_float = ref_from_float,
    .to_float = ref_to_float,
    .softmax = softmax,
    .l2norm = l2norm,
    .l2norm_backward = l2norm_backward,
    .attention = attention,
    .attention_backward = attention_backward,
    .softmax_xent = softmax_xent,
    .dot = dot,
    .adamw = adamw,
};

double tc_avx2_peak(int64_t count) { return tile_peak(count); }
