/* prune.c - folding: a masked model becomes a smaller one that computes the same.
 *
 * Members of a site that are masked with 0 are dropped from every axis of their group. The factors of the
 * others go into the weights beside the mask: W (m x) = (W diag m) x, and m (W x + b) = (diag m W) x + diag m
 * b. Which axis of which parameter takes a mask's factors is seen in the graph, what is dropped in the axis
 * groups; nothing here knows a network.
 *
 * Of a branch whose members are all gone a constant is left, the bias of its last linear node. It moves to
 * where the residual that it is added to got its last addition; between the two nothing reads the residual
 * any more. */
#include "graph/op.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* ---- the configuration */

static tc_status check_sites(const tc_mask_sites *sites, const tc_params *params, tc_error *err) {
    tc_mask_sites own;
    tc_status status = tc_mask_sites_create(&own, params, err);
    if (status != TC_OK) return status;
    bool same = own.count == sites->count;
    for (size_t i = 0; i < own.count && same; i++) {
        const tc_mask_site *a = &own.items[i], *b = &sites->items[i];
        same = a->tower == b->tower && a->group == b->group && a->layer == b->layer && a->size == b->size &&
               a->offset == b->offset;
    }
    tc_mask_sites_free(&own);
    return same ? TC_OK : tc_fail(err, TC_EARG, "fold: the mask is that of another model");
}

/* Of some groups one member is kept in any case. */
static int at_least(const tc_config *c, const tc_mask_site *s, int kept) {
    bool one = tc_config_tower(c, s->tower)->family->never_empty >> s->group & 1;
    return kept == 0 && one ? 1 : kept;
}

tc_status tc_config_fold(tc_config *out, const tc_config *c, const tc_mask_sites *sites, const int *kept,
                         tc_error *err) {
    tc_config folded = *c;
    for (size_t i = 0; i < sites->count; i++) {
        const tc_mask_site *s = &sites->items[i];
        tc_tower_config *t = s->tower == TC_TOWER_TEXT ? &folded.text : &folded.vision;
        if (!t->family->set_kept)
            return tc_fail(err, TC_EUNSUPPORTED, "fold: a %s has no masks", t->family->name);
        if (kept[i] < 0 || kept[i] > s->size)
            return tc_fail(err, TC_EARG, "fold: %d of %d members cannot be kept", kept[i], s->size);
        if (s->group == TC_GROUP_WIDTH && kept[i] == 0)
            return tc_fail(err, TC_EARG, "fold: nothing is left of the width of the %s tower",
                           s->tower == TC_TOWER_TEXT ? "text" : "image");
        t->family->set_kept(t, s->group, s->layer, at_least(c, s, kept[i]));
    }
    if (folded.vision.family->settle) folded.vision.family->settle(&folded.vision);
    if (folded.text.family->settle) folded.text.family->settle(&folded.text);
    *out = folded;
    return TC_OK;
}

/* ---- the mask */

typedef struct folding {
    const tc_model *from;
    tc_model *to;
    const tc_mask_sites *sites;
    const tc_real *mask;
    int *member; /* [sites->total] from the offset of each site on: the members that are kept, ascending */
    int *kept;   /* [sites] how many */
    int *scaled; /* [params][TC_PARAM_RANK] site whose factors go into this axis, or -1 */
    tc_error *err;
} folding;

static int site_of(const folding *f, int param, int axis) {
    const tc_param *p = &f->from->params.items[param];
    return tc_mask_sites_find(f->sites, p->tower, p->axis[axis].group, p->axis[axis].layer);
}

static void list_members(folding *f, int *counted) {
    for (size_t i = 0; i < f->sites->count; i++) {
        const tc_mask_site *s = &f->sites->items[i];
        for (int k = 0; k < s->size; k++)
            if (f->mask[s->offset + k] != 0) f->member[s->offset + f->kept[i]++] = k;
        counted[i] = f->kept[i];
        /* One that is kept in any case has the factor 0. */
        if (f->kept[i] < at_least(&f->from->config, s, f->kept[i])) f->member[s->offset + f->kept[i]++] = 0;
    }
}

/* ---- the graph */

static void scale(folding *f, int param, int axis, int site) {
    f->scaled[param * TC_PARAM_RANK + axis] = site;
}

/* What a node's weights take over of the masks: those on its input, and those on what it adds to the residual
 * stream. */
