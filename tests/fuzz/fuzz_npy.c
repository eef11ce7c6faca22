/* fuzz_npy.c - any bytes as a .npy file; an accepted array is read to its end. */
#include "store/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tc_tensor t;
    tc_error err;
    if (tc_npy_parse(&t, data, size, "fuzz", &err) != TC_OK) return 0;
    int64_t n = tc_tensor_numel(&t);
    tc_real *values = malloc(((size_t)n + 1) * sizeof *values);
    if (values) tc_tensor_read(&t, 0, n, values);
    free(values);
    return 0;
}
