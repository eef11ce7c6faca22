/* graph.h - a network is a linear array of nodes; everything else is a pass over it.
 *
 * A value is a matrix [rows, width]. Its rows belong to a space: so many rows a sequence (patches, tokens,
 * one), or ragged (captions of different lengths); a map of H x W pixels is a space of H*W rows. A node
 * applies one operation to up to three values and makes one value. Parameters lie in a table beside the
 * graph, each axis tagged with the group that it belongs to, so that inheritance, masks and pruning know no
 * network. */
#ifndef TC_GRAPH_H
#define TC_GRAPH_H

#include "kern/kern.h"

/* ---- parameters */

/* What an axis counts. An axis of HEADS has parts x heads x unit entries (parts 3: fused query, key, value;
 * unit: head size). */
typedef enum tc_group {
    TC_GROUP_NONE,
    TC_GROUP_EMBED,
    TC_GROUP_WIDTH,
    TC_GROUP_HEADS,
    TC_GROUP_FFN,
    TC_GROUP_STAGE,   /* ResNet: what the blocks of stage `layer` add to; 0 is the stem's result */
    TC_GROUP_CHANNELS /* ResNet: channels within the stem or a block; `layer` numbers them over the tower */
} tc_group;
enum { TC_TOWER_VISION, TC_TOWER_TEXT, TC_TOWER_JOINT, TC_TOWERS };

typedef struct tc_axis {
    tc_group group;
    int layer; /* of HEADS and FFN: the block; of STAGE and CHANNELS: which; -1 otherwise */
    int parts, unit;
} tc_axis;

enum { TC_PARAM_RANK = 4 };

typedef struct tc_param {
    char name[96];    /* canonical: OpenCLIP's */
    int tower, layer; /* layer: the block it is in, or -1 */
    int ndim;
    int64_t shape[TC_PARAM_RANK];
    tc_axis axis[TC_PARAM_RANK];
    int64_t numel, offset;      /* offset in a flat block of all parameters, elements, a multiple of 16 */
    double init_mean, init_std; /* normal distribution of the initial values */
    /* not trained: no gradient, no decay, not counted; running statistics and their counter */
    bool state;
} tc_param;

/* A whole number: stored as I64, exact here up to 2^24. */
static inline bool tc_param_is_counter(const tc_param *p) { return p->state && p->ndim == 0; }

typedef struct tc_params {
    tc_param *items;
    size_t count, capacity;
    int64_t total; /* length of the flat block */
} tc_params;

/* Adds a parameter and returns its number, or -1 if memory ran out. The sizes must have been checked. */
int tc_params_add(tc_params *p, const char *name, int tower, int layer, int ndim, const int64_t *shape,
                  const tc_axis *axis, double mean, double std);
int tc_params_find(const tc_params *p, const char *name); /* -1: none */
void tc_params_free(tc_params *p);

/* ---- graph */

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

