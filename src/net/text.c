/* text.c - the text tower: tokens, positions, causal blocks, LayerNorm and projection of the end-of-text token. A sequence ends with that token: with the
 * causal mask nothing behind it can change the result. */
#include "net/net.h"

tc_status tc_net_text_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags, tc_error *err) {
    tc_graph *g = tc_graph_create(p);
    *out = NULL;
    if (!g) return tc_fail_memory(err, sizeof *g);
    tc_graph_space(g, 1);
    int x = tc_net_layer(g, (tc_node){.op = &tc_op_embed}, "", "token_embedding.weight", "positional_embedding");
    x = tc_net_blocks(g, &c->text, "", "text", x, true, TC_PICK_LAST, flags);
    x = tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, "", "ln_final.weight", "ln_final.bias");
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "text_pooled");
    g->output = tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .transposed = true}, "", "text_projection", NULL);
    if (g->failed) {
        tc_fail(err, TC_EARG, "text tower: %s", g->message);
        tc_graph_free(&g);
        return TC_EARG;
    }
    *out = g;
    return TC_OK;
}
