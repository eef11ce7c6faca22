/* prepare.c - weights made ready for inference: packed, with the batch normalisation behind them folded in.
 *
 * y = ((W x + c) - mean) s + b with s = w / sqrt(var + eps) is W' x + c' with W' = s W (by rows) and c' = (c
 * - mean) s + b, computed in double. */
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>

/* What a node is made of. */
typedef struct layer {
    tc_weight w;
    const tc_real *bias;
    tc_real *own_w, *own_bias; /* with a normalisation folded in, or NULL */
} layer;

static tc_status fold(layer *f, const tc_node *n, const tc_real *const *param, int64_t out, int64_t per_out,
                      tc_error *err) {
    const tc_real *w = param[n->param[TC_NODE_NORM]];
    const tc_real *b = param[n->param[TC_NODE_NORM + 1]];
    const tc_real *mean = param[n->param[TC_NODE_NORM + 2]];
    const tc_real *var = param[n->param[TC_NODE_NORM + 3]];
    f->own_w = tc_new_aligned((size_t)(out * per_out), sizeof *f->own_w);
    f->own_bias = tc_new_aligned((size_t)out, sizeof *f->own_bias);
    if (!f->own_w || !f->own_bias) return tc_fail_memory(err, (size_t)(out * per_out) * sizeof *f->own_w);
    tc_weight_copy(&f->w, out, per_out, f->own_w);
    for (int64_t o = 0; o < out; o++) {
        double s = (double)w[o] / sqrt((double)var[o] + TC_BATCHNORM_EPS);
        double c = f->bias ? (double)f->bias[o] : 0;
        for (int64_t i = 0; i < per_out; i++)
            f->own_w[o * per_out + i] = (tc_real)((double)f->own_w[o * per_out + i] * s);
        f->own_bias[o] = (tc_real)((c - (double)mean[o]) * s + (double)b[o]);
    }
    f->w = (tc_weight){.part = {f->own_w}, .part_rows = out, .ld = per_out};
    f->bias = f->own_bias;
    return TC_OK;
}

static tc_status prepare_node(tc_prepared *out, size_t i, const tc_graph *g, const char *numbers,
                              const tc_real *const *param, const tc_weight_source *source, tc_error *err) {
    const tc_node *n = &g->nodes[i];
    const tc_param *p = &g->params->items[n->param[0]];
    tc_product x;
    n->op->product(g, n, &x);
    layer l = {.w = {.part = {param[n->param[0]]},
                     .part_rows = p->shape[0],
                     .ld = n->transposed ? p->shape[1] : x.k,
                     .transposed = n->transposed},
               .bias = n->param[1] >= 0 ? param[n->param[1]] + n->row0 : NULL};
    tc_status status = source ? source->get(source->user, n->param[0], n->transposed, &l.w, err) : TC_OK;
    l.w.first = n->row0;
    if (status == TC_OK && n->param[TC_NODE_NORM] >= 0) status = fold(&l, n, param, x.n, x.k, err);
    const tc_form *form = tc_form_choose(out->kern->forms, &x, numbers);
    if (status == TC_OK && !form)
        status = tc_fail(err, TC_EUNSUPPORTED, "%s: no form of weights for its product", p->name);
    if (status == TC_OK && !(out->packed[i] = tc_pack(form, &x, &l.w, l.bias)))
        status = tc_fail_memory(err, (size_t)(x.n * x.k) * sizeof *param[0]);
    free(l.own_w);
    free(l.own_bias);
    return status;
}

tc_status tc_prepare(tc_prepared *out, const tc_graph *g, const tc_kern *kern, const char *numbers,
                     const tc_real *const *param, const tc_weight_source *source, tc_error *err) {
    *out = (tc_prepared){.packed = tc_new(g->node_count, sizeof *out->packed),
                         .count = g->node_count,
                         .kern = kern ? kern : tc_kern_get()};
    tc_status status = out->packed ? TC_OK : tc_fail_memory(err, g->node_count * sizeof *out->packed);
    for (size_t i = 0; i < g->node_count && status == TC_OK; i++)
        if (g->nodes[i].op->product) status = prepare_node(out, i, g, numbers, param, source, err);
    if (status != TC_OK) tc_prepared_free(out);
    return status;
}

size_t tc_prepared_bytes(const tc_prepared *p) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->packed[i]) bytes += tc_packed_bytes(p->packed[i]);
    return bytes;
}

void tc_prepared_free(tc_prepared *p) {
    for (size_t i = 0; i < p->count && p->packed; i++) tc_packed_free(p->packed[i]);
    free(p->packed);
    *p = (tc_prepared){0};
}
