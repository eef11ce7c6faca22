/* test_passes.c - many images and texts at once against the same one by one; threads of a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kern/kern.h"
#include "base/threads.h"
#include "scratch.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>

enum { IMAGES = 11, DIM = 16, CONTEXT = 8, SIDE = 8 };

static const char config[] =
    "{\"embed_dim\":16,\"vision_cfg\":{\"image_size\":8,\"layers\":2,\"width\":16,\"patch_size\":4,\"head_"
    "width\":8},\"text_cfg\":{\"context_length\":8,\"vocab_size\":49408,\"width\":8,\"heads\":1,\"layers\":2}"
    "}";

typedef struct fixture {
    char *dir;
    tc_model *model;
    tc_session *session;
    tc_tokenizer *tokenizer;
    char *paths[IMAGES]; /* 0, 6 and 7 are no pictures */
} fixture;

static void ok(tc_status status, const tc_error *err) {
    if (status != TC_OK) fail_msg("%s", err->message);
}

static bool is_bad(int i) { return i == 0 || i == 6 || i == 7; }

static int setup(void **state) {
    fixture *f = tc_new(1, sizeof *f);
    tc_error err;
    f->dir = scratch_dir();
    ok(tc_model_create(&f->model, scratch_text(f->dir, "config.json", config), 3, &err), &err);
    ok(tc_session_create(&f->session, f->model, &err), &err);
    ok(tc_model_tokenizer(f->model, &f->tokenizer, &err), &err);
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.bmp", i);
        f->paths[i] = tc_strdup(is_bad(i) ? scratch_text(f->dir, name, "no picture")
                                          : scratch_bmp(f->dir, name, 9, (uint8_t)(20 * i)));
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    for (int i = 0; i < IMAGES; i++) free(f->paths[i]);
    tc_tokenizer_close(&f->tokenizer);
    tc_session_close(&f->session);
    tc_model_close(&f->model);
    scratch_remove(f->dir);
    free(f);
    return 0;
}

/* ---- images */

typedef struct told {
    fixture *f;
    int bad[IMAGES], progress;
    int64_t last;
} told;

static void on_bad(void *user, int64_t index, const tc_error *error) {
    told *t = user;
    assert_non_null(strstr(error->message, t->f->paths[index]));
    t->bad[index]++;
}

static void on_progress(void *user, int64_t done, int64_t all) {
    told *t = user;
    assert_true(done > t->last && done <= all);
    t->last = done;
    t->progress++;
}

static void embed_one(fixture *f, int i, bool normalize, float *out) {
    float pixels[3 * SIDE * SIDE];
    tc_preprocess p = tc_model_preprocess(f->model);
    tc_error err;
    ok(tc_preprocess_file(&p, f->paths[i], pixels, NULL, &err), &err);
    ok(tc_session_encode_image(f->session, pixels, 1, out, &err), &err);
    if (normalize) tc_normalize(out, 1, DIM);
}

static void check_pass(fixture *f, int batch, bool normalize) {
    told t = {.f = f};
    tc_image_pass_options o = tc_image_pass_options_default();
    tc_image_pass *pass;
    tc_error err;
    const int64_t *index;
    const float *embeds;
    float want[DIM];
    int n = 0, at = 0;
    o.paths = (const char *const *)f->paths;
    o.count = IMAGES;
    o.batch = batch;
    o.normalize = normalize;
    o.on_bad = on_bad;
    o.on_progress = on_progress;
    o.user = &t;
    ok(tc_image_pass_open(&pass, f->session, &o, &err), &err);
    assert_int_equal(tc_image_pass_count(pass), IMAGES);
    do {
        ok(tc_image_pass_next(pass, &n, &index, &embeds, &err), &err);
        assert_true(n <= batch);
        for (int i = 0; i < n; i++, at++) {
            while (is_bad(at)) at++;
            assert_int_equal(index[i], at);
            embed_one(f, at, normalize, want);
            assert_memory_equal(embeds + i * DIM, want, sizeof want);
        }
    } while (n > 0);
    assert_int_equal(at, IMAGES);
    ok(tc_image_pass_next(pass, &n, &index, &embeds, &err), &err); /* the end stays the end */
    assert_int_equal(n, 0);
    assert_int_equal(tc_image_pass_skipped(pass), 3);
    for (int i = 0; i < IMAGES; i++) assert_int_equal(t.bad[i], is_bad(i));
    assert_int_equal(t.progress, (IMAGES + batch - 1) / batch);
    assert_int_equal(t.last, IMAGES);
    tc_image_pass_close(&pass);
    assert_null(pass);
}

