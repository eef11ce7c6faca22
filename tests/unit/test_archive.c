/* test_archive.c - files of PyTorch that are read, and what only asking for their bytes finds. The rules of
 * the container and of the pickle are in test_zip.c and test_pickle.c.
 *
 * `test_archive --convert IN OUT.safetensors` writes the tensors that are read from IN, so that
 * tests/parity/parity_archive.py can compare them with what torch reads; `--write-cases DIR` also writes
 * pickles, as seeds for fuzzing;
 * `--read FILE` opens a file, reads every tensor and tells the times, for bench/checkpoints.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "torch_cases.h"

#include <pthread.h>
#include <stdio.h>

/* ---- what is accepted */

static void test_good(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        zip_make z;
        tc_buf b;
        tc_error err = {0};
        good_pickle(&b);
        make_archive(&z, b.data, b.size, form == 3 ? 0 : 1, 16);
        if (form == 3) zip_add_as(&z, "m/data/0", "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16, 2);
        zip_finish(&z, form != 1);
        tc_store *s = open_bytes(&z.b, &err);
        if (!s) fail_msg("%s", err.message);
        assert_int_equal(tc_store_count(s), 1);
        check_vector(s, "a", 4, 0);
        assert_null(tc_store_metadata(s, "x"));
        tc_store_close(&s);
        tc_buf_free(&z.b);
        tc_buf_free(&b);
    }
}

/* From a file, by content whatever its name. */
static void test_file(void **state) {
    (void)state;
    zip_make z;
    tc_store *s;
    tc_error err = {0};
    char *dir = scratch_dir();
    good_archive(&z);
    static const char *const names[] = {"a.pt", "a.pth", "pytorch_model.bin", "a.safetensors", "a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (tc_store_open(&s, scratch_file(dir, names[i], z.b.data, z.b.size), &err) != TC_OK)
            fail_msg("%s", err.message);
        check_vector(s, "a", 4, 0);
        assert_true(tc_store_maps(s, tc_store_find(s, "a")));
        tc_store_let_go(s, tc_store_find(s, "a"));
        check_vector(s, "a", 4, 0);
        assert_int_equal(tc_store_check(s, &err), TC_OK);
        tc_store_close(&s);
    }
    assert_int_equal(tc_store_open(&s, dir, &err), TC_OK); /* the folder, with its pytorch_model.bin */
    tc_store_close(&s);
    tc_buf_free(&z.b);
    scratch_remove(dir);
}

static void test_shards(void **state) {
    (void)state;
    zip_make z;
    tc_store *s;
    tc_error err = {0};
    char *dir = scratch_dir();
    for (int i = 0; i < 2; i++) {
        tc_buf b = {0};
        pk_start(&b);
        pk_op(&b, "}");
        pk_str(&b, i ? "b" : "a");
        pk_vector(&b, "0", 4);
        pk_op(&b, "s.");
        finish_pickle(&z, &b, 1);
        scratch_file(dir, i ? "2.bin" : "1.bin", z.b.data, z.b.size);
        tc_buf_free(&z.b);
    }
    const char *index = scratch_text(dir, "pytorch_model.bin.index.json",
                                     "{\"metadata\":{},\"weight_map\":{\"a\":\"1.bin\",\"b\":\"2.bin\"}}");
    if (tc_store_open(&s, dir, &err) != TC_OK) fail_msg("%s", err.message);
    assert_int_equal(tc_store_count(s), 2);
    check_vector(s, "b", 4, 0);
    tc_store_close(&s);
    scratch_text(dir, "pytorch_model.bin.index.json", "{\"weight_map\":{\"a\":\"1.bin\",\"b\":\"1.bin\"}}");
    assert_int_equal(tc_store_open(&s, index, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "'b' is not in its shard"));
    scratch_remove(dir);
}

