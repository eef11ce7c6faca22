/* image.c - recognises an image by its first bytes and hands it to its decoder.
 *
 * The name of a file says nothing: a PNG named .jpg is fine, an HTML page named .jpg is refused with what it
 * begins with. */
#include "media/decode.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ENCODED_LIMIT = 64 << 20 };
#define DEFAULT_PIXEL_LIMIT INT64_C(89478485) /* Pillow's: a quarter of a gibibyte at 3 bytes a pixel */

static bool has(const tc_encoded *in, size_t offset, const char *bytes, size_t n) {
    return in->size >= offset + n && memcmp(in->data + offset, bytes, n) == 0;
}
static bool is_jpeg(const tc_encoded *in) { return has(in, 0, "\xff\xd8\xff", 3); }
static bool is_png(const tc_encoded *in) { return has(in, 0, "\x89PNG\r\n\x1a\n", 8); }
static bool is_webp(const tc_encoded *in) { return has(in, 0, "RIFF", 4) && has(in, 8, "WEBP", 4); }
static bool is_gif(const tc_encoded *in) { return has(in, 0, "GIF87a", 6) || has(in, 0, "GIF89a", 6); }
static bool is_bmp(const tc_encoded *in) { return has(in, 0, "BM", 2); }

static const struct {
    bool (*accept)(const tc_encoded *in);
    tc_status (*decode)(tc_image *out, const tc_encoded *in, tc_error *err);
} formats[] = {
    {is_jpeg, tc_decode_jpeg}, {is_png, tc_decode_png}, {is_webp, tc_decode_webp},
    {is_gif, tc_decode_gif},   {is_bmp, tc_decode_bmp},
};

static tc_status unknown(const tc_encoded *in, tc_error *err) {
    char start[17] = "";
    size_t n = in->size < 16 ? in->size : 16;
    for (size_t i = 0; i < n; i++) start[i] = isprint(in->data[i]) ? (char)in->data[i] : '.';
    return tc_fail(err, TC_EFORMAT, "%s: begins with '%s', which is no JPEG, PNG, WebP, GIF or BMP image",
                   in->name, start);
}

tc_status tc_image_decode(tc_image *out, const void *bytes, size_t size, const char *name,
                          int64_t pixel_limit, tc_error *err) {
    tc_encoded in = {.data = bytes, .size = size, .name = name ? name : "image"};
    in.pixel_limit = pixel_limit > 0 ? pixel_limit : DEFAULT_PIXEL_LIMIT;
    *out = (tc_image){.orientation = 1};
    if (size == 0 || !bytes) return tc_fail(err, TC_EFORMAT, "%s: the file is empty", in.name);
    if (size > ENCODED_LIMIT)
        return tc_fail(err, TC_ENOMEM, "%s: %zu bytes, more than the limit of %d for an image file", in.name,
                       size, (int)ENCODED_LIMIT);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i].accept(&in)) continue;
        tc_status status = formats[i].decode(out, &in, err);
        if (status != TC_OK) tc_image_free(out);
        return status;
    }
    return unknown(&in, err);
}

tc_status tc_check_size(const tc_encoded *in, int64_t width, int64_t height, tc_error *err) {
    if (width <= 0 || height <= 0)
        return tc_fail(err, TC_EFORMAT, "%s: the header says %lldx%lld pixels", in->name, (long long)width,
                       (long long)height);
    size_t pixels;
    if (width > INT_MAX || height > INT_MAX || !tc_mul((size_t)width, (size_t)height, &pixels) ||
        pixels > (uint64_t)in->pixel_limit)
        return tc_fail(err, TC_ENOMEM, "%s: %lldx%lld pixels, more than the limit of %lld pixels", in->name,
                       (long long)width, (long long)height, (long long)in->pixel_limit);
    return TC_OK;
}

size_t tc_mode_bytes(tc_mode mode) {
    switch (mode) {
    case TC_MODE_LA:
    case TC_MODE_I16:
        return 2;
    case TC_MODE_RGB:
        return 3;
    case TC_MODE_RGBA:
    case TC_MODE_CMYK:
        return 4;
    default:
        return 1;
    }
}

tc_status tc_image_allocate(tc_image *out, const tc_encoded *in, tc_mode mode, int64_t width, int64_t height,
                            tc_error *err) {
    tc_status status = tc_check_size(in, width, height, err);
    if (status != TC_OK) return status;
    size_t bytes;
    if (!tc_mul((size_t)width * (size_t)height, tc_mode_bytes(mode), &bytes))
        return tc_fail_memory(err, SIZE_MAX);
    out->pixels = tc_new(bytes, 1);
    if (!out->pixels) return tc_fail_memory(err, bytes);
    out->mode = mode;
    out->width = (int)width;
    out->height = (int)height;
    for (int i = 0; i < 256; i++) out->palette[i][3] = 255;
    return TC_OK;
}

void tc_image_free(tc_image *im) {
    if (!im->borrowed) free(im->pixels);
    *im = (tc_image){.orientation = 1};
}

tc_status tc_image_from_gray(tc_image *out, const uint8_t *px, int w, int h) {
    *out = (tc_image){.orientation = 1};
    if (!px || w <= 0 || h <= 0) return TC_EARG;
    out->mode = TC_MODE_L;
    out->width = w;
    out->height = h;
    out->pixels = (uint8_t *)(uintptr_t)px;
    out->borrowed = true;
    return TC_OK;
}
