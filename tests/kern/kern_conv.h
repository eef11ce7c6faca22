/* kern_conv.h - the checks of convolutions and average pools. */
#ifndef KERN_CONV_H
#define KERN_CONV_H

#include "kern/kern_check.h"

typedef struct conv_case {
    tc_conv_shape s;
    int64_t batch, pixels_in, pixels_out, weights;
    float *x, *w, *dy;
} conv_case;

static void make_conv(run *r, conv_case *c) {
    static const int kernels[] = {1, 2, 3, 3, 3, 5}, channels[] = {1, 2, 3, 7, 16, 22, 33, 44};
    tc_conv_shape *s = &c->s;
    s->kernel = kernels[pick(r, 0, 5)];
    s->pad = (int)pick(r, 0, s->kernel / 2);
    s->side = (int)pick(r, s->kernel > 2 * s->pad ? s->kernel - 2 * s->pad : 1, 12);
    s->stride = (int)pick(r, 1, 2);
    s->in = channels[pick(r, 0, 7)];
    s->out = channels[pick(r, 0, 7)];
    int side = tc_conv_out_side(s);
    c->batch = pick(r, 1, 10);
    c->pixels_in = (int64_t)s->side * s->side;
    c->pixels_out = (int64_t)side * side;
    c->weights = (int64_t)s->out * s->in * s->kernel * s->kernel;
    c->x = filled(r, matrix(r, c->batch * c->pixels_in, s->in, s->in), 1);
    c->w = filled(r, vector(r, c->weights), 0.2);
    c->dy = filled(r, matrix(r, c->batch * c->pixels_out, s->out, s->out), 1);
}

/* The pixel of x that the tap (a,b) of output pixel p reads, or NULL outside of the map. */
static const float *read_pixel(const conv_case *c, int64_t p, int tap) {
    const tc_conv_shape *s = &c->s;
    int side = tc_conv_out_side(s);
    int64_t v = p % c->pixels_out / side * s->stride - s->pad + tap / s->kernel,
            u = p % side * s->stride - s->pad + tap % s->kernel;
    bool inside = v >= 0 && u >= 0 && v < s->side && u < s->side;
    return inside ? c->x + (p / c->pixels_out * c->pixels_in + v * s->side + u) * s->in : NULL;
}

static tc_packed *packed_conv(run *r, const conv_case *c, const float *bias, int act, bool add) {
    int64_t k = c->weights / c->s.out;
    tc_product p = {.n = c->s.out, .k = k, .map = c->s, .act = act, .add = add};
    return packed_of(r, &p, &(tc_weight){.part = {c->w}, .part_rows = c->s.out, .ld = k}, bias);
}

static void check_conv(run *r) {
    conv_case c;
    make_conv(r, &c);
    int act = (int)pick(r, 0, 3), taps = c.s.kernel * c.s.kernel;
    bool add = pick(r, 0, 1), with_bias = pick(r, 0, 1), training = pick(r, 0, 3) == 0;
    if (training) act = TC_ACT_NONE, add = with_bias = false;
    int64_t n = c.batch * c.pixels_out, out = c.s.out;
    float *bias = filled(r, vector(r, out), 1), *y = filled(r, matrix(r, n, out, out), 1),
          *old = same(r, y, n, out, out);
    tc_conv *conv = training ? r->k->conv_create(&c.s) : NULL;
    tc_packed *packed = training ? NULL : packed_conv(r, &c, with_bias ? bias : NULL, act, add);
    int threads = tc_threads();
    assert_true(conv || packed);
    /* Another number of threads than it was made for. */
    tc_set_threads((int)pick(r, 1, 3));
    if (conv) r->k->conv_run(conv, c.batch, c.x, c.w, y);
    else tc_packed_run(packed, c.batch * c.pixels_in, c.x, c.s.in, y, out);
    tc_set_threads(threads);
    if (conv) r->k->conv_free(conv);
    tc_packed_free(packed);
    for (int64_t p = 0; p < n; p++)
        for (int64_t o = 0; o < out; o++) {
            double sum = (with_bias ? (double)bias[o] : 0) + (add ? (double)old[p * out + o] : 0);
            double size =
                (with_bias ? fabs((double)bias[o]) : 0) + (add ? fabs((double)old[p * out + o]) : 0);
            for (int t = 0; t < taps; t++) {
                const float *x = read_pixel(&c, p, t);
                for (int i = 0; i < c.s.in && x; i++) {
                    double term = (double)x[i] * (double)c.w[(o * c.s.in + i) * taps + t];
                    sum += term;
                    size += fabs(term);
                }
            }
            double want = act_double(act, sum);
            /* a sum of so many terms in any order; GELU by a polynomial of about 1e-6 of its argument's size
             */
            double bound = 1.13 * ((double)(c.s.in * taps) + 8) * EPS * size + 8 * EPS * fabs(want);
            if (act == TC_ACT_GELU || act == TC_ACT_QUICK_GELU) bound += 32 * EPS * (size + 1);
            near(r, (double)y[p * out + o], want, bound);
        }
}

