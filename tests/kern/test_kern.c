/* test_kern.c - every kernel at every level of this machine, over random and edge sizes.
 *
 * Kernels are compared with an evaluation in double of their formula written here; gradients with `ref`,
 * whose own are compared with central differences in tests/ops/test_kern_grad.c. Bounds follow from the
 * number of roundings: a sum of n terms errs by at most about n EPS times the sum of magnitudes.
 * TINYCLIP_TEST_SEED repeats a run. */
#include "kern/kern_check.h"
#include "kern/kern_conv.h"
#include "kern/kern_mask.h"
#include "kern/kern_tokens.h"

#include <float.h>

/* Roundings on the way of one element through a blocked sum of k products. */
static double sum_bound(int64_t k) { return ((k < 256 ? (double)k : 256 + (double)k / 256) + 8) * EPS; }

/* ---- matrix products */

static void check_gemm(run *r) {
    static const float factors[] = {0, 1, -0.5f};
    bool ta = pick(r, 0, 1), tb = pick(r, 0, 1);
    int64_t m = pick_size(r, 0, 130), n = pick_size(r, 0, 130), k = pick_size(r, 0, 513);
    float alpha = factors[pick(r, 1, 2)], beta = factors[pick(r, 0, 2)];
    int64_t lda = (ta ? m : k) + pick(r, 1, 3), ldb = (tb ? k : n) + pick(r, 1, 3), ldc = n + pick(r, 1, 3);
    float *a = filled(r, matrix(r, ta ? k : m, ta ? m : k, lda), 1),
          *b = filled(r, matrix(r, tb ? n : k, tb ? k : n, ldb), 1);
    float *c = filled(r, matrix(r, m, n, ldc), 1), *old = same(r, c, m, n, ldc);
    if (beta == 0)
        for (int64_t i = 0; i < m * n; i++) c[i / n * ldc + i % n] = NAN; /* is not read */
    r->k->gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int64_t p = 0; p < k; p++) {
                double term = (double)(ta ? a[p * lda + i] : a[i * lda + p]) *
                              (double)(tb ? b[j * ldb + p] : b[p * ldb + j]);
                sum += term;
                size += fabs(term);
            }
            double was = beta == 0 ? 0 : (double)beta * (double)old[i * ldc + j];
            near(r, (double)c[i * ldc + j], (double)alpha * sum + was,
                 sum_bound(k) * (fabs((double)alpha) * size + fabs(was)));
        }
}

/* bf16: the upper half of a float */
static void widen_upper(const void *from, int64_t n, tc_real *to) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        float f;
        memcpy((char *)&bits + 2, (const char *)from + 2 * i, 2);
        memcpy(&f, &bits, 4);
        to[i] = f;
    }
}

/* The rows in half precision, at an odd address, almost up to where reading is a fault; the values must be
 * such that their bits allow it. */
static char *upper_halves(run *r, const float *w, int64_t rows, int64_t columns, int64_t ldw) {
    int64_t count = rows > 0 ? (rows - 1) * ldw + columns : 0, floats = count / 2 + 2;
    char *halves = (char *)(matrix(r, 1, floats, floats) + floats) - 2 * count - 1;
    for (int64_t i = 0; i < count; i++)
        if (i % ldw < columns) memcpy(halves + 2 * i, (const char *)(w + i) + 2, 2);
    return halves;
}

static void check_linear(run *r) {
    int64_t m = pick_size(r, 0, 300), n = pick_size(r, 1, 130), k = pick_size(r, 0, 600), ldw,
            ldx = k + pick(r, 1, 3), ldy = n + pick(r, 1, 3);
    bool transposed = pick(r, 0, 1), add = pick(r, 0, 1), with_bias = pick(r, 0, 1);
    int act = (int)pick(r, 0, 3);
    ldw = (transposed ? n : k) + pick(r, 0, 3);
    float *w = filled(r, matrix(r, transposed ? k : n, transposed ? n : k, ldw), 0.2),
          *bias = filled(r, vector(r, n), 1);
    float *x = filled(r, matrix(r, m, k, ldx), 1), *y = filled(r, matrix(r, m, n, ldy), 1),
          *old = same(r, y, m, n, ldy);
    bool half = pick(r, 0, 2) == 0;
    for (int64_t i = 0; half && i < (transposed ? k : n); i++)
        for (int64_t j = 0; j < (transposed ? n : k); j++) memset(w + i * ldw + j, 0, 2);
    tc_weight weight = {.part = {w}, .part_rows = n, .ld = ldw, .transposed = transposed};
    tc_product product = {.n = n, .k = k, .act = act, .add = add};
    tc_packed *l = packed_of(r, &product, &weight, with_bias ? bias : NULL);
    size_t bytes = tc_packed_bytes(l);
    assert_true(bytes >= (size_t)(n * k) * sizeof(float));
    tc_packed_run(l, m, x, ldx, y, ldy);
    tc_packed_free(l);
    /* A weight that stays, in up to three pieces, perhaps in half precision: packed in the second run, the
     * same bits in each. */
    float *again = matrix(r, m, n, ldy);
    int64_t pieces = transposed ? 1 : pick(r, 1, 3), part_rows = (n + pieces - 1) / pieces;
    weight.stays = true;
    weight.part_rows = part_rows;
    for (int64_t i = 0; i < pieces && !transposed; i++) {
        int64_t first = i * part_rows, rows = n - first < part_rows ? n - first : part_rows;
        weight.part[i] = rows < 1 ? NULL
                         : half   ? (void *)upper_halves(r, w + first * ldw, rows, k, ldw)
                                  : same(r, w + first * ldw, rows, k, ldw);
    }
    if (half && transposed) weight.part[0] = upper_halves(r, w, k, n, ldw);
    if (half) weight.widen = widen_upper, weight.size = 2;
    l = packed_of(r, &product, &weight, with_bias ? bias : NULL);
    for (int run_number = 0; run_number < 3; run_number++) {
        assert_true(tc_packed_bytes(l) == (l->form->at_once || run_number > 1 ? bytes : 0));
        for (int64_t i = 0; i < m; i++) memcpy(again + i * ldy, old + i * ldy, (size_t)n * sizeof *again);
        tc_packed_run(l, m, x, ldx, again, ldy);
        for (int64_t i = 0; i < m; i++)
            assert_memory_equal(again + i * ldy, y + i * ldy, (size_t)n * sizeof *again);
    }
    tc_packed_free(l);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = (with_bias ? (double)bias[j] : 0) + (add ? (double)old[i * ldy + j] : 0);
            double size =
                (with_bias ? fabs((double)bias[j]) : 0) + (add ? fabs((double)old[i * ldy + j]) : 0);
            for (int64_t p = 0; p < k; p++) {
                double term = (double)x[i * ldx + p] * (double)w[transposed ? p * ldw + j : j * ldw + p];
                sum += term;
                size += fabs(term);
            }
            double want = act_double(act, sum);
            near(r, (double)y[i * ldy + j], want, 1.13 * sum_bound(k) * size + 8 * EPS * fabs(want));
        }
}