static void test_images(void **state) {
    /* 1: batches of which nothing is left; 64: all at once */
    const int batches[] = {1, 2, 3, 5, 64};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) check_pass(*state, batches[i], i % 2);
}

/* Without somebody to tell, the first bad image is the error. */
static void test_first_bad_image(void **state) {
    fixture *f = *state;
    tc_image_pass_options o = tc_image_pass_options_default();
    tc_image_pass *pass;
    tc_error err;
    const int64_t *index;
    const float *embeds;
    int n;
    o.paths = (const char *const *)f->paths + 1;
    o.count = IMAGES - 1;
    ok(tc_image_pass_open(&pass, f->session, &o, &err), &err);
    assert_int_equal(tc_image_pass_next(pass, &n, &index, &embeds, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, f->paths[6]));
    tc_image_pass_close(&pass);
}

static void test_refused(void **state) {
    fixture *f = *state;
    tc_image_pass *pass;
    tc_error err;
    tc_preprocess other = tc_preprocess_default(SIDE + 1);
    tc_image_pass_options none = tc_image_pass_options_default(), o = none;
    assert_int_equal(tc_image_pass_open(&pass, f->session, &none, &err), TC_EARG);
    assert_null(pass);
    o.paths = (const char *const *)f->paths;
    o.count = IMAGES;
    o.batch = 0;
    assert_int_equal(tc_image_pass_open(&pass, f->session, &o, &err), TC_EARG);
    o.batch = 1;
    o.preprocess = &other;
    assert_int_equal(tc_image_pass_open(&pass, f->session, &o, &err), TC_EARG);
    assert_non_null(strstr(err.message, "9 pixels"));
    o.preprocess = NULL;
    o.reserved[0] = 1;
    assert_int_equal(tc_image_pass_open(&pass, f->session, &o, &err), TC_EARG);
}

/* ---- texts */

typedef struct cuts {
    int64_t index[4];
    int dropped[4], n;
} cuts;

static void on_cut(void *user, int64_t index, int dropped) {
    cuts *c = user;
    assert_true(c->n < 4);
    c->index[c->n] = index;
    c->dropped[c->n++] = dropped;
}

static void test_texts(void **state) {
    fixture *f = *state;
    const char *texts[] = {"a cat", "one two three four five six seven", "", "a dog", "a b c d e f g h i j"};
    enum { N = sizeof texts / sizeof *texts };
    float embeds[N * DIM], want[DIM];
    int32_t ids[CONTEXT];
    tc_error err;
    for (int batch = 1; batch <= N + 1; batch++)
        for (int normalize = 0; normalize < 2; normalize++) {
            cuts c = {0};
            tc_text_options o = tc_text_options_default();
            o.batch = batch;
            o.normalize = normalize;
            o.on_cut = on_cut;
            o.user = &c;
            ok(tc_embed_texts(f->session, f->tokenizer, texts, N, &o, embeds, &err), &err);
            for (int i = 0; i < N; i++) {
                ok(tc_tokenizer_encode(f->tokenizer, texts[i], CONTEXT, ids, NULL, NULL, &err), &err);
                ok(tc_session_encode_text(f->session, ids, 1, CONTEXT, want, &err), &err);
                if (normalize) tc_normalize(want, 1, DIM);
                assert_memory_equal(embeds + i * DIM, want, sizeof want);
            }
            assert_int_equal(c.n, 2);
            assert_int_equal(c.index[0], 1);
            assert_int_equal(c.dropped[0], 1);
            assert_int_equal(c.index[1], 4);
            assert_int_equal(c.dropped[1], 4);
        }
    ok(tc_embed_texts(f->session, f->tokenizer, NULL, 0, NULL, NULL, &err), &err);
    assert_int_equal(tc_embed_texts(f->session, f->tokenizer, texts, -1, NULL, embeds, &err), TC_EARG);
}

/* ---- threads of a session */

