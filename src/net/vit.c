/* vit.c - the image tower: patches, class token, positions, blocks, projection of the class token
 * (Dosovitskiy et al. 2021; CLIP adds a LayerNorm before the blocks). */
#include "graph/op.h"
#include "net/net.h"

tc_status tc_net_image_graph(tc_graph **out, const tc_config *c, const tc_params *p, unsigned flags,
                             tc_error *err) {
    if (c->image_tower == TC_IMAGE_RESNET) return tc_net_resnet_graph(out, c, p, flags, err);
    tc_graph *g = tc_graph_create(p);
    *out = NULL;
    if (!g) return tc_fail_memory(err, sizeof *g);
    int space = tc_graph_space(g, 1), x = tc_graph_input(g, space, 3 * c->image_size * c->image_size);
    x = tc_net_layer(g,
                     (tc_node){.op = &tc_op_patchify,
                               .nin = 1,
                               .in = {x},
                               .image_size = c->image_size,
                               .patch_size = c->patch_size},
                     "", NULL, NULL);
    x = tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}}, "visual.", "conv1.weight", NULL);
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "vision_patches");
    x = tc_net_layer(g, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {x}}, "visual.", "class_embedding",
                     "positional_embedding");
    x = tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, "visual.", "ln_pre.weight",
                     "ln_pre.bias");
    x = tc_net_blocks(g, &c->vision, "visual.", "vision", x, false, TC_PICK_FIRST, flags);
    x = tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, "visual.", "ln_post.weight",
                     "ln_post.bias");
    if (flags & TC_NET_NAMED) tc_graph_name(g, x, "vision_pooled");
    g->output = tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .transposed = true},
                             "visual.", "proj", NULL);
    if (g->failed) {
        tc_fail(err, TC_EARG, "image tower: %s", g->message);
        tc_graph_free(&g);
        return TC_EARG;
    }
    *out = g;
    return TC_OK;
}
