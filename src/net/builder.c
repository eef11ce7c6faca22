/* builder.c - the words in which networks are written down. */
#include "net/builder.h"

#include <math.h>

/* ---- parameters */

const tc_axis tc_axis_fixed = {TC_GROUP_NONE, -1, 1, 1}, tc_axis_embed = {TC_GROUP_EMBED, -1, 1, 1},
              tc_axis_width = {TC_GROUP_WIDTH, -1, 1, 1};

void tc_add_param(tc_adder *a, const char *name, unsigned roles, int ndim, const int64_t *shape,
                  const tc_axis *axis, double mean, double std) {
    char full[96];
    if (a->failed) return;
    snprintf(full, sizeof full, "%s%s", a->prefix, name);
    int id = tc_params_add(a->params, full, a->tower, a->layer, ndim, shape, axis, mean, std);
    a->failed = id < 0;
    if (a->failed) return;
    a->params->items[id].roles = roles;
    a->params->items[id].in_block = (int)a->in_block;
}

void tc_add_vector(tc_adder *a, const char *name, unsigned roles, int64_t n, tc_axis axis, double mean,
                   double std) {
    tc_add_param(a, name, roles, 1, &n, &axis, mean, std);
}

void tc_add_matrix(tc_adder *a, const char *name, unsigned roles, int64_t rows, tc_axis row, int64_t columns,
                   tc_axis column, double std) {
    tc_add_param(a, name, roles | TC_ROLE_DECAYS, 2, (int64_t[]){rows, columns}, (tc_axis[]){row, column}, 0,
                 std);
}

void tc_add_conv(tc_adder *a, const char *name, unsigned roles, int64_t out, tc_axis out_axis, int64_t in,
                 tc_axis in_axis, int kernel) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    tc_add_param(a, full, roles | TC_ROLE_DECAYS, 4, (int64_t[]){out, in, kernel, kernel},
                 (tc_axis[]){out_axis, in_axis, tc_axis_fixed, tc_axis_fixed}, 0,
                 pow(3.0 * (double)in * kernel * kernel, -0.5));
}

/* ---- graphs */

int tc_net_param(tc_graph *g, const char *prefix, const char *name) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    int id = tc_params_find(g->params, full);
    if (id < 0) tc_graph_fail(g, "there is no parameter %s", full);
    return id;
}

int tc_net_layer(tc_graph *g, tc_node node, const char *prefix, const char *weight, const char *bias) {
    node.param[0] = weight ? tc_net_param(g, prefix, weight) : -1;
    node.param[1] = bias ? tc_net_param(g, prefix, bias) : -1;
    return tc_graph_add_node(g, node);
}

int tc_net_act(tc_graph *g, int x, int act) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_act, .nin = 1, .in = {x}, .act = act}, "", NULL, NULL);
}

int tc_net_pick(tc_graph *g, int x, tc_pick pick) {
    if (pick == TC_PICK_ALL) return x;
    return tc_net_layer(g, (tc_node){.op = &tc_op_select, .nin = 1, .in = {x}, .pick = pick}, "", NULL, NULL);
}

int tc_net_sum(tc_graph *g, int x, int y) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {x, y}}, "", NULL, NULL);
}

int tc_net_linear(tc_graph *g, int x, const char *prefix, const char *weight, const char *bias) {
    return tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}}, prefix, weight, bias);
}

int tc_net_projection(tc_graph *g, int x, const char *prefix, const char *weight) {
    tc_node n = {.op = &tc_op_linear, .nin = 1, .in = {x}, .transposed = true};
    return tc_net_layer(g, n, prefix, weight, NULL);
}

int tc_net_layernorm(tc_graph *g, int x, const char *prefix, const char *name) {
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    return tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, prefix, weight, bias);
}

int tc_net_patches(tc_graph *g, int image_size, int patch_size) {
    int x = tc_graph_input(g, tc_graph_space(g, 1), 3 * image_size * image_size);
    tc_node n = {
        .op = &tc_op_patchify, .nin = 1, .in = {x}, .image_size = image_size, .patch_size = patch_size};
    return tc_net_layer(g, n, "", NULL, NULL);
}
