/* test_image_formats.c - every kind of PNG, WebP, GIF and BMP, right and wrong, made here by hand and
 * compared pixel by pixel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image_make.h"
#include "media/media.h"

static tc_status decode(tc_image *im, const tc_buf *b, tc_error *err) {
    void *copy = malloc(b->size ? b->size : 1);
    assert_non_null(copy);
    memcpy(copy, b->data, b->size);
    *err = (tc_error){.status = TC_OK};
    tc_status status = tc_image_decode(im, copy, b->size, "x.img", 0, err);
    free(copy);
    return status;
}

/* Frees b. */
static void refused(const char *what, tc_buf *b, tc_status expected, const char *message) {
    tc_image im;
    tc_error err;
    tc_status status = decode(&im, b, &err);
    if (status != expected || !strstr(err.message, message) || !tc_starts_with(err.message, "x.img: "))
        fail_msg("%s: status %d '%s', expected %d '%s'", what, status, err.message, expected, message);
    assert_null(im.pixels);
    tc_buf_free(b);
}

/* Frees b; the caller frees the image. */
static tc_image accepted(const char *what, tc_buf *b) {
    tc_image im;
    tc_error err;
    if (decode(&im, b, &err) != TC_OK) fail_msg("%s: %s", what, err.message);
    tc_buf_free(b);
    return im;
}

static void random_bytes(uint8_t *p, size_t n, uint64_t seed) {
    tc_rng r = tc_rng_make(seed, n, 3);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)tc_rng_next(&r);
}

/* ---- PNG */

/* What sample c of pixel (x, y) must become, from the packed rows of the file. */
static unsigned png_expected(const uint8_t *rows, size_t width, int depth, int type, size_t channels,
                             size_t x, size_t y, size_t c) {
    size_t bits = channels * (size_t)depth, stride = (width * bits + 7) / 8;
    unsigned v = (unsigned)(packed_pixel(rows, stride, bits, x, y) >> ((channels - 1 - c) * (size_t)depth)) &
                 ((1u << depth) - 1);
    if (type == 0 && depth < 8) return v * 255 / ((1u << depth) - 1);
    if (depth == 16 && type != 0) return v >> 8;
    return v;
}

static void check_png(int depth, int type, int interlace) {
    enum { W = 13, H = 11 };
    static const size_t channels[] = {1, 0, 3, 1, 2, 0, 4};
    uint8_t rows[W * H * 8], palette[768];
    char what[64];
    tc_buf b = {0}, extra = {0};
    snprintf(what, sizeof what, "PNG of %d bits, type %d, interlace %d", depth, type, interlace);
    random_bytes(rows, sizeof rows, (uint64_t)(depth * 100 + type));
    random_bytes(palette, sizeof palette, 9);
    if (type == 3) png_chunk(&extra, "PLTE", palette, 3u << depth);
    png_file(&b, rows, W, H, depth, type, interlace, &extra);
    tc_image im = accepted(what, &b);
    bool gray_alpha16 = type == 4 && depth == 16; /* becomes RGBA */
    tc_mode mode = type == 3                   ? TC_MODE_P
                   : type == 2                 ? TC_MODE_RGB
                   : type == 6 || gray_alpha16 ? TC_MODE_RGBA
                   : type == 4                 ? TC_MODE_LA
                   : depth == 16               ? TC_MODE_I16
                   : depth == 1                ? TC_MODE_1
                                               : TC_MODE_L;
    assert_int_equal(im.mode, mode);
    assert_true(im.width == W && im.height == H && !im.has_transparency);
    for (size_t i = 0; i < W * H; i++)
        for (size_t c = 0; c < channels[type]; c++) {
            unsigned want = png_expected(rows, W, depth, type, channels[type], i % W, i / W, c), got;
            if (mode == TC_MODE_I16) got = ((const uint16_t *)(const void *)im.pixels)[i];
            else if (gray_alpha16) got = im.pixels[4 * i + (c ? 3 : 1)];
            else got = im.pixels[channels[type] * i + c];
            if (got != want)
                fail_msg("%s: sample %zu of pixel %zu is %u, expected %u", what, c, i, got, want);
        }
    for (size_t i = 0; type == 3 && i < (1u << depth); i++)
        assert_memory_equal(im.palette[i], palette + 3 * i, 3);
    tc_image_free(&im);
    tc_buf_free(&extra);
}

