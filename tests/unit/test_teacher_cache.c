/* test_teacher_cache.c - the file of the teacher's features: what comes back, what belongs to it and what is
 * refused, damage, two users at once, no room. Whole runs with it are in test_cached_runs.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train_rig.h"

#include <math.h>
#include <sys/stat.h>

#define FILE_NAME "teacher.cache"
enum {
    HEADER = 4096,
    SAMPLES = 7,
    AUGMENTATIONS = 3,
    ROWS = SAMPLES * AUGMENTATIONS,
    DIM = 5,
    ROW = 2 * DIM * 4 + 8
};

static tc_teacher_key some_key(void) {
    return (tc_teacher_key){.config = 1,
                            .weights = 2,
                            .templates = 3,
                            .data = 4,
                            .tokenizer = 5,
                            .context = 6,
                            .preprocess = 7,
                            .crop_scale_min = 0.5,
                            .flip = true,
                            .seed = 8,
                            .augmentations = AUGMENTATIONS,
                            .samples = SAMPLES,
                            .dim = DIM};
}

static tc_teacher_cache *open_ok(const char *dir, const tc_teacher_key *key) {
    tc_teacher_cache *c;
    tc_error err;
    if (tc_teacher_cache_open(&c, dir, key, &err) != TC_OK) fail_msg("%s", err.message);
    return c;
}

static void expect_refused(const char *dir, const tc_teacher_key *key, tc_status status, const char *says) {
    tc_teacher_cache *c;
    tc_error err = {0};
    tc_status got = tc_teacher_cache_open(&c, dir, key, &err);
    assert_null(c);
    if (got != status || !strstr(err.message, says) || !tc_starts_with(err.message, dir))
        fail_msg("expected '%s' (%d), got '%s' (%d)", says, status, err.message, got);
}

static void overwrite(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* What the teacher is taken to give for a row: `version` tells apart what was computed when. */
static float value(int64_t row, int k, int version) {
    return (float)row + (float)k / 64 + (float)version * 1000;
}

static void make_values(const int64_t *rows, int n, int version, float *image, float *text) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < DIM; k++) {
            image[i * DIM + k] = value(rows[i], k, version);
            text[i * DIM + k] = -value(rows[i], k, version);
        }
}

static int read_rows(tc_teacher_cache *c, const int64_t *rows, int n, float *image, float *text) {
    int missing;
    tc_error err;
    if (tc_teacher_cache_read(c, rows, n, image, text, &missing, &err) != TC_OK) fail_msg("%s", err.message);
    return missing;
}

static bool is_there(tc_teacher_cache *c, int64_t row, int version) {
    float image[DIM], text[DIM];
    if (read_rows(c, &row, 1, image, text)) return false;
    for (int k = 0; k < DIM; k++)
        assert_true(image[k] == value(row, k, version) && text[k] == -value(row, k, version));
    return true;
}

static void fill(tc_teacher_cache *c, const int64_t *rows, int n, int version, float *image, float *text) {
    tc_error err;
    make_values(rows, n, version, image, text);
    if (tc_teacher_cache_fill(c, rows, n, image, text, &err) != TC_OK) fail_msg("%s", err.message);
}

static void fill_all(tc_teacher_cache *c) {
    int64_t rows[ROWS];
    float image[ROWS * DIM], text[ROWS * DIM];
    for (int i = 0; i < ROWS; i++) rows[i] = i;
    fill(c, rows, ROWS, 1, image, text);
}

/* Makes a full cache in the folder; its bytes. */
static tc_buf full_file(const char *dir, const tc_teacher_key *key) {
    tc_teacher_cache *c = open_ok(dir, key);
    fill_all(c);
    tc_teacher_cache_close(&c);
    return rig_bytes(dir, FILE_NAME);
}