typedef struct tc_op tc_op;
typedef struct tc_node {
    const tc_op *op;
    int nin, in[TC_NODE_INPUTS], out;
    /* Weight and bias, or -1. batchnorm: running mean, running variance and counter too. linear, conv: from 2
     * on the weight, bias, mean and variance of the batch normalisation that is folded into them, or -1 (set
     * by fusing). */
    int param[TC_NODE_PARAMS];
    /* attributes, by operation */
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

/* What a pass over the graph runs on: rows of each space follow from it. */
typedef struct tc_feed {
    int batch;             /* sequences */
    const tc_real *pixels; /* image graphs: [batch, width of the input]; else NULL */
    const int32_t *ids;    /* text graphs: [seq[batch]] token ids, the sequences one after the other */
    const int32_t *seq;    /* text graphs: [batch+1] offsets */
} tc_feed;

typedef struct tc_runner tc_runner;

typedef struct tc_cost {
    double macs;
} tc_cost;

/* One operation: all that the passes need to know of it. */
struct tc_op {
    const char *name;
    /* Space and width of the result; tc_graph_fail if the inputs do not fit. */
    void (*shape)(tc_graph *g, tc_node *n, tc_value *out);
    void (*forward)(const tc_runner *r, const tc_node *n);
    /* Reads the gradient of the result, adds to or writes those of the inputs (tc_grad_in) and of the
     * parameters. NULL: no gradient passes. */
    void (*backward)(const tc_runner *r, const tc_node *n);
    /* Multiply-accumulates for rows_in, rows_out rows and `pairs` = sum over sequences of query rows x key
     * rows seen. */
    double (*macs)(const tc_graph *g, const tc_node *n, int64_t rows_in, int64_t rows_out, double pairs);
    /* Width of what forward keeps for backward beside the values, in the space of value aux_of(n); NULL:
     * nothing. */
    int (*aux_width)(const tc_graph *g, const tc_node *n);
    /* What forward needs beside the values, in training until backward is done, in numbers, whatever the
     * rows. */
    int64_t (*aux_fixed)(const tc_graph *g, const tc_node *n);
    /* After a step that counts: brings state parameters (in `flat`) up to date with the last pass; NULL:
     * there are none. */
    void (*update)(const tc_runner *r, const tc_node *n, tc_real *flat);
    int state_params;   /* parameters beyond weight and bias */
    unsigned keep;      /* bits 0 to 2: backward reads that input's value; bit 3: the result's */
    bool grad_in_place; /* backward may put the gradient of input 0 over that of the result */
    /* backward can add to a gradient of its inputs that is already there; without it, no later node may read
     * an input */
    bool grad_adds;
    /* the inputs' gradients are the result's, so that all three may lie in the same memory */
    bool grad_is_shared;
    /* only in graphs that are trained, never in a model that is saved: has no ONNX form */
    bool unsaved;
};
enum { TC_KEEP_IN0 = 1, TC_KEEP_IN1 = 2, TC_KEEP_IN2 = 4, TC_KEEP_OUT = 8 };

extern const tc_op tc_op_patchify, tc_op_tokens, tc_op_embed, tc_op_layernorm, tc_op_linear, tc_op_attention,
    tc_op_act, tc_op_add, tc_op_select, tc_op_conv, tc_op_batchnorm, tc_op_avgpool, tc_op_scale;
/* All operations, for tests that go through them; ends with NULL. */
extern const tc_op *const tc_ops[];

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

/* ---- running */

/* Added to the variance by batchnorm. */
#define TC_BATCHNORM_EPS 1e-5

/* Weights made ready for inference, one a linear or conv node; shared between runners. */
typedef struct tc_prepared {
    tc_linear **linear; /* [node_count] */
    tc_conv **conv;     /* [node_count] */
    size_t count;
    const tc_kern *kern;
} tc_prepared;
/* Where the weights of linear nodes and convolutions lie, if not in `param`: transposed as the node wants
 * them. What it gives is valid until the next call, or for good if it `stays`. */
typedef struct tc_weight_source {
    tc_status (*get)(void *user, int param, bool transposed, tc_weight *out, tc_error *err);
    void *user;
} tc_weight_source;
/* param[i] is the data of parameter i; with a source those of weights may be NULL. */
tc_status tc_prepare(tc_prepared *out, const tc_graph *g, const tc_real *const *param,
                     const tc_weight_source *source, tc_error *err);
void tc_prepared_free(tc_prepared *p);

struct tc_runner {
    const tc_graph *graph;
    const tc_kern *kern;
    const tc_prepared *prepared; /* inference, or NULL */
    const tc_real *const *param; /* [params] */
    tc_real *const *param_grad;  /* [params], training; else NULL */
    /* of a graph with masks: [sites->total], the caller's, set before a pass; else NULL */
    const tc_real *mask;
    /* with param_grad: [sites->total]; backward writes the sites of this graph and leaves the others */
    tc_real *mask_grad;
    bool train;
    bool keep_all; /* every value keeps its memory: for looking inside */
    /* of the last pass */
    int batch;
    const int32_t *ids;
    int64_t rows[TC_SPACES];       /* rows of each space */
    const int32_t *seq[TC_SPACES]; /* [batch+1] offsets of each space */
    const int32_t *pick_row[3];    /* [batch] position of the picked row, by tc_pick */
    tc_real **value, **grad, **aux;
    tc_conv **conv; /* [node_count] without prepared weights */
    /* plan */
    int batch_capacity;
    int64_t ragged_capacity;
    int32_t *offsets[TC_SPACES]; /* owned seq of the spaces with a fixed number of rows */
    int32_t *last_row, *first_row;
    char *arena;
    size_t arena_bytes;
    bool *accumulate; /* [node][TC_NODE_INPUTS] the gradient of that input was already written */
    int32_t *touched; /* rows of the token table that the last backward pass wrote */
    int64_t touched_count;
};

/* kern NULL: the table in use. The graph and the arrays must outlive the runner. */
tc_status tc_runner_create(tc_runner **out, const tc_graph *g, const tc_real *const *param,
                           tc_real *const *param_grad, const tc_prepared *prepared, bool keep_all,
                           tc_error *err);
void tc_runner_free(tc_runner **r);
/* Memory that a pass over so many sequences and ragged rows takes, bytes. */
size_t tc_runner_memory(const tc_graph *g, bool train, int batch, int64_t ragged_rows);
/* Runs the graph; the result lies in tc_runner_output until the next pass. Allocates only if the batch is
 * larger than any before. */
tc_status tc_runner_forward(tc_runner *r, const tc_feed *feed, tc_error *err);
const tc_real *tc_runner_output(const tc_runner *r); /* [batch, width of the output] */
/* The gradient of the output, to be filled before backward. */
tc_real *tc_runner_output_grad(const tc_runner *r);
/* Gradients of the parameters are written (not added) to param_grad. */
void tc_runner_backward(tc_runner *r);
/* Brings the state parameters in the flat block up to date with the last forward pass: running statistics. */
void tc_runner_update_state(const tc_runner *r, tc_real *flat);

/* Geometry of a conv node. */
tc_conv_shape tc_graph_conv_shape(const tc_graph *g, const tc_node *n);

/* For operations. */
static inline int64_t tc_rows_of(const tc_runner *r, int value) {
    return r->rows[r->graph->values[value].space];
}
static inline int tc_width_of(const tc_runner *r, int value) { return r->graph->values[value].width; }
static inline size_t tc_node_index(const tc_runner *r, const tc_node *n) {
    return (size_t)(n - r->graph->nodes);
}
static inline bool tc_accumulates(const tc_runner *r, const tc_node *n, int input) {
    return r->accumulate[TC_NODE_INPUTS * tc_node_index(r, n) + (size_t)input];
}

#endif
