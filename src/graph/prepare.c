/* prepare.c - weights made ready for inference: packed, with the batch normalisation behind them folded in.
 *
 * y = ((W x + c) - mean) s + b with s = w / sqrt(var + eps) is W' x + c' with W' = s W (by rows) and c' = (c - mean) s + b, computed in double. */
#include "graph/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NORM = 2 }; /* the first parameter of a folded normalisation */

/* Weight and bias of a node, folded into memory of their own if there is something to fold. */
typedef struct weights {
    const tc_real *w, *bias;
    tc_real *own_w, *own_bias;
} weights;

static bool fold(weights *f, const tc_node *n, const tc_real *const *param, int64_t out, int64_t per_out) {
    const tc_real *w = param[n->param[NORM]], *b = param[n->param[NORM + 1]], *mean = param[n->param[NORM + 2]], *var = param[n->param[NORM + 3]];
    f->own_w = tc_new_aligned((size_t)(out * per_out), sizeof *f->own_w);
    f->own_bias = tc_new_aligned((size_t)out, sizeof *f->own_bias);
    if (!f->own_w || !f->own_bias) return false;
    for (int64_t o = 0; o < out; o++) {
        double s = (double)w[o] / sqrt((double)var[o] + TC_BATCHNORM_EPS), c = f->bias ? (double)f->bias[o] : 0;
        for (int64_t i = 0; i < per_out; i++) f->own_w[o * per_out + i] = (tc_real)((double)f->w[o * per_out + i] * s);
        f->own_bias[o] = (tc_real)((c - (double)mean[o]) * s + (double)b[o]);
    }
    f->w = f->own_w;
    f->bias = f->own_bias;
    return true;
}

/* A linear node with a normalisation is a convolution of 1 x 1. Run as one it is an eighth faster than
 * the packed linear layer, whose panels of 32 outputs a ResNet's widths do not fill (docs/PERF.md). 0: it is none. */
static int side_of_map(const tc_graph *g, const tc_node *n) {
    int per_seq = g->spaces[g->values[n->out].space].per_seq, side = (int)lround(sqrt(per_seq));
    return n->op == &tc_op_linear && n->param[NORM] >= 0 && side * side == per_seq ? side : 0;
}

static bool prepare_node(tc_prepared *out, size_t i, const tc_graph *g, const tc_real *const *param, int64_t rows_hint) {
    const tc_node *n = &g->nodes[i];
    int side = side_of_map(g, n), width = g->values[n->in[0]].width;
    bool conv = n->op == &tc_op_conv || side;
    tc_conv_shape s = side ? (tc_conv_shape){side, width, n->rows, 1, 1, 0} : conv ? tc_graph_conv_shape(g, n) : (tc_conv_shape){0};
    int64_t k = conv ? (int64_t)s.in * s.kernel * s.kernel : width, rows = conv ? s.out : n->rows;
    weights f = {.w = param[n->param[0]] + (conv ? 0 : n->row0 * k), .bias = n->param[1] >= 0 ? param[n->param[1]] + n->row0 : NULL};
    int per_seq = g->spaces[g->values[n->out].space].per_seq;
    bool ok = n->param[NORM] < 0 || fold(&f, n, param, rows, k);
    if (ok && conv) ok = (out->conv[i] = out->kern->conv_create(&s, f.w, f.bias, n->act, n->add)) != NULL;
    else if (ok)
        ok = (out->linear[i] = out->kern->linear_prepare(f.w, n->transposed ? n->rows : k, n->transposed, f.bias, n->rows, k, n->act, n->add,
                                                         per_seq ? per_seq : rows_hint)) != NULL;
    free(f.own_w);
    free(f.own_bias);
    return ok;
}

tc_status tc_prepare(tc_prepared *out, const tc_graph *g, const tc_real *const *param, int64_t rows_hint, tc_error *err) {
    *out = (tc_prepared){.linear = tc_new(g->node_count, sizeof *out->linear),
                         .conv = tc_new(g->node_count, sizeof *out->conv),
                         .count = g->node_count,
                         .kern = tc_kern_get()};
    bool ok = out->linear && out->conv;
    for (size_t i = 0; i < g->node_count && ok; i++)
        if (g->nodes[i].op == &tc_op_linear || g->nodes[i].op == &tc_op_conv) ok = prepare_node(out, i, g, param, rows_hint);
    if (ok) return TC_OK;
    tc_prepared_free(out);
    return tc_fail(err, TC_ENOMEM, "out of memory while the weights were packed");
}

void tc_prepared_free(tc_prepared *p) {
    for (size_t i = 0; i < p->count && p->linear; i++)
        if (p->linear[i]) p->kern->linear_free(p->linear[i]);
    for (size_t i = 0; i < p->count && p->conv; i++)
        if (p->conv[i]) p->kern->conv_free(p->conv[i]);
    free(p->linear);
    free(p->conv);
    *p = (tc_prepared){0};
}
