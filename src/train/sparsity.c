/* sparsity.c - what a mask is expected to leave of a model, and the Lagrangian that drives it to a target.
 *
 * Every count is a sum of products: a matrix between two sites with sums of scores S and S' is expected to
 * keep factor * S * S' of its numbers. Which sites a parameter has is told by its axis groups; so towers that
 * were pruned before and ResNets need no rule of their own. */
#include "graph/op.h"
#include "train/sparsity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool add_term(tc_budget *b, int tower, double factor, int sites, const int *site) {
    if (factor == 0) return true;
    if (!tc_grow(&b->items, &b->capacity, b->count + 1, sizeof *b->items)) return false;
    tc_budget_term *t = &b->items[b->count++];
    *t = (tc_budget_term){.tower = tower, .factor = factor, .sites = sites};
    for (int i = 0; i < sites; i++) t->site[i] = site[i];
    return true;
}

void tc_budget_free(tc_budget *b) {
    free(b->items);
    *b = (tc_budget){0};
}

void tc_budget_expect(const tc_budget *b, const double *sum, double n[2]) {
    n[0] = n[1] = 0;
    for (size_t i = 0; i < b->count; i++) {
        const tc_budget_term *t = &b->items[i];
        double part = t->factor;
        for (int k = 0; k < t->sites; k++) part *= sum[t->site[k]];
        n[t->tower] += part;
    }
}

/* ---- the terms of a model */

/* A quantity that is proportional to the members of each site that the parameter has: `whole` of it without a
 * mask. */
static bool add_by_axes(tc_budget *b, const tc_mask_sites *sites, const tc_param *p, double whole) {
    int site[TC_PARAM_RANK], n = 0;
    for (int a = 0; a < p->ndim; a++) {
        int s = tc_mask_sites_find(sites, p->tower, p->axis[a].group, p->axis[a].layer);
        if (s >= 0 && n < 3) site[n++] = s;
        if (s >= 0) whole /= sites->items[s].size;
    }
    return add_term(b, p->tower == TC_TOWER_TEXT, whole, n, site);
}

/* The goldens' rule: of the matrices what their two sites leave. Of the biases those of attention go with the
 * heads, and shrink with the width, as its output's do; those of the FFN are left out, though the whole has
 * them. */
static bool keep_terms(tc_budget *b, const tc_model *m, const tc_mask_sites *sites) {
    bool ok = true;
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        if (!tc_param_is(p, TC_ROLE_PRUNABLE)) continue;
        b->whole[p->tower == TC_TOWER_TEXT] += (double)p->numel;
        if (p->ndim > 1) ok = add_by_axes(b, sites, p, (double)p->numel) && ok;
    }
    for (size_t i = 0; i < sites->count; i++) {
        const tc_mask_site *s = &sites->items[i];
        int width = tc_mask_sites_find(sites, s->tower, TC_GROUP_WIDTH, -1);
        if (s->group != TC_GROUP_HEADS || width < 0) continue;
        ok = add_term(b, s->tower == TC_TOWER_TEXT, 4.0 * s->unit / sites->items[width].size, 2,
                      (int[]){width, (int)i}) &&
             ok;
    }
    return ok;
}

static bool param_terms(tc_budget *b, const tc_model *m, const tc_mask_sites *sites) {
    bool ok = true;
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        if (tc_param_is(p, TC_ROLE_STATE | TC_ROLE_TOKENS)) continue;
        b->whole[p->tower == TC_TOWER_TEXT] += (double)p->numel;
        ok = add_by_axes(b, sites, p, (double)p->numel) && ok;
    }
    return ok;
}

/* The parameter whose sites a node's cost goes with: its weight, or of attention that of what made its
 * queries. */
static int cost_param(const tc_graph *g, const tc_node *n) {
    while (n->param[0] < 0) {
        int producer = n->nin > 0 ? g->values[n->in[0]].producer : -1;
        if (producer < 0) return -1;
        n = &g->nodes[producer];
    }
    return n->param[0];
}

static bool is_heads(const tc_param *p, int axis) { return p->axis[axis].group == TC_GROUP_HEADS; }

