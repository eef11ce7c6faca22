/* store.h - where tensors lie: every layout yields (name, dtype, shape, bytes), checked completely before
 * anything is used.
 *
 * Formats: https://github.com/huggingface/safetensors (the specification in its README); files of torch.save
 * and torch.jit.save (torch_file.h); NumPy's .npy format 1.0 to 3.0. */
#ifndef TC_STORE_H
#define TC_STORE_H

#include "base/base.h"

#include <jansson.h>

typedef enum tc_dtype {
    TC_F64,
    TC_F32,
    TC_F16,
    TC_BF16,
    TC_I64,
    TC_I32,
    TC_I16,
    TC_I8,
    TC_U64,
    TC_U32,
    TC_U16,
    TC_U8,
    TC_BOOL,
    TC_F8_E4M3,
    TC_F8_E5M2
} tc_dtype;
enum { TC_MAX_RANK = 8 };

/* One tensor: `data` points into the mapped file (no alignment is promised), little-endian, row-major.
 * Tensors of PyTorch files have `fetch` instead: their bytes are checked, and put into order where they are
 * strided, when tc_tensor_data first asks for them. */
typedef struct tc_lazy tc_lazy;
typedef struct tc_tensor tc_tensor;
struct tc_tensor {
    const char *name;
    tc_dtype dtype;
    int ndim;
    int64_t shape[TC_MAX_RANK];
    const uint8_t *data;
    size_t bytes;
    const uint8_t *(*fetch)(const tc_tensor *t, tc_error *err);
    tc_lazy *lazy; /* what fetch needs */
};

const char *tc_dtype_name(tc_dtype d); /* "F32" */
size_t tc_dtype_size(tc_dtype d);
/* Numbers of half precision at any alignment -> tc_real, on the calling thread; NULL: not a type of half
 * precision. */
typedef void (*tc_widen)(const void *from, int64_t n, tc_real *out);
tc_widen tc_dtype_widen(tc_dtype d);
bool tc_dtype_find(const char *name, tc_dtype *out); /* false if there is no such name */
/* Bytes of a tensor; false if an axis is negative or the product overflows. */
bool tc_tensor_bytes(tc_dtype dtype, int ndim, const int64_t *shape, size_t *bytes);
int64_t tc_tensor_numel(const tc_tensor *t);
/* "[512,768]" */
const char *tc_shape_text(int ndim, const int64_t *shape, char *buffer, size_t size);
/* The bytes, wherever they come from; they stay until the store is closed. NULL if they are damaged or memory
 * ran out: the message says so. Thread-safe. */
const uint8_t *tc_tensor_data(const tc_tensor *t, tc_error *err);
/* n elements from element `start` on, converted (exactly, for F16, BF16, F32) to tc_real. Not for F8. False
 * if the dtype cannot be converted (or tc_tensor_data fails: call it first for the reason). */
bool tc_tensor_read(const tc_tensor *t, int64_t start, int64_t n, tc_real *out);
/* n numbers as F32, F16 or BF16, rounded to nearest even -> out, at any alignment. The index of the first
 * finite number that is too large for the type (it becomes infinite), or -1. */
int64_t tc_dtype_narrow(tc_dtype dtype, const tc_real *x, int64_t n, void *out);
bool tc_tensor_read_i64(const tc_tensor *t, int64_t start, int64_t n, int64_t *out); /* integer dtypes */

typedef struct tc_store tc_store;
/* A .safetensors file or one of PyTorch (by content, not by name), an index of shards
 * (model.safetensors.index.json, pytorch_model.bin.index.json), or a folder that holds model.safetensors,
 * pytorch_model.bin or such an index. */
tc_status tc_store_open(tc_store **out, const char *path, tc_error *err);
void tc_store_close(tc_store **s);
size_t tc_store_count(const tc_store *s);
const tc_tensor *tc_store_at(const tc_store *s, size_t i);           /* in the order of their names */
const tc_tensor *tc_store_find(const tc_store *s, const char *name); /* NULL if there is none */
/* of __metadata__; NULL if there is none */
const char *tc_store_metadata(const tc_store *s, const char *key);
const char *tc_store_path(const tc_store *s);
/* Error if any mapped file was shortened; call before reading data. */
tc_status tc_store_check(const tc_store *s, tc_error *err);
/* Whether the bytes that tc_tensor_data gives lie in a mapped file; not so those of a view that had to be put
 * into order. */
bool tc_store_maps(const tc_store *s, const tc_tensor *t);
/* Gives the pages that t lies on back to the system; they are read again if they are used again. Does nothing
 * for a tensor that lies in no mapped file. Thread-safe. */
void tc_store_let_go(const tc_store *s, const tc_tensor *t);
/* For the fuzz target: the same checks on bytes in memory. */
tc_status tc_store_open_memory(tc_store **out, const void *data, size_t size, tc_error *err);

/* A file being written, atomically. Add all tensors, then commit; the data must stay until then. Tensors are
 * written in the order of their dtype's size (descending) and then name, as the reference does, so that every
 * tensor is aligned; the header is padded with spaces to 8 bytes. */
typedef struct tc_st_writer tc_st_writer;
tc_status tc_st_writer_create(tc_st_writer **out, tc_error *err);
tc_status tc_st_writer_add(tc_st_writer *w, const char *name, tc_dtype dtype, int ndim, const int64_t *shape,
                           const void *data, tc_error *err);
/* The same for a tensor whose bytes are made when it is their turn: fill(user, item) puts them into `out`.
 * One such tensor at a time is in memory; `user` must stay until the commit. An error of fill is the
 * commit's. */
typedef tc_status (*tc_st_fill)(void *user, size_t item, void *out, tc_error *err);
tc_status tc_st_writer_add_later(tc_st_writer *w, const char *name, tc_dtype dtype, int ndim,
                                 const int64_t *shape, tc_st_fill fill, void *user, size_t item,
                                 tc_error *err);
tc_status tc_st_writer_metadata(tc_st_writer *w, const char *key, const char *value, tc_error *err);
/* Frees *w in every case. *checksum (may be NULL) gets tc_checksum(0, whole file). */
tc_status tc_st_writer_commit(tc_st_writer **w, const char *path, uint64_t *checksum, tc_error *err);
void tc_st_writer_abort(tc_st_writer **w);

/* JSON from a file or text: UTF-8, no duplicate keys, depth limited. Errors name the file and line. The
 * caller releases with json_decref. */
tc_status tc_json_load(json_t **out, const char *path, size_t limit, tc_error *err);
tc_status tc_json_parse(json_t **out, const char *text, size_t size, const char *name, tc_error *err);

/* NumPy arrays: C order only; dtypes <f4 <f8 <f2 <i8 <i4 |u1 |i1 |b1. t->data points into *owner (a mapping),
 * t->name is the path. */
typedef struct tc_npy {
    tc_map map;
    tc_tensor tensor;
} tc_npy;
tc_status tc_npy_open(tc_npy *out, const char *path, tc_error *err);
void tc_npy_close(tc_npy *n);
/* The same checks on the bytes of a file that lie in memory; out->data points into them. */
tc_status tc_npy_parse(tc_tensor *out, const void *data, size_t size, const char *name, tc_error *err);
tc_status tc_npy_write(const char *path, tc_dtype dtype, int ndim, const int64_t *shape, const void *data,
                       tc_error *err);

#endif
