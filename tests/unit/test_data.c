/* test_data.c - folders of pairs, IDX files, splits, templates, the named data sets and the check before
 * training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include "data/source.h"
#include "scratch.h"

static tc_data *open_ok(const char *spec, const tc_data_options *o) {
    tc_data *d;
    tc_error err = {0};
    if (tc_data_open(&d, spec, o, &err) != TC_OK) fail_msg("%s", err.message);
    return d;
}

static void expect_refused(const char *spec, const tc_data_options *o, const char *message) {
    tc_data *d;
    tc_error err = {0};
    if (tc_data_open(&d, spec, o, &err) == TC_OK) fail_msg("%s was accepted", spec);
    assert_null(d);
    if (!strstr(err.message, message)) fail_msg("instead of '%s': %s", message, err.message);
}

static void expect_caption(const tc_data *d, int64_t i, int t, const char *expected) {
    char caption[200];
    tc_error err = {0};
    if (tc_data_caption(d, i, t, caption, sizeof caption, &err) != TC_OK) fail_msg("%s", err.message);
    assert_string_equal(caption, expected);
}

static char *sub_dir(const char *dir, const char *name) {
    char *path = tc_path_join(dir, name);
    assert_int_equal(tc_make_dirs(path, NULL), TC_OK);
    return path;
}

/* ---- folders */

static void test_folder(void **state) {
    (void)state;
    char *dir = scratch_dir(), *a = sub_dir(dir, "a/deep/er"), *b = sub_dir(dir, "b"), buffer[8];
    scratch_bmp(dir, "z.bmp", 4, 10);
    scratch_text(dir, "z.txt", "last\n");
    scratch_bmp(b, "two.BMP", 4, 20);
    scratch_text(b, "two.TXT", "\xef\xbb\xbf\r\n  a capital  \r\nde.utf8=zwei\n");
    scratch_bmp(a, "x.y.bmp", 4, 30);
    scratch_text(a, "x.y.txt", "caf\xc3\xa9, two dots");
    scratch_text(a, "x.txt", "no image");
    scratch_bmp(dir, "lonely.bmp", 4, 40);
    scratch_bmp(dir, ".hidden.bmp", 4, 50);
    scratch_text(dir, ".hidden.txt", "hidden");
    scratch_text(dir, "notes.md", "neither");
    scratch_bmp(dir, "blank.bmp", 4, 60);
    scratch_text(dir, "blank.txt", " \n\t\n");
    tc_data *d = open_ok(dir, NULL);
    assert_int_equal(tc_data_count(d), 4);
    assert_string_equal(tc_data_name(d, 0, NULL, 0), "a/deep/er/x.y.bmp");
    assert_string_equal(tc_data_name(d, 1, NULL, 0), "b/two.BMP");
    assert_string_equal(tc_data_name(d, 2, NULL, 0), "blank.bmp");
    assert_string_equal(tc_data_name(d, 3, NULL, 0), "z.bmp");
    expect_caption(d, 0, 0, "caf\xc3\xa9, two dots");
    expect_caption(d, 1, 0, "a capital");
    expect_caption(d, 3, 0, "last");
    assert_string_equal(tc_data_skipped(d), "1 image without a caption\n1 caption without an image");
    assert_int_equal(tc_data_classes(d), 0);
    assert_int_equal(tc_data_templates(d), 0);
    assert_int_equal(tc_data_label(d, 0), -1);
    tc_error err;
    assert_int_equal(tc_data_caption(d, 2, 0, buffer, sizeof buffer, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "blank.txt"));
    /* Cut at a boundary of UTF-8. */
    assert_int_equal(tc_data_caption(d, 0, 0, buffer, 5, &err), TC_OK);
    assert_string_equal(buffer, "caf");
    tc_preprocess p = tc_preprocess_default(4);
    float pixels[48];
    assert_int_equal(tc_data_image(d, 1, &p, pixels, &err), TC_OK);
    assert_float_equal(pixels[47], (20 * p.rescale - p.mean[2]) / p.std[2], 1e-5);
    tc_data_close(&d);
    assert_null(d);
    free(a);
    free(b);
    scratch_remove(dir);
}

