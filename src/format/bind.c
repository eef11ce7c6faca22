/* bind.c - binds the tensors of a checkpoint to a model's parameters. Every parameter of the configuration
 * must be found with its shape, and every tensor of the file must be used; nothing else counts as opened. */
#include "format/bind.h"

#include <string.h>

static bool numeric(tc_dtype d) { return d == TC_F32 || d == TC_F16 || d == TC_BF16 || d == TC_F64; }

/* Counters are kept as numbers of the program, which are whole up to 2^24. */
static tc_status check_counter(const tc_model *m, const tc_tensor *t, tc_error *err) {
    int64_t value;
    if (t->dtype != TC_I64)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' has dtype %s, expected I64", m->path, t->name,
                       tc_dtype_name(t->dtype));
    if (!tc_tensor_read_i64(t, 0, 1, &value) || value < 0 || value > 1 << 24)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' must be a count from 0 to 16777216", m->path,
                       t->name);
    return TC_OK;
}

static tc_status check_tensor(const tc_model *m, const tc_tensor *t, int ndim, const int64_t *shape,
                              bool counter, tc_error *err) {
    char a[96], b[96];
    bool same = t->ndim == ndim;
    for (int i = 0; i < ndim && same; i++) same = t->shape[i] == shape[i];
    if (ndim == 0 && t->ndim == 1 && t->shape[0] == 1) same = true; /* a scalar written as [1] */
    if (!same)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is %s, expected %s", m->path, t->name,
                       tc_shape_text(t->ndim, t->shape, a, sizeof a),
                       tc_shape_text(ndim, shape, b, sizeof b));
    if (counter) return check_counter(m, t, err);
    if (!numeric(t->dtype))
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' has dtype %s, expected a floating-point one",
                       m->path, t->name, tc_dtype_name(t->dtype));
    return TC_OK;
}

/* Finds the tensors of parameter i: one, or the three that Hugging Face makes of a fused projection. */
static tc_status bind_param(tc_model *m, size_t i, const tc_layout *l, tc_error *err) {
    const tc_param *p = &m->params.items[i];
    tc_origin *o = &m->origin[i];
    char name[160];
    o->parts = 1;
    for (int part = 0; part < o->parts; part++) {
        tc_named *n = tc_layout_find(l, p->name, part);
        if (!n)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is missing", m->path,
                           tc_layout_spelling(l, p->name, part, name, sizeof name));
        o->part[part] = n->tensor;
        o->parts = n->is.parts;
        o->transposed = n->is.transposed;
        n->used = true;
    }
    int64_t shape[TC_PARAM_RANK];
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[o->transposed ? 1 - k : k];
    if (o->parts == 3) shape[0] /= 3;
    for (int part = 0; part < o->parts; part++) {
        tc_status status = check_tensor(m, o->part[part], p->ndim, shape, tc_param_is_counter(p), err);
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

static bool is_idle(const tc_config *c, const char *name) {
    const tc_tower_family *vision = c->vision.family, *text = c->text.family;
    return tc_names_ignored(name) || (vision->is_idle && vision->is_idle(c, name)) ||
           (text->is_idle && text->is_idle(c, name));
}

tc_status tc_bind(tc_model *m, const tc_layout *l, tc_error *err) {
    for (size_t i = 0; i < m->params.count; i++) {
        tc_status status = bind_param(m, i, l, err);
        if (status != TC_OK) return status;
    }
    for (size_t i = 0; i < l->count; i++) {
        const tc_named *n = &l->items[i];
        if (!n->used && !is_idle(&m->config, n->is.name))
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is not part of the configured model", m->path,
                           n->tensor->name);
    }
    return TC_OK;
}
