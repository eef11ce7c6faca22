/* ref_table.c - the table of level 0. */
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
    .batch_stats = ref_batch_stats,
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
    .softmax = ref_softmax,
    .l2norm = ref_l2norm,
    .l2norm_backward = ref_l2norm_backward,
    .attention = ref_attention,
    .attention_backward = ref_attention_backward,
    .softmax_xent = ref_softmax_xent,
    .dot = ref_dot,
    .adamw = ref_adamw,
};
