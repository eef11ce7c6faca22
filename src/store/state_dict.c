/* state_dict.c - which tensors a pickle of PyTorch holds, and under which names.
 *
 * A state dict is a dict of tensors, or one that lies under state_dict, model_state_dict or model in a
 * training checkpoint. Everything beside it (optimizer, arguments, counters) is not looked at. In it, every
 * value must be a tensor or again such a dict, whose keys are joined with dots. In a TorchScript archive the
 * nesting of the module objects gives the names, and attributes that are no tensors are passed over.
 *
 * A tensor is what torch itself would load, within the bounds of its storage: strides may be 0 or overlap, as
 * those of an expanded tensor do. The copies that put such tensors into order are limited together, so that a
 * small file cannot ask for much memory. */
#include "store/torch_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 64,
    MAX_VISITS = 1 << 17,
    MAX_NAME = 1024,
    MAX_WRAPPERS = 4,
    COPIES_FLOOR = 1 << 26,
    COPIES_FACTOR = 4
};

typedef struct walker {
    tc_torch *torch;
    const tc_pickle *p;
    tc_tensor_list *list;
    char name[MAX_NAME];
    size_t length, visits;
    tc_error *err;
} walker;

static tc_status refuse(const walker *w, const char *rule) {
    return tc_fail(w->err, TC_EFORMAT, "%s: tensor '%.200s': %s", w->p->where, w->name, rule);
}

/* ---- one tensor */

static bool is_call_of(const tc_pickle *p, uint32_t node, const char *global) {
    return tc_pickle_is(p, node, TC_P_OBJECT) &&
           tc_pickle_text_is(p, p->nodes[node].object.callee, TC_P_GLOBAL, global);
}

/* The call of _rebuild_tensor_v2 that a value is, also within that of a Parameter; 0 if it is none. */
static uint32_t tensor_call(const tc_pickle *p, uint32_t node) {
    uint32_t args[3];
    if (is_call_of(p, node, "torch._utils\n_rebuild_parameter")) {
        if (!tc_pickle_tuple(p, p->nodes[node].object.args, args, 3, 3, NULL)) return 0;
        node = args[0];
    }
    return is_call_of(p, node, "torch._utils\n_rebuild_tensor_v2") ? node : 0;
}

/* A tuple of whole numbers, also within torch.Size. */
static tc_status read_axes(const walker *w, uint32_t node, const char *what, int64_t out[TC_MAX_RANK],
                           uint32_t *n) {
    uint32_t values[TC_MAX_RANK], inner;
    const tc_pickle *p = w->p;
    if (is_call_of(p, node, "torch\nSize") &&
        tc_pickle_tuple(p, p->nodes[node].object.args, &inner, 1, 1, NULL))
        node = inner;
    if (tc_pickle_is(p, node, TC_P_TUPLE) && p->nodes[node].items.count > TC_MAX_RANK)
        return tc_fail(w->err, TC_EFORMAT, "%s: tensor '%.200s' has %u axes, at most %d are supported",
                       p->where, w->name, (unsigned)p->nodes[node].items.count, TC_MAX_RANK);
    bool ok = tc_pickle_tuple(p, node, values, 0, TC_MAX_RANK, n);
    for (uint32_t i = 0; ok && i < *n; i++) ok = tc_pickle_int(p, values[i], &out[i]) && out[i] >= 0;
    return ok ? TC_OK
              : tc_fail(w->err, TC_EFORMAT,
                        "%s: tensor '%.200s': its %s is not a tuple of whole numbers >= 0", p->where, w->name,
                        what);
}

/* Does the last element lie within the storage? An empty tensor has none. */
static bool inside(const tc_tensor *t, const tc_lazy *l) {
    size_t last = l->offset, part;
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] == 0) return l->offset <= l->storage->numel;
    for (int i = 0; i < t->ndim; i++)
        if (!tc_mul((size_t)t->shape[i] - 1, l->stride[i], &part) || !tc_add(last, part, &last)) return false;
    return last < l->storage->numel;
}

static bool is_row_major(const tc_tensor *t, const tc_lazy *l) {
    size_t expected = 1;
    if (t->bytes == 0) return true;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && l->stride[i] != expected) return false;
        expected *= (size_t)t->shape[i];
    }
    return true;
}