static void scale_node(folding *f, const tc_node *n) {
    const tc_param *items = f->from->params.items;
    int input_axis = tc_node_input_axis(n);
    if (!n->op->begins_stream && input_axis < 0) return;
    for (int k = 0; k < 2; k++) {
        int param = n->param[k];
        for (int a = 0; param >= 0 && a < items[param].ndim; a++) {
            tc_group group = items[param].axis[a].group;
            bool input = k == 0 && a == input_axis;
            if (input ? group == TC_GROUP_HEADS || group == TC_GROUP_FFN || group == TC_GROUP_CHANNELS
                      : group == TC_GROUP_WIDTH)
                scale(f, param, a, site_of(f, param, a));
        }
    }
}

/* Is nothing left of what the node reads? Then its result is its bias. */
static bool is_constant(const folding *f, const tc_node *n) {
    int axis = tc_node_input_axis(n);
    if (axis < 0) return false;
    int site = site_of(f, n->param[0], axis);
    return site >= 0 ? f->kept[site] == 0 : f->from->params.items[n->param[0]].shape[axis] == 0;
}

static const tc_node *producer(const tc_graph *g, int value) {
    int n = g->values[value].producer;
    return n < 0 ? NULL : &g->nodes[n];
}

/* The parameter to which a constant can be added instead of to `value`; -1: there is none. */
static int receiver(const folding *f, const tc_graph *g, int value) {
    const tc_node *n = producer(g, value);
    while (n && n->op->kind == TC_OP_ADD) {
        const tc_node *added = producer(g, n->in[1]);
        n = added && is_constant(f, added) ? producer(g, n->in[0]) : added;
    }
    return n && n->op->takes_constant ? n->param[1] : -1;
}

/* ---- the values */

/* Index in the old axis of each entry of the new one -> from, and its factor -> factor. */
static void map_axis(const folding *f, int param, int axis, int64_t size, int64_t *from, tc_real *factor) {
    const tc_axis *a = &f->from->params.items[param].axis[axis];
    int site = site_of(f, param, axis);
    bool scaled = f->scaled[param * TC_PARAM_RANK + axis] >= 0;
    for (int64_t i = 0; i < size; i++) {
        from[i] = i;
        factor[i] = 1;
        if (site < 0) continue;
        const tc_mask_site *s = &f->sites->items[site];
        int64_t of_part = (int64_t)f->kept[site] * a->unit, part = i / of_part, rest = i % of_part;
        int member = f->member[s->offset + rest / a->unit];
        from[i] = (part * s->size + member) * a->unit + rest % a->unit;
        if (scaled) factor[i] = f->mask[s->offset + member];
    }
}

/* What is left of values (of parameter `param` of the old model) -> out, of the shape of p. */
static tc_status take_members(const folding *f, int param, const tc_param *p, const tc_real *values,
                              tc_real *out) {
    const tc_param *old = &f->from->params.items[param];
    int64_t index[TC_PARAM_RANK] = {0}, *from[TC_PARAM_RANK], entries = 1;
    tc_real *factor[TC_PARAM_RANK];
    for (int a = 0; a < p->ndim; a++) entries += p->shape[a];
    int64_t *all_from = tc_new((size_t)entries, sizeof *all_from);
    tc_real *all_factors = tc_new((size_t)entries, sizeof *all_factors);
    tc_status status =
        all_from && all_factors ? TC_OK : tc_fail_memory(f->err, (size_t)entries * sizeof *all_from);
    for (int a = 0, used = 0; a < p->ndim && status == TC_OK; used += (int)p->shape[a++]) {
        from[a] = all_from + used;
        factor[a] = all_factors + used;
        map_axis(f, param, a, p->shape[a], from[a], factor[a]);
    }
    for (int64_t k = 0; k < p->numel && status == TC_OK; k++) {
        int64_t at = 0;
        tc_real product = 1;
        for (int a = 0; a < p->ndim; a++) {
            at = at * old->shape[a] + from[a][index[a]];
            product *= factor[a][index[a]];
        }
        out[k] = product * values[at];
        for (int a = p->ndim - 1; a >= 0 && ++index[a] == p->shape[a]; a--) index[a] = 0;
    }
    free(all_from);
    free(all_factors);
    return status;
}

