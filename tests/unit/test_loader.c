/* test_loader.c - training batches: the order is a function of (seed, epoch) alone, resuming gives the same
 * batches, bad samples are skipped and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"
#include "scratch.h"

enum { N = 37, SIDE = 6, CONTEXT = 16, BATCH = 8, STEPS = 14, PIXELS = 3 * SIDE * SIDE };

typedef struct fixture {
    char *dir;
    tc_data *data;
    tc_tokenizer *tokenizer;
    tc_loader_options o;
} fixture;

/* 37 pictures in 3 classes with 4 templates. */
static void fixture_open(fixture *f) {
    char spec[4096];
    uint8_t images[16 + N * SIDE * SIDE] = "\0\0\x08\x03\0\0\0\x25\0\0\0\x06\0\0\0\x06",
                                   labels[8 + N] = "\0\0\x08\x01\0\0\0\x25";
    tc_rng r = tc_rng_make(1, 2, 3);
    tc_data_options o = tc_data_options_default();
    f->dir = scratch_dir();
    for (int i = 0; i < N * SIDE * SIDE; i++) images[16 + i] = (uint8_t)tc_rng_below(&r, 256);
    for (int i = 0; i < N; i++) labels[8 + i] = (uint8_t)tc_rng_below(&r, 3);
    snprintf(spec, sizeof spec, "idx:%s,%s,%s", scratch_file(f->dir, "i", images, sizeof images),
             scratch_file(f->dir, "l", labels, sizeof labels), scratch_text(f->dir, "c", "cat\ndog\nbird\n"));
    o.templates = scratch_text(f->dir, "t", "a {}\nthe {}\none {} there\n{}!\n");
    assert_int_equal(tc_data_open(&f->data, spec, &o, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_create(&f->tokenizer, TC_TOKENIZER_OPENCLIP, NULL), TC_OK);
    f->o = (tc_loader_options){.data = f->data,
                               .tokenizer = f->tokenizer,
                               .preprocess = tc_preprocess_default(SIDE),
                               .context = CONTEXT,
                               .batch = BATCH,
                               .workers = 1,
                               .seed = 5,
                               .crop_scale_min = 0.5,
                               .flip = true};
}

static void fixture_close(fixture *f) {
    tc_data_close(&f->data);
    tc_tokenizer_close(&f->tokenizer);
    scratch_remove(f->dir);
}

/* Everything that `steps` batches hold, as bytes. */
static tc_buf collect(const tc_loader_options *o, int steps) {
    tc_loader *l;
    tc_error err;
    tc_buf b = {0};
    if (tc_loader_create(&l, o, &err) != TC_OK) fail_msg("%s", err.message);
    for (int i = 0; i < steps; i++) {
        const tc_batch *batch;
        if (tc_loader_next(l, &batch, &err) != TC_OK) fail_msg("%s", err.message);
        tc_buf_add(&b, &batch->n, sizeof batch->n);
        tc_buf_add(&b, batch->index, (size_t)batch->n * sizeof *batch->index);
        tc_buf_add(&b, batch->ids, (size_t)batch->n * (size_t)o->context * sizeof *batch->ids);
        tc_buf_add(&b, batch->pixel_values, (size_t)batch->n * PIXELS * sizeof *batch->pixel_values);
    }
    tc_loader_close(&l);
    assert_null(l);
    assert_false(b.failed);
    return b;
}

static void expect_same(tc_buf *a, tc_buf *b, bool same) {
    assert_int_equal(a->size, b->size);
    assert_int_equal(memcmp(a->data, b->data, a->size) == 0, same);
    tc_buf_free(b);
}

static void test_workers_do_not_matter(void **state) {
    (void)state;
    fixture f;
    fixture_open(&f);
    tc_buf one = collect(&f.o, STEPS);
    for (int workers = 0; workers <= 7; workers += workers ? 3 : 4) { /* 0, 4, 7 */
        f.o.workers = workers;
        tc_buf more = collect(&f.o, STEPS);
        expect_same(&one, &more, true);
    }
    f.o.seed++;
    tc_buf other = collect(&f.o, STEPS);
    expect_same(&one, &other, false);
    tc_buf_free(&one);
    fixture_close(&f);
}

static void test_resume(void **state) {
    (void)state;
    fixture f;
    fixture_open(&f);
    f.o.workers = 3;
    tc_buf whole = collect(&f.o, STEPS);
    size_t step = whole.size / STEPS;
    for (int first = 0; first < STEPS; first++) {
        f.o.first_step = first;
        tc_buf rest = collect(&f.o, STEPS - first);
        tc_buf tail = {.data = whole.data + (size_t)first * step, .size = whole.size - (size_t)first * step};
        expect_same(&tail, &rest, true);
    }
    tc_buf_free(&whole);
    fixture_close(&f);
}

/* Each epoch is a permutation, and no two are the same; also with batches larger than the data. */
static void test_epochs(void **state) {
    (void)state;
    fixture f;
    fixture_open(&f);
    for (int batch = BATCH; batch <= 100; batch += 92) {
        enum { EPOCHS = 5 };
        tc_loader *l;
        const tc_batch *b;
        int64_t order[EPOCHS][N];
        int at = 0;
        f.o.batch = batch;
        assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
        while (at < EPOCHS * N) {
            assert_int_equal(tc_loader_next(l, &b, NULL), TC_OK);
            assert_int_equal(b->n, batch);
            for (int i = 0; i < b->n && at < EPOCHS * N; i++, at++) order[at / N][at % N] = b->index[i];
        }
        for (int e = 0; e < EPOCHS; e++) {
            bool seen[N] = {false};
            for (int i = 0; i < N; i++) {
                assert_in_range(order[e][i], 0, N - 1);
                assert_false(seen[order[e][i]]);
                seen[order[e][i]] = true;
            }
            if (e) assert_memory_not_equal(order[e - 1], order[e], sizeof order[e]);
        }
        tc_loader_close(&l);
    }
    fixture_close(&f);
}

/* Without augmentation a batch holds what tc_data_image gives and one of the class's captions; over some
 * epochs each template is met. */
static void test_contents(void **state) {
    (void)state;
    fixture f;
    fixture_open(&f);
    f.o.crop_scale_min = 1;
    f.o.flip = false;
    tc_loader *l;
    int met[4] = {0};
    assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
    for (int step = 0; step < 30; step++) {
        const tc_batch *b;
        assert_int_equal(tc_loader_next(l, &b, NULL), TC_OK);
        for (int i = 0; i < b->n; i++) {
            float pixels[PIXELS];
            int32_t ids[CONTEXT];
            char caption[100];
            int found = 0;
            assert_int_equal(tc_data_image(f.data, b->index[i], &f.o.preprocess, pixels, NULL), TC_OK);
            assert_memory_equal(pixels, b->pixel_values + (size_t)i * PIXELS, sizeof pixels);
            for (int t = 0; t < 4; t++) {
                assert_int_equal(tc_data_caption(f.data, b->index[i], t, caption, sizeof caption, NULL),
                                 TC_OK);
                assert_int_equal(tc_tokenizer_encode(f.tokenizer, caption, CONTEXT, ids, NULL, NULL, NULL),
                                 TC_OK);
                bool same = memcmp(ids, b->ids + (size_t)i * CONTEXT, sizeof ids) == 0;
                found += same;
                met[t] += same;
            }
            assert_int_equal(found, 1);
        }
    }
    for (int t = 0; t < 4; t++) assert_true(met[t] > 0);
    char reason[100];
    assert_int_equal(tc_loader_skipped(l, reason, sizeof reason), 0);
    assert_string_equal(reason, "");
    tc_loader_close(&l);
    fixture_close(&f);
}

/* With two augmentations each sample has one in even epochs and another one in odd ones; the first two epochs
 * are those without a limit. */
static void test_augmentations(void **state) {
    (void)state;
    enum { EPOCHS = 6, SIZE = PIXELS * (int)sizeof(float) + CONTEXT * (int)sizeof(int32_t) };
    static uint8_t seen[2][N][SIZE];
    static bool met[2][N];
    fixture f;
    fixture_open(&f);
    for (f.o.augmentations = 0; f.o.augmentations <= 2; f.o.augmentations += 2) {
        tc_loader *l;
        const tc_batch *b;
        int at = 0, others = 0;
        assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
        while (at < (f.o.augmentations ? EPOCHS : 2) * N) {
            assert_int_equal(tc_loader_next(l, &b, NULL), TC_OK);
            for (int i = 0; i < b->n; i++, at++) {
                int a = at / N % 2, sample = (int)b->index[i];
                uint8_t now[SIZE];
                assert_int_equal(b->augmentation[i], f.o.augmentations ? a : at / N);
                memcpy(now, b->pixel_values + (size_t)i * PIXELS, PIXELS * sizeof(float));
                memcpy(now + PIXELS * sizeof(float), b->ids + (size_t)i * CONTEXT, CONTEXT * sizeof(int32_t));
                if (f.o.augmentations) assert_memory_equal(now, seen[a][sample], SIZE);
                else if (at < 2 * N) memcpy(seen[a][sample], now, SIZE);
                met[a][sample] = true;
            }
        }
        for (int i = 0; i < N; i++) {
            assert_true(met[0][i] && met[1][i]);
            others += memcmp(seen[0][i], seen[1][i], SIZE) != 0;
        }
        assert_true(others > N / 2);
        tc_loader_close(&l);
    }
    fixture_close(&f);
}

/* ---- bad samples */

/* A folder of `good` images and `bad` damaged ones. */
static void folder_open(fixture *f, int good, int bad) {
    char name[40];
    f->dir = scratch_dir();
    for (int i = 0; i < good + bad; i++) {
        snprintf(name, sizeof name, "%d.bmp", i);
        if (i < good) scratch_bmp(f->dir, name, SIDE, (uint8_t)(i * 7));
        else scratch_text(f->dir, name, "damaged");
        snprintf(name, sizeof name, "%d.txt", i);
        scratch_text(f->dir, name, "text");
    }
    assert_int_equal(tc_data_open(&f->data, f->dir, NULL, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_create(&f->tokenizer, TC_TOKENIZER_OPENCLIP, NULL), TC_OK);
    f->o = (tc_loader_options){.data = f->data,
                               .tokenizer = f->tokenizer,
                               .preprocess = tc_preprocess_default(SIDE),
                               .context = CONTEXT,
                               .batch = 4,
                               .workers = 3,
                               .seed = 9,
                               .crop_scale_min = 1};
}

static void test_bad_samples_are_skipped(void **state) {
    (void)state;
    fixture f;
    folder_open(&f, 8, 2);
    /* One more that vanishes after it was listed. */
    char *gone = tc_path_join(f.dir, "3.bmp"), reason[300];
    assert_int_equal(unlink(gone), 0);
    tc_loader *l;
    int64_t given = 0, times[10] = {0};
    assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
    for (int step = 0; step < 10; step++) { /* 40 positions: 4 epochs */
        const tc_batch *b;
        float pixels[PIXELS];
        assert_int_equal(tc_loader_next(l, &b, NULL), TC_OK);
        given += b->n;
        for (int i = 0; i < b->n; i++) {
            assert_true(strtol(tc_data_name(f.data, b->index[i], NULL, 0), NULL, 10) != 3);
            times[b->index[i]]++;
            assert_int_equal(tc_data_image(f.data, b->index[i], &f.o.preprocess, pixels, NULL), TC_OK);
            assert_memory_equal(pixels, b->pixel_values + (size_t)i * PIXELS, sizeof pixels);
            assert_int_equal(b->ids[(size_t)i * CONTEXT], 49406);
        }
    }
    assert_int_equal(given, 28);
    for (int i = 0; i < 10; i++) assert_true(times[i] == 0 || times[i] == 4);
    assert_int_equal(tc_loader_skipped(l, reason, sizeof reason), 12);
    assert_true(tc_starts_with(reason, "4 unreadable, 8 "));
    assert_non_null(strstr(reason, "; the last: "));
    assert_null(strchr(reason, '\n'));
    tc_loader_close(&l);
    free(gone);
    fixture_close(&f);
}

static void test_all_bad_is_an_error(void **state) {
    (void)state;
    fixture f;
    folder_open(&f, 0, 10);
    tc_loader *l;
    tc_error err = {0};
    const tc_batch *b;
    int batches = 0;
    assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
    while (tc_loader_next(l, &b, &err) == TC_OK) {
        assert_int_equal(b->n, 0);
        assert_true(++batches < 3);
    }
    assert_null(b);
    assert_int_equal(err.status, TC_ESTATE);
    assert_true(tc_starts_with(err.message, "none of the 10 samples could be read; the last: "));
    assert_non_null(strstr(err.message, ".bmp"));
    tc_loader_close(&l);
    fixture_close(&f);
}

static void test_closing_early(void **state) {
    (void)state;
    fixture f;
    fixture_open(&f);
    f.o.workers = 4;
    for (int i = 0; i < 20; i++) {
        tc_loader *l;
        const tc_batch *b;
        assert_int_equal(tc_loader_create(&l, &f.o, NULL), TC_OK);
        for (int k = 0; k < i % 4; k++) assert_int_equal(tc_loader_next(l, &b, NULL), TC_OK);
        tc_loader_close(&l);
    }
    tc_loader *none = NULL;
    tc_loader_close(&none);
    fixture_close(&f);
}

static void test_arguments(void **state) {
    (void)state;
    fixture f;
    tc_loader *l;
    tc_error err;
    fixture_open(&f);
    tc_loader_options o = f.o;
    o.batch = 0;
    assert_int_equal(tc_loader_create(&l, &o, &err), TC_EARG);
    o = f.o;
    o.first_step = -1;
    assert_int_equal(tc_loader_create(&l, &o, &err), TC_EARG);
    o.first_step = INT64_MAX;
    assert_int_equal(tc_loader_create(&l, &o, &err), TC_EARG);
    assert_null(l);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_do_not_matter),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_augmentations),
        cmocka_unit_test(test_bad_samples_are_skipped),
        cmocka_unit_test(test_all_bad_is_an_error),
        cmocka_unit_test(test_closing_early),
        cmocka_unit_test(test_arguments),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
