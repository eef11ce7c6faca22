/* op.h - what an operation is: one entry of a table, which says all that the passes over a graph need to know
 * of it. */
#ifndef TC_OP_H
#define TC_OP_H

#include "graph/run.h"

struct tc_onnx_walk; /* onnx_walk.h */

/* What an operation is to its neighbours: fuse.c joins those that are not plain to the node before, prune.c
 * follows additions along the residual stream. */
typedef enum tc_op_kind {
    TC_OP_PLAIN,
    TC_OP_ACT,  /* the node's `act` of each number */
    TC_OP_ADD,  /* in[0] + in[1] */
    TC_OP_NORM, /* of each column; parameters 0 to 3 are weight, bias, mean and variance */
} tc_op_kind;

/* One operation: all that the passes need to know of it. What is not given is NULL, 0 or false. */
struct tc_op {
    const char *name;
    /* Building (graph.c): space and width of the result; tc_graph_fail if the inputs do not fit. */
    void (*shape)(tc_graph *g, tc_node *n, tc_value *out);
    int state_params; /* parameters beyond weight and bias */

    /* ---- running (run.c) */
    void (*forward)(const tc_runner *r, const tc_node *n);
    /* Reads the gradient of the result, writes or adds to (tc_accumulates) those of the inputs, and writes
     * those of the parameters; vectors are 0 before and may be added to. NULL: no gradient passes. */
    void (*backward)(const tc_runner *r, const tc_node *n);
    /* Before any node's backward: clears what backward of several nodes adds to, or notes what this pass
     * leaves. */
    void (*before_backward)(tc_runner *r, const tc_node *n);
    /* After a step that counts: brings state parameters (in `flat`) up to date with the last pass. */
    void (*update)(const tc_runner *r, const tc_node *n, tc_real *flat);
    /* Makes what the node keeps from pass to pass where its weight is not prepared (r->state); NULL if memory
     * ran out. */
    void *(*setup)(const tc_runner *r, const tc_node *n);
    void (*release)(const tc_runner *r, void *state);

    /* ---- memory (plan.c) */
    /* Width of what forward keeps for backward beside the values, a row of it for each of in[0]. */
    int (*aux_width)(const tc_graph *g, const tc_node *n);
    /* What forward needs beside the values, in training until backward is done, in numbers, whatever the
     * rows. */
    int64_t (*aux_fixed)(const tc_graph *g, const tc_node *n);
    unsigned keep;      /* bits 0 to 2: backward reads that input's value; bit 3: the result's */
    bool grad_in_place; /* backward may put the gradient of input 0 over that of the result */
    /* backward can add to a gradient of its inputs that is already there; without it, no later node may read
     * an input */
    bool grad_adds;
    /* the inputs' gradients are the result's, so that all three may lie in the same memory */
    bool grad_is_shared;

    /* ---- cost (graph.c, budgets of masks) */
    /* Multiply-accumulates for rows_in, rows_out rows and `pairs` = sum over sequences of query rows x key
     * rows seen. */
    double (*macs)(const tc_graph *g, const tc_node *n, int64_t rows_in, int64_t rows_out, double pairs);
    bool macs_by_heads; /* they go with the heads alone, whatever width its parameters have */

    /* ---- weights */
    /* It is a product with the weight param[0], whose inputs lie along tc_node_input_axis; which one, with
     * what is joined to the node (prepare.c, mask.c, prune.c, the gathering of a model's values). */
    void (*product)(const tc_graph *g, const tc_node *n, tc_product *out);
    /* param[1] is added to the result: a constant may go there instead (prune.c) */
    bool takes_constant;

    /* ---- joining (fuse.c) */
    tc_op_kind kind;
    /* Whether one call can do `behind`, which is not plain, too. */
    bool (*takes)(const tc_node *behind, bool training);

    /* ---- masks (mask.c, prune.c) */
    bool begins_stream; /* its result begins a residual stream, positions param[1] included */
    bool takes_mask;    /* runs over the columns alone that a mask of the width keeps: the node's `site` */

    /* ---- ONNX (onnx_graph.c) */
    /* Writes the node and returns the ONNX value of its result. */
    int (*onnx)(struct tc_onnx_walk *w, const tc_node *n);
    bool onnx_takes_uniform; /* its inputs may be one row for all */
    bool onnx_takes_maps;    /* its inputs may be maps; others get them as rows */
    bool unsaved; /* only in graphs that are trained, never in a model that is saved: has no form */
};
enum { TC_KEEP_IN0 = 1, TC_KEEP_IN1 = 2, TC_KEEP_IN2 = 4, TC_KEEP_OUT = 8 };

/* Added to the variance by batchnorm. */
#define TC_BATCHNORM_EPS 1e-5

/* Axis of the weight that counts the inputs; -1: the node has no weight. */
static inline int tc_node_input_axis(const tc_node *n) {
    if (!n->op->product) return -1;
    return n->transposed ? 0 : 1;
}

/* Every operation: a file in ops/ and a line here. */
#define TC_OP_LIST(X) \
    X(patchify)       \
    X(tokens)         \
    X(embed)          \
    X(layernorm)      \
    X(linear)         \
    X(attention)      \
    X(act)            \
    X(add)            \
    X(select)         \
    X(conv)           \
    X(batchnorm)      \
    X(avgpool)        \
    X(scale)

#define TC_OP_DECLARE(name) extern const tc_op tc_op_##name;
TC_OP_LIST(TC_OP_DECLARE)
#undef TC_OP_DECLARE
/* The same as an array that ends with NULL, for tests that go through them. */
extern const tc_op *const tc_ops[];

#endif