static void rows_come_back(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_teacher_key key = some_key();
    tc_teacher_cache *c = open_ok(dir, &key);
    float image[5 * DIM], text[5 * DIM];
    const int64_t first[3] = {4, 0, ROWS - 1}, second[5] = {1, 4, 2, 1, ROWS - 1};
    assert_int_equal(read_rows(c, first, 3, image, text), 3);
    fill(c, first, 3, 1, image, text);
    assert_int_equal(read_rows(c, first, 3, image, text), 0);
    assert_int_equal(read_rows(c, second, 5, image, text), 3); /* row 1 twice */
    /* Of the rows that were there the older values count, of row 1 those of its first place. */
    make_values(second, 5, 2, image, text);
    image[3 * DIM] = 77;
    assert_int_equal(tc_teacher_cache_fill(c, second, 5, image, text, NULL), TC_OK);
    static const int versions[5] = {2, 1, 2, 2, 1};
    for (int i = 0; i < 5; i++)
        assert_true(image[i * DIM] == value(second[i], 0, versions[i]) &&
                    text[i * DIM] == -value(second[i], 0, versions[i]));
    tc_teacher_cache_counts n = tc_teacher_cache_count(c);
    assert_int_equal(n.found, 3);
    assert_int_equal(n.computed, 5);
    assert_int_equal(n.damaged, 0);
    assert_int_equal(tc_teacher_cache_size(c), HEADER + ROWS * ROW);
    assert_int_equal(tc_teacher_cache_row(c, 0, 3), 3);
    assert_int_equal(tc_teacher_cache_row(c, AUGMENTATIONS + 1, 3), SAMPLES + 3);
    assert_int_equal(tc_teacher_cache_sync(c, NULL), TC_OK);
    tc_teacher_cache_close(&c);
    assert_null(c);
    c = open_ok(dir, &key);
    for (int64_t row = 0; row < ROWS; row++) {
        bool in_first = row == 4 || row == 0 || row == ROWS - 1, in_second = row == 1 || row == 2;
        assert_int_equal(is_there(c, row, in_second ? 2 : 1), in_first || in_second);
    }
    int missing;
    const int64_t outside[2] = {-1, ROWS};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tc_teacher_cache_read(c, outside + i, 1, image, text, &missing, NULL), TC_EARG);
        assert_int_equal(tc_teacher_cache_fill(c, outside + i, 1, image, text, NULL), TC_EARG);
    }
    tc_teacher_cache_close(&c);
    scratch_remove(dir);
}

/* A feature that is not finite, or all zeros, is one like any other. */
static void any_values_are_kept(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_teacher_key key = some_key();
    tc_teacher_cache *c = open_ok(dir, &key);
    float zero[DIM] = {0}, odd[DIM] = {NAN, INFINITY, -0.0f, 1e-45f, -INFINITY}, image[DIM], text[DIM];
    int64_t row = 6;
    assert_int_equal(tc_teacher_cache_fill(c, &row, 1, zero, odd, NULL), TC_OK);
    assert_int_equal(read_rows(c, &row, 1, image, text), 0);
    assert_memory_equal(image, zero, sizeof zero);
    assert_memory_equal(text, odd, sizeof odd);
    tc_teacher_cache_close(&c);
    scratch_remove(dir);
}

static void another_key_is_refused(void **state) {
    (void)state;
    char *dir = scratch_dir();
    const tc_teacher_key good = some_key();
    tc_buf before = full_file(dir, &good);
    tc_teacher_key key;
#define REFUSED(change, says) \
    key = good;               \
    change;                   \
    expect_refused(dir, &key, TC_EARG, says)
    REFUSED(key.config++, "another teacher (its configuration differs): 0000000000000001 there, "
                          "0000000000000002 here; name another folder");
    REFUSED(key.weights++, "another teacher (its weights differ)");
    REFUSED(key.samples++, "another number of samples: 7 there, 8 here");
    REFUSED(key.templates++, "another list of prompt templates");
    REFUSED(key.data++, "another set of data");
    REFUSED(key.tokenizer++, "another tokenizer");
    REFUSED(key.context++, "another context length: 6 there, 7 here");
    REFUSED(key.preprocess++, "another preprocessing");
    REFUSED(key.crop_scale_min = 0.25, "another smallest crop: 0.5 there, 0.25 here");
    REFUSED(key.flip = false, "another choice of mirroring: on there, off here");
    REFUSED(key.augmentations++, "another number of augmentations: 3 there, 4 here");
    REFUSED(key.seed++, "another seed: 8 there, 9 here; name another folder, or remove the file");
    REFUSED(key.dim++, "another length of the features: 5 there, 6 here");
    REFUSED((key.seed++, key.weights++), "its weights differ");
#undef REFUSED
    assert_true(rig_same(&before, dir, FILE_NAME));
    tc_teacher_cache *c = open_ok(dir, &good);
    for (int64_t row = 0; row < ROWS; row++) assert_true(is_there(c, row, 1));
    tc_teacher_cache_close(&c);
    tc_buf_free(&before);
    scratch_remove(dir);
}

