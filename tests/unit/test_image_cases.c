/* test_image_cases.c - hostile, damaged and unusual image files: each ends in the right pixels or in one
 * error that names the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image_make.h"
#include "media/media.h"

#include <dirent.h>

static const char goldens[] = "tests/data/goldens/preprocess/images";

/* Decodes a copy of exactly that size, so that a sanitizer sees any read past its end. */
static tc_status decode(tc_image *im, const void *bytes, size_t size, tc_error *err) {
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size) memcpy(copy, bytes, size);
    *err = (tc_error){.status = TC_OK};
    tc_status status = tc_image_decode(im, copy, size, "x.img", 0, err);
    free(copy);
    if (status != TC_OK) {
        assert_int_equal(err->status, status);
        assert_null(im->pixels);
        if (!tc_starts_with(err->message, "x.img: ")) fail_msg("message without the name: %s", err->message);
    }
    return status;
}

static void refused(const char *what, const void *bytes, size_t size, tc_status expected,
                    const char *message) {
    tc_image im;
    tc_error err;
    tc_status status = decode(&im, bytes, size, &err);
    if (status != expected) fail_msg("%s: status %d (%s), expected %d", what, status, err.message, expected);
    if (!strstr(err.message, message)) fail_msg("%s: '%s' does not say '%s'", what, err.message, message);
}

/* The same for a buffer, which is freed. */
static void refused_buf(const char *what, tc_buf *b, tc_status expected, const char *message) {
    refused(what, b->data, b->size, expected, message);
    tc_buf_free(b);
}

/* The caller frees the image. */
static tc_image accepted(const char *what, const tc_buf *b) {
    tc_image im;
    tc_error err;
    if (decode(&im, b->data, b->size, &err) != TC_OK) fail_msg("%s: %s", what, err.message);
    return im;
}

static tc_image accepted_buf(const char *what, tc_buf *b) {
    tc_image im = accepted(what, b);
    tc_buf_free(b);
    return im;
}

/* Soft gradients: what JPEG keeps within a few levels. */
static uint8_t *gradient(int width, int height, int channels) {
    uint8_t *p = tc_new((size_t)width * (size_t)height, (size_t)channels), *q = p;
    assert_non_null(p);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *q++ =
                    (uint8_t)(40 + 100 * (c == 1 ? height - 1 - y : x) / (c == 1 ? height : width) + 20 * c);
    return p;
}

static tc_buf gray_jpeg(int width, int height, bool progressive) {
    tc_buf b = {0};
    uint8_t *pixels = gradient(width, height, 1);
    jpeg_kind k = {.width = width,
                   .height = height,
                   .from = JCS_GRAYSCALE,
                   .to = JCS_GRAYSCALE,
                   .components = 1,
                   .progressive = progressive};
    jpeg_file(&b, &k, pixels);
    free(pixels);
    return b;
}

static tc_buf rgb_jpeg(int h, int v, int width, int height) {
    tc_buf b = {0};
    uint8_t *pixels = gradient(width, height, 3);
    jpeg_kind k = {
        .width = width, .height = height, .from = JCS_RGB, .to = JCS_YCbCr, .components = 3, .h = h, .v = v};
    jpeg_file(&b, &k, pixels);
    free(pixels);
    return b;
}

static tc_buf gray_png(int width, int height) {
    tc_buf b = {0};
    uint8_t *pixels = gradient(width, height, 1);
    png_file(&b, pixels, (size_t)width, (size_t)height, 8, 0, 0, NULL);
    free(pixels);
    return b;
}

static void set_bytes(tc_buf *b, size_t at, const uint8_t *bytes, size_t n) {
    assert_true(at + n <= b->size);
    memcpy(b->data + at, bytes, n);
}

/* ---- sizes */

