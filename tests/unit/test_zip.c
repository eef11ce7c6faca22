/* test_zip.c - every rule of PyTorch's containers (the zip archive, and the files from before 1.6) with a
 * file that breaks it and nothing else.
 *
 * `test_zip --write-cases DIR` also writes the files, as seeds for fuzzing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "torch_cases.h"

enum { PICKLE, STORAGE, BYTEORDER, VERSION }; /* entries of good_archive */

/* ---- one thing overwritten: a field of the local header, the directory, or the end records */

enum { LOCAL, DIRECTORY, BOTH, END64, LOCATOR, END };

static const struct {
    const char *name;
    int place, entry, offset; /* of the field; for BOTH, that in the local header */
    uint64_t value;
    int size;
    const char *message;
} fields[] = {
    {"local-name", LOCAL, VERSION, 30 + 2, 'w', 1, "'m/version': its local header has another name"},
    {"local-name-length", LOCAL, VERSION, 26, 8, 2, "'m/version': its local header has another name"},
    {"local-size", LOCAL, VERSION, 22, 3, 4, "'m/version': its local header disagrees"},
    {"local-packed-size", LOCAL, VERSION, 18, 3, 4, "'m/version': its local header disagrees"},
    {"local-crc", LOCAL, VERSION, 14, 7, 4, "'m/version': its local header disagrees"},
    {"local-method", LOCAL, VERSION, 8, 8, 2, "'m/version': its local header disagrees"},
    {"local-flags", LOCAL, VERSION, 6, 0x808, 2, "'m/version': its local header disagrees"},
    {"local-streamed-size", LOCAL, STORAGE, 22, 3, 4, "'m/data/0': its local header disagrees"},
    {"local-mark", LOCAL, VERSION, 0, 0, 4, "'m/version': there is no local header"},
    {"local-extra-long", LOCAL, VERSION, 28, 0xffff, 2, "'m/version': it overlaps the next"},
    {"local-sentinel", LOCAL, VERSION, 22, 0xffffffff, 4,
     "'m/version': a size is left to a ZIP64 field that is missing"},
    {"central-mark", DIRECTORY, STORAGE, 0, 0, 4, "entry 1 of the zip directory is damaged"},
    {"central-crc", DIRECTORY, STORAGE, 16, 7, 4, "'m/data/0': the record behind it disagrees"},
    {"central-size", DIRECTORY, STORAGE, 24, 12, 4, "'m/data/0': its sizes make no sense"},
    {"central-sentinel", DIRECTORY, STORAGE, 24, 0xffffffff, 4,
     "'m/data/0': a size is left to a ZIP64 field that is missing"},
    {"central-packed-sentinel", DIRECTORY, STORAGE, 20, 0xffffffff, 4,
     "'m/data/0': a size is left to a ZIP64 field that is missing"},
    {"central-offset-sentinel", DIRECTORY, STORAGE, 42, 0xffffffff, 4,
     "'m/data/0': a size is left to a ZIP64 field that is missing"},
    {"central-offset-far", DIRECTORY, VERSION, 42, 0x7fffffff, 4, "'m/version': its sizes make no sense"},
    {"central-disk", DIRECTORY, STORAGE, 34, 1, 2, "'m/data/0': it lies on another disk"},
    {"central-name-long", DIRECTORY, VERSION, 28, 0xffff, 2, "entry 3 of the zip directory is cut short"},
    {"central-comment-long", DIRECTORY, VERSION, 32, 1, 2, "entry 3 of the zip directory is cut short"},
    {"central-name-empty", DIRECTORY, VERSION, 28, 0, 2, "entry 3 of the zip directory has no plain name"},
    {"central-name-nul", DIRECTORY, VERSION, 46 + 4, 0, 1, "entry 3 of the zip directory has no plain name"},
    {"central-name-backslash", DIRECTORY, VERSION, 46 + 4, '\\', 1,
     "entry 3 of the zip directory has no plain name"},
    {"overlap-same-place", DIRECTORY, STORAGE, 42, 0, 4, "it overlaps the next"},
    {"encrypted", BOTH, STORAGE, 6, 0x809, 2, "'m/data/0': it is encrypted"},
    {"encrypted-strongly", BOTH, STORAGE, 6, 0x848, 2, "'m/data/0': it is encrypted"},
    {"deflated-storage", BOTH, STORAGE, 8, 8, 2, "'m/data/0': it is compressed"},
    {"deflated-pickle", BOTH, PICKLE, 8, 8, 2, "'m/data.pkl': it is compressed"},
    {"method-unknown", BOTH, STORAGE, 8, 77, 2, "'m/data/0': it is compressed"},
    {"prefix-mismatch", BOTH, VERSION, 30, 'n', 1, "not all members lie in one folder"},
    {"no-folder", BOTH, BYTEORDER, 31, '_', 1, "not all members lie in one folder"},
    {"end64-disk", END64, 0, 16, 1, 4, "several disks"},
    {"end64-size", END64, 0, 4, 45, 8, "no ZIP64 record of 56 bytes"},
    {"end64-mark", END64, 0, 0, 0, 4, "no ZIP64 record of 56 bytes"},
    {"end64-count", END64, 0, 32, 5, 8, "it disagrees with the plain end record"},
    {"end64-count-here", END64, 0, 24, 5, 8, "it disagrees with the plain end record"},
    {"end64-offset", END64, 0, 48, 1, 8, "it disagrees with the plain end record"},
    {"locator-disks", LOCATOR, 0, 16, 2, 4, "several disks"},
    {"locator-disk", LOCATOR, 0, 4, 1, 4, "several disks"},
    {"locator-offset", LOCATOR, 0, 8, 1, 8, "does not lie directly before"},
    {"locator-missing", LOCATOR, 0, 0, 0, 4, "the central directory does not end directly before it"},
    {"end-disk", END, 0, 4, 1, 2, "several disks"},
    {"end-directory-disk", END, 0, 6, 1, 2, "several disks"},
    {"end-count-here", END, 0, 8, 3, 2, "several disks"},
    {"end-size", END, 0, 12, 1, 4, "it disagrees with the plain end record"},
    {"end-mark", END, 0, 0, 0, 4, "the last 22 bytes are no zip end record"},
    {"end-comment", END, 0, 20, 1, 2, "the last 22 bytes are no zip end record"},
};

