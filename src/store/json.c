/* json.c - JSON from outside, by jansson with its strict rules: UTF-8 only, no duplicate keys (compared after
 * escapes are decoded), no lone surrogates, no NUL in strings. The depth is limited before the parser sees
 * the text: jansson itself goes 2,048 levels deep. */
#include "store/store.h"

#include <stdlib.h>

enum { MAX_DEPTH = 128 }; /* serde's limit, which the safetensors reference has */

/* Deepest nesting of brackets outside strings; for text that is no JSON any number will do, the parser
 * refuses it afterwards. */
static size_t nesting(const char *text, size_t size) {
    size_t depth = 0, most = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > most) most = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return most;
}

/* jansson puts the text that it stopped at into its message; quotes and control characters there would spoil
 * ours. */
static void clean(char *message) {
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
}

tc_status tc_json_parse(json_t **out, const char *text, size_t size, const char *name, tc_error *err) {
    *out = NULL;
    if (nesting(text, size) > MAX_DEPTH)
        return tc_fail(err, TC_EFORMAT, "%s: JSON is nested more than %d levels deep", name, MAX_DEPTH);
    json_error_t e;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    if (root) {
        *out = root;
        return TC_OK;
    }
    if (json_error_code(&e) == json_error_out_of_memory) return tc_fail_memory(err, size);
    clean(e.text);
    return tc_fail(err, TC_EFORMAT, "%s: line %d, column %d: JSON: %s", name, e.line > 0 ? e.line : 1,
                   e.column > 0 ? e.column : 0, e.text);
}

tc_status tc_json_load(json_t **out, const char *path, size_t limit, tc_error *err) {
    char *text;
    size_t size;
    *out = NULL;
    tc_status status = tc_file_read(path, limit, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_json_parse(out, text, size, path, err);
    free(text);
    return status;
}
