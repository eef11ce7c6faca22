/* picture.c - the pixels of a decoded image: their modes, their memory and what is checked before there is
 * any. */
#include "media/decode.h"

#include <limits.h>
#include <stdlib.h>

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
