/* builder.h - what the families build their parameters and graphs with. A failure sticks, so that builders
 * read as plain lists. */
#ifndef TC_BUILDER_H
#define TC_BUILDER_H

#include "graph/op.h"

/* ---- parameters */

typedef struct tc_adder {
    tc_params *params;
    int tower, layer;   /* of what is added */
    const char *prefix; /* before each name */
    size_t in_block;    /* how much of the prefix names the block */
    bool failed;        /* memory ran out */
} tc_adder;

extern const tc_axis tc_axis_fixed, tc_axis_embed, tc_axis_width;

/* Adds a parameter PREFIX NAME with these roles (TC_ROLE_). A matrix of more than one row and column decays.
 */
void tc_add_param(tc_adder *a, const char *name, unsigned roles, int ndim, const int64_t *shape,
                  const tc_axis *axis, double mean, double std);
void tc_add_vector(tc_adder *a, const char *name, unsigned roles, int64_t n, tc_axis axis, double mean,
                   double std);
void tc_add_matrix(tc_adder *a, const char *name, unsigned roles, int64_t rows, tc_axis row, int64_t columns,
                   tc_axis column, double std);
/* NAME.weight [out, in, kernel, kernel], initialised by PyTorch's default: uniform of standard deviation
 * 1/sqrt(3 fan_in). */
void tc_add_conv(tc_adder *a, const char *name, unsigned roles, int64_t out, tc_axis out_axis, int64_t in,
                 tc_axis in_axis, int kernel);

/* ---- graphs */

/* Adds a node `op` with the named parameters (NULL: none). */
int tc_net_layer(tc_graph *g, tc_node node, const char *prefix, const char *weight, const char *bias);
/* The number of the parameter PREFIX NAME; a failure if there is none. */
int tc_net_param(tc_graph *g, const char *prefix, const char *name);
int tc_net_act(tc_graph *g, int x, int act /* TC_ACT_ */);
int tc_net_pick(tc_graph *g, int x, tc_pick pick);
int tc_net_sum(tc_graph *g, int x, int y);
/* y = W x + b; of the others `weight` is [in, out] and there is no bias. */
int tc_net_linear(tc_graph *g, int x, const char *prefix, const char *weight, const char *bias);
int tc_net_projection(tc_graph *g, int x, const char *prefix, const char *weight);
/* NAME.weight and NAME.bias of a LayerNorm. */
int tc_net_layernorm(tc_graph *g, int x, const char *prefix, const char *name);
/* The images [3, size, size] as rows, one for each patch, row by row. */
int tc_net_patches(tc_graph *g, int image_size, int patch_size);

#endif
