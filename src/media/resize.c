/* resize.c - Pillow's antialiased bicubic resize, bit for bit, and its nearest one.
 *
 * Each axis is a separate pass: output i is sum_j w_ij v_j over the pixels within the kernel's support,
 * widened by the scale when shrinking. Weights are Q22 integers: out = clip((2^21 + sum w v) >> 22), rounded
 * to a byte after each pass, so the order of the passes shows. It is Pillow 13's: horizontal first, unless
 * the height shrinks by more than twice as many pixels as the width. An axis that keeps its size is skipped.
 * Every output pixel depends on its own column and row only, hence a part can be computed alone. */
#include "media/media.h"
#include "media/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 22, HALF = 1 << (WEIGHT_BITS - 1), LANES = 16 };

/* The taps of outputs 0..count-1 of one axis: output i reads inputs first[i] .. first[i]+taps[i]-1 with
 * weights[i*most ..]. */
typedef struct axis {
    int count, most;
    int *first, *taps;
    int32_t *weights;
    double *exact;  /* the weights before rounding, for 16-bit samples; or NULL */
    int begin, end; /* the inputs that are read by any output */
} axis;

/* Keys' cubic kernel with a = -1/2. */
static double cubic(double x) {
    x = fabs(x);
    if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0.0;
}

static void axis_free(axis *a) {
    free(a->first);
    free(a->exact);
    *a = (axis){0};
}

/* first, taps and weights share one block. */
static bool axis_allocate(axis *a, int count, double support, int n_in, bool exact) {
    double most = ceil(support) * 2 + 1;
    a->count = count;
    a->most = most < n_in ? (int)most : n_in;
    size_t weights, ints;
    if (!tc_mul((size_t)count, (size_t)a->most, &weights) || !tc_add(weights, 2 * (size_t)count, &ints))
        return false;
    a->first = tc_new(ints, sizeof *a->first);
    a->exact = tc_new(exact ? weights : (size_t)a->most, sizeof *a->exact);
    if (!a->first || !a->exact) return false;
    a->taps = a->first + count;
    a->weights = (int32_t *)a->taps + count;
    return true;
}

/* Weights of one output around `center`, into w. */
static void axis_weights(axis *a, int i, int n_in, double center, double support, double inverse, double *w) {
    double low = center - support + 0.5, high = center + support + 0.5;
    int lo = low > 0 ? (int)low : 0, hi = high < n_in ? (int)high : n_in;
    double sum = 0;
    for (int j = lo; j < hi; j++) sum += w[j - lo] = cubic((j - center + 0.5) * inverse);
    int32_t *q = a->weights + (size_t)i * (size_t)a->most;
    for (int j = 0; j < hi - lo; j++) {
        if (sum != 0) w[j] /= sum;
        q[j] = (int32_t)(w[j] * (1 << WEIGHT_BITS) + (w[j] < 0 ? -0.5 : 0.5));
    }
    a->first[i] = lo;
    a->taps[i] = hi - lo;
}

/* Outputs start .. start+count-1 of n_out. */
static tc_status axis_init(axis *a, int n_in, int64_t n_out, int64_t start, int count, bool exact,
                           tc_error *err) {
    double scale = (double)n_in / (double)n_out, filter = scale < 1 ? 1 : scale, support = 2 * filter;
    if (!axis_allocate(a, count, support, n_in, exact))
        return tc_fail_memory(err, (size_t)count * (size_t)a->most * sizeof(int32_t));
    for (int i = 0; i < count; i++) {
        double *w = exact ? a->exact + (size_t)i * (size_t)a->most : a->exact;
        axis_weights(a, i, n_in, ((double)(start + i) + 0.5) * scale, support, 1 / filter, w);
    }
    a->begin = a->first[0];
    a->end = a->first[count - 1] + a->taps[count - 1];
    return TC_OK;
}

