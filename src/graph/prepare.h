/* prepare.h - the weights of a graph made ready for inference. */
#ifndef TC_PREPARE_H
#define TC_PREPARE_H

#include "graph/graph.h"

/* Weights made ready for inference; shared between runners. */
typedef struct tc_prepared {
    tc_packed **packed; /* [node_count] of nodes whose operation is a product, else NULL */
    size_t count;
    const tc_kern *kern;
} tc_prepared;
/* Where the weights of products lie, if not in `param`: transposed as the node wants
 * them. What it gives is valid until the next call, or for good if it `stays`. */
typedef struct tc_weight_source {
    tc_status (*get)(void *user, int param, bool transposed, tc_weight *out, tc_error *err);
    void *user;
} tc_weight_source;
/* Node by node in the form that does its product in these numbers ("f32"; see tc_form_choose). kern NULL: the
 * table in use. param[i] is the data of parameter i; with a source those of weights may be NULL. */
tc_status tc_prepare(tc_prepared *out, const tc_graph *g, const tc_kern *kern, const char *numbers,
                     const tc_real *const *param, const tc_weight_source *source, tc_error *err);
/* What the packed weights take of memory so far. */
size_t tc_prepared_bytes(const tc_prepared *p);
void tc_prepared_free(tc_prepared *p);

#endif
