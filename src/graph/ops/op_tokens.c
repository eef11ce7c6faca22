/* op_tokens.c - patch rows -> [class token; patches] + positions; without a class token their mean stands in
 * its place (attention pooling). Parameters: class_embedding [W] or -1, positional_embedding [1+patches, W].
 */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static void tokens_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *in = &g->values[n->in[0]];
    const tc_param *positions = &g->params->items[n->param[1]];
    out->space = tc_graph_space(g, g->spaces[in->space].per_seq + 1);
    out->width = in->width;
    if (positions->shape[0] != g->spaces[in->space].per_seq + 1 || positions->shape[1] != in->width)
        tc_graph_fail(g, "%s does not fit the patches", positions->name);
}

static int64_t rows_an_image(const tc_runner *r, const tc_node *n) {
    return r->graph->spaces[r->graph->values[n->out].space].per_seq;
}

static void tokens_forward(const tc_runner *r, const tc_node *n) {
    const tc_real *first = n->param[0] >= 0 ? r->param[n->param[0]] : NULL;
    r->kern->tokens(r->batch, rows_an_image(r, n), tc_width_of(r, n->out), r->value[n->in[0]], first,
                    r->param[n->param[1]], r->value[n->out]);
}

static void tokens_backward(const tc_runner *r, const tc_node *n) {
    tc_real *dfirst = n->param[0] >= 0 ? r->param_grad[n->param[0]] : NULL;
    r->kern->tokens_backward(r->batch, rows_an_image(r, n), tc_width_of(r, n->out), r->grad[n->out],
                             r->grad[n->in[0]], dfirst, r->param_grad[n->param[1]]);
}

/* The class token in front of each image's rows; without one, their mean. */
static int first_token(tc_onnx_walk *w, const tc_node *n, int x) {
    tc_onnx *o = w->o;
    int64_t width = w->g->values[n->out].width, rows = 1;
    tc_onnx_attr axes = {.name = "axes", .kind = TC_ONNX_INTS_ATTR, .ints = &rows, .n = 1};
    if (n->param[0] < 0) return tc_onnx_node(o, "ReduceMean", 1, &x, 1, &axes);
    tc_onnx_attr end = tc_onnx_int_attr("end", 1), axis = tc_onnx_int_attr("axis", 0);
    int batch = tc_onnx_node(o, "Shape", 1, &x, 1, &end);
    int shape =
        tc_onnx_node(o, "Concat", 2, (int[]){batch, tc_onnx_ints(o, 2, (int64_t[]){1, width})}, 1, &axis);
    return tc_onnx_binary(o, "Expand", tc_onnx_param(o, n->param[0]), shape);
}

static int tokens_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx_attr axis = tc_onnx_int_attr("axis", 1);
    int x = w->value[n->in[0]];
    x = tc_onnx_node(w->o, "Concat", 2, (int[]){first_token(w, n, x), x}, 1, &axis);
    return tc_onnx_binary(w->o, "Add", x, tc_onnx_param(w->o, n->param[1]));
}

const tc_op tc_op_tokens = {.name = "tokens",
                            .shape = tokens_shape,
                            .forward = tokens_forward,
                            .backward = tokens_backward,
                            .takes_constant = true,
                            .begins_stream = true,
                            .onnx = tokens_onnx};