static inline uint8_t to_byte(int32_t sum) {
    sum >>= WEIGHT_BITS;
    if (sum < 0) return 0;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* ---- the passes for bytes */

/* out[n] = weighted sum of `taps` rows, stride bytes apart. Lanes of a fixed number vectorise without a
 * remainder. A weight is multiplied in two halves, w = high * 2^11 + low, since 16-bit products are what
 * every vector unit has. */
static void sum_rows(const uint8_t *in, size_t stride, const int32_t *w, int taps, size_t n, uint8_t *out) {
    size_t x = 0;
    for (; x + LANES <= n; x += LANES) {
        int32_t high[LANES] = {0}, low[LANES] = {0};
        const uint8_t *p = in + x;
        for (int j = 0; j < taps; j++, p += stride) {
            int16_t h = (int16_t)(w[j] >> 11), l = (int16_t)(w[j] & 2047);
            for (int i = 0; i < LANES; i++) high[i] += h * (int16_t)p[i];
            for (int i = 0; i < LANES; i++) low[i] += l * (int16_t)p[i];
        }
        for (int i = 0; i < LANES; i++) out[x + (size_t)i] = to_byte(high[i] * 2048 + low[i] + HALF);
    }
    for (; x < n; x++) {
        int32_t sum = HALF;
        for (int j = 0; j < taps; j++) sum += w[j] * in[x + (size_t)j * stride];
        out[x] = to_byte(sum);
    }
}

/* Rows of `in` (row 0 is input `a->begin`), n bytes wide, to the outputs of the vertical axis. */
static void pass_vertical(const uint8_t *in, size_t stride, size_t n, const axis *a, uint8_t *out,
                          size_t out_stride) {
    for (int i = 0; i < a->count; i++)
        sum_rows(in + (size_t)(a->first[i] - a->begin) * stride, stride,
                 a->weights + (size_t)i * (size_t)a->most, a->taps[i], n, out + (size_t)i * out_stride);
}

/* The horizontal pass takes two rows at once: a pair holds a byte of each in the halves of 64 bits, and one
 * multiplication serves both. The sum of the pairs is S0 + 2^32 S1 with |S0| < 2^31, from which both come
 * back exactly. */
static void split(int64_t sum, uint8_t *a, uint8_t *b) {
    int32_t low = (int32_t)(uint32_t)sum;
    *a = to_byte(low);
    *b = to_byte((int32_t)((sum - low) >> 32));
}

static const int64_t pair_half = HALF + ((int64_t)HALF << 32);

static void pairs_to_row(const int64_t *pairs, int channels, const axis *a, uint8_t *out0, uint8_t *out1) {
    for (int i = 0; i < a->count; i++) {
        const int32_t *w = a->weights + (size_t)i * (size_t)a->most;
        for (int c = 0; c < channels; c++) {
            const int64_t *p = pairs + (size_t)(a->first[i] - a->begin) * (size_t)channels + c;
            int64_t sum = pair_half;
            for (int j = 0; j < a->taps[i]; j++, p += channels) sum += w[j] * *p;
            split(sum, out0++, out1++);
        }
    }
}

/* The same for the most common case, with the three sums side by side. */
static void pairs_to_row3(const int64_t *pairs, const axis *a, uint8_t *out0, uint8_t *out1) {
    for (int i = 0; i < a->count; i++, out0 += 3, out1 += 3) {
        const int32_t *w = a->weights + (size_t)i * (size_t)a->most, *end = w + a->taps[i];
        const int64_t *p = pairs + (size_t)(a->first[i] - a->begin) * 3;
        int64_t red = pair_half, green = pair_half, blue = pair_half;
        for (; w < end; w++, p += 3) {
            red += *w * p[0];
            green += *w * p[1];
            blue += *w * p[2];
        }
        split(red, out0, out1);
        split(green, out0 + 1, out1 + 1);
        split(blue, out0 + 2, out1 + 2);
    }
}

/* pairs: room for one row of the inputs that the axis reads. The last row of an odd number is paired with
 * itself. */
static void pass_horizontal(const uint8_t *in, size_t stride, int rows, int channels, const axis *a,
                            int64_t *pairs, uint8_t *out, size_t out_stride) {
    size_t n = (size_t)(a->end - a->begin) * (size_t)channels;
    for (int y = 0; y < rows; y += 2) {
        size_t next = y + 1 < rows;
        const uint8_t *row0 = in + (size_t)y * stride, *row1 = row0 + next * stride;
        uint8_t *out0 = out + (size_t)y * out_stride, *out1 = out0 + next * out_stride;
        for (size_t i = 0; i < n; i++) pairs[i] = row0[i] + ((int64_t)row1[i] << 32);
        if (channels == 3) pairs_to_row3(pairs, a, out0, out1);
        else pairs_to_row(pairs, channels, a, out0, out1);
    }
}

/* ---- the passes for 16-bit samples: sums in double, rounded half away from zero */

static uint16_t to_sample(double sum) {
    sum = sum >= 0 ? floor(sum + 0.5) : -floor(-sum + 0.5);
    if (sum < 0) return 0;
    return (uint16_t)(sum > 65535 ? 65535 : sum);
}

/* One axis of n lines: line k reads samples in[k*line + (begin..)*step] and writes out[k*out_line +
 * i*out_step], all in samples. */
static void pass16(const uint16_t *in, size_t line, size_t step, size_t n, const axis *a, uint16_t *out,
                   size_t out_line, size_t out_step) {
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < a->count; i++) {
            const uint16_t *p = in + k * line + (size_t)(a->first[i] - a->begin) * step;
            const double *w = a->exact + (size_t)i * (size_t)a->most;
            double sum = 0;
            for (int j = 0; j < a->taps[i]; j++) sum += p[(size_t)j * step] * w[j];
            out[k * out_line + (size_t)i * out_step] = to_sample(sum);
        }
}

