/* golden_tokenizer.c - cases.json of the folder `tokenizer`: ids of both kinds and the cleaned text, exact.
 */
#include "golden/golden.h"

#include <stdlib.h>
#include <string.h>

/* The texts may hold NUL, which is why they are read here and not with golden_json. */
static json_t *load_cases(const char *dir) {
    json_error_t error;
    char *path = tc_path_join(dir, "cases.json");
    json_t *root = path ? json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error) : NULL;
    if (!root) golden_report(false, "tokenizer/cases.json", "%s", path ? error.text : "out of memory");
    free(path);
    return root;
}

/* Whether the tokenizer gives these ids and, behind them, `pad`; *at gets the first place that differs. */
static bool same_ids(const tc_tokenizer *t, const json_t *text, const json_t *expected, int context, int pad,
                     int *at) {
    int32_t *ids = tc_new((size_t)context, sizeof *ids);
    tc_error err;
    *at = -1;
    bool ok = ids && tc_tokenizer_encode_n(t, json_string_value(text), json_string_length(text), context, ids,
                                           NULL, NULL, &err) == TC_OK;
    for (int i = 0; ok && i < context; i++) {
        int wanted = (size_t)i < json_array_size(expected)
                         ? (int)json_integer_value(json_array_get(expected, (size_t)i))
                         : pad;
        if (ids[i] != wanted) {
            ok = false;
            *at = i;
        }
    }
    free(ids);
    return ok && json_array_size(expected) > 0 && json_array_size(expected) <= (size_t)context;
}

static bool same_clean(const tc_tokenizer *t, const json_t *text, const json_t *expected) {
    char *got = NULL;
    size_t size = 0;
    bool ok = tc_tokenizer_clean_n(t, json_string_value(text), json_string_length(text), &got, &size, NULL) ==
              TC_OK;
    ok = ok && size == json_string_length(expected) && memcmp(got, json_string_value(expected), size) == 0;
    free(got);
    return ok;
}

/* `value`, or what it stands for if it is "same". */
static const json_t *or_same(const json_t *value, const json_t *other) {
    return json_is_string(value) && strcmp(json_string_value(value), "same") == 0 ? other : value;
}

static void check_case(const json_t *root, const json_t *c, const tc_tokenizer *openclip,
                       const tc_tokenizer *hf) {
    const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, "open_clip"),
                 *pad = json_object_get(root, "pad");
    const json_t *clean = json_object_get(c, "clean"), *clean_tinyclip = json_object_get(c, "clean_tinyclip");
    int context = (int)golden_number(root, "context_length"), at = -1;
    char name[96];
    snprintf(name, sizeof name, "tokenizer/%d-%s", (int)golden_number(c, "id"),
             json_string_value(json_object_get(c, "category")));
    const char *wrong = NULL;
    if (!same_ids(openclip, text, ids, context, (int)golden_number(pad, "open_clip"), &at)) {
        wrong = "open_clip";
    } else if (!same_ids(openclip, text, or_same(json_object_get(c, "tinyclip"), ids), context,
                         (int)golden_number(pad, "tinyclip"), &at)) {
        wrong = "tinyclip";
    } else if (!same_ids(hf, text, or_same(json_object_get(c, "hf"), ids), context,
                         (int)golden_number(pad, "hf"), &at)) {
        wrong = "hf";
    } else if (!same_clean(openclip, text, clean ? clean : text) ||
               (clean_tinyclip && !same_clean(openclip, text, clean_tinyclip))) {
        wrong = "clean";
    }
    golden_report(!wrong, name, "%s differs, at id %d", wrong ? wrong : "nothing", at);
}

void golden_tokenizer(const char *dir) {
    tc_tokenizer *openclip = NULL, *hf = NULL;
    tc_error err;
    json_t *root = load_cases(dir), *c;
    size_t i;
    if (root &&
        golden_ok(tc_tokenizer_create(&openclip, TC_TOKENIZER_OPENCLIP, &err), &err, "tokenizer/openclip") &&
        golden_ok(tc_tokenizer_create(&hf, TC_TOKENIZER_HF, &err), &err, "tokenizer/hf")) {
        json_array_foreach(json_object_get(root, "cases"), i, c) check_case(root, c, openclip, hf);
        if (i == 0) golden_report(false, "tokenizer/cases.json", "no cases");
    }
    tc_tokenizer_close(&hf);
    tc_tokenizer_close(&openclip);
    json_decref(root);
}