/* Every bit that counts, and some of the rest of the page. */
static void damaged_headers_are_refused(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, FILE_NAME);
    const tc_teacher_key key = some_key();
    tc_buf b = full_file(dir, &key);
    for (size_t at = 0; at < HEADER; at += at < 160 ? 1 : 41)
        for (int bit = 0; bit < 8; bit += at < 160 ? 1 : 7) {
            b.data[at] = (char)(b.data[at] ^ 1 << bit);
            overwrite(path, b.data, b.size);
            expect_refused(dir, &key, TC_EFORMAT,
                           at < 8    ? "not a teacher cache"
                           : at < 16 ? "of version"
                                     : "is damaged");
            b.data[at] = (char)(b.data[at] ^ 1 << bit);
        }
    tc_rng rng = tc_rng_make(1, 2, 3);
    for (int i = 0; i < HEADER; i++) b.data[i] = (char)tc_rng_below(&rng, 256);
    overwrite(path, b.data, b.size);
    expect_refused(dir, &key, TC_EFORMAT, "not a teacher cache");
    memset(b.data, 0, b.size);
    overwrite(path, b.data, b.size);
    expect_refused(dir, &key, TC_EFORMAT, "not a teacher cache");
    tc_buf_free(&b);
    free(path);
    scratch_remove(dir);
}

/* Empty, or cut behind its header, it is one in which nothing is; the second is what a kill while it is made
 * leaves. */
static void cut_files_are_refused(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, FILE_NAME);
    const tc_teacher_key key = some_key();
    tc_buf b = full_file(dir, &key);
    for (size_t size = 1; size < b.size; size += size < HEADER - 64 ? 61 : 1) {
        if (size == HEADER) continue;
        overwrite(path, b.data, size);
        expect_refused(dir, &key, TC_EFORMAT,
                       size < HEADER ? "cut short within its header" : "bytes, expected 5104");
    }
    overwrite(path, b.data, b.size);
    assert_int_equal(truncate(path, (off_t)b.size + 1), 0);
    expect_refused(dir, &key, TC_EFORMAT, "has 5105 bytes, expected 5104");
    for (size_t size = 0; size <= HEADER; size += HEADER) {
        overwrite(path, b.data, size);
        tc_teacher_cache *c = open_ok(dir, &key);
        for (int64_t row = 0; row < ROWS; row++) assert_false(is_there(c, row, 1));
        fill_all(c);
        tc_teacher_cache_close(&c);
        assert_true(rig_same(&b, dir, FILE_NAME));
    }
    tc_buf_free(&b);
    free(path);
    scratch_remove(dir);
}

static void damaged_rows_are_missing(void **state) {
    (void)state;
    enum { BAD = 9 };
    char *dir = scratch_dir(), *path = tc_path_join(dir, FILE_NAME);
    const tc_teacher_key key = some_key();
    tc_buf b = full_file(dir, &key);
    char *row = b.data + HEADER + BAD * ROW, kept[ROW];
    memcpy(kept, row, ROW);
    float image[DIM], text[DIM];
    const int64_t bad = BAD;
    /* Each bit; then written in part; then another row in its place; then nothing. */
    for (int k = 0; k < 8 * ROW + ROW + 2; k++) {
        memcpy(row, kept, ROW);
        if (k < 8 * ROW) row[k / 8] = (char)(row[k / 8] ^ 1 << k % 8);
        else if (k < 9 * ROW) memset(row + (k - 8 * ROW), 0, (size_t)(9 * ROW - k));
        else if (k == 9 * ROW) memcpy(row, row - ROW, ROW);
        else memset(row, 0, ROW);
        if (memcmp(row, kept, ROW) == 0) continue; /* the bytes were 0 already */
        overwrite(path, b.data, b.size);
        tc_teacher_cache *c = open_ok(dir, &key);
        for (int64_t i = 0; i < ROWS; i++)
            if (is_there(c, i, 1) != (i != BAD)) fail_msg("change %d: row %d", k, (int)i);
        uint64_t sum;
        memcpy(&sum, row + 2 * DIM * 4, sizeof sum);
        fill(c, &bad, 1, 1, image, text);
        assert_true(is_there(c, BAD, 1));
        assert_int_equal(tc_teacher_cache_count(c).damaged, sum != 0);
        tc_teacher_cache_close(&c);
    }
    tc_buf_free(&b);
    free(path);
    scratch_remove(dir);
}

static void what_is_no_file(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, FILE_NAME), *below = tc_path_join(path, "deeper");
    tc_teacher_key key = some_key();
    assert_int_equal(mkdir(path, 0777), 0);
    expect_refused(dir, &key, TC_EIO, "cannot open");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    expect_refused(dir, &key, TC_EIO, "not a regular file");
    assert_int_equal(unlink(path), 0);
    scratch_text(dir, FILE_NAME, "text");
    tc_teacher_cache *c;
    tc_error err;
    assert_int_equal(tc_teacher_cache_open(&c, below, &key, &err), TC_EIO);
    assert_non_null(strstr(err.message, "teacher.cache: cannot make the folder"));
    /* Features larger than any disk, then than any file; no file is left behind. */
    assert_int_equal(unlink(path), 0);
    key.dim = 1000;
    key.samples = (int64_t)1 << 40;
    expect_refused(dir, &key, TC_EIO, " MB; choose fewer augmentations or a folder on another disk");
    key.samples = INT64_MAX;
    expect_refused(dir, &key, TC_EARG, "larger than a file can be");
    key.dim = INT64_MAX;
    key.samples = 1;
    expect_refused(dir, &key, TC_EARG, "larger than a file can be");
    key.dim = 0;
    expect_refused(dir, &key, TC_EARG, "larger than a file can be");
    assert_false(tc_path_exists(path));
    free(below);
    free(path);
    scratch_remove(dir);
}