static int threads_of_process(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

enum { BIG_IMAGES = 3, BIG_DIM = 512, BIG_SIZE = 3 * 224 * 224, BIG_CONTEXT = 77, BIG_TEXTS = 5 };

typedef struct job {
    const tc_model *model;
    const float *pixels;
    const int32_t *ids;
    int threads;
    float image[BIG_IMAGES * BIG_DIM], text[BIG_TEXTS * BIG_DIM];
} job;

static void *work(void *user) {
    job *j = user;
    tc_session *s;
    if (tc_session_create(&s, j->model, NULL) != TC_OK) return NULL;
    tc_session_set_threads(s, j->threads);
    tc_session_encode_image(s, j->pixels, BIG_IMAGES, j->image, NULL);
    tc_session_encode_text(s, j->ids, BIG_TEXTS, BIG_CONTEXT, j->text, NULL);
    tc_session_close(&s);
    return j;
}

/* Two sessions at once, each with threads of its own, give what one thread gives, bit for bit; and the number
 * is that of the session alone. A network whose kernels are worth sharing. */
static void test_threads(void **state) {
    (void)state;
    tc_error err;
    tc_model *m;
    tc_session *s;
    tc_set_threads(1);
    ok(tc_model_create(&m, "TinyCLIP-ViT-8M-16-Text-3M", 5, &err), &err);
    float *pixels = tc_new((size_t)BIG_IMAGES * BIG_SIZE, sizeof *pixels);
    int32_t ids[BIG_TEXTS * BIG_CONTEXT] = {0};
    tc_rng r = tc_rng_make(1, 2, 3);
    for (int i = 0; i < BIG_IMAGES * BIG_SIZE; i++) pixels[i] = (float)tc_rng_normal(&r);
    for (int t = 0; t < BIG_TEXTS; t++) {
        for (int i = 0; i < 60 - 10 * t; i++) ids[t * BIG_CONTEXT + i] = (int32_t)tc_rng_below(&r, 49406);
        ids[t * BIG_CONTEXT + 60 - 10 * t] = 49407;
    }
    job *one = tc_new(1, sizeof *one), *two = tc_new(1, sizeof *two), *three = tc_new(1, sizeof *three);
    *one = *two = *three = (job){.model = m, .pixels = pixels, .ids = ids};
    one->threads = 1;
    two->threads = 2;
    three->threads = 3;
    int before = threads_of_process(); /* 1; an emulator has one of its own */
    assert_ptr_equal(work(one), one);
    assert_int_equal(threads_of_process(), before);
    assert_ptr_equal(work(three), three);
    assert_int_equal(threads_of_process(), before + 2);
    assert_int_equal(tc_threads(), 1);
    assert_memory_equal(one->image, three->image, sizeof one->image);
    assert_memory_equal(one->text, three->text, sizeof one->text);
    memset(three->image, 0, sizeof three->image);
    pthread_t a, b;
    assert_int_equal(pthread_create(&a, NULL, work, two), 0);
    assert_int_equal(pthread_create(&b, NULL, work, three), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    assert_memory_equal(one->image, two->image, sizeof one->image);
    assert_memory_equal(one->text, two->text, sizeof one->text);
    assert_memory_equal(one->image, three->image, sizeof one->image);

    ok(tc_session_create(&s, m, &err), &err);
    assert_int_equal(tc_session_threads(s), 1);
    tc_session_set_threads(s, 7);
    assert_int_equal(tc_session_threads(s), 7);
    tc_session_set_threads(s, 0);
    assert_int_equal(tc_session_threads(s), 1);
    assert_ptr_equal(tc_session_model(s), m);
    tc_session_close(&s);
    tc_model_close(&m);
    free(pixels);
    free(one);
    free(two);
    free(three);
}

/* A scope within another one, and one that changes nothing. */
static void test_scopes(void **state) {
    (void)state;
    tc_set_threads(2);
    int outer = tc_threads_enter(5);
    assert_int_equal(tc_threads(), 5);
    int inner = tc_threads_enter(3), same = tc_threads_enter(0);
    assert_int_equal(tc_threads(), 3);
    tc_threads_leave(same);
    assert_int_equal(tc_threads(), 3);
    tc_threads_leave(inner);
    assert_int_equal(tc_threads(), 5);
    tc_threads_leave(outer);
    assert_int_equal(tc_threads(), 2);
    tc_set_threads(1);
}

int main(void) {
    /* test_threads first: it counts the threads that there are */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads), cmocka_unit_test(test_scopes),
                                       cmocka_unit_test(test_images),  cmocka_unit_test(test_first_bad_image),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_texts)};
    tc_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