/* Training state beside the weights, Parameters, nested dicts, and an object that nobody knows. */
static void test_checkpoint(void **state) {
    (void)state;
    for (int wrapped = 0; wrapped < 3; wrapped++) {
        static const char *const wrapper[] = {"state_dict", "model", "model_state_dict"};
        zip_make z;
        tc_buf b = {0};
        pk_start(&b);
        pk_op(&b, "}(");
        pk_str(&b, "epoch");
        pk_int(&b, 3);
        pk_str(&b, "args");
        pk_global(&b, "argparse", "Namespace");
        tc_buf_add(&b, ")\x81}", 3);
        pk_str(&b, "lr");
        tc_buf_add(&b, "G\x3f\xf0\0\0\0\0\0\0sb", 11);
        pk_str(&b, "optimizer");
        pk_op(&b, "}");
        pk_str(&b, "exp_avg");
        pk_vector(&b, "9", 4000); /* a storage that is not there, and that nobody asks for */
        pk_op(&b, "s");
        pk_str(&b, wrapper[wrapped]);
        pk_global(&b, "collections", "OrderedDict");
        pk_op(&b, ")R(");
        pk_str(&b, "visual.proj");
        pk_global(&b, "torch._utils", "_rebuild_parameter");
        pk_op(&b, "(");
        pk_vector(&b, "0", 4);
        tc_buf_add(&b, "\x88", 1);
        pk_global(&b, "collections", "OrderedDict");
        pk_op(&b, ")RtR");
        pk_str(&b, "text");
        pk_op(&b, "}");
        pk_str(&b, "inner");
        pk_vector(&b, "1", 4);
        pk_op(&b, "su}");
        pk_str(&b, "_metadata");
        pk_op(&b, "}sbu.");
        tc_store *s = accept_pickle("checkpoint", &z, &b);
        assert_int_equal(tc_store_count(s), 2);
        check_vector(s, "visual.proj", 4, 0);
        check_vector(s, "text.inner", 4, 1);
        tc_store_close(&s);
        tc_buf_free(&z.b);
    }
}

/* __torch__ objects whose nesting gives the names; other attributes are passed over. */
static void test_script(void **state) {
    (void)state;
    zip_make z;
    tc_buf b = {0};
    tc_error err = {0};
    pk_start(&b);
    pk_global(&b, "__torch__", "CLIP");
    tc_buf_add(&b, ")\x81}(", 4);
    pk_str(&b, "training");
    tc_buf_add(&b, "\x89", 1);
    pk_str(&b, "sizes");
    pk_global(&b, "torch.jit._pickle", "build_intlist");
    pk_op(&b, "((");
    pk_int(&b, 1);
    pk_op(&b, "ltR");
    pk_str(&b, "visual");
    pk_global(&b, "__torch__.torch.nn.___torch_mangle_3", "Sequential");
    tc_buf_add(&b, ")\x81}", 3);
    pk_str(&b, "w");
    pk_vector(&b, "0", 4);
    pk_op(&b, "sbub.");
    write_seed("script", &b);
    for (int script = 0; script < 2; script++) {
        make_archive(&z, b.data, b.size, 1, 16);
        if (script) zip_add(&z, "m/constants.pkl", "\x80\2).", 4);
        zip_finish(&z, true);
        if (script) {
            tc_store *s = open_bytes(&z.b, &err);
            if (!s) fail_msg("%s", err.message);
            assert_int_equal(tc_store_count(s), 1);
            check_vector(s, "visual.w", 4, 0);
            tc_store_close(&s);
        } else {
            expect_refused("object", &z.b, "holds the object __torch__.CLIP, expected a dict of tensors");
        }
        tc_buf_free(&z.b);
    }
    tc_buf_free(&b);
}

