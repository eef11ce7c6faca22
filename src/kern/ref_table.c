/* ref_table.c - the table of level 0, and its peak loop. */
#include "kern/ref.h"

static const tc_form *const forms[] = {&ref_form, NULL};

const tc_kern tc_kern_ref = {
    .name = "ref",
    .forms = forms,
    .gemm = ref_gemm,
    .conv_create = ref_conv_create,
    .conv_run = ref_conv_run,
    .conv_backward = ref_conv_backward,
    .conv_free = ref_conv_free,
    .avgpool = ref_avgpool,
    .avgpool_backward = ref_avgpool_backward,
    .patchify = ref_patchify,
    .tokens = ref_tokens,
    .tokens_backward = ref_tokens_backward,
    .embed = ref_embed,
    .embed_backward = ref_embed_backward,
    .clear_rows = ref_clear_rows,
    .pick_rows = ref_pick_rows,
    .pick_rows_backward = ref_pick_rows_backward,
    .batch_stats = ref_batch_stats,
    .batch_rstd = ref_batch_rstd,
    .running_stats = ref_running_stats,
    .running_update = ref_running_update,
    .batchnorm = ref_batchnorm,
    .batchnorm_backward = ref_batchnorm_backward,
    .layernorm = ref_layernorm,
    .layernorm_backward = ref_layernorm_backward,
    .layernorm_kept = ref_layernorm_kept,
    .layernorm_kept_backward = ref_layernorm_kept_backward,
    .scale = ref_scale,
    .scale_backward = ref_scale_backward,
    .act = ref_act,
    .act_backward = ref_act_backward,
    .bias_act = ref_bias_act,
    .bias_backward = ref_bias_backward,
    .add = ref_add,
    .copy = ref_copy,
    .zero = ref_zero,
    .from_float = ref_from_float,
    .to_float = ref_to_float,
    .softmax = ref_softmax,
    .l2norm = ref_l2norm,
    .l2norm_backward = ref_l2norm_backward,
    .attention = ref_attention,
    .attention_backward = ref_attention_backward,
    .softmax_xent = ref_softmax_xent,
    .dot = ref_dot,
    .adamw = ref_adamw,
};

double tc_ref_peak(int64_t count) {
    tc_real x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, a = (tc_real)0.999, b = (tc_real)0.001;
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < 8; j++) x[j] = x[j] * a + b;
    volatile tc_real sink = 0;
    for (int j = 0; j < 8; j++) sink = sink + x[j];
    return 8.0 * (double)count;
}