/* The same rows give the same bits whatever rows stand beside them and however many threads run. */
static void check_linear_rows(run *r) {
    int64_t m = pick(r, 100, 400), n = 96, k = 320;
    float *w = filled(r, matrix(r, n, k, k), 1), *x = filled(r, matrix(r, m, k, k), 1),
          *y = matrix(r, m, n, n), *z = matrix(r, m, n, n);
    tc_product product = {.n = n, .k = k, .act = TC_ACT_GELU};
    tc_packed *l = packed_of(r, &product, &(tc_weight){.part = {w}, .part_rows = n, .ld = k}, NULL);
    int threads = tc_threads();
    tc_packed_run(l, m, x, k, y, n);
    tc_set_threads(threads > 1 ? 1 : 3);
    tc_packed_run(l, m, x, k, z, n);
    tc_set_threads(threads);
    assert_memory_equal(y, z, (size_t)(m * n) * sizeof *y);
    for (int64_t i = 0; i < m; i += 37) {
        tc_packed_run(l, 1, x + i * k, k, z, n);
        assert_memory_equal(y + i * n, z, (size_t)n * sizeof *y);
    }
    tc_packed_free(l);
}

static void check_batchnorm(run *r) {
    int64_t rows = pick_size(r, 1, 300), n = pick_size(r, 1, 100);
    int act = pick(r, 0, 1) ? TC_ACT_RELU : TC_ACT_NONE;
    float shift = pick(r, 0, 1) ? 50 : 0;
    float *x = filled(r, matrix(r, rows, n, n), 1), *w = filled(r, vector(r, n), 1),
          *b = filled(r, vector(r, n), 1);
    for (int64_t i = 0; i < rows * n; i++) x[i] += shift;
    float *from = same(r, x, rows, n, n), *y = pick(r, 0, 1) ? x : matrix(r, rows, n, n);
    double *mean = tc_new((size_t)(3 * n), sizeof *mean), *var = mean + n, *rstd = var + n;
    assert_non_null(mean);
    r->k->batch_stats(rows, n, x, mean, var);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, square = 0;
        for (int64_t k = 0; k < rows; k++) sum += (double)from[k * n + i] / (double)rows;
        for (int64_t k = 0; k < rows; k++) square += pow((double)from[k * n + i] - sum, 2) / (double)rows;
        near(r, mean[i], sum, 1e-13 * (1 + fabs(sum)));
        /* each difference is rounded to float once or twice */
        near(r, var[i], square, 4 * EPS * square + 1e-13);
        rstd[i] = 1 / sqrt(var[i] + 1e-5);
    }
    r->k->batchnorm(rows, n, x, mean, rstd, w, b, act, y);
    for (int64_t i = 0; i < rows * n; i++) {
        double h = ((double)from[i] - mean[i % n]) * rstd[i % n] * (double)w[i % n],
               want = act_double(act, h + (double)b[i % n]);
        near(r, (double)y[i], want,
             8 * EPS * (fabs(h) + fabs((double)b[i % n])) + 4 * EPS * EPS * (double)shift * rstd[i % n]);
    }
    free(mean);
}

