/* test_safetensors.c - every rule of the safetensors reader, each with a file that breaks it and nothing
 * else; the shards; the writer.
 *
 * `test_safetensors --write-cases DIR` writes the files instead, so that tests/parity/parity_safetensors.py
 * can show them to the Rust crate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/store.h"

#include <math.h>

#define A(range) "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" range "}"
#define B(range) "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" range "}"
#define ONE(shape, range) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" range "}}"

enum { ACCEPT, REFUSE, STRICTER }; /* STRICTER: refused here, accepted by the reference */

/* A file of N (or the length given here), the header and `data` bytes. */
static const struct {
    const char *name;
    int kind;
    const char *header;
    size_t data;
    const char *message; /* what the error must say, or for ACCEPT the number of tensors as text */
} cases[] = {
    {"one", ACCEPT, "{" A("[0,4]") "}", 4, "1"},
    {"two", ACCEPT, "{" B("[4,8]") "," A("[0,4]") "}", 8, "2"},
    {"scalar", ACCEPT, ONE("[]", "[0,4]"), 4, "1"},
    {"no-elements", ACCEPT, ONE("[2,0]", "[0,0]"), 0, "1"},
    {"no-tensors", ACCEPT, "{}", 0, "0"},
    {"space-padding", ACCEPT, "{" A("[0,4]") "}     ", 4, "1"},
    {"leading-space", ACCEPT, " \n{" A("[0,4]") "}", 4, "1"},
    {"empty-between", ACCEPT,
     "{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}," A("[0,4]") "," B("[4,8]") "}", 8,
     "3"},
    {"metadata", ACCEPT, "{\"__metadata__\":{\"format\":\"pt\",\"minus\":\"-0\"}," A("[0,4]") "}", 4, "1"},
    {"metadata-null", ACCEPT, "{\"__metadata__\":null," A("[0,4]") "}", 4, "1"},
    {"unknown-field", ACCEPT, "{\"a\":{\"x\":[1.5],\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "1"},
    {"unicode-name", ACCEPT,
     "{\"\\ud83d\\ude00\\u00e9\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "1"},
    {"header-empty", REFUSE, "", 0, "JSON"},
    {"05-not-utf8", REFUSE, "{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "JSON"},
    {"05-overlong-utf8", REFUSE, "{\"a\xc0\xaf\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "JSON"},
    {"06-open-brace", REFUSE, "{", 0, "JSON"},
    {"07-trailing-bytes", REFUSE, "{" A("[0,4]") "}", 5, "1 bytes behind"},
    {"07-trailing-json", REFUSE, "{" A("[0,4]") "}{}", 4, "JSON"},
    {"08-two-short", REFUSE, "{" A("[0,4]") "}", 2, "cut short"},
    {"09-one-range", REFUSE,
     "{" A("[0,4]") "," B("[0,4]") ",\"c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "overlaps"},
    {"10-range-long", REFUSE, ONE("[1]", "[0,8]"), 8, "takes 4 bytes"},
    {"10-range-short", REFUSE, ONE("[2]", "[0,4]"), 4, "takes 8 bytes"},
    {"11-overflow", REFUSE, ONE("[2,18446744073709551614]", "[0,4]"), 4, "JSON"},
    {"11-overflow-signed", REFUSE, ONE("[4,9223372036854775807]", "[0,4]"), 4, "too large"},
    {"12-overflow-itemsize", REFUSE, ONE("[2,9223372036854775807]", "[0,4]"), 4, "too large"},
    {"12-overflow-to-4", REFUSE, ONE("[4611686018427387905]", "[0,4]"), 4, "too large"},
    {"14-duplicate-name", STRICTER, "{" A("[0,4]") "," A("[0,4]") "}", 4, "duplicate"},
    {"14-duplicate-escaped", STRICTER,
     "{" A("[0,4]") ",\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
    {"14-duplicate-field", REFUSE,
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
    {"14-duplicate-metadata", REFUSE, "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
    {"14-duplicate-metadata-key", STRICTER, "{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", 0, "duplicate"},
    {"15-first-start", REFUSE, "{" A("[4,8]") "}", 8, "expected 0"},
    {"16-hole", REFUSE, "{" A("[0,4]") "," B("[8,12]") "}", 12, "hole"},
    {"17-end-before-start", REFUSE, ONE("[1]", "[4,0]"), 4, "before its start"},
    {"18-negative", REFUSE, ONE("[-1]", "[0,4]"), 4, "whole number"},
    {"18-negative-offset", REFUSE, ONE("[1]", "[-4,0]"), 4, "whole numbers"},
    {"18-minus-zero", REFUSE, ONE("[1]", "[-0,4]"), 4, "negative"},
    {"18-float", REFUSE, ONE("[1.0]", "[0,4]"), 4, "whole number"},
    {"18-exponent", REFUSE, ONE("[1]", "[0,4e0]"), 4, "whole numbers"},
    {"18-string", REFUSE, ONE("[\"1\"]", "[0,4]"), 4, "whole number"},
    {"18-true", REFUSE, ONE("[true]", "[0,4]"), 4, "whole number"},
    {"18-leading-zero", REFUSE, ONE("[01]", "[0,4]"), 4, "JSON"},
    {"19-nine-axes", STRICTER, ONE("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "9 axes"},
    {"20-dtype", REFUSE, "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'F31'"},
    {"20-dtype-lower", REFUSE, "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "'f32'"},
    {"20-dtype-of-others", STRICTER, "{\"a\":{\"dtype\":\"F4\",\"shape\":[8],\"data_offsets\":[0,4]}}", 4,
     "'F4'"},
    {"20-dtype-number", REFUSE, "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype"},
    {"22-lone-surrogate", REFUSE, "{\"a\\ud800\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "JSON"},
    {"22-low-surrogate", REFUSE, "{\"a\\udc00\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "JSON"},
    {"22-nul", STRICTER, "{\"a\\u0000\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "JSON"},
    {"22-control", REFUSE, "{\"a\x01\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "JSON"},
    {"metadata-number", REFUSE, "{\"__metadata__\":{\"a\":1}," A("[0,4]") "}", 4, "not a string"},
    {"metadata-list", REFUSE, "{\"__metadata__\":[]," A("[0,4]") "}", 4, "not an object"},
    {"not-an-object", REFUSE, "[]", 0, "not a JSON object"},
    {"null", REFUSE, "null", 0, "JSON"},
    {"tensor-null", REFUSE, "{\"a\":null}", 0, "described by an object"},
    {"tensor-list", STRICTER, "{\"a\":[\"F32\",[1],[0,4]]}", 4, "described by an object"},
    {"no-shape", REFUSE, "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape"},
    {"no-range", REFUSE, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
    {"range-of-three", REFUSE, ONE("[1]", "[0,4,4]"), 4, "data_offsets"},
    {"range-of-one", REFUSE, ONE("[1]", "[4]"), 4, "data_offsets"},
    {"byte-order-mark", REFUSE, "\xef\xbb\xbf{" A("[0,4]") "}", 4, "JSON"},
};
enum { NCASES = sizeof cases / sizeof *cases };

static void put_size(tc_buf *b, uint64_t n) {
    for (int i = 0; i < 8; i++) tc_buf_add(b, &(uint8_t){(uint8_t)(n >> (8 * i))}, 1);
}

/* The caller frees b. */
static void make_file(tc_buf *b, const char *header, size_t header_size, size_t data) {
    put_size(b, header_size);
    tc_buf_add(b, header, header_size);
    for (size_t i = 0; i < data; i++) tc_buf_add(b, &(uint8_t){(uint8_t)(i + 1)}, 1);
    assert_false(b->failed);
}

/* Refused from a file and from memory, with one message that names the file and holds `message`. */
static void expect_refused(const char *name, const tc_buf *b, const char *message) {
    char *dir = scratch_dir();
    const char *path = scratch_file(dir, name, b->size ? b->data : "", b->size);
    tc_store *s;
    tc_error err = {0};
    if (tc_store_open(&s, path, &err) == TC_OK) fail_msg("%s was accepted", name);
    assert_null(s);
    if (!tc_starts_with(err.message, path) || !strstr(err.message, message))
        fail_msg("%s: message is: %s", name, err.message);
    assert_int_not_equal(err.status, TC_OK);
    assert_null(strchr(err.message, '\n'));
    /* An own allocation, so that a sanitizer sees a read past the end. */
    char *copy = malloc(b->size ? b->size : 1);
    if (b->size) memcpy(copy, b->data, b->size);
    if (tc_store_open_memory(&s, copy, b->size, &err) == TC_OK) fail_msg("%s was accepted from memory", name);
    free(copy);
    scratch_remove(dir);
}

static void expect_accepted(const char *name, const tc_buf *b, size_t count) {
    char *dir = scratch_dir();
    tc_store *s;
    tc_error err = {0};
    if (tc_store_open(&s, scratch_file(dir, name, b->data, b->size), &err) != TC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(tc_store_count(s), count);
    assert_int_equal(tc_store_check(s, &err), TC_OK);
    tc_store_close(&s);
    if (tc_store_open_memory(&s, b->data, b->size, &err) != TC_OK) fail_msg("%s", err.message);
    assert_int_equal(tc_store_count(s), count);
    tc_store_close(&s);
    scratch_remove(dir);
}

static void test_table(void **state) {
    (void)state;
    for (int i = 0; i < NCASES; i++) {
        tc_buf b = {0};
        make_file(&b, cases[i].header, strlen(cases[i].header), cases[i].data);
        if (cases[i].kind == ACCEPT) expect_accepted(cases[i].name, &b, strtoul(cases[i].message, NULL, 10));
        else expect_refused(cases[i].name, &b, cases[i].message);
        tc_buf_free(&b);
    }
}

/* Cases 1 to 4: the file is broken before its JSON begins. */
static void build_short(int number, tc_buf *b) {
    if (number >= 2) put_size(b, number == 2 ? 2 : number == 3 ? 100000001 : number == 4 ? 3 : UINT64_MAX);
    if (number >= 3) tc_buf_add(b, "{}", 2);
    if (number == 6) b->size = 7;
}
static const char *const short_messages[] = {
    "", "an empty file", "past the end", "limit", "past the end", "limit", "too short"};

static void test_cut_before_the_header(void **state) {
    (void)state;
    for (int number = 1; number <= 6; number++) {
        tc_buf b = {0};
        build_short(number, &b);
        expect_refused("short", &b, short_messages[number]);
        tc_buf_free(&b);
    }
}

static void build_overlapping(tc_buf *b) {
    tc_buf h = {0};
    tc_buf_puts(&h, "{");
    for (int i = 0; i < 100000; i++)
        tc_buf_printf(&h, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", i ? "," : "",
                      i);
    tc_buf_puts(&h, "}");
    make_file(b, h.data, h.size, 4);
    tc_buf_free(&h);
}

static void test_100000_overlapping(void **state) {
    (void)state;
    tc_buf b = {0};
    build_overlapping(&b);
    expect_refused("13-overlapping", &b, "overlaps");
    tc_buf_free(&b);
}

static void build_rank(tc_buf *b, int rank) {
    tc_buf h = {0};
    tc_buf_puts(&h, "{\"a\":{\"dtype\":\"F32\",\"shape\":[0");
    for (int i = 1; i < rank; i++) tc_buf_puts(&h, ",1");
    tc_buf_puts(&h, "],\"data_offsets\":[0,0]}}");
    make_file(b, h.data, h.size, 0);
    tc_buf_free(&h);
}

static void test_absurd_rank(void **state) {
    (void)state;
    tc_buf b = {0};
    build_rank(&b, 1000000);
    expect_refused("19-rank", &b, "1000000 axes");
    tc_buf_free(&b);
}

static void build_deep(tc_buf *b, size_t depth, const char *open, bool closed) {
    tc_buf h = {0};
    tc_buf_puts(&h, "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":");
    for (size_t i = 0; i < depth; i++) tc_buf_puts(&h, open);
    for (size_t i = 0; i < depth && closed; i++) tc_buf_puts(&h, "]");
    tc_buf_puts(&h, "}}");
    make_file(b, h.data, h.size, 0);
    tc_buf_free(&h);
}

static void test_deep_json(void **state) {
    (void)state;
    tc_buf b = {0}, c = {0}, d = {0};
    build_deep(&b, 1000000, "[", true);
    expect_refused("21-deep", &b, "nested");
    build_deep(&c, 1000000, "{\"a\":", false);
    expect_refused("21-deep-objects", &c, "nested");
    build_deep(&d, 100, "[", true);
    expect_accepted("deep-enough", &d, 1);
    tc_buf_free(&b);
    tc_buf_free(&c);
    tc_buf_free(&d);
}

/* ---- what an accepted file yields */

static void test_values(void **state) {
    (void)state;
    tc_buf b = {0};
    const char *header =
        "{\"__metadata__\":{\"k\":\"v\"},\"z\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[4,8]}," A(
            "[0,4]") "}";
    put_size(&b, strlen(header));
    tc_buf_puts(&b, header);
    tc_buf_add(&b, "\x00\x00\x20\xc0\xff\xff\x02\x01", 8);
    tc_store *s;
    assert_int_equal(tc_store_open_memory(&s, b.data, b.size, NULL), TC_OK);
    assert_string_equal(tc_store_at(s, 0)->name, "a");
    assert_string_equal(tc_store_at(s, 1)->name, "z");
    assert_null(tc_store_at(s, 2));
    assert_null(tc_store_find(s, "b"));
    assert_string_equal(tc_store_metadata(s, "k"), "v");
    assert_null(tc_store_metadata(s, "other"));
    tc_real x;
    int64_t v[2];
    assert_true(tc_tensor_read(tc_store_find(s, "a"), 0, 1, &x));
    assert_true(x == (tc_real)-2.5);
    assert_false(tc_tensor_read(tc_store_find(s, "a"), 1, 1, &x));
    assert_false(tc_tensor_read(tc_store_find(s, "a"), -1, 1, &x));
    assert_true(tc_tensor_read_i64(tc_store_find(s, "z"), 0, 2, v));
    assert_int_equal(v[0], -1);
    assert_int_equal(v[1], 0x102);
    assert_false(tc_tensor_read_i64(tc_store_find(s, "a"), 0, 1, v));
    tc_store_close(&s);
    tc_buf_free(&b);
}

static void expect_read(tc_dtype dtype, const void *bytes, double expected) {
    tc_tensor t = {.name = "t", .dtype = dtype, .ndim = 0, .data = bytes, .bytes = tc_dtype_size(dtype)};
    tc_real x = 0;
    assert_true(tc_tensor_read(&t, 0, 1, &x));
    if ((double)x != expected) fail_msg("%s: %g instead of %g", tc_dtype_name(dtype), (double)x, expected);
}

static void test_conversions(void **state) {
    (void)state;
    expect_read(TC_F16, "\x00\x3c", 1.0);
    expect_read(TC_F16, "\x01\x00", 0x1p-24);
    expect_read(TC_F16, "\xff\x83", -0x3ffp-24);
    expect_read(TC_F16, "\x00\x04", 0x1p-14);
    expect_read(TC_F16, "\xff\x7b", 65504);
    expect_read(TC_F16, "\x00\xfc", -1.0 / 0.0);
    expect_read(TC_BF16, "\x80\x3f", 1.0);
    expect_read(TC_BF16, "\x01\x00", 0x1p-133);
    expect_read(TC_F64, "\x00\x00\x00\x00\x00\x00\xf8\xbf", -1.5);
    expect_read(TC_I8, "\x80", -128);
    expect_read(TC_U8, "\x80", 128);
    expect_read(TC_I32, "\xfe\xff\xff\xff", -2);
    expect_read(TC_U32, "\x00\x00\x00\x80", 2147483648.0);
    expect_read(TC_BOOL, "\x01", 1);
    tc_tensor t = {.name = "t", .dtype = TC_F8_E4M3, .ndim = 0, .data = (const uint8_t *)"\x01", .bytes = 1};
    tc_real x;
    int64_t v;
    assert_false(tc_tensor_read(&t, 0, 1, &x));
    t = (tc_tensor){.name = "t",
                    .dtype = TC_U64,
                    .ndim = 0,
                    .data = (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff",
                    .bytes = 8};
    assert_false(tc_tensor_read_i64(&t, 0, 1, &v));
}

/* All 65536 halves against the definition: sign, exponent, fraction. */
static void test_every_half(void **state) {
    (void)state;
    static uint8_t bytes[2 * 65536];
    static tc_real values[65536];
    for (int h = 0; h < 65536; h++) bytes[2 * h] = (uint8_t)h, bytes[2 * h + 1] = (uint8_t)(h >> 8);
    tc_tensor t = {
        .name = "t", .dtype = TC_F16, .ndim = 1, .shape = {65536}, .data = bytes, .bytes = sizeof bytes};
    assert_true(tc_tensor_read(&t, 0, 65536, values));
    for (int h = 0; h < 65536; h++) {
        int exponent = h >> 10 & 31, fraction = h & 1023;
        double x = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31) x = fraction ? NAN : INFINITY;
        if (h & 0x8000) x = -x;
        if (isnan(x) ? !isnan(values[h]) : (double)values[h] != x || !signbit(values[h]) != !signbit(x))
            fail_msg("%04x: %g", h, (double)values[h]);
    }
}

/* Case 23. */
static void test_shortened_file(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_buf b = {0};
    const char *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[10000],\"data_offsets\":[0,10000]}}";
    make_file(&b, header, strlen(header), 10000);
    const char *path = scratch_file(dir, "model.safetensors", b.data, b.size);
    tc_store *s;
    tc_error err;
    assert_int_equal(tc_store_open(&s, path, &err), TC_OK);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(tc_store_check(s, &err), TC_EIO);
    assert_non_null(strstr(err.message, "shortened"));
    tc_store_close(&s);
    tc_buf_free(&b);
    scratch_remove(dir);
}

/* kB of the mapping of `path` that are in memory, or -1. */
static long resident(const char *path) {
    char line[8192];
    long kb = -1;
    bool found = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f) return -1;
    while (kb < 0 && fgets(line, sizeof line, f)) {
        if (strstr(line, path)) found = true;
        if (found && tc_starts_with(line, "Rss:")) kb = strtol(line + 4, NULL, 10);
    }
    fclose(f);
    return kb;
}

static void test_opening_touches_no_data(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_buf b = {0};
    const char *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1073741824],\"data_offsets\":[0,1073741824]}}";
    make_file(&b, header, strlen(header), 0);
    const char *path = scratch_file(dir, "large.safetensors", b.data, b.size);
    assert_int_equal(truncate(path, (off_t)b.size + 1073741824), 0);
    tc_store *s;
    assert_int_equal(tc_store_open(&s, path, NULL), TC_OK);
    long before = resident(path);
    int64_t v;
    assert_true(tc_tensor_read_i64(tc_store_find(s, "a"), 1000000, 1, &v));
    long after = resident(path);
    if (before >= 0) assert_int_equal(before, 0);
    if (before >= 0) assert_true(after > 0); /* the figure is of the right mapping */
    tc_store_close(&s);
    tc_buf_free(&b);
    scratch_remove(dir);
}

/* ---- shards */

static void write_shard(const char *dir, const char *name, const char *tensor) {
    char header[200];
    tc_buf b = {0};
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
             tensor);
    make_file(&b, header, strlen(header), 1);
    scratch_file(dir, name, b.data, b.size);
    tc_buf_free(&b);
}

static void expect_index(const char *index, const char *message) {
    char *dir = scratch_dir();
    tc_store *s;
    tc_error err = {0};
    write_shard(dir, "1.safetensors", "a");
    write_shard(dir, "2.safetensors", "b");
    write_shard(dir, "again.safetensors", "a");
    const char *path = scratch_text(dir, "model.safetensors.index.json", index);
    tc_status status = tc_store_open(&s, path, &err);
    if (!message) {
        if (status != TC_OK) fail_msg("%s", err.message);
        tc_store_close(&s);
        assert_int_equal(tc_store_open(&s, dir, &err), TC_OK);
        assert_int_equal(tc_store_count(s), 2);
        assert_string_equal(tc_store_at(s, 1)->name, "b");
        tc_store_close(&s);
    } else if (status == TC_OK || !strstr(err.message, message) || !tc_starts_with(err.message, dir)) {
        fail_msg("%s: %s", index, status == TC_OK ? "accepted" : err.message);
    }
    assert_null(s);
    scratch_remove(dir);
}

/* Case 24. */
static void test_shards(void **state) {
    (void)state;
    expect_index(
        "{\"metadata\":{\"total_size\":2},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}",
        NULL);
    expect_index("{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":\"/1.safetensors\"}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":\"x/1.safetensors\"}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":\"..\"}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":\"\"}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":1}}", "same folder");
    expect_index("{\"weight_map\":{\"a\":\"missing.safetensors\"}}", "missing.safetensors: cannot open");
    expect_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"again.safetensors\"}}", "duplicate");
    expect_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"again.safetensors\"}}",
                 "the index says 1.safetensors");
    expect_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}", "not in the index");
    expect_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"1.safetensors\"}}",
                 "'c' is not in its shard");
    expect_index("{\"weight_map\":{}}", "no weight_map");
    expect_index("{\"weight_map\":[\"1.safetensors\"]}", "no weight_map");
    expect_index("[]", "no weight_map");
}

static void test_folder_without_a_model(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_store *s;
    tc_error err;
    assert_int_equal(tc_store_open(&s, dir, &err), TC_EIO);
    assert_non_null(strstr(err.message, "no model.safetensors"));
    char *missing = tc_path_join(dir, "none.safetensors");
    assert_int_equal(tc_store_open(&s, missing, &err), TC_EIO);
    free(missing);
    scratch_remove(dir);
}

/* ---- writer */

static void test_writer_bytes(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "out.safetensors");
    tc_st_writer *w;
    tc_error err;
    int64_t three = 3;
    const float f[3] = {1, 2, 3};
    const uint8_t u[3] = {7, 8, 9};
    const int32_t i[3] = {1, 2, 3};
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "u", TC_U8, 1, &three, u, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "a\"i", TC_I32, 1, &three, i, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "z", TC_F32, 1, &three, f, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "s", TC_F32, 0, NULL, f, &err), TC_OK);
    assert_int_equal(tc_st_writer_metadata(w, "format", "pt", &err), TC_OK);
    uint64_t checksum;
    assert_int_equal(tc_st_writer_commit(&w, path, &checksum, &err), TC_OK);
    assert_null(w);
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\"},\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"z\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]},"
        "\"a\\\"i\":{\"dtype\":\"I32\",\"shape\":[3],\"data_offsets\":[16,28]},"
        "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[28,31]}}";
    tc_buf b = {0};
    put_size(&b, (strlen(header) + 7) / 8 * 8);
    tc_buf_puts(&b, header);
    while (b.size % 8) tc_buf_puts(&b, " ");
    tc_buf_add(&b, f, 4);
    tc_buf_add(&b, f, 12);
    tc_buf_add(&b, i, 12);
    tc_buf_add(&b, u, 3);
    char *data;
    size_t size;
    assert_int_equal(tc_file_read(path, 1 << 20, &data, &size, &err), TC_OK);
    assert_int_equal(size, b.size);
    assert_memory_equal(data, b.data, size);
    assert_true(checksum == tc_checksum(0, data, size));
    free(data);
    tc_buf_free(&b);
    free(path);
    scratch_remove(dir);
}

static void test_writer_refuses(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "out.safetensors");
    tc_st_writer *w;
    tc_error err;
    int64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, bad = -1, huge[2] = {INT64_MAX, 8};
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "a", TC_F32, 9, shape, "", &err), TC_EARG);
    assert_int_equal(tc_st_writer_add(w, "a", TC_F32, 1, &bad, "", &err), TC_EARG);
    assert_int_equal(tc_st_writer_add(w, "a", TC_F32, 2, huge, "", &err), TC_EARG);
    assert_int_equal(tc_st_writer_add(w, "__metadata__", TC_F32, 0, NULL, "1234", &err), TC_EARG);
    assert_int_equal(tc_st_writer_metadata(w, "k", "\xff", &err), TC_EARG);
    assert_int_equal(tc_st_writer_add(w, "a", TC_F32, 0, NULL, "1234", &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "a", TC_F32, 0, NULL, "1234", &err), TC_OK);
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message, "twice"));
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    assert_int_equal(tc_st_writer_add(w, "\xff", TC_F32, 0, NULL, "1234", &err), TC_OK);
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, &err), TC_EARG);
    assert_false(tc_path_exists(path));
    free(path);
    scratch_remove(dir);
}

