/* torch_storage.c - what the tensors of a PyTorch file are views of: storages, named by persistent ids in its
 * pickle; and the bytes of a tensor, which are made of its storage when they are first asked for. */
#include "store/torch_priv.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *global;
    tc_dtype dtype;
} types[] = {{"torch\nFloatStorage", TC_F32},     {"torch\nHalfStorage", TC_F16},
             {"torch\nBFloat16Storage", TC_BF16}, {"torch\nDoubleStorage", TC_F64},
             {"torch\nLongStorage", TC_I64},      {"torch\nIntStorage", TC_I32},
             {"torch\nShortStorage", TC_I16},     {"torch\nCharStorage", TC_I8},
             {"torch\nByteStorage", TC_U8},       {"torch\nBoolStorage", TC_BOOL}};

bool tc_storage_take_key(tc_storage *s, const tc_pickle *p, uint32_t node) {
    if (!tc_pickle_is(p, node, TC_P_STRING)) return false;
    size_t n = p->nodes[node].text.size;
    const uint8_t *text = p->data + p->nodes[node].text.start;
    if (n == 0 || n >= TC_STORAGE_KEY) return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    memcpy(s->key, text, n);
    s->key[n] = 0;
    return true;
}

static bool is_storage(const tc_pickle *p, uint32_t node, uint32_t part[6], uint32_t *n) {
    return tc_pickle_tuple(p, p->nodes[node].id, part, 5, 6, n) &&
           tc_pickle_text_is(p, part[0], TC_P_STRING, "storage");
}

static tc_status parse(tc_storage *out, const tc_pickle *p, uint32_t node, tc_error *err) {
    uint32_t part[6], n;
    int64_t numel;
    char text[160];
    *out = (tc_storage){0};
    if (!is_storage(p, node, part, &n))
        return tc_fail(err, TC_EFORMAT, "%s: a persistent id is not that of a storage", p->where);
    if (!tc_storage_take_key(out, p, part[2]))
        return tc_fail(err, TC_EFORMAT, "%s: the key of a storage is %s that is no decimal number", p->where,
                       tc_pickle_describe(p, part[2], text, sizeof text));
    size_t i = 0, ntypes = sizeof types / sizeof *types;
    while (i < ntypes && !tc_pickle_text_is(p, part[1], TC_P_GLOBAL, types[i].global)) i++;
    if (i == ntypes)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: storage %s is of the unknown type %s", p->where, out->key,
                       tc_pickle_describe(p, part[1], text, sizeof text));
    out->dtype = types[i].dtype;
    if (!tc_pickle_int(p, part[4], &numel) || numel < 0 ||
        !tc_mul((size_t)numel, tc_dtype_size(out->dtype), &out->bytes) || out->bytes > PTRDIFF_MAX)
        return tc_fail(err, TC_EFORMAT, "%s: the size of storage %s makes no sense", p->where, out->key);
    out->numel = (size_t)numel;
    if (n == 6 && !tc_pickle_is(p, part[5], TC_P_NONE))
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: storage %s is a view of another, which only PyTorch before 0.4 wrote", p->where,
                       out->key);
    return TC_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const tc_storage *)a)->key, ((const tc_storage *)b)->key);
}

tc_storage *tc_torch_find_storage(const tc_torch *t, const char *key) {
    tc_storage wanted = {0};
    snprintf(wanted.key, sizeof wanted.key, "%s", key);
    return t->storage_count ? bsearch(&wanted, t->storages, t->storage_count, sizeof wanted, by_key) : NULL;
}

tc_status tc_torch_collect_storages(tc_torch *t, const tc_pickle *p, tc_error *err) {
    size_t count = 0, n = 0;
    uint32_t part[6], parts;
    for (size_t i = 1; i < p->node_count; i++) count += p->nodes[i].kind == TC_P_STORAGE;
    t->storages = tc_new(count, sizeof *t->storages);
    if (!t->storages) return tc_fail_memory(err, count * sizeof *t->storages);
    for (size_t i = 1; i < p->node_count; i++) {
        if (p->nodes[i].kind != TC_P_STORAGE) continue;
        tc_status status = parse(&t->storages[n], p, (uint32_t)i, t->archive ? NULL : err);
        if (status == TC_OK) n++;
        else if (!t->archive && is_storage(p, (uint32_t)i, part, &parts)) return status;
    }
    if (n) qsort(t->storages, n, sizeof *t->storages, by_key);
    for (size_t i = 0; i < n; i++) {
        const tc_storage *s = &t->storages[i];
        tc_storage *last = t->storage_count ? &t->storages[t->storage_count - 1] : NULL;
        if (!last || strcmp(last->key, s->key) != 0) t->storages[t->storage_count++] = *s;
        else if (last->dtype != s->dtype || last->numel != s->numel)
            return tc_fail(err, TC_EFORMAT, "%s: storage %s is named with two types or sizes", p->where,
                           s->key);
    }
    return TC_OK;
}