static void test_png_kinds(void **state) {
    (void)state;
    static const uint8_t kinds[][2] = {{1, 0}, {2, 0}, {4, 0}, {8, 0}, {16, 0}, {8, 2}, {16, 2}, {1, 3},
                                       {2, 3}, {4, 3}, {8, 3}, {8, 4}, {16, 4}, {8, 6}, {16, 6}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int interlace = 0; interlace < 2; interlace++) check_png(kinds[i][0], kinds[i][1], interlace);
    tc_buf b = {0};
    png_file(&b, (const uint8_t *)"\0\0\0\0\0\0\0\0", 1, 1, 4, 2, 0, NULL);
    refused("RGB of 4 bits", &b, TC_EFORMAT, "bad PNG data");
    png_file(&b, (const uint8_t *)"\0", 1, 1, 8, 3, 0, NULL);
    refused("no palette", &b, TC_EFORMAT, "bad PNG data");
}

static void test_png_small_palette(void **state) {
    (void)state;
    uint8_t rgb[4 * 3];
    tc_buf b = {0}, extra = {0};
    png_chunk(&extra, "PLTE", "\x0a\x0b\x0c\x14\x15\x16", 6);
    png_file(&b, (const uint8_t *)"\x00\x01\x02\xff", 4, 1, 8, 3, 0, &extra);
    tc_image im = accepted("indices past the palette", &b);
    tc_image_to_rgb(&im, false, rgb);
    assert_memory_equal(rgb, "\x0a\x0b\x0c\x14\x15\x16\0\0\0\0\0\0", 12);
    tc_image_to_rgb(&im, true, rgb);
    assert_memory_equal(rgb, "\x0a\x0b\x0c\x14\x15\x16\0\0\0\0\0\0", 12);
    tc_image_free(&im);
    tc_buf_free(&extra);
}

/* tRNS: plain conversion ignores it, the other puts white behind it. */
static void check_transparency(const char *what, int depth, int type, const char *pixels, size_t width,
                               const char *trns, size_t trns_size, const char *plain, const char *white) {
    uint8_t rgb[4 * 3];
    tc_buf b = {0}, extra = {0};
    if (type == 3) png_chunk(&extra, "PLTE", "\x0a\x0b\x0c\x14\x15\x16\x1e\x1f\x20", 9);
    png_chunk(&extra, "tRNS", trns, trns_size);
    png_file(&b, (const uint8_t *)pixels, width, 1, depth, type, 0, &extra);
    tc_image im = accepted(what, &b);
    assert_true(im.has_transparency);
    tc_image_to_rgb(&im, false, rgb);
    if (memcmp(rgb, plain, 3 * width) != 0) fail_msg("%s: plain conversion is wrong", what);
    tc_image_to_rgb(&im, true, rgb);
    if (memcmp(rgb, white, 3 * width) != 0) fail_msg("%s: conversion on white is wrong", what);
    tc_image_free(&im);
    tc_buf_free(&extra);
}

