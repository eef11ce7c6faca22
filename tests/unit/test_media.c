/* test_media.c - the resize against its definition, the geometry of the crop, conversions, normalisation and
 * augmentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image_make.h"
#include "media/media.h"
#include "media/resize.h"
#include "scratch.h"

#include <math.h>

static void random_bytes(uint8_t *p, size_t n, uint64_t seed) {
    tc_rng r = tc_rng_make(seed, n, 1);
    bool extreme = seed % 2; /* black and white: the kernel overshoots */
    for (size_t i = 0; i < n; i++)
        p[i] = extreme ? (uint8_t)(tc_rng_next(&r) % 2 * 255) : (uint8_t)tc_rng_next(&r);
}

/* ---- the definition of the bicubic resize, one output at a time */

static double kernel(double x) {
    x = fabs(x);
    return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/* Output i of an axis n_in -> n_out over samples v[0], v[step], ... */
static uint8_t one_output(const uint8_t *v, size_t step, int n_in, int64_t n_out, int64_t i) {
    double scale = (double)n_in / (double)n_out, f = scale > 1 ? scale : 1,
           center = ((double)i + 0.5) * scale, sum = 0;
    int lo = (int)fmax(trunc(center - 2 * f + 0.5), 0), hi = (int)fmin(trunc(center + 2 * f + 0.5), n_in);
    int64_t total = 1 << 21;
    for (int j = lo; j < hi; j++) sum += kernel((j - center + 0.5) / f);
    for (int j = lo; j < hi; j++) {
        double w = kernel((j - center + 0.5) / f) / sum * (1 << 22);
        total += (int64_t)trunc(w + (w < 0 ? -0.5 : 0.5)) * v[(size_t)j * step];
    }
    total >>= 22;
    return (uint8_t)(total < 0 ? 0 : total > 255 ? 255 : total);
}

static uint8_t *define_horizontal(const uint8_t *in, int w, int h, int c, int ow) {
    uint8_t *out = malloc((size_t)(ow * h * c));
    assert_non_null(out);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < ow; x++)
            for (int k = 0; k < c; k++)
                out[(y * ow + x) * c + k] =
                    ow == w ? in[(y * w + x) * c + k] : one_output(in + y * w * c + k, (size_t)c, w, ow, x);
    return out;
}

static uint8_t *define_vertical(const uint8_t *in, int w, int h, int c, int oh) {
    uint8_t *out = malloc((size_t)(w * oh * c));
    assert_non_null(out);
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < w * c; x++)
            out[y * w * c + x] = oh == h ? in[y * w * c + x] : one_output(in + x, (size_t)(w * c), h, oh, y);
    return out;
}

static uint8_t *define_resize(const uint8_t *in, int w, int h, int c, int ow, int oh) {
    bool vertical_first = h > oh && h - oh > 2 * (w - ow);
    uint8_t *a = vertical_first ? define_vertical(in, w, h, c, oh) : define_horizontal(in, w, h, c, ow);
    uint8_t *b = vertical_first ? define_horizontal(a, w, oh, c, ow) : define_vertical(a, ow, h, c, oh);
    free(a);
    return b;
}

static void test_resize_definition(void **state) {
    (void)state;
    tc_rng r = tc_rng_make(11, 0, 0);
    int vertical_first = 0;
    for (int round = 0; round < 160; round++) {
        int c = 1 + round % 4, w = 1 + (int)tc_rng_below(&r, 70), h = 1 + (int)tc_rng_below(&r, 70);
        int ow = round % 7 == 0 ? w : 1 + (int)tc_rng_below(&r, 50),
            oh = round % 11 == 0 ? h : 1 + (int)tc_rng_below(&r, 50);
        size_t bytes = (size_t)(w * h * c), out_bytes = (size_t)(ow * oh * c);
        uint8_t *in = malloc(bytes), *out = malloc(out_bytes);
        random_bytes(in, bytes, (uint64_t)round);
        uint8_t *expected = define_resize(in, w, h, c, ow, oh);
        tc_error err;
        assert_int_equal(tc_resize_bicubic(in, w, h, c, ow, oh, out, &err), TC_OK);
        if (memcmp(out, expected, out_bytes) != 0)
            fail_msg("%dx%dx%d to %dx%d differs from the definition", w, h, c, ow, oh);
        vertical_first += h > oh && h - oh > 2 * (w - ow);
        free(in);
        free(out);
        free(expected);
    }
    assert_true(vertical_first > 20);
}

