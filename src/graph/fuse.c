/* fuse.c - joins a node with what follows it: a normalisation, the addition of the residual, the activation,
 * in this order, as far as its operation takes them. The joined node is one call of a kernel with its
 * epilogue, so that the result is touched once. */
#include "graph/op.h"

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

/* The node without an activation that makes the value, unnamed, for this reader alone, or NULL. */
static tc_node *sole_producer(tc_graph *g, int value) {
    int p = g->values[value].producer;
    if (p < 0 || consumers(g, value) != 1 || g->values[value].name[0]) return NULL;
    return g->nodes[p].act == TC_ACT_NONE ? &g->nodes[p] : NULL;
}

static bool takes(const tc_node *n, const tc_node *behind, bool training) {
    return n && n->op->takes && n->op->takes(behind, training);
}

static void remove_node(tc_graph *g, size_t index) {
    for (size_t i = index; i + 1 < g->node_count; i++) g->nodes[i] = g->nodes[i + 1];
    g->node_count--;
    for (size_t i = 0; i < g->node_count; i++) g->values[g->nodes[i].out].producer = (int)i;
}

/* The residual is overwritten, so this must be its last use, and nobody may read it between. */
static bool join_add(tc_graph *g, size_t index, bool training) {
    tc_node *n = &g->nodes[index];
    for (int side = 0; side < 2; side++) {
        int residual = n->in[side], other = n->in[!side];
        tc_node *linear = sole_producer(g, other);
        if (!takes(linear, n, training) || linear->add || residual == g->input ||
            last_use(g, residual) != (int)index || g->values[residual].name[0])
            continue;
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

static bool join_act(tc_graph *g, size_t index, bool training) {
    tc_node *n = &g->nodes[index], *before = sole_producer(g, n->in[0]);
    if (!takes(before, n, training)) return false;
    before->act = n->act;
    before->out = n->out;
    remove_node(g, index);
    return true;
}

static bool join_norm(tc_graph *g, size_t index, bool training) {
    tc_node *n = &g->nodes[index], *before = sole_producer(g, n->in[0]);
    if (!takes(before, n, training) || before->add || before->param[TC_NODE_NORM] >= 0 ||
        before->transposed || before->row0 || n->act)
        return false;
    for (int i = 0; i < 4; i++) before->param[TC_NODE_NORM + i] = n->param[i];
    before->out = n->out;
    remove_node(g, index);
    return true;
}

void tc_graph_fuse(tc_graph *g, bool training) {
    for (size_t i = 0; i < g->node_count;) {
        bool joined = false;
        tc_op_kind kind = g->nodes[i].op->kind;
        if (kind == TC_OP_ACT) joined = join_act(g, i, training);
        if (kind == TC_OP_ADD) joined = join_add(g, i, training);
        if (kind == TC_OP_NORM) joined = join_norm(g, i, training);
        if (!joined) i++;
    }
}
