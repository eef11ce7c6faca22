/* test_callbacks.c - data that a program gives by functions: the same pixels as from files, errors that name
 * the sample, labels that are checked, a hash that follows the content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"
#include "scratch.h"

#include <stdatomic.h>
#include <stdio.h>

enum { COUNT = 6, SIDE = 5, S = 8 };

/* Samples 0 to 3 are RGB pixels, 4 gray ones, 5 the bytes of a file. */
typedef struct box {
    uint8_t rgb[COUNT][SIDE * SIDE * 3];
    char *file;
    size_t file_size;
    int labels[COUNT];
    tc_sample_image spoiled; /* given in place of sample 2, if it has bytes */
    bool refuses;            /* to give sample 3 */
    atomic_int given, released;
    int closed;
} box;

static tc_status give_image(void *user, int64_t i, tc_sample_image *im, tc_error *err) {
    box *b = user;
    assert_null(im->bytes);
    if (i == 3 && b->refuses) {
        snprintf(err->message, sizeof err->message, "the archive is locked");
        return TC_EIO;
    }
    atomic_fetch_add(&b->given, 1);
    *im = (tc_sample_image){
        .bytes = b->rgb[i], .size = SIDE * SIDE * 3, .width = SIDE, .height = SIDE, .channels = 3};
    if (i == 4) im->channels = 1, im->size = SIDE * SIDE;
    if (i == 5) *im = (tc_sample_image){.bytes = b->file, .size = b->file_size};
    if (i == 2 && b->spoiled.bytes) *im = b->spoiled;
    im->own = b->rgb[i];
    return TC_OK;
}

static void release_image(void *user, int64_t i, tc_sample_image *im) {
    box *b = user;
    assert_ptr_equal(im->own, b->rgb[i]);
    atomic_fetch_add(&b->released, 1);
}

static tc_status give_caption(void *user, int64_t i, char *buffer, size_t size, tc_error *err) {
    (void)user, (void)err;
    snprintf(buffer, size, "sample number %lld", (long long)i);
    return TC_OK;
}

static int give_label(void *user, int64_t i) { return ((box *)user)->labels[i]; }

static void close_box(void *user) { ((box *)user)->closed++; }

static void fill(box *b, const char *dir) {
    *b = (box){0};
    tc_rng r = tc_rng_make(1, 2, 3);
    for (int i = 0; i < COUNT; i++) {
        b->labels[i] = i % 2;
        for (int k = 0; k < SIDE * SIDE * 3; k++) b->rgb[i][k] = (uint8_t)tc_rng_below(&r, 256);
    }
    assert_int_equal(tc_file_read(scratch_bmp(dir, "a.bmp", 7, 90), 1 << 16, &b->file, &b->file_size, NULL),
                     TC_OK);
}

static tc_data_callbacks callbacks(box *b, bool labelled) {
    static const char *const names[] = {"cat", "dog"}, *const forms[] = {"a {}", "the {}", "{}!"};
    tc_data_callbacks c = tc_data_callbacks_default();
    c.name = "box";
    c.count = COUNT;
    c.image = give_image;
    c.release = release_image;
    c.close = close_box;
    c.user = b;
    c.caption = give_caption;
    if (!labelled) return c;
    c.class_names = names;
    c.classes = 2;
    c.templates = forms;
    c.n_templates = 3;
    c.label = give_label;
    c.caption = NULL;
    return c;
}

static void must(tc_status status, const tc_error *err) {
    if (status != TC_OK) fail_msg("%s", err->message);
}

/* As a P6 or gray image would be: the reference is tc_preprocess_image on the same pixels. */
static void same_pixels(const tc_data *d, const box *b, const tc_preprocess *p) {
    float got[3 * S * S], want[3 * S * S];
    tc_error err;
    for (int i = 0; i < COUNT; i++) {
        tc_image im = {
            .mode = i == 4 ? TC_MODE_L : TC_MODE_RGB, .width = SIDE, .height = SIDE, .orientation = 1};
        im.pixels = (uint8_t *)(uintptr_t)b->rgb[i];
        must(tc_data_image(d, i, p, got, &err), &err);
        if (i == 5) must(tc_preprocess_bytes(p, b->file, b->file_size, "a.bmp", want, NULL, &err), &err);
        else must(tc_preprocess_image(p, &im, NULL, want, NULL, &err), &err);
        assert_memory_equal(got, want, sizeof got);
    }
}