static void test_png_transparency(void **state) {
    (void)state;
    /* (10*128 + 255*127 + 127) / 255 = 132 for alpha 128 over white */
    check_transparency("palette", 8, 3, "\0\1\2", 3, "\x80\x00", 2, "\x0a\x0b\x0c\x14\x15\x16\x1e\x1f\x20",
                       "\x84\x85\x85\xff\xff\xff\x1e\x1f\x20");
    check_transparency("gray", 8, 0, "\5\6", 2, "\0\5", 2, "\5\5\5\6\6\6", "\xff\xff\xff\6\6\6");
    check_transparency("gray of 1 bit", 1, 0, "\x80", 2, "\0\1", 2, "\xff\xff\xff\0\0\0",
                       "\xff\xff\xff\0\0\0");
    check_transparency("gray of 1 bit, black", 1, 0, "\x80", 2, "\0\0", 2, "\xff\xff\xff\0\0\0",
                       "\xff\xff\xff\xff\xff\xff");
    check_transparency("gray of 4 bits: the key is not scaled", 4, 0, "\x10", 2, "\0\1", 2,
                       "\x11\x11\x11\0\0\0", "\x11\x11\x11\0\0\0");
    check_transparency("RGB", 8, 2, "\1\2\3\1\2\4", 2, "\0\1\0\2\0\3", 6, "\1\2\3\1\2\4",
                       "\xff\xff\xff\1\2\4");
    check_transparency("gray of 16 bits, clipped", 16, 0, "\0\7\1\0", 2, "\0\7", 2, "\7\7\7\xff\xff\xff",
                       "\xff\xff\xff\xff\xff\xff");
}

static void test_png_damage(void **state) {
    (void)state;
    uint8_t rows[64];
    tc_buf good = {0}, extra = {0};
    random_bytes(rows, sizeof rows, 1);
    png_chunk(&extra, "gAMA", "\0\0\xb1\x8f", 4);
    png_chunk(&extra, "tRNS", "\0\1", 2);
    png_file(&good, rows, 8, 8, 8, 0, 0, &extra);
    for (size_t at = 8; at + 12 <= good.size;) { /* the last byte of each chunk is one of its checksum */
        tc_buf b = {0};
        uint32_t size = (uint32_t)((uint8_t)good.data[at + 2] << 8 | (uint8_t)good.data[at + 3]);
        tc_buf_add(&b, good.data, good.size);
        at += 12 + size;
        b.data[at - 1] ^= 1;
        refused("bad checksum", &b, TC_EFORMAT, "bad PNG data");
    }
    tc_buf b = {0}, data = {0};
    png_start(&b, 8, 8, 8, 0, 0);
    png_rows(&data, rows, 8, 7, 8, 0);
    png_finish(&b, data.data, data.size);
    refused("a row too few", &b, TC_EFORMAT, "bad PNG data");
    png_start(&b, 8, 8, 8, 0, 0);
    png_chunk(&b, "IDAT", "no deflate stream", 17);
    png_chunk(&b, "IEND", "", 0);
    refused("no deflate stream", &b, TC_EFORMAT, "bad PNG data");
    png_start(&b, 8, 8, 8, 0, 0);
    png_chunk(&b, "IEND", "", 0);
    refused("no IDAT", &b, TC_EFORMAT, "bad PNG data");
    tc_buf_add(&b, good.data, 8);
    tc_buf_add(&b, good.data + 33, good.size - 33);
    refused("no IHDR", &b, TC_EFORMAT, "must begin with IHDR");
    tc_buf_add(&b, good.data, 33);
    tc_buf_add(&b, "\x7f\xff\xff\xffIDAT....", 12);
    refused("a chunk of 2^31-1 bytes", &b, TC_EFORMAT, "needs 2147483647 bytes");
    tc_buf_free(&good);
    tc_buf_free(&extra);
    tc_buf_free(&data);
}

/* A text chunk whose zlib stream inflates to `size` zeros. */
static void put_text(tc_buf *b, const char *type, size_t size) {
    tc_buf text = {0};
    char *zeros = tc_new(size, 1);
    assert_non_null(zeros);
    if (strcmp(type, "zTXt") == 0) tc_buf_add(&text, "Comment\0\0", 9);
    else tc_buf_add(&text, "Comment\0\1\0en\0Comment", 20);
    if (strcmp(type, "iTXt") == 0) tc_buf_add(&text, "", 1);
    deflated(&text, zeros, size);
    png_chunk(b, type, text.data, text.size);
    tc_buf_free(&text);
    free(zeros);
}

