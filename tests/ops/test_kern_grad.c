/* test_kern_grad.c - the double build: gradients of every backward kernel of `ref` against central
 * differences of its forward kernel.
 *
 * The function differentiated is the sum of the outputs times fixed random weights. With a step of 1e-5 times
 * inputs of size 1 the truncation error of a central difference is about 1e-10 and its rounding error 1e-11;
 * a relative error of 1e-6 of the gradient's length leaves room for neither a wrong term nor a wrong factor.
 */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

_Static_assert(sizeof(tc_real) == sizeof(double), "this test belongs to the double build");

enum { MOST = 4096 };

typedef struct problem problem;
struct problem {
    double (*value)(const problem *p); /* of the current inputs */
    double *in[4], *grad[4];
    int64_t count[4];
    tc_attention attention;
    double out[MOST], weight[MOST], room[MOST];
    int64_t rows, n;
    int kind;
    bool soft;
};

static tc_rng rng;

static double *random_numbers(int64_t n) {
    double *x = tc_new((size_t)n, sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = tc_rng_normal(&rng);
    return x;
}

static problem *make(double (*value)(const problem *), int inputs, const int64_t *counts, int64_t outputs) {
    problem *p = tc_new(1, sizeof *p);
    assert_non_null(p);
    assert_true(outputs <= MOST);
    p->value = value;
    for (int i = 0; i < inputs; i++) {
        p->count[i] = counts[i];
        p->in[i] = random_numbers(counts[i]);
        p->grad[i] = tc_new((size_t)counts[i], sizeof(double));
        assert_non_null(p->grad[i]);
    }
    for (int64_t i = 0; i < outputs; i++) p->weight[i] = tc_rng_normal(&rng);
    return p;
}

static double weighted(const double *out, const double *weight, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += out[i] * weight[i];
    return sum;
}

/* The length of the difference over the length of the numeric gradient. */
static void compare(problem *p, const char *name) {
    for (int i = 0; i < 4; i++) {
        double error = 0, size = 0;
        for (int64_t j = 0; j < p->count[i]; j++) {
            double h = 1e-5, was = p->in[i][j];
            p->in[i][j] = was + h;
            double above = p->value(p);
            p->in[i][j] = was - h;
            double slope = (above - p->value(p)) / (2 * h);
            p->in[i][j] = was;
            error += (slope - p->grad[i][j]) * (slope - p->grad[i][j]);
            size += slope * slope;
        }
        if (!(sqrt(error) <= 1e-6 * sqrt(size)))
            fail_msg("%s: gradient of input %d has relative error %.3g", name, i, sqrt(error / size));
    }
    for (int i = 0; i < 4; i++) {
        free(p->in[i]);
        free(p->grad[i]);
    }
    free(p);
}

static double layernorm_value(const problem *p) {
    double out[MOST];
    tc_kern_get()->layernorm(p->rows, p->n, p->in[0], p->n, p->in[1], p->in[2], 1e-5, out, p->n, NULL);
    return weighted(out, p->weight, p->rows * p->n);
}

static void test_layernorm(void **state) {
    (void)state;
    for (int64_t n = 3; n <= 21; n += 6) {
        int64_t rows = 70, counts[] = {rows * n, n, n};
        problem *p = make(layernorm_value, 3, counts, rows * n);
        p->rows = rows, p->n = n;
        tc_kern_get()->layernorm(rows, n, p->in[0], n, p->in[1], p->in[2], 1e-5, p->out, n, p->room);
        tc_kern_get()->layernorm_backward(rows, n, p->in[0], p->in[1], p->room, p->weight, p->grad[0], false,
                                          p->grad[1], p->grad[2]);
        compare(p, "layernorm");
    }
}

/* dw and db are added to what is there, dx if asked for. */
static void test_layernorm_adds(void **state) {
    (void)state;
    enum { ROWS = 5, N = 7 };
    double *x = random_numbers(ROWS * N), *w = random_numbers(N), *dy = random_numbers(ROWS * N), y[ROWS * N],
           stats[2 * ROWS];
    double dx[2][ROWS * N] = {{0}}, dw[2][N] = {{0}}, db[2][N] = {{0}};
    tc_kern_get()->layernorm(ROWS, N, x, N, w, w, 1e-5, y, N, stats);
    for (int i = 0; i < ROWS * N; i++) dx[1][i] = 3;
    for (int i = 0; i < N; i++) dw[1][i] = db[1][i] = 2;
    for (int a = 0; a < 2; a++)
        tc_kern_get()->layernorm_backward(ROWS, N, x, w, stats, dy, dx[a], a == 1, dw[a], db[a]);
    for (int i = 0; i < ROWS * N; i++) assert_true(fabs(dx[1][i] - dx[0][i] - 3) < 1e-12);
    for (int i = 0; i < N; i++)
        assert_true(fabs(dw[1][i] - dw[0][i] - 2) < 1e-12 && fabs(db[1][i] - db[0][i] - 2) < 1e-12);
    free(x);
    free(w);
    free(dy);
}

static double act_value(const problem *p) {
    double out[MOST];
    tc_kern_get()->act(p->kind, p->n, p->in[0], out);
    return weighted(out, p->weight, p->n);
}

static void test_act(void **state) {
    (void)state;
    for (int kind = TC_ACT_NONE; kind <= TC_ACT_QUICK_GELU; kind++) {
        int64_t n = 300;
        problem *p = make(act_value, 1, &n, n);
        p->n = n, p->kind = kind;
        tc_kern_get()->act_backward(kind, n, p->in[0], p->weight, p->grad[0]);
        compare(p, "act");
    }
}

static double bias_value(const problem *p) {
    double x[MOST], out[MOST];
    memcpy(x, p->in[0], (size_t)p->count[0] * sizeof *x);
    tc_kern_get()->bias_act(p->kind, p->rows, p->n, x, p->in[1], out);
    return weighted(out, p->weight, p->rows * p->n);
}

static void test_bias_act(void **state) {
    (void)state;
    for (int kind = TC_ACT_NONE; kind <= TC_ACT_QUICK_GELU; kind++) {
        int64_t rows = 67, n = 9, counts[] = {rows * n, n};
        problem *p = make(bias_value, 2, counts, rows * n);
        p->rows = rows, p->n = n, p->kind = kind;
        memcpy(p->room, p->in[0], (size_t)counts[0] * sizeof(double));
        tc_kern_get()->bias_act(kind, rows, n, p->room, p->in[1], p->out);
        tc_kern_get()->act_backward(kind, rows * n, p->room, p->weight, p->grad[0]);
        tc_kern_get()->bias_backward(rows, n, p->grad[0], p->grad[1]);
        compare(p, "bias_act");
    }
}

static double l2norm_value(const problem *p) {
    double out[MOST];
    tc_kern_get()->l2norm(p->rows, p->n, p->in[0], out, NULL);
    return weighted(out, p->weight, p->rows * p->n);
}

static void test_l2norm(void **state) {
    (void)state;
    int64_t rows = 6, n = 11, count = rows * n;
    problem *p = make(l2norm_value, 1, &count, count);
    p->rows = rows, p->n = n;
    tc_kern_get()->l2norm(rows, n, p->in[0], p->out, p->room);
    tc_kern_get()->l2norm_backward(rows, n, p->out, p->room, p->weight, p->grad[0]);
    compare(p, "l2norm");
}

static double attention_value(const problem *p) {
    double out[MOST];
    tc_attention a = p->attention;
    a.q = p->in[0], a.k = p->in[1], a.v = p->in[2];
    tc_kern_get()->attention(&a, out, a.heads * a.dim, NULL);
    return weighted(out, p->weight, p->count[0]);
}

static void test_attention(void **state) {
    (void)state;
    static const int32_t seq[] = {0, 4, 4, 5, 12}, q_row[] = {2, 0, 0, 3};
    for (int kind = 0; kind < 4; kind++) {
        int heads = 2, dim = 5;
        int64_t width = heads * dim, rows = kind & 1 ? 4 : 12,
                counts[] = {rows * width, 12 * width, 12 * width};
        problem *p = make(attention_value, 3, counts, rows * width);
        p->attention = (tc_attention){.heads = heads,
                                      .dim = dim,
                                      .nseq = 4,
                                      .seq = seq,
                                      .q_row = kind & 1 ? q_row : NULL,
                                      .causal = kind & 2,
                                      .scale = 0.6,
                                      .ldq = width,
                                      .ldk = width,
                                      .ldv = width,
                                      .q = p->in[0],
                                      .k = p->in[1],
                                      .v = p->in[2]};
        tc_kern_get()->attention(&p->attention, p->out, width, p->room);
        tc_kern_get()->attention_backward(&p->attention, p->out, width, p->room, p->weight, width, p->grad[0],
                                          p->grad[1], p->grad[2]);
        compare(p, "attention");
    }
}

static double xent_value(const problem *p) {
    double x[MOST], q[MOST];
    memcpy(x, p->in[0], (size_t)p->count[0] * sizeof *x);
    memcpy(q, p->room, (size_t)p->count[0] * sizeof *q);
    return 0.25 * tc_kern_get()->softmax_xent(p->rows, p->n, x, p->n, p->soft ? q : NULL, p->n, 2, 1);
}

static void test_softmax_xent(void **state) {
    (void)state;
    for (int soft = 0; soft < 2; soft++) {
        int64_t rows = 5, n = 8, count = rows * n;
        problem *p = make(xent_value, 1, &count, count);
        p->rows = rows, p->n = n, p->soft = soft;
        memcpy(p->room, p->weight, (size_t)count * sizeof(double));
        tc_kern_get()->softmax(rows, n, p->room, n);
        memcpy(p->grad[0], p->in[0], (size_t)count * sizeof(double));
        tc_kern_get()->softmax_xent(rows, n, p->grad[0], n, soft ? p->room : NULL, n, 2, 0.25);
        compare(p, "softmax_xent");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layernorm),    cmocka_unit_test(test_layernorm_adds),
        cmocka_unit_test(test_act),          cmocka_unit_test(test_bias_act),
        cmocka_unit_test(test_l2norm),       cmocka_unit_test(test_attention),
        cmocka_unit_test(test_softmax_xent),
    };
    rng = tc_rng_make(7, 0, 0);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
