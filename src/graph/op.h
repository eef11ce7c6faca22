/* op.h - what an operation is: one entry of a table, which says all that the passes over a graph need to know
 * of it. */
#ifndef TC_OP_H
#define TC_OP_H

#include "graph/run.h"

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

/* Added to the variance by batchnorm. */
#define TC_BATCHNORM_EPS 1e-5

extern const tc_op tc_op_patchify, tc_op_tokens, tc_op_embed, tc_op_layernorm, tc_op_linear, tc_op_attention,
    tc_op_act, tc_op_add, tc_op_select, tc_op_conv, tc_op_batchnorm, tc_op_avgpool, tc_op_scale;
/* All operations, for tests that go through them; ends with NULL. */
extern const tc_op *const tc_ops[];

#endif
