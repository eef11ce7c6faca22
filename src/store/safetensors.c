/* safetensors.c - the header of a .safetensors file: 8 bytes little-endian N, N bytes of JSON, then the data.
 *
 * Every rule of the format is checked before one tensor is given out: the ranges, sorted, run from 0 to the
 * end of the file without hole or overlap, and each is as long as its shape and type say. What the Rust
 * reference refuses is refused here. Stricter than it: duplicate keys everywhere, NUL in names, more than 8
 * axes, sizes above 2^63-1, and types that no model here has (F4, F6, E8M0, complex). */
#include "store/safetensors.h"

#include <stdlib.h>
#include <string.h>

tc_status tc_st_header_size(const uint8_t first[8], size_t size, const char *name, size_t *header,
                            tc_error *err) {
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | first[i];
    if (n > TC_ST_HEADER_LIMIT)
        return tc_fail(
            err, TC_EFORMAT,
            "%s: neither a PyTorch file nor safetensors: a header of %llu bytes is more than the limit of %d",
            name, (unsigned long long)n, TC_ST_HEADER_LIMIT);
    if (n > size - 8)
        return tc_fail(err, TC_EFORMAT,
                       "%s: header of %llu bytes at offset 8 runs past the end of the file (%zu bytes)", name,
                       (unsigned long long)n, size);
    *header = (size_t)n;
    return TC_OK;
}

/* jansson reads -0 as the integer 0, the reference refuses it: no number of a header may have a sign. */
static bool has_minus_zero(const char *text, size_t size) {
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '-' && i + 1 < size && text[i + 1] == '0') {
            return true;
        }
    }
    return false;
}

static tc_status check_metadata(const json_t *metadata, const char *name, tc_error *err) {
    const char *key;
    json_t *value;
    if (json_is_null(metadata)) return TC_OK;
    if (!json_is_object(metadata)) return tc_fail(err, TC_EFORMAT, "%s: __metadata__ is not an object", name);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if (!json_is_string(value))
            return tc_fail(err, TC_EFORMAT, "%s: __metadata__ '%.200s' is not a string", name, key);
    }
    return TC_OK;
}

static tc_status parse_dtype(tc_tensor *t, const json_t *info, const char *name, tc_error *err) {
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    if (!dtype) return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' has no dtype", name, t->name);
    if (!tc_dtype_find(dtype, &t->dtype))
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' has the unknown dtype '%.40s'", name, t->name,
                       dtype);
    return TC_OK;
}

static tc_status parse_shape(tc_tensor *t, const json_t *info, const char *name, size_t *bytes,
                             tc_error *err) {
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape))
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' has no shape", name, t->name);
    if (json_array_size(shape) > TC_MAX_RANK)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' has %zu axes, at most %d are supported", name,
                       t->name, json_array_size(shape), TC_MAX_RANK);
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *n = json_array_get(shape, (size_t)i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return tc_fail(err, TC_EFORMAT,
                           "%s: tensor '%.200s': axis %d of its shape is not a whole number >= 0", name,
                           t->name, i);
        t->shape[i] = json_integer_value(n);
    }
    if (!tc_tensor_bytes(t->dtype, t->ndim, t->shape, bytes)) {
        char text[200];
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' of shape %s is too large for any file", name,
                       t->name, tc_shape_text(t->ndim, t->shape, text, sizeof text));
    }
    return TC_OK;
}