/* Any part is the same as in the whole, and nothing around it is written. */
static void test_resize_part(void **state) {
    (void)state;
    tc_rng r = tc_rng_make(12, 0, 0);
    for (int round = 0; round < 100; round++) {
        int c = 1 + round % 4, w = 1 + (int)tc_rng_below(&r, 60), h = 1 + (int)tc_rng_below(&r, 60);
        int ow = 1 + (int)tc_rng_below(&r, 40), oh = 1 + (int)tc_rng_below(&r, 40);
        tc_part p = {.full_width = ow, .full_height = oh};
        p.x = (int64_t)tc_rng_below(&r, (uint64_t)ow);
        p.y = (int64_t)tc_rng_below(&r, (uint64_t)oh);
        p.width = 1 + (int)tc_rng_below(&r, (uint64_t)(ow - p.x));
        p.height = 1 + (int)tc_rng_below(&r, (uint64_t)(oh - p.y));
        size_t bytes = (size_t)(w * h * c), row = (size_t)(p.width * c), stride = row + 5;
        uint8_t *in = malloc(bytes), *whole = malloc((size_t)(ow * oh * c)),
                *out = malloc(stride * (size_t)p.height);
        memset(out, 0xa5, stride * (size_t)p.height);
        random_bytes(in, bytes, (uint64_t)round);
        tc_view view = {in, (size_t)(w * c), w, h};
        tc_error err;
        assert_int_equal(tc_resize_bicubic(in, w, h, c, ow, oh, whole, &err), TC_OK);
        assert_int_equal(tc_resize_part(&view, c, &p, out, stride, &err), TC_OK);
        for (int y = 0; y < p.height; y++) {
            assert_memory_equal(out + (size_t)y * stride,
                                whole + ((size_t)(p.y + y) * (size_t)ow + (size_t)p.x) * (size_t)c, row);
            assert_memory_equal(out + (size_t)y * stride + row, "\xa5\xa5\xa5\xa5\xa5", 5);
        }
        free(in);
        free(whole);
        free(out);
    }
}

static void test_resize_arguments(void **state) {
    (void)state;
    uint8_t px[4] = {0};
    tc_error err;
    assert_int_equal(tc_resize_bicubic(px, 0, 1, 1, 1, 1, px, &err), TC_EARG);
    assert_int_equal(tc_resize_bicubic(px, 1, 1, 5, 1, 1, px, &err), TC_EARG);
    assert_int_equal(tc_resize_bicubic(px, 1, 1, 1, -1, 1, px, &err), TC_EARG);
    assert_non_null(strstr(err.message, "makes no sense"));
}

/* ---- crops: an image whose pixels tell where they were */

enum { MARK = 7 };

/* gray = 10 * y + x + MARK */
static void marked(uint8_t *px, int w, int h) {
    for (int i = 0; i < w * h; i++) px[i] = (uint8_t)(10 * (i / w) + i % w + MARK);
}

