/* run.h - running a graph forwards and backwards, over memory that was planned beforehand. */
#ifndef TC_RUN_H
#define TC_RUN_H

#include "graph/mask.h"
#include "graph/prepare.h"

/* What a pass over the graph runs on: rows of each space follow from it. */
typedef struct tc_feed {
    int batch;             /* sequences */
    const tc_real *pixels; /* image graphs: [batch, width of the input]; else NULL */
    const int32_t *ids;    /* text graphs: [seq[batch]] token ids, the sequences one after the other */
    const int32_t *seq;    /* text graphs: [batch+1] offsets */
} tc_feed;

typedef struct tc_runner {
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
    void **state; /* [node_count] what nodes keep from pass to pass, see tc_op.setup */
    /* plan */
    int batch_capacity;
    int64_t ragged_capacity;
    int32_t *offsets[TC_SPACES]; /* owned seq of the spaces with a fixed number of rows */
    int32_t *last_row, *first_row;
    char *arena;
    size_t arena_bytes;
    bool *accumulate; /* [node][TC_NODE_INPUTS] the gradient of that input was already written */
    /* rows of the token table whose gradients the last backward pass wrote; -1 of them: all, for all we know
     */
    int32_t *touched;
    int64_t touched_count;
} tc_runner;

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

/* ---- for operations */

/* The product of a node whose weight is prepared; false: it is not. */
bool tc_run_prepared(const tc_runner *r, const tc_node *n);
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

/* The mask of the node's site, or NULL. */
static inline const tc_real *tc_node_mask(const tc_runner *r, const tc_node *n) {
    return n->site ? r->mask + r->graph->sites->items[n->site - 1].offset : NULL;
}

#endif