/* Links out of the folder, pipes and linked folders are no data. */
static void test_folder_links(void **state) {
    (void)state;
    char *dir = scratch_dir(), *outside = scratch_dir(), path[4096];
    const char *names[] = {"in.bmp", "out.bmp", "pipe.bmp", "dangling.bmp"};
    scratch_bmp(dir, "real.bmp", 4, 10);
    scratch_text(dir, "real.txt", "real");
    scratch_bmp(outside, "other.bmp", 4, 10);
    scratch_text(outside, "other.txt", "other");
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%.*s.txt", (int)strlen(names[i]) - 4, names[i]);
        scratch_text(dir, path, names[i]);
    }
    snprintf(path, sizeof path, "%s/in.bmp", dir);
    assert_int_equal(symlink("real.bmp", path), 0);
    char *target = tc_path_join(outside, "other.bmp");
    snprintf(path, sizeof path, "%s/out.bmp", dir);
    assert_int_equal(symlink(target, path), 0);
    snprintf(path, sizeof path, "%s/dangling.bmp", dir);
    assert_int_equal(symlink("nowhere.bmp", path), 0);
    snprintf(path, sizeof path, "%s/pipe.bmp", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/folder", dir);
    assert_int_equal(symlink(outside, path), 0);
    snprintf(path, sizeof path, "%s/loop", dir);
    assert_int_equal(symlink(".", path), 0);
    tc_data *d = open_ok(dir, NULL);
    assert_int_equal(tc_data_count(d), 2);
    assert_string_equal(tc_data_name(d, 0, NULL, 0), "in.bmp");
    assert_string_equal(tc_data_skipped(d), "3 captions without an image\n2 links to no file of the folder");
    tc_data_close(&d);
    free(target);
    scratch_remove(dir);
    scratch_remove(outside);
}

static void test_folder_errors(void **state) {
    (void)state;
    char *dir = scratch_dir(), *missing = tc_path_join(dir, "missing");
    expect_refused(dir, NULL, "no samples");
    expect_refused(
        missing, NULL,
        "not there, expected idx:IMAGES,LABELS,CLASSES, fashion-mnist, tuxpaint, a folder or a .csv file");
    expect_refused(scratch_text(dir, "x.xyz", "x"), NULL, "not a form of data");
    scratch_bmp(dir, "a.bmp", 4, 1);
    expect_refused(dir, NULL, "no samples; skipped: 1 image without a caption");
    scratch_text(dir, "a.txt", "a");
    tc_data_options o = tc_data_options_default();
    o.split = "validation";
    expect_refused(dir, &o, "split 'validation', expected train or test");
    o = tc_data_options_default();
    o.templates = "templates.txt";
    expect_refused(dir, &o, "templates are for classes");
    scratch_text(dir, "a.bmp", "BM, but no more of it");
    tc_data *d = open_ok(dir, NULL);
    tc_error err = {0};
    float pixels[48];
    tc_preprocess p = tc_preprocess_default(4);
    assert_int_not_equal(tc_data_image(d, 0, &p, pixels, &err), TC_OK);
    assert_non_null(strstr(err.message, "a.bmp"));
    tc_data_close(&d);
    free(missing);
    scratch_remove(dir);
}

/* The splits share the data out, and a sample keeps its side when the rest goes. */
static void test_split(void **state) {
    (void)state;
    char *dir = scratch_dir(), name[40];
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%03d.bmp", i);
        scratch_bmp(dir, name, 1, 1);
        snprintf(name, sizeof name, "%03d.txt", i);
        scratch_text(dir, name, "x");
    }
    tc_data_options o = tc_data_options_default();
    tc_data *whole = open_ok(dir, &o);
    o.split = "train";
    tc_data *train = open_ok(dir, &o);
    o.split = "test";
    tc_data *test = open_ok(dir, &o);
    assert_int_equal(tc_data_count(whole), 400);
    assert_int_equal(tc_data_count(train) + tc_data_count(test), 400);
    /* Binomial(400, 0.1): mean 40, deviation 6; 5 deviations. */
    assert_in_range(tc_data_count(test), 10, 70);
    int64_t a = 0, b = 0;
    for (int64_t i = 0; i < 400; i++) {
        const char *sample = tc_data_name(whole, i, NULL, 0);
        bool in_train = a < tc_data_count(train) && strcmp(tc_data_name(train, a, NULL, 0), sample) == 0;
        bool in_test = b < tc_data_count(test) && strcmp(tc_data_name(test, b, NULL, 0), sample) == 0;
        assert_true(in_train != in_test);
        a += in_train;
        b += in_test;
    }
    char *kept = tc_strdup(tc_data_name(test, 0, NULL, 0));
    tc_data_close(&whole);
    tc_data_close(&train);
    tc_data_close(&test);
    scratch_remove(dir);
    dir = scratch_dir();
    scratch_bmp(dir, kept, 1, 1);
    snprintf(name, sizeof name, "%.3s.txt", kept);
    scratch_text(dir, name, "x");
    test = open_ok(dir, &o);
    assert_int_equal(tc_data_count(test), 1);
    tc_data_close(&test);
    o.split = "train";
    expect_refused(dir, &o, "no samples in the split train");
    free(kept);
    scratch_remove(dir);
}