/* Crop of an unresized gray image: its pixel (0, 0) must be the image's (left, top). */
static void check_offset(tc_image_order order, int w, int h, int crop, int left, int top) {
    uint8_t px[100], out[12 * 12 * 3];
    tc_image im;
    tc_error err;
    marked(px, w, h);
    tc_preprocess p = tc_preprocess_default(crop);
    p.resize = 0;
    p.order = order;
    assert_int_equal(tc_image_from_gray(&im, px, w, h), TC_OK);
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), TC_OK);
    for (int y = 0; y < crop; y++)
        for (int x = 0; x < crop; x++) {
            int sx = x + left, sy = y + top;
            int want = sx >= 0 && sx < w && sy >= 0 && sy < h ? px[sy * w + sx] : 0;
            for (int c = 0; c < 3; c++) assert_int_equal(out[(y * crop + x) * 3 + c], want);
        }
}

static void test_crop_offsets(void **state) {
    (void)state;
    check_offset(TC_IMAGE_OPENCLIP, 8, 6, 4, 2, 1);
    check_offset(TC_IMAGE_OPENCLIP, 7, 5, 4, 2, 0); /* 1.5 and 0.5 go to even */
    check_offset(TC_IMAGE_OPENCLIP, 9, 9, 4, 2, 2); /* 2.5 too */
    check_offset(TC_IMAGE_HF, 8, 6, 4, 2, 1);
    check_offset(TC_IMAGE_HF, 7, 5, 4, 1, 0);
    check_offset(TC_IMAGE_HF, 9, 9, 4, 2, 2);
    check_offset(TC_IMAGE_OPENCLIP, 5, 8, 12, -3, -2); /* the smaller half of the padding first */
    check_offset(TC_IMAGE_HF, 5, 8, 12, -4, -2);       /* the larger half first */
    check_offset(TC_IMAGE_OPENCLIP, 10, 3, 6, 2, -1);
    check_offset(TC_IMAGE_HF, 10, 3, 6, 2, -2);
}

/* Padding is zero in the mode that is cropped: CMYK without ink is white. */
static void test_crop_padding(void **state) {
    (void)state;
    uint8_t ink[4] = {255, 255, 255, 0}, out[3 * 3 * 3];
    tc_image im = {.mode = TC_MODE_CMYK, .width = 1, .height = 1, .pixels = ink, .orientation = 1};
    tc_preprocess p = tc_preprocess_default(3);
    tc_error err;
    p.resize = 0;
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), TC_OK);
    for (int i = 0; i < 27; i++) assert_int_equal(out[i], i / 3 == 4 ? 0 : 255);
    p.order = TC_IMAGE_HF;
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), TC_OK);
    for (int i = 0; i < 27; i++) assert_int_equal(out[i], 0);
}

/* A shorter side that has its length is not resized; else the crop is the middle of the whole resize. */
static void test_resize_and_crop(void **state) {
    (void)state;
    uint8_t in[40 * 23 * 3], whole[34 * 20 * 3], out[16 * 16 * 3];
    tc_image im = {.mode = TC_MODE_RGB, .width = 40, .height = 23, .pixels = in, .orientation = 1};
    tc_preprocess p = tc_preprocess_default(16);
    tc_error err;
    random_bytes(in, sizeof in, 2);
    p.resize = 20; /* 20 * 40 / 23 = 34.78 */
    assert_int_equal(tc_resize_bicubic(in, 40, 23, 3, 34, 20, whole, &err), TC_OK);
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), TC_OK);
    for (int y = 0; y < 16; y++) assert_memory_equal(out + y * 48, whole + ((y + 2) * 34 + 9) * 3, 48);
    p.resize = 23;
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), TC_OK);
    for (int y = 0; y < 16; y++) assert_memory_equal(out + y * 48, in + ((y + 4) * 40 + 12) * 3, 48);
}

/* ---- modes */

static void test_nearest(void **state) {
    (void)state;
    uint8_t in[5] = {10, 20, 30, 40, 50}, out[7 * 3];
    tc_image im = {.mode = TC_MODE_P, .width = 5, .height = 1, .pixels = in, .orientation = 1};
    tc_error err;
    assert_int_equal(tc_image_resize(&im, 7, 3, out, &err), TC_OK);
    assert_memory_equal(out, "\x0a\x14\x14\x1e\x28\x28\x32", 7); /* floor((i + 1/2) * 5/7) = 0 1 1 2 3 3 4 */
    assert_memory_equal(out + 14, out, 7);
    assert_int_equal(tc_image_resize(&im, 2, 1, out, &err), TC_OK);
    assert_memory_equal(out, "\x14\x28", 2);
}

