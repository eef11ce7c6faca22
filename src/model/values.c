/* values.c - the values of a model's parameters, wherever they lie. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

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