static void check_batchnorm_backward(run *r) {
    int64_t rows = pick_size(r, 1, 300), n = pick_size(r, 1, 100);
    int act = pick(r, 0, 1) ? TC_ACT_RELU : TC_ACT_NONE;
    float *x = filled(r, matrix(r, rows, n, n), 1), *w = filled(r, vector(r, n), 1),
          *b = filled(r, vector(r, n), 1);
    float *dy = filled(r, matrix(r, rows, n, n), 1), *g = same(r, dy, rows, n, n),
          *dx = pick(r, 0, 1) ? dy : matrix(r, rows, n, n);
    float *wx = matrix(r, rows, n, n), *dw = filled(r, vector(r, n), 1), *ww = same(r, dw, 1, n, n),
          *db = filled(r, vector(r, n), 1);
    float *wb = same(r, db, 1, n, n);
    double *mean = tc_new((size_t)(3 * n), sizeof *mean), *var = mean + n, *rstd = var + n;
    assert_non_null(mean);
    tc_kern_level(0)->batch_stats(rows, n, x, mean, var);
    for (int64_t i = 0; i < n; i++) rstd[i] = 1 / sqrt(var[i] + 1e-5);
    /* Where ReLU turns, rounding decides: such gradients are left out. */
    for (int64_t i = 0; i < rows * n; i++)
        if (fabs(((double)x[i] - mean[i % n]) * rstd[i % n] * (double)w[i % n] + (double)b[i % n]) < 1e-5)
            g[i] = dy[i] = 0;
    tc_kern_level(0)->batchnorm_backward(rows, n, x, mean, rstd, w, b, act, g, wx, ww, wb);
    r->k->batchnorm_backward(rows, n, x, mean, rstd, w, b, act, dy, dx, dw, db);
    for (int64_t i = 0; i < n; i++) {
        double most = 0;
        for (int64_t k = 0; k < rows; k++)
            most = fmax(most, fabs((double)g[k * n + i]) * (1 + fabs((double)x[k * n + i])));
        for (int64_t k = 0; k < rows; k++)
            near(r, (double)dx[k * n + i], (double)wx[k * n + i],
                 32 * EPS * most * fabs((double)w[i]) * rstd[i] + 1e-30);
        near(r, (double)dw[i], (double)ww[i],
             8 * EPS * ((double)rows * most + 4) * (1 + fabs(mean[i]) * rstd[i]));
        near(r, (double)db[i], (double)wb[i], 8 * EPS * ((double)rows * most + 4));
    }
    free(mean);
}

/* ---- rows */

static void check_layernorm(run *r) {
    int64_t rows = pick_size(r, 0, 70), n = pick_size(r, 1, 600), ldx = n + pick(r, 0, 3),
            ldy = n + pick(r, 0, 3);
    bool in_place = pick(r, 0, 1), with_stats = pick(r, 0, 1);
    if (in_place) ldy = ldx;
    float shift = pick(r, 0, 1) ? 100 : 0, eps = 1e-5f;
    float *x = filled(r, matrix(r, rows, n, ldx), 1), *w = filled(r, vector(r, n), 1),
          *b = filled(r, vector(r, n), 1);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) x[i * ldx + j] += shift;
    float *from = same(r, x, rows, n, ldx), *y = in_place ? x : matrix(r, rows, n, ldy),
          *stats = matrix(r, rows, 2, 2);
    r->k->layernorm(rows, n, x, ldx, w, b, eps, y, ldy, with_stats ? stats : NULL);
    for (int64_t i = 0; i < rows; i++) {
        double mean = 0, square = 0, size = 0;
        for (int64_t j = 0; j < n; j++) {
            mean += (double)from[i * ldx + j] / (double)n;
            size = fmax(size, fabs((double)from[i * ldx + j]));
        }
        for (int64_t j = 0; j < n; j++) square += pow((double)from[i * ldx + j] - mean, 2) / (double)n;
        double rstd = 1 / sqrt(square + (double)eps);
        for (int64_t j = 0; j < n; j++) {
            double h = ((double)from[i * ldx + j] - mean) * rstd, want = h * (double)w[j] + (double)b[j];
            /* the mean, rounded to float, and each difference from it err by EPS |x|; the rest is relative */
            double bound = 3 * EPS * size * rstd * fabs((double)w[j]) +
                           32 * EPS * (fabs(h * (double)w[j]) + fabs((double)b[j]));
            near(r, (double)y[i * ldy + j], want, bound);
        }
        if (with_stats) {
            near(r, (double)stats[2 * i], mean, 3 * EPS * size);
            near(r, (double)stats[2 * i + 1], rstd, (32 + 6 * size * rstd) * EPS * rstd);
        }
    }
}

static void check_act(run *r) {
    int kind = (int)pick(r, 0, 3);
    int64_t n = pick_size(r, 0, 600);
    double spread = pick(r, 0, 1) ? 1 : 12;
    float *x = filled(r, vector(r, n), spread), *y = pick(r, 0, 1) ? x : vector(r, n),
          *from = same(r, x, 1, n, n);
    r->k->act(kind, n, x, y);
    for (int64_t i = 0; i < n; i++) {
        double want = act_double(kind, (double)from[i]);
        near(r, (double)y[i], want, 12 * EPS * fabs(want) + 1e-35);
    }
}