/* Under no alpha the colour of a pixel counts for nothing, neither in LA nor in RGBA. */
static void test_alpha(void **state) {
    (void)state;
    uint8_t rgba[4 * 4] = {200, 100, 50, 255, 200, 100, 50, 255, 1, 2, 3, 0, 7, 8, 9, 0},
                     la[4 * 2] = {200, 255, 200, 255, 1, 0, 7, 0}, out[2 * 4];
    tc_image im = {.mode = TC_MODE_RGBA, .width = 4, .height = 1, .pixels = rgba, .orientation = 1};
    tc_error err;
    assert_int_equal(tc_image_resize(&im, 2, 1, out, &err), TC_OK);
    assert_true(out[3] > 220 && out[3] < 255 && out[7] < 40);
    /* one division by alpha, truncated */
    for (int c = 0; c < 3; c++) assert_true(abs(out[c] - rgba[c]) <= 1);
    im.mode = TC_MODE_LA;
    im.pixels = la;
    assert_int_equal(tc_image_resize(&im, 2, 1, out, &err), TC_OK);
    assert_true(abs(out[0] - 200) <= 1 && out[1] > 220 && out[1] < 255);
}

/* 16-bit gray is resized with 16 bits and clipped afterwards. */
static void test_gray16(void **state) {
    (void)state;
    uint16_t in[4] = {0, 0, 60000, 60000}, out[8];
    uint8_t rgb[8 * 3];
    tc_image im = {.mode = TC_MODE_I16, .width = 4, .height = 1, .pixels = (uint8_t *)in, .orientation = 1};
    tc_error err;
    assert_int_equal(tc_image_resize(&im, 2, 1, (uint8_t *)out, &err), TC_OK);
    assert_int_equal(out[0] + out[1], 60000);
    /* 60000 (k(3/4) + k(5/4)) / (2 k(1/4) + k(3/4) + k(5/4)) = 60000 * 10 / 121 */
    assert_int_equal(out[0], 4959);
    assert_int_equal(tc_image_resize(&im, 8, 1, (uint8_t *)out, &err), TC_OK);
    assert_int_equal(out[0], 0); /* the undershoot is clipped */
    assert_true(out[5] > 60000 && out[7] == 60000);
    im.width = 8;
    im.pixels = (uint8_t *)out;
    memcpy(out, (uint16_t[]){0, 1, 254, 255, 256, 257, 65280, 65535}, sizeof out);
    tc_image_to_rgb(&im, false, rgb);
    for (int i = 0; i < 8; i++) assert_int_equal(rgb[3 * i], out[i] > 255 ? 255 : out[i]);
}

static void test_cmyk(void **state) {
    (void)state;
    uint8_t rgb[3];
    for (int k = 0; k < 256; k += 5)
        for (int ink = 0; ink < 256; ink += 3) {
            uint8_t px[4] = {(uint8_t)ink, 0, 255, (uint8_t)k};
            tc_image im = {.mode = TC_MODE_CMYK, .width = 1, .height = 1, .pixels = px, .orientation = 1};
            tc_image_to_rgb(&im, false, rgb);
            int light = 255 - k;
            assert_int_equal(rgb[0], light - (int)rint(ink * light / 255.0)); /* no ties: 255 is odd */
            assert_int_equal(rgb[1], light);
            assert_int_equal(rgb[2], 0);
        }
}

/* ---- normalisation, settings */

