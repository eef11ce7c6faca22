/* arrays.c - arrays in files for who uses the library: one NumPy file, or the tensors of a store, told apart
 * by their first bytes. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

struct tc_arrays {
    tc_store *store; /* or NULL: */
    tc_npy npy;
};

static bool is_npy(const char *path) {
    tc_map m;
    if (tc_ends_with(path, ".npy")) return true;
    if (tc_path_is_dir(path) || tc_map_open(&m, path, NULL) != TC_OK) return false;
    bool is = m.size >= 6 && memcmp(m.data, "\x93NUMPY", 6) == 0;
    tc_map_close(&m);
    return is;
}

tc_status tc_arrays_open(tc_arrays **out, const char *path, tc_error *err) {
    *out = NULL;
    tc_arrays *a = tc_new(1, sizeof *a);
    if (!a) return tc_fail_memory(err, sizeof *a);
    tc_status status = is_npy(path) ? tc_npy_open(&a->npy, path, err) : tc_store_open(&a->store, path, err);
    if (status == TC_OK) *out = a;
    else free(a);
    return status;
}

void tc_arrays_close(tc_arrays **a) {
    if (!*a) return;
    if ((*a)->store) tc_store_close(&(*a)->store);
    else tc_npy_close(&(*a)->npy);
    free(*a);
    *a = NULL;
}

static bool give(const tc_arrays *a, const tc_tensor *t, tc_array *out) {
    *out = (tc_array){0};
    if (!t) return false;
    *out = (tc_array){.name = t->name,
                      .dtype = tc_dtype_name(t->dtype),
                      .ndim = t->ndim,
                      .numel = tc_tensor_numel(t),
                      .arrays = a,
                      .tensor = t};
    memcpy(out->shape, t->shape, (size_t)t->ndim * sizeof *t->shape);
    return true;
}

bool tc_arrays_at(const tc_arrays *a, size_t i, tc_array *out) {
    size_t count = a->store ? tc_store_count(a->store) : 1;
    const tc_tensor *t = a->store ? NULL : &a->npy.tensor;
    if (a->store && i < count) t = tc_store_at(a->store, i);
    return give(a, i < count ? t : NULL, out);
}

bool tc_arrays_find(const tc_arrays *a, const char *name, tc_array *out) {
    if (a->store) return give(a, tc_store_find(a->store, name), out);
    return give(a, strcmp(a->npy.tensor.name, name) == 0 ? &a->npy.tensor : NULL, out);
}

/* The bytes are there and the elements lie within the array. */
static tc_status check(const tc_array *x, int64_t first, int64_t n, tc_error *err) {
    if (first < 0 || n < 0 || n > x->numel || first > x->numel - n)
        return tc_fail(err, TC_EARG, "tensor '%s': %lld elements from %lld on, of %lld", x->name,
                       (long long)n, (long long)first, (long long)x->numel);
    const tc_arrays *a = x->arrays;
    tc_status status = a->store ? tc_store_check(a->store, err) : tc_map_check(&a->npy.map, err);
    tc_error own;
    if (status != TC_OK || x->numel == 0 || tc_tensor_data(x->tensor, &own)) return status;
    return tc_fail(err, own.status, "%s", own.message);
}

tc_status tc_array_read(const tc_array *x, int64_t first, int64_t n, float *out, tc_error *err) {
    enum { PIECE = 4096 }; /* tc_real need not be float */
    tc_real piece[PIECE];
    tc_status status = check(x, first, n, err);
    for (int64_t at = 0; at < n && status == TC_OK; at += PIECE) {
        int64_t k = n - at < PIECE ? n - at : PIECE;
        if (!tc_tensor_read(x->tensor, first + at, k, piece))
            return tc_fail(err, TC_EFORMAT, "tensor '%s': dtype %s cannot be read as numbers", x->name,
                           x->dtype);
        for (int64_t i = 0; i < k; i++) out[at + i] = (float)piece[i];
    }
    return status;
}

tc_status tc_array_read_i64(const tc_array *x, int64_t first, int64_t n, int64_t *out, tc_error *err) {
    tc_status status = check(x, first, n, err);
    if (status == TC_OK && !tc_tensor_read_i64(x->tensor, first, n, out))
        status = tc_fail(err, TC_EFORMAT, "tensor '%s': dtype %s, expected whole numbers", x->name, x->dtype);
    return status;
}

tc_status tc_array_write(const char *path, const char *dtype, int ndim, const int64_t *shape,
                         const void *data, tc_error *err) {
    tc_dtype type;
    if (!tc_dtype_find(dtype, &type))
        return tc_fail(err, TC_EARG, "%s: '%s' is not a dtype; F32 and U8 are", path, dtype);
    return tc_npy_write(path, type, ndim, shape, data, err);
}