static void check_act_backward(run *r) {
    int kind = (int)pick(r, 0, 3);
    int64_t n = pick_size(r, 0, 600);
    float *x = filled(r, vector(r, n), pick(r, 0, 1) ? 1 : 12);
    if (n) x[n / 2] = 0;
    float *dy = filled(r, vector(r, n), 1), *from = same(r, dy, 1, n, n);
    float *dx = pick(r, 0, 1) ? dy : vector(r, n);
    r->k->act_backward(kind, n, x, dy, dx);
    for (int64_t i = 0; i < n; i++) {
        /* the slope is a sum of two terms of magnitude up to 1.2 that may cancel */
        double v = (double)x[i], g = (double)from[i], h = 1e-5,
               want = g * (act_double(kind, v + h) - act_double(kind, v - h)) / (2 * h);
        if (kind == TC_ACT_RELU) want = v > 0 ? g : 0;
        near(r, (double)dx[i], want, fabs(g) * (12 * EPS + 1e-9));
    }
}

static void check_bias_act(run *r) {
    int kind = (int)pick(r, 0, 3);
    int64_t rows = pick_size(r, 0, 50), n = pick_size(r, 1, 300);
    float *x = filled(r, matrix(r, rows, n, n), 2), *bias = filled(r, vector(r, n), 1),
          *from = same(r, x, rows, n, n);
    float *y = pick(r, 0, 1) ? x : matrix(r, rows, n, n);
    r->k->bias_act(kind, rows, n, x, bias, y);
    for (int64_t i = 0; i < rows * n; i++) {
        float sum = from[i] + bias[i % n];
        double want = act_double(kind, (double)sum);
        near(r, (double)y[i], want, 12 * EPS * fabs(want));
        if (y != x) near(r, (double)x[i], (double)sum, 0);
    }
}

static void check_bias_backward(run *r) {
    int64_t rows = pick_size(r, 0, 300), n = pick_size(r, 1, 300);
    float *dy = filled(r, matrix(r, rows, n, n), 1), *db = filled(r, vector(r, n), 1),
          *from = same(r, db, 1, n, n);
    r->k->bias_backward(rows, n, dy, db);
    for (int64_t j = 0; j < n; j++) {
        double want = (double)from[j], size = fabs(want);
        for (int64_t i = 0; i < rows; i++) {
            want += (double)dy[i * n + j];
            size += fabs((double)dy[i * n + j]);
        }
        near(r, (double)db[j], want, (double)(64 + rows / 64 + 2) * EPS * size);
    }
}

static void check_add(run *r) {
    int64_t n = pick_size(r, 0, 600);
    float *a = filled(r, vector(r, n), 1), *b = filled(r, vector(r, n), 1), *from = same(r, a, 1, n, n),
          *from_b = same(r, b, 1, n, n);
    int64_t where = pick(r, 0, 2);
    float *y = where == 0 ? a : where == 1 ? b : vector(r, n);
    r->k->add(n, a, b, y);
    for (int64_t i = 0; i < n; i++) near(r, (double)y[i], (double)(from[i] + from_b[i]), 0);
}

static void check_softmax(run *r) {
    int64_t rows = pick_size(r, 0, 40), n = pick_size(r, 1, 600), ld = n + pick(r, 0, 3);
    float *x = filled(r, matrix(r, rows, n, ld), pick(r, 0, 1) ? 1 : 30), *from = same(r, x, rows, n, ld);
    r->k->softmax(rows, n, x, ld);
    for (int64_t i = 0; i < rows; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) most = fmax(most, (double)from[i * ld + j]);
        for (int64_t j = 0; j < n; j++) sum += exp((double)from[i * ld + j] - most);
        for (int64_t j = 0; j < n; j++) {
            /* the difference from the maximum is rounded before the exponential, which multiplies the error
             * by it */
            double z = (double)from[i * ld + j] - most, want = exp(z) / sum;
            near(r, (double)x[i * ld + j], want, (20 + (double)n / 16 + fabs(z)) * EPS * want + 1e-37);
        }
    }
}

static void check_l2norm(run *r) {
    static const double spreads[] = {1, 1e-22, 1e18};
    int64_t rows = pick_size(r, 0, 40), n = pick_size(r, 1, 600);
    float *x = filled(r, matrix(r, rows, n, n), spreads[pick(r, 0, 2)]), *y = matrix(r, rows, n, n),
          *inverse = vector(r, rows);
    bool with_inverse = pick(r, 0, 1);
    if (rows > 1) memset(x, 0, (size_t)n * sizeof *x);
    r->k->l2norm(rows, n, x, y, with_inverse ? inverse : NULL);
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += (double)x[i * n + j] * (double)x[i * n + j];
        double norm = fmax(sqrt(sum), 1e-12);
        for (int64_t j = 0; j < n; j++)
            near(r, (double)y[i * n + j], (double)x[i * n + j] / norm,
                 3 * EPS * fabs((double)x[i * n + j]) / norm);
        if (with_inverse) near(r, (double)inverse[i], 1 / norm, 2 * EPS / norm);
    }
}

/* ---- attention */

typedef struct attention_case {
    tc_attention a;
    float *q, *k, *v, *out, *lse;
    int32_t *seq, *q_row;
    int64_t rows, keys, width;
} attention_case;

