/* test_json.c - the JSON rules: what is refused, and that the message names file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/store.h"

static void expect(const char *text, size_t size, const char *message) {
    json_t *json;
    tc_error err = {0};
    char *copy = malloc(size ? size : 1); /* without a NUL behind it */
    if (size) memcpy(copy, text, size);
    tc_status status = tc_json_parse(&json, copy, size, "x.json", &err);
    free(copy);
    if (!message) {
        if (status != TC_OK) fail_msg("%s: %s", text, err.message);
        json_decref(json);
        return;
    }
    if (status != TC_EFORMAT) fail_msg("%s: accepted", text);
    assert_null(json);
    if (!tc_starts_with(err.message, "x.json: ") || !strstr(err.message, message))
        fail_msg("%s: %s", text, err.message);
}

static void test_cases(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\": [1, -2.5e3, true, null, \"\\u00e9\\ud83d\\ude00\"]}", NULL},
        {"[]", NULL},
        {" {} \n", NULL},
        {"", "JSON"},
        {"{", "JSON"},
        {"1", "JSON"},
        {"{}x", "JSON"},
        {"{\"a\":1,\"a\":1}", "duplicate"},
        {"{\"a\":1,\"\\u0061\":1}", "duplicate"},
        {"{\"x\":{\"a\":1,\"a\":2}}", "duplicate"},
        {"{\n\"a\":1,\n\"b\":}", "line 3"},
        {"[\"\\ud800\"]", "JSON"},
        {"[\"\\ud800\\u0041\"]", "JSON"},
        {"[\"\\udfff\"]", "JSON"},
        {"[\"a\\u0000b\"]", "JSON"},
        {"{\"a\\u0000b\":1}", "JSON"},
        {"[\"\xff\"]", "JSON"},
        {"[\"\xed\xa0\x80\"]", "JSON"},
        {"[\"\xf4\x90\x80\x80\"]", "JSON"},
        {"[\"\x01\"]", "JSON"},
        {"[1e999]", "JSON"},
        {"[99999999999999999999]", "JSON"},
        {"[NaN]", "JSON"},
        {"[01]", "JSON"},
        {"{'a':1}", "JSON"},
        {"[1,]", "JSON"},
        {"\xef\xbb\xbf{}", "JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].text, strlen(cases[i].text), cases[i].message);
    expect("[\"a\0b\"]", 7, "JSON");
    expect("[]\0", 3, "JSON");
}

static void test_depth(void **state) {
    (void)state;
    for (int depth = 128; depth <= 1000000; depth = depth == 128 ? 129 : depth == 129 ? 1000000 : depth + 1) {
        tc_buf b = {0};
        for (int i = 0; i < depth; i++) tc_buf_puts(&b, "[");
        for (int i = 0; i < depth; i++) tc_buf_puts(&b, "]");
        expect(b.data, b.size, depth > 128 ? "nested" : NULL);
        tc_buf_free(&b);
    }
    /* Brackets in strings do not count. */
    tc_buf b = {0};
    tc_buf_puts(&b, "[\"\\\"");
    for (int i = 0; i < 1000; i++) tc_buf_puts(&b, "[");
    tc_buf_puts(&b, "\"]");
    expect(b.data, b.size, NULL);
    tc_buf_free(&b);
}

static void test_files(void **state) {
    (void)state;
    char *dir = scratch_dir();
    json_t *json;
    tc_error err;
    const char *path = scratch_text(dir, "good.json", "{\"a\": 3}");
    assert_int_equal(tc_json_load(&json, path, 100, &err), TC_OK);
    assert_int_equal(json_integer_value(json_object_get(json, "a")), 3);
    json_decref(json);
    assert_int_equal(tc_json_load(&json, path, 7, &err), TC_ENOMEM);
    assert_null(json);
    path = scratch_text(dir, "bad.json", "{\"a\": 3,\n}");
    assert_int_equal(tc_json_load(&json, path, 100, &err), TC_EFORMAT);
    assert_true(tc_starts_with(err.message, path));
    assert_non_null(strstr(err.message, "line 2"));
    assert_int_equal(tc_json_load(&json, dir, 100, &err), TC_EIO);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_files)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