static void test_huge_headers(void **state) {
    (void)state;
    static const uint8_t most[4] = {0xff, 0xff, 0xff, 0xff};
    tc_buf b = gray_jpeg(16, 16, false);
    set_bytes(&b, jpeg_find(&b, 0xc0, 0) + 5, most, 4);
    refused_buf("JPEG 65535x65535", &b, TC_ENOMEM, "Maximum supported image dimension");
    b = gray_jpeg(16, 16, false);
    set_bytes(&b, jpeg_find(&b, 0xc0, 0) + 5, (const uint8_t[]){0xff, 0, 0xff, 0}, 4);
    refused_buf("JPEG 65280x65280", &b, TC_ENOMEM, "65280x65280 pixels, more than the limit");
    png_start(&b, 65535, 65535, 8, 2, 0);
    png_finish(&b, "", 0);
    refused_buf("PNG 65535x65535", &b, TC_ENOMEM, "65535x65535 pixels, more than the limit");
    png_start(&b, UINT32_C(1) << 31, 1, 8, 0, 0);
    png_finish(&b, "", 0);
    refused_buf("PNG 2^31", &b, TC_ENOMEM, "2147483648x1 pixels");
    png_start(&b, 0x7fffffff, 0x7fffffff, 16, 6, 0);
    png_finish(&b, "", 0);
    refused_buf("PNG (2^31-1)^2", &b, TC_ENOMEM, "more than the limit");
    gif_file(&b, &(gif_kind){65535, 65535, 0, 0, 1, 1, -1, false},
             (const uint8_t *)"\0\0\0\1\2\3\4\5\6\7\7\7", (const uint8_t *)"\1");
    refused_buf("GIF 65535x65535", &b, TC_ENOMEM, "more than the limit");
    bmp_file(&b, 0x7fffffff, 0x7fffffff, 24, 0, 0, "", 0, "", 0);
    refused_buf("BMP (2^31-1)^2", &b, TC_ENOMEM, "more than the limit");
    tc_buf none = {0};
    webp_extended(&b, 0, 1 << 24, 255, &none);
    refused_buf("WebP canvas 2^24", &b, TC_ENOMEM, "16777216x255 pixels");
}

static void test_empty_sides(void **state) {
    (void)state;
    static const uint8_t zero[4] = {0};
    tc_buf b = gray_jpeg(16, 16, false);
    set_bytes(&b, jpeg_find(&b, 0xc0, 0) + 5, zero, 2);
    refused_buf("JPEG of height 0", &b, TC_EFORMAT, "bad JPEG data");
    png_start(&b, 5, 0, 8, 2, 0);
    png_finish(&b, "", 0);
    refused_buf("PNG of height 0", &b, TC_EFORMAT, "5x0 pixels");
    gif_file(&b, &(gif_kind){4, 4, 0, 0, 0, 3, -1, false}, (const uint8_t *)"\0\0\0\1\2\3\4\5\6\7\7\7",
             (const uint8_t *)"");
    refused_buf("GIF frame of width 0", &b, TC_EFORMAT, "0x3 pixels");
    bmp_file(&b, 0, 3, 24, 0, 0, "", 0, "", 0);
    refused_buf("BMP of width 0", &b, TC_EFORMAT, "0x3 pixels");
}

static void test_limits(void **state) {
    (void)state;
    tc_error err;
    tc_image im;
    tc_buf b = gray_png(10, 10);
    assert_int_equal(tc_image_decode(&im, b.data, b.size, "x", 99, &err), TC_ENOMEM);
    assert_string_equal(err.message, "x: 10x10 pixels, more than the limit of 99 pixels");
    assert_int_equal(tc_image_decode(&im, b.data, b.size, "x", 100, &err), TC_OK);
    tc_image_free(&im);
    tc_buf_free(&b);
    size_t size = ((size_t)64 << 20) + 1;
    char *big = tc_new(size, 1);
    assert_non_null(big);
    memcpy(big, "\xff\xd8\xff", 3);
    assert_int_equal(tc_image_decode(&im, big, size, "big.jpg", 0, &err), TC_ENOMEM);
    assert_non_null(strstr(err.message, "67108865 bytes"));
    free(big);
}

