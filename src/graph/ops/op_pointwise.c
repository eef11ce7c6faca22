/* op_pointwise.c - the activation, and the addition of the residual. */
#include "graph/op.h"

#include <string.h>

static void same_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *x = &g->values[n->in[0]];
    for (int i = 1; i < n->nin; i++)
        if (g->values[n->in[i]].space != x->space || g->values[n->in[i]].width != x->width)
            tc_graph_fail(g, "%s: the inputs differ in shape", n->op->name);
    out->space = x->space;
    out->width = x->width;
}

static int64_t numel(const tc_runner *r, const tc_node *n) {
    return tc_rows_of(r, n->out) * tc_width_of(r, n->out);
}

static void act_forward(const tc_runner *r, const tc_node *n) {
    r->kern->act(n->act, numel(r, n), r->value[n->in[0]], r->value[n->out]);
}

static void act_backward(const tc_runner *r, const tc_node *n) {
    r->kern->act_backward(n->act, numel(r, n), r->value[n->in[0]], r->grad[n->out], r->grad[n->in[0]]);
}

const tc_op tc_op_act = {.name = "act",
                         .kind = TC_OP_ACT,
                         .shape = same_shape,
                         .forward = act_forward,
                         .backward = act_backward,
                         .keep = TC_KEEP_IN0,
                         .grad_in_place = true};

static void add_forward(const tc_runner *r, const tc_node *n) {
    r->kern->add(numel(r, n), r->value[n->in[0]], r->value[n->in[1]], r->value[n->out]);
}

/* Both inputs' gradients are the result's; the plan gives them the same memory where it can. */
static void add_backward(const tc_runner *r, const tc_node *n) {
    tc_real *dy = r->grad[n->out];
    for (int i = 0; i < 2; i++) {
        tc_real *dx = r->grad[n->in[i]];
        if (!dx || dx == dy) continue;
        if (tc_accumulates(r, n, i)) r->kern->add(numel(r, n), dx, dy, dx);
        else memcpy(dx, dy, (size_t)numel(r, n) * sizeof *dx);
    }
}

const tc_op tc_op_add = {.name = "add",
                         .kind = TC_OP_ADD,
                         .shape = same_shape,
                         .forward = add_forward,
                         .backward = add_backward,
                         .grad_adds = true,
                         .grad_is_shared = true};
