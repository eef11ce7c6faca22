/* graph.c - the building of graphs. A failure while building sticks to the graph, so
 * that builders read as a plain list of layers; they check `failed` once at the end. */
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

tc_graph *tc_graph_create(const tc_params *params) {
    tc_graph *g = tc_new(1, sizeof *g);
    if (g) {
        g->params = params;
        g->input = g->output = -1;
    }
    return g;
}

void tc_graph_free(tc_graph **g) {
    if (!*g) return;
    free((*g)->nodes);
    free((*g)->values);
    free(*g);
    *g = NULL;
}

void tc_graph_fail(tc_graph *g, const char *format, ...) {
    if (g->failed) return;
    va_list args;
    va_start(args, format);
    vsnprintf(g->message, sizeof g->message, format, args);
    va_end(args);
    g->failed = true;
}

int tc_graph_space(tc_graph *g, int per_seq) {
    if (g->space_count == (int)(sizeof g->spaces / sizeof *g->spaces)) {
        tc_graph_fail(g, "too many row spaces");
        return 0;
    }
    g->spaces[g->space_count] = (tc_space){per_seq};
    return g->space_count++;
}

int tc_graph_space_of(tc_graph *g, int per_seq) {
    for (int i = 0; i < g->space_count; i++)
        if (g->spaces[i].per_seq == per_seq) return i;
    return tc_graph_space(g, per_seq);
}

static int add_value(tc_graph *g, tc_value value) {
    if (!tc_grow(&g->values, &g->value_capacity, g->value_count + 1, sizeof *g->values)) {
        tc_graph_fail(g, "out of memory");
        return 0;
    }
    g->values[g->value_count] = value;
    return (int)g->value_count++;
}

int tc_graph_input(tc_graph *g, int space, int width) {
    g->input = add_value(g, (tc_value){.space = space, .width = width, .producer = -1});
    return g->input;
}

int tc_graph_add_node(tc_graph *g, tc_node node) {
    if (g->failed) return 0;
    if (!tc_grow(&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes)) {
        tc_graph_fail(g, "out of memory");
        return 0;
    }
    tc_value out = {.producer = (int)g->node_count};
    for (int i = 0; i < 2; i++) out.needs_grad = out.needs_grad || node.param[i] >= 0;
    for (int i = 2 + node.op->state_params; i < TC_NODE_PARAMS; i++) node.param[i] = -1;
    for (int i = 0; i < node.nin; i++) out.needs_grad = out.needs_grad || g->values[node.in[i]].needs_grad;
    node.op->shape(g, &node, &out);
    node.out = add_value(g, out);
    if (g->failed) return 0;
    g->nodes[g->node_count++] = node;
    return node.out;
}

void tc_graph_name(tc_graph *g, int value, const char *format, ...) {
    if (g->failed) return;
    va_list args;
    va_start(args, format);
    vsnprintf(g->values[value].name, sizeof g->values[value].name, format, args);
    va_end(args);
}

int tc_graph_find(const tc_graph *g, const char *name) {
    for (size_t i = 0; i < g->value_count; i++)
        if (strcmp(g->values[i].name, name) == 0) return (int)i;
    return -1;
}

double tc_node_macs(const tc_graph *g, const tc_node *n, int length) {
    if (!n->op->macs) return 0;
    const tc_value *out = &g->values[n->out], *last = &g->values[n->in[n->nin - 1]];
    int rows_out = g->spaces[out->space].per_seq, rows_in = g->spaces[last->space].per_seq;
    if (!rows_out) rows_out = length;
    if (!rows_in) rows_in = length;
    /* The published counts take every pair of positions, also those that the causal mask hides. */
    return n->op->macs(g, n, rows_in, rows_out, (double)rows_out * rows_in);
}

double tc_graph_macs(const tc_graph *g, int length) {
    double macs = 0;
    for (size_t i = 0; i < g->node_count; i++) macs += tc_node_macs(g, &g->nodes[i], length);
    return macs;
}