static void test_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        zip_make z;
        good_archive(&z);
        size_t at = (size_t)fields[i].offset, local = z.entry[fields[i].entry].header + at,
               central = z.entry[fields[i].entry].central + at;
        const size_t place[] = {local, central, local, z.end64 + at, z.end64 + 56 + at, z.end + at};
        set_n(&z.b, place[fields[i].place], fields[i].value, fields[i].size);
        /* The directory has the same fields two bytes further on, and the name at 46. */
        if (fields[i].place == BOTH)
            set_n(&z.b, central + (at < 30 ? 2 : 16), fields[i].value, fields[i].size);
        expect_refused(fields[i].name, &z.b, fields[i].message);
        tc_buf_free(&z.b);
    }
}

/* ---- members */

/* Archive of a good pickle and the members that `build` adds. */
static void expect_members(const char *name, void (*build)(zip_make *z), const char *message) {
    zip_make z = {0};
    tc_buf p;
    good_pickle(&p);
    zip_add_as(&z, "m/data.pkl", p.data, p.size, 1);
    build(&z);
    if (z.directory == 0) zip_finish(&z, true);
    if (message) {
        expect_refused(name, &z.b, message);
    } else {
        tc_store *s = expect_accepted(name, &z.b);
        assert_int_equal(tc_store_count(s), 1);
        tc_store_close(&s);
    }
    tc_buf_free(&p);
    tc_buf_free(&z.b);
}

static const char sixteen[16] = "0123456789abcde";

