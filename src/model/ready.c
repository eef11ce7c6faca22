/* ready.c - a tower made ready for sessions: its graph, and its weights packed, which all sessions share. */
#include "graph/op.h"
#include "model/model.h"

#include <stdlib.h>

/* The values where they lie, if they can be used as they are; else NULL: tc_model_read says what is wrong, if
 * anything is. */
static const tc_real *value_in_place(const tc_model *m, size_t i) {
    if (m->flat) return m->flat + m->params.items[i].offset;
    const tc_origin *o = &m->origin[i];
    if (o->own) return o->own;
    if (sizeof(tc_real) != 4 || o->parts != 1 || o->transposed || o->part[0]->dtype != TC_F32) return NULL;
    const uint8_t *data = tc_tensor_data(o->part[0], NULL);
    return (uintptr_t)data % 4 == 0 ? (const tc_real *)(const void *)data : NULL;
}

void tc_model_release(tc_model *m, int tower) {
    tc_prepared_free(&m->prepared[tower]);
    tc_graph_free(&m->graph[tower]);
    for (size_t i = 0; i < m->params.count && m->owned && m->data; i++) {
        if (m->params.items[i].tower != tower) continue;
        if (m->owned[i]) free((void *)(uintptr_t)m->data[i]);
        m->data[i] = NULL;
        m->owned[i] = false;
    }
}

static bool used_as_it_is(const tc_graph *g, int param) {
    for (size_t i = 0; i < g->node_count; i++)
        for (int j = 0; j < TC_NODE_PARAMS; j++)
            if (g->nodes[i].param[j] == param && !g->nodes[i].op->product) return true;
    return false;
}

/* Vectors of one tower and what its nodes use as it is, token tables for example; matrices are found one by
 * one. */
static tc_status gather(tc_model *m, int tower, const tc_graph *g, tc_error *err) {
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        if (p->tower != tower || (p->ndim > 1 && !used_as_it_is(g, (int)i))) continue;
        m->data[i] = value_in_place(m, i);
        if (m->data[i]) continue;
        tc_real *values = tc_new_aligned((size_t)p->numel, sizeof *values);
        if (!values) return tc_fail_memory(err, (size_t)p->numel * sizeof *values);
        m->data[i] = values;
        m->owned[i] = true;
        tc_status status = tc_model_read(m, i, values, err);
        tc_model_let_go(m, i);
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

/* Room for the matrix that is being prepared, if it cannot be used where it lies. */
typedef struct matrices {
    const tc_model *model;
    tc_real *room;
    size_t size;
} matrices;

/* Half precision is widened on the way into the caches: numbers in memory would have to be written once and
 * read once more. */
static bool in_place(const tc_origin *o) {
    bool ok = sizeof(tc_real) == 4 && !o->own;
    for (int k = 0; k < o->parts && ok; k++) {
        tc_dtype dtype = o->part[k]->dtype;
        const uint8_t *data = dtype == o->part[0]->dtype && (dtype == TC_F32 || tc_dtype_widen(dtype))
                                  ? tc_tensor_data(o->part[k], NULL)
                                  : NULL;
        ok = data && (dtype != TC_F32 || (uintptr_t)data % 4 == 0);
    }
    return ok;
}

static tc_status find_matrix(void *user, int param, bool transposed, tc_weight *out, tc_error *err) {
    matrices *x = user;
    const tc_model *m = x->model;
    const tc_param *p = &m->params.items[param];
    const tc_origin *o = &m->origin[param];
    int64_t rows = p->shape[0], columns = rows ? p->numel / rows : 0;
    *out = (tc_weight){.part_rows = rows, .ld = columns, .transposed = transposed};
    if (m->flat) {
        out->part[0] = m->flat + p->offset;
        return TC_OK;
    }
    if (in_place(o)) {
        out->mapped = true;
        out->widen = tc_dtype_widen(o->part[0]->dtype);
        out->size = tc_dtype_size(o->part[0]->dtype);
        for (int k = 0; k < o->parts; k++) {
            out->part[k] = tc_tensor_data(o->part[k], NULL);
            out->mapped = out->mapped && tc_store_maps(m->store, o->part[k]);
        }
        out->part_rows = o->transposed ? columns : rows / o->parts;
        out->ld = o->transposed ? rows : columns;
        out->transposed = transposed != o->transposed;
        out->stays = true;
        return TC_OK;
    }
    if (!tc_grow(&x->room, &x->size, (size_t)p->numel, sizeof *x->room))
        return tc_fail_memory(err, (size_t)p->numel * sizeof *x->room);
    out->part[0] = x->room;
    tc_status status = tc_model_read(m, (size_t)param, x->room, err);
    tc_model_let_go(m, (size_t)param);
    return status;
}

static tc_status prepare_tower(tc_model *m, int tower, tc_error *err) {
    tc_graph **graph = &m->graph[tower];
    tc_status status = tc_net_graph(graph, tower, &m->config, &m->params, 0, err);
    if (status != TC_OK) return status;
    matrices x = {.model = m};
    tc_graph_fuse(*graph, false);
    status = gather(m, tower, *graph, err);
    if (status == TC_OK)
        status = tc_prepare(&m->prepared[tower], *graph, NULL, "f32", m->data,
                            &(tc_weight_source){find_matrix, &x}, err);
    free(x.room);
    return status;
}

tc_status tc_model_prepare(const tc_model *model, int tower, tc_error *err) {
    tc_model *m = (tc_model *)(uintptr_t)model; /* logically constant: guarded by the lock */
    tc_status status = TC_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->ready[tower]) {
        status = tc_model_check(m, err);
        if (!m->data) m->data = tc_new(m->params.count, sizeof *m->data);
        if (!m->owned) m->owned = tc_new(m->params.count, 1);
        if (!m->data || !m->owned) status = tc_fail_memory(err, m->params.count);
        if (status == TC_OK) status = prepare_tower(m, tower, err);
        m->ready[tower] = status == TC_OK;
        if (status != TC_OK) tc_model_release(m, tower);
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}
