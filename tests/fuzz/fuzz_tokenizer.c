/* fuzz_tokenizer.c - any bytes as a text (both kinds), as cleaned text, and as a folder's vocabulary files.
 *
 * The first byte chooses: 0-127 a text; 128-191 "vocab.json" and "merges.txt" with a byte 0 between them;
 * 192-255 a tokenizer.json. */
#include "base/base.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok) {
    if (!ok) abort();
}

static void try_text(const tc_tokenizer *t, const char *text, size_t size) {
    int32_t ids[77], *all = NULL;
    size_t n = 0, cleaned_size = 0;
    int length = 0, truncated = 0;
    char *cleaned = NULL;
    require(tc_tokenizer_encode_n(t, text, size, 77, ids, &length, &truncated, NULL) == TC_OK);
    require(tc_tokenizer_ids(t, text, size, &all, &n, NULL) == TC_OK);
    require(n == (size_t)length + (size_t)truncated && ids[0] == tc_tokenizer_start(t) &&
            ids[length - 1] == tc_tokenizer_end(t));
    for (size_t i = 0; i < n; i++) require(all[i] >= 0 && all[i] < tc_tokenizer_size(t));
    require(tc_tokenizer_clean_n(t, text, size, &cleaned, &cleaned_size, NULL) == TC_OK);
    free(cleaned);
    free(all);
}

static void try_vocab(const uint8_t *data, size_t size, bool single_file) {
    const uint8_t *cut = single_file ? NULL : memchr(data, 0, size);
    size_t first = cut ? (size_t)(cut - data) : size;
    const char *text = (const char *)data, *merges = single_file ? NULL : cut ? (const char *)cut + 1 : "";
    tc_vocab *v = NULL;
    tc_error err = {0};
    tc_status status = tc_vocab_parse(&v, text, first, merges, cut ? size - first - 1 : 0, "input", &err);
    require((status == TC_OK) == (v != NULL) && (status == TC_OK || err.message[0]));
    for (size_t r = 0; v && r < v->merge_count; r++) {
        require(tc_vocab_rank(v, v->merges[r].left, v->merges[r].right) == r &&
                v->merges[r].product < v->size);
    }
    tc_vocab_close(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tc_tokenizer *openclip, *hf;
    if (!openclip) require(tc_tokenizer_create(&openclip, TC_TOKENIZER_OPENCLIP, NULL) == TC_OK);
    if (!hf) require(tc_tokenizer_create(&hf, TC_TOKENIZER_HF, NULL) == TC_OK);
    if (size == 0) return 0;
    if (data[0] < 128) {
        try_text(openclip, (const char *)data + 1, size - 1);
        try_text(hf, (const char *)data + 1, size - 1);
    } else {
        try_vocab(data + 1, size - 1, data[0] >= 192);
    }
    return 0;
}