static void make_attention(run *r, attention_case *c) {
    static const int dims[] = {64, 64, 32, 1, 5, 16, 33, 80, 300};
    bool large = pick(r, 0, 14) == 0, same_rows = pick(r, 0, 1);
    int nseq = (int)pick(r, 0, large ? 2 : 5);
    *c = (attention_case){.a = {.heads = (int)pick(r, 1, 3),
                                .dim = dims[pick(r, 0, 8)],
                                .nseq = nseq,
                                .causal = pick(r, 0, 1),
                                .scale = 0.4f}};
    c->seq = tc_new((size_t)nseq + 1, sizeof *c->seq);
    c->q_row = tc_new((size_t)nseq + 1, sizeof *c->q_row);
    for (int s = 0; s < nseq; s++) {
        int64_t length = large ? pick(r, 200, 600) : pick_size(r, same_rows ? 0 : 1, 70);
        c->seq[s + 1] = c->seq[s] + (int32_t)length;
        c->q_row[s] = (int32_t)pick(r, 0, length > 0 ? length - 1 : 0);
    }
    c->keys = c->seq[nseq];
    c->rows = same_rows ? c->keys : nseq;
    c->width = (int64_t)c->a.heads * c->a.dim;
    c->a.seq = c->seq;
    c->a.q_row = same_rows ? NULL : c->q_row;
    c->a.ldq = c->width + pick(r, 1, 3), c->a.ldk = c->width + pick(r, 1, 3),
    c->a.ldv = c->width + pick(r, 1, 3);
    c->a.q = c->q = filled(r, matrix(r, c->rows, c->width, c->a.ldq), 1);
    c->a.k = c->k = filled(r, matrix(r, c->keys, c->width, c->a.ldk), 1);
    c->a.v = c->v = filled(r, matrix(r, c->keys, c->width, c->a.ldv), 1);
    c->out = matrix(r, c->rows, c->width, c->width + 1);
    c->lse = matrix(r, c->rows, c->a.heads, c->a.heads);
}

static void free_attention(attention_case *c) {
    free(c->seq);
    free(c->q_row);
}

/* One query of one head in double. */
static void attention_row(run *r, const attention_case *c, int s, int h, int64_t i) {
    const tc_attention *a = &c->a;
    int64_t row = a->q_row ? s : a->seq[s] + i, position = a->q_row ? a->q_row[s] : i,
            count = a->seq[s + 1] - a->seq[s];
    if (a->causal && position + 1 < count) count = position + 1;
    double score[1024], most = -INFINITY, sum = 0, size = 0;
    for (int64_t j = 0; j < count; j++) {
        double dot = 0, terms = 0;
        for (int d = 0; d < a->dim; d++) {
            double term = (double)a->q[row * a->ldq + h * a->dim + d] *
                          (double)a->k[(a->seq[s] + j) * a->ldk + h * a->dim + d];
            dot += term;
            terms += fabs(term);
        }
        score[j] = dot * (double)a->scale;
        most = fmax(most, score[j]);
        size = fmax(size, terms * (double)a->scale);
    }
    for (int64_t j = 0; j < count; j++) sum += exp(score[j] - most);
    /* a score's error is that of its sum; every probability errs relatively by it */
    double bound = 2 * sum_bound(a->dim) * size + sum_bound(count) + 16 * EPS;
    for (int d = 0; d < a->dim; d++) {
        double want = 0, terms = 0;
        for (int64_t j = 0; j < count; j++) {
            double term =
                exp(score[j] - most) / sum * (double)a->v[(a->seq[s] + j) * a->ldv + h * a->dim + d];
            want += term;
            terms += fabs(term);
        }
        near(r, (double)c->out[row * (c->width + 1) + h * a->dim + d], want, bound * terms);
    }
    if (count > 0)
        near(r, (double)c->lse[row * a->heads + h], most + log(sum), bound + 4 * EPS * fabs(most + log(sum)));
}

static void check_attention(run *r) {
    attention_case c;
    make_attention(r, &c);
    r->k->attention(&c.a, c.out, c.width + 1, c.lse);
    for (int s = 0; s < c.a.nseq; s++)
        for (int h = 0; h < c.a.heads; h++)
            for (int64_t i = 0; i < (c.a.q_row ? 1 : c.seq[s + 1] - c.seq[s]); i++)
                attention_row(r, &c, s, h, i);
    float *again = matrix(r, c.rows, c.width, c.width + 1);
    r->k->attention(&c.a, again, c.width + 1, NULL);
    for (int64_t i = 0; i < c.rows; i++)
        assert_memory_equal(again + i * (c.width + 1), c.out + i * (c.width + 1),
                            (size_t)c.width * sizeof *again);
    free_attention(&c);
}

/* Largest |got - want| against the largest |want|, at least 1, the size of the terms: sums mix terms of all
 * sizes and may cancel. */
static void near_block(run *r, const float *got, const float *want, int64_t rows, int64_t width, int64_t ld,
                       double relative) {
    double most = 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) most = fmax(most, fabs((double)want[i * ld + j]));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++)
            near(r, (double)got[i * ld + j], (double)want[i * ld + j], relative * most);
}

