/* op_act.c - the activation of each number. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <math.h>

static void act_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = g->values[n->in[0]].space;
    out->width = g->values[n->in[0]].width;
}

static int64_t numel(const tc_runner *r, const tc_node *n) {
    return tc_rows_of(r, n->out) * tc_width_of(r, n->out);
}

static void act_forward(const tc_runner *r, const tc_node *n) {
    r->kern->act(n->act, numel(r, n), r->value[n->in[0]], r->value[n->out]);
}

static void act_backward(const tc_runner *r, const tc_node *n) {
    r->kern->act_backward(n->act, numel(r, n), r->value[n->in[0]], r->grad[n->out], r->grad[n->in[0]]);
}

/* In the order of factors that ONNX Runtime knows as its Gelu and QuickGelu. */
static int act_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int x = w->value[n->in[0]];
    w->side[n->out] = w->side[n->in[0]];
    if (n->act == TC_ACT_RELU) return tc_onnx_unary(o, "Relu", x);
    if (n->act == TC_ACT_QUICK_GELU)
        return tc_onnx_binary(
            o, "Mul", x, tc_onnx_unary(o, "Sigmoid", tc_onnx_binary(o, "Mul", x, tc_onnx_float(o, 1.702f))));
    if (n->act != TC_ACT_GELU) tc_onnx_fail(o, "activation %d has no ONNX form", n->act);
    int y = tc_onnx_unary(o, "Erf", tc_onnx_binary(o, "Div", x, tc_onnx_float(o, (float)sqrt(2.0))));
    y = tc_onnx_binary(o, "Mul", x, tc_onnx_binary(o, "Add", y, tc_onnx_float(o, 1)));
    return tc_onnx_binary(o, "Mul", y, tc_onnx_float(o, 0.5f));
}

const tc_op tc_op_act = {.name = "act",
                         .kind = TC_OP_ACT,
                         .shape = act_shape,
                         .forward = act_forward,
                         .backward = act_backward,
                         .keep = TC_KEEP_IN0,
                         .grad_in_place = true,
                         .onnx = act_onnx,
                         .onnx_takes_maps = true};
