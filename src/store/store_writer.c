/* store_writer.c - writes a .safetensors file, byte for byte as the reference does: tensors in descending
 * order of their type, which descends by element size, then by name. With a header padded to 8 bytes every
 * tensor is then aligned to its element. */
#include "store/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* A tensor to be written: its bytes are there, or are made by `fill`. */
typedef struct entry {
    tc_tensor tensor; /* the name is a copy */
    tc_st_fill fill;
    void *user;
    size_t item;
} entry;

struct tc_st_writer {
    entry *entries;
    size_t count, capacity;
    json_t *metadata;
};

/* The file as it is written, with the checksum of all its bytes; a piece that does not end on a word waits in
 * `rest`. */
typedef struct sink {
    tc_writer *writer;
    uint64_t checksum;
    uint8_t rest[8];
    size_t nrest;
} sink;

tc_status tc_st_writer_create(tc_st_writer **out, tc_error *err) {
    tc_st_writer *w = tc_new(1, sizeof *w);
    *out = w;
    if (w && (w->metadata = json_object())) return TC_OK;
    tc_st_writer_abort(out);
    return tc_fail_memory(err, sizeof *w);
}

void tc_st_writer_abort(tc_st_writer **w) {
    if (!*w) return;
    for (size_t i = 0; i < (*w)->count; i++) free((char *)(uintptr_t)(*w)->entries[i].tensor.name);
    free((*w)->entries);
    json_decref((*w)->metadata);
    free(*w);
    *w = NULL;
}

static tc_status add_entry(tc_st_writer *w, const char *name, entry e, const int64_t *shape, tc_error *err) {
    tc_tensor *t = &e.tensor;
    if (t->ndim < 0 || t->ndim > TC_MAX_RANK)
        return tc_fail(err, TC_EARG, "tensor '%.200s': %d axes, at most %d can be written", name, t->ndim,
                       TC_MAX_RANK);
    if (strcmp(name, "__metadata__") == 0)
        return tc_fail(err, TC_EARG, "a tensor cannot be named __metadata__");
    if (t->ndim) memcpy(t->shape, shape, (size_t)t->ndim * sizeof *shape);
    if (!tc_tensor_bytes(t->dtype, t->ndim, t->shape, &t->bytes))
        return tc_fail(err, TC_EARG, "tensor '%.200s': its shape makes no sense", name);
    if (!tc_grow(&w->entries, &w->capacity, w->count + 1, sizeof e) || !(t->name = tc_strdup(name)))
        return tc_fail_memory(err, sizeof e);
    w->entries[w->count++] = e;
    return TC_OK;
}

tc_status tc_st_writer_add(tc_st_writer *w, const char *name, tc_dtype dtype, int ndim, const int64_t *shape,
                           const void *data, tc_error *err) {
    return add_entry(w, name, (entry){.tensor = {.dtype = dtype, .ndim = ndim, .data = data}}, shape, err);
}

tc_status tc_st_writer_add_later(tc_st_writer *w, const char *name, tc_dtype dtype, int ndim,
                                 const int64_t *shape, tc_st_fill fill, void *user, size_t item,
                                 tc_error *err) {
    return add_entry(
        w, name, (entry){.tensor = {.dtype = dtype, .ndim = ndim}, .fill = fill, .user = user, .item = item},
        shape, err);
}

tc_status tc_st_writer_metadata(tc_st_writer *w, const char *key, const char *value, tc_error *err) {
    if (json_object_set_new(w->metadata, key, json_string(value)) == 0) return TC_OK;
    return tc_fail(err, TC_EARG, "metadata '%.200s' is not UTF-8 (or memory ran out)", key);
}

/* The reference's order of types, of those that can be written. */
static const uint8_t type_order[] = {
    [TC_BOOL] = 0, [TC_U8] = 1,   [TC_I8] = 2,   [TC_F8_E5M2] = 3, [TC_F8_E4M3] = 4,
    [TC_I16] = 5,  [TC_U16] = 6,  [TC_F16] = 7,  [TC_BF16] = 8,    [TC_I32] = 9,
    [TC_U32] = 10, [TC_F32] = 11, [TC_F64] = 12, [TC_I64] = 13,    [TC_U64] = 14,
};