static void check_attention_backward(run *r) {
    attention_case c;
    const tc_kern *ref = tc_kern_level(0);
    make_attention(r, &c);
    const tc_attention *a = &c.a;
    int64_t ldo = c.width + 1, lddo = c.width + 2;
    float *dout = filled(r, matrix(r, c.rows, c.width, lddo), 1);
    float *dq = matrix(r, c.rows, c.width, a->ldq), *dk = matrix(r, c.keys, c.width, a->ldk),
          *dv = matrix(r, c.keys, c.width, a->ldv);
    float *wq = matrix(r, c.rows, c.width, a->ldq), *wk = matrix(r, c.keys, c.width, a->ldk),
          *wv = matrix(r, c.keys, c.width, a->ldv);
    ref->attention(a, c.out, ldo, c.lse);
    ref->attention_backward(a, c.out, ldo, c.lse, dout, lddo, wq, wk, wv);
    r->k->attention_backward(a, c.out, ldo, c.lse, dout, lddo, dq, dk, dv);
    /* scores of up to about 4 dim^0.5 x 0.4 and sums over dim, then over rows */
    double relative = (4 * (double)a->dim + 64) * EPS * 4;
    near_block(r, dq, wq, c.rows, c.width, a->ldq, relative);
    near_block(r, dk, wk, c.keys, c.width, a->ldk, relative);
    near_block(r, dv, wv, c.keys, c.width, a->ldv, relative);
    free_attention(&c);
}

/* ---- gradients of rows, against ref */

static void check_layernorm_backward(run *r) {
    int64_t rows = pick_size(r, 0, 200), n = pick_size(r, 1, 300);
    bool add_dx = pick(r, 0, 1);
    float *x = filled(r, matrix(r, rows, n, n), 1), *w = filled(r, vector(r, n), 1),
          *dy = filled(r, matrix(r, rows, n, n), 1);
    float *y = matrix(r, rows, n, n), *stats = matrix(r, rows, 2, 2), *zero = filled(r, vector(r, n), 0);
    float *dx = filled(r, matrix(r, rows, n, n), 1), *wx = same(r, dx, rows, n, n);
    float *dw = filled(r, vector(r, n), 1), *ww = same(r, dw, 1, n, n), *db = filled(r, vector(r, n), 1),
          *wb = same(r, db, 1, n, n);
    tc_kern_level(0)->layernorm(rows, n, x, n, w, zero, 1e-5f, y, n, stats);
    tc_kern_level(0)->layernorm_backward(rows, n, x, w, stats, dy, wx, add_dx, ww, wb);
    r->k->layernorm_backward(rows, n, x, w, stats, dy, dx, add_dx, dw, db);
    for (int64_t i = 0; i < rows; i++) {
        /* terms g, its mean and h mean(g h), each of up to about 3 sizes, times rstd */
        double size = 0;
        for (int64_t j = 0; j < n; j++)
            size = fmax(size, fabs((double)dy[i * n + j] * (double)w[j]) * (double)stats[2 * i + 1]);
        for (int64_t j = 0; j < n; j++)
            near(r, (double)dx[i * n + j], (double)wx[i * n + j],
                 (40 + (double)n / 8) * EPS * (4 * size + 1));
    }
    near_block(r, dw, ww, 1, n, n, (double)(64 + rows / 64 + 8) * EPS * 4);
    near_block(r, db, wb, 1, n, n, (double)(64 + rows / 64 + 8) * EPS * 4);
}

static void check_l2norm_backward(run *r) {
    int64_t rows = pick_size(r, 0, 40), n = pick_size(r, 1, 300);
    float *x = filled(r, matrix(r, rows, n, n), 1), *y = matrix(r, rows, n, n), *inverse = vector(r, rows);
    float *dy = filled(r, matrix(r, rows, n, n), 1), *dx = matrix(r, rows, n, n),
          *want = matrix(r, rows, n, n);
    tc_kern_level(0)->l2norm(rows, n, x, y, inverse);
    tc_kern_level(0)->l2norm_backward(rows, n, y, inverse, dy, want);
    r->k->l2norm_backward(rows, n, y, inverse, dy, dx);
    for (int64_t i = 0; i < rows; i++) {
        double size = 0; /* of dy and of y (y . dy), |y| = 1 */
        for (int64_t j = 0; j < n; j++) size += fabs((double)dy[i * n + j]);
        for (int64_t j = 0; j < n; j++)
            near(r, (double)dx[i * n + j], (double)want[i * n + j],
                 (24 + (double)n / 8) * EPS * size * (double)inverse[i]);
    }
}

/* ---- losses, optimizer */

static void check_softmax_xent(run *r) {
    int64_t rows = pick_size(r, 0, 100), n = pick_size(r, 1, 300), ldx = n + pick(r, 0, 3),
            ldq = n + pick(r, 0, 3), first;
    bool soft = pick(r, 0, 1) || rows > n;
    float *x = filled(r, matrix(r, rows, n, ldx), 10), *from = same(r, x, rows, n, ldx),
          *q = filled(r, matrix(r, rows, n, ldq), 3), scale = 0.25f;
    tc_kern_level(0)->softmax(rows, n, q, ldq);
    first = soft ? 0 : pick(r, 0, n - rows);
    double got = r->k->softmax_xent(rows, n, x, ldx, soft ? q : NULL, ldq, first, scale), want = 0, size = 0,
           rounded = 0;
    for (int64_t i = 0; i < rows; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) most = fmax(most, (double)from[i * ldx + j]);
        for (int64_t j = 0; j < n; j++) sum += exp((double)from[i * ldx + j] - most);
        for (int64_t j = 0; j < n; j++) {
            double target = soft             ? (double)q[i * ldq + j]
                            : j == i + first ? 1
                                             : 0,
                   z = (double)from[i * ldx + j] - most, p = exp(z) / sum;
            want -= target * (z - log(sum));
            size += target * (fabs(z) + log(sum));
            /* of the sum, in another order: all that is left of a logarithm near 0 */
            rounded += target * DBL_EPSILON * (double)(n + 1);
            near(r, (double)x[i * ldx + j], (p - target) * (double)scale,
                 (12 + fabs(z)) * EPS * p + 2 * EPS * target);
        }
    }
    near(r, got, want, 8 * EPS * size + rounded);
}

