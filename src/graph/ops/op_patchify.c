/* op_patchify.c - pixels [3,S,S] -> one row a patch, [3*P*P]; the convolution of stride P is then a linear
 * node. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static void patchify_shape(tc_graph *g, tc_node *n, tc_value *out) {
    int grid = n->patch_size > 0 ? n->image_size / n->patch_size : 0;
    out->space = tc_graph_space(g, grid * grid);
    out->width = 3 * n->patch_size * n->patch_size;
    if (grid < 1 || g->values[n->in[0]].width != 3 * n->image_size * n->image_size)
        tc_graph_fail(g, "patchify: image of %d in patches of %d", n->image_size, n->patch_size);
}

static void patchify_forward(const tc_runner *r, const tc_node *n) {
    r->kern->patchify(r->batch, n->image_size, n->patch_size, r->value[n->in[0]], r->value[n->out]);
}

/* [b,3,S,S] -> [b,3,G,P,G,P] -> [b,G,G,3,P,P] -> [b,G*G,3*P*P]; pixels that fill no patch are cut off first.
 */
static int patchify_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int64_t patch = n->patch_size, grid = n->image_size / patch;
    int x = w->value[n->in[0]];
    if (patch == 1) {
        w->side[n->out] = n->image_size;
        return x;
    }
    if (grid * patch != n->image_size) {
        int end = tc_onnx_ints(o, 2, (int64_t[]){grid * patch, grid * patch});
        int in[4] = {x, tc_onnx_ints(o, 2, (int64_t[]){0, 0}), end, tc_onnx_ints(o, 2, (int64_t[]){2, 3})};
        x = tc_onnx_node(o, "Slice", 4, in, 0, NULL);
    }
    x = tc_onnx_reshape(o, x, 6, (int64_t[]){0, 3, grid, patch, grid, patch});
    x = tc_onnx_transpose(o, x, 6, (int64_t[]){0, 2, 4, 1, 3, 5});
    return tc_onnx_reshape(o, x, 3, (int64_t[]){0, grid * grid, 3 * patch * patch});
}

const tc_op tc_op_patchify = {
    .name = "patchify", .shape = patchify_shape, .forward = patchify_forward, .onnx = patchify_onnx};
