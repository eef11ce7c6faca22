/* op_scale.c - columns times the mask of a site: y[r][j] = x[r][j] * mask[j / unit]. tc_graph_mask puts it
 * into a graph. */
#include "graph/op.h"

static const tc_mask_site *site_of(const tc_graph *g, const tc_node *n) {
    return &g->sites->items[n->site - 1];
}

static void scale_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *x = &g->values[n->in[0]];
    const tc_mask_site *s = site_of(g, n);
    if ((int64_t)s->size * s->unit != x->width)
        tc_graph_fail(g, "a mask of %d x %d does not fit an input of width %d", s->size, s->unit, x->width);
    out->space = x->space;
    out->width = x->width;
    out->needs_grad = true;
}

static void scale_forward(const tc_runner *r, const tc_node *n) {
    r->kern->scale(tc_rows_of(r, n->out), tc_width_of(r, n->out), site_of(r->graph, n)->unit,
                   r->value[n->in[0]], tc_node_mask(r, n), r->value[n->out]);
}

static void scale_backward(const tc_runner *r, const tc_node *n) {
    const tc_mask_site *s = site_of(r->graph, n);
    r->kern->scale_backward(tc_rows_of(r, n->out), tc_width_of(r, n->out), s->unit, r->value[n->in[0]],
                            tc_node_mask(r, n), r->grad[n->out], r->grad[n->in[0]], tc_accumulates(r, n, 0),
                            r->mask_grad + s->offset);
}

/* Nodes of one site add to the same gradient. */
static void scale_before_backward(tc_runner *r, const tc_node *n) {
    const tc_mask_site *s = site_of(r->graph, n);
    r->kern->zero(s->size, r->mask_grad + s->offset);
}

const tc_op tc_op_scale = {.name = "scale",
                           .shape = scale_shape,
                           .forward = scale_forward,
                           .backward = scale_backward,
                           .before_backward = scale_before_backward,
                           .keep = TC_KEEP_IN0,
                           .grad_in_place = true,
                           .grad_adds = true,
                           .unsaved = true};