/* Two tensors on one storage, one of them a transposed view, an expanded one, an empty one and a scalar. */
static void test_views(void **state) {
    (void)state;
    static const int64_t size[] = {2, 2}, back[] = {1, 2}, none[] = {0, 2}, three[] = {3, 2},
                         repeat[] = {0, 1};
    const pk_tensor_args views[] = {{"FloatStorage", "0", 4, 0, 2, 2, size, back},
                                    {"FloatStorage", "0", 4, 2, 2, 2, three, repeat},
                                    {"FloatStorage", "0", 4, 4, 2, 2, none, back},
                                    {"FloatStorage", "0", 4, 3, 0, 0, NULL, NULL}};
    static const char *const names[] = {"transposed", "expanded", "empty", "scalar"};
    static const int order[][6] = {{0, 2, 1, 3}, {2, 3, 2, 3, 2, 3}, {0}, {3}}, count[] = {4, 6, 0, 1};
    zip_make z;
    tc_buf b = {0};
    tc_error err = {0};
    pk_start(&b);
    pk_op(&b, "}(");
    for (int i = 0; i < 4; i++) {
        pk_str(&b, names[i]);
        pk_tensor_of(&b, &views[i]);
    }
    pk_op(&b, "u.");
    tc_store *s = accept_pickle("views", &z, &b);
    for (int i = 0; i < 4; i++) {
        const tc_tensor *t = tc_store_find(s, names[i]);
        assert_non_null(t);
        assert_int_equal(t->bytes, 4 * count[i]);
        const uint8_t *data = tc_tensor_data(t, &err);
        assert_non_null(data);
        for (int k = 0; k < count[i]; k++) assert_int_equal(data[4 * k], 4 * order[i][k]);
        assert_ptr_equal(data, tc_tensor_data(t, &err));
    }
    tc_store_close(&s);
    tc_buf_free(&z.b);
}

static const struct {
    const char *storage;
    tc_dtype dtype;
} dtypes[] = {{"FloatStorage", TC_F32},  {"HalfStorage", TC_F16}, {"BFloat16Storage", TC_BF16},
              {"DoubleStorage", TC_F64}, {"LongStorage", TC_I64}, {"IntStorage", TC_I32},
              {"ShortStorage", TC_I16},  {"CharStorage", TC_I8},  {"ByteStorage", TC_U8},
              {"BoolStorage", TC_BOOL}};

static void test_dtypes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        const int64_t n = 16 / (int64_t)tc_dtype_size(dtypes[i].dtype), one = 1;
        zip_make z;
        tc_buf b = {0};
        tc_error err = {0};
        pk_start(&b);
        pk_op(&b, "}");
        pk_str(&b, "a");
        pk_tensor_of(&b, &(pk_tensor_args){dtypes[i].storage, "0", n, 0, 1, 1, &n, &one});
        pk_op(&b, "s.");
        finish_pickle(&z, &b, 1);
        tc_store *s = open_bytes(&z.b, &err);
        if (!s) fail_msg("%s", err.message);
        assert_int_equal(tc_store_at(s, 0)->dtype, dtypes[i].dtype);
        assert_int_equal(tc_store_at(s, 0)->bytes, 16);
        tc_store_close(&s);
        tc_buf_free(&z.b);
    }
}

static void test_legacy(void **state) {
    (void)state;
    tc_buf b;
    tc_error err = {0};
    legacy_file(&b);
    tc_store *s = open_bytes(&b, &err);
    if (!s) fail_msg("%s", err.message);
    assert_int_equal(tc_store_count(s), 2);
    check_vector(s, "a", 4, 0);
    check_vector(s, "b", 4, 1);
    tc_store_close(&s);
    tc_buf_free(&b);
}

/* ---- damage that only reading finds */

static void test_crc(void **state) {
    (void)state;
    zip_make z;
    tc_error err = {0};
    tc_real value[4];
    good_archive(&z);
    z.b.data[z.entry[1].data + 5] ^= 1;
    tc_store *s = open_bytes(&z.b, &err);
    if (!s) fail_msg("%s", err.message);
    assert_null(tc_tensor_data(tc_store_at(s, 0), &err));
    assert_string_equal(err.message, "memory: member 'm/data/0': its CRC is wrong: the file is damaged");
    assert_false(tc_tensor_read(tc_store_at(s, 0), 0, 4, value));
    tc_store_close(&s);
    z.b.data[z.entry[1].data + 5] ^= 1;
    z.b.data[z.entry[0].data + 3] ^= 1;
    expect_refused("crc-pickle", &z.b, "CRC");
    tc_buf_free(&z.b);
}