static void test_png_text_bomb(void **state) {
    (void)state;
    static const size_t limit = 1 << 20;
    for (int i = 0; i < 2; i++) {
        const char *type = i ? "iTXt" : "zTXt";
        tc_buf b = {0}, extra = {0}, text = {0};
        put_text(&text, type, limit);
        tc_buf_add(&extra, text.data, text.size);
        png_file(&b, (const uint8_t *)"\1", 1, 1, 8, 0, 0, &extra);
        tc_image im = accepted("text at the limit", &b);
        tc_image_free(&im);
        for (int n = 1; n < 65; n++) tc_buf_add(&extra, text.data, text.size);
        png_file(&b, (const uint8_t *)"\1", 1, 1, 8, 0, 0, &extra);
        refused("65 texts at the limit", &b, TC_EFORMAT, "inflates to more than the limit of 67108864 bytes");
        tc_buf_free(&extra);
        put_text(&extra, type, 40 * limit);
        png_file(&b, (const uint8_t *)"\1", 1, 1, 8, 0, 0, &extra);
        refused("text bomb", &b, TC_EFORMAT, "inflates to more than the limit of 1048576 bytes");
        tc_buf_free(&extra);
        tc_buf_free(&text);
    }
}

/* ---- WebP */

static void test_webp_plain(void **state) {
    (void)state;
    uint8_t pixels[20 * 14 * 4];
    for (int channels = 3; channels <= 4; channels++) {
        size_t n = 20 * 14 * (size_t)channels;
        tc_buf b = {0};
        random_bytes(pixels, n, 5);
        /* where alpha is 0 the encoder may change the colour */
        for (size_t i = 3; channels == 4 && i < n; i += 4) pixels[i] |= 1;
        webp_file(&b, pixels, 20, 14, channels, true);
        tc_image im = accepted("lossless", &b);
        assert_int_equal(im.mode, channels == 4 ? TC_MODE_RGBA : TC_MODE_RGB);
        assert_memory_equal(im.pixels, pixels, n);
        tc_image_free(&im);
        memset(pixels, 120, n);
        webp_file(&b, pixels, 20, 14, channels, false);
        im = accepted("lossy", &b);
        for (size_t i = 0; i < n; i++)
            if (abs((int)im.pixels[i] - 120) > 4) fail_msg("lossy: byte %zu is %d", i, im.pixels[i]);
        assert_int_equal(im.mode, channels == 4 ? TC_MODE_RGBA : TC_MODE_RGB);
        tc_image_free(&im);
    }
}

/* The first frame lies at (2, 4) on a canvas of 12x10; the rest of the canvas is empty. */
static void test_webp_animation(void **state) {
    (void)state;
    enum { ANIMATION = 2, ALPHA = 16 };
    uint8_t first[6 * 4 * 3], second[12 * 10 * 3];
    tc_buf a = {0}, c = {0}, chunks = {0}, b = {0};
    random_bytes(first, sizeof first, 1);
    random_bytes(second, sizeof second, 2);
    webp_file(&a, first, 6, 4, 3, true);
    webp_file(&c, second, 12, 10, 3, true);
    riff_chunk(&chunks, "ANIM", "\xff\xff\xff\xff\0\0", 6);
    webp_frame(&chunks, 2, 4, 6, 4, &a);
    webp_frame(&chunks, 0, 0, 12, 10, &c);
    for (int alpha = 0; alpha < 2; alpha++) {
        webp_extended(&b, ANIMATION | (alpha ? ALPHA : 0), 12, 10, &chunks);
        tc_image im = accepted("animation", &b);
        assert_int_equal(im.mode, alpha ? TC_MODE_RGBA : TC_MODE_RGB);
        size_t bytes = alpha ? 4 : 3;
        for (size_t i = 0; i < 120; i++) {
            size_t x = i % 12, y = i / 12;
            bool inside = x >= 2 && x < 8 && y >= 4 && y < 8;
            const uint8_t *want = inside ? first + ((y - 4) * 6 + x - 2) * 3 : (const uint8_t *)"\0\0\0";
            assert_memory_equal(im.pixels + i * bytes, want, 3);
            if (alpha) assert_int_equal(im.pixels[i * 4 + 3], inside ? 255 : 0);
        }
        tc_image_free(&im);
    }
    webp_extended(&b, ANIMATION, 4, 4, &chunks);
    refused("a frame larger than the canvas", &b, TC_EFORMAT, "bad WebP data");
    chunks.size = 14;
    webp_extended(&b, ANIMATION, 12, 10, &chunks);
    refused("an animation without frames", &b, TC_EFORMAT, "bad WebP data");
    tc_buf_free(&a);
    tc_buf_free(&c);
    tc_buf_free(&chunks);
}

