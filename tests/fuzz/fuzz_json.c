/* fuzz_json.c - any bytes as JSON; what is accepted can be written and is accepted again. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *json, *again;
    tc_error err;
    if (tc_json_parse(&json, (const char *)data, size, "fuzz", &err) != TC_OK) return 0;
    char *text = json_dumps(json, JSON_COMPACT);
    if (text && tc_json_parse(&again, text, strlen(text), "fuzz", &err) != TC_OK) abort();
    if (text) json_decref(again);
    free(text);
    json_decref(json);
    return 0;
}