/* Arguments of _rebuild_tensor_v2: storage, offset, size, stride, requires_grad, hooks [, metadata]. */
static tc_status read_tensor(walker *w, uint32_t node, tc_tensor *t, tc_lazy *l) {
    const tc_pickle *p = w->p;
    uint32_t args[7], n, m;
    int64_t offset, stride[TC_MAX_RANK];
    if (!tc_pickle_tuple(p, p->nodes[node].object.args, args, 4, 7, NULL) ||
        !tc_pickle_is(p, args[0], TC_P_STORAGE))
        return refuse(w, "it is not made from a storage, offset, size and stride");
    tc_status status = read_axes(w, args[2], "size", t->shape, &n);
    if (status == TC_OK) status = read_axes(w, args[3], "stride", stride, &m);
    if (status == TC_OK) status = tc_torch_storage(w->torch, p, args[0], &l->storage, w->err);
    if (status != TC_OK) return status;
    if (n != m) return refuse(w, "its size and stride differ in length");
    if (!tc_pickle_int(p, args[1], &offset) || offset < 0)
        return refuse(w, "its offset is not a whole number >= 0");
    t->ndim = (int)n;
    t->dtype = l->storage->dtype;
    l->offset = (size_t)offset;
    for (uint32_t i = 0; i < n; i++) l->stride[i] = (size_t)stride[i];
    if (!tc_tensor_bytes(t->dtype, t->ndim, t->shape, &t->bytes))
        return refuse(w, "its size is too large for any file");
    if (!inside(t, l)) {
        char rule[120];
        snprintf(rule, sizeof rule, "it reaches beyond storage %s of %zu elements", l->storage->key,
                 l->storage->numel);
        return refuse(w, rule);
    }
    l->contiguous = is_row_major(t, l);
    return TC_OK;
}

static bool count_copy(tc_torch *t, size_t bytes) {
    size_t limit =
        t->bytes.size < COPIES_FLOOR / COPIES_FACTOR ? COPIES_FLOOR : t->bytes.size * COPIES_FACTOR;
    return tc_add(t->copies, bytes, &t->copies) && t->copies <= limit;
}

static tc_status add_tensor(walker *w, uint32_t node) {
    tc_tensor t = {0};
    tc_lazy *l = tc_new(1, sizeof *l + w->length + 1);
    if (!l || !tc_grow(&w->list->at, &w->list->capacity, w->list->count + 1, sizeof t)) {
        free(l);
        return tc_fail_memory(w->err, sizeof *l);
    }
    l->torch = w->torch;
    l->next = w->torch->tensors;
    w->torch->tensors = l;
    memcpy(l->name, w->name, w->length + 1);
    t.name = l->name;
    t.fetch = tc_torch_fetch;
    t.lazy = l;
    tc_status status = read_tensor(w, node, &t, l);
    if (status == TC_OK && !l->contiguous && !count_copy(w->torch, t.bytes))
        status = refuse(w, "putting it and the other strided tensors into order takes far more memory than "
                           "the file has bytes");
    if (status == TC_OK) w->list->at[w->list->count++] = t;
    return status;
}

/* ---- names */

static bool is_text(const uint8_t *text, size_t n) {
    json_t *s = memchr(text, 0, n) ? NULL : json_stringn((const char *)text, n);
    json_decref(s);
    return s != NULL;
}

/* Appends a key to the name; the caller sets w->length back. */
static tc_status enter(walker *w, uint32_t key) {
    const tc_pickle *p = w->p;
    char text[160];
    if (++w->visits > MAX_VISITS)
        return tc_fail(w->err, TC_EFORMAT, "%s: more than %d entries in the state dict", p->where,
                       MAX_VISITS);
    if (!tc_pickle_is(p, key, TC_P_STRING))
        return tc_fail(w->err, TC_EFORMAT, "%s: below '%.200s': a key is %s, expected a string", p->where,
                       w->name, tc_pickle_describe(p, key, text, sizeof text));
    size_t n = p->nodes[key].text.size, dot = w->length > 0;
    const uint8_t *from = p->data + p->nodes[key].text.start;
    if (n >= MAX_NAME - w->length - dot)
        return tc_fail(w->err, TC_EFORMAT, "%s: below '%.200s': a name is longer than %d bytes", p->where,
                       w->name, MAX_NAME - 1);
    if (!is_text(from, n))
        return tc_fail(w->err, TC_EFORMAT, "%s: below '%.200s': a name is not UTF-8, or holds a NUL",
                       p->where, w->name);
    if (dot) w->name[w->length] = '.';
    memcpy(w->name + w->length + dot, from, n);
    w->length += n + dot;
    w->name[w->length] = 0;
    return TC_OK;
}