static void test_webp_lies(void **state) {
    (void)state;
    uint8_t pixels[16 * 16 * 3];
    random_bytes(pixels, sizeof pixels, 8);
    for (int lossless = 0; lossless < 2; lossless++)
        for (int kind = 0; kind < 5; kind++) {
            static const char *const what[] = {"RIFF size too large", "RIFF size 2^32-2",
                                               "RIFF size too small", "chunk size too large", "RIFF size 0"};
            tc_buf b = {0};
            webp_file(&b, pixels, 16, 16, 3, lossless);
            uint32_t size = (uint32_t)b.size - 8;
            uint32_t lie = kind == 0   ? size + 2
                           : kind == 1 ? UINT32_MAX - 1
                           : kind == 2 ? size / 2
                           : kind == 3 ? size * 2
                                       : 0;
            for (int i = 0; i < 4; i++) b.data[(kind == 3 ? 16 : 4) + i] = (char)(lie >> (8 * i));
            refused(what[kind], &b, TC_EFORMAT, "WebP data");
        }
    tc_buf b = {0};
    webp_file(&b, pixels, 16, 16, 3, true);
    tc_buf_add(&b, "bytes behind the end", 20);
    tc_image im = accepted("bytes behind the end", &b);
    assert_memory_equal(im.pixels, pixels, sizeof pixels);
    tc_image_free(&im);
}

/* ---- GIF */

static const uint8_t gif_colors[12] = {1, 2, 3, 50, 60, 70, 100, 110, 120, 255, 0, 9};

static void test_gif_kinds(void **state) {
    (void)state;
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    uint8_t pixels[9 * 17], rgb[20 * 20 * 3];
    random_bytes(pixels, sizeof pixels, 4);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] &= 3;
    for (int kind = 0; kind < 8; kind++) {
        bool interlaced = kind & 1, transparent = kind & 2, ramp = kind & 4;
        gif_kind k = {14, 20, 3, 2, 9, 17, transparent ? 2 : -1, interlaced};
        uint8_t stored[sizeof pixels];
        size_t row = 0;
        for (int pass = 0; pass < 4 && interlaced; pass++)
            for (int y = first[pass]; y < 17; y += step[pass]) memcpy(stored + 9 * row++, pixels + 9 * y, 9);
        tc_buf b = {0};
        gif_file(&b, &k, ramp ? (const uint8_t *)"\0\0\0\1\1\1\2\2\2\3\3\3" : gif_colors,
                 interlaced ? stored : pixels);
        tc_image im = accepted("GIF", &b);
        assert_int_equal(im.mode, ramp ? TC_MODE_L : TC_MODE_P);
        assert_true(im.width == 14 && im.height == 20 && im.has_transparency == transparent);
        tc_image_to_rgb(&im, true, rgb);
        for (int i = 0; i < 14 * 20; i++) {
            int x = i % 14 - 3, y = i / 14 - 2;
            int index = x >= 0 && x < 9 && y >= 0 && y < 17 ? pixels[y * 9 + x] : transparent ? 2 : 0;
            assert_int_equal(im.pixels[i], index);
            assert_int_equal(rgb[3 * i], transparent && index == 2 ? 255
                                         : ramp                    ? index
                                                                   : gif_colors[3 * index]);
        }
        tc_image_free(&im);
    }
}

