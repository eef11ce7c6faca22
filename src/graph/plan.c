/* plan.c - memory by lifetimes. Time runs 0 .. N-1 through the nodes forwards and, in training, N .. 2N-1
 * backwards (node i at 2N-1-i). Every value, gradient and kept aside is an interval of time with a size;
 * intervals that do not overlap may share memory. They are placed largest first, each at the lowest offset
 * that is free during its whole interval.
 *
 * Three things share memory on purpose: a fused residual addition happens in place; an activation's gradient
 * overwrites that of its result; and both inputs of an addition get their result's gradient. The latter two
 * only where nobody writes to the shared memory while another of its gradients is still to be read
 * (may_share); otherwise the operation copies. */
#include "graph/plan.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

typedef struct span {
    int root;        /* the span whose memory this one uses: itself or an earlier one */
    int first, last; /* time; first > last: not used */
    size_t bytes;
    int64_t offset;
} span;

typedef struct planner {
    const tc_graph *g;
    bool train, keep_all;
    int batch;
    int64_t ragged;
    span *spans; /* values, then gradients, then kept asides */
    int *order;
    bool ok;
} planner;

static int root_of(const planner *p, int i) {
    while (p->spans[i].root != i) i = p->spans[i].root;
    return i;
}

static void live(planner *p, int i, int time) {
    span *s = &p->spans[root_of(p, i)];
    if (time < s->first) s->first = time;
    if (time > s->last) s->last = time;
}

static int64_t rows_of(const planner *p, int space) {
    int per_seq = p->g->spaces[space].per_seq;
    return per_seq ? (int64_t)p->batch * per_seq : p->ragged;
}

static size_t bytes_of_numbers(planner *p, int64_t rows, int64_t width) {
    size_t bytes;
    bool ok = tc_mul((size_t)rows, (size_t)width, &bytes) && tc_mul(bytes, sizeof(tc_real), &bytes) &&
              tc_round_up(bytes, 64, &bytes);
    if (!ok || bytes > (size_t)1 << 50) p->ok = false;
    return ok ? bytes : 0;
}

static size_t bytes_of(planner *p, int space, int width) {
    return bytes_of_numbers(p, rows_of(p, space), width);
}

static int grad_span(const planner *p, int value) { return (int)p->g->value_count + value; }
static int aux_span(const planner *p, int node) { return 2 * (int)p->g->value_count + node; }

static bool reads(const tc_node *n, int value) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] == value) return true;
    return false;
}

/* The node whose backward pass writes the gradient of the value first: its last reader. */
static int born(const tc_graph *g, int value) {
    if (value == g->output) return (int)g->node_count;
    int last = -1;
    for (int i = 0; i < (int)g->node_count; i++)
        if (reads(&g->nodes[i], value)) last = i;
    return last;
}

/* Do gradients a and b, in one memory, disturb each other when a is born at node i? The gradient of u lives
 * from the backward pass of node born(u) down to that of its producer; the readers of v write to v's.
 * `writes`: node i itself writes a rather than passing it on. */
static bool disturbs(const tc_graph *g, int i, int a, int b, bool writes) {
    int a_made = g->values[a].producer, b_made = g->values[b].producer, b_born = born(g, b);
    for (int t = a_made < 0 ? 0 : a_made; t < i; t++)
        if (reads(&g->nodes[t], b)) return true;
    for (int t = writes ? i : i - 1; t >= 0; t--)
        if (reads(&g->nodes[t], a) && t >= b_made && t <= b_born) return true;
    return false;
}

/* May the gradient of input `in` of node i lie in the memory of its result's, and of all that already lies
 * there? Only if the node is the first to write it. */