static void no_byteorder(zip_make *z) {
    zip_add(z, "m/data/0", sixteen, 16);
    zip_add(z, "m/version", "3\n", 2);
}
static void big_endian(zip_make *z) {
    no_byteorder(z);
    zip_add(z, "m/byteorder", "big", 3);
}
static void odd_endian(zip_make *z) {
    no_byteorder(z);
    zip_add(z, "m/byteorder", "littl\n", 6);
}
static void no_version(zip_make *z) { zip_add(z, "m/data/0", sixteen, 16); }
static void version_99(zip_make *z) {
    no_version(z);
    zip_add(z, "m/version", "99\n", 3);
}
static void version_text(zip_make *z) {
    no_version(z);
    zip_add(z, "m/version", "x", 1);
}
static void other_version(zip_make *z) {
    no_version(z);
    zip_add(z, "m/.data/version", "6", 1);
}
static void no_storage(zip_make *z) { zip_add(z, "m/version", "3\n", 2); }
static void short_storage(zip_make *z) {
    no_storage(z);
    zip_add(z, "m/data/0", sixteen, 12);
}
static void long_storage(zip_make *z) {
    no_storage(z);
    zip_add(z, "m/data/0", "0123456789abcdefghij", 20);
}
static void twice(zip_make *z) {
    no_byteorder(z);
    zip_add(z, "m/data/0", sixteen, 16);
}
static void hole(zip_make *z) {
    no_byteorder(z);
    tc_buf_puts(&z->b, "?");
}
static void wrong_descriptor(zip_make *z) {
    no_storage(z);
    zip_add_as(z, "m/data/0", sixteen, 16, 1);
    set_n(&z->b, z->b.size - 4, 17, 4);
}
static void without_descriptor(zip_make *z) {
    no_storage(z);
    zip_add_as(z, "m/data/0", sixteen, 16, 1);
    z->b.size -= 16;
}
static void empty_streamed(zip_make *z) {
    no_byteorder(z);
    zip_add_as(z, "m/empty", "", 0, 1);
    z->b.size -= 16;
}
static void two_ends(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, true);
    zip_end(z, z->count, z->end64 - z->directory, z->directory);
}
static void two_plain_ends(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, false);
    zip_end(z, z->count, z->end - z->directory, z->directory);
}
/* The comment of the true end record holds one that claims an empty archive. */
static void end_in_comment(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, false);
    set_n(&z->b, z->end + 20, 22, 2);
    zip_end(z, 0, 0, z->b.size);
}
static void fake_end_in_data(zip_make *z) {
    zip_add(z, "m/version", "3\n", 2);
    zip_add(z, "m/data/0", sixteen, 16);
    zip_add(z, "m/data/7", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
}
static void plain_sentinel(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, false);
    set_n(&z->b, z->end + 16, 0xffffffff, 4);
}
static void count_too_small(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, false);
    set_n(&z->b, z->end + 8, 2, 2);
    set_n(&z->b, z->end + 10, 2, 2);
}
static void count_too_large(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, false);
    set_n(&z->b, z->end + 8, 4, 2);
    set_n(&z->b, z->end + 10, 4, 2);
}
static void appended(zip_make *z) {
    no_byteorder(z);
    zip_finish(z, true);
    tc_buf_puts(&z->b, "?");
}
/* Sizes in the ZIP64 field, as a member of 4 GiB would have them. */
static void wide_sizes(zip_make *z) {
    static const char extra[] = "\1\0\20\0\20\0\0\0\0\0\0\0\20\0\0\0\0\0\0\0";
    no_storage(z);
    zip_entry *e = zip_add(z, "m/data/0", sixteen, 16);
    e->extra = extra;
    e->extra_size = 20;
    zip_finish(z, true);
    set_n(&z->b, e->central + 20, 0xffffffffffffffff, 8);
}
static void wide_sizes_short(zip_make *z) {
    wide_sizes(z);
    set_n(&z->b, z->entry[2].central + 46 + 8 + 2, 8, 2);
}

static void test_members(void **state) {
    (void)state;
    expect_members("no-byteorder", no_byteorder, NULL);
    expect_members("other-version", other_version, NULL);
    expect_members("empty-streamed", empty_streamed, NULL);
    expect_members("fake-end-in-data", fake_end_in_data, NULL);
    expect_members("wide-sizes", wide_sizes, NULL);
    expect_members("byteorder-big", big_endian, "'m/byteorder' says 'big', only little is read");
    expect_members("byteorder-odd", odd_endian, "'m/byteorder' says 'something else'");
    expect_members("version-missing", no_version, "without the member version");
    expect_members("version-99", version_99, "'m/version' does not say a version");
    expect_members("version-text", version_text, "'m/version' does not say a version");
    expect_members("storage-missing", no_storage, "storage 0 is missing (there is no data/0)");
    expect_members("storage-short", short_storage, "'m/data/0' has 12 bytes, its 4 elements of F32 take 16");
    expect_members("storage-long", long_storage, "'m/data/0' has 20 bytes, its 4 elements of F32 take 16");
    expect_members("duplicate-name", twice, "'m/data/0': there are two of this name");
    expect_members("hole", hole, "'m/version': there are bytes behind it that belong to no member");
    expect_members("descriptor-wrong", wrong_descriptor, "'m/data/0': the record behind it disagrees");
    expect_members("descriptor-missing", without_descriptor, "'m/data/0': there are bytes behind it");
    expect_members("two-ends", two_ends, "the central directory does not end directly before it");
    expect_members("two-plain-ends", two_plain_ends, "the central directory does not end directly before it");
    expect_members("end-in-comment", end_in_comment, "the zip archive is empty");
    expect_members("end-sentinel", plain_sentinel, "a size is left to a ZIP64 record that is missing");
    expect_members("count-too-small", count_too_small, "the central directory holds more than");
    expect_members("count-too-large", count_too_large,
                   "more members than the central directory has room for");
    expect_members("appended", appended, "there are bytes behind its end");
    expect_members("zip64-field-short", wide_sizes_short,
                   "'m/data/0': a size is left to a ZIP64 field that is missing");
}

