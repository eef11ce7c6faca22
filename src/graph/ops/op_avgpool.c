/* op_avgpool.c - mean over squares of stride x stride pixels: the only way in which a ModifiedResNet's maps
 * shrink behind its stem (the stride is behind a low-pass filter, against aliasing). */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static void avgpool_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *x = &g->values[n->in[0]];
    int side = n->stride > 0 ? n->side / n->stride : 0;
    if (side < 1 || g->spaces[x->space].per_seq != n->side * n->side)
        tc_graph_fail(g, "avgpool: a map of side %d in squares of %d", n->side, n->stride);
    out->space = tc_graph_space_of(g, side * side);
    out->width = x->width;
}

static void avgpool_forward(const tc_runner *r, const tc_node *n) {
    r->kern->avgpool(r->batch, n->side, tc_width_of(r, n->out), n->stride, r->value[n->in[0]],
                     r->value[n->out]);
}

static void avgpool_backward(const tc_runner *r, const tc_node *n) {
    r->kern->avgpool_backward(r->batch, n->side, tc_width_of(r, n->out), n->stride, r->grad[n->out],
                              r->grad[n->in[0]], tc_accumulates(r, n, 0));
}

static int avgpool_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx_map(w, n->in[0], n->side);
    int x = w->value[n->in[0]];
    int64_t window[2] = {n->stride, n->stride};
    tc_onnx_attr attr[2] = {{.name = "kernel_shape", .kind = TC_ONNX_INTS_ATTR, .ints = window, .n = 2},
                            {.name = "strides", .kind = TC_ONNX_INTS_ATTR, .ints = window, .n = 2}};
    w->side[n->out] = n->side / n->stride;
    return tc_onnx_node(w->o, "AveragePool", 1, &x, 2, attr);
}

const tc_op tc_op_avgpool = {.name = "avgpool",
                             .shape = avgpool_shape,
                             .forward = avgpool_forward,
                             .backward = avgpool_backward,
                             .grad_adds = true,
                             .onnx = avgpool_onnx,
                             .onnx_takes_maps = true};