/* ---- IDX */

enum { N = 5, H = 3, W = 4, IMAGES_SIZE = 16 + N * H * W, LABELS_SIZE = 8 + N };

static void fill_images(uint8_t *b) {
    memcpy(b, "\0\0\x08\x03\0\0\0\x05\0\0\0\x03\0\0\0\x04", 16);
    for (int i = 0; i < N * H * W; i++) b[16 + i] = (uint8_t)(i * 4);
}

static void fill_labels(uint8_t *b) { memcpy(b, "\0\0\x08\x01\0\0\0\x05\0\x01\x02\x01\0", LABELS_SIZE); }

/* "idx:..." of files in dir; static. */
static const char *idx_spec(const char *dir, const void *images, size_t images_size, const void *labels,
                            size_t labels_size, const char *classes) {
    static char spec[3 * 4096];
    const char *i = scratch_file(dir, "images", images, images_size),
               *l = scratch_file(dir, "labels", labels, labels_size);
    snprintf(spec, sizeof spec, "idx:%s,%s,%s", i, l, scratch_text(dir, "classes", classes));
    return spec;
}

static void test_idx(void **state) {
    (void)state;
    char *dir = scratch_dir(), name[40];
    uint8_t images[IMAGES_SIZE], labels[LABELS_SIZE];
    fill_images(images);
    fill_labels(labels);
    const char *spec =
        idx_spec(dir, images, sizeof images, labels, sizeof labels, "cat\r\n a dog \r\nbird\r\n\r\n");
    tc_data *d = open_ok(spec, NULL);
    assert_int_equal(tc_data_count(d), N);
    assert_int_equal(tc_data_classes(d), 3);
    assert_string_equal(tc_data_class_name(d, 1), "a dog");
    assert_null(tc_data_class_name(d, 3));
    assert_int_equal(tc_data_label(d, 3), 1);
    assert_int_equal(tc_data_label(d, 5), -1);
    assert_string_equal(tc_data_name(d, 3, name, sizeof name), "picture 3");
    assert_int_equal(tc_data_templates(d), 1);
    expect_caption(d, 2, 0, "a photo of a bird.");
    tc_error err;
    assert_int_equal(tc_data_caption(d, 2, 1, name, sizeof name, &err), TC_EARG);
    /* No resize: the crop of 3x3 begins at column round(0.5) = 0 in the order of open_clip. */
    tc_preprocess p = tc_preprocess_default(3);
    p.resize = 0;
    float pixels[27];
    assert_int_equal(tc_data_image(d, 1, &p, pixels, &err), TC_OK);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 9; i++) {
            int byte = (H * W + i / 3 * W + i % 3) * 4;
            assert_float_equal(pixels[c * 9 + i], (byte * p.rescale - p.mean[c]) / p.std[c], 1e-5);
        }
    tc_data_close(&d);
    tc_data_options o = tc_data_options_default();
    o.templates = scratch_text(dir, "templates", "one {}\n\n{} and {}, twice\n");
    d = open_ok(spec, &o);
    assert_int_equal(tc_data_templates(d), 2);
    assert_string_equal(tc_data_template(d, 0), "one {}");
    expect_caption(d, 0, 1, "cat and cat, twice");
    tc_data_close(&d);
    o.templates = scratch_text(dir, "templates", "one {}\nnone\n");
    expect_refused(spec, &o, "line 2 has no {}");
    o.templates = scratch_text(dir, "templates", "\n");
    expect_refused(spec, &o, "no lines");
    scratch_remove(dir);
}