static void test_shortened(void **state) {
    (void)state;
    zip_make z;
    tc_store *s;
    tc_error err = {0};
    char *dir = scratch_dir();
    good_archive(&z);
    const char *path = scratch_file(dir, "a.pt", z.b.data, z.b.size);
    assert_int_equal(tc_store_open(&s, path, &err), TC_OK);
    assert_int_equal(truncate(path, 10), 0);
    assert_null(tc_tensor_data(tc_store_at(s, 0), &err));
    assert_non_null(strstr(err.message, "shortened"));
    assert_int_equal(tc_store_check(s, &err), TC_EIO);
    tc_store_close(&s);
    tc_buf_free(&z.b);
    scratch_remove(dir);
}

static void *read_all(void *arg) {
    const tc_store *s = arg;
    for (size_t i = 0; i < tc_store_count(s); i++)
        if (!tc_tensor_data(tc_store_at(s, i), NULL)) return arg;
    return NULL;
}

/* Many tensors on few storages, asked for by several threads at once. */
static void test_threads(void **state) {
    (void)state;
    static const int64_t size[] = {2, 2}, back[] = {1, 2};
    zip_make z;
    tc_buf b = {0};
    tc_error err = {0};
    pk_start(&b);
    pk_op(&b, "}(");
    for (int i = 0; i < 200; i++) {
        char name[12];
        snprintf(name, sizeof name, "%d", i);
        pk_str(&b, name);
        pk_tensor_of(&b, &(pk_tensor_args){"FloatStorage", i % 2 ? "0" : "1", 4, 0, 2, 2, size, back});
    }
    pk_op(&b, "u.");
    finish_pickle(&z, &b, 2);
    tc_store *s = open_bytes(&z.b, &err);
    if (!s) fail_msg("%s", err.message);
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, read_all, s), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    tc_store_close(&s);
    tc_buf_free(&z.b);
}

/* ---- the programs behind --convert and --read */

static int convert(const char *in, const char *out) {
    tc_store *s = NULL;
    tc_st_writer *w = NULL;
    tc_error err = {0};
    tc_status status = tc_store_open(&s, in, &err);
    if (status == TC_OK) status = tc_st_writer_create(&w, &err);
    for (size_t i = 0; status == TC_OK && i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        const uint8_t *data = tc_tensor_data(t, &err);
        status = data ? tc_st_writer_add(w, t->name, t->dtype, t->ndim, t->shape, data, &err) : err.status;
    }
    if (status == TC_OK) status = tc_st_writer_commit(&w, out, NULL, &err);
    else if (w) tc_st_writer_abort(&w);
    tc_store_close(&s);
    if (status != TC_OK) fprintf(stderr, "%s\n", err.message);
    return status != TC_OK;
}

/* Opens a file and reads every byte of every tensor, as it is stored; says how long each took. */
static int read_file(const char *path) {
    tc_store *s = NULL;
    tc_error err = {0};
    double start = tc_now(), opened;
    size_t bytes = 0;
    tc_status status = tc_store_open(&s, path, &err);
    opened = tc_now();
    for (size_t i = 0; status == TC_OK && i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        volatile uint8_t sum = 0;
        const uint8_t *data = tc_tensor_data(t, &err);
        if (!data) status = err.status;
        for (size_t k = 0; data && k < t->bytes; k += 64) sum = (uint8_t)(sum + data[k]);
        bytes += t->bytes;
    }
    if (status == TC_OK)
        printf("{\"tensors\":%zu,\"bytes\":%zu,\"open\":%.4f,\"read\":%.4f}\n", tc_store_count(s), bytes,
               opened - start, tc_now() - opened);
    else fprintf(stderr, "%s\n", err.message);
    tc_store_close(&s);
    return status != TC_OK;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--convert") == 0) return convert(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "--read") == 0) return read_file(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--write-cases") == 0) cases_dir = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_file),    cmocka_unit_test(test_shards),
        cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_script),  cmocka_unit_test(test_views),
        cmocka_unit_test(test_dtypes),     cmocka_unit_test(test_legacy),  cmocka_unit_test(test_crc),
        cmocka_unit_test(test_shortened),  cmocka_unit_test(test_threads),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
