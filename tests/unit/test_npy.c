/* test_npy.c - NumPy files: headers that numpy writes, headers that break a rule, and bytes written equal to
 * numpy's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/store.h"

/* A file of the version with the dictionary as its header and `data` zero bytes; the caller frees b. */
static void make_npy(tc_buf *b, int version, const char *dictionary, size_t data) {
    size_t n = strlen(dictionary);
    const uint8_t length[4] = {(uint8_t)n, (uint8_t)(n >> 8), 0, 0};
    tc_buf_add(b, "\x93NUMPY", 6);
    tc_buf_add(b, (uint8_t[]){(uint8_t)version, 0}, 2);
    tc_buf_add(b, length, version == 1 ? 2 : 4);
    tc_buf_puts(b, dictionary);
    for (size_t i = 0; i < data; i++) tc_buf_add(b, "", 1);
}

/* message NULL: accepted. */
static void expect_bytes(const void *bytes, size_t size, const char *what, const char *message,
                         tc_tensor *t) {
    tc_error err = {0};
    char *copy = malloc(size ? size : 1);
    if (size) memcpy(copy, bytes, size);
    tc_status status = tc_npy_parse(t, copy, size, "x.npy", &err);
    free(copy);
    if (!message && status != TC_OK) fail_msg("%s: %s", what, err.message);
    if (message &&
        (status == TC_OK || !strstr(err.message, message) || !tc_starts_with(err.message, "x.npy: ")))
        fail_msg("%s: %s", what, status == TC_OK ? "accepted" : err.message);
}

static tc_tensor expect(int version, const char *dictionary, size_t data, const char *message) {
    tc_buf b = {0};
    tc_tensor t = {0};
    make_npy(&b, version, dictionary, data);
    expect_bytes(b.data, b.size, dictionary, message, &t);
    tc_buf_free(&b);
    return t;
}

#define D(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"

static void test_accepted(void **state) {
    (void)state;
    tc_tensor t = expect(1, D("<f4", "False", "(2, 3)"), 24, NULL);
    assert_int_equal(t.dtype, TC_F32);
    assert_int_equal(t.ndim, 2);
    assert_int_equal(t.shape[1], 3);
    assert_int_equal(t.bytes, 24);
    assert_int_equal(expect(1, D("<f8", "False", "()"), 8, NULL).ndim, 0);
    assert_int_equal(expect(2, D("<i8", "False", "(3,)"), 24, NULL).dtype, TC_I64);
    assert_int_equal(expect(3, D("<f2", "False", "(0, 7)"), 0, NULL).bytes, 0);
    expect(1, D("<i4", "False", "(2,2,)"), 16, NULL);
    expect(1, D("|u1", "False", "(5,)"), 5, NULL);
    expect(1, D("|i1", "False", "(5,)"), 5, NULL);
    expect(1, D("|b1", "False", "(5,)"), 5, NULL);
    expect(1, "{\"shape\":(1,),\"fortran_order\":False,\"descr\":\"<f4\"}\n", 4, NULL);
    expect(1, D("<f4", "False", "(1,1,1,1,1,1,1,1)"), 4, NULL);
}