static void test_thin_images(void **state) {
    (void)state;
    static uint8_t crop[224 * 224 * 3];
    tc_preprocess p = tc_preprocess_default(224);
    tc_error err;
    for (int kind = 0; kind < 4; kind++) {
        size_t w = kind % 2 ? 1 : 30000, h = kind % 2 ? 30000 : 1;
        uint8_t *pixels = tc_new(w * h, 1);
        tc_buf b = {0}, palette = {0};
        png_chunk(&palette, "PLTE", "\1\2\3\x64\x65\x66", 6);
        for (size_t i = 0; i < w * h; i++) pixels[i] = kind < 2 ? 77 : 1;
        png_file(&b, pixels, w, h, 8, kind < 2 ? 0 : 3, 0, kind < 2 ? NULL : &palette);
        for (int order = TC_IMAGE_OPENCLIP; order <= TC_IMAGE_HF; order++) {
            p.order = (tc_image_order)order;
            assert_int_equal(tc_preprocess_bytes(&p, b.data, b.size, "thin", NULL, crop, &err), TC_OK);
            assert_int_equal(crop[0], kind < 2 ? 77 : 100);
            assert_int_equal(crop[sizeof crop - 1], kind < 2 ? 77 : 102);
        }
        free(pixels);
        tc_buf_free(&b);
        tc_buf_free(&palette);
    }
    p.resize = 16384; /* 16384 * 200000 does not fit an int */
    uint8_t *row = tc_new(200000, 1);
    tc_image im;
    assert_int_equal(tc_image_from_gray(&im, row, 200000, 1), TC_OK);
    assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, crop, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "200000x1 pixels is too elongated"));
    free(row);
}

/* ---- anything */

static void test_no_image(void **state) {
    (void)state;
    refused("nothing", "", 0, TC_EFORMAT, "empty");
    static const char html[] = "<!DOCTYPE html><html><body>404</body></html>";
    refused("HTML named .jpg", html, sizeof html - 1, TC_EFORMAT,
            "a web page, not a JPEG, PNG, WebP, GIF or BMP image");
    for (size_t n = 1; n <= 12; n++)
        refused("JPEG start", "\xff\xd8\xff\xe0\0\x10JFIF\0\1", n, TC_EFORMAT,
                n < 3 ? "begins" : "too early");
    for (size_t n = 1; n <= 8; n++)
        refused("PNG start", "\x89PNG\r\n\x1a\n", n, TC_EFORMAT, n < 8 ? "begins" : "IEND");
    for (size_t n = 6; n <= 10; n++) refused("GIF start", "GIF89a\1\0\1\0", n, TC_EFORMAT, "GIF data");
    for (size_t n = 2; n <= 16; n++)
        refused("BMP start", "BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0", n, TC_EFORMAT, "too early");
    for (size_t n = 12; n <= 16; n++)
        refused("WebP start", "RIFF\4\0\0\0WEBPVP8 ", n, TC_EFORMAT, "WebP data");
}

typedef struct file {
    char name[256];
    char *data;
    size_t size;
    tc_image im;
} file;

/* Calls `check` with every image of the goldens. Returns how many there were. */
static int each_golden(void (*check)(const file *f)) {
    DIR *dir = opendir(goldens);
    int count = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        file f;
        tc_error err;
        if (e->d_name[0] == '.') continue;
        snprintf(f.name, sizeof f.name, "%s", e->d_name);
        char *path = tc_path_join(goldens, e->d_name);
        assert_int_equal(tc_file_read(path, (size_t)1 << 26, &f.data, &f.size, &err), TC_OK);
        assert_int_equal(decode(&f.im, f.data, f.size, &err), TC_OK);
        check(&f);
        tc_image_free(&f.im);
        free(f.data);
        free(path);
        count++;
    }
    closedir(dir);
    return count;
}

static size_t image_bytes(const tc_image *im) {
    static const size_t bytes[] = {1, 1, 2, 1, 3, 4, 4, 2};
    return (size_t)im->width * (size_t)im->height * bytes[im->mode];
}