static bool mac_terms(tc_budget *b, const tc_graph *g, const tc_mask_sites *sites, int tower, int length) {
    bool ok = true;
    for (size_t i = 0; i < g->node_count; i++) {
        double macs = tc_node_macs(g, &g->nodes[i], length);
        if (macs <= 0) continue;
        int id = cost_param(g, &g->nodes[i]);
        b->whole[tower] += macs;
        if (id < 0) {
            ok = add_term(b, tower, macs, 0, NULL) && ok;
            continue;
        }
        tc_param p = g->params->items[id];
        if (g->nodes[i].op->macs_by_heads)
            for (int a = 0; a < p.ndim; a++)
                if (!is_heads(&p, a)) p.axis[a].group = TC_GROUP_NONE;
        ok = add_by_axes(b, sites, &p, macs) && ok;
    }
    return ok;
}

static tc_status all_mac_terms(tc_budget *b, const tc_model *m, const tc_mask_sites *sites, tc_error *err) {
    tc_graph *g[2] = {NULL, NULL};
    tc_status status = TC_OK;
    for (int i = 0; i < 2 && status == TC_OK; i++) {
        status = tc_net_graph(&g[i], i, &m->config, &m->params, TC_NET_WHOLE, err);
        if (status == TC_OK && !mac_terms(b, g[i], sites, i, m->config.context_length))
            status = tc_fail_memory(err, sizeof *b->items);
        tc_graph_free(&g[i]);
    }
    return status;
}

tc_status tc_budget_make(tc_budget *out, tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites,
                         tc_error *err) {
    *out = (tc_budget){0};
    tc_status status = TC_OK;
    if (kind == TC_BUDGET_MACS) status = all_mac_terms(out, m, sites, err);
    else if (!(kind == TC_BUDGET_KEEP ? keep_terms(out, m, sites) : param_terms(out, m, sites)))
        status = tc_fail_memory(err, sizeof *out->items);
    if (status != TC_OK) tc_budget_free(out);
    return status;
}

/* ---- the Lagrangian */

static void sum_scores(tc_gates *g) {
    for (size_t i = 0; i < g->sites.count; i++) {
        const tc_mask_site *s = &g->sites.items[i];
        g->sum[i] = 0;
        for (int k = 0; k < s->size; k++) g->sum[i] += tc_gate_score(g->value[s->offset + k], NULL);
    }
}

/* grad += by[tower] * d N[tower] / d loga. */
static void add_gradient(tc_gates *g, const tc_budget *b, const double by[2]) {
    for (size_t i = 0; i < b->count; i++) {
        const tc_budget_term *t = &b->items[i];
        for (int k = 0; k < t->sites && by[t->tower] != 0; k++) {
            const tc_mask_site *s = &g->sites.items[t->site[k]];
            double part = by[t->tower] * t->factor, slope;
            for (int j = 0; j < t->sites; j++) part *= j == k ? 1 : g->sum[t->site[j]];
            for (int j = 0; j < s->size; j++) {
                tc_gate_score(g->value[s->offset + j], &slope);
                g->grad[s->offset + j] += part * slope;
            }
        }
    }
}

void tc_gates_lagrangian(tc_gates *g, const tc_budget *b, const tc_sparsity_target *t, int64_t step,
                         tc_sparsity *out) {
    double n[2], by[2] = {0, 0}, target[2], part = t->warmup > 0 ? fmin(1, (double)step / t->warmup) : 1;
    double *lambda = g->value + g->sites.total, *lambda_grad = g->grad + g->sites.total;
    sum_scores(g);
    tc_budget_expect(b, g->sum, n);
    *out = (tc_sparsity){0};
    for (int i = 0; i < 2; i++) target[i] = t->start[i] + (t->end[i] - t->start[i]) * part;
    for (int i = 0; i < (t->per_tower ? 2 : 1); i++) {
        bool joint = !t->per_tower;
        double whole = joint ? b->whole[0] + b->whole[1] : b->whole[i];
        double first = joint ? (lambda[0] + lambda[2]) / 2 : lambda[2 * i];
        double second = joint ? (lambda[1] + lambda[3]) / 2 : lambda[2 * i + 1];
        out->expected[i] = 1 - (joint ? n[0] + n[1] : n[i]) / whole;
        out->target[i] = joint ? (target[0] + target[1]) / 2 : target[i];
        double d = fmax(0, out->target[i] - out->expected[i]);
        out->loss[i] = first * d + second * d * d;
        /* The sparsity falls by 1 / whole for each one more, and so d grows by that. */
        for (int k = 0; k < 2; k++) {
            if (!joint && k != i) continue;
            by[k] = d > 0 ? (first + 2 * second * d) / whole : 0;
            lambda_grad[2 * k] += joint ? d / 2 : d;
            lambda_grad[2 * k + 1] += joint ? d * d / 2 : d * d;
        }
    }
    add_gradient(g, b, by);
}
