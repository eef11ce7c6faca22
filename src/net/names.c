/* names.c - what the parameters are called in other layouts. The canonical names are OpenCLIP's. */
#include "net/net.h"

#include <string.h>

typedef struct pair {
    const char *ours, *theirs;
    bool transposed;
} pair;

static const pair whole[] = {
    {"visual.class_embedding", "vision_model.embeddings.class_embedding", false},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", false},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", false},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight", false},
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias", false},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight", false},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias", false},
    {"visual.proj", "visual_projection.weight", true},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight", false},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight", false},
    {"ln_final.weight", "text_model.final_layer_norm.weight", false},
    {"ln_final.bias", "text_model.final_layer_norm.bias", false},
    {"text_projection", "text_projection.weight", true},
    {"logit_scale", "logit_scale", false},
};

/* Within a block; the projections of query, key and value are three tensors there. */
static const pair block[] = {
    {"ln_1.weight", "layer_norm1.weight", false},
    {"ln_1.bias", "layer_norm1.bias", false},
    {"ln_2.weight", "layer_norm2.weight", false},
    {"ln_2.bias", "layer_norm2.bias", false},
    {"mlp.c_fc.weight", "mlp.fc1.weight", false},
    {"mlp.c_fc.bias", "mlp.fc1.bias", false},
    {"mlp.c_proj.weight", "mlp.fc2.weight", false},
    {"mlp.c_proj.bias", "mlp.fc2.bias", false},
    {"attn.out_proj.weight", "self_attn.out_proj.weight", false},
    {"attn.out_proj.bias", "self_attn.out_proj.bias", false},
};
static const char *const fused[2][4] = {
    {"attn.in_proj_weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"},
    {"attn.in_proj_bias", "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"},
};

static const char *block_name(const char *rest, int part) {
    for (int i = 0; i < 2; i++)
        if (strcmp(rest, fused[i][0]) == 0) return part < 3 ? fused[i][1 + part] : NULL;
    for (size_t i = 0; i < sizeof block / sizeof *block && part == 0; i++)
        if (strcmp(rest, block[i].ours) == 0) return block[i].theirs;
    return NULL;
}

bool tc_names_hf(const char *canonical, int part, char *out, size_t size, bool *transposed) {
    *transposed = false;
    for (size_t i = 0; i < sizeof whole / sizeof *whole && part == 0; i++)
        if (strcmp(canonical, whole[i].ours) == 0) {
            *transposed = whole[i].transposed;
            snprintf(out, size, "%s", whole[i].theirs);
            return true;
        }
    bool visual = tc_starts_with(canonical, "visual.");
    int layer, end = 0;
    if (sscanf(canonical + (visual ? 7 : 0), "transformer.resblocks.%d.%n", &layer, &end) != 1 || end == 0) return false;
    const char *rest = block_name(canonical + (visual ? 7 : 0) + end, part);
    if (!rest) return false;
    snprintf(out, size, "%s_model.encoder.layers.%d.%s", visual ? "vision" : "text", layer, rest);
    return true;
}