/* ---- both passes in order */

typedef struct job {
    const tc_view *in;
    const tc_part *part;
    size_t bytes; /* of a pixel */
    bool wide;    /* 16-bit samples */
    axis horizontal, vertical;
    bool need_horizontal, need_vertical, vertical_first;
    int64_t *pairs; /* for the horizontal pass over bytes */
    uint8_t *out;
    size_t out_stride;
} job;

/* An axis that keeps its size reads its own outputs only. */
static tc_status job_axis(job *r, axis *a, bool needed, int n_in, int64_t n_out, int64_t start, int count,
                          tc_error *err) {
    if (needed) return axis_init(a, n_in, n_out, start, count, r->wide, err);
    *a = (axis){.count = count, .begin = (int)start, .end = (int)start + count};
    return TC_OK;
}

static void run_horizontal(const job *r, const uint8_t *in, size_t stride, int rows, uint8_t *out,
                           size_t out_stride) {
    if (r->wide)
        pass16((const uint16_t *)(const void *)in, stride / 2, 1, (size_t)rows, &r->horizontal,
               (uint16_t *)(void *)out, out_stride / 2, 1);
    else pass_horizontal(in, stride, rows, (int)r->bytes, &r->horizontal, r->pairs, out, out_stride);
}

static void run_vertical(const job *r, const uint8_t *in, size_t stride, int columns, uint8_t *out,
                         size_t out_stride) {
    if (r->wide)
        pass16((const uint16_t *)(const void *)in, 1, stride / 2, (size_t)columns, &r->vertical,
               (uint16_t *)(void *)out, 1, out_stride / 2);
    else pass_vertical(in, stride, (size_t)columns * r->bytes, &r->vertical, out, out_stride);
}

/* Through a buffer between the passes that holds just what the second one reads. */
static tc_status run_both(const job *r, const uint8_t *in, tc_error *err) {
    int rows = r->vertical_first ? r->part->height : r->vertical.end - r->vertical.begin;
    int columns = r->vertical_first ? r->horizontal.end - r->horizontal.begin : r->part->width;
    size_t stride = (size_t)columns * r->bytes, size;
    uint8_t *between = tc_mul(stride, (size_t)rows, &size) ? malloc(size) : NULL;
    if (!between) return tc_fail_memory(err, size);
    if (r->vertical_first) {
        run_vertical(r, in, r->in->stride, columns, between, stride);
        run_horizontal(r, between, stride, rows, r->out, r->out_stride);
    } else {
        run_horizontal(r, in, r->in->stride, rows, between, stride);
        run_vertical(r, between, stride, columns, r->out, r->out_stride);
    }
    free(between);
    return TC_OK;
}