static void test_idx_refused(void **state) {
    (void)state;
    char *dir = scratch_dir();
    uint8_t images[IMAGES_SIZE + 1] = {0}, labels[LABELS_SIZE + 1] = {0};
    fill_images(images);
    fill_labels(labels);
    const char *three = "a\nb\nc\n";
    for (size_t n = 0; n < IMAGES_SIZE; n++)
        expect_refused(idx_spec(dir, images, n, labels, LABELS_SIZE, three), NULL,
                       n < 16 ? "images" : "cut short");
    for (size_t n = 0; n < LABELS_SIZE; n++)
        expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, n, three), NULL, "labels: ");
    expect_refused(idx_spec(dir, images, IMAGES_SIZE + 1, labels, LABELS_SIZE, three), NULL,
                   "more data than");
    expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE + 1, three), NULL,
                   "more data than");
    expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE, "a\nb\n"), NULL,
                   "label 2 of sample 2, but there are 2 class names");
    expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE, "a\n\nb\nc\n"), NULL,
                   "line 2 is empty");
    expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE, ""), NULL, "no lines");
    static const struct {
        int at;
        uint8_t value;
        const char *message;
    } changes[] = {
        {0, 1, "not an IDX file"}, {2, 0x0d, "IDX type 0x0d"}, {3, 2, "with 2 axes"},  {7, 0, "length 0"},
        {15, 0, "length 0"},       {7, 6, "cut short"},        {5, 0xff, "cut short"}, {8, 0xff, "more than"},
        {12, 0xff, "more than"},   {4, 0xff, "more than"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        fill_images(images);
        images[changes[i].at] = changes[i].value;
        expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE, three), NULL,
                       changes[i].message);
    }
    fill_images(images);
    labels[7] = 4;
    expect_refused(idx_spec(dir, images, IMAGES_SIZE, labels, LABELS_SIZE - 1, three), NULL,
                   "4 labels for the 5 pictures");
    expect_refused("idx:a,b", NULL, "expected idx:IMAGES,LABELS,CLASSES");
    expect_refused("idx:a,b,c,d", NULL, "expected idx:IMAGES,LABELS,CLASSES");
    expect_refused("idx:a,b,/nowhere/c", NULL, "/nowhere/c: cannot open");
    scratch_remove(dir);
}

/* bytes compressed in the form of gzip; *size in and out. */
static uint8_t *gzip(const char *dir, const void *bytes, size_t *size) {
    char *path = tc_path_join(dir, "packed.gz"), *data;
    gzFile f = gzopen(path, "wb");
    assert_int_equal(gzwrite(f, bytes, (unsigned)*size), (int)*size);
    assert_int_equal(gzclose(f), Z_OK);
    assert_int_equal(tc_file_read(path, 1 << 20, &data, size, NULL), TC_OK);
    free(path);
    return (uint8_t *)data;
}

static void test_idx_gzip(void **state) {
    (void)state;
    char *dir = scratch_dir();
    uint8_t images[IMAGES_SIZE], labels[LABELS_SIZE];
    fill_images(images);
    fill_labels(labels);
    size_t size = sizeof images;
    uint8_t *packed = gzip(dir, images, &size);
    tc_data *d = open_ok(idx_spec(dir, packed, size, labels, sizeof labels, "a\nb\nc"), NULL);
    assert_int_equal(tc_data_count(d), N);
    tc_data_close(&d);
    for (size_t n = 1; n < size; n++)
        expect_refused(idx_spec(dir, packed, n, labels, sizeof labels, "a\nb\nc"), NULL, "images: ");
    packed[size - 5] ^= 1; /* the checksum */
    expect_refused(idx_spec(dir, packed, size, labels, sizeof labels, "a\nb\nc"), NULL, "images: ");
    free(packed);
    scratch_remove(dir);
}

static void test_idx_split(void **state) {
    (void)state;
    enum { MANY = 300 };
    char *dir = scratch_dir(), name[40];
    uint8_t images[16 + MANY] = "\0\0\x08\x03\0\0\x01\x2c\0\0\0\x01\0\0\0\x01",
                        labels[8 + MANY] = "\0\0\x08\x01\0\0\x01\x2c";
    for (int i = 0; i < MANY; i++) labels[8 + i] = (uint8_t)(i % 7);
    const char *spec = idx_spec(dir, images, sizeof images, labels, sizeof labels, "a\nb\nc\nd\ne\nf\ng\n");
    tc_data_options o = tc_data_options_default();
    int64_t counts[2];
    for (int k = 0; k < 2; k++) {
        o.split = k ? "test" : "train";
        tc_data *d = open_ok(spec, &o);
        counts[k] = tc_data_count(d);
        for (int64_t i = 0; i < counts[k]; i++) {
            long number = strtol(tc_data_name(d, i, name, sizeof name) + strlen("picture "), NULL, 10);
            assert_int_equal(tc_data_label(d, i), number % 7);
        }
        tc_data_close(&d);
    }
    assert_int_equal(counts[0] + counts[1], MANY);
    assert_true(counts[1] > 0 && counts[0] > counts[1]);
    scratch_remove(dir);
}