static void test_normalise(void **state) {
    (void)state;
    uint8_t px[256];
    float values[3 * 256];
    tc_image im;
    tc_error err;
    for (int i = 0; i < 256; i++) px[i] = (uint8_t)i;
    tc_preprocess p = tc_preprocess_default(16);
    p.resize = 0;
    p.rescale = 0.5f;
    assert_int_equal(tc_image_from_gray(&im, px, 16, 16), TC_OK);
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, values, NULL, &err), TC_OK);
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            double want = (0.5 * v - p.mean[c]) / p.std[c];
            assert_true(fabs(values[c * 256 + v] - want) <= fabs(want) * 0x1p-23);
        }
    tc_image_free(&im);
    assert_int_equal(px[255], 255); /* borrowed: still there */
}

static void test_settings(void **state) {
    (void)state;
    uint8_t px[1] = {0}, out[3];
    tc_image im;
    tc_error err;
    assert_int_equal(tc_image_from_gray(&im, px, 0, 1), TC_EARG);
    assert_int_equal(tc_image_from_gray(&im, NULL, 1, 1), TC_EARG);
    assert_int_equal(tc_image_from_gray(&im, px, 1, 1), TC_OK);
    for (int kind = 0; kind < 7; kind++) {
        tc_preprocess p = tc_preprocess_default(1);
        if (kind == 1) p.crop = 0;
        if (kind == 2) p.crop = 1 << 20;
        if (kind == 3) p.resize = -1;
        if (kind == 4) p.std[1] = 0;
        if (kind == 5) p.mean[2] = NAN;
        if (kind == 6) p.rescale = INFINITY;
        assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, out, &err), kind ? TC_EARG : TC_OK);
        if (kind) assert_true(tc_starts_with(err.message, "preprocessing: "));
    }
}

static void test_files(void **state) {
    (void)state;
    uint8_t out[2 * 2 * 3], px[4] = {9, 8, 7, 6};
    tc_error err;
    tc_preprocess p = tc_preprocess_default(2);
    char *dir = scratch_dir();
    tc_buf b = {0};
    png_file(&b, px, 2, 2, 8, 0, 0, NULL);
    const char *good = scratch_file(dir, "good.jpg", b.data, b.size),
               *bad = scratch_file(dir, "bad.png", "text", 4);
    assert_int_equal(tc_preprocess_file(&p, good, NULL, out, &err), TC_OK);
    for (int i = 0; i < 12; i++) assert_int_equal(out[i], px[i / 3]);
    assert_int_equal(tc_preprocess_file(&p, bad, NULL, out, &err), TC_EFORMAT);
    assert_true(tc_starts_with(err.message, bad));
    assert_int_equal(tc_preprocess_file(&p, dir, NULL, out, &err), TC_EIO);
    assert_int_equal(tc_preprocess_file(&p, "no/such.jpg", NULL, out, &err), TC_EIO);
    assert_non_null(strstr(err.message, "no/such.jpg"));
    tc_buf_free(&b);
    scratch_remove(dir);
}

/* ---- augmentation */

enum { SIDE = 24, PICTURE = 120 };

/* red = 2 x, green = 2 y: the crop tells its box. */
static void ramp(uint8_t *px) {
    for (int i = 0; i < PICTURE * PICTURE; i++) {
        px[3 * i] = (uint8_t)(2 * (i % PICTURE));
        px[3 * i + 1] = (uint8_t)(2 * (i / PICTURE));
        px[3 * i + 2] = 0;
    }
}

static void augment_once(const tc_image *im, uint64_t seed, double scale_min, bool flip, uint8_t *out) {
    tc_preprocess p = tc_preprocess_default(SIDE);
    tc_augment a = {seed, scale_min, flip};
    tc_error err;
    assert_int_equal(tc_preprocess_image(&p, im, &a, NULL, out, &err), TC_OK);
}