/* A shortened file is refused, unless all that its picture needs is still there: then the pixels are the
 * same. */
static void check_truncated(const file *f) {
    int refusals = 0;
    for (size_t percent = 0; percent < 100; percent++) {
        tc_image im;
        tc_error err;
        if (decode(&im, f->data, f->size * percent / 100, &err) != TC_OK) {
            refusals++;
            continue;
        }
        if (image_bytes(&im) != image_bytes(&f->im) || memcmp(im.pixels, f->im.pixels, image_bytes(&im)) != 0)
            fail_msg("%s cut to %zu %% gives other pixels", f->name, percent);
        tc_image_free(&im);
    }
    bool animation = strstr(f->name, "anim");
    if (refusals < (animation ? 20 : 99)) fail_msg("%s: only %d of 100 cuts were refused", f->name, refusals);
}

static void test_truncated(void **state) {
    (void)state;
    assert_true(each_golden(check_truncated) > 30);
}

/* Flipped bits anywhere: no more is asked than an answer without undefined behaviour. */
static void check_flipped(const file *f) {
    tc_rng r = tc_rng_make(7, f->size, 0);
    char *copy = malloc(f->size);
    assert_non_null(copy);
    for (int round = 0; round < 24; round++) {
        tc_image im;
        tc_error err;
        memcpy(copy, f->data, f->size);
        /* every other time in the headers */
        size_t range = round % 2 ? f->size : f->size < 200 ? f->size : 200;
        for (int flips = 0; flips < 1 + round % 5; flips++)
            copy[tc_rng_below(&r, range)] ^= (char)(1 << tc_rng_below(&r, 8));
        if (decode(&im, copy, f->size, &err) != TC_OK) continue;
        uint8_t crop[16 * 16 * 3];
        tc_preprocess p = tc_preprocess_default(16);
        assert_int_equal(tc_preprocess_image(&p, &im, NULL, NULL, crop, &err), TC_OK);
        tc_image_free(&im);
    }
    free(copy);
}

static void test_flipped(void **state) {
    (void)state;
    assert_true(each_golden(check_flipped) > 30);
}

/* ---- JPEG */

static void test_jpeg_missing_parts(void **state) {
    (void)state;
    tc_buf b = gray_jpeg(40, 30, false);
    b.size -= 2;
    refused_buf("no EOI", &b, TC_EFORMAT, "the JPEG data ends too early");
    b = gray_jpeg(40, 30, false);
    assert_int_equal(jpeg_remove(&b, 0xc4), 2);
    refused_buf("no DHT", &b, TC_EFORMAT, "Huffman table is missing");
    b = gray_jpeg(40, 30, true);
    assert_true(jpeg_remove(&b, 0xc4) > 2);
    refused_buf("no DHT, progressive", &b, TC_EFORMAT, "bad JPEG data");
    b = gray_jpeg(40, 30, false);
    assert_int_equal(jpeg_remove(&b, 0xdb), 1);
    refused_buf("no DQT", &b, TC_EFORMAT, "bad JPEG data");
    b = gray_jpeg(40, 30, false);
    assert_int_equal(jpeg_remove(&b, 0xc0), 1);
    refused_buf("no SOF", &b, TC_EFORMAT, "bad JPEG data");
    b = gray_jpeg(40, 30, false);
    set_bytes(&b, jpeg_find(&b, 0xda, 0) + 14, (const uint8_t[]){0xff, 0xd9}, 2);
    refused_buf("EOI in the middle", &b, TC_EFORMAT, "bad JPEG data");
}