static tc_status run(job *r, tc_error *err) {
    const tc_view *in = r->in;
    const tc_part *p = r->part;
    r->need_horizontal = p->full_width != in->width;
    r->need_vertical = p->full_height != in->height;
    r->vertical_first =
        in->height > p->full_height && in->height - p->full_height > 2 * (in->width - p->full_width);
    tc_status status =
        job_axis(r, &r->horizontal, r->need_horizontal, in->width, p->full_width, p->x, p->width, err);
    if (status == TC_OK)
        status =
            job_axis(r, &r->vertical, r->need_vertical, in->height, p->full_height, p->y, p->height, err);
    size_t pairs =
        r->need_horizontal && !r->wide ? (size_t)(r->horizontal.end - r->horizontal.begin) * r->bytes : 0;
    if (status == TC_OK && pairs && !(r->pairs = tc_new(pairs, sizeof *r->pairs)))
        status = tc_fail_memory(err, pairs * sizeof *r->pairs);
    if (status != TC_OK) goto out;
    const uint8_t *start =
        in->pixels + (size_t)r->vertical.begin * in->stride + (size_t)r->horizontal.begin * r->bytes;
    if (r->need_horizontal && r->need_vertical) status = run_both(r, start, err);
    else if (r->need_horizontal) run_horizontal(r, start, in->stride, p->height, r->out, r->out_stride);
    else if (r->need_vertical) run_vertical(r, start, in->stride, p->width, r->out, r->out_stride);
    else
        for (int y = 0; y < p->height; y++)
            memcpy(r->out + (size_t)y * r->out_stride, start + (size_t)y * in->stride,
                   (size_t)p->width * r->bytes);
out:
    free(r->pairs);
    axis_free(&r->horizontal);
    axis_free(&r->vertical);
    return status;
}

tc_status tc_resize_part(const tc_view *in, int channels, const tc_part *part, uint8_t *out,
                         size_t out_stride, tc_error *err) {
    job r = {.in = in, .part = part, .bytes = (size_t)channels, .out = out, .out_stride = out_stride};
    return run(&r, err);
}

tc_status tc_resize_part16(const tc_view *in, const tc_part *part, uint8_t *out, size_t out_stride,
                           tc_error *err) {
    job r = {.in = in, .part = part, .bytes = 2, .wide = true, .out = out, .out_stride = out_stride};
    return run(&r, err);
}

tc_status tc_resize_bicubic(const uint8_t *in, int w, int h, int channels, int ow, int oh, uint8_t *out,
                            tc_error *err) {
    if (w <= 0 || h <= 0 || ow <= 0 || oh <= 0 || channels < 1 || channels > 4)
        return tc_fail(err, TC_EARG, "resize of %dx%dx%d to %dx%d makes no sense", w, h, channels, ow, oh);
    tc_view view = {in, (size_t)w * (size_t)channels, w, h};
    tc_part part = {.full_width = ow, .full_height = oh, .width = ow, .height = oh};
    return tc_resize_part(&view, channels, &part, out, (size_t)ow * (size_t)channels, err);
}

/* ---- nearest: the position is accumulated step by step, as the reference does, since rounding shows at the
 * ends */

static void nearest_indices(int n_in, int64_t n_out, int64_t start, int count, int *index) {
    double step = (double)n_in / (double)n_out, x = step * 0.5;
    for (int64_t k = 0; k < start; k++) x += step;
    for (int i = 0; i < count; i++, x += step) index[i] = x < n_in ? (int)x : -1;
}

tc_status tc_resize_part_nearest(const tc_view *in, const tc_part *p, uint8_t *out, size_t out_stride,
                                 tc_error *err) {
    size_t n = (size_t)p->width + (size_t)p->height;
    int *columns = tc_new(n, sizeof *columns), *rows = columns + p->width;
    if (!columns) return tc_fail_memory(err, n * sizeof *columns);
    nearest_indices(in->width, p->full_width, p->x, p->width, columns);
    nearest_indices(in->height, p->full_height, p->y, p->height, rows);
    for (int y = 0; y < p->height; y++, out += out_stride) {
        const uint8_t *row = in->pixels + (size_t)(rows[y] < 0 ? 0 : rows[y]) * in->stride;
        for (int x = 0; x < p->width; x++) out[x] = rows[y] < 0 || columns[x] < 0 ? 0 : row[columns[x]];
    }
    free(columns);
    return TC_OK;
}
