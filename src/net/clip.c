/* clip.c - the parameters of a CLIP model and the blocks that both towers are made of.
 *
 * A block is pre-norm (Radford et al. 2021): x += Attention(LN1 x); x += W2 act(W1 LN2 x + b1) + b2. Of the
 * last block only one row of each sequence is read, so only that row's query, output and FFN are computed;
 * keys and values need every row. */
#include "graph/op.h"
#include "net/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- parameters */

static const tc_axis FIXED = {TC_GROUP_NONE, -1, 1, 1}, EMBED = {TC_GROUP_EMBED, -1, 1, 1},
                     WIDTH = {TC_GROUP_WIDTH, -1, 1, 1};

typedef struct adder {
    tc_params *params;
    int tower, layer;
    const char *prefix;
    bool failed;
} adder;

static void add2(adder *a, const char *name, int64_t n0, tc_axis a0, int64_t n1, tc_axis a1, double std) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", a->prefix, name);
    if (tc_params_add(a->params, full, a->tower, a->layer, 2, (int64_t[]){n0, n1}, (tc_axis[]){a0, a1}, 0,
                      std) < 0)
        a->failed = true;
}

static void add1(adder *a, const char *name, int64_t n0, tc_axis a0, double mean, double std) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", a->prefix, name);
    if (tc_params_add(a->params, full, a->tower, a->layer, 1, &n0, &a0, mean, std) < 0) a->failed = true;
}

static void add_norm(adder *a, const char *name, int width) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add1(a, full, width, WIDTH, 1, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    add1(a, full, width, WIDTH, 0, 0);
}

/* Initial spread of the weights: CLIP's (Radford et al. 2021, as in its text tower), for both towers. */
static void add_block(adder *a, const tc_tower_config *t, int layer, const char *tower_prefix) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower_prefix, layer);
    a->prefix = prefix;
    a->layer = layer;
    int w = t->width, heads = t->block[layer].heads, ffn = t->block[layer].ffn, inner = heads * t->head_dim;
    double attn = pow(w, -0.5), out = pow(w, -0.5) * pow(2.0 * t->layers, -0.5), fc = pow(2.0 * w, -0.5);
    tc_axis qkv = {TC_GROUP_HEADS, layer, 3, t->head_dim}, head = {TC_GROUP_HEADS, layer, 1, t->head_dim},
            channel = {TC_GROUP_FFN, layer, 1, 1};
    if (heads) {
        add_norm(a, "ln_1", w);
        add2(a, "attn.in_proj_weight", 3 * inner, qkv, w, WIDTH, attn);
        add1(a, "attn.in_proj_bias", 3 * inner, qkv, 0, 0);
        add2(a, "attn.out_proj.weight", w, WIDTH, inner, head, out);
        add1(a, "attn.out_proj.bias", w, WIDTH, 0, 0);
    }
    if (ffn >= 0) {
        add_norm(a, "ln_2", w);
        add2(a, "mlp.c_fc.weight", ffn, channel, w, WIDTH, fc);
        add1(a, "mlp.c_fc.bias", ffn, channel, 0, 0);
        add2(a, "mlp.c_proj.weight", w, WIDTH, ffn, channel, out);
        add1(a, "mlp.c_proj.bias", w, WIDTH, 0, 0);
    }
    a->layer = -1;
}

static void add_vision(adder *a, const tc_config *c) {
    int w = c->vision.width, grid = c->image_size / c->patch_size;
    double scale = pow(w, -0.5);
    a->tower = TC_TOWER_VISION;
    a->prefix = "visual.";
    add1(a, "class_embedding", w, WIDTH, 0, scale);
    add2(a, "positional_embedding", 1 + (int64_t)grid * grid, FIXED, w, WIDTH, scale);
    add2(a, "proj", w, WIDTH, c->embed_dim, EMBED, scale);
    int64_t shape[4] = {w, 3, c->patch_size, c->patch_size};
    tc_axis axis[4] = {WIDTH, FIXED, FIXED, FIXED};
    /* PyTorch's default for a convolution: uniform of standard deviation 1/sqrt(3 fan_in). */
    if (tc_params_add(a->params, "visual.conv1.weight", a->tower, -1, 4, shape, axis, 0,
                      pow(3.0 * 3 * c->patch_size * c->patch_size, -0.5)) < 0)
        a->failed = true;
    add_norm(a, "ln_pre", w);
    for (int l = 0; l < c->vision.layers; l++) add_block(a, &c->vision, l, "visual.");
    a->prefix = "visual.";
    add_norm(a, "ln_post", w);
}

static void add_text(adder *a, const tc_config *c) {
    int w = c->text.width;
    a->tower = TC_TOWER_TEXT;
    a->prefix = "";
    add2(a, "positional_embedding", c->context_length, FIXED, w, WIDTH, 0.01);
    add2(a, "text_projection", w, WIDTH, c->embed_dim, EMBED, pow(w, -0.5));
    for (int l = 0; l < c->text.layers; l++) add_block(a, &c->text, l, "");
    a->prefix = "";
    add2(a, "token_embedding.weight", c->vocab_size, FIXED, w, WIDTH, 0.02);
    add_norm(a, "ln_final", w);
}

