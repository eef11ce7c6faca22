/* op_select.c - the first or the last row of each sequence: class token, end-of-text token. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static void select_shape(tc_graph *g, tc_node *n, tc_value *out) {
    out->space = -1;
    for (int i = 0; i < g->space_count; i++)
        if (g->spaces[i].per_seq == 1) out->space = i;
    if (out->space < 0) {
        tc_graph_fail(g, "select: there is no space of one row a sequence");
        out->space = 0;
    }
    if (n->pick == TC_PICK_ALL || (n->pick == TC_PICK_LAST && g->spaces[g->values[n->in[0]].space].per_seq))
        tc_graph_fail(g, "select: only captions have a last row");
    out->width = g->values[n->in[0]].width;
}

static const int32_t *sequences(const tc_runner *r, const tc_node *n) {
    return r->seq[r->graph->values[n->in[0]].space];
}

static void select_forward(const tc_runner *r, const tc_node *n) {
    r->kern->pick_rows(r->batch, sequences(r, n), r->pick_row[n->pick], tc_width_of(r, n->out),
                       r->value[n->in[0]], r->value[n->out]);
}

static void select_backward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    tc_real *dx = r->grad[n->in[0]];
    if (!tc_accumulates(r, n, 0)) r->kern->zero(tc_rows_of(r, n->in[0]) * width, dx);
    r->kern->pick_rows_backward(r->batch, sequences(r, n), r->pick_row[n->pick], width, r->grad[n->out], dx);
}

/* Rows of x [batch,L,width] -> [batch,width]. */
static int select_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int x = w->value[n->in[0]];
    tc_onnx_attr axis = tc_onnx_int_attr("axis", 1), dims = tc_onnx_int_attr("batch_dims", 1);
    if (w->g->spaces[w->g->values[n->in[0]].space].per_seq == 1) return x;
    if (n->pick == TC_PICK_FIRST)
        return tc_onnx_node(o, "Gather", 2, (int[]){x, tc_onnx_int(o, 0)}, 1, &axis);
    int at = tc_onnx_reshape(o, w->last, 2, (int64_t[]){-1, 1});
    return tc_onnx_node(o, "GatherND", 2, (int[]){x, at}, 1, &dims);
}

const tc_op tc_op_select = {.name = "select",
                            .shape = select_shape,
                            .forward = select_forward,
                            .backward = select_backward,
                            .grad_adds = true,
                            .onnx = select_onnx};