static bool may_share(const planner *p, int i, int in, bool writes) {
    const tc_graph *g = p->g;
    const tc_node *n = &g->nodes[i];
    int root = root_of(p, grad_span(p, n->out));
    if (!g->values[in].needs_grad || born(g, in) != i) return false;
    for (int a = 0; a < n->nin; a++)
        for (int b = a + 1; b < n->nin; b++)
            if (n->in[a] == n->in[b]) return false;
    for (int v = 0; v < (int)g->value_count; v++) {
        if (root_of(p, grad_span(p, v)) != root || (writes && v == n->out)) continue;
        if (disturbs(g, i, in, v, writes)) return false;
    }
    return true;
}

static void join(planner *p, int i, int with) {
    int root = root_of(p, with);
    p->spans[i].root = root;
    if (p->spans[i].bytes > p->spans[root].bytes) p->spans[root].bytes = p->spans[i].bytes;
}

static void describe(planner *p) {
    const tc_graph *g = p->g;
    for (size_t v = 0; v < g->value_count; v++) {
        const tc_value *value = &g->values[v];
        size_t bytes = bytes_of(p, value->space, value->width);
        p->spans[v].bytes = bytes;
        p->spans[grad_span(p, (int)v)].bytes = bytes;
    }
    for (size_t i = 0; i < g->node_count; i++) {
        const tc_node *n = &g->nodes[i];
        if (n->op->aux_fixed)
            p->spans[aux_span(p, (int)i)].bytes = bytes_of_numbers(p, 1, n->op->aux_fixed(g, n));
        if (n->op->aux_width)
            p->spans[aux_span(p, (int)i)].bytes =
                bytes_of(p, g->values[n->in[0]].space, n->op->aux_width(g, n));
        if (n->add && !p->keep_all) join(p, n->out, n->in[1]);
    }
}

static void share_gradients(planner *p) {
    const tc_graph *g = p->g;
    for (int i = (int)g->node_count - 1; i >= 0; i--) {
        const tc_node *n = &g->nodes[i];
        if (n->op->grad_in_place && !p->keep_all && may_share(p, i, n->in[0], true))
            join(p, grad_span(p, n->in[0]), grad_span(p, n->out));
        for (int j = 0; j < n->nin && n->op->grad_is_shared; j++)
            if (may_share(p, i, n->in[j], false)) join(p, grad_span(p, n->in[j]), grad_span(p, n->out));
    }
}

static void forward_times(planner *p) {
    const tc_graph *g = p->g;
    int n = (int)g->node_count, end = p->train ? 2 * n : n;
    for (int i = 0; i < n; i++) {
        const tc_node *node = &g->nodes[i];
        live(p, node->out, i);
        for (int j = 0; j < node->nin; j++)
            if (node->in[j] != g->input) live(p, node->in[j], i);
        if (p->spans[aux_span(p, i)].bytes > 0 && (p->train || node->op->aux_fixed)) {
            live(p, aux_span(p, i), i);
            if (p->train) live(p, aux_span(p, i), 2 * n - 1 - i);
        }
    }
    live(p, g->output, end);
    if (p->keep_all)
        for (int i = 0; i < n; i++) live(p, g->nodes[i].out, end);
}

static void backward_times(planner *p, tc_plan *plan) {
    const tc_graph *g = p->g;
    int n = (int)g->node_count;
    bool *written = tc_new(g->value_count, 1);
    if (!written) {
        p->ok = false;
        return;
    }
    live(p, grad_span(p, g->output), n - 1);
    for (int i = n - 1; i >= 0; i--) {
        const tc_node *node = &g->nodes[i];
        int t = 2 * n - 1 - i;
        if (!node->op->backward || !g->values[node->out].needs_grad) continue;
        live(p, grad_span(p, node->out), t);
        if (node->op->keep & TC_KEEP_OUT) live(p, node->out, t);
        for (int j = 0; j < node->nin; j++) {
            int in = node->in[j];
            if ((node->op->keep >> j & 1) && in != g->input) live(p, in, t);
            if (!g->values[in].needs_grad) continue;
            if (written[in] && !node->op->grad_adds) p->ok = false;
            plan->accumulate[TC_NODE_INPUTS * i + j] = written[in];
            written[in] = true;
            live(p, grad_span(p, in), t);
        }
    }
    free(written);
}