static void test_jpeg_harmless(void **state) {
    (void)state;
    tc_buf b = gray_jpeg(40, 30, false);
    tc_image whole = accepted("plain", &b);
    tc_buf_add(&b, "trailing garbage \xff\xd8\xff\xff", 20);
    tc_image more = accepted("bytes behind the end", &b);
    assert_memory_equal(whole.pixels, more.pixels, 40 * 30);
    tc_image_free(&more);
    tc_buf_free(&b);
    b = gray_jpeg(40, 30, false);
    size_t at = jpeg_find(&b, 0xdb, 0);
    tc_buf junk = {0};
    tc_buf_add(&junk, b.data, at);
    tc_buf_add(&junk, "junk", 4);
    tc_buf_add(&junk, b.data + at, b.size - at);
    more = accepted_buf("junk between markers", &junk);
    assert_memory_equal(whole.pixels, more.pixels, 40 * 30);
    tc_image_free(&more);
    tc_image_free(&whole);
    tc_buf_free(&b);
}

/* An RGB file whose components have a scan each; the last scan is repeated until there are `scans`. */
static tc_buf many_scans(int scans) {
    tc_buf b = {0};
    uint8_t *pixels = gradient(8, 8, 3);
    jpeg_kind k = {
        .width = 8, .height = 8, .from = JCS_RGB, .to = JCS_YCbCr, .components = 3, .separate_scans = true};
    jpeg_file(&b, &k, pixels);
    free(pixels);
    size_t at = jpeg_find(&b, 0xda, 2), end = b.size - 2;
    assert_true(at < end);
    char scan[256];
    size_t n = end - at;
    assert_true(n <= sizeof scan);
    memcpy(scan, b.data + at, n);
    b.size = end;
    for (int i = 3; i < scans; i++) tc_buf_add(&b, scan, n);
    tc_buf_add(&b, "\xff\xd9", 2);
    return b;
}

static void test_jpeg_scans(void **state) {
    (void)state;
    tc_buf b = many_scans(3), c = many_scans(1000);
    tc_image few = accepted_buf("3 scans", &b), most = accepted_buf("1000 scans", &c);
    assert_memory_equal(few.pixels, most.pixels, 8 * 8 * 3);
    tc_image_free(&few);
    tc_image_free(&most);
    b = many_scans(1001);
    refused_buf("1001 scans", &b, TC_EFORMAT, "more than 1000 scans");
    b = many_scans(80000);
    refused_buf("80000 scans", &b, TC_EFORMAT, "more than 1000 scans");
}

static void near(const char *what, const tc_image *im, const uint8_t *expected, size_t n, int tolerance) {
    int worst = 0;
    for (size_t i = 0; i < n; i++) {
        int d = abs(im->pixels[i] - expected[i]);
        if (d > worst) worst = d;
    }
    if (worst > tolerance) fail_msg("%s: %d levels off", what, worst);
}

/* Sampling that divides evenly is decoded at any ratio; the gradients are soft enough for 6 levels at quality
 * 95, which the subsampled chroma and the rounding of two colour conversions take. */
static void test_jpeg_sampling(void **state) {
    (void)state;
    for (int h = 1; h <= 4; h++)
        for (int v = 1; v <= 4; v++) {
            if (h * v + 2 > 10) continue; /* more blocks in an MCU than the format allows */
            char what[48];
            snprintf(what, sizeof what, "sampling %dx%d", h, v);
            tc_buf b = rgb_jpeg(h, v, 61, 47);
            uint8_t *pixels = gradient(61, 47, 3);
            tc_image im = accepted_buf(what, &b);
            assert_int_equal(im.mode, TC_MODE_RGB);
            assert_true(im.width == 61 && im.height == 47);
            near(what, &im, pixels, 61 * 47 * 3, 6);
            tc_image_free(&im);
            free(pixels);
        }
    tc_buf b = rgb_jpeg(3, 1, 32, 32);
    size_t at = jpeg_find(&b, 0xc0, 0);
    set_bytes(&b, at + 14, (const uint8_t[]){0x21}, 1); /* chroma 2 of 3: no whole ratio */
    refused_buf("sampling 3:2", &b, TC_EUNSUPPORTED, "bad JPEG data");
    b = rgb_jpeg(1, 1, 32, 32);
    set_bytes(&b, jpeg_find(&b, 0xc0, 0) + 11, (const uint8_t[]){0x01}, 1);
    refused_buf("sampling 0x1", &b, TC_EFORMAT, "bad JPEG data");
}