static void test_no_pickle(void **state) {
    (void)state;
    zip_make z = {0};
    zip_add(&z, "m/version", "3\n", 2);
    zip_finish(&z, true);
    expect_refused("no-pickle", &z.b, "without the member data.pkl");
    tc_buf_free(&z.b);
    z = (zip_make){0};
    zip_finish(&z, false);
    expect_refused("empty-archive", &z.b, "the zip archive is empty");
    tc_buf_free(&z.b);
    z = (zip_make){0};
    zip_add(&z, "version", "3\n", 2);
    zip_finish(&z, false);
    expect_refused("no-folder-at-all", &z.b, "'version': it lies in no folder");
    tc_buf_free(&z.b);
}

/* Bytes before the archive, which end records allow: as they are, and with every offset corrected. */
static void test_prepended(void **state) {
    (void)state;
    for (int corrected = 0; corrected < 2; corrected++) {
        zip_make z;
        tc_buf b = {0};
        good_archive(&z);
        tc_buf_add(&b, "#!/bin/sh\nexit 1\n\0\0\0", 20);
        for (size_t i = 0; i < z.count && corrected; i++)
            set_n(&z.b, z.entry[i].central + 42, z.entry[i].header + 20, 4);
        if (corrected) {
            set_n(&z.b, z.end + 16, z.directory + 20, 4);
            set_n(&z.b, z.end64 + 48, z.directory + 20, 8);
            set_n(&z.b, z.end64 + 56 + 8, z.end64 + 20, 8);
        }
        tc_buf_add(&b, z.b.data, z.b.size);
        expect_refused(corrected ? "prepended-corrected" : "prepended", &b,
                       corrected ? "20 bytes before the first member"
                                 : "the ZIP64 record does not lie directly before its locator");
        tc_buf_free(&b);
        tc_buf_free(&z.b);
    }
}

/* Every beginning of a valid file, and every file with one byte changed: refused, or read; never more. */
static void check_cuts_and_flips(const tc_buf *good) {
    tc_error err;
    tc_store *s;
    for (size_t n = 0; n < good->size; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, good->data, n);
        if (tc_store_open_memory(&s, exact, n, &err) == TC_OK)
            fail_msg("the first %zu bytes were accepted", n);
        if (!tc_starts_with(err.message, "memory: ") || strchr(err.message, '\n'))
            fail_msg("%zu bytes: %s", n, err.message);
        free(exact);
    }
    for (size_t i = 0; i < good->size; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            good->data[i] ^= (char)(1 << bit);
            if (tc_store_open_memory(&s, good->data, good->size, &err) == TC_OK)
                for (size_t k = 0; k < tc_store_count(s); k++) tc_tensor_data(tc_store_at(s, k), &err);
            else if (!tc_starts_with(err.message, "memory: ")) fail_msg("byte %zu: %s", i, err.message);
            tc_store_close(&s);
            good->data[i] ^= (char)(1 << bit);
        }
}

static void test_cut_archive(void **state) {
    (void)state;
    zip_make z;
    good_archive(&z);
    write_seed("good", &z.b);
    check_cuts_and_flips(&z.b);
    tc_buf_free(&z.b);
}

/* ---- files from before 1.6 */

static void test_cut_legacy(void **state) {
    (void)state;
    tc_buf b;
    legacy_file(&b);
    write_seed("legacy-good", &b);
    check_cuts_and_flips(&b);
    tc_buf_free(&b);
}

static size_t place(const tc_buf *b, const char *what, size_t size) {
    const char *p = memmem(b->data, b->size, what, size);
    if (!p) fail_msg("not there");
    return (size_t)(p - b->data);
}

