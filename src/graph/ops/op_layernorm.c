/* op_layernorm.c - y = (x - mean) / sqrt(var + 1e-5) * w + b over each row (Ba, Kiros, Hinton 2016); mean and
 * 1/sqrt(var + eps) are kept for the way back. With a site only the columns that its mask keeps take part. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#define LAYERNORM_EPS ((tc_real)1e-5)

static void layernorm_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = g->values[n->in[0]].space;
    out->width = g->values[n->in[0]].width;
    if (g->params->items[n->param[0]].shape[0] != out->width)
        tc_graph_fail(g, "%s does not fit an input of width %d", g->params->items[n->param[0]].name,
                      out->width);
}

static int layernorm_aux(const tc_graph *g, const tc_node *n) {
    (void)g, (void)n;
    return 2;
}

static void layernorm_forward(const tc_runner *r, const tc_node *n) {
    int64_t rows = tc_rows_of(r, n->out), width = tc_width_of(r, n->out);
    const tc_real *x = r->value[n->in[0]];
    const tc_real *w = r->param[n->param[0]];
    const tc_real *b = r->param[n->param[1]];
    const tc_real *mask = tc_node_mask(r, n);
    tc_real *y = r->value[n->out], *mean_rstd = r->aux[tc_node_index(r, n)];
    if (mask) r->kern->layernorm_kept(rows, width, mask, x, w, b, LAYERNORM_EPS, y, mean_rstd);
    else r->kern->layernorm(rows, width, x, width, w, b, LAYERNORM_EPS, y, width, mean_rstd);
}

static void layernorm_backward(const tc_runner *r, const tc_node *n) {
    int64_t rows = tc_rows_of(r, n->out), width = tc_width_of(r, n->out);
    const tc_real *x = r->value[n->in[0]];
    const tc_real *w = r->param[n->param[0]];
    const tc_real *mean_rstd = r->aux[tc_node_index(r, n)];
    const tc_real *mask = tc_node_mask(r, n);
    tc_real *dx = r->grad[n->in[0]], *dw = r->param_grad[n->param[0]], *db = r->param_grad[n->param[1]];
    bool add = tc_accumulates(r, n, 0);
    if (mask)
        r->kern->layernorm_kept_backward(rows, width, mask, x, w, mean_rstd, r->grad[n->out], dx, add, dw,
                                         db);
    else r->kern->layernorm_backward(rows, width, x, w, mean_rstd, r->grad[n->out], dx, add, dw, db);
}

static int layernorm_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx_attr attr[2] = {tc_onnx_int_attr("axis", -1),
                            {.name = "epsilon", .kind = TC_ONNX_FLOAT_ATTR, .f = 1e-5f}};
    int in[3] = {w->value[n->in[0]], tc_onnx_param(w->o, n->param[0]), tc_onnx_param(w->o, n->param[1])};
    return tc_onnx_node(w->o, "LayerNormalization", 3, in, 2, attr);
}

const tc_op tc_op_layernorm = {.name = "layernorm",
                               .shape = layernorm_shape,
                               .forward = layernorm_forward,
                               .backward = layernorm_backward,
                               .aux_width = layernorm_aux,
                               .keep = TC_KEEP_IN0,
                               .grad_adds = true,
                               .takes_constant = true,
                               .takes_mask = true,
                               .onnx = layernorm_onnx};