/* data/KEY of the archive. */
static tc_status locate(const tc_torch *t, tc_storage *s, const tc_pickle *p, tc_error *err) {
    char name[TC_STORAGE_KEY + 8];
    snprintf(name, sizeof name, "data/%s", s->key);
    const tc_member *m = t->archive ? tc_archive_find(t->archive, name) : NULL;
    if (!m)
        return tc_fail(err, TC_EFORMAT, "%s: storage %s is missing (there is no %s)", p->where, s->key,
                       t->archive ? name : "such key in the list");
    tc_status status = tc_member_check_stored(&t->bytes, m, err);
    if (status != TC_OK) return status;
    if (m->size != s->bytes)
        return tc_fail(err, TC_EFORMAT, "%s: member '%s' has %zu bytes, its %zu elements of %s take %zu",
                       t->bytes.name, m->name, m->size, s->numel, tc_dtype_name(s->dtype), s->bytes);
    s->start = m->start;
    s->member = m;
    s->located = true;
    return TC_OK;
}

tc_status tc_torch_storage(tc_torch *t, const tc_pickle *p, uint32_t node, tc_storage **out, tc_error *err) {
    tc_storage wanted;
    tc_status status = parse(&wanted, p, node, err);
    if (status != TC_OK) return status;
    *out = tc_torch_find_storage(t, wanted.key);
    if (!*out) return tc_fail(err, TC_EFORMAT, "%s: storage %s is missing", p->where, wanted.key);
    return (*out)->located ? TC_OK : locate(t, *out, p, err);
}

/* ---- bytes of a tensor */

/* Elements of a strided view into row-major order. */
static void gather(const tc_tensor *t, const tc_lazy *l, const uint8_t *from, uint8_t *to) {
    size_t size = tc_dtype_size(t->dtype), at[TC_MAX_RANK] = {0}, place = l->offset;
    int last = t->ndim - 1;
    size_t inner = (size_t)t->shape[last], step = l->stride[last];
    for (size_t done = 0; done < t->bytes; done += inner * size) {
        const uint8_t *p = from + place * size;
        if (step == 1) memcpy(to + done, p, inner * size);
        else
            for (size_t i = 0; i < inner; i++) memcpy(to + done + i * size, p + i * step * size, size);
        for (int k = last - 1; k >= 0; k--) {
            place += l->stride[k];
            if (++at[k] < (size_t)t->shape[k]) break;
            place -= at[k] * l->stride[k];
            at[k] = 0;
        }
    }
}

static const uint8_t *fetch(const tc_tensor *t, tc_lazy *l, tc_error *err) {
    tc_torch *torch = l->torch;
    static const uint8_t nothing[1];
    if (!l->storage->checked && tc_member_check_crc(&torch->bytes, l->storage->member, err) != TC_OK)
        return NULL;
    l->storage->checked = true;
    if (t->bytes == 0) return nothing;
    const uint8_t *data = torch->bytes.data + l->storage->start;
    if (l->contiguous) return data + l->offset * tc_dtype_size(t->dtype);
    if (l->copy) return l->copy;
    if (torch->bytes.map && tc_map_check(torch->bytes.map, err) != TC_OK) return NULL;
    l->copy = malloc(t->bytes);
    if (l->copy) gather(t, l, data, l->copy);
    else tc_fail_memory(err, t->bytes);
    return l->copy;
}

const uint8_t *tc_torch_fetch(const tc_tensor *t, tc_error *err) {
    tc_lazy *l = t->lazy;
    pthread_mutex_lock(&l->torch->lock);
    const uint8_t *data = fetch(t, l, err);
    pthread_mutex_unlock(&l->torch->lock);
    return data;
}