static void one_run_at_a_time(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, FILE_NAME);
    tc_teacher_key key = some_key();
    tc_teacher_cache *c = open_ok(dir, &key);
    expect_refused(dir, &key, TC_ESTATE,
                   "another run is using this teacher cache; wait for it or name another folder");
    key.seed++;
    expect_refused(dir, &key, TC_ESTATE, "another run is using this teacher cache");
    key.seed--;
    fill_all(c);
    assert_true(is_there(c, 3, 1));
    /* Shortened while it is in use: an error, not a signal. */
    assert_int_equal(truncate(path, HEADER), 0);
    int64_t row = 3;
    float image[DIM], text[DIM];
    int missing;
    tc_error err;
    assert_int_equal(tc_teacher_cache_read(c, &row, 1, image, text, &missing, &err), TC_EIO);
    assert_non_null(strstr(err.message, "the file was shortened"));
    assert_int_equal(tc_teacher_cache_fill(c, &row, 1, image, text, &err), TC_EIO);
    tc_teacher_cache_close(&c);
    c = open_ok(dir, &key);
    tc_teacher_cache_close(&c);
    free(path);
    scratch_remove(dir);
}

/* ---- the key */

static tc_data *labelled(const char *dir, const char *templates) {
    static const uint8_t images[] = "\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01\x05\x06",
                         labels[] = "\0\0\x08\x01\0\0\0\x02\0\x01";
    char spec[4096];
    tc_data *d;
    tc_error err;
    tc_data_options o = tc_data_options_default();
    snprintf(spec, sizeof spec, "idx:%s,%s,%s", scratch_file(dir, "i", images, sizeof images - 1),
             scratch_file(dir, "l", labels, sizeof labels - 1), scratch_text(dir, "c", "cat\ndog\n"));
    o.templates = scratch_text(dir, "t", templates);
    if (tc_data_open(&d, spec, &o, &err) != TC_OK) fail_msg("%s", err.message);
    return d;
}

/* Which templates there are counts; more than one of them is chance enough for seed and augmentations to
 * count. */
static void key_of_labelled_data(void **state) {
    (void)state;
    static const char *const lists[] = {"a {}\n", "the {}\n", "a {}\nthe {}\n", "the {}\na {}\n"};
    rig r;
    rig_open(&r);
    tc_preprocess p = tc_preprocess_default(RIG_SIDE);
    tc_teacher_key keys[4];
    for (int i = 0; i < 4; i++) {
        tc_data *d = labelled(r.dir, lists[i]);
        tc_teacher_use use = {.teacher = r.teacher,
                              .weights = 9,
                              .data = d,
                              .tokenizer = r.tokenizer,
                              .preprocess = &p,
                              .context = RIG_CONTEXT,
                              .crop_scale_min = 1,
                              .seed = 6,
                              .augmentations = 3};
        assert_int_equal(tc_teacher_key_make(&keys[i], &use, NULL), TC_OK);
        assert_int_equal(keys[i].samples, 2);
        assert_int_equal(keys[i].dim, r.teacher->config.embed_dim);
        assert_int_equal(keys[i].weights, 9);
        assert_int_equal(keys[i].seed, i < 2 ? 0 : 6);
        assert_int_equal(keys[i].augmentations, i < 2 ? 1 : 3);
        for (int k = 0; k < i; k++)
            assert_true(keys[k].templates != keys[i].templates && keys[k].tokenizer == keys[i].tokenizer);
        for (int k = 0; k < 2; k++) {
            use.flip = k == 0;
            use.crop_scale_min = k == 1 ? 0.5 : 1;
            assert_int_equal(tc_teacher_key_make(&keys[i], &use, NULL), TC_OK);
            assert_int_equal(keys[i].seed, 6);
            assert_int_equal(keys[i].augmentations, 3);
        }
        tc_data_close(&d);
    }
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),         cmocka_unit_test(any_values_are_kept),
        cmocka_unit_test(another_key_is_refused), cmocka_unit_test(damaged_headers_are_refused),
        cmocka_unit_test(cut_files_are_refused),  cmocka_unit_test(damaged_rows_are_missing),
        cmocka_unit_test(what_is_no_file),        cmocka_unit_test(one_run_at_a_time),
        cmocka_unit_test(key_of_labelled_data),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
