/* ref_conv.c - convolutions and average pooling of square maps in plain C; see kern.h for their contracts.
 *
 * y(v,u) = sum over the taps (a,b) of W(a,b) x(v s - p + a, u s - p + b): a small product of a matrix and a
 * pixel for each tap that lies within the map. The gradients walk over the same pairs of pixels. */
#include "kern/ref.h"

#include <stdlib.h>

struct tc_conv {
    tc_conv_shape shape;
};

tc_conv *ref_conv_create(const tc_conv_shape *s) {
    tc_conv *c = tc_new(1, sizeof *c);
    if (c) c->shape = *s;
    return c;
}

void ref_conv_free(tc_conv *c) { free(c); }

/* Pixel of x that tap (a,b) of output pixel (v,u) reads, or -1 outside of the map. */
static int64_t pixel(const tc_conv_shape *s, int v, int u, int a, int b) {
    int row = v * s->stride - s->pad + a, column = u * s->stride - s->pad + b;
    return row >= 0 && row < s->side && column >= 0 && column < s->side ? (int64_t)row * s->side + column
                                                                        : -1;
}

/* Summed in double: gradients that nearly cancel are made of it. */
static tc_real output(const tc_conv_shape *s, const tc_real *x, const tc_real *w, int v, int u) {
    int taps = s->kernel * s->kernel;
    double sum = 0;
    for (int tap = 0; tap < taps; tap++) {
        int64_t at = pixel(s, v, u, tap / s->kernel, tap % s->kernel);
        for (int i = 0; at >= 0 && i < s->in; i++)
            sum += (double)w[i * taps + tap] * (double)x[at * s->in + i];
    }
    return (tc_real)sum;
}

typedef struct conv_work {
    const tc_conv_shape *s;
    int64_t batch;
    const tc_real *x, *w, *dy;
    tc_real *y, *dx, *dw;
} conv_work;

static int64_t conv_cost(const tc_conv_shape *s, int64_t batch) {
    int side = tc_conv_out_side(s);
    return batch * side * side * s->out * s->in * s->kernel * s->kernel;
}

static void forward_range(void *user, int64_t first, int64_t end) {
    const conv_work *k = user;
    const tc_conv_shape *s = k->s;
    int side = tc_conv_out_side(s);
    int64_t pixels = (int64_t)side * side, per_out = (int64_t)s->in * s->kernel * s->kernel;
    for (int64_t p = first; p < end; p++) {
        const tc_real *image = k->x + p / pixels * s->side * s->side * s->in;
        int v = (int)(p % pixels / side), u = (int)(p % side);
        for (int o = 0; o < s->out; o++) k->y[p * s->out + o] = output(s, image, k->w + o * per_out, v, u);
    }
}

void ref_conv_forward(const tc_conv_shape *s, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y) {
    int side = tc_conv_out_side(s);
    tc_parallel(batch * side * side, conv_cost(s, batch), forward_range,
                &(conv_work){.s = s, .x = x, .w = w, .y = y});
}

void ref_conv_run(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y) {
    ref_conv_forward(&c->shape, batch, x, w, y);
}

/* One input channel of dx, all images: each output pixel gives to the pixels that it read. */
static void data_channel(const tc_conv_shape *s, int64_t batch, int i, const tc_real *w, const tc_real *dy,
                         tc_real *dx) {
    int side = tc_conv_out_side(s), taps = s->kernel * s->kernel;
    for (int64_t p = 0; p < batch * s->side * s->side; p++) dx[p * s->in + i] = 0;
    for (int64_t p = 0; p < batch * side * side; p++)
        for (int tap = 0; tap < taps; tap++) {
            int64_t q = p % ((int64_t)side * side);
            int64_t at = pixel(s, (int)(q / side), (int)(q % side), tap / s->kernel, tap % s->kernel);
            tc_real sum = 0;
            if (at < 0) continue;
            for (int o = 0; o < s->out; o++)
                sum += dy[p * s->out + o] * w[((int64_t)o * s->in + i) * taps + tap];
            dx[(p / ((int64_t)side * side) * s->side * s->side + at) * s->in + i] += sum;
        }
}

/* One weight: the product of the two pixels at its ends, summed over all pairs. */
static tc_real weight_gradient(const tc_conv_shape *s, int64_t batch, int o, int i, int tap, const tc_real *x,
                               const tc_real *dy) {
    int side = tc_conv_out_side(s);
    double sum = 0;
    for (int64_t n = 0; n < batch; n++)
        for (int v = 0; v < side; v++)
            for (int u = 0; u < side; u++) {
                int64_t at = pixel(s, v, u, tap / s->kernel, tap % s->kernel);
                if (at < 0) continue;
                sum += (double)dy[((n * side + v) * side + u) * s->out + o] *
                       (double)x[(n * s->side * s->side + at) * s->in + i];
            }
    return (tc_real)sum;
}

static void data_range(void *user, int64_t first, int64_t end) {
    const conv_work *k = user;
    for (int64_t i = first; i < end; i++) data_channel(k->s, k->batch, (int)i, k->w, k->dy, k->dx);
}

static void weight_range(void *user, int64_t first, int64_t end) {
    const conv_work *k = user;
    int taps = k->s->kernel * k->s->kernel, in = k->s->in;
    for (int64_t i = first; i < end; i++)
        k->dw[i] = weight_gradient(k->s, k->batch, (int)(i / taps / in), (int)(i / taps % in),
                                   (int)(i % taps), k->x, k->dy);
}

void ref_conv_gradients(const tc_conv_shape *s, int64_t batch, const tc_real *x, const tc_real *w,
                        const tc_real *dy, tc_real *dx, tc_real *dw) {
    conv_work k = {.s = s, .batch = batch, .x = x, .w = w, .dy = dy, .dx = dx, .dw = dw};
    if (dx) tc_parallel(s->in, conv_cost(s, batch), data_range, &k);
    tc_parallel((int64_t)s->out * s->in * s->kernel * s->kernel, conv_cost(s, batch), weight_range, &k);
}

void ref_conv_backward(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                       tc_real *dx, tc_real *dw) {
    ref_conv_gradients(&c->shape, batch, x, w, dy, dx, dw);
}

/* ---- average pooling */

void ref_avgpool(int64_t batch, int side, int64_t n, int s, const tc_real *x, tc_real *y) {
    int to = side / s;
    for (int64_t p = 0; p < batch * to * to; p++) {
        const tc_real *from = x + (p / (to * to) * side * side + p / to % to * s * side + p % to * s) * n;
        for (int64_t i = 0; i < n; i++) {
            tc_real sum = 0;
            for (int k = 0; k < s * s; k++) sum += from[(k / s * side + k % s) * n + i];
            y[p * n + i] = sum / (tc_real)(s * s);
        }
    }
}

void ref_avgpool_backward(int64_t batch, int side, int64_t n, int s, const tc_real *dy, tc_real *dx,
                          bool add) {
    int to = side / s;
    for (int64_t p = 0; p < batch * side * side; p++) {
        int v = (int)(p / side % side) / s, u = (int)(p % side) / s;
        const tc_real *from = v < to && u < to ? dy + ((p / (side * side) * to + v) * to + u) * n : NULL;
        for (int64_t i = 0; i < n; i++) {
            tc_real g = from ? from[i] / (tc_real)(s * s) : 0;
            dx[p * n + i] = add ? dx[p * n + i] + g : g;
        }
    }
}
