/* fuzz_pickle.c - any bytes as the pickle of a zip archive, of a TorchScript archive, and as the object in a
 * file from before 1.6, each with two storages of 16 bytes; every tensor of an accepted one is read to its
 * end. */
#include "store/store.h"
#include "torch_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const tc_buf *b) {
    tc_store *s;
    tc_error err;
    if (tc_store_open_memory(&s, b->data, b->size, &err) != TC_OK) return;
    for (size_t i = 0; i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        int64_t n = tc_tensor_numel(t);
        if ((size_t)n * tc_dtype_size(t->dtype) != t->bytes || tc_store_find(s, t->name) != t) abort();
        tc_real *values = malloc(((size_t)n + 1) * sizeof *values);
        if (values && !tc_tensor_read(t, 0, n, values)) abort();
        free(values);
    }
    tc_store_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int script = 0; script < 2; script++) {
        zip_make z;
        make_archive(&z, data, size, 2, 16);
        if (script) zip_add(&z, "m/constants.pkl", "\x80\2).", 4);
        zip_finish(&z, true);
        read_all(&z.b);
        tc_buf_free(&z.b);
    }
    tc_buf b = {0};
    legacy_start(&b);
    if (size) tc_buf_add(&b, data, size);
    legacy_end(&b, 2, 4);
    read_all(&b);
    tc_buf_free(&b);
    return 0;
}