static int larger_first(const void *a, const void *b, void *spans) {
    int x = *(const int *)a, y = *(const int *)b;
    size_t m = ((const span *)spans)[x].bytes, n = ((const span *)spans)[y].bytes;
    return m != n ? (m < n ? 1 : -1) : x - y;
}

/* Lowest offset at which span i fits between the placed spans that live at the same time. order[0..placed-1]
 * are sorted by offset. */
static int64_t lowest_gap(const planner *p, const int *by_offset, int placed, const span *s) {
    int64_t at = 0;
    for (int k = 0; k < placed; k++) {
        const span *o = &p->spans[by_offset[k]];
        if (o->last < s->first || o->first > s->last) continue;
        if (o->offset >= at + (int64_t)s->bytes) break;
        int64_t end = o->offset + (int64_t)o->bytes;
        if (end > at) at = end;
    }
    return at;
}

static size_t place(planner *p, int count) {
    int used = 0;
    int *by_offset = tc_new((size_t)count, sizeof *by_offset);
    if (!by_offset) {
        p->ok = false;
        return 0;
    }
    for (int i = 0; i < count; i++)
        if (p->spans[i].root == i && p->spans[i].first <= p->spans[i].last) p->order[used++] = i;
    qsort_r(p->order, (size_t)used, sizeof *p->order, larger_first, p->spans);
    size_t bytes = 0;
    for (int k = 0; k < used; k++) {
        span *s = &p->spans[p->order[k]];
        s->offset = lowest_gap(p, by_offset, k, s);
        int at = k;
        for (; at > 0 && p->spans[by_offset[at - 1]].offset > s->offset; at--)
            by_offset[at] = by_offset[at - 1];
        by_offset[at] = p->order[k];
        if ((size_t)s->offset + s->bytes > bytes) bytes = (size_t)s->offset + s->bytes;
    }
    free(by_offset);
    return bytes;
}

static int64_t offset_of(const planner *p, int i) {
    const span *s = &p->spans[root_of(p, i)];
    return s->first <= s->last ? s->offset : TC_PLAN_NOWHERE;
}

bool tc_plan_make(tc_plan *plan, const tc_graph *g, bool train, bool keep_all, int batch,
                  int64_t ragged_rows) {
    int count = (int)(2 * g->value_count + g->node_count);
    planner p = {
        .g = g, .train = train, .keep_all = keep_all, .batch = batch, .ragged = ragged_rows, .ok = true};
    *plan = (tc_plan){.value = tc_new(g->value_count, sizeof(int64_t)),
                      .grad = tc_new(g->value_count, sizeof(int64_t)),
                      .aux = tc_new(g->node_count, sizeof(int64_t)),
                      .accumulate = tc_new(TC_NODE_INPUTS * g->node_count, 1)};
    p.spans = tc_new((size_t)count, sizeof *p.spans);
    p.order = tc_new((size_t)count, sizeof *p.order);
    p.ok = plan->value && plan->grad && plan->aux && plan->accumulate && p.spans && p.order;
    if (p.ok) {
        for (int i = 0; i < count; i++) p.spans[i] = (span){.root = i, .first = INT32_MAX, .last = -1};
        describe(&p);
        if (train) share_gradients(&p);
        forward_times(&p);
        if (train) backward_times(&p, plan);
        plan->bytes = place(&p, count);
        for (int v = 0; v < (int)g->value_count; v++) {
            plan->value[v] = offset_of(&p, v);
            plan->grad[v] = offset_of(&p, grad_span(&p, v));
        }
        for (int i = 0; i < (int)g->node_count; i++) plan->aux[i] = offset_of(&p, aux_span(&p, i));
    }
    free(p.spans);
    free(p.order);
    if (!p.ok) tc_plan_free(plan);
    return p.ok;
}

void tc_plan_free(tc_plan *p) {
    free(p->value);
    free(p->grad);
    free(p->aux);
    free(p->accumulate);
    *p = (tc_plan){0};
}
