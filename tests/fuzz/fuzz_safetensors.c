/* fuzz_safetensors.c - any bytes as a .safetensors file; every tensor of an accepted one is read to its end.
 */
#include "store/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tc_store *s;
    tc_error err;
    if (tc_store_open_memory(&s, data, size, &err) != TC_OK) return 0;
    for (size_t i = 0; i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        int64_t n = tc_tensor_numel(t);
        if (tc_store_find(s, t->name) != t || (size_t)n * tc_dtype_size(t->dtype) != t->bytes) abort();
        tc_real *values = malloc(((size_t)n + 1) * sizeof *values);
        int64_t *integers = malloc(((size_t)n + 1) * sizeof *integers);
        if (values && integers) {
            tc_tensor_read(t, 0, n, values);
            tc_tensor_read_i64(t, 0, n, integers);
        }
        free(values);
        free(integers);
    }
    tc_store_close(&s);
    return 0;
}
