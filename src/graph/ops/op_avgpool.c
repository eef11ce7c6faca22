/* op_avgpool.c - mean over squares of stride x stride pixels: the only way in which a ModifiedResNet's maps
 * shrink behind its stem (the stride is behind a low-pass filter, against aliasing). */
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

const tc_op tc_op_avgpool = {.name = "avgpool",
                             .shape = avgpool_shape,
                             .forward = avgpool_forward,
                             .backward = avgpool_backward,
                             .grad_adds = true};
