/* blocks_seen.c - transformer blocks in a checkpoint. The one thing that the shapes of its tensors do not
 * tell is the size of the heads. */
#include "net/blocks.h"

#include <string.h>

const tc_hf_name tc_blocks_hf[] = {{"ln_1.weight", "layer_norm1.weight", false, 0, 0},
                                   {"ln_1.bias", "layer_norm1.bias", false, 0, 0},
                                   {"ln_2.weight", "layer_norm2.weight", false, 0, 0},
                                   {"ln_2.bias", "layer_norm2.bias", false, 0, 0},
                                   {"mlp.c_fc.weight", "mlp.fc1.weight", false, 0, 0},
                                   {"mlp.c_fc.bias", "mlp.fc1.bias", false, 0, 0},
                                   {"mlp.c_proj.weight", "mlp.fc2.weight", false, 0, 0},
                                   {"mlp.c_proj.bias", "mlp.fc2.bias", false, 0, 0},
                                   {"attn.out_proj.weight", "self_attn.out_proj.weight", false, 0, 0},
                                   {"attn.out_proj.bias", "self_attn.out_proj.bias", false, 0, 0},
                                   {"attn.in_proj_weight", "self_attn.q_proj.weight", false, 0, 3},
                                   {"attn.in_proj_weight", "self_attn.k_proj.weight", false, 1, 3},
                                   {"attn.in_proj_weight", "self_attn.v_proj.weight", false, 2, 3},
                                   {"attn.in_proj_bias", "self_attn.q_proj.bias", false, 0, 3},
                                   {"attn.in_proj_bias", "self_attn.k_proj.bias", false, 1, 3},
                                   {"attn.in_proj_bias", "self_attn.v_proj.bias", false, 2, 3},
                                   {NULL, NULL, false, 0, 0}};

/* ---- sizes */

typedef struct shape {
    int width, layers;
    int rows[TC_MAX_LAYERS]; /* of in_proj: 3 x heads x their size; 0: no attention */
    int ffn[TC_MAX_LAYERS];  /* -1: none */
} shape;

static const char *const attention[] = {"attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight",
                                        "attn.out_proj.bias", NULL};
static const char *const feed_forward[] = {"mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight",
                                           "mlp.c_proj.bias", NULL};
static const char *const norms[] = {"ln_1.weight", "ln_2.weight", NULL};

static const char *in_block(char out[96], const char *prefix, int layer, const char *rest) {
    snprintf(out, 96, "%stransformer.resblocks.%d.%s", prefix, layer, rest);
    return out;
}

static bool has_any(const tc_seen *s, const char *prefix, int layer, const char *const *names) {
    char name[96];
    for (int i = 0; names[i]; i++)
        for (int part = 0; part < 3; part++)
            if (s->find(s->user, in_block(name, prefix, layer, names[i]), part).tensor) return true;
    return false;
}

static void measure(tc_seen *s, shape *t, const char *prefix, const char *norm) {
    char name[96];
    t->width = tc_seen_at_least_one(s, norm, 1, 0, 1 << 16);
    t->layers = 0;
    for (int i = 0; i < TC_MAX_LAYERS; i++)
        if (has_any(s, prefix, i, norms)) t->layers = i + 1;
    for (int i = 0; i < t->layers && s->status == TC_OK; i++) {
        bool attn = has_any(s, prefix, i, attention), mlp = has_any(s, prefix, i, feed_forward);
        t->rows[i] = 0;
        t->ffn[i] = -1;
        if (attn)
            t->rows[i] =
                tc_seen_at_least_one(s, in_block(name, prefix, i, "attn.in_proj_bias"), 1, 0, 3 << 20);
        if (mlp) t->ffn[i] = tc_seen_size(s, in_block(name, prefix, i, "mlp.c_fc.bias"), 1, 0, 1 << 20);
        if (!attn && !mlp)
            tc_seen_wrong(s, TC_EFORMAT, "all tensors of %s are missing", in_block(name, prefix, i, "*"));
    }
    if (t->layers == 0)
        tc_seen_wrong(s, TC_EFORMAT, "all tensors of %s are missing", in_block(name, prefix, 0, "*"));
}

/* Equal blocks whose heads of this size fill the width. */
static bool is_ordinary(const shape *t, int head_dim) {
    bool same = t->width % head_dim == 0;
    for (int i = 0; i < t->layers; i++)
        same = same && t->rows[i] == 3 * t->width && t->ffn[i] > 0 && t->ffn[i] == t->ffn[0];
    return same;
}

static void take(tc_tower_config *t, const shape *from, int head_dim) {
    memset(t->block, 0, sizeof t->block);
    t->width = from->width;
    t->layers = from->layers;
    t->head_dim = head_dim;
    for (int i = 0; i < from->layers; i++) {
        t->block[i].heads = from->rows[i] / (3 * head_dim);
        t->block[i].ffn = from->ffn[i];
    }
}