static void leave(walker *w, size_t length) {
    w->length = length;
    w->name[length] = 0;
}

static bool is_module(const tc_pickle *p, uint32_t node) {
    if (!tc_pickle_is(p, node, TC_P_OBJECT) || !tc_pickle_is(p, p->nodes[node].object.callee, TC_P_GLOBAL))
        return false;
    const tc_pnode *g = &p->nodes[p->nodes[node].object.callee];
    const char *name = (const char *)p->data + g->text.start;
    return g->text.size > 10 && memcmp(name, "__torch__", 9) == 0 && (name[9] == '.' || name[9] == '\n');
}

/* The dict that holds the parts of a value with parts, or 0. */
static uint32_t parts_of(const walker *w, uint32_t node, bool script) {
    if (!script) return tc_pickle_is(w->p, node, TC_P_DICT) ? node : 0;
    if (!is_module(w->p, node)) return 0;
    uint32_t state = w->p->nodes[node].object.state;
    return tc_pickle_is(w->p, state, TC_P_DICT) ? state : 0;
}

static tc_status walk(walker *w, uint32_t dict, bool script, int depth) {
    const tc_pickle *p = w->p;
    size_t length = w->length;
    if (depth > MAX_DEPTH) return refuse(w, "nested more than 64 deep, or holding itself");
    for (uint32_t i = p->nodes[dict].items.first; i; i = p->items[i].next) {
        uint32_t value = p->items[i].value;
        uint32_t tensor = tensor_call(p, value);
        uint32_t parts = parts_of(w, value, script);
        char text[160];
        tc_status status = enter(w, p->items[i].key);
        if (status != TC_OK) return status;
        if (tensor) status = add_tensor(w, tensor);
        else if (parts) status = walk(w, parts, script, depth + 1);
        else if (!script)
            status = tc_fail(w->err, TC_EFORMAT, "%s: '%.200s' is %s, expected a tensor", p->where, w->name,
                             tc_pickle_describe(p, value, text, sizeof text));
        if (status != TC_OK) return status;
        leave(w, length);
    }
    return TC_OK;
}

/* ---- where the state dict lies */

static bool holds_tensors(const tc_pickle *p, uint32_t dict) {
    for (uint32_t i = p->nodes[dict].items.first; i; i = p->items[i].next)
        if (tensor_call(p, p->items[i].value)) return true;
    return false;
}

/* Tensors beside a state_dict are training state (a random generator's, say); beside a model they may be
 * weights, and it is one of their names. */
static uint32_t unwrap_once(const tc_pickle *p, uint32_t node) {
    static const char *const sure[] = {"state_dict", "model_state_dict"};
    uint32_t inner;
    for (size_t i = 0; i < sizeof sure / sizeof *sure; i++)
        if ((inner = tc_pickle_get(p, node, sure[i])) && !tensor_call(p, inner)) return inner;
    return holds_tensors(p, node) ? 0 : tc_pickle_get(p, node, "model");
}

static uint32_t unwrap(const tc_pickle *p, uint32_t node) {
    for (int depth = 0; depth < MAX_WRAPPERS && tc_pickle_is(p, node, TC_P_DICT); depth++) {
        uint32_t inner = unwrap_once(p, node);
        if (!inner) break;
        node = inner;
    }
    return node;
}

tc_status tc_state_dict_read(tc_torch *t, const tc_pickle *p, bool script, tc_tensor_list *list,
                             tc_error *err) {
    walker *w = tc_new(1, sizeof *w);
    char text[160];
    if (!w) return tc_fail_memory(err, sizeof *w);
    *w = (walker){.torch = t, .p = p, .list = list, .err = err};
    uint32_t root = script ? p->root : unwrap(p, p->root), dict = parts_of(w, root, script);
    tc_status status = dict ? walk(w, dict, script, 1)
                            : tc_fail(err, TC_EFORMAT, "%s: holds %s, expected a %s", p->where,
                                      tc_pickle_describe(p, root, text, sizeof text),
                                      script ? "TorchScript module" : "dict of tensors");
    free(w);
    return status;
}
