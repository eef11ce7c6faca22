/* op_embed.c - token ids -> rows of the token table + positions. Parameters: token_embedding [V, W],
 * positional_embedding [context, W]. The space of ids is ragged. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <string.h>

static void embed_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = tc_graph_space(g, 0);
    out->width = (int)g->params->items[n->param[0]].shape[1];
    if (g->params->items[n->param[1]].shape[1] != out->width)
        tc_graph_fail(g, "%s does not fit the token table", g->params->items[n->param[1]].name);
}

static const int32_t *sequences(const tc_runner *r, const tc_node *n) {
    return r->seq[r->graph->values[n->out].space];
}

static int64_t numel(const tc_runner *r, int param) { return r->graph->params->items[param].numel; }

static void embed_forward(const tc_runner *r, const tc_node *n) {
    r->kern->embed(r->batch, sequences(r, n), tc_width_of(r, n->out), r->ids, r->param[n->param[0]],
                   r->param[n->param[1]], r->value[n->out]);
}

/* The gradient of the token table is zero but for the rows of this pass's ids: only the rows of the last pass
 * are cleared. */
static void embed_before_backward(tc_runner *r, const tc_node *n) {
    tc_real *dtable = r->param_grad[n->param[0]];
    if (r->touched_count < 0) r->kern->zero(numel(r, n->param[0]), dtable);
    else r->kern->clear_rows(r->touched_count, r->touched, tc_width_of(r, n->out), dtable);
    r->touched_count = tc_rows_of(r, n->out);
    memcpy(r->touched, r->ids, (size_t)r->touched_count * sizeof *r->touched);
}

static void embed_backward(const tc_runner *r, const tc_node *n) {
    tc_real *dpositions = r->param_grad[n->param[1]];
    r->kern->zero(numel(r, n->param[1]), dpositions);
    r->kern->embed_backward(r->batch, sequences(r, n), tc_width_of(r, n->out), r->ids, r->grad[n->out],
                            r->param_grad[n->param[0]], dpositions);
}

/* Rows are taken from the tables as they are stored, and only those are widened. */
static int table_rows(tc_onnx_walk *w, int param, int index) {
    return tc_onnx_widen(w->o, tc_onnx_binary(w->o, "Gather", tc_onnx_param_stored(w->o, param), index));
}

static int embed_onnx(tc_onnx_walk *w, const tc_node *n) {
    int tokens = table_rows(w, n->param[0], w->input);
    return tc_onnx_binary(w->o, "Add", tokens, table_rows(w, n->param[1], tc_onnx_positions(w)));
}

const tc_op tc_op_embed = {.name = "embed",
                           .shape = embed_shape,
                           .forward = embed_forward,
                           .backward = embed_backward,
                           .before_backward = embed_before_backward,
                           .takes_constant = true,
                           .begins_stream = true,
                           .onnx = embed_onnx};
