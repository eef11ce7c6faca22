/* test_json.c - the JSON rules: what is refused, and that the message names file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/json_reader.h"

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

/* ---- typed values */

/* Reads every key of the example as its kind; what is wrong is in *err. */
static tc_status read_example(const char *text, const tc_json_dialect *dialect, tc_error *err) {
    static const char *const known[] = {"n", "x", "on", "name", "inner", "list", NULL};
    json_t *json;
    int counts[2] = {0};
    assert_int_equal(tc_json_parse(&json, text, strlen(text), "f.json", err), TC_OK);
    tc_json_reader r = {.name = "f.json", .dialect = dialect, .err = err};
    tc_json_object root = tc_json_root(&r, json);
    tc_json_only(&root, known, "");
    int64_t n = tc_json_whole(&root, "n", tc_range_of(1, 8), TC_JSON_NEEDED);
    double x = tc_json_real(&root, "x", (tc_range){0, 1, true, false}, 0.5);
    tc_json_flag(&root, "on", false, false);
    tc_json_text(&root, "name", 1, 3, false);
    tc_json_object inner = tc_json_inner(&root, "inner", false);
    int64_t y = tc_json_whole(&inner, "y", tc_range_of(0, INFINITY), -1);
    tc_json_wholes(&root, "list", tc_range_of(0, 9), 2, "has not two entries", counts);
    if (json_array_size(tc_json_list(&root, "list", false)) == 9) tc_json_entry(&root, "list", 8);
    /* Whatever was wrong: what is given is in the range, or stands for an absent key. */
    assert_true(n >= 1 && n <= 8 && x > 0 && x <= 1 && y >= -1);
    json_decref(json);
    return r.status;
}

static void test_reader(void **state) {
    static const struct {
        const char *text;
        const tc_json_dialect *dialect;
        const char *message; /* NULL: it is right */
    } cases[] = {
        {"{\"n\":8}", &tc_json_rules, NULL},
        {"{\"n\":8.0,\"x\":null,\"inner\":null}", &tc_json_config, NULL},
        {"{\"n\":1,\"x\":1,\"on\":true,\"name\":\"abc\",\"inner\":{\"y\":7},\"list\":[0,9]}", &tc_json_record,
         NULL},
        {"[]", &tc_json_rules, "f.json: must be an object"},
        {"[]", &tc_json_record, "f.json: is not an object"},
        {"{}", &tc_json_config, "f.json: n must be a whole number from 1 to 8"},
        {"{}", &tc_json_rules, "f.json: n: it is missing"},
        {"{}", &tc_json_record, "f.json: n is missing"},
        {"{\"n\":null}", &tc_json_rules, "f.json: n: must be a whole number from 1 to 8"},
        {"{\"n\":8.0}", &tc_json_rules, "f.json: n: must be a whole number from 1 to 8"},
        {"{\"n\":9}", &tc_json_record, "f.json: n is not a whole number from 1 to 8"},
        {"{\"n\":1.5}", &tc_json_config, "f.json: n must be a whole number from 1 to 8"},
        {"{\"n\":1e300}", &tc_json_config, "f.json: n must be a whole number from 1 to 8"},
        {"{\"n\":\"1\"}", &tc_json_config, "f.json: n must be a whole number from 1 to 8"},
        {"{\"n\":1,\"x\":0}", &tc_json_rules, "f.json: x: must be a number above 0 to 1"},
        {"{\"n\":1,\"x\":[]}", &tc_json_rules, "f.json: x: must be a number above 0 to 1"},
        {"{\"n\":1,\"on\":1}", &tc_json_rules, "f.json: on: must be true or false"},
        {"{\"n\":1,\"on\":1}", &tc_json_record, "f.json: on is neither true nor false"},
        {"{\"n\":1,\"name\":1}", &tc_json_rules, "f.json: name: must be a text"},
        {"{\"n\":1,\"name\":\"\"}", &tc_json_rules, "f.json: name: must be a text of 1 to 3 bytes"},
        {"{\"n\":1,\"name\":\"abcd\"}", &tc_json_record, "f.json: name is not a text of 1 to 3 bytes"},
        {"{\"n\":1,\"inner\":3}", &tc_json_rules, "f.json: inner: must be an object"},
        {"{\"n\":1,\"inner\":{\"y\":-1}}", &tc_json_record,
         "f.json: inner.y is not a whole number of at least 0"},
        {"{\"n\":1,\"inner\":{\"y\":2000000000000000}}", &tc_json_record,
         "f.json: inner.y is not a whole number of at least 0"},
        {"{\"n\":1,\"list\":3}", &tc_json_record, "f.json: list is not a list"},
        {"{\"n\":1,\"list\":[1]}", &tc_json_record, "f.json: list has not two entries"},
        {"{\"n\":1,\"list\":[1,-1]}", &tc_json_rules, "f.json: list[1]: must be a whole number from 0 to 9"},
        {"{\"n\":0,\"x\":5}", &tc_json_rules,
         "f.json: n: must be a whole number from 1 to 8"}, /* the first */
        {"{\"n\":1,\"n\\ny\":1}", &tc_json_rules,
         "f.json: n y: there is no such key; known are n, x, on, name, inner, list"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_error err = {0};
        tc_status status = read_example(cases[i].text, cases[i].dialect, &err);
        assert_int_equal(status, cases[i].message ? TC_EFORMAT : TC_OK);
        if (cases[i].message) assert_string_equal(err.message, cases[i].message);
    }
    (void)state;
}

/* An entry of a list is named by its place. */
static void test_entries(void **state) {
    json_t *json = json_pack("{s:{s:[{s:i}, i]}}", "a", "b", "c", 70, 1);
    tc_error err = {0};
    tc_json_reader r = {.name = "f.json", .dialect = &tc_json_record, .err = &err};
    tc_json_object root = tc_json_root(&r, json), a = tc_json_inner(&root, "a", true),
                   entry = tc_json_entry(&a, "b", 0);
    assert_string_equal(entry.path, "a.b[0]");
    assert_int_equal(tc_json_whole(&entry, "c", tc_range_any(), TC_JSON_NEEDED), 70);
    assert_int_equal(r.status, TC_OK);
    tc_json_entry(&a, "b", 1);
    assert_string_equal(err.message, "f.json: a.b[1] is not an object");
    json_decref(json);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_files), cmocka_unit_test(test_reader),
                                       cmocka_unit_test(test_entries)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