static void expect_legacy(const char *name, const char *what, size_t size, size_t offset, const char *with,
                          size_t length, const char *message) {
    tc_buf b;
    legacy_file(&b);
    memcpy(b.data + place(&b, what, size) + offset, with, length);
    expect_refused(name, &b, message);
    tc_buf_free(&b);
}

static void test_legacy_rules(void **state) {
    (void)state;
    tc_buf b;
    static const char numel[] = "\4\0\0\0\0\0\0\0";
    expect_legacy("legacy-magic", "\xfc\x9c", 2, 0, "\xfd", 1,
                  "does not begin with the magic number of PyTorch");
    expect_legacy("legacy-protocol", "M\xe9\3", 3, 1, "\xea", 1, "the protocol is not 1001");
    expect_legacy("legacy-big-endian", "little_endian\x88", 14, 13, "\x89", 1,
                  "only little-endian files are read");
    expect_legacy("legacy-no-endian", "little_endian", 13, 0, "L", 1, "only little-endian files are read");
    expect_legacy("legacy-no-list", "\x80\2](X", 5, 2, "}", 1, "its target is not a list");
    expect_legacy("legacy-numel", numel, 8, 0, "\5", 1, "storage 0 at offset");
    expect_legacy("legacy-numel-huge", numel, 8, 7, "\x7f", 1, "elements, its tensors say 4");
    expect_legacy("legacy-key-unknown",
                  "(X\1\0\0\0"
                  "0X",
                  8, 6, "7", 1, "names a storage that no tensor has");
    expect_legacy("legacy-key-twice",
                  "(X\1\0\0\0"
                  "0X",
                  8, 6, "1", 1, "or one twice");
    legacy_file(&b);
    tc_buf_puts(&b, "?");
    expect_refused("legacy-appended", &b, "1 bytes behind the last storage");
    b.size -= 2;
    expect_refused("legacy-short", &b, "storage 1 at offset");
    tc_buf_free(&b);
    tc_buf p;
    good_pickle(&p);
    legacy_start(&b);
    tc_buf_add(&b, p.data, p.size);
    tc_buf_add(&b, "\x80\2].", 4);
    expect_refused("legacy-no-keys", &b, "storage 0 is missing");
    tc_buf_free(&p);
    tc_buf_free(&b);
    pk_start(&b);
    pk_op(&b, "}.");
    tc_buf_add(&b, "\0\0\0\0\0\0\0\0", 8);
    expect_refused("plain-pickle", &b, "does not begin with the magic number of PyTorch");
    tc_buf_free(&b);
}

/* A pickle longer than the piece that is read first. */
static void test_legacy_long(void **state) {
    (void)state;
    tc_buf b = {0};
    tc_error err = {0};
    legacy_start(&b);
    pk_start(&b);
    pk_op(&b, "}(");
    pk_str(&b, "epochs");
    pk_op(&b, "](");
    for (int i = 0; i < 1500000; i++) pk_int(&b, i & 255);
    pk_op(&b, "e");
    pk_str(&b, "state_dict");
    pk_op(&b, "}");
    pk_str(&b, "a");
    pk_vector(&b, "0", 4);
    pk_op(&b, "su.");
    legacy_end(&b, 1, 4);
    tc_store *s = open_bytes(&b, &err);
    if (!s) fail_msg("%s", err.message);
    check_vector(s, "a", 4, 0);
    tc_store_close(&s);
    tc_buf_free(&b);
}

static void test_tar(void **state) {
    (void)state;
    tc_buf b = {0};
    tc_buf_add(&b, "sys_info", 8);
    while (b.size < 257) tc_buf_add(&b, "\0", 1);
    tc_buf_puts(&b, "ustar");
    while (b.size < 1024) tc_buf_add(&b, "\0", 1);
    expect_refused("legacy-tar", &b, "a tar file, as PyTorch wrote before 0.1.10");
    tc_buf_free(&b);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write-cases") == 0) cases_dir = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_members),
        cmocka_unit_test(test_no_pickle),    cmocka_unit_test(test_prepended),
        cmocka_unit_test(test_cut_archive),  cmocka_unit_test(test_cut_legacy),
        cmocka_unit_test(test_legacy_rules), cmocka_unit_test(test_legacy_long),
        cmocka_unit_test(test_tar),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