/* The same image gives the same bits whatever stands beside it, and again. */
static void check_conv_images(run *r) {
    conv_case c;
    make_conv(r, &c);
    int64_t n = c.batch * c.pixels_out, out = c.s.out;
    float *y = matrix(r, n, out, out), *z = matrix(r, n, out, out), *one = matrix(r, c.pixels_out, out, out);
    tc_packed *conv = packed_conv(r, &c, NULL, TC_ACT_RELU, false);
    tc_packed_run(conv, c.batch * c.pixels_in, c.x, c.s.in, y, out);
    tc_packed_run(conv, c.batch * c.pixels_in, c.x, c.s.in, z, out);
    assert_memory_equal(y, z, (size_t)(n * out) * sizeof *y);
    tc_packed_run(conv, c.pixels_in, c.x + (c.batch - 1) * c.pixels_in * c.s.in, c.s.in, one, out);
    assert_memory_equal(y + (n - c.pixels_out) * out, one, (size_t)(c.pixels_out * out) * sizeof *y);
    tc_packed_free(conv);
}

static void check_conv_backward(run *r) {
    conv_case c;
    make_conv(r, &c);
    int taps = c.s.kernel * c.s.kernel;
    int64_t n = c.batch * c.pixels_out, m = c.batch * c.pixels_in;
    bool with_dx = pick(r, 0, 3) > 0;
    float *dx = matrix(r, m, c.s.in, c.s.in), *dw = vector(r, c.weights);
    double *want = tc_new((size_t)(m * c.s.in + c.weights), 2 * sizeof *want),
           *size = want + m * c.s.in + c.weights, *want_w = want + m * c.s.in;
    tc_conv *conv = r->k->conv_create(&c.s);
    assert_true(conv && want);
    r->k->conv_backward(conv, c.batch, c.x, c.w, c.dy, with_dx ? dx : NULL, dw);
    r->k->conv_free(conv);
    for (int64_t p = 0; p < n; p++)
        for (int t = 0; t < taps; t++) {
            const float *x = read_pixel(&c, p, t);
            for (int64_t k = 0; k < (int64_t)c.s.in * c.s.out && x; k++) {
                int64_t o = k / c.s.in, i = k % c.s.in, w = k * taps + t, at = x + i - c.x;
                double g = (double)c.dy[p * c.s.out + o], to_x = g * (double)c.w[w], to_w = g * (double)x[i];
                want[at] += to_x, size[at] += fabs(to_x);
                want_w[w] += to_w, size[m * c.s.in + w] += fabs(to_w);
            }
        }
    for (int64_t i = 0; i < m * c.s.in && with_dx; i++)
        near(r, (double)dx[i], want[i], (double)(c.s.out * taps + 8) * EPS * size[i]);
    for (int64_t i = 0; i < c.weights; i++)
        near(r, (double)dw[i], want_w[i], (double)(n + 8) * EPS * size[m * c.s.in + i]);
    free(want);
}

static void check_avgpool(run *r) {
    int s = (int)pick(r, 1, 3), side = (int)pick(r, s, 9), to = side / s;
    int64_t batch = pick(r, 1, 3), n = pick_size(r, 1, 70), pixels = (int64_t)to * to,
            all = (int64_t)side * side;
    bool add = pick(r, 0, 1);
    float *x = filled(r, matrix(r, batch * all, n, n), 1), *y = matrix(r, batch * pixels, n, n),
          *dy = filled(r, matrix(r, batch * pixels, n, n), 1);
    float *dx = filled(r, matrix(r, batch * all, n, n), 1), *old = same(r, dx, batch * all, n, n);
    r->k->avgpool(batch, side, n, s, x, y);
    r->k->avgpool_backward(batch, side, n, s, dy, dx, add);
    for (int64_t k = 0; k < batch * pixels * n; k++) {
        int64_t p = k / n, first = p / pixels * all + p % pixels / to * s * side + p % to * s;
        double sum = 0, size = 0;
        for (int t = 0; t < s * s; t++) {
            double v = (double)x[(first + t / s * side + t % s) * n + k % n];
            sum += v / (s * s);
            size += fabs(v) / (s * s);
        }
        near(r, (double)y[k], sum, (s * s + 2) * EPS * size);
    }
    for (int64_t k = 0; k < batch * all * n; k++) {
        int64_t p = k / n % all, v = p / side / s, u = p % side / s;
        double g = v < to && u < to ? (double)dy[(k / n / all * pixels + v * to + u) * n + k % n] / (s * s)
                                    : 0,
               was = add ? (double)old[k] : 0;
        near(r, (double)dx[k], g + was, 4 * EPS * (fabs(g) + fabs(was)));
    }
}

/* ---- batch normalisation */

#endif
