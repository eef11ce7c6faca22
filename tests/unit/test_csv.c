/* test_csv.c - records of RFC 4180 and what is wrong with the others; columns, skipped rows and paths of CSV
 * data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/csv.h"
#include "scratch.h"

/* All records of a text as "a|b|c" lines joined by '/', a '!' before a badly quoted one; on an error its
 * message. The caller frees it. */
static char *records(const char *text, size_t size, tc_status *status) {
    char *copy = malloc(size + 1), *fields[TC_CSV_FIELDS];
    tc_buf out = {0};
    tc_csv c;
    tc_error err = {0};
    int n;
    bool bad;
    memcpy(copy, text, size);
    copy[size] = 0;
    tc_csv_init(&c, copy, size, "x.csv");
    while ((*status = tc_csv_next(&c, fields, &n, &bad, &err)) == TC_OK && n > 0) {
        if (out.size) tc_buf_puts(&out, "/");
        if (bad) tc_buf_puts(&out, "!");
        for (int i = 0; i < n; i++) tc_buf_printf(&out, "%s%s", i ? "|" : "", fields[i]);
    }
    if (*status != TC_OK) {
        out.size = 0;
        tc_buf_puts(&out, err.message);
    }
    free(copy);
    return tc_buf_take(&out);
}

static void test_records(void **state) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"a,b", "a|b"},
        {"a,b\n", "a|b"},
        {"a,b\r\nc,d\r\n", "a|b/c|d"},
        {"a,b\rc,d\r", "a|b/c|d"},
        {"\n\r\n\na\n\n\nb\n\n", "a/b"},
        {",\n", "|"},
        {"a,", "a|"},
        {"a,,c", "a||c"},
        {"\"a,b\",c", "a,b|c"},
        {"\"a\"\"b\"\"\",c", "a\"b\"|c"},
        {"\"\",\"\"", "|"},
        {"\"a\nb\",c\nd,e", "a\nb|c/d|e"},
        {"\"a\r\nb\",c", "a\r\nb|c"},
        {"a\"b\",c", "a\"b\"|c"},
        {"\"a\"x,b\nc,d", "!a|b/c|d"},
        {"\xef\xbb\xbf"
         "a,b",
         "a|b"},
        {"\xef\xbb\xbf\"a\",b", "a|b"},
        {"a\tb,c\n1\t2,3", "a|b,c/1|2,3"},
        {"a,b\n1\t2,3", "a|b/1\t2|3"},
        {" a , b ", " a | b "},
        {"\xff,\xc3\xa9", "\xff|\xc3\xa9"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_status status;
        char *got = records(cases[i].text, strlen(cases[i].text), &status);
        assert_int_equal(status, TC_OK);
        assert_string_equal(got, cases[i].expected);
        free(got);
    }
}

static void expect_error(const char *text, size_t size, const char *message) {
    tc_status status;
    char *got = records(text, size, &status);
    if (status != TC_EFORMAT || !tc_starts_with(got, "x.csv: line ") || !strstr(got, message))
        fail_msg("instead of '%s': %s", message, got);
    free(got);
}

static void test_broken_records(void **state) {
    (void)state;
    expect_error("a,b\nc,\"d\ne\n", 11, "line 2: a quote is opened and never closed");
    expect_error("\"", 1, "never closed");
    expect_error("\"a\"\"", 4, "never closed");
    expect_error("a,b\nc,d\0e\n", 10, "line 2: NUL");
    expect_error("a,b\n\"c\0\",d", 10, "line 2: NUL");
    expect_error("\0", 1, "line 1: NUL");
    tc_buf giant = {0};
    tc_buf_puts(&giant, "a,b\nc,");
    for (int i = 0; i <= TC_CSV_RECORD_LIMIT; i++) tc_buf_puts(&giant, "x");
    expect_error(giant.data, giant.size, "line 2: record of more than");
    tc_buf_free(&giant);
    tc_buf wide = {0};
    for (int i = 0; i < TC_CSV_FIELDS; i++) tc_buf_puts(&wide, ",");
    expect_error(wide.data, wide.size, "line 1: more than 1024 fields");
    tc_buf_free(&wide);
}

/* ---- as data */

static tc_data *open_text(const char *dir, const char *text, const tc_data_options *options, tc_error *err) {
    tc_data *d;
    tc_data_open(&d, scratch_text(dir, "list.csv", text), options, err);
    return d;
}

