/* plan.h - where the values of a graph lie in memory. */
#ifndef TC_PLAN_H
#define TC_PLAN_H

#include "graph/graph.h"

enum { TC_PLAN_NOWHERE = -1 };

/* Offsets in bytes into one arena, or TC_PLAN_NOWHERE. */
typedef struct tc_plan {
    int64_t *value, *grad; /* [value_count] */
    int64_t *aux;          /* [node_count] */
    bool *accumulate;      /* [node_count][TC_NODE_INPUTS] */
    size_t bytes;
} tc_plan;

/* False if memory ran out or a size overflows. */
bool tc_plan_make(tc_plan *p, const tc_graph *g, bool train, bool keep_all, int batch, int64_t ragged_rows);
void tc_plan_free(tc_plan *p);

#endif
