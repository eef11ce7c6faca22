/* graph.h - a network is a linear array of nodes; everything else is a pass over it.
 *
 * A value is a matrix [rows, width]. Its rows belong to a space: so many rows a sequence (patches, tokens,
 * one), or ragged (captions of different lengths); a map of H x W pixels is a space of H*W rows. A node
 * applies one operation to up to three values and makes one value. What an operation is stands in op.h, what
 * runs a graph in run.h. */
#ifndef TC_GRAPH_H
#define TC_GRAPH_H

#include "graph/params.h"
#include "kern/kern.h"

typedef struct tc_space {
    int per_seq; /* rows a sequence; 0: ragged */
} tc_space;

typedef struct tc_value {
    char name[32]; /* for tests that look inside; "" for most */
    int space, width;
    int producer; /* node, or -1: the input */
    bool needs_grad;
} tc_value;

typedef enum tc_pick { TC_PICK_ALL, TC_PICK_FIRST, TC_PICK_LAST } tc_pick;

enum { TC_SPACES = 16, TC_NODE_INPUTS = 3, TC_NODE_PARAMS = 6 };
enum { TC_NODE_NORM = 2 }; /* param[] of a node's folded normalisation: weight, bias, mean, variance */

typedef struct tc_op tc_op;
typedef struct tc_node {
    const tc_op *op;
    int nin, in[TC_NODE_INPUTS], out;
    /* Weight and bias, or -1. batchnorm: running mean, running variance and counter too. linear, conv: from 2
     * on the weight, bias, mean and variance of the batch normalisation that is folded into them, or -1 (set
     * by fusing). */
    int param[TC_NODE_PARAMS];
    /* Attributes: the builder sets those of the operation named, whose file reads them; of the passes, fusing
     * sets and reads act and add, masks set site, and what has a weight is seen through transposed and row0.
     */
    int act; /* act; linear, conv, batchnorm (fused): TC_ACT_* */
    /* linear, conv (fused): in[1] is added, before the activation; the result takes its place */
    bool add;
    bool transposed;            /* linear: the weight is [in, out] */
    int row0, rows;             /* linear: rows row0 .. row0+rows-1 of the weight and the bias are used */
    int heads, dim;             /* attention */
    bool causal;                /* attention */
    tc_pick pick;               /* attention: the queries; select: the rows */
    int image_size, patch_size; /* patchify */
    int side, stride, pad;      /* conv, avgpool: side of the input map; avgpool: stride is its window too */
    int site;                   /* scale, layernorm: 1 + the number of the site of a mask; 0: none */
} tc_node;

struct tc_mask_sites; /* mask.h */

typedef struct tc_graph {
    tc_node *nodes;
    size_t node_count, node_capacity;
    tc_value *values;
    size_t value_count, value_capacity;
    tc_space spaces[TC_SPACES];
    int space_count;
    int input, output; /* values */
    const tc_params *params;
    const struct tc_mask_sites *sites; /* of a graph with masks (tc_graph_mask), else NULL */
    bool failed;                       /* memory ran out or a shape did not fit, see message */
    char message[256];
} tc_graph;

/* Building: each call adds one node and returns its result's value. */
tc_graph *tc_graph_create(const tc_params *params);
void tc_graph_free(tc_graph **g);
int tc_graph_space(tc_graph *g, int per_seq);
/* The space of so many rows a sequence that is there already, or a new one. */
int tc_graph_space_of(tc_graph *g, int per_seq);
int tc_graph_input(tc_graph *g, int space, int width);
int tc_graph_add_node(tc_graph *g, tc_node node);
void tc_graph_name(tc_graph *g, int value, const char *format, ...) __attribute__((format(printf, 3, 4)));
void tc_graph_fail(tc_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tc_graph_find(const tc_graph *g, const char *name); /* value, or -1 */

/* Joins linear, conv or batchnorm + activation and, for inference only, linear or conv + batchnorm, +
 * residual into one node. */
void tc_graph_fuse(tc_graph *g, bool training);
/* Multiply-accumulates of one pass. Text: for captions of `length` tokens. */
double tc_graph_macs(const tc_graph *g, int length);
/* What one of its nodes has of them. */
double tc_node_macs(const tc_graph *g, const tc_node *n, int length);

/* Geometry of a conv node. */
tc_conv_shape tc_graph_conv_shape(const tc_graph *g, const tc_node *n);

#endif