static void expect_rows(const char *text, const char *expected, const char *skipped) {
    char *dir = scratch_dir(), buffer[256];
    tc_error err = {0};
    tc_buf got = {0};
    tc_data *d = open_text(dir, text, NULL, &err);
    if (!d) fail_msg("%s: %s", text, err.message);
    for (int64_t i = 0; i < tc_data_count(d); i++) {
        assert_int_equal(tc_data_label(d, i), -1);
        assert_int_equal(tc_data_caption(d, i, 0, buffer, sizeof buffer, &err), TC_OK);
        tc_buf_printf(&got, "%s%s=%s", i ? "/" : "", tc_data_name(d, i, NULL, 0), buffer);
    }
    assert_string_equal(got.data, expected);
    assert_string_equal(tc_data_skipped(d), skipped);
    assert_int_equal(tc_data_classes(d), 0);
    tc_buf_free(&got);
    tc_data_close(&d);
    scratch_remove(dir);
}

static void test_rows(void **state) {
    (void)state;
    expect_rows("filepath,caption\na.png,one\n\"b,c.png\",\"two, three\"\n", "a.png=one/b,c.png=two, three",
                "");
    expect_rows("\xef\xbb\xbf"
                "Caption,Image\r\none,a.png\r\n",
                "a.png=one", "");
    expect_rows("filepath\ttitle\na.png\tone, two\n", "a.png=one, two", "");
    expect_rows("id,text,filename,extra\n1,one,a.png,x\n", "a.png=one", "");
    expect_rows("title,caption,path\nt,c,a.png\n", "a.png=c", "");
    expect_rows("image,caption\na.png,one\nb.png\nc.png,two,three\nd.png,four\n", "a.png=one/d.png=four",
                "2 rows with another number of fields than the header");
    expect_rows("image,caption\n,one\nb.png, \nc.png,three\nhttp://x/y.png,four\n\"d.png\"x,five\n",
                "c.png=three",
                "1 row with text behind a closing quote\n1 row without an image\n1 row without a caption\n"
                "1 row whose image is an address on the network");
}

static void expect_refused(const char *text, const tc_data_options *options, const char *message) {
    char *dir = scratch_dir();
    tc_error err = {0};
    tc_data *d = open_text(dir, text, options, &err);
    assert_null(d);
    if (!tc_starts_with(err.message, dir) || !strstr(err.message, message)) fail_msg("%s", err.message);
    assert_null(strchr(err.message, '\n'));
    scratch_remove(dir);
}

static void test_refused(void **state) {
    (void)state;
    tc_data_options o = tc_data_options_default();
    o.caption_column = "titel";
    expect_refused("", NULL, "no header");
    expect_refused("image,caption\n", NULL, "no samples");
    expect_refused("image,caption\na.png\n", NULL, "no samples; skipped: 1 row with another");
    expect_refused(
        "picture,caption\na.png,one\n", NULL,
        "no image column of a usual name (give it with an option); the header has 'picture', 'caption'");
    expect_refused("image,words\na.png,one\n", NULL, "no caption column");
    expect_refused("image,caption\na.png,one\n", &o, "no caption column 'titel'");
    expect_refused("image,caption\na.png,\"one\n", NULL, "line 2: a quote");
}

static void test_chosen_columns(void **state) {
    (void)state;
    char *dir = scratch_dir(), buffer[100];
    char image[] = "b", caption[] = "c"; /* need not outlive the call */
    tc_data_options o = tc_data_options_default();
    o.image_column = image;
    o.caption_column = caption;
    tc_data *d = open_text(dir, "image,caption,b,c\n1,2,3,4\n", &o, NULL);
    assert_non_null(d);
    assert_string_equal(tc_data_name(d, 0, NULL, 0), "3");
    assert_int_equal(tc_data_caption(d, 0, 0, buffer, sizeof buffer, NULL), TC_OK);
    assert_string_equal(buffer, "4");
    tc_data_close(&d);
    scratch_remove(dir);
}

static void test_images_lie_beside_the_file(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_preprocess p = tc_preprocess_default(4);
    float pixels[48];
    tc_error err;
    tc_buf text = {0};
    tc_buf_printf(&text, "image,caption\na.bmp,relative\n%s/a.bmp,absolute\nmissing.bmp,three\n%s,a folder\n",
                  dir, dir);
    scratch_bmp(dir, "a.bmp", 4, 200);
    tc_data *d = open_text(dir, text.data, NULL, &err);
    assert_non_null(d);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tc_data_image(d, i, &p, pixels, &err), TC_OK);
        assert_float_equal(pixels[0], (200 * p.rescale - p.mean[0]) / p.std[0], 1e-5);
    }
    assert_int_equal(tc_data_image(d, 2, &p, pixels, &err), TC_EIO);
    assert_non_null(strstr(err.message, "missing.bmp"));
    assert_int_equal(tc_data_image(d, 3, &p, pixels, &err), TC_EIO);
    assert_int_equal(tc_data_image(d, 4, &p, pixels, &err), TC_EARG);
    assert_int_equal(tc_data_image(d, -1, &p, pixels, &err), TC_EARG);
    tc_data_close(&d);
    tc_buf_free(&text);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),        cmocka_unit_test(test_broken_records),
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_chosen_columns), cmocka_unit_test(test_images_lie_beside_the_file),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