/* t->data gets the start as an offset from `data`, t->bytes the length. */
static tc_status parse_range(tc_tensor *t, const json_t *info, const uint8_t *data, size_t data_size,
                             size_t bytes, const char *name, tc_error *err) {
    const json_t *range = json_object_get(info, "data_offsets");
    const json_t *a = json_array_get(range, 0);
    const json_t *b = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(a) || !json_is_integer(b) ||
        json_integer_value(a) < 0 || json_integer_value(b) < 0)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s': data_offsets are not two whole numbers >= 0",
                       name, t->name);
    long long start = json_integer_value(a), end = json_integer_value(b);
    if (end < start)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' ends at %lld, before its start at %lld", name,
                       t->name, end, start);
    if ((unsigned long long)end > data_size)
        return tc_fail(err, TC_EFORMAT,
                       "%s: tensor '%.200s' ends at %lld, but the file holds %zu bytes of data: it is cut "
                       "short or damaged",
                       name, t->name, end, data_size);
    if ((unsigned long long)(end - start) != bytes) {
        char text[200];
        return tc_fail(
            err, TC_EFORMAT,
            "%s: tensor '%.200s' of shape %s and dtype %s takes %zu bytes, its data_offsets give %lld", name,
            t->name, tc_shape_text(t->ndim, t->shape, text, sizeof text), tc_dtype_name(t->dtype), bytes,
            end - start);
    }
    t->bytes = bytes;
    t->data = data + start;
    return TC_OK;
}

static int by_place(const void *pa, const void *pb) {
    const tc_tensor *a = pa, *b = pb;
    if (a->data != b->data) return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Sorts t[0..n-1] by offset and checks that they fill the data from its first to its last byte. */
static tc_status check_contiguous(tc_tensor *t, size_t n, const uint8_t *data, size_t data_size,
                                  const char *name, tc_error *err) {
    size_t at = 0;
    if (n) qsort(t, n, sizeof *t, by_place);
    for (size_t i = 0; i < n; i++) {
        size_t start = (size_t)(t[i].data - data);
        if (start != at)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' starts at %zu, expected %zu: %s", name,
                           t[i].name, start, at,
                           start > at ? "there is a hole before it" : "it overlaps another");
        at += t[i].bytes;
    }
    if (at != data_size)
        return tc_fail(err, TC_EFORMAT, "%s: %zu bytes behind the last tensor", name, data_size - at);
    return TC_OK;
}

static tc_status parse_tensors(tc_tensor_list *list, const json_t *root, const uint8_t *data,
                               size_t data_size, const char *name, tc_error *err) {
    size_t first = list->count, total;
    const char *key;
    json_t *info;
    if (!tc_add(first, json_object_size(root) + 1, &total) ||
        !tc_grow(&list->at, &list->capacity, total, sizeof *list->at))
        return tc_fail_memory(err, total);
    json_object_foreach((json_t *)(uintptr_t)root, key, info) {
        tc_status status;
        if (strcmp(key, "__metadata__") == 0) {
            status = check_metadata(info, name, err);
            if (status != TC_OK) return status;
            continue;
        }
        tc_tensor t = {.name = key};
        size_t bytes = 0;
        if (!json_is_object(info))
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' is not described by an object", name, key);
        status = parse_dtype(&t, info, name, err);
        if (status == TC_OK) status = parse_shape(&t, info, name, &bytes, err);
        if (status == TC_OK) status = parse_range(&t, info, data, data_size, bytes, name, err);
        if (status != TC_OK) return status;
        list->at[list->count++] = t;
    }
    return check_contiguous(list->at + first, list->count - first, data, data_size, name, err);
}

tc_status tc_st_parse_header(tc_tensor_list *list, json_t **root, const char *header, size_t header_size,
                             const uint8_t *data, size_t data_size, const char *name, tc_error *err) {
    static const uint8_t nothing[1];
    *root = NULL;
    if (!data) data = nothing;
    if (has_minus_zero(header, header_size))
        return tc_fail(err, TC_EFORMAT, "%s: the header holds a negative number", name);
    json_t *json;
    tc_status status = tc_json_parse(&json, header, header_size, name, err);
    if (status != TC_OK) return status;
    *root = json;
    if (!json_is_object(json)) return tc_fail(err, TC_EFORMAT, "%s: the header is not a JSON object", name);
    return parse_tensors(list, json, data, data_size, name, err);
}