static void test_gif_odd(void **state) {
    (void)state;
    static const uint8_t pixels[6] = {0, 1, 2, 3, 2, 1};
    tc_buf b = {0};
    gif_file(&b, &(gif_kind){1, 1, 2, 1, 3, 2, -1, false}, gif_colors, pixels);
    tc_image im = accepted("a frame that reaches over the screen", &b);
    assert_true(im.width == 5 && im.height == 3);
    assert_memory_equal(im.pixels, "\0\0\0\0\0\0\0\0\1\2\0\0\3\2\1", 15);
    tc_image_free(&im);
    gif_kind k = {3, 2, 0, 0, 3, 2, -1, false};
    gif_file(&b, &k, gif_colors, pixels);
    b.size = 25;
    tc_buf_puts(&b, ";");
    refused("no image", &b, TC_EFORMAT, "holds no image");
    gif_file(&b, &k, gif_colors, pixels);
    b.data[35] = 13;
    refused("codes of 13 bits", &b, TC_EFORMAT, "GIF data");
    gif_file(&b, &k, gif_colors, pixels);
    memset(b.data + 37, 0xff, 2);
    refused("codes that do not exist", &b, TC_EFORMAT, "GIF data");
    gif_file(&b, &(gif_kind){3, 3, 0, 0, 3, 3, -1, false}, gif_colors, (const uint8_t *)"\0\1\2\3\2\1\0\1\2");
    b.data[32] = 9; /* the frame says 9 rows, the codes end after 3 */
    refused("too few codes", &b, TC_EFORMAT, "GIF data");
}

/* ---- BMP */

