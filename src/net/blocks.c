/* blocks.c - the parameters and the graph of transformer blocks.
 *
 * A block is pre-norm (Radford et al. 2021): x += Attention(LN1 x); x += W2 act(W1 LN2 x + b1) + b2. Of the
 * last block only one row of each sequence is read, so only that row's query, output and FFN are computed;
 * keys and values need every row. */
#include "net/blocks.h"

#include <math.h>
#include <string.h>

/* ---- parameters */

void tc_blocks_add_norm(tc_adder *a, const char *name, int width) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    tc_add_vector(a, full, 0, width, tc_axis_width, 1, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    tc_add_vector(a, full, 0, width, tc_axis_width, 0, 0);
}

/* Initial spread of the weights: CLIP's (Radford et al. 2021, as in its text tower), for both towers. */
static void add_attention(tc_adder *a, const tc_tower_config *t, int layer) {
    int w = t->width, inner = t->block[layer].heads * t->head_dim;
    tc_axis qkv = {TC_GROUP_HEADS, layer, 3, t->head_dim}, head = {TC_GROUP_HEADS, layer, 1, t->head_dim};
    double in = pow(w, -0.5), out = pow(w, -0.5) * pow(2.0 * t->layers, -0.5);
    tc_blocks_add_norm(a, "ln_1", w);
    tc_add_matrix(a, "attn.in_proj_weight", TC_ROLE_PRUNABLE, 3 * inner, qkv, w, tc_axis_width, in);
    tc_add_vector(a, "attn.in_proj_bias", TC_ROLE_PRUNABLE, 3 * inner, qkv, 0, 0);
    tc_add_matrix(a, "attn.out_proj.weight", TC_ROLE_PRUNABLE, w, tc_axis_width, inner, head, out);
    tc_add_vector(a, "attn.out_proj.bias", TC_ROLE_PRUNABLE, w, tc_axis_width, 0, 0);
}

static void add_feed_forward(tc_adder *a, const tc_tower_config *t, int layer) {
    int w = t->width, ffn = t->block[layer].ffn;
    tc_axis channel = {TC_GROUP_FFN, layer, 1, 1};
    double in = pow(2.0 * w, -0.5), out = pow(w, -0.5) * pow(2.0 * t->layers, -0.5);
    tc_blocks_add_norm(a, "ln_2", w);
    tc_add_matrix(a, "mlp.c_fc.weight", TC_ROLE_PRUNABLE, ffn, channel, w, tc_axis_width, in);
    tc_add_vector(a, "mlp.c_fc.bias", TC_ROLE_PRUNABLE, ffn, channel, 0, 0);
    tc_add_matrix(a, "mlp.c_proj.weight", TC_ROLE_PRUNABLE, w, tc_axis_width, ffn, channel, out);
    tc_add_vector(a, "mlp.c_proj.bias", TC_ROLE_PRUNABLE, w, tc_axis_width, 0, 0);
}

void tc_blocks_params(tc_adder *a, const tc_tower_config *t) {
    tc_adder block = *a;
    for (int l = 0; l < t->layers; l++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", a->prefix, l);
        block.prefix = prefix;
        block.in_block = strlen(prefix);
        block.layer = l;
        if (t->block[l].heads) add_attention(&block, t, l);
        if (t->block[l].ffn >= 0) add_feed_forward(&block, t, l);
    }
    a->failed = block.failed;
}

/* ---- graph */

/* Rows first .. first+rows-1 of the fused projection. */
static int project_in(tc_graph *g, int x, const char *prefix, int first, int rows) {
    tc_node n = {.op = &tc_op_linear, .nin = 1, .in = {x}, .row0 = first, .rows = rows};
    return tc_net_layer(g, n, prefix, "attn.in_proj_weight", "attn.in_proj_bias");
}

static int attention(tc_graph *g, const tc_tower_config *t, int layer, const char *prefix, int x, bool causal,
                     tc_pick pick) {
    int heads = t->block[layer].heads, inner = heads * t->head_dim;
    int y = tc_net_layernorm(g, x, prefix, "ln_1");
    tc_node n = {.op = &tc_op_attention, .heads = heads, .dim = t->head_dim, .causal = causal, .pick = pick};
    if (pick == TC_PICK_ALL) {
        n.nin = 1;
        n.in[0] = project_in(g, y, prefix, 0, 3 * inner);
    } else {
        n.nin = 2;
        n.in[0] = project_in(g, tc_net_pick(g, y, pick), prefix, 0, inner);
        n.in[1] = project_in(g, y, prefix, inner, 2 * inner);
    }
    y = tc_net_layer(g, n, "", NULL, NULL);
    return tc_net_linear(g, y, prefix, "attn.out_proj.weight", "attn.out_proj.bias");
}

static int feed_forward(tc_graph *g, const tc_tower_config *t, const char *prefix, int x) {
    int y = tc_net_layernorm(g, x, prefix, "ln_2");
    y = tc_net_linear(g, y, prefix, "mlp.c_fc.weight", "mlp.c_fc.bias");
    y = tc_net_act(g, y, t->activation == TC_GELU ? TC_ACT_GELU : TC_ACT_QUICK_GELU);
    return tc_net_linear(g, y, prefix, "mlp.c_proj.weight", "mlp.c_proj.bias");
}

int tc_blocks_graph(tc_graph *g, const tc_tower_config *t, const char *prefix, const char *label, int x,
                    bool causal, tc_pick pick, unsigned flags) {
    for (int l = 0; l < t->layers; l++) {
        char block[64];
        snprintf(block, sizeof block, "%stransformer.resblocks.%d.", prefix, l);
        tc_pick rows = l + 1 == t->layers && !(flags & TC_NET_WHOLE) ? pick : TC_PICK_ALL;
        if (flags & TC_NET_NAMED) tc_graph_name(g, x, "%s_hidden_%d", label, l);
        if (t->block[l].heads) {
            int y = attention(g, t, l, block, x, causal, rows);
            x = tc_net_sum(g, tc_net_pick(g, x, rows), y);
        } else {
            x = tc_net_pick(g, x, rows);
        }
        if (t->block[l].ffn >= 0) x = tc_net_sum(g, x, feed_forward(g, t, block, x));
    }
    if (!(flags & TC_NET_WHOLE)) return x;
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "%s_hidden_%d", label, t->layers);
    return tc_net_pick(g, x, pick);
}
