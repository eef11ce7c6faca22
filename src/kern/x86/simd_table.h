/* simd_table.h - the table of a vector level: the kernels of the other headers, and the plain C where a
 * compiler makes as much of it. */
#ifndef TC_SIMD_TABLE_H
#define TC_SIMD_TABLE_H

static const tc_form *const forms[] = {&linear_form, &TC_CONV_FORM, NULL};

#define SIMD_KERNELS                                                                                        \
    .forms = forms, TC_PRODUCTS, .avgpool = avgpool, .avgpool_backward = avgpool_backward,                  \
    .batch_stats = batch_stats, .batchnorm = batchnorm, .batchnorm_backward = batchnorm_backward,           \
    .layernorm = layernorm, .layernorm_backward = layernorm_backward, .layernorm_kept = layernorm_kept,     \
    .layernorm_kept_backward = layernorm_kept_backward, .scale = scale, .scale_backward = scale_backward,   \
    .act = act, .act_backward = act_backward, .bias_act = bias_act, .bias_backward = bias_backward,         \
    .add = add, .softmax = softmax, .l2norm = l2norm, .l2norm_backward = l2norm_backward,                   \
    .attention = attention, .attention_backward = attention_backward, .softmax_xent = softmax_xent,         \
    .dot = dot, .adamw = adamw, .patchify = ref_patchify, .tokens = ref_tokens,                             \
    .tokens_backward = ref_tokens_backward, .embed = ref_embed, .embed_backward = ref_embed_backward,       \
    .clear_rows = ref_clear_rows, .pick_rows = ref_pick_rows, .pick_rows_backward = ref_pick_rows_backward, \
    .batch_rstd = ref_batch_rstd, .running_stats = ref_running_stats, .running_update = ref_running_update, \
    .copy = ref_copy, .zero = ref_zero, .from_float = ref_from_float, .to_float = ref_to_float

#endif