static void test_bmp_palette(void **state) {
    (void)state;
    static const struct {
        int bits, colors;
        const char *palette; /* blue, green, red, 0 */
        const char *rows;    /* two rows of 4 bytes, the lower one first */
        tc_mode mode;
        const char *pixels; /* 3x2 */
    } kinds[] = {
        {1, 2, "\0\0\0\0\xff\xff\xff\0", "\xa0\0\0\0\x40\0\0\0", TC_MODE_1, "\0\xff\0\xff\0\xff"},
        {1, 2, "\1\2\3\0\4\5\6\0", "\xa0\0\0\0\x40\0\0\0", TC_MODE_P, "\0\1\0\1\0\1"},
        {4, 3, "\1\2\3\0\4\5\6\0\7\7\7\0", "\x12\x30\0\0\x0f\x20\0\0", TC_MODE_P, "\0\xf\2\1\2\3"},
        {8, 3, "\1\2\3\0\4\5\6\0\7\7\7\0", "\1\2\0\0\2\1\1\0", TC_MODE_P, "\2\1\1\1\2\0"},
        {8, 3, "\0\0\0\0\1\1\1\0\2\2\2\0", "\1\2\0\0\2\1\1\0", TC_MODE_L, "\2\1\1\1\2\0"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tc_buf b = {0};
        bmp_file(&b, 3, 2, kinds[i].bits, 0, kinds[i].colors, kinds[i].palette, 4 * (size_t)kinds[i].colors,
                 kinds[i].rows, 8);
        tc_image im = accepted("BMP with a palette", &b);
        assert_int_equal(im.mode, kinds[i].mode);
        assert_memory_equal(im.pixels, kinds[i].pixels, 6);
        if (im.mode == TC_MODE_P) assert_memory_equal(im.palette[1], "\6\5\4\xff", 4);
        if (im.mode == TC_MODE_P && kinds[i].bits == 4) assert_memory_equal(im.palette[15], "\0\0\0\xff", 4);
        tc_image_free(&im);
    }
}

static void test_bmp_colors(void **state) {
    (void)state;
    static const struct {
        int bits, compression;
        const char *masks, *pixel, *rgba;
    } kinds[] = {
        {24, 0, "", "\3\2\1", "\1\2\3"},
        {32, 0, "", "\3\2\1\x80", "\1\2\3"},
        {16, 0, "", "\x1f\x04", "\x08\0\xff"},                               /* 5 bits each: 1, 0, 31 */
        {16, 3, "\0\xf8\0\0\xe0\7\0\0\x1f\0\0\0", "\xe0\xff", "\xff\xff\0"}, /* 5, 6, 5 bits */
        {32, 3, "\0\0\xff\0\0\xff\0\0\xff\0\0\0", "\3\2\1\x80", "\1\2\3"},   /* blue first */
        {32, 3, "\0\0\0\xff\0\0\xff\0\0\xff\0\0", "\x80\3\2\1", "\1\2\3"},   /* red last */
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int top_down = 0; top_down < 2; top_down++) {
            char rows[8] = {0};
            tc_buf b = {0};
            memcpy(rows + (top_down ? 0 : 4), kinds[i].pixel, (size_t)kinds[i].bits / 8);
            bmp_file(&b, 1, top_down ? -2 : 2, kinds[i].bits, kinds[i].compression, 0, kinds[i].masks,
                     kinds[i].compression ? 12 : 0, rows, 8);
            tc_image im = accepted("BMP with colours", &b);
            assert_int_equal(im.mode, TC_MODE_RGB);
            assert_true(im.width == 1 && im.height == 2);
            assert_memory_equal(im.pixels, kinds[i].rgba, 3);
            tc_image_free(&im);
        }
}

static void test_bmp_refused(void **state) {
    (void)state;
    static const char rows[64] = {0};
    tc_buf b = {0};
    bmp_file(&b, 4, 4, 8, 1, 0, rows, 0, rows, 16);
    refused("RLE8", &b, TC_EUNSUPPORTED, "run-length coded BMP is not supported");
    bmp_file(&b, 4, 4, 4, 2, 0, rows, 0, rows, 16);
    refused("RLE4", &b, TC_EUNSUPPORTED, "run-length coded BMP is not supported");
    bmp_file(&b, 4, 4, 24, 4, 0, rows, 0, rows, 48);
    refused("JPEG inside", &b, TC_EUNSUPPORTED, "compression 4");
    bmp_file(&b, 4, 4, 2, 0, 0, rows, 0, rows, 48);
    refused("2 bits", &b, TC_EUNSUPPORTED, "2 bits a pixel");
    bmp_file(&b, 4, 4, 32, 3, 0, "\1\0\0\0\2\0\0\0\4\0\0\0", 12, rows, 64);
    refused("odd masks", &b, TC_EUNSUPPORTED, "bit masks");
    bmp_file(&b, 4, 4, 8, 0, 70000, rows, 0, rows, 16);
    refused("70000 colours", &b, TC_EFORMAT, "palette of 70000 colours");
    bmp_file(&b, 4, 4, 8, 0, 256, rows, 8, rows, 16);
    refused("a palette cut short", &b, TC_EFORMAT, "too early");
    bmp_file(&b, 4, 4, 24, 0, 0, rows, 0, rows, 47);
    refused("rows cut short", &b, TC_EFORMAT, "too early");
    bmp_file(&b, 4, 4, 24, 0, 0, rows, 0, rows, 48);
    memset(b.data + 10, 0xff, 4);
    refused("an offset past the end", &b, TC_EFORMAT, "too early");
    bmp_file(&b, 4, 4, 24, 0, 0, rows, 0, rows, 48);
    b.data[14] = 41;
    refused("a header of 41 bytes", &b, TC_EUNSUPPORTED, "header of 41 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_kinds),        cmocka_unit_test(test_png_small_palette),
        cmocka_unit_test(test_png_transparency), cmocka_unit_test(test_png_damage),
        cmocka_unit_test(test_png_text_bomb),    cmocka_unit_test(test_webp_plain),
        cmocka_unit_test(test_webp_animation),   cmocka_unit_test(test_webp_lies),
        cmocka_unit_test(test_gif_kinds),        cmocka_unit_test(test_gif_odd),
        cmocka_unit_test(test_bmp_palette),      cmocka_unit_test(test_bmp_colors),
        cmocka_unit_test(test_bmp_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