static void check_dot(run *r) {
    int64_t n = pick(r, 0, 7) ? pick_size(r, 0, 600) : pick(r, 60000, 200000);
    float *x = filled(r, vector(r, n), 1), *y = filled(r, vector(r, n), 1);
    double want = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        want += (double)x[i] * (double)y[i];
        size += fabs((double)x[i] * (double)y[i]);
    }
    near(r, r->k->dot(n, x, y), want, 1e-15 * (double)(n + 1) * size);
}

static void check_adamw(run *r) {
    int64_t n = pick_size(r, 0, 600);
    double gscale = 0.7, lr = 1e-3, wd = 0.2, b1 = 0.9, b2 = 0.98, eps = 1e-6, c1 = 1 - pow(b1, 3),
           c2 = 1 - pow(b2, 3);
    float *p = filled(r, vector(r, n), 1), *g = filled(r, vector(r, n), 0.01),
          *m = filled(r, vector(r, n), 0.01), *v = filled(r, vector(r, n), 0.01);
    for (int64_t i = 0; i < n; i++) v[i] *= v[i];
    float *p0 = same(r, p, 1, n, n), *m0 = same(r, m, 1, n, n), *v0 = same(r, v, 1, n, n);
    r->k->adamw(n, p, g, m, v, gscale, lr, wd, b1, b2, eps, c1, c2);
    for (int64_t i = 0; i < n; i++) {
        double grad = gscale * (double)g[i], first = b1 * (double)m0[i] + (1 - b1) * grad,
               second = b2 * (double)v0[i] + (1 - b2) * grad * grad;
        double step = lr * (first / c1) / (sqrt(second / c2) + eps),
               want = (double)p0[i] * (1 - lr * wd) - step;
        double size = b1 * fabs((double)m0[i]) + (1 - b1) * fabs(grad);
        near(r, (double)m[i], first, 4 * EPS * size);
        near(r, (double)v[i], second, 6 * EPS * second);
        near(r, (double)p[i], want,
             3 * EPS * (fabs((double)p0[i]) + fabs(step)) +
                 16 * EPS * lr * (size / c1) / (sqrt(second / c2) + eps));
    }
    /* Without a gradient: what zero gradients and moments give, to the bit. */
    float *decayed = same(r, p, 1, n, n);
    memset(g, 0, (size_t)n * sizeof *g);
    memset(m, 0, (size_t)n * sizeof *m);
    memset(v, 0, (size_t)n * sizeof *v);
    r->k->adamw(n, decayed, NULL, m, v, gscale, lr, wd, b1, b2, eps, c1, c2);
    r->k->adamw(n, p, g, m, v, gscale, lr, wd, b1, b2, eps, c1, c2);
    assert_memory_equal(decayed, p, (size_t)n * sizeof *p);
}

/* ---- the table */

#define AT(entry) offsetof(tc_kern, entry)

