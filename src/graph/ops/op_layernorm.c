/* op_layernorm.c - y = (x - mean) / sqrt(var + 1e-5) * w + b over each row (Ba, Kiros, Hinton 2016); mean and 1/sqrt(var + eps) are kept for
 * the way back. */
#include "graph/graph.h"

#define LAYERNORM_EPS ((tc_real)1e-5)

static void layernorm_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = g->values[n->in[0]].space;
    out->width = g->values[n->in[0]].width;
    if (g->params->items[n->param[0]].shape[0] != out->width)
        tc_graph_fail(g, "%s does not fit an input of width %d", g->params->items[n->param[0]].name, out->width);
}

static int layernorm_aux(const tc_graph *g, const tc_node *n) {
    (void)g, (void)n;
    return 2;
}

static void layernorm_forward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    r->kern->layernorm(tc_rows_of(r, n->out), width, r->value[n->in[0]], width, r->param[n->param[0]], r->param[n->param[1]], LAYERNORM_EPS,
                       r->value[n->out], width, r->aux[tc_node_index(r, n)]);
}

static void layernorm_backward(const tc_runner *r, const tc_node *n) {
    r->kern->layernorm_backward(tc_rows_of(r, n->out), tc_width_of(r, n->out), r->value[n->in[0]], r->param[n->param[0]], r->aux[tc_node_index(r, n)],
                                r->grad[n->out], r->grad[n->in[0]], tc_accumulates(r, n, 0), r->param_grad[n->param[0]], r->param_grad[n->param[1]]);
}

const tc_op tc_op_layernorm = {.name = "layernorm", .shape = layernorm_shape, .forward = layernorm_forward, .backward = layernorm_backward, .aux_width = layernorm_aux, .keep = TC_KEEP_IN0, .grad_adds = true};