/* ---- named sets: on machines that have them, else the error that says what to install */

static void test_fashion_mnist(void **state) {
    (void)state;
    tc_data_options o = tc_data_options_default();
    o.split = "test";
    if (!tc_path_exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")) {
        expect_refused("fashion-mnist", &o, "install the Debian package dataset-fashion-mnist");
        return;
    }
    tc_data *d = open_ok("fashion-mnist", &o);
    assert_int_equal(tc_data_count(d), 10000);
    assert_int_equal(tc_data_classes(d), 10);
    assert_string_equal(tc_data_class_name(d, 9), "ankle boot");
    assert_in_range(tc_data_templates(d), 8, 12);
    assert_int_equal(tc_data_label(d, 0), 9);
    expect_caption(d, 0, 0, "a photo of a ankle boot.");
    tc_data_close(&d);
}

static void test_tuxpaint(void **state) {
    (void)state;
    tc_data_options o = tc_data_options_default();
    if (!tc_path_is_dir("/usr/share/tuxpaint/stamps")) {
        expect_refused("tuxpaint", &o, "install the Debian package tuxpaint-stamps-default");
        return;
    }
    o.split = "train";
    tc_data *train = open_ok("tuxpaint", &o);
    o.split = "test";
    tc_data *test = open_ok("tuxpaint", &o);
    assert_true(tc_data_count(train) > 5 * tc_data_count(test) && tc_data_count(test) > 0);
    for (int64_t i = 0; i < tc_data_count(test); i++) {
        char caption[300];
        assert_int_equal(tc_data_caption(test, i, 0, caption, sizeof caption, NULL), TC_OK);
        assert_null(strstr(caption, ".utf8="));
    }
    tc_data_close(&train);
    tc_data_close(&test);
}

/* ---- check before training */

static void test_check(void **state) {
    (void)state;
    char *dir = scratch_dir();
    scratch_bmp(dir, "a.bmp", 4, 10);
    scratch_text(dir, "a.txt", "first");
    scratch_text(dir, "b.bmp", "damaged");
    scratch_text(dir, "b.txt", "second");
    scratch_bmp(dir, "c.bmp", 4, 10);
    scratch_text(dir, "c.txt", "third");
    scratch_text(dir, "d.txt", "no image");
    tc_data *d = open_ok(dir, NULL);
    tc_preprocess p = tc_preprocess_default(4);
    tc_buf report = {0};
    assert_int_equal(tc_data_check(d, &p, 10, &report, NULL), TC_OK);
    assert_true(tc_starts_with(report.data,
                               "3 pairs of image and caption\nskipped: 1 caption without an image\n"
                               "example: a.bmp: first\nexample: b.bmp cannot be used: "));
    assert_true(tc_ends_with(report.data, "\nexample: c.bmp: third\n"));
    tc_buf_free(&report);
    tc_data_close(&d);
    scratch_remove(dir);
}

/* ---- the hash */

static uint64_t hash_of(const char *spec, const tc_data_options *o) {
    tc_data *d = open_ok(spec, o);
    uint64_t hash = 0, again = 0;
    assert_int_equal(tc_data_hash(d, &hash, NULL), TC_OK);
    assert_int_equal(tc_data_hash(d, &again, NULL), TC_OK);
    assert_true(hash == again);
    tc_data_close(&d);
    return hash;
}

/* Fails if `hash` is among the first *n of `seen`, and adds it. */
static void expect_new(uint64_t *seen, int *n, uint64_t hash) {
    for (int i = 0; i < *n; i++)
        if (seen[i] == hash) fail_msg("state %d has the hash of state %d", *n, i);
    seen[(*n)++] = hash;
}

