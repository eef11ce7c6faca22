/* model.c - life of a model: creation, reading of its values, and the packed weights that sessions share. */
#include "graph/op.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

tc_open_options tc_open_options_default(void) { return (tc_open_options){0}; }

tc_status tc_model_new(tc_model **out, const tc_config *c, tc_error *err) {
    tc_model *m = tc_new(1, sizeof *m);
    *out = NULL;
    if (!m) return tc_fail_memory(err, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->config = *c;
    m->preprocess = tc_preprocess_default(c->image_size);
    tc_status status = tc_net_params(&m->params, c, err);
    if (status == TC_OK && !(m->origin = tc_new(m->params.count, sizeof *m->origin)))
        status = tc_fail_memory(err, m->params.count * sizeof *m->origin);
    if (status != TC_OK) {
        tc_model_close(&m);
        return status;
    }
    *out = m;
    return TC_OK;
}

tc_status tc_model_new_flat(tc_model **out, const tc_config *c, tc_error *err) {
    tc_status status = tc_model_new(out, c, err);
    if (status != TC_OK) return status;
    (*out)->flat = tc_new_aligned((size_t)(*out)->params.total, sizeof(tc_real));
    if ((*out)->flat) return TC_OK;
    status = tc_fail_memory(err, (size_t)(*out)->params.total * sizeof(tc_real));
    tc_model_close(out);
    return status;
}

/* All that was made for sessions. */
static void release_tower(tc_model *m, int tower, tc_graph **graph, tc_prepared *prepared) {
    tc_prepared_free(prepared);
    tc_graph_free(graph);
    for (size_t i = 0; i < m->params.count && m->owned && m->data; i++) {
        if (m->params.items[i].tower != tower) continue;
        if (m->owned[i]) free((void *)(uintptr_t)m->data[i]);
        m->data[i] = NULL;
        m->owned[i] = false;
    }
}

void tc_model_close(tc_model **out) {
    tc_model *m = *out;
    if (!m) return;
    release_tower(m, TC_TOWER_VISION, &m->image, &m->image_prepared);
    release_tower(m, TC_TOWER_TEXT, &m->text, &m->text_prepared);
    free(m->data);
    free(m->owned);
    tc_store_close(&m->store);
    for (size_t i = 0; i < m->params.count && m->origin; i++) free(m->origin[i].own);
    tc_params_free(&m->params);
    free(m->origin);
    free(m->activation_source);
    free(m->flat);
    free(m->path);
    free(m->source);
    free(m->tokenizer_dir);
    free(m->vocab);
    free(m->merges);
    free(m->card);
    pthread_mutex_destroy(&m->lock);
    free(m);
    *out = NULL;
}

/* ---- values */

static bool read_transposed(const tc_tensor *t, const tc_param *p, tc_real *out) {
    int64_t rows = p->shape[0], columns = p->shape[1];
    tc_real *stored = tc_new_aligned((size_t)p->numel, sizeof *stored);
    bool ok = stored && tc_tensor_read(t, 0, p->numel, stored);
    for (int64_t i = 0; ok && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) out[i * columns + j] = stored[j * rows + i];
    free(stored);
    return ok;
}

tc_status tc_model_check(const tc_model *m, tc_error *err) {
    return m->store ? tc_store_check(m->store, err) : TC_OK;
}

tc_status tc_model_read(const tc_model *m, size_t i, tc_real *out, tc_error *err) {
    const tc_param *p = &m->params.items[i];
    if (m->flat) {
        memcpy(out, m->flat + p->offset, (size_t)p->numel * sizeof *out);
        return TC_OK;
    }
    const tc_origin *o = &m->origin[i];
    if (o->own) {
        memcpy(out, o->own, (size_t)p->numel * sizeof *out);
        return TC_OK;
    }
    tc_status status = tc_model_check(m, err);
    if (status != TC_OK) return status;
    for (int k = 0; k < o->parts; k++)
        if (!tc_tensor_data(o->part[k], err)) return err ? err->status : TC_EFORMAT;
    bool ok = true;
    if (o->transposed) {
        ok = read_transposed(o->part[0], p, out);
    } else {
        for (int k = 0; k < o->parts && ok; k++) {
            int64_t n = tc_tensor_numel(o->part[k]);
            ok = tc_tensor_read(o->part[k], 0, n, out);
            out += n;
        }
    }
    return ok ? TC_OK
              : tc_fail(err, TC_EUNSUPPORTED, "%s: tensor '%s' of dtype %s cannot be read as numbers",
                        m->path, o->part[0]->name, tc_dtype_name(o->part[0]->dtype));
}

void tc_model_let_go(const tc_model *m, size_t i) {
    for (int k = 0; k < m->origin[i].parts && m->store; k++) tc_store_let_go(m->store, m->origin[i].part[k]);
}

tc_status tc_model_hash(const tc_model *m, uint64_t *hash, tc_error *err) {
    int64_t most = 0;
    for (size_t i = 0; i < m->params.count; i++)
        most = m->params.items[i].numel > most ? m->params.items[i].numel : most;
    tc_real *values = tc_new_aligned((size_t)most, sizeof *values);
    tc_status status = values ? TC_OK : tc_fail_memory(err, (size_t)most * sizeof *values);
    *hash = 0;
    for (size_t i = 0; i < m->params.count && status == TC_OK; i++) {
        status = tc_model_read(m, i, values, err);
        if (status == TC_OK)
            *hash = tc_checksum(*hash, values, (size_t)m->params.items[i].numel * sizeof *values);
        tc_model_let_go(m, i);
    }
    free(values);
    return status;
}

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

/* ---- prepared weights */

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

static tc_status prepare_tower(tc_model *m, int tower, tc_graph **graph, tc_prepared *prepared,
                               tc_error *err) {
    tc_status status = tower == TC_TOWER_VISION ? tc_net_image_graph(graph, &m->config, &m->params, 0, err)
                                                : tc_net_text_graph(graph, &m->config, &m->params, 0, err);
    if (status != TC_OK) return status;
    matrices x = {.model = m};
    tc_graph_fuse(*graph, false);
    status = gather(m, tower, *graph, err);
    if (status == TC_OK)
        status =
            tc_prepare(prepared, *graph, NULL, "f32", m->data, &(tc_weight_source){find_matrix, &x}, err);
    free(x.room);
    return status;
}

tc_status tc_model_prepare(const tc_model *model, int tower, tc_error *err) {
    tc_model *m = (tc_model *)(uintptr_t)model; /* logically constant: guarded by the lock */
    tc_graph **graph = tower == TC_TOWER_VISION ? &m->image : &m->text;
    tc_prepared *prepared = tower == TC_TOWER_VISION ? &m->image_prepared : &m->text_prepared;
    tc_status status = TC_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->ready[tower]) {
        status = tc_model_check(m, err);
        if (!m->data) m->data = tc_new(m->params.count, sizeof *m->data);
        if (!m->owned) m->owned = tc_new(m->params.count, 1);
        if (!m->data || !m->owned) status = tc_fail_memory(err, m->params.count);
        if (status == TC_OK) status = prepare_tower(m, tower, graph, prepared, err);
        m->ready[tower] = status == TC_OK;
        if (status != TC_OK) release_tower(m, tower, graph, prepared);
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

/* ---- copies */

/* Everything beside the weights. */
tc_status tc_model_copy_settings(tc_model *to, const tc_model *from, tc_error *err) {
    to->preprocess = from->preprocess;
    to->tokenizer_kind = from->tokenizer_kind;
    if (from->tokenizer_dir && !(to->tokenizer_dir = tc_strdup(from->tokenizer_dir)))
        return tc_fail_memory(err, 1);
    if (from->activation_source && !(to->activation_source = tc_strdup(from->activation_source)))
        return tc_fail_memory(err, 1);
    to->activation_assumed = from->activation_assumed;
    if (from->vocab && (!(to->vocab = tc_strdup(from->vocab)) || !(to->merges = tc_strdup(from->merges))))
        return tc_fail_memory(err, 1);
    return TC_OK;
}

tc_status tc_model_copy(tc_model **out, const tc_model *m, tc_error *err) {
    tc_status status = tc_model_new_flat(out, &m->config, err);
    if (status != TC_OK) return status;
    for (size_t i = 0; i < m->params.count && status == TC_OK; i++) {
        status = tc_model_read(m, i, (*out)->flat + m->params.items[i].offset, err);
        tc_model_let_go(m, i);
    }
    if (status == TC_OK) status = tc_model_copy_settings(*out, m, err);
    if (status == TC_OK && !((*out)->source = tc_strdup(m->source))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_finish(*out, err);
    if (status != TC_OK) tc_model_close(out);
    return status;
}