static void test_labelled(void **state) {
    (void)state;
    char *dir = scratch_dir(), text[64];
    box b;
    tc_error err;
    tc_data *d;
    tc_preprocess p = tc_preprocess_default(S);
    fill(&b, dir);
    tc_data_callbacks c = callbacks(&b, true);
    must(tc_data_from_callbacks(&d, &c, &err), &err);
    memset(&c, 0, sizeof c); /* it was copied */
    assert_int_equal(tc_data_count(d), COUNT);
    assert_int_equal(tc_data_classes(d), 2);
    assert_string_equal(tc_data_class_name(d, 1), "dog");
    assert_int_equal(tc_data_templates(d), 3);
    for (int i = 0; i < COUNT; i++) assert_int_equal(tc_data_label(d, i), i % 2);
    must(tc_data_caption(d, 3, 2, text, sizeof text, &err), &err);
    assert_string_equal(text, "dog!");
    assert_string_equal(tc_data_name(d, 3, text, sizeof text), "box: sample 3");
    same_pixels(d, &b, &p);
    assert_int_equal(b.given, COUNT);
    assert_int_equal(b.released, COUNT);
    assert_int_equal(b.closed, 0);
    tc_data_close(&d);
    assert_int_equal(b.closed, 1);
    free(b.file);
    scratch_remove(dir);
}

static void test_pairs(void **state) {
    (void)state;
    char *dir = scratch_dir(), text[64];
    box b;
    tc_error err;
    tc_data *d;
    fill(&b, dir);
    tc_data_callbacks c = callbacks(&b, false);
    c.close = NULL;
    c.release = NULL;
    must(tc_data_from_callbacks(&d, &c, &err), &err);
    assert_int_equal(tc_data_classes(d), 0);
    assert_int_equal(tc_data_label(d, 2), -1);
    must(tc_data_caption(d, 2, 0, text, sizeof text, &err), &err);
    assert_string_equal(text, "sample number 2");
    must(tc_data_caption(d, 2, 0, text, 7, &err), &err);
    assert_string_equal(text, "sample");
    tc_data_close(&d);
    assert_int_equal(b.closed, 0);
    free(b.file);
    scratch_remove(dir);
}

/* ---- errors */

static void bad_image(box *b, const tc_data *d, tc_sample_image im, int64_t i, tc_status want,
                      const char *message) {
    float pixels[3 * S * S];
    tc_preprocess p = tc_preprocess_default(S);
    tc_error err;
    p.pixel_limit = 1000;
    b->spoiled = im;
    atomic_store(&b->given, 0);
    atomic_store(&b->released, 0);
    assert_int_equal(tc_data_image(d, i, &p, pixels, &err), want);
    char name[32];
    snprintf(name, sizeof name, "box: sample %d: ", (int)i);
    if (strncmp(err.message, name, strlen(name)) != 0 || !strstr(err.message, message))
        fail_msg("%s", err.message);
    assert_int_equal(b->given, b->released);
}