/* Parameter `param` of the old model, folded -> out, of the shape of p. */
static tc_status fold_param(const folding *f, int param, const tc_param *p, tc_real *out) {
    size_t n = (size_t)f->from->params.items[param].numel;
    tc_real *values = tc_new_aligned(n, sizeof *values);
    if (!values) return tc_fail_memory(f->err, n * sizeof *values);
    tc_status status = tc_model_read(f->from, (size_t)param, values, f->err);
    if (status == TC_OK) status = take_members(f, param, p, values, out);
    tc_model_let_go(f->from, (size_t)param);
    free(values);
    return status;
}

/* Adds the bias of a node of which nothing else is left to the parameter that takes its place. */
static tc_status move_constant(const folding *f, int bias, int to) {
    int target = to < 0 ? -1 : tc_params_find(&f->to->params, f->from->params.items[to].name);
    if (target < 0)
        return tc_fail(f->err, TC_EUNSUPPORTED, "fold: there is no parameter that %s could be added to",
                       f->from->params.items[bias].name);
    const tc_param *t = &f->to->params.items[target];
    int64_t width = t->shape[t->ndim - 1];
    tc_param p = {.ndim = 1, .shape = {width}, .numel = width};
    tc_real *constant = tc_new((size_t)width, sizeof *constant), *values = f->to->flat + t->offset;
    tc_status status = constant ? fold_param(f, bias, &p, constant)
                                : tc_fail_memory(f->err, (size_t)width * sizeof *constant);
    for (int64_t i = 0; i < t->numel && status == TC_OK; i++) values[i] += constant[i % width];
    free(constant);
    return status;
}

static tc_status move_constants(const folding *f, const tc_graph *g) {
    tc_status status = TC_OK;
    for (size_t i = 0; i < g->node_count && status == TC_OK; i++) {
        const tc_node *n = &g->nodes[i], *branch = n->op->kind == TC_OP_ADD ? producer(g, n->in[1]) : NULL;
        if (branch && is_constant(f, branch) && branch->param[1] >= 0)
            status = move_constant(f, branch->param[1], receiver(f, g, n->in[0]));
    }
    return status;
}

static tc_status fold_values(folding *f) {
    const tc_model *m = f->from;
    tc_graph *g[2] = {NULL, NULL};
    tc_status status = TC_OK;
    for (int tower = 0; tower < 2 && status == TC_OK; tower++) {
        status = tc_net_graph(&g[tower], tower, &m->config, &m->params, TC_NET_WHOLE, f->err);
        for (size_t i = 0; status == TC_OK && i < g[tower]->node_count; i++)
            scale_node(f, &g[tower]->nodes[i]);
    }
    for (size_t i = 0; i < f->to->params.count && status == TC_OK; i++) {
        const tc_param *p = &f->to->params.items[i];
        status = fold_param(f, tc_params_find(&m->params, p->name), p, f->to->flat + p->offset);
    }
    for (int tower = 0; tower < 2; tower++) {
        if (status == TC_OK) status = move_constants(f, g[tower]);
        tc_graph_free(&g[tower]);
    }
    return status;
}

tc_status tc_model_fold(tc_model **out, const tc_model *masked, const tc_mask_sites *sites,
                        const tc_real *mask, tc_error *err) {
    size_t axes = masked->params.count * TC_PARAM_RANK;
    folding f = {.from = masked, .sites = sites, .mask = mask, .err = err};
    tc_config c;
    *out = NULL;
    tc_status status = check_sites(sites, &masked->params, err);
    if (status != TC_OK) return status;
    int *counted = tc_new(sites->count + 1, sizeof *counted);
    f.member = tc_new((size_t)sites->total + 1, sizeof *f.member);
    f.kept = tc_new(sites->count + 1, sizeof *f.kept);
    f.scaled = tc_new(axes, sizeof *f.scaled);
    if (!counted || !f.member || !f.kept || !f.scaled) status = tc_fail_memory(err, axes * sizeof *f.scaled);
    if (status != TC_OK) goto out;
    for (size_t i = 0; i < axes; i++) f.scaled[i] = -1;
    list_members(&f, counted);
    status = tc_config_fold(&c, &masked->config, sites, counted, err);
    if (status == TC_OK) status = tc_model_new_flat(&f.to, &c, err);
    if (status == TC_OK) status = fold_values(&f);
    if (status == TC_OK) status = tc_model_copy_settings(f.to, masked, err);
    if (status == TC_OK && !(f.to->source = tc_strdup("pruned"))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_finish(f.to, err);
    if (status == TC_OK) *out = f.to;
    else tc_model_close(&f.to);
out:
    free(counted);
    free(f.member);
    free(f.kept);
    free(f.scaled);
    return status;
}
