/* op_attention.c - softmax(q k^T / sqrt(d)) v for each head and sequence (Vaswani et al. 2017).
 *
 * With one input it is [rows, 3*heads*d]: q, k, v side by side. With two, in[0] holds the queries of the
 * picked rows alone, [batch, heads*d], and in[1] k and v side by side: the last block, of whose result only
 * the class or end-of-text row is read. With three, k and v are values of their own (attention pooling, whose
 * projections are separate matrices), and in[0] holds the queries of the picked rows or, without a pick, of
 * all. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <float.h>
#include <math.h>

static void attention_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *q = &g->values[n->in[0]];
    int width = n->heads * n->dim;
    bool fits = n->nin == 1 ? q->width == 3 * width
                            : q->width == width && g->values[n->in[1]].width == (n->nin == 2 ? 2 : 1) * width;
    if (n->nin == 3)
        fits = fits && g->values[n->in[2]].width == width &&
               g->values[n->in[2]].space == g->values[n->in[1]].space;
    else fits = fits && (n->nin == 2) == (n->pick != TC_PICK_ALL);
    if (!fits) tc_graph_fail(g, "attention: %d heads of %d do not fit the input", n->heads, n->dim);
    if (n->pick == TC_PICK_LAST && g->spaces[g->values[n->in[n->nin - 1]].space].per_seq)
        tc_graph_fail(g, "attention: only captions have a last row");
    out->space = q->space;
    out->width = width;
}

static tc_attention describe(const tc_runner *r, const tc_node *n) {
    int64_t width = n->heads * n->dim;
    int kv = n->in[n->nin > 1];
    const tc_real *k = r->value[kv] + (n->nin == 1 ? width : 0);
    return (tc_attention){.heads = n->heads,
                          .dim = n->dim,
                          .nseq = r->batch,
                          .seq = r->seq[r->graph->values[kv].space],
                          .q_row = r->pick_row[n->pick],
                          .causal = n->causal,
                          .scale = (tc_real)(1 / sqrt((double)n->dim)),
                          .q = r->value[n->in[0]],
                          .k = k,
                          .v = n->nin == 3 ? r->value[n->in[2]] : k + width,
                          .ldq = tc_width_of(r, n->in[0]),
                          .ldk = tc_width_of(r, kv),
                          .ldv = tc_width_of(r, kv)};
}

static int attention_aux(const tc_graph *g, const tc_node *n) {
    (void)g;
    return n->heads;
}

static void attention_forward(const tc_runner *r, const tc_node *n) {
    tc_attention a = describe(r, n);
    r->kern->attention(&a, r->value[n->out], tc_width_of(r, n->out), r->aux[tc_node_index(r, n)]);
}

static void attention_backward(const tc_runner *r, const tc_node *n) {
    tc_attention a = describe(r, n);
    int64_t width = n->heads * n->dim;
    tc_real *dk = r->grad[n->in[n->nin > 1]] + (n->nin == 1 ? width : 0);
    tc_real *dv = n->nin == 3 ? r->grad[n->in[2]] : dk + width;
    r->kern->attention_backward(&a, r->value[n->out], width, r->aux[tc_node_index(r, n)], r->grad[n->out],
                                width, r->grad[n->in[0]], dk, dv);
}

static double attention_macs(const tc_graph *g, const tc_node *n, int64_t rows_in, int64_t rows_out,
                             double pairs) {
    (void)g, (void)rows_in, (void)rows_out;
    return 2 * pairs * n->heads * n->dim;
}

/* Keys behind the query become the lowest number there is. The queries are all positions, or the picked one
 * of each caption. */
static int mask_scores(tc_onnx_walk *w, const tc_node *n, int scores) {
    tc_onnx *o = w->o;
    if (n->pick == TC_PICK_FIRST) tc_onnx_fail(o, "attention of the first row alone is not causal");
    int query = n->pick == TC_PICK_ALL ? tc_onnx_reshape(o, tc_onnx_positions(w), 2, (int64_t[]){-1, 1})
                                       : tc_onnx_reshape(o, w->last, 4, (int64_t[]){-1, 1, 1, 1});
    int hidden = tc_onnx_binary(o, "Greater", tc_onnx_positions(w), query);
    return tc_onnx_node(o, "Where", 3, (int[]){hidden, tc_onnx_float(o, -FLT_MAX), scores}, 0, NULL);
}

/* softmax(q k^T / sqrt d) v over [batch,heads,rows,dim]. */
static int attention_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int part[3], *q = &part[0], *k = &part[1], *v = &part[2];
    int64_t heads = n->heads, dim = n->dim;
    bool all = n->pick == TC_PICK_ALL;
    if (n->nin == 1) tc_onnx_split(o, w->value[n->in[0]], 3, part);
    else *q = w->value[n->in[0]];
    if (n->nin == 2) tc_onnx_split(o, w->value[n->in[1]], 2, part + 1);
    for (int i = 1; n->nin == 3 && i < 3; i++) part[i] = w->value[n->in[i]];
    if (all)
        *q = tc_onnx_transpose(o, tc_onnx_reshape(o, *q, 4, (int64_t[]){0, 0, heads, dim}), 4,
                               (int64_t[]){0, 2, 1, 3});
    else *q = tc_onnx_reshape(o, *q, 4, (int64_t[]){0, heads, 1, dim});
    *q = tc_onnx_binary(o, "Mul", *q, tc_onnx_float(o, (float)(1 / sqrt((double)dim))));
    *k = tc_onnx_transpose(o, tc_onnx_reshape(o, *k, 4, (int64_t[]){0, 0, heads, dim}), 4,
                           (int64_t[]){0, 2, 3, 1});
    *v = tc_onnx_transpose(o, tc_onnx_reshape(o, *v, 4, (int64_t[]){0, 0, heads, dim}), 4,
                           (int64_t[]){0, 2, 1, 3});
    int scores = tc_onnx_binary(o, "MatMul", *q, *k);
    if (n->causal) scores = mask_scores(w, n, scores);
    tc_onnx_attr axis = tc_onnx_int_attr("axis", -1);
    int y = tc_onnx_binary(o, "MatMul", tc_onnx_node(o, "Softmax", 1, &scores, 1, &axis), *v);
    if (!all) return tc_onnx_reshape(o, y, 2, (int64_t[]){0, heads * dim});
    return tc_onnx_reshape(o, tc_onnx_transpose(o, y, 4, (int64_t[]){0, 2, 1, 3}), 3,
                           (int64_t[]){0, 0, heads * dim});
}

const tc_op tc_op_attention = {.name = "attention",
                               .shape = attention_shape,
                               .forward = attention_forward,
                               .backward = attention_backward,
                               .macs = attention_macs,
                               .macs_by_heads = true,
                               .aux_width = attention_aux,
                               .keep = TC_KEEP_IN0 | TC_KEEP_IN1 | TC_KEEP_IN2 | TC_KEEP_OUT,
                               .onnx = attention_onnx};
