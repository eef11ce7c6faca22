/* fuse.c - joins a linear node with what follows it: the activation, or the addition of the residual. The joined node is one call of the
 * library's matrix product with its epilogue, so that the result is touched once. In training, where the residual is
 * still needed, only the activation is joined. */
#include "graph/graph.h"

static int consumers(const tc_graph *g, int value) {
    int n = value == g->output;
    for (size_t i = 0; i < g->node_count; i++)
        for (int j = 0; j < g->nodes[i].nin; j++) n += g->nodes[i].in[j] == value;
    return n;
}

/* The last node that reads the value, or -1. */
static int last_use(const tc_graph *g, int value) {
    int last = -1;
    for (size_t i = 0; i < g->node_count; i++)
        for (int j = 0; j < g->nodes[i].nin; j++)
            if (g->nodes[i].in[j] == value) last = (int)i;
    return last;
}

/* The linear node that makes the value for this reader alone, or NULL. */
static tc_node *sole_linear(tc_graph *g, int value) {
    int p = g->values[value].producer;
    if (p < 0 || consumers(g, value) != 1) return NULL;
    tc_node *n = &g->nodes[p];
    return n->op == &tc_op_linear && n->act == TC_ACT_NONE && !n->add ? n : NULL;
}

static void remove_node(tc_graph *g, size_t index) {
    for (size_t i = index; i + 1 < g->node_count; i++) g->nodes[i] = g->nodes[i + 1];
    g->node_count--;
    for (size_t i = 0; i < g->node_count; i++) g->values[g->nodes[i].out].producer = (int)i;
}

/* The residual is overwritten, so this must be its last use, and nobody may read it between. */
static bool join_add(tc_graph *g, size_t index) {
    tc_node *n = &g->nodes[index];
    for (int side = 0; side < 2; side++) {
        int residual = n->in[side], other = n->in[!side];
        tc_node *linear = sole_linear(g, other);
        if (!linear || residual == g->input || last_use(g, residual) != (int)index || g->values[residual].name[0]) continue;
        size_t at = (size_t)(linear - g->nodes);
        /* The residual must exist when the joined node runs: move the node here. */
        tc_node joined = *linear;
        joined.in[1] = residual;
        joined.nin = 2;
        joined.add = true;
        joined.out = n->out;
        g->nodes[index] = joined;
        remove_node(g, at);
        return true;
    }
    return false;
}

static bool join_act(tc_graph *g, size_t index) {
    tc_node *n = &g->nodes[index], *linear = sole_linear(g, n->in[0]);
    if (!linear || g->values[n->in[0]].name[0]) return false;
    linear->act = n->act;
    linear->out = n->out;
    remove_node(g, index);
    return true;
}

void tc_graph_fuse(tc_graph *g, bool training) {
    for (size_t i = 0; i < g->node_count;) {
        bool joined = false;
        if (g->nodes[i].op == &tc_op_act) joined = join_act(g, i);
        else if (g->nodes[i].op == &tc_op_add && !training) joined = join_add(g, i);
        if (!joined) i++;
    }
}