static const struct kernel_case {
    const char *name;
    void (*check)(run *r);
    int rounds;
    bool needs_simd; /* compares with ref, which would only meet itself */
    size_t covers[3];
} cases[] = {
    {"gemm", check_gemm, 40, false, {AT(gemm)}},
    {"linear", check_linear, 40, false, {AT(forms)}},
    {"linear_rows", check_linear_rows, 4, false, {AT(forms)}},
    {"conv", check_conv, 60, false, {AT(conv_create), AT(conv_run), AT(conv_free)}},
    {"conv_images", check_conv_images, 20, false, {AT(conv_run)}},
    {"conv_backward", check_conv_backward, 40, false, {AT(conv_backward)}},
    {"avgpool", check_avgpool, 40, false, {AT(avgpool), AT(avgpool_backward)}},
    {"patchify", check_patchify, 40, false, {AT(patchify)}},
    {"tokens", check_tokens, 40, false, {AT(tokens)}},
    {"tokens_backward", check_tokens_backward, 40, false, {AT(tokens_backward)}},
    {"embed", check_embed, 40, false, {AT(embed), AT(embed_backward), AT(clear_rows)}},
    {"pick_rows", check_pick_rows, 40, false, {AT(pick_rows), AT(pick_rows_backward)}},
    {"copies", check_copies, 20, false, {AT(copy), AT(zero)}},
    {"conversions", check_copies, 20, false, {AT(from_float), AT(to_float)}},
    {"running_stats",
     check_running_stats,
     20,
     false,
     {AT(batch_rstd), AT(running_stats), AT(running_update)}},
    {"batchnorm", check_batchnorm, 40, false, {AT(batch_stats), AT(batchnorm)}},
    {"batchnorm_backward", check_batchnorm_backward, 40, true, {AT(batchnorm_backward)}},
    {"layernorm", check_layernorm, 40, false, {AT(layernorm)}},
    {"layernorm_backward", check_layernorm_backward, 40, true, {AT(layernorm_backward)}},
    {"layernorm_kept", check_layernorm_kept, 40, false, {AT(layernorm_kept)}},
    {"layernorm_all_kept",
     check_layernorm_all_kept,
     40,
     false,
     {AT(layernorm_kept), AT(layernorm_kept_backward)}},
    {"layernorm_kept_backward", check_layernorm_kept_backward, 40, true, {AT(layernorm_kept_backward)}},
    {"scale", check_scale, 40, false, {AT(scale)}},
    {"scale_backward", check_scale_backward, 80, false, {AT(scale_backward)}},
    {"act", check_act, 200, false, {AT(act)}},
    {"act_backward", check_act_backward, 100, false, {AT(act_backward)}},
    {"bias_act", check_bias_act, 40, false, {AT(bias_act)}},
    {"bias_backward", check_bias_backward, 40, false, {AT(bias_backward)}},
    {"add", check_add, 40, false, {AT(add)}},
    {"softmax", check_softmax, 40, false, {AT(softmax)}},
    {"l2norm", check_l2norm, 40, false, {AT(l2norm)}},
    {"l2norm_backward", check_l2norm_backward, 40, true, {AT(l2norm_backward)}},
    {"attention", check_attention, 40, false, {AT(attention)}},
    {"attention_backward", check_attention_backward, 40, true, {AT(attention_backward)}},
    {"softmax_xent", check_softmax_xent, 40, false, {AT(softmax_xent)}},
    {"dot", check_dot, 40, false, {AT(dot)}},
    {"adamw", check_adamw, 40, false, {AT(adamw)}},
};

static void run_level(int level) {
    const char *text = getenv("TINYCLIP_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)(tc_now() * 1e6);
    const tc_kern *k = tc_kern_level(level);
    printf("# level %s, TINYCLIP_TEST_SEED=%llu\n", k->name, (unsigned long long)seed);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run *r = tc_new(1, sizeof *r);
        assert_non_null(r);
        r->k = k;
        r->name = cases[i].name;
        r->rng = tc_rng_make(seed, (uint64_t)level, i);
        for (int n = 0; n < cases[i].rounds && (level > 0 || !cases[i].needs_simd); n++) {
            cases[i].check(r);
            release_all(r);
        }
        printf("# %-20s largest error %.3f of its bound\n", r->name, r->worst);
        free(r);
    }
}

static void test_ref(void **state) {
    (void)state;
    run_level(0);
}

static void test_avx2(void **state) {
    (void)state;
    run_level(1);
}

static void test_avx512(void **state) {
    (void)state;
    run_level(2);
}

/* Every function pointer of the table, at every level: filled in, and covered by a case. */
static void test_table_complete(void **state) {
    (void)state;
    for (size_t at = AT(forms); at < sizeof(tc_kern); at += sizeof(void (*)(void))) {
        bool covered = false;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int j = 0; j < 3; j++) covered = covered || cases[i].covers[j] == at;
        if (!covered) fail_msg("the entry %zu bytes into tc_kern has no case", at);
        for (int level = 0; level < 3; level++) {
            void (*entry)(void) = NULL;
            if (tc_kern_level(level)) memcpy(&entry, (const char *)tc_kern_level(level) + at, sizeof entry);
            if (tc_kern_level(level) && !entry)
                fail_msg("level %d has no entry %zu bytes into tc_kern", level, at);
        }
    }
}

/* Every form of a weight, at every level, was met by the cases; after them. */
static void test_forms_complete(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++)
        for (int f = 0; tc_kern_level(level) && tc_kern_level(level)->forms[f]; f++) {
            const tc_form *form = tc_kern_level(level)->forms[f];
            bool ran = false;
            for (int i = 0; i < MOST_FORMS; i++) ran = ran || forms_that_ran[i] == form;
            if (!ran) fail_msg("level %d: the form %s has no case", level, form->name);
        }
}

static void test_level_names(void **state) {
    (void)state;
    const char *cap = getenv("TINYCLIP_CPU");
    assert_string_equal(tc_kern_get()->name, tc_cpu_level());
    assert_string_equal(tc_kern_level(0)->name, "ref");
    if (cap && strcmp(cap, "ref") == 0) assert_null(tc_kern_level(1));
    if (cap && strcmp(cap, "avx2") == 0) assert_null(tc_kern_level(2));
    assert_null(tc_kern_level(-1));
    assert_null(tc_kern_level(3));
    assert_true(tc_kern_measure_peak(0.01) > 0);
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_table_complete),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_avx512),
        cmocka_unit_test(test_forms_complete),
    };
    struct CMUnitTest tests[6];
    size_t count = 0;
    for (int i = 0; i < 6; i++)
        if (i < 3 || i > 4 || tc_kern_level(i - 2)) tests[count++] = all[i];
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests("kernels", tests, count, NULL, NULL);
}