static int in_file_order(const void *pa, const void *pb) {
    const tc_tensor *a = &((const entry *)pa)->tensor, *b = &((const entry *)pb)->tensor;
    if (a->dtype != b->dtype) return type_order[a->dtype] > type_order[b->dtype] ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int describe(json_t *root, const tc_tensor *t, size_t start) {
    json_t *shape = json_array(), *info;
    for (int i = 0; i < t->ndim; i++)
        if (json_array_append_new(shape, json_integer(t->shape[i])) != 0) break;
    if (json_array_size(shape) != (size_t)t->ndim) {
        json_decref(shape);
        return -1;
    }
    info = json_pack("{s:s, s:o, s:[I,I]}", "dtype", tc_dtype_name(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)start, (json_int_t)(start + t->bytes));
    return json_object_set_new(root, t->name, info);
}

/* The header's JSON, padded with spaces so that 8 + N is a multiple of 8. */
static tc_status make_header(const tc_st_writer *w, const char *path, tc_buf *out, tc_error *err) {
    json_t *root = json_object();
    size_t at = 0;
    tc_status status = TC_OK;
    if (!root) return tc_fail_memory(err, sizeof(void *));
    if (json_object_size(w->metadata) && json_object_set(root, "__metadata__", w->metadata) != 0)
        status = tc_fail_memory(err, sizeof(void *));
    for (size_t i = 0; i < w->count && status == TC_OK; i++) {
        const tc_tensor *t = &w->entries[i].tensor;
        size_t start = at;
        if (json_object_get(root, t->name))
            status = tc_fail(err, TC_EARG, "%s: tensor '%.200s' is to be written twice", path, t->name);
        else if (!tc_add(at, t->bytes, &at) || at > PTRDIFF_MAX)
            status = tc_fail(err, TC_EARG, "%s: too large for any file", path);
        else if (describe(root, t, start) != 0)
            status = tc_fail(err, TC_EARG, "%s: tensor name '%.200s' is not UTF-8 (or memory ran out)", path,
                             t->name);
    }
    char *text = status == TC_OK ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (status != TC_OK) return status;
    if (text) tc_buf_puts(out, text);
    while (text && out->size % 8 != 0 && !out->failed) tc_buf_puts(out, " ");
    free(text);
    if (!text || out->failed) return tc_fail_memory(err, out->size);
    if (out->size > TC_ST_HEADER_LIMIT)
        return tc_fail(err, TC_EARG, "%s: header of %zu bytes, more than the limit of %d", path, out->size,
                       TC_ST_HEADER_LIMIT);
    return TC_OK;
}

static void sink_add(sink *s, const void *data, size_t size) {
    const uint8_t *p = data;
    tc_writer_add(s->writer, data, size);
    while (s->nrest && s->nrest < 8 && size) {
        s->rest[s->nrest++] = *p++;
        size--;
    }
    if (s->nrest == 8) {
        s->checksum = tc_checksum(s->checksum, s->rest, 8);
        s->nrest = 0;
    }
    if (s->nrest || size == 0) return;
    size_t whole = size / 8 * 8;
    s->checksum = tc_checksum(s->checksum, p, whole);
    s->nrest = size - whole;
    memcpy(s->rest, p + whole, s->nrest);
}

static tc_status write_tensors(const tc_st_writer *w, sink *s, tc_error *err) {
    size_t most = 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->entries[i].fill && w->entries[i].tensor.bytes > most) most = w->entries[i].tensor.bytes;
    uint8_t *made = tc_new_aligned(most, 1);
    if (!made) return tc_fail_memory(err, most);
    tc_status status = TC_OK;
    for (size_t i = 0; i < w->count && status == TC_OK; i++) {
        const entry *e = &w->entries[i];
        if (e->fill) status = e->fill(e->user, e->item, made, err);
        if (status == TC_OK) sink_add(s, e->fill ? made : e->tensor.data, e->tensor.bytes);
    }
    free(made);
    return status;
}

tc_status tc_st_writer_commit(tc_st_writer **out, const char *path, uint64_t *checksum, tc_error *err) {
    tc_st_writer *w = *out;
    tc_buf header = {0};
    sink s = {0};
    if (w->count) qsort(w->entries, w->count, sizeof *w->entries, in_file_order);
    tc_status status = make_header(w, path, &header, err);
    if (status == TC_OK) status = tc_writer_open(&s.writer, path, err);
    if (status == TC_OK) {
        uint8_t first[8];
        for (int i = 0; i < 8; i++) first[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
        sink_add(&s, first, 8);
        sink_add(&s, header.data, header.size);
        status = write_tensors(w, &s, err);
        if (checksum && status == TC_OK) *checksum = tc_checksum(s.checksum, s.rest, s.nrest);
        if (status == TC_OK) status = tc_writer_commit(&s.writer, err);
        else tc_writer_abort(&s.writer);
    }
    tc_buf_free(&header);
    tc_st_writer_abort(out);
    return status;
}
