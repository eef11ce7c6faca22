/* fuzz_zip.c - any bytes as a file of PyTorch; every tensor of an accepted one is read to its end. */
#include "store/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tc_store *s;
    tc_error err;
    if (tc_store_open_memory(&s, data, size, &err) != TC_OK) return 0;
    for (size_t i = 0; i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        const uint8_t *bytes = tc_tensor_data(t, &err);
        volatile uint8_t sum = 0;
        for (size_t k = 0; bytes && k < t->bytes; k++) sum = (uint8_t)(sum + bytes[k]);
    }
    tc_store_close(&s);
    return 0;
}