static void test_refused(void **state) {
    (void)state;
    expect(1, D("<f4", "True", "(2, 3)"), 24, "Fortran order");
    expect(1, D("<f4", "0", "(2, 3)"), 24, "fortran_order");
    expect(1, D(">f4", "False", "(2,)"), 8, "'>f4'");
    expect(1, D("|O", "False", "(2,)"), 8, "'|O'");
    expect(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "not a plain one");
    expect(1, D("<f4", "False", "(2)"), 8, "tuple");
    expect(1, D("<f4", "False", "(,)"), 8, "tuple");
    expect(1, D("<f4", "False", "(-2,)"), 8, "tuple");
    expect(1, D("<f4", "False", "(2.0,)"), 8, "tuple");
    expect(1, D("<f4", "False", "[2]"), 8, "tuple");
    expect(1, D("<f4", "False", "(99999999999999999999,)"), 8, "tuple");
    expect(1, D("<f4", "False", "(2, 3"), 8, "tuple");
    expect(1, D("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), 4, "axes");
    expect(1, D("<f4", "False", "(2,)"), 7, "does not fit");
    expect(1, D("<f4", "False", "(2,)"), 9, "does not fit");
    expect(1, D("<f4", "False", "(4611686018427387905,)"), 4, "does not fit");
    expect(1, D("<f4", "False", "(9223372036854775807, 2)"), 4, "does not fit");
    expect(1, "{'descr': '<f4', 'fortran_order': False, }", 4, "dictionary");
    expect(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4, "dictionary");
    expect(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, "dictionary");
    expect(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } 1", 4, "dictionary");
    expect(1, "{'descr': '<f4' 'fortran_order': False, 'shape': (1,), }", 4, "dictionary");
    expect(1, "", 4, "dictionary");
    expect(4, D("<f4", "False", "(1,)"), 4, "version 4.0");
    expect(0, D("<f4", "False", "(1,)"), 4, "version 0.0");
}

static void test_cut_anywhere(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        tc_buf b = {0};
        tc_tensor t;
        make_npy(&b, version, D("<f4", "False", "(2,)"), 8);
        for (size_t n = 0; n < b.size; n++) expect_bytes(b.data, n, "cut", "x.npy", &t);
        expect_bytes(b.data, b.size, "whole", NULL, &t);
        tc_buf_free(&b);
    }
    tc_tensor t;
    expect_bytes("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12, "length of 4 GiB", "cut short or too long", &t);
}

static void test_write_and_read(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "out.npy");
    const int64_t shape[2] = {2, 3};
    const float values[6] = {1, -2, 3, 4, 5, 6};
    tc_error err;
    assert_int_equal(tc_npy_write(path, TC_F32, 2, shape, values, &err), TC_OK);
    char *data;
    size_t size;
    assert_int_equal(tc_file_read(path, 1000, &data, &size, &err), TC_OK);
    const char *expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    assert_int_equal(size, 128 + 24);
    assert_memory_equal(data, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(data + 10, expected, strlen(expected));
    assert_int_equal(data[127], '\n');
    assert_int_equal(data[126], ' ');
    free(data);
    tc_npy npy;
    tc_real got[6];
    assert_int_equal(tc_npy_open(&npy, path, &err), TC_OK);
    assert_true(tc_tensor_read(&npy.tensor, 0, 6, got));
    for (int i = 0; i < 6; i++) assert_true(got[i] == (tc_real)values[i]);
    tc_npy_close(&npy);
    assert_int_equal(tc_npy_write(path, TC_U8, 1, shape, "ab", &err), TC_OK);
    assert_int_equal(tc_npy_open(&npy, path, &err), TC_OK);
    assert_int_equal(npy.tensor.ndim, 1);
    tc_npy_close(&npy);
    assert_int_equal(tc_npy_write(path, TC_BF16, 1, shape, "abcd", &err), TC_EUNSUPPORTED);
    assert_int_equal(tc_npy_open(&npy, dir, &err), TC_EIO);
    free(path);
    scratch_remove(dir);
}

/* The public way: arrays by number and name, pieces of them, and what is no number. */
static void test_arrays(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "numbers");
    const int64_t shape[2] = {2, 3}, ids[3] = {7, -1, INT64_C(1) << 40};
    const float values[6] = {1, -2, 3, 4, 5, 6};
    const int64_t three[1] = {3};
    tc_arrays *a;
    tc_array x;
    tc_error err;
    float got[6];
    int64_t whole[3];
    assert_int_equal(tc_array_write(path, "F32", 2, shape, values, &err), TC_OK); /* known by its content */
    assert_int_equal(tc_arrays_open(&a, path, &err), TC_OK);
    assert_true(tc_arrays_at(a, 0, &x));
    assert_string_equal(x.dtype, "F32");
    assert_int_equal(x.ndim, 2);
    assert_int_equal(x.shape[1], 3);
    assert_int_equal(x.numel, 6);
    assert_int_equal(tc_array_read(&x, 1, 4, got, &err), TC_OK);
    assert_memory_equal(got, values + 1, 4 * sizeof *got);
    assert_int_equal(tc_array_read(&x, 6, 0, got, &err), TC_OK);
    assert_int_equal(tc_array_read(&x, 3, 4, got, &err), TC_EARG);
    assert_int_equal(tc_array_read(&x, -1, 2, got, &err), TC_EARG);
    assert_int_equal(tc_array_read(&x, INT64_MAX, 2, got, &err), TC_EARG);
    assert_int_equal(tc_array_read_i64(&x, 0, 1, whole, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "whole numbers"));
    assert_true(tc_arrays_find(a, path, &x));
    assert_false(tc_arrays_find(a, "other", &x));
    assert_false(tc_arrays_at(a, 1, &x));
    assert_int_equal(truncate(path, 130), 0); /* an error, no signal */
    assert_true(tc_arrays_at(a, 0, &x));
    assert_int_equal(tc_array_read(&x, 0, 6, got, &err), TC_EIO);
    tc_arrays_close(&a);
    assert_null(a);

    assert_int_equal(tc_array_write(path, "I64", 1, three, ids, &err), TC_OK);
    assert_int_equal(tc_arrays_open(&a, path, &err), TC_OK);
    assert_true(tc_arrays_at(a, 0, &x));
    assert_int_equal(tc_array_read_i64(&x, 0, 3, whole, &err), TC_OK);
    assert_memory_equal(whole, ids, sizeof ids);
    tc_arrays_close(&a);

    tc_st_writer *w;
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "b", TC_F32, 2, shape, values, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "a", TC_I64, 1, three, ids, &err), TC_OK);
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, &err), TC_OK);
    assert_int_equal(tc_arrays_open(&a, path, &err), TC_OK);
    assert_true(tc_arrays_at(a, 1, &x));
    assert_string_equal(x.name, "b");
    assert_int_equal(tc_array_read(&x, 0, 6, got, &err), TC_OK);
    assert_memory_equal(got, values, sizeof values);
    assert_true(tc_arrays_find(a, "a", &x));
    assert_int_equal(tc_array_read_i64(&x, 2, 1, whole, &err), TC_OK);
    assert_int_equal(whole[0], ids[2]);
    assert_false(tc_arrays_at(a, 2, &x));
    tc_arrays_close(&a);
    assert_int_equal(tc_array_write(path, "F31", 1, three, ids, &err), TC_EARG);
    assert_int_equal(tc_array_write(path, "BF16", 1, three, ids, &err), TC_EUNSUPPORTED);
    assert_int_equal(tc_arrays_open(&a, dir, &err), TC_EIO);
    assert_null(a);
    free(path);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_cut_anywhere),
                                       cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_arrays)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
