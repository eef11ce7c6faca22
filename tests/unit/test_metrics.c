/* test_metrics.c - ranks with ties against the definition, best classes, what is refused. The goldens have
 * the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double dot(const float *a, const float *b, int dim) {
    double sum = 0;
    for (int k = 0; k < dim; k++) sum += (double)a[k] * b[k];
    return sum;
}

/* Sizes around the tile of 512; texts repeat, so that many columns tie exactly wherever they lie in a tile.
 */
static void test_ties_anywhere(void **state) {
    enum { DIM = 19, DIFFERENT = 50 };
    (void)state;
    for (int n = 511; n <= 1030; n += 173) {
        float *image = malloc((size_t)n * DIM * sizeof *image),
              *text = malloc((size_t)n * DIM * sizeof *text);
        int64_t *row = malloc((size_t)n * sizeof *row), *column = malloc((size_t)n * sizeof *column);
        tc_rng r = tc_rng_make(7, (uint64_t)n, 0);
        tc_retrieval_result result;
        for (int i = 0; i < n * DIM; i++) image[i] = (float)tc_rng_normal(&r);
        for (int i = 0; i < DIFFERENT * DIM; i++) text[i] = (float)tc_rng_normal(&r);
        for (int i = DIFFERENT; i < n; i++)
            memcpy(text + (size_t)i * DIM, text + (size_t)(i % DIFFERENT) * DIM, DIM * sizeof *text);
        assert_int_equal(tc_retrieval_ranks(image, text, n, DIM, 30, row, column, &result, NULL), TC_OK);
        for (int i = 0; i < n; i++) {
            double own = dot(image + (size_t)i * DIM, text + (size_t)i * DIM, DIM);
            int64_t in_row = 0, in_column = 0;
            for (int j = 0; j < n; j++) {
                double a = dot(image + (size_t)i * DIM, text + (size_t)j * DIM, DIM),
                       b = dot(image + (size_t)j * DIM, text + (size_t)i * DIM, DIM);
                in_row += a > own || (a == own && j < i);
                in_column += b > own || (b == own && j < i);
            }
            assert_int_equal(row[i], in_row);
            assert_int_equal(column[i], in_column);
        }
        assert_int_equal(result.pairs, n);
        free(image);
        free(text);
        free(row);
        free(column);
    }
}

static void test_refused(void **state) {
    (void)state;
    float a[4] = {1, 0, 0, 1}, b[4] = {1, 0, 0, 1};
    tc_retrieval_result result;
    tc_error err;
    assert_int_equal(tc_retrieval_ranks(a, b, 2, 2, 1, NULL, NULL, &result, &err), TC_OK);
    assert_float_equal(result.image_to_text.r1, 1, 0);
    assert_int_equal(tc_retrieval_ranks(a, b, 0, 2, 1, NULL, NULL, &result, &err), TC_EARG);
    assert_int_equal(tc_retrieval_ranks(a, b, 2, 2, 0, NULL, NULL, &result, &err), TC_EARG);
    assert_int_equal(tc_retrieval_ranks(a, b, 2, 2, NAN, NULL, NULL, &result, &err), TC_EARG);
    b[3] = NAN;
    assert_int_equal(tc_retrieval_ranks(a, b, 2, 2, 1, NULL, NULL, &result, &err), TC_EARG);
    assert_non_null(strstr(err.message, "pair 1"));
    b[3] = 1;
    a[0] = INFINITY;
    assert_int_equal(tc_retrieval_ranks(a, b, 2, 2, 1, NULL, NULL, &result, &err), TC_EARG);
    assert_non_null(strstr(err.message, "pair 0"));
}

static void test_top_k(void **state) {
    (void)state;
    const float x[7] = {1, 5, 3, 5, -2, 3, 4};
    const int expected[7] = {1, 3, 6, 2, 5, 0, 4};
    for (int k = 1; k <= 7; k++) {
        int best[7];
        tc_top_k(x, 7, k, best);
        assert_memory_equal(best, expected, (size_t)k * sizeof *best);
        assert_int_equal(tc_rank_of(x, 7, expected[k - 1]), k - 1);
    }
    int best[3];
    tc_top_k(x, 2, 3, best);
    assert_int_equal(best[0], 1);
    assert_int_equal(best[1], 0);
    assert_int_equal(best[2], -1);
    const float holes[5] = {NAN, 1, NAN, 2, NAN};
    tc_top_k(holes, 5, 3, best);
    assert_int_equal(best[0], 3);
    assert_int_equal(best[1], 1);
    assert_int_equal(best[2], 0);
}

/* Length plays no part: (0,2) and (5,0) count alike. */
static void test_classifier(void **state) {
    (void)state;
    const float text[2][2][2] = {{{3, 4}, {6, 8}}, {{0, 2}, {5, 0}}};
    float w[2][2];
    tc_zeroshot_classifier(&text[0][0][0], 2, 2, 2, &w[0][0]);
    assert_float_equal(w[0][0], 0.6, 1e-6);
    assert_float_equal(w[1][0], 0.8, 1e-6);
    assert_float_equal(w[0][1], sqrt(0.5), 1e-6);
    assert_float_equal(w[1][1], sqrt(0.5), 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ties_anywhere), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_top_k), cmocka_unit_test(test_classifier)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
