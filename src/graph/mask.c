/* mask.c - puts masks into a built graph. The array of nodes is made anew: each node is taken over, with a
 * scale node before it where it reads a masked axis and behind it where it adds to a masked residual stream;
 * who read the node's result reads the scaled one then. Nothing but the axis groups of the parameters is
 * looked at. */
#include "graph/op.h"

#include <stdlib.h>

typedef struct pass {
    tc_graph *g;
    const tc_mask_sites *sites;
    int *now; /* by value of the graph as it was: the value that stands for it */
} pass;

/* 1 + the site of axis `axis` of the node's parameter number `param`, if its group is `group` or, with NONE,
 * any but the width; 0: none. */
static int site_at(const pass *p, const tc_node *n, int param, int axis, tc_group group) {
    if (n->param[param] < 0) return 0;
    const tc_param *item = &p->g->params->items[n->param[param]];
    if (axis >= item->ndim) return 0;
    const tc_axis *a = &item->axis[axis];
    bool wanted = group == TC_GROUP_NONE ? a->group != TC_GROUP_WIDTH : a->group == group;
    return wanted ? 1 + tc_mask_sites_find(p->sites, item->tower, a->group, a->layer) : 0;
}

static int read_site(const pass *p, const tc_node *n) {
    int axis = tc_node_input_axis(n);
    return axis < 0 ? 0 : site_at(p, n, 0, axis, TC_GROUP_NONE);
}

/* Patches become part of the stream only where it begins: where the positions are added. */
static bool feeds_stream(const tc_node *nodes, size_t count, int value) {
    for (size_t i = 0; i < count; i++)
        if (nodes[i].op->begins_stream && nodes[i].nin > 0 && nodes[i].in[0] == value) return true;
    return false;
}

static int written_site(const pass *p, const tc_node *n, const tc_node *nodes, size_t count) {
    int axis = tc_node_input_axis(n);
    if (n->op->begins_stream) return site_at(p, n, 1, 1, TC_GROUP_WIDTH);
    if (axis < 0 || feeds_stream(nodes, count, n->out)) return 0;
    return site_at(p, n, 0, 1 - axis, TC_GROUP_WIDTH);
}

static int scaled(pass *p, int value, int site) {
    tc_node n = {.op = &tc_op_scale, .nin = 1, .in = {value}, .site = site};
    for (int i = 0; i < TC_NODE_PARAMS; i++) n.param[i] = -1;
    return tc_graph_add_node(p->g, n);
}

/* Takes over a node, its result's number with it. */
static void append(tc_graph *g, const tc_node *n) {
    if (!tc_grow(&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes)) {
        tc_graph_fail(g, "out of memory");
        return;
    }
    g->values[n->out].producer = (int)g->node_count;
    g->nodes[g->node_count++] = *n;
}

static void mask_node(pass *p, tc_node n, const tc_node *nodes, size_t count) {
    tc_graph *g = p->g;
    int before = read_site(p, &n), behind = written_site(p, &n, nodes, count), out = n.out;
    for (int i = 0; i < n.nin; i++) n.in[i] = p->now[n.in[i]];
    if (before) n.in[0] = scaled(p, n.in[0], before);
    if (n.op->takes_mask) n.site = site_at(p, &n, 0, 0, TC_GROUP_WIDTH);
    append(g, &n);
    if (!behind || g->failed) return;
    p->now[out] = scaled(p, out, behind);
    if (g->failed) return;
    /* The name is that of what the others read. */
    tc_graph_name(g, p->now[out], "%s", g->values[out].name);
    g->values[out].name[0] = 0;
}

void tc_graph_mask(tc_graph *g, const tc_mask_sites *sites) {
    if (g->failed) return;
    pass p = {.g = g, .sites = sites, .now = tc_new(g->value_count, sizeof *p.now)};
    if (!p.now) {
        tc_graph_fail(g, "out of memory");
        return;
    }
    tc_node *nodes = g->nodes;
    size_t count = g->node_count, values = g->value_count;
    g->nodes = NULL;
    g->node_count = g->node_capacity = 0;
    g->sites = sites;
    for (size_t v = 0; v < values; v++) p.now[v] = (int)v;
    for (size_t i = 0; i < count && !g->failed; i++) mask_node(&p, nodes[i], nodes, count);
    if (g->output >= 0) g->output = p.now[g->output];
    free(nodes);
    free(p.now);
}
