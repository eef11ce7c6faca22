/* fuzz_csv.c - any bytes as a CSV file: every record is read, every field to its end. */
#include "data/csv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char *fields[TC_CSV_FIELDS];
    char *text = malloc(size + 1);
    tc_csv c;
    tc_error err;
    int n;
    bool bad;
    size_t all = 0;
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    tc_csv_init(&c, text, size, "fuzz");
    while (tc_csv_next(&c, fields, &n, &bad, &err) == TC_OK && n > 0)
        for (int i = 0; i < n; i++) all += strlen(fields[i]);
    if (all > size) abort();
    free(text);
    return 0;
}
