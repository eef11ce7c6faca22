/* run.c - runs a graph forwards and backwards over memory that was planned beforehand. */
#include "graph/op.h"
#include "graph/plan.h"

#include <stdlib.h>

static bool set_up(tc_runner *r) {
    const tc_graph *g = r->graph;
    for (size_t i = 0; i < g->node_count; i++) {
        const tc_op *op = g->nodes[i].op;
        if (op->setup && !(r->state[i] = op->setup(r, &g->nodes[i]))) return false;
    }
    return true;
}

tc_status tc_runner_create(tc_runner **out, const tc_graph *g, const tc_real *const *param,
                           tc_real *const *param_grad, const tc_prepared *prepared, bool keep_all,
                           tc_error *err) {
    *out = NULL;
    tc_runner *r = tc_new(1, sizeof *r);
    if (r) {
        r->value = tc_new(g->value_count, sizeof *r->value);
        r->grad = tc_new(g->value_count, sizeof *r->grad);
        r->aux = tc_new(g->node_count, sizeof *r->aux);
        r->state = tc_new(g->node_count, sizeof *r->state);
        r->graph = g;
        r->kern = prepared ? prepared->kern : tc_kern_get();
    }
    if (!r || !r->value || !r->grad || !r->aux || !r->state || (!prepared && !set_up(r))) {
        tc_runner_free(&r);
        return tc_fail_memory(err, sizeof *r);
    }
    r->param = param;
    r->param_grad = param_grad;
    r->prepared = prepared;
    r->train = param_grad != NULL;
    r->keep_all = keep_all;
    r->touched_count = -1;
    *out = r;
    return TC_OK;
}

static void release_buffers(tc_runner *r) {
    for (int i = 0; i < TC_SPACES; i++) {
        free(r->offsets[i]);
        r->offsets[i] = NULL;
    }
    free(r->first_row);
    free(r->last_row);
    free(r->arena);
    free(r->accumulate);
    r->first_row = r->last_row = NULL;
    r->arena = NULL;
    r->accumulate = NULL;
    r->batch_capacity = 0;
    r->ragged_capacity = 0;
}

void tc_runner_free(tc_runner **out) {
    tc_runner *r = *out;
    if (!r) return;
    release_buffers(r);
    free(r->value);
    free(r->grad);
    free(r->aux);
    for (size_t i = 0; r->state && i < r->graph->node_count; i++)
        if (r->state[i]) r->graph->nodes[i].op->release(r, r->state[i]);
    free(r->state);
    free(r->touched);
    free(r);
    *out = NULL;
}

size_t tc_runner_memory(const tc_graph *g, bool train, int batch, int64_t ragged_rows) {
    tc_plan plan;
    if (!tc_plan_make(&plan, g, train, false, batch, ragged_rows)) return SIZE_MAX;
    size_t bytes = plan.bytes;
    tc_plan_free(&plan);
    return bytes;
}

static bool make_offsets(tc_runner *r, int batch) {
    const tc_graph *g = r->graph;
    for (int i = 0; i < g->space_count; i++) {
        if (!g->spaces[i].per_seq) continue;
        if ((int64_t)batch * g->spaces[i].per_seq > INT32_MAX) return false;
        r->offsets[i] = tc_new((size_t)batch + 1, sizeof(int32_t));
        if (!r->offsets[i]) return false;
        for (int s = 0; s <= batch; s++) r->offsets[i][s] = s * g->spaces[i].per_seq;
    }
    r->first_row = tc_new((size_t)batch, sizeof *r->first_row);
    r->last_row = tc_new((size_t)batch, sizeof *r->last_row);
    return r->first_row && r->last_row;
}

static void bind(tc_runner *r, const tc_plan *plan) {
    const tc_graph *g = r->graph;
    for (size_t v = 0; v < g->value_count; v++) {
        r->value[v] =
            plan->value[v] == TC_PLAN_NOWHERE ? NULL : (tc_real *)(void *)(r->arena + plan->value[v]);
        r->grad[v] = plan->grad[v] == TC_PLAN_NOWHERE ? NULL : (tc_real *)(void *)(r->arena + plan->grad[v]);
    }
    for (size_t i = 0; i < g->node_count; i++)
        r->aux[i] = plan->aux[i] == TC_PLAN_NOWHERE ? NULL : (tc_real *)(void *)(r->arena + plan->aux[i]);
}