static void set_time(const char *dir, const char *name, time_t seconds, long nanoseconds) {
    struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    char *path = tc_path_join(dir, name);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void test_hash_of_files(void **state) {
    (void)state;
    uint64_t seen[16];
    int n = 0;
    char *dir = scratch_dir(), *inner = sub_dir(dir, "pairs"), *moved = tc_path_join(dir, "moved"),
         *table = tc_path_join(dir, "t.csv");
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.bmp", i);
        scratch_bmp(inner, name, 2, (uint8_t)i);
        set_time(inner, name, 1000, 0);
        snprintf(name, sizeof name, "%02d.txt", i);
        scratch_text(inner, name, "word");
        set_time(inner, name, 1000, 0);
    }
    uint64_t first = hash_of(inner, NULL);
    expect_new(seen, &n, first);
    tc_data_options o = tc_data_options_default();
    o.split = "train";
    expect_new(seen, &n, hash_of(inner, &o));
    o.split = "test";
    expect_new(seen, &n, hash_of(inner, &o));
    set_time(inner, "03.bmp", 1000, 1);
    expect_new(seen, &n, hash_of(inner, NULL));
    set_time(inner, "03.bmp", 1000, 0);
    assert_true(hash_of(inner, NULL) == first);
    scratch_text(inner, "04.txt", "longer");
    set_time(inner, "04.txt", 1000, 0);
    expect_new(seen, &n, hash_of(inner, NULL));
    scratch_text(inner, "04.txt", "word");
    set_time(inner, "04.txt", 1000, 0);
    assert_true(hash_of(inner, NULL) == first);
    /* Where the folder lies does not matter; what is in it does. */
    assert_int_equal(rename(inner, moved), 0);
    assert_true(hash_of(moved, NULL) == first);
    scratch_bmp(moved, "new.bmp", 2, 0);
    scratch_text(moved, "new.txt", "word");
    expect_new(seen, &n, hash_of(moved, NULL));
    /* A picture that is gone after the folder was listed. */
    tc_data *d = open_ok(moved, NULL);
    uint64_t before, after;
    assert_int_equal(tc_data_hash(d, &before, NULL), TC_OK);
    char *gone = tc_path_join(moved, "new.bmp");
    assert_int_equal(remove(gone), 0);
    assert_int_equal(tc_data_hash(d, &after, NULL), TC_OK);
    assert_true(before != after);
    tc_data_close(&d);
    scratch_text(dir, "t.csv", "image,caption\nmoved/00.bmp,ab\nmoved/01.bmp,c\n");
    expect_new(seen, &n, hash_of(table, NULL));
    scratch_text(dir, "t.csv", "image,caption\nmoved/00.bmp,a\nmoved/01.bmp,bc\n");
    uint64_t csv = hash_of(table, NULL);
    expect_new(seen, &n, csv);
    scratch_text(dir, "t.csv", "caption,image\na,moved/00.bmp\nbc,moved/01.bmp\n");
    assert_true(hash_of(table, NULL) == csv);
    set_time(moved, "01.bmp", 1000, 7);
    expect_new(seen, &n, hash_of(table, NULL));
    free(gone);
    free(inner);
    free(moved);
    free(table);
    scratch_remove(dir);
}

/* Of pictures in memory each byte, label, class and template counts, and not where the files lie or when they
 * were written. */
static void test_hash_of_pictures(void **state) {
    (void)state;
    char *dir = scratch_dir(), *other = sub_dir(dir, "other");
    uint64_t seen[16];
    int n = 0;
    uint8_t images[IMAGES_SIZE], labels[LABELS_SIZE];
    static const char classes[] = "cat\ndog\nbird\n";
    fill_images(images);
    fill_labels(labels);
    uint64_t first = hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), NULL);
    expect_new(seen, &n, first);
    assert_true(hash_of(idx_spec(other, images, sizeof images, labels, sizeof labels, classes), NULL) ==
                first);
    images[IMAGES_SIZE - 1] ^= 1;
    expect_new(seen, &n, hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), NULL));
    images[IMAGES_SIZE - 1] ^= 1;
    labels[LABELS_SIZE - 1] = 2;
    expect_new(seen, &n, hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), NULL));
    labels[LABELS_SIZE - 1] = 0;
    expect_new(
        seen, &n,
        hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, "cat\ndog\nfish\n"), NULL));
    tc_data_options o = tc_data_options_default();
    o.templates = scratch_text(dir, "templates", "a {}\n");
    expect_new(seen, &n, hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), &o));
    o.templates = scratch_text(dir, "templates", "a {}\na {}\n");
    expect_new(seen, &n, hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), &o));
    assert_true(hash_of(idx_spec(dir, images, sizeof images, labels, sizeof labels, classes), NULL) == first);
    free(other);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_folder_links),
        cmocka_unit_test(test_folder_errors),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_refused),
        cmocka_unit_test(test_idx_gzip),
        cmocka_unit_test(test_idx_split),
        cmocka_unit_test(test_fashion_mnist),
        cmocka_unit_test(test_tuxpaint),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_hash_of_files),
        cmocka_unit_test(test_hash_of_pictures),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
