/* convert.c - pixels of every mode to RGB, with Pillow's rounding.
 *
 * Products of two bytes over 255 are rounded by t = a*b + 128, (t + (t >> 8)) >> 8, which is exact rounding
 * of a*b/255. */
#include "media/decode.h"

#include <string.h>

static inline uint8_t multiply(unsigned a, unsigned b) {
    unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

static void gray_to_rgb(const uint8_t *px, size_t n, size_t step, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = px[step * i];
}

static void palette_to_rgb(const tc_image *im, const uint8_t *px, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) memcpy(rgb + 3 * i, im->palette[px[i]], 3);
}

static void rgba_to_rgb(const uint8_t *px, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) memcpy(rgb + 3 * i, px + 4 * i, 3);
}

/* Ink to light: with n = 255 - K, R = n - C*n/255. */
static void cmyk_to_rgb(const uint8_t *px, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) {
        unsigned light = 255u - px[4 * i + 3];
        for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = (uint8_t)(light - multiply(px[4 * i + c], light));
    }
}

/* 16-bit gray is clipped, not scaled: the reference does so. */
static void gray16_to_rgb(const uint8_t *px, size_t n, uint8_t *rgb) {
    for (size_t i = 0; i < n; i++) {
        uint16_t v;
        memcpy(&v, px + 2 * i, 2);
        memset(rgb + 3 * i, v > 255 ? 255 : v, 3);
    }
}

void tc_pixels_to_rgb(const tc_image *im, const uint8_t *px, size_t n, uint8_t *rgb) {
    switch (im->mode) {
    case TC_MODE_1:
    case TC_MODE_L:
        gray_to_rgb(px, n, 1, rgb);
        break;
    case TC_MODE_LA:
        gray_to_rgb(px, n, 2, rgb);
        break;
    case TC_MODE_P:
        palette_to_rgb(im, px, n, rgb);
        break;
    case TC_MODE_RGB:
        memcpy(rgb, px, 3 * n);
        break;
    case TC_MODE_RGBA:
        rgba_to_rgb(px, n, rgb);
        break;
    case TC_MODE_CMYK:
        cmyk_to_rgb(px, n, rgb);
        break;
    case TC_MODE_I16:
        gray16_to_rgb(px, n, rgb);
        break;
    }
}

/* Opacity of pixel i, whose plain colour is rgb. A key is compared by its low bytes with the colour after
 * conversion to 8 bits, as the reference does even for 16-bit files. */
static unsigned opacity(const tc_image *im, size_t i, const uint8_t *rgb) {
    if (im->mode == TC_MODE_RGBA) return im->pixels[4 * i + 3];
    if (im->mode == TC_MODE_LA) return im->pixels[2 * i + 1];
    if (!im->has_transparency) return 255;
    if (im->mode == TC_MODE_P) return im->palette[im->pixels[i]][3];
    for (int c = 0; c < 3; c++)
        if (rgb[c] != (im->key[c] & 255)) return 255;
    return 0;
}

/* Over white, rounded with 7 more bits than a byte has. */
static void on_white_pixel(uint8_t *rgb, unsigned alpha) {
    for (int c = 0; c < 3; c++) {
        uint32_t t = (rgb[c] * alpha + 255 * (255 - alpha)) * 128 + (128 << 7);
        rgb[c] = (uint8_t)((((t >> 8) + t) >> 8) >> 7);
    }
}

void tc_image_to_rgb(const tc_image *im, bool on_white, uint8_t *rgb) {
    size_t n = (size_t)im->width * (size_t)im->height;
    tc_pixels_to_rgb(im, im->pixels, n, rgb);
    if (!on_white || (im->mode != TC_MODE_RGBA && im->mode != TC_MODE_LA && !im->has_transparency)) return;
    for (size_t i = 0; i < n; i++) {
        unsigned alpha = opacity(im, i, rgb + 3 * i);
        if (alpha < 255) on_white_pixel(rgb + 3 * i, alpha);
    }
}

void tc_premultiply(const uint8_t *px, size_t n, int channels, uint8_t *out) {
    for (size_t i = 0; i < n; i++, px += channels, out += channels) {
        unsigned alpha = px[channels - 1];
        for (int c = 0; c < channels - 1; c++) out[c] = multiply(px[c], alpha);
        out[channels - 1] = (uint8_t)alpha;
    }
}

void tc_unpremultiply(uint8_t *px, size_t n, int channels) {
    for (size_t i = 0; i < n; i++, px += channels) {
        unsigned alpha = px[channels - 1];
        if (alpha == 0 || alpha == 255) continue;
        for (int c = 0; c < channels - 1; c++) {
            unsigned v = 255u * px[c] / alpha;
            px[c] = (uint8_t)(v > 255 ? 255 : v);
        }
    }
}
