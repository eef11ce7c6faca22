/* names.c - what the parameters are called in other layouts, in both directions. The canonical names are
 * OpenCLIP's.
 *
 * A stored name is [module.]COMPONENT[module.]NAME: PyTorch's wrapper for training on several devices adds
 * "module.", the official TinyCLIP code keeps the towers as components of their own. NAME is OpenCLIP's or
 * Hugging Face's. */
#include "format/names.h"

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
    if (sscanf(canonical + (visual ? 7 : 0), "transformer.resblocks.%d.%n", &layer, &end) != 1 || end == 0)
        return false;
    const char *rest = block_name(canonical + (visual ? 7 : 0) + end, part);
    if (!rest) return false;
    snprintf(out, size, "%s_model.encoder.layers.%d.%s", visual ? "vision" : "text", layer, rest);
    return true;
}

/* ---- from other layouts */

/* The components of the official TinyCLIP model, each with what it may hold. */
typedef struct component {
    const char *prefix;
    enum { HOLDS_IMAGE, HOLDS_TEXT, HOLDS_SCALE } holds;
    unsigned written_by;
} component;
static const component components[] = {
    {"_image_encoder.", HOLDS_IMAGE, TC_NAMED_TINYCLIP},
    {"_text_encoder.", HOLDS_TEXT, TC_NAMED_TINYCLIP},
    {"_logit_scale.", HOLDS_SCALE, TC_NAMED_TINYCLIP},
    {"image_encoder_without_ddp.", HOLDS_IMAGE, TC_NAMED_ALIAS},
    {"text_encoder_without_ddp.", HOLDS_TEXT, TC_NAMED_ALIAS},
    {"logit_scale_without_ddp.", HOLDS_SCALE, TC_NAMED_ALIAS},
};

static const char *skip(const char *s, const char *prefix) {
    return tc_starts_with(s, prefix) ? s + strlen(prefix) : s;
}

static bool belongs(const component *c, const char *name) {
    bool visual = tc_starts_with(name, "visual."), scale = strcmp(name, "logit_scale") == 0;
    return c->holds == HOLDS_IMAGE ? visual : c->holds == HOLDS_SCALE ? scale : !visual && !scale;
}

/* A name within a block of a Hugging Face tower -> ours. */
static bool from_hf_block(const char *rest, const char *tower, int layer, tc_canonical *out) {
    const char *ours = NULL;
    for (size_t i = 0; i < sizeof block / sizeof *block; i++)
        if (strcmp(rest, block[i].theirs) == 0) ours = block[i].ours;
    for (int i = 0; i < 2; i++)
        for (int part = 0; part < 3; part++)
            if (strcmp(rest, fused[i][1 + part]) == 0) {
                ours = fused[i][0];
                out->part = part;
                out->parts = 3;
            }
    if (ours) snprintf(out->name, sizeof out->name, "%stransformer.resblocks.%d.%s", tower, layer, ours);
    return ours != NULL;
}

/* The number of a block is written plainly: "07" is another name than "7". */
static bool from_hf(const char *name, tc_canonical *out) {
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i].theirs) == 0) {
            snprintf(out->name, sizeof out->name, "%s", whole[i].ours);
            out->transposed = whole[i].transposed;
            /* Both call it so. */
            return strcmp(whole[i].ours, whole[i].theirs) != 0;
        }
    for (int text = 0; text < 2; text++) {
        char again[64];
        int layer, end = 0;
        const char *prefix = text ? "text_model.encoder.layers." : "vision_model.encoder.layers.";
        if (!tc_starts_with(name, prefix) || sscanf(name + strlen(prefix), "%6d.%n", &layer, &end) != 1 ||
            end == 0 || layer < 0)
            continue;
        snprintf(again, sizeof again, "%d.", layer);
        if (strncmp(again, name + strlen(prefix), (size_t)end) == 0 &&
            from_hf_block(name + strlen(prefix) + end, text ? "" : "visual.", layer, out))
            return true;
    }
    return false;
}

static bool is_openai_scalar(const char *name) {
    return strcmp(name, "input_resolution") == 0 || strcmp(name, "context_length") == 0 ||
           strcmp(name, "vocab_size") == 0;
}

bool tc_names_canonical(const char *stored, tc_canonical *out) {
    const char *name = skip(stored, "module.");
    *out = (tc_canonical){.parts = 1};
    for (size_t i = 0; i < sizeof components / sizeof *components; i++) {
        const component *c = &components[i];
        if (!tc_starts_with(name, c->prefix)) continue;
        name = skip(name + strlen(c->prefix), "module.");
        if (!belongs(c, name)) return false;
        out->written_by = c->written_by;
        break;
    }
    if (from_hf(name, out)) {
        out->written_by |= TC_NAMED_HF;
        return true;
    }
    if (strlen(name) >= sizeof out->name) return false;
    out->written_by |= is_openai_scalar(name) ? TC_NAMED_OPENAI : out->written_by ? 0 : TC_NAMED_OPENCLIP;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

bool tc_names_ignored(const char *canonical) {
    return tc_ends_with(canonical, ".position_ids") || strcmp(canonical, "attn_mask") == 0;
}
