/* op_linear.c - y = x W^T + b, W [out, in] (or x W with W stored [in, out]).
 * dx = dy W, dW = dy^T x, db = sum of the rows of dy.
 *
 * Joined with an activation, y = act(h), h = x W^T + b. Training keeps h aside; on the way back the gradient
 * of h takes its place. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <math.h>

static const tc_param *weight_of(const tc_graph *g, const tc_node *n) {
    return &g->params->items[n->param[0]];
}

/* Input width of the weight: a patch convolution [W,3,P,P] is a matrix [W, 3*P*P]. */
static int64_t in_width(const tc_param *w, bool transposed) {
    if (transposed) return w->shape[0];
    return w->shape[0] ? w->numel / w->shape[0] : w->shape[1];
}

static void linear_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_param *w = weight_of(g, n);
    int64_t total = n->transposed ? w->shape[1] : w->shape[0];
    if (n->rows == 0 && n->row0 == 0) n->rows = (int)total;
    if (in_width(w, n->transposed) != g->values[n->in[0]].width || n->row0 + n->rows > total)
        tc_graph_fail(g, "%s does not fit an input of width %d", w->name, g->values[n->in[0]].width);
    out->space = g->values[n->in[0]].space;
    out->width = n->rows;
}

static const tc_real *weight_data(const tc_runner *r, const tc_node *n) {
    return r->param[n->param[0]] + (int64_t)n->row0 * tc_width_of(r, n->in[0]);
}

static void linear_forward(const tc_runner *r, const tc_node *n) {
    int64_t m = tc_rows_of(r, n->out), k = tc_width_of(r, n->in[0]), w = n->rows;
    const tc_real *x = r->value[n->in[0]];
    tc_real *y = r->value[n->out];
    if (tc_run_prepared(r, n)) return;
    tc_real *h = n->act ? r->aux[tc_node_index(r, n)] : y;
    r->kern->gemm(false, !n->transposed, m, w, k, 1, x, k, weight_data(r, n), n->transposed ? w : k, 0, h, w);
    if (n->param[1] >= 0) r->kern->bias_act(n->act, m, w, h, r->param[n->param[1]] + n->row0, y);
    else if (n->act) r->kern->act(n->act, m * w, h, y);
}

static int linear_aux(const tc_graph *g, const tc_node *n) {
    (void)g;
    return n->act ? n->rows : 0;
}

static void linear_backward(const tc_runner *r, const tc_node *n) {
    int64_t m = tc_rows_of(r, n->out), k = tc_width_of(r, n->in[0]), w = n->rows;
    const tc_kern *kern = r->kern;
    const tc_real *x = r->value[n->in[0]], *dy = r->grad[n->out];
    if (n->act) {
        tc_real *h = r->aux[tc_node_index(r, n)];
        kern->act_backward(n->act, m * w, h, dy, h);
        dy = h;
    }
    tc_real *dw = r->param_grad[n->param[0]] + (int64_t)n->row0 * k, *dx = r->grad[n->in[0]];
    if (n->transposed) kern->gemm(true, false, k, w, m, 1, x, k, dy, w, 0, dw, w);
    else kern->gemm(true, false, w, k, m, 1, dy, w, x, k, 0, dw, k);
    if (n->param[1] >= 0) kern->bias_backward(m, w, dy, r->param_grad[n->param[1]] + n->row0);
    if (dx)
        kern->gemm(false, n->transposed, m, k, w, 1, dy, w, weight_data(r, n), n->transposed ? w : k,
                   tc_accumulates(r, n, 0) ? 1 : 0, dx, k);
}

static double linear_macs(const tc_graph *g, const tc_node *n, int64_t rows_in, int64_t rows_out,
                          double pairs) {
    (void)rows_in, (void)pairs;
    return (double)rows_out * n->rows * g->values[n->in[0]].width;
}

/* With a normalisation folded in it is a convolution of 1 x 1. Run as one it is an eighth faster than the
 * packed linear layer, whose panels of 32 outputs a ResNet's widths do not fill (docs/PERF.md). */
static void linear_product(const tc_graph *g, const tc_node *n, tc_product *out) {
    int width = g->values[n->in[0]].width, per_seq = g->spaces[g->values[n->out].space].per_seq;
    int side = (int)lround(sqrt(per_seq));
    *out = (tc_product){.n = n->rows, .k = width, .act = n->act, .add = n->add};
    if (n->param[TC_NODE_NORM] >= 0 && side * side == per_seq)
        out->map = (tc_conv_shape){side, width, n->rows, 1, 1, 0};
}

/* In training h is kept, so that the activation can go with it; statistics are those of the batch, and the
 * residual is still needed. */
static bool linear_takes(const tc_node *behind, bool training) {
    return behind->op->kind == TC_OP_ACT || !training;
}

static int linear_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    const tc_param *p = &w->g->params->items[n->param[0]];
    if (p->ndim == 4 && w->side[n->in[0]]) return tc_onnx_conv(w, n, 1, 1, 0);
    tc_onnx_rows(w, n->in[0]);
    int bias = n->param[1] >= 0 ? tc_onnx_param_rows(o, n->param[1], n->row0, n->rows, false) : -1;
    if (n->act != TC_ACT_NONE || n->add) tc_onnx_fail(o, "the graph is fused");
    if (w->g->values[n->in[0]].width == 0) {
        if (bias < 0)
            tc_onnx_fail(o, "%s: a linear node without inputs and bias",
                         w->g->params->items[n->param[0]].name);
        w->uniform[n->out] = true;
        return bias;
    }
    int weight = n->transposed ? tc_onnx_param(o, n->param[0])
                               : tc_onnx_param_rows(o, n->param[0], n->row0, n->rows, true);
    int y = tc_onnx_binary(o, "MatMul", w->value[n->in[0]], weight);
    return bias < 0 ? y : tc_onnx_binary(o, "Add", y, bias);
}

const tc_op tc_op_linear = {.name = "linear",
                            .shape = linear_shape,
                            .forward = linear_forward,
                            .backward = linear_backward,
                            .aux_width = linear_aux,
                            .keep = TC_KEEP_IN0,
                            .grad_adds = true,
                            .macs = linear_macs,
                            .product = linear_product,
                            .takes_constant = true,
                            .takes = linear_takes,
                            .onnx = linear_onnx,
                            .onnx_takes_maps = true};