/* ---- without a configuration */

void tc_blocks_recognise(tc_seen *s, tc_tower_config *t, const char *prefix, const char *norm,
                         const char *tower, const tc_usual_heads *usual) {
    shape seen;
    measure(s, &seen, prefix, norm);
    if (s->status != TC_OK) return;
    while (usual->width && (usual->width != seen.width || usual->layers != seen.layers)) usual++;
    if (is_ordinary(&seen, usual->head_dim)) take(t, &seen, usual->head_dim);
    else
        tc_seen_wrong(s, TC_EARG,
                      "there is no configuration beside it; name one with --model-config: the %s "
                      "tower (width %d, %d layers) is pruned or has "
                      "heads of an unusual size, which its tensors do not tell",
                      tower, seen.width, seen.layers);
}

/* ---- with one */

/* The tensors of a pruned tower may be smaller than its configuration, nothing else. */
static void check_pruned(tc_seen *s, const shape *t, const tc_tower_config *given, const char *tower) {
    if (t->width > given->width)
        tc_seen_wrong(s, TC_EFORMAT, "the %s tower has a width of %d in its tensors, %d in the configuration",
                      tower, t->width, given->width);
    for (int i = 0; i < t->layers; i++) {
        int heads = t->rows[i] / (3 * given->head_dim);
        if (t->rows[i] % (3 * given->head_dim))
            tc_seen_wrong(s, TC_EFORMAT,
                          "block %d of the %s tower has %d query, key and value channels in its "
                          "tensors, which are no heads of %d each as "
                          "the configuration says",
                          i, tower, t->rows[i], given->head_dim);
        else if (heads > given->block[i].heads || t->ffn[i] > given->block[i].ffn)
            tc_seen_wrong(s, TC_EFORMAT,
                          "block %d of the %s tower has %d heads and %d FFN channels in its tensors, %d "
                          "and %d in the configuration",
                          i, tower, heads, t->ffn[i], given->block[i].heads, given->block[i].ffn);
    }
}

static bool as_given(const shape *t, const tc_tower_config *given) {
    bool same = t->width == given->width && t->layers == given->layers;
    for (int i = 0; i < t->layers && same; i++)
        same = t->rows[i] == 3 * given->block[i].heads * given->head_dim && t->ffn[i] == given->block[i].ffn;
    return same;
}

/* Do the weight and the bias of each fused projection agree? If not, one of them is wrong, and binding them
 * tells which. */
static bool is_consistent(const tc_seen *s, const shape *t, const char *prefix) {
    char name[96];
    for (int i = 0; i < t->layers; i++) {
        if (!t->rows[i]) continue;
        tc_seen_tensor n = s->find(s->user, in_block(name, prefix, i, "attn.in_proj_weight"), 0);
        if (!n.tensor || n.tensor->ndim != 2 || n.tensor->shape[0] != t->rows[i] / n.parts) return false;
    }
    return true;
}

/* A tensor that is missing is reported when it is bound. */
void tc_blocks_adjust(tc_seen *s, tc_tower_config *t, const char *prefix, const char *norm,
                      const char *tower) {
    shape seen;
    tc_seen quiet = *s;
    quiet.err = NULL;
    /* a pruned tower's own configuration is exact */
    if (s->status != TC_OK || tc_blocks_are_pruned(t)) return;
    measure(&quiet, &seen, prefix, norm);
    if (quiet.status != TC_OK || !is_consistent(s, &seen, prefix)) return;
    /* another model altogether: the first tensor tells */
    if (seen.layers != t->layers && seen.width != t->width) return;
    if (seen.layers != t->layers) {
        tc_seen_wrong(s, TC_EFORMAT, "the %s tower has %d layers in its tensors, %d in the configuration",
                      tower, seen.layers, t->layers);
        return;
    }
    bool pruned = s->says_pruned || !is_ordinary(&seen, t->head_dim);
    if (as_given(&seen, t) || !pruned) return;
    check_pruned(s, &seen, t, tower);
    if (s->status == TC_OK) take(t, &seen, t->head_dim);
}

bool tc_blocks_is_idle(const tc_tower_config *t, const char *prefix, const char *canonical) {
    int layer, which, end = 0;
    if (!tc_starts_with(canonical, prefix)) return false;
    const char *name = canonical + strlen(prefix);
    if (sscanf(name, "transformer.resblocks.%3d.ln_%1d.%n", &layer, &which, &end) != 2 || !end) return false;
    if (layer < 0 || layer >= t->layers) return false;
    return which == 1 ? t->block[layer].heads == 0 : which == 2 && t->block[layer].ffn < 0;
}