static void test_augment_boxes(void **state) {
    (void)state;
    static uint8_t px[PICTURE * PICTURE * 3], out[SIDE * SIDE * 3], again[SIDE * SIDE * 3];
    tc_image im = {.mode = TC_MODE_RGB, .width = PICTURE, .height = PICTURE, .pixels = px, .orientation = 1};
    double smallest = 2, largest = 0, flattest = 9, steepest = 0;
    int flips = 0;
    ramp(px);
    for (uint64_t seed = 0; seed < 600; seed++) {
        augment_once(&im, seed, 0.25, true, out);
        augment_once(&im, seed, 0.25, true, again);
        assert_memory_equal(out, again, sizeof out);
        const uint8_t *row = out + (SIDE / 2) * SIDE * 3, *column = out + (SIDE / 2) * 3;
        /* away from the borders a ramp stays a ramp: from output 4 to 19 it rises by 2 * 15/24 of the side */
        int across = row[3 * 19] - row[3 * 4], down = column[3 * SIDE * 19 + 1] - column[3 * SIDE * 4 + 1];
        flips += across < 0;
        double width = abs(across) * 24 / 30.0, height = down * 24 / 30.0,
               area = width * height / (PICTURE * PICTURE), aspect = width / height;
        smallest = fmin(smallest, area);
        largest = fmax(largest, area);
        flattest = fmin(flattest, aspect);
        steepest = fmax(steepest, aspect);
    }
    /* one level more or less at each end is 1.6 pixels a side: 3 % of the smallest side of 52 */
    assert_true(smallest > 0.25 * 0.93 && smallest < 0.3 && largest > 0.9 && largest < 1.06);
    assert_true(flattest > 0.75 * 0.93 && flattest < 0.8 && steepest > 1.25 && steepest < 4 / 3.0 * 1.07);
    assert_true(flips > 300 - 62 && flips < 300 + 62); /* five standard deviations */
}

static void test_augment_plain(void **state) {
    (void)state;
    static uint8_t px[PICTURE * PICTURE * 3], plain[SIDE * SIDE * 3], out[SIDE * SIDE * 3];
    tc_image im = {.mode = TC_MODE_RGB, .width = PICTURE, .height = PICTURE, .pixels = px, .orientation = 1};
    tc_preprocess p = tc_preprocess_default(SIDE);
    tc_error err;
    int flips = 0;
    random_bytes(px, sizeof px, 3);
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, plain, &err), TC_OK);
    augment_once(&im, 1, 1, false, out);
    assert_memory_equal(out, plain, sizeof out);
    for (uint64_t seed = 0; seed < 20; seed++) {
        augment_once(&im, seed, 1, true, out);
        bool flipped = memcmp(out, plain, sizeof out) != 0;
        flips += flipped;
        for (int i = 0; flipped && i < SIDE * SIDE; i++)
            assert_memory_equal(out + 3 * i, plain + 3 * (i / SIDE * SIDE + SIDE - 1 - i % SIDE), 3);
    }
    assert_true(flips > 0 && flips < 20);
}

/* A strip in which no box fits: the largest centred one is taken. */
static void test_augment_strip(void **state) {
    (void)state;
    static uint8_t px[PICTURE * 3], out[SIDE * SIDE * 3];
    tc_image im;
    for (int i = 0; i < PICTURE * 3; i++) px[i] = (uint8_t)(2 * (i % PICTURE));
    assert_int_equal(tc_image_from_gray(&im, px, PICTURE, 3), TC_OK);
    augment_once(&im, 5, 0.9, false, out);
    for (int i = 0; i < SIDE * SIDE; i++) assert_in_range(out[3 * i], 2 * 58, 2 * 61); /* columns 58 to 61 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_definition),
        cmocka_unit_test(test_resize_part),
        cmocka_unit_test(test_resize_arguments),
        cmocka_unit_test(test_crop_offsets),
        cmocka_unit_test(test_crop_padding),
        cmocka_unit_test(test_resize_and_crop),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_gray16),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_augment_boxes),
        cmocka_unit_test(test_augment_plain),
        cmocka_unit_test(test_augment_strip),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