static void test_jpeg_cmyk(void **state) {
    (void)state;
    static const struct {
        const char *what;
        J_COLOR_SPACE to;
        bool no_adobe;
    } kinds[] = {{"CMYK with Adobe's marker", JCS_CMYK, false},
                 {"CMYK without", JCS_CMYK, true},
                 {"YCCK", JCS_YCCK, false}};
    uint8_t *pixels = gradient(32, 24, 4), inverted[32 * 24 * 4];
    for (size_t i = 0; i < sizeof inverted; i++) inverted[i] = (uint8_t)(255 - pixels[i]);
    for (int i = 0; i < 3; i++) {
        tc_buf b = {0};
        jpeg_kind k = {.width = 32,
                       .height = 24,
                       .from = JCS_CMYK,
                       .to = kinds[i].to,
                       .components = 4,
                       .no_adobe = kinds[i].no_adobe};
        jpeg_file(&b, &k, pixels);
        tc_image im = accepted_buf(kinds[i].what, &b);
        assert_int_equal(im.mode, TC_MODE_CMYK);
        near(kinds[i].what, &im, inverted, sizeof inverted, 6);
        tc_image_free(&im);
    }
    free(pixels);
}

static void test_jpeg_unsupported(void **state) {
    (void)state;
    tc_buf b = gray_jpeg(16, 16, false);
    set_bytes(&b, jpeg_find(&b, 0xc0, 0) + 4, (const uint8_t[]){12}, 1);
    refused_buf("12 bits", &b, TC_EUNSUPPORTED, "precision");
    uint8_t *pixels = gradient(16, 16, 1);
    jpeg_kind k = {.width = 16,
                   .height = 16,
                   .from = JCS_GRAYSCALE,
                   .to = JCS_GRAYSCALE,
                   .components = 1,
                   .arithmetic = true};
    jpeg_file(&b, &k, pixels);
    refused_buf("arithmetic coding", &b, TC_EUNSUPPORTED, "arithmetic coding is not supported");
    free(pixels);
    b = gray_jpeg(16, 16, false);
    b.data[jpeg_find(&b, 0xc0, 0) + 1] = (char)0xc3;
    refused_buf("lossless", &b, TC_EUNSUPPORTED, "bad JPEG data");
    tc_buf two = {0};
    pixels = gradient(16, 16, 2);
    k = (jpeg_kind){.width = 16, .height = 16, .from = JCS_UNKNOWN, .to = JCS_UNKNOWN, .components = 2};
    jpeg_file(&two, &k, pixels);
    refused_buf("two components", &two, TC_EUNSUPPORTED, "1, 3 or 4 components expected");
    free(pixels);
}

/* ---- orientation: the same picture stored in eight ways */

/* Pixel (x, y) of the 3x2 picture that camera `orientation` stored. */
static void stored_picture(int orientation, uint8_t *px, int *w, int *h) {
    static const uint8_t upright[2][3] = {{10, 20, 30}, {40, 50, 60}};
    bool turned = orientation >= 5;
    *w = turned ? 2 : 3;
    *h = turned ? 3 : 2;
    for (int y = 0; y < *h; y++)
        for (int x = 0; x < *w; x++) {
            int c = turned ? y : x, r = turned ? x : y; /* column and row of the upright picture */
            if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) c = 2 - c;
            if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) r = 1 - r;
            px[y * *w + x] = upright[r][c];
        }
}