static void test_writer_keeps_the_old_file(void **state) {
    (void)state;
    char *dir = scratch_dir();
    const char *path = scratch_text(dir, "out.safetensors", "old");
    tc_st_writer *w;
    tc_error err;
    char *blocked = tc_path_join(path, "below-a-file");
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    assert_int_equal(tc_st_writer_commit(&w, blocked, NULL, &err), TC_EIO);
    assert_null(w);
    free(blocked);
    assert_int_equal(tc_st_writer_create(&w, &err), TC_OK);
    tc_st_writer_abort(&w);
    char *data;
    size_t size;
    assert_int_equal(tc_file_read(path, 100, &data, &size, &err), TC_OK);
    assert_string_equal(data, "old");
    free(data);
    scratch_remove(dir);
}

/* ---- the same files for the reference */

static void write_case(const char *dir, const char *name, int kind, tc_buf *b) {
    static const char *const kinds[] = {"accept", "refuse", "stricter"};
    char file[200];
    snprintf(file, sizeof file, "%s-%s.safetensors", kinds[kind], name);
    scratch_file(dir, file, b->size ? b->data : "", b->size);
    tc_buf_free(b);
}

static int write_cases(const char *dir) {
    tc_buf b = {0};
    for (int i = 0; i < NCASES; i++) {
        make_file(&b, cases[i].header, strlen(cases[i].header), cases[i].data);
        write_case(dir, cases[i].name, cases[i].kind, &b);
    }
    for (int number = 1; number <= 6; number++) {
        char name[20];
        snprintf(name, sizeof name, "short-%d", number);
        build_short(number, &b);
        write_case(dir, name, REFUSE, &b);
    }
    build_overlapping(&b);
    write_case(dir, "13-overlapping", REFUSE, &b);
    build_rank(&b, 1000000);
    write_case(dir, "19-rank", STRICTER, &b);
    build_deep(&b, 1000000, "[", true);
    write_case(dir, "21-deep", REFUSE, &b);
    build_deep(&b, 100, "[", true);
    write_case(dir, "deep-enough", ACCEPT, &b);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write-cases") == 0) return write_cases(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_cut_before_the_header),
        cmocka_unit_test(test_100000_overlapping),
        cmocka_unit_test(test_absurd_rank),
        cmocka_unit_test(test_deep_json),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_shortened_file),
        cmocka_unit_test(test_opening_touches_no_data),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_folder_without_a_model),
        cmocka_unit_test(test_writer_bytes),
        cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_writer_keeps_the_old_file),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
