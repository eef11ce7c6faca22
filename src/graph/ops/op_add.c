/* op_add.c - the addition of a residual. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static void add_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *x = &g->values[n->in[0]], *y = &g->values[n->in[1]];
    if (x->space != y->space || x->width != y->width) tc_graph_fail(g, "add: the inputs differ in shape");
    out->space = x->space;
    out->width = x->width;
}

static int64_t numel(const tc_runner *r, const tc_node *n) {
    return tc_rows_of(r, n->out) * tc_width_of(r, n->out);
}

static void add_forward(const tc_runner *r, const tc_node *n) {
    r->kern->add(numel(r, n), r->value[n->in[0]], r->value[n->in[1]], r->value[n->out]);
}

/* Both inputs' gradients are the result's; the plan gives them the same memory where it can. */
static void add_backward(const tc_runner *r, const tc_node *n) {
    tc_real *dy = r->grad[n->out];
    for (int i = 0; i < 2; i++) {
        tc_real *dx = r->grad[n->in[i]];
        if (!dx || dx == dy) continue;
        if (tc_accumulates(r, n, i)) r->kern->add(numel(r, n), dx, dy, dx);
        else r->kern->copy(numel(r, n), dy, dx);
    }
}

static int add_onnx(tc_onnx_walk *w, const tc_node *n) {
    w->uniform[n->out] = w->uniform[n->in[0]] && w->uniform[n->in[1]];
    if (w->side[n->in[0]] != w->side[n->in[1]])
        for (int i = 0; i < 2; i++) tc_onnx_rows(w, n->in[i]);
    w->side[n->out] = w->side[n->in[0]];
    return tc_onnx_binary(w->o, "Add", w->value[n->in[0]], w->value[n->in[1]]);
}

const tc_op tc_op_add = {.name = "add",
                         .kind = TC_OP_ADD,
                         .shape = add_shape,
                         .forward = add_forward,
                         .backward = add_backward,
                         .grad_adds = true,
                         .grad_is_shared = true,
                         .onnx = add_onnx,
                         .onnx_takes_uniform = true,
                         .onnx_takes_maps = true};
