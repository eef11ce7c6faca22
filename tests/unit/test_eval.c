/* test_eval.c - zero-shot classification and retrieval against the same figures computed here one sample at a
 * time. */
#include "eval/eval.h"
#include "eval/metrics.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* more pictures than two batches hold */
enum { SIDE = 8, CLASSES = 7, PICTURES = 150, DIM = 16, CONTEXT = 8 };

static const char config[] =
    "{\"embed_dim\":16,\"vision_cfg\":{\"image_size\":8,\"layers\":1,\"width\":16,\"patch_size\":4,\"head_"
    "width\":8},"
    "\"text_cfg\":{\"context_length\":8,\"vocab_size\":49408,\"width\":8,\"heads\":1,\"layers\":1}}";

typedef struct fixture {
    char *dir;
    tc_model *model;
    tc_session *session;
    tc_tokenizer *tokenizer;
    tc_data *labelled, *pairs;
    tc_preprocess preprocess;
} fixture;

/* Random gray pictures as IDX files, labels i mod 7. */
static void make_labelled(fixture *f) {
    static uint8_t images[16 + PICTURES * 16], labels[8 + PICTURES];
    const uint8_t image_head[16] = {0, 0, 8, 3, 0, 0, 0, PICTURES, 0, 0, 0, 4, 0, 0, 0, 4},
                  label_head[8] = {0, 0, 8, 1, 0, 0, 0, PICTURES};
    tc_rng r = tc_rng_make(7, 0, 0);
    memcpy(images, image_head, sizeof image_head);
    memcpy(labels, label_head, sizeof label_head);
    for (int i = 0; i < PICTURES * 16; i++) images[16 + i] = (uint8_t)tc_rng_below(&r, 256);
    for (int i = 0; i < PICTURES; i++) labels[8 + i] = (uint8_t)(i % CLASSES);
    tc_buf spec = {0};
    tc_buf_printf(&spec, "idx:%s", scratch_file(f->dir, "images", images, sizeof images));
    tc_buf_printf(&spec, ",%s", scratch_file(f->dir, "labels", labels, sizeof labels));
    tc_buf_printf(&spec, ",%s", scratch_text(f->dir, "classes", "cat\ndog\nbird\nfish\nhorse\ncow\nsheep\n"));
    tc_data_options o = tc_data_options_default();
    o.templates = scratch_text(f->dir, "templates", "a photo of a {}.\na {} and a {}\n{}\n");
    tc_error err;
    assert_int_equal(tc_data_open(&f->labelled, spec.data, &o, &err), TC_OK);
    tc_buf_free(&spec);
}

/* A BMP picture of 2x2 pixels of one colour. */
static void make_picture(const char *dir, const char *name, uint8_t blue, uint8_t green, uint8_t red) {
    uint8_t bmp[70] = {'B', 'M', 70};
    bmp[10] = 54, bmp[14] = 40, bmp[18] = 2, bmp[22] = 2, bmp[26] = 1, bmp[28] = 24, bmp[34] = 16;
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < 2; i++) {
            uint8_t *pixel = bmp + 54 + row * 8 + i * 3;
            pixel[0] = blue, pixel[1] = green, pixel[2] = red;
        }
    scratch_file(dir, name, bmp, sizeof bmp);
}

static void make_pairs(fixture *f) {
    char *dir = tc_path_join(f->dir, "pairs"), name[16], text[32];
    tc_error err;
    assert_int_equal(tc_make_dirs(dir, &err), TC_OK);
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "%d.bmp", i);
        make_picture(dir, name, (uint8_t)(i * 28), (uint8_t)(255 - i * 20), (uint8_t)(i * i));
        snprintf(name, sizeof name, "%d.txt", i);
        snprintf(text, sizeof text, "picture number %d", i);
        scratch_text(dir, name, text);
    }
    scratch_text(dir, "4.bmp", "not a picture");
    assert_int_equal(tc_data_open(&f->pairs, dir, NULL, &err), TC_OK);
    free(dir);
}