tc_status tc_net_params(tc_params *out, const tc_config *c, tc_error *err) {
    *out = (tc_params){0};
    adder a = {.params = out, .layer = -1};
    if (c->image_tower == TC_IMAGE_RESNET) a.failed = !tc_net_resnet_params(out, c);
    else add_vision(&a, c);
    add_text(&a, c);
    if (tc_params_add(out, "logit_scale", TC_TOWER_JOINT, -1, 0, NULL, NULL, log(1 / 0.07), 0) < 0)
        a.failed = true;
    if (!a.failed && out->total < (int64_t)1 << 40) return TC_OK;
    tc_params_free(out);
    return tc_fail(err, TC_ENOMEM, "the configuration needs more memory than there is");
}

/* ---- graph */

int tc_net_layer(tc_graph *g, tc_node node, const char *prefix, const char *weight, const char *bias) {
    const char *name[2] = {weight, bias};
    for (int i = 0; i < 2; i++) {
        char full[128];
        node.param[i] = -1;
        if (!name[i]) continue;
        snprintf(full, sizeof full, "%s%s", prefix, name[i]);
        node.param[i] = tc_params_find(g->params, full);
        if (node.param[i] < 0) tc_graph_fail(g, "there is no parameter %s", full);
    }
    return tc_graph_add_node(g, node);
}

static int norm(tc_graph *g, int x, const char *prefix, const char *name) {
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    return tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, prefix, weight, bias);
}

static int pick_rows(tc_graph *g, int x, tc_pick pick) {
    return pick == TC_PICK_ALL
               ? x
               : tc_net_layer(g, (tc_node){.op = &tc_op_select, .nin = 1, .in = {x}, .pick = pick}, "", NULL,
                              NULL);
}

static int add(tc_graph *g, int x, int y) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {x, y}}, "", NULL, NULL);
}

/* Rows first .. first+rows-1 of the fused projection. */
static int project_in(tc_graph *g, int x, const char *prefix, int first, int rows) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .row0 = first, .rows = rows},
                        prefix, "attn.in_proj_weight", "attn.in_proj_bias");
}

static int attention(tc_graph *g, const tc_tower_config *t, int layer, const char *prefix, int x, bool causal,
                     tc_pick pick) {
    int inner = t->block[layer].heads * t->head_dim, y = norm(g, x, prefix, "ln_1");
    tc_node node = {.op = &tc_op_attention,
                    .heads = t->block[layer].heads,
                    .dim = t->head_dim,
                    .causal = causal,
                    .pick = pick};
    if (pick == TC_PICK_ALL) {
        node.nin = 1;
        node.in[0] = project_in(g, y, prefix, 0, 3 * inner);
    } else {
        node.nin = 2;
        node.in[0] = project_in(g, pick_rows(g, y, pick), prefix, 0, inner);
        node.in[1] = project_in(g, y, prefix, inner, 2 * inner);
    }
    y = tc_net_layer(g, node, "", NULL, NULL);
    return tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {y}}, prefix,
                        "attn.out_proj.weight", "attn.out_proj.bias");
}

static int feed_forward(tc_graph *g, const tc_tower_config *t, const char *prefix, int x) {
    int y = norm(g, x, prefix, "ln_2");
    y = tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {y}}, prefix, "mlp.c_fc.weight",
                     "mlp.c_fc.bias");
    y = tc_net_layer(g,
                     (tc_node){.op = &tc_op_act,
                               .nin = 1,
                               .in = {y},
                               .act = t->activation == TC_GELU ? TC_ACT_GELU : TC_ACT_QUICK_GELU},
                     "", NULL, NULL);
    return tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {y}}, prefix, "mlp.c_proj.weight",
                        "mlp.c_proj.bias");
}

int tc_net_blocks(tc_graph *g, const tc_tower_config *t, const char *prefix, const char *label, int x,
                  bool causal, tc_pick pick, unsigned flags) {
    for (int l = 0; l < t->layers; l++) {
        char block[64];
        snprintf(block, sizeof block, "%stransformer.resblocks.%d.", prefix, l);
        tc_pick rows = l + 1 == t->layers && !(flags & TC_NET_WHOLE) ? pick : TC_PICK_ALL;
        if (flags & TC_NET_NAMED) tc_graph_name(g, x, "%s_hidden_%d", label, l);
        if (t->block[l].heads) {
            int y = attention(g, t, l, block, x, causal, rows);
            x = add(g, pick_rows(g, x, rows), y);
        } else {
            x = pick_rows(g, x, rows);
        }
        if (t->block[l].ffn >= 0) x = add(g, x, feed_forward(g, t, block, x));
    }
    if (!(flags & TC_NET_WHOLE)) return x;
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "%s_hidden_%d", label, t->layers);
    return pick_rows(g, x, pick);
}