static void test_orientation(void **state) {
    (void)state;
    static const uint8_t expected[] = {10, 20, 30, 40, 50, 60};
    for (int orientation = 1; orientation <= 8; orientation++) {
        uint8_t stored[6], crop[3 * 3 * 3];
        int w, h;
        tc_error err;
        tc_buf b = {0}, extra = {0}, exif = {0};
        stored_picture(orientation, stored, &w, &h);
        put_exif(&exif, orientation % 2, orientation);
        png_chunk(&extra, "eXIf", exif.data, exif.size);
        png_file(&b, stored, (size_t)w, (size_t)h, 8, 0, 0, &extra);
        tc_preprocess p = tc_preprocess_default(3);
        p.resize = 0;
        p.exif = true;
        assert_int_equal(tc_preprocess_bytes(&p, b.data, b.size, "x", NULL, crop, &err), TC_OK);
        for (int i = 0; i < 6; i++) assert_int_equal(crop[3 * i], expected[i]);
        p.exif = false;
        assert_int_equal(tc_preprocess_bytes(&p, b.data, b.size, "x", NULL, crop, &err), TC_OK);
        tc_image im = accepted_buf("PNG with EXIF", &b);
        assert_int_equal(im.orientation, orientation);
        assert_true(im.width == w && im.height == h);
        tc_image_free(&im);
        tc_buf_free(&extra);
        tc_buf_free(&exif);
    }
}

static void test_orientation_formats(void **state) {
    (void)state;
    uint8_t *pixels = gradient(16, 12, 3);
    for (int orientation = 1; orientation <= 8; orientation++) {
        tc_buf b = {0}, plain = {0}, chunks = {0}, exif = {0};
        jpeg_kind k = {.width = 16,
                       .height = 12,
                       .from = JCS_RGB,
                       .to = JCS_YCbCr,
                       .components = 3,
                       .exif = orientation};
        jpeg_file(&b, &k, pixels);
        tc_image im = accepted_buf("JPEG with EXIF", &b);
        assert_int_equal(im.orientation, orientation);
        tc_image_free(&im);
        webp_file(&plain, pixels, 16, 12, 3, true);
        put_exif(&exif, orientation % 2, orientation);
        tc_buf_add(&chunks, plain.data + 12, plain.size - 12);
        riff_chunk(&chunks, "EXIF", exif.data, exif.size);
        webp_extended(&b, 8, 16, 12, &chunks);
        im = accepted_buf("WebP with EXIF", &b);
        assert_int_equal(im.orientation, orientation);
        tc_image_free(&im);
        tc_buf_free(&plain);
        tc_buf_free(&chunks);
        tc_buf_free(&exif);
    }
    free(pixels);
}

/* A damaged or odd EXIF block is no reason to refuse the picture. */
static void test_orientation_damaged(void **state) {
    (void)state;
    static const uint8_t gray[1] = {5};
    for (int kind = 0; kind < 32; kind++) {
        tc_buf b = {0}, extra = {0}, exif = {0};
        put_exif(&exif, false, kind == 30 ? 0 : kind == 31 ? 9 : 6);
        /* cut before the value */
        if (kind < 20) exif.size = (size_t)kind;
        /* the directory's offset */
        if (kind >= 20 && kind < 24) memset(exif.data + 4, 0xff, (size_t)(kind - 19));
        /* types without an integer */
        if (kind >= 24 && kind < 28) exif.data[12] = (char)(kind - 23 == 3 ? 7 : kind - 17);
        if (kind == 28) exif.data[0] = 'X';
        if (kind == 29) exif.data[10] = 0x13; /* another tag */
        png_chunk(&extra, "eXIf", exif.data, exif.size);
        png_file(&b, gray, 1, 1, 8, 0, 0, &extra);
        tc_image im = accepted_buf("damaged EXIF", &b);
        assert_int_equal(im.orientation, 1);
        tc_image_free(&im);
        tc_buf_free(&extra);
        tc_buf_free(&exif);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_huge_headers),
        cmocka_unit_test(test_empty_sides),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_thin_images),
        cmocka_unit_test(test_no_image),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_jpeg_missing_parts),
        cmocka_unit_test(test_jpeg_harmless),
        cmocka_unit_test(test_jpeg_scans),
        cmocka_unit_test(test_jpeg_sampling),
        cmocka_unit_test(test_jpeg_cmyk),
        cmocka_unit_test(test_jpeg_unsupported),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_orientation_formats),
        cmocka_unit_test(test_orientation_damaged),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
