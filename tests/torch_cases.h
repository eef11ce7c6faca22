/* torch_cases.h - what the tests of PyTorch files share: a valid file to break, and the check that a broken
 * one is refused. Include cmocka first. */
#ifndef TC_TORCH_CASES_H
#define TC_TORCH_CASES_H

#include "scratch.h"
#include "store/store.h"
#include "torch_make.h"

static const char *cases_dir; /* of --write-cases */

static inline tc_store *open_bytes(const tc_buf *b, tc_error *err) {
    tc_store *s;
    assert_false(b->failed);
    tc_store_open_memory(&s, b->data, b->size, err);
    return s;
}

static inline void write_seed(const char *name, const tc_buf *b) {
    if (cases_dir) scratch_file(cases_dir, name, b->data, b->size);
}

/* Opened from memory, every tensor read. The caller closes it. */
static inline tc_store *expect_accepted(const char *name, const tc_buf *b) {
    tc_error err = {0};
    write_seed(name, b);
    tc_store *s = open_bytes(b, &err);
    if (!s) fail_msg("%s: %s", name, err.message);
    for (size_t i = 0; i < tc_store_count(s); i++)
        if (!tc_tensor_data(tc_store_at(s, i), &err)) fail_msg("%s: %s", name, err.message);
    return s;
}

/* Refused as bytes and as a file, with one message that names the file and holds `message`. */
static inline void expect_refused(const char *name, const tc_buf *b, const char *message) {
    tc_store *s;
    tc_error err = {0};
    uint8_t *exact = malloc(b->size ? b->size : 1); /* so that a sanitizer sees a read past the end */
    write_seed(name, b);
    if (b->size) memcpy(exact, b->data, b->size);
    if (tc_store_open_memory(&s, exact, b->size, &err) == TC_OK)
        fail_msg("%s was accepted from memory", name);
    free(exact);
    assert_null(s);
    if (!tc_starts_with(err.message, "memory") || !strstr(err.message, message))
        fail_msg("%s: message is: %s", name, err.message);
    char *dir = scratch_dir();
    const char *path = scratch_file(dir, "model.pt", b->data, b->size);
    if (tc_store_open(&s, path, &err) == TC_OK) fail_msg("%s was accepted", name);
    assert_null(s);
    if (!tc_starts_with(err.message, path) || !strstr(err.message, message))
        fail_msg("%s: message is: %s", name, err.message);
    assert_null(strchr(err.message, '\n'));
    scratch_remove(dir);
}

/* The whole archive around a pickle, which is freed. Storages are of 16 bytes. */
static inline void finish_pickle(zip_make *z, tc_buf *pickle, int nstorages) {
    make_archive(z, pickle->data, pickle->size, nstorages, 16);
    zip_finish(z, true);
    tc_buf_free(pickle);
}

static inline void good_pickle(tc_buf *b) {
    *b = (tc_buf){0};
    pk_start(b);
    pk_op(b, "}");
    pk_str(b, "a");
    pk_vector(b, "0", 4);
    pk_op(b, "s.");
}

/* A valid file to break. */
static inline void good_archive(zip_make *z) {
    tc_buf b;
    good_pickle(&b);
    finish_pickle(z, &b, 1);
}

static inline void expect_pickle(const char *name, tc_buf *pickle, const char *message) {
    zip_make z;
    write_seed(name, pickle);
    finish_pickle(&z, pickle, 1);
    if (!cases_dir) expect_refused(name, &z.b, message);
    tc_buf_free(&z.b);
}

/* The pickle is freed; the caller closes the store, which uses the bytes of *z, and frees those. */
static inline tc_store *accept_pickle(const char *name, zip_make *z, tc_buf *pickle) {
    const char *dir = cases_dir;
    write_seed(name, pickle);
    finish_pickle(z, pickle, 2);
    cases_dir = NULL; /* the pickle is the seed, not the archive */
    tc_store *s = expect_accepted(name, &z->b);
    cases_dir = dir;
    return s;
}

static inline void check_vector(const tc_store *s, const char *name, int64_t n, uint8_t first) {
    tc_error err = {0};
    const tc_tensor *t = tc_store_find(s, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->ndim, 1);
    assert_int_equal(t->shape[0], n);
    assert_int_equal(t->dtype, TC_F32);
    assert_int_equal(t->bytes, 4 * n);
    const uint8_t *data = tc_tensor_data(t, &err);
    if (!data) fail_msg("%s", err.message);
    for (size_t i = 0; i < t->bytes; i++) assert_int_equal(data[i], (uint8_t)(i + first));
}

static inline void legacy_file(tc_buf *b) {
    *b = (tc_buf){0};
    legacy_start(b);
    pk_start(b);
    pk_op(b, "}(");
    pk_str(b, "a");
    pk_vector(b, "0", 4);
    pk_str(b, "b");
    pk_vector(b, "1", 4);
    pk_op(b, "u.");
    legacy_end(b, 2, 4);
}

#endif