static void test_bad_images(void **state) {
    (void)state;
    static const uint8_t bytes[2000] = {'B', 'M'};
    char *dir = scratch_dir();
    box b;
    tc_error err;
    tc_data *d;
    fill(&b, dir);
    tc_data_callbacks c = callbacks(&b, true);
    must(tc_data_from_callbacks(&d, &c, &err), &err);
    bad_image(&b, d, (tc_sample_image){.bytes = bytes, .size = 74, .width = 5, .height = 5, .channels = 3}, 2,
              TC_EFORMAT, "do not fit 74 bytes");
    bad_image(&b, d, (tc_sample_image){.bytes = bytes, .size = 50, .width = 5, .height = 5, .channels = 2}, 2,
              TC_EFORMAT, "of 2 channels");
    bad_image(&b, d, (tc_sample_image){.bytes = bytes, .size = 25, .width = -5, .height = -5, .channels = 1},
              2, TC_EFORMAT, "-5x-5");
    bad_image(
        &b, d,
        (tc_sample_image){.bytes = bytes, .size = 4, .width = INT32_MAX, .height = INT32_MAX, .channels = 3},
        2, TC_EFORMAT, "do not fit");
    bad_image(&b, d,
              (tc_sample_image){.bytes = bytes, .size = 1010, .width = 10, .height = 101, .channels = 1}, 2,
              TC_ENOMEM, "limit of 1000 pixels");
    bad_image(&b, d, (tc_sample_image){.bytes = bytes, .size = 30}, 2, TC_EUNSUPPORTED, "");
    b.refuses = true;
    bad_image(&b, d, (tc_sample_image){0}, 3, TC_EIO, "the archive is locked");
    tc_data_close(&d);
    free(b.file);
    scratch_remove(dir);
}

static void refused(tc_data_callbacks c, const char *message) {
    tc_error err;
    tc_data *d = NULL;
    assert_int_equal(tc_data_from_callbacks(&d, &c, &err), TC_EARG);
    assert_null(d);
    if (!strstr(err.message, message)) fail_msg("%s", err.message);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad_forms[] = {"a {}", "none"};
    char *dir = scratch_dir();
    box b;
    fill(&b, dir);
    tc_data_callbacks good = callbacks(&b, true), pairs = callbacks(&b, false), c;
    c = good, c.count = 0, refused(c, "no samples");
    c = good, c.image = NULL, refused(c, "gives images");
    c = good, c.label = NULL, refused(c, "gives labels");
    c = good, c.class_names = NULL, refused(c, "need names");
    c = good, c.classes = -1, refused(c, "number of classes");
    c = good, c.name = "", refused(c, "a name is needed");
    c = good, c.templates = bad_forms, c.n_templates = 2, refused(c, "\"none\" has no {}");
    c = good, c.reserved[1] = 7, refused(c, "tc_data_callbacks");
    c = pairs, c.caption = NULL, refused(c, "gives captions");
    c = pairs, c.n_templates = 1, c.templates = bad_forms, refused(c, "templates are for classes");
    b.labels[4] = 2;
    refused(good, "sample 4 has the label 2, but there are 2 classes");
    b.labels[4] = -1;
    refused(good, "sample 4 has the label -1");
    assert_int_equal(b.closed, 0); /* what is not opened is not closed */
    free(b.file);
    scratch_remove(dir);
}

/* ---- to know it again */

static uint64_t hash_of(box *b, bool labelled, uint64_t version) {
    tc_error err;
    tc_data *d;
    uint64_t hash;
    tc_data_callbacks c = callbacks(b, labelled);
    c.version = version;
    must(tc_data_from_callbacks(&d, &c, &err), &err);
    must(tc_data_hash(d, &hash, &err), &err);
    tc_data_close(&d);
    return hash;
}

static void test_hash(void **state) {
    (void)state;
    char *dir = scratch_dir();
    box b;
    fill(&b, dir);
    uint64_t first = hash_of(&b, true, 0), pairs = hash_of(&b, false, 0), noted = hash_of(&b, true, 5);
    assert_true(first == hash_of(&b, true, 0));
    assert_true(first != pairs);
    b.rgb[1][74]++;
    assert_true(first != hash_of(&b, true, 0));
    assert_true(pairs != hash_of(&b, false, 0));
    atomic_store(&b.given, 0);
    assert_true(noted == hash_of(&b, true, 5)); /* the number is believed, nothing is asked for */
    assert_int_equal(b.given, 0);
    assert_true(noted != hash_of(&b, true, 6));
    b.rgb[1][74]--;
    b.labels[0] = 1;
    assert_true(first != hash_of(&b, true, 0));
    free(b.file);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_labelled), cmocka_unit_test(test_pairs),
                                       cmocka_unit_test(test_bad_images), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_hash)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