/* Room for a pass of this size; what is there already is kept if it is large enough. */
static tc_status reserve(tc_runner *r, int batch, int64_t ragged, tc_error *err) {
    if (batch <= r->batch_capacity && ragged <= r->ragged_capacity) return TC_OK;
    if (batch < r->batch_capacity) batch = r->batch_capacity;
    if (ragged < r->ragged_capacity) ragged = r->ragged_capacity;
    /* Captions vary from batch to batch: some slack makes growing rare. */
    if (r->ragged_capacity && ragged > r->ragged_capacity) ragged += ragged / 4;
    tc_plan plan;
    release_buffers(r);
    if (!tc_plan_make(&plan, r->graph, r->train, r->keep_all, batch, ragged))
        return tc_fail(err, TC_ENOMEM, "no memory plan for a batch of %d: too large, or memory ran out",
                       batch);
    r->arena = tc_new_aligned(plan.bytes, 1);
    r->arena_bytes = plan.bytes;
    int32_t *touched = r->train ? realloc(r->touched, (size_t)(ragged + 1) * sizeof *touched) : NULL;
    if (touched) r->touched = touched;
    if (!r->arena || !make_offsets(r, batch) || (r->train && !touched)) {
        tc_plan_free(&plan);
        release_buffers(r);
        return tc_fail(err, TC_ENOMEM, "out of memory: a batch of %d needs %zu MB", batch, plan.bytes >> 20);
    }
    bind(r, &plan);
    r->accumulate = plan.accumulate;
    plan.accumulate = NULL;
    tc_plan_free(&plan);
    r->batch_capacity = batch;
    r->ragged_capacity = ragged;
    return TC_OK;
}

static void set_rows(tc_runner *r, const tc_feed *feed, int64_t ragged) {
    const tc_graph *g = r->graph;
    for (int i = 0; i < g->space_count; i++) {
        int per_seq = g->spaces[i].per_seq;
        r->rows[i] = per_seq ? (int64_t)per_seq * feed->batch : ragged;
        r->seq[i] = per_seq ? r->offsets[i] : feed->seq;
    }
    for (int s = 0; s < feed->batch && feed->seq; s++) r->last_row[s] = feed->seq[s + 1] - feed->seq[s] - 1;
    r->pick_row[TC_PICK_ALL] = NULL;
    r->pick_row[TC_PICK_FIRST] = r->first_row;
    r->pick_row[TC_PICK_LAST] = r->last_row;
    r->batch = feed->batch;
    r->ids = feed->ids;
}

tc_status tc_runner_forward(tc_runner *r, const tc_feed *feed, tc_error *err) {
    const tc_graph *g = r->graph;
    int64_t ragged = feed->seq ? feed->seq[feed->batch] : 0;
    if (g->sites && (!r->mask || (r->train && !r->mask_grad)))
        return tc_fail(err, TC_EARG, "a graph with masks is run without them");
    tc_status status = reserve(r, feed->batch, ragged, err);
    if (status != TC_OK) return status;
    set_rows(r, feed, ragged);
    /* The input is read, never written. */
    if (g->input >= 0) r->value[g->input] = (tc_real *)(uintptr_t)feed->pixels;
    for (size_t i = 0; i < g->node_count; i++) g->nodes[i].op->forward(r, &g->nodes[i]);
    return TC_OK;
}

bool tc_run_prepared(const tc_runner *r, const tc_node *n) {
    tc_packed *packed = r->prepared ? r->prepared->packed[tc_node_index(r, n)] : NULL;
    int64_t rows = tc_rows_of(r, n->out), width = tc_width_of(r, n->out);
    tc_real *y = r->value[n->out];
    if (!packed) return false;
    /* The plan puts the result over the residual, unless every value is kept. */
    if (n->add && y != r->value[n->in[1]]) r->kern->copy(rows * width, r->value[n->in[1]], y);
    tc_packed_run(packed, tc_rows_of(r, n->in[0]), r->value[n->in[0]], tc_width_of(r, n->in[0]), y, width);
    return true;
}

const tc_real *tc_runner_output(const tc_runner *r) { return r->value[r->graph->output]; }

tc_real *tc_runner_output_grad(const tc_runner *r) { return r->grad[r->graph->output]; }

void tc_runner_backward(tc_runner *r) {
    const tc_graph *g = r->graph;
    /* Kernels add to biases and norms; matrices are written by their one product. */
    for (size_t i = 0; i < g->node_count; i++)
        for (int j = 0; j < 2; j++) {
            int id = g->nodes[i].param[j];
            if (id < 0 || g->params->items[id].ndim > 1) continue;
            r->kern->zero(g->params->items[id].numel, r->param_grad[id]);
        }
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].op->before_backward) g->nodes[i].op->before_backward(r, &g->nodes[i]);
    for (size_t i = g->node_count; i-- > 0;) {
        const tc_node *n = &g->nodes[i];
        if (n->op->backward && g->values[n->out].needs_grad) n->op->backward(r, n);
    }
}

void tc_runner_update_state(const tc_runner *r, tc_real *flat) {
    const tc_graph *g = r->graph;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].op->update) g->nodes[i].op->update(r, &g->nodes[i], flat);
}
