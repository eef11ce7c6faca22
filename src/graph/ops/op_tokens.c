/* op_tokens.c - patch rows -> [class token; patches] + positions; without a class token their mean stands in
 * its place (attention pooling). Parameters: class_embedding [W] or -1, positional_embedding [1+patches, W].
 */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <string.h>

static void tokens_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *in = &g->values[n->in[0]];
    const tc_param *positions = &g->params->items[n->param[1]];
    out->space = tc_graph_space(g, g->spaces[in->space].per_seq + 1);
    out->width = in->width;
    if (positions->shape[0] != g->spaces[in->space].per_seq + 1 || positions->shape[1] != in->width)
        tc_graph_fail(g, "%s does not fit the patches", positions->name);
}

/* y = mean of the patches + the first position */
static void mean_token(int64_t patches, int64_t width, const tc_real *x, const tc_real *position,
                       tc_real *y) {
    for (int64_t i = 0; i < width; i++) y[i] = 0;
    for (int64_t p = 0; p < patches; p++)
        for (int64_t i = 0; i < width; i++) y[i] += x[p * width + i];
    for (int64_t i = 0; i < width; i++) y[i] = y[i] / (tc_real)patches + position[i];
}

static void tokens_forward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out),
            per_seq = r->graph->spaces[r->graph->values[n->out].space].per_seq;
    const tc_real *x = r->value[n->in[0]], *first = n->param[0] >= 0 ? r->param[n->param[0]] : NULL,
                  *positions = r->param[n->param[1]];
    tc_real *y = r->value[n->out];
#pragma omp parallel for schedule(static) if (r->batch * per_seq * width > 100000)
    for (int64_t row = 0; row < r->batch * per_seq; row++) {
        int64_t s = row / per_seq, t = row % per_seq;
        const tc_real *from = t ? x + (s * (per_seq - 1) + t - 1) * width : first;
        if (from)
            for (int64_t i = 0; i < width; i++) y[row * width + i] = from[i] + positions[t * width + i];
        else mean_token(per_seq - 1, width, x + s * (per_seq - 1) * width, positions, y + row * width);
    }
}

static void tokens_backward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out),
            per_seq = r->graph->spaces[r->graph->values[n->out].space].per_seq;
    const tc_real *dy = r->grad[n->out];
    tc_real *dx = r->grad[n->in[0]], *dfirst = n->param[0] >= 0 ? r->param_grad[n->param[0]] : NULL,
            *dpositions = r->param_grad[n->param[1]];
    tc_real share = dfirst ? 0 : 1 / (tc_real)(per_seq - 1); /* of each patch in the mean */
    memset(dpositions, 0, (size_t)(per_seq * width) * sizeof *dpositions);
#pragma omp parallel for schedule(static) if (r->batch * per_seq * width > 100000)
    for (int64_t t = 0; t < per_seq; t++)
        for (int64_t s = 0; s < r->batch; s++) {
            const tc_real *from = dy + (s * per_seq + t) * width;
            for (int64_t i = 0; i < width; i++) dpositions[t * width + i] += from[i];
            const tc_real *mean = dy + s * per_seq * width;
            for (int64_t i = 0; t && i < width; i++)
                dx[(s * (per_seq - 1) + t - 1) * width + i] = from[i] + share * mean[i];
        }
    if (dfirst) memcpy(dfirst, dpositions, (size_t)width * sizeof *dfirst);
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