static int setup(void **state) {
    fixture *f = tc_new(1, sizeof *f);
    tc_error err;
    f->dir = scratch_dir();
    assert_int_equal(tc_model_create(&f->model, scratch_text(f->dir, "config.json", config), 3, &err), TC_OK);
    assert_int_equal(tc_session_create(&f->session, f->model, &err), TC_OK);
    assert_int_equal(tc_model_tokenizer(f->model, &f->tokenizer, &err), TC_OK);
    f->preprocess = tc_model_preprocess(f->model);
    make_labelled(f);
    make_pairs(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    tc_data_close(&f->labelled);
    tc_data_close(&f->pairs);
    tc_tokenizer_close(&f->tokenizer);
    tc_session_close(&f->session);
    tc_model_close(&f->model);
    scratch_remove(f->dir);
    free(f);
    return 0;
}

static void embed_text(fixture *f, const char *text, float *out) {
    int32_t ids[CONTEXT];
    tc_error err;
    assert_int_equal(tc_tokenizer_encode(f->tokenizer, text, CONTEXT, ids, NULL, NULL, &err), TC_OK);
    assert_int_equal(tc_session_encode_text(f->session, ids, 1, CONTEXT, out, &err), TC_OK);
    tc_normalize(out, 1, DIM);
}

static bool embed_image(fixture *f, const tc_data *d, int64_t i, float *out) {
    float pixels[3 * SIDE * SIDE];
    tc_error err;
    if (tc_data_image(d, i, &f->preprocess, pixels, &err) != TC_OK) return false;
    assert_int_equal(tc_session_encode_image(f->session, pixels, 1, out, &err), TC_OK);
    tc_normalize(out, 1, DIM);
    return true;
}

/* ---- templates, selection */

static void test_template(void **state) {
    (void)state;
    const char *cases[][3] = {{"a {}.", "cat", "a cat."},
                              {"{}", "x", "x"},
                              {"{}{}", "ab", "abab"},
                              {"none", "x", "none"},
                              {"{ {} }", "{}", "{ {} }"},
                              {"", "x", ""},
                              /* the words of the template stay */
                              {"a {}.", "apple", "a apple."},
                              {"a {}.", "thermos", "a thermos."},
                              {"a {}.", "a", "a a."},
                              {"a {}.", "an ", "a an ."},
                              {"", "a cat", ""},
                              {"a photo of {}.", "a cat", "a photo of a cat."},
                              {"a photo of the big {}.", "a cat", "a photo of the big a cat."},
                              {"data {}", "a cat", "data a cat"},
                              {"a\n{}", "a cat", "a\na cat"},
                              /* one article makes room for another */
                              {"a photo of a {}.", "a cat", "a photo of a cat."},
                              {"a photo of a {}.", "an apple", "a photo of an apple."},
                              {"a photo of the {}.", "An apple", "a photo of An apple."},
                              {"THE {}", "THE cat", "THE cat"},
                              {"{} and an {}", "the cat", "the cat and the cat"},
                              {"a  {}", "a cat", "a  a cat"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = tc_template_fill(cases[i][0], cases[i][1]);
        assert_string_equal(text, cases[i][2]);
        free(text);
    }
}

static void test_selection(void **state) {
    (void)state;
    const int64_t cases[][2] = {
        {10, 0}, {10, 10}, {10, 20}, {10, 3}, {1000003, 999999}, {7, 1}, {INT64_C(1) << 40, 12345}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t total = cases[i][0], limit = cases[i][1], before = -1;
        tc_selection s = tc_select(total, limit);
        assert_int_equal(s.count, limit > 0 && limit < total ? limit : total);
        for (int64_t k = 0; k < s.count; k++) {
            int64_t at = tc_selected(&s, k);
            assert_true(at > before && at < total);
            before = at;
        }
        assert_int_equal(tc_selected(&s, 0), 0);
        assert_true(before >= total - total / s.count - 1);
    }
}

/* ---- zero-shot */

/* The weights of one class, one prompt at a time, in double. */
static void plain_weights(fixture *f, const char *name, const char *const *templates, int n, float *out) {
    double sum[DIM] = {0}, length = 0;
    float e[DIM];
    for (int t = 0; t < n; t++) {
        char *text = tc_template_fill(templates[t], name);
        embed_text(f, text, e);
        free(text);
        for (int i = 0; i < DIM; i++) sum[i] += (double)e[i] / n;
    }
    for (int i = 0; i < DIM; i++) length += sum[i] * sum[i];
    for (int i = 0; i < DIM; i++) out[i] = (float)(sum[i] / sqrt(length));
}

/* More prompts than are embedded at once, in both directions. */
static void test_weights(void **state) {
    fixture *f = *state;
    enum { MANY = 600 };
    static char texts[MANY][32];
    const char *forms[MANY], *names[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "%d {}", i);
        forms[i] = texts[i];
        names[i] = i % 2 ? "dog" : "a cat";
    }
    const int cases[][2] = {{2, MANY}, {MANY, 1}, {100, 3}}; /* classes, templates */
    for (size_t k = 0; k < 3; k++) {
        int classes = cases[k][0], n = cases[k][1];
        float *weights = tc_new((size_t)classes * DIM, sizeof *weights), want[DIM];
        tc_error err;
        assert_int_equal(tc_zeroshot_weights(f->session, f->tokenizer, names, classes, forms, n, NULL, NULL,
                                             weights, &err),
                         TC_OK);
        for (int c = 0; c<classes; c += classes> 10 ? 33 : 1) {
            plain_weights(f, names[c], forms, n, want);
            /* Sums of up to 600 unit rows in another order of f32 operations: a few units in the last place
             * of 1. */
            for (int i = 0; i < DIM; i++)
                assert_true(fabs((double)weights[c * DIM + i] - (double)want[i]) < 64 * 1.2e-7);
        }
        free(weights);
    }
}

static void check_zeroshot(fixture *f, int64_t limit) {
    float weights[CLASSES * DIM], image[DIM], logits[CLASSES];
    const char *templates[] = {tc_data_template(f->labelled, 0), tc_data_template(f->labelled, 1),
                               tc_data_template(f->labelled, 2)};
    int64_t first = 0, five = 0, counts[CLASSES] = {0}, correct[CLASSES] = {0};
    int64_t confusion[CLASSES][CLASSES] = {{0}};
    tc_selection s = tc_select(PICTURES, limit);
    for (int c = 0; c < CLASSES; c++)
        plain_weights(f, tc_data_class_name(f->labelled, c), templates, 3, weights + c * DIM);
    for (int64_t i = 0; i < s.count; i++) {
        int64_t sample = tc_selected(&s, i);
        int label = tc_data_label(f->labelled, sample);
        assert_true(embed_image(f, f->labelled, sample, image));
        tc_logits(image, weights, 1, CLASSES, DIM, 1, logits);
        int64_t rank = tc_rank_of(logits, CLASSES, label);
        first += rank == 0, five += rank < 5, counts[label]++, correct[label] += rank == 0;
        for (int c = 0; c < CLASSES; c++) confusion[label][c] += tc_rank_of(logits, CLASSES, c) == 0;
    }
    tc_zeroshot_result r;
    tc_error err;
    assert_int_equal(
        tc_eval_zeroshot(f->model, f->labelled, f->tokenizer, &f->preprocess, limit, NULL, NULL, &r, &err),
        TC_OK);
    assert_int_equal(r.images, s.count);
    assert_int_equal(r.skipped, 0);
    assert_int_equal(r.classes, CLASSES);
    assert_true(r.top1 == (double)first / (double)s.count);
    assert_true(r.top5 == (double)five / (double)s.count);
    assert_memory_equal(r.class_count, counts, sizeof counts);
    assert_memory_equal(r.class_correct, correct, sizeof correct);
    assert_memory_equal(r.confusion, confusion, sizeof confusion);
    tc_zeroshot_result_free(&r);
}

static void test_zeroshot(void **state) {
    check_zeroshot(*state, 0);
    check_zeroshot(*state, 64);
    check_zeroshot(*state, 33);
}

static void test_zeroshot_refuses(void **state) {
    fixture *f = *state;
    tc_zeroshot_result r;
    tc_error err;
    assert_int_equal(
        tc_eval_zeroshot(f->model, f->pairs, f->tokenizer, &f->preprocess, 0, NULL, NULL, &r, &err), TC_EARG);
    tc_preprocess other = tc_preprocess_default(2 * SIDE);
    assert_int_equal(tc_eval_zeroshot(f->model, f->labelled, f->tokenizer, &other, 0, NULL, NULL, &r, &err),
                     TC_EARG);
    assert_non_null(strstr(err.message, "image_size is 8"));
}

/* ---- retrieval */

static void count_warning(void *user, int level, const char *line) {
    int *warnings = user;
    if (level == 2 && strstr(line, "4.bmp")) ++*warnings;
}

static void test_retrieval(void **state) {
    fixture *f = *state;
    float image[9 * DIM], text[9 * DIM];
    char caption[64];
    int n = 0, warnings = 0;
    tc_error err;
    assert_int_equal(tc_data_count(f->pairs), 9);
    for (int64_t i = 0; i < 9; i++) {
        if (!embed_image(f, f->pairs, i, image + n * DIM)) continue;
        assert_int_equal(tc_data_caption(f->pairs, i, 0, caption, sizeof caption, &err), TC_OK);
        embed_text(f, caption, text + n * DIM);
        n++;
    }
    assert_int_equal(n, 8);
    tc_retrieval_result want, r;
    assert_int_equal(tc_retrieval_ranks(image, text, n, DIM, 1, NULL, NULL, &want, &err), TC_OK);
    assert_int_equal(tc_eval_retrieval(f->model, f->pairs, f->tokenizer, &f->preprocess, 0, count_warning,
                                       &warnings, &r, &err),
                     TC_OK);
    assert_int_equal(r.pairs, 8);
    assert_int_equal(r.skipped, 1);
    assert_int_equal(warnings, 1);
    assert_memory_equal(&r.image_to_text, &want.image_to_text, sizeof want.image_to_text);
    assert_memory_equal(&r.text_to_image, &want.text_to_image, sizeof want.text_to_image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template),         cmocka_unit_test(test_selection),
        cmocka_unit_test(test_weights),          cmocka_unit_test(test_zeroshot),
        cmocka_unit_test(test_zeroshot_refuses), cmocka_unit_test(test_retrieval)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
