/* test_report.c - records become a page or an error whatever allocation fails; a table of models as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/report.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

/* ---- allocations of the library, of which one fails */

static long left = -1; /* that succeed before one fails; -1: none does */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails(void) { return left >= 0 && left-- == 0; }

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return fails() ? NULL : __real_realloc(p, size); }

/* ---- a record with all that a page can show but examples */

static char *text; /* compress.json, log.jsonl and speed.json, with a NUL behind each */
static size_t size;

static int read_seed(void **state) {
    (void)state;
    return tc_file_read("tests/fuzz/corpus/report/classes-and-speeds", 1 << 20, &text, &size, NULL);
}

static int free_seed(void **state) {
    (void)state;
    free(text);
    return 0;
}

static tc_status make_page(tc_buf *page, tc_error *err) {
    const char *log = text + strlen(text) + 1, *speeds = log + strlen(log) + 1;
    tc_compress_record run;
    tc_report r = {.dir = "folder", .runs = &run, .count = 1};
    tc_status status = tc_compress_record_parse(&run, "folder", "compress.json", text, strlen(text), err);
    if (status == TC_OK) status = tc_run_log_parse(&run.stages[0].log, "log.jsonl", log, strlen(log), err);
    if (status == TC_OK) status = tc_report_list(&r, err);
    if (status == TC_OK) status = tc_report_parse_speeds(&r, "speed.json", speeds, strlen(speeds), err);
    if (status == TC_OK) status = tc_report_page(page, &r, 0, NULL, err);
    free(r.models);
    tc_compress_record_free(&run);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    tc_buf whole = {0};
    tc_error err;
    assert_int_equal(make_page(&whole, &err), TC_OK);
    long n = 0;
    for (bool reached = true; reached; n++) {
        tc_buf page = {0};
        left = n;
        tc_status status = make_page(&page, &err);
        reached = left < 0;
        left = -1;
        if (status == TC_OK) assert_string_equal(page.data, whole.data);
        else assert_int_equal(status, TC_ENOMEM);
        tc_buf_free(&page);
    }
    assert_true(n > 50);
    tc_buf_free(&whole);
}

/* ---- the table as text */

static void write_record(const char *dir, const char *more) {
    char path[600];
    tc_buf b = {0};
    assert_int_equal(tc_make_dirs(dir, NULL), TC_OK);
    snprintf(path, sizeof path, "%s/compress.json", dir);
    tc_buf_printf(&b,
                  "{\"version\":\"1\",\"finished\":true,\"teacher\":{\"params\":5000000,"
                  "\"params_without_tokens\":1946305,\"macs_image\":31e6,\"macs_text\":2.5e6%s},\"stages\":["
                  "{\"name\":\"50\",\"inheritance\":\"auto\",\"steps\":200,\"seconds\":26,\"done\":true,"
                  "\"folder\":\"stage-1\",\"params\":900,\"params_without_tokens\":800%s},"
                  "{\"name\":\"tiny\",\"inheritance\":\"auto\",\"steps\":1,\"seconds\":100,\"done\":true,"
                  "\"folder\":\"stage-2\",\"params\":90,\"params_without_tokens\":80%s}]}",
                  more, more, more);
    assert_int_equal(tc_file_write(path, b.data, b.size, NULL), TC_OK);
    tc_buf_free(&b);
}

static void test_table(void **state) {
    (void)state;
    char *parent = scratch_dir(), *dir = tc_path_join(parent, "run"), *table;
    write_record(dir, ",\"top1\":0.84,\"images_per_second\":7812.5");
    assert_int_equal(tc_report_table(dir, &table, NULL), TC_OK);
    const char *lines = strchr(table, '\n') + 1;
    assert_true(tc_starts_with(lines, "teacher                 1,946,305  33.5\xc2\xa0M   84.00    7,810\n"));
    assert_non_null(strstr(lines, "\n50 %     run                  800"));
    assert_non_null(strstr(lines, "   200         26\xc2\xa0s\n"));
    /* of both stages */
    assert_non_null(strstr(lines, "   201    2\xc2\xa0min 6\xc2\xa0s\n"));
    free(table);
    write_record(dir, "");
    assert_int_equal(tc_report_table(dir, &table, NULL), TC_OK);
    assert_null(strstr(table, "nan"));
    free(table);
    free(dir);
    scratch_remove(parent);
}

static void test_options(void **state) {
    (void)state;
    tc_report_options o = tc_report_options_default();
    assert_int_equal(tc_report_write(&o, NULL, NULL), TC_EARG);
    o.dir = "/nowhere/at/all";
    assert_int_equal(tc_report_write(&o, NULL, NULL), TC_EIO);
    o.examples = TC_REPORT_MOST_EXAMPLES + 1;
    assert_int_equal(tc_report_write(&o, NULL, NULL), TC_EARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_options)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, read_seed, free_seed);
}
