/* exif.c - the orientation that a camera noted, and turning an image by it.
 *
 * EXIF is a TIFF block: a byte order, the offset of a directory, and entries of 12 bytes, of which only tag
 * 0x0112 matters here. A damaged block is no reason to refuse the picture: it then has no orientation. */
#include "media/decode.h"

#include <string.h>

typedef struct tiff {
    const uint8_t *data;
    size_t size;
    bool big;
} tiff;

static bool read16(const tiff *t, size_t offset, uint32_t *out) {
    if (offset > t->size || t->size - offset < 2) return false;
    const uint8_t *p = t->data + offset;
    *out = t->big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
    return true;
}

static bool read32(const tiff *t, size_t offset, uint32_t *out) {
    uint32_t a, b;
    if (!read16(t, offset, &a) || !read16(t, offset + 2, &b)) return false;
    *out = t->big ? a << 16 | b : b << 16 | a;
    return true;
}

/* The value of an entry of type SHORT or LONG. */
static bool entry_value(const tiff *t, size_t offset, uint32_t *out) {
    uint32_t type;
    if (!read16(t, offset + 2, &type)) return false;
    return type == 3 ? read16(t, offset + 8, out) : type == 4 && read32(t, offset + 8, out);
}

int tc_exif_orientation(const uint8_t *data, size_t size) {
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    tiff t = {data, size, false};
    if (size < 8 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0)) return 1;
    t.big = data[0] == 'M';
    uint32_t directory, count, tag, value;
    if (!read32(&t, 4, &directory) || !read16(&t, directory, &count)) return 1;
    for (uint32_t i = 0; i < count; i++) {
        size_t entry = (size_t)directory + 2 + (size_t)i * 12;
        if (!read16(&t, entry, &tag)) return 1;
        if (tag == 0x0112) return entry_value(&t, entry, &value) && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Pixel (x, y) of the upright image is this pixel of the stored one, which is w wide and h high. */
static size_t source_index(int orientation, size_t x, size_t y, size_t w, size_t h) {
    switch (orientation) {
    case 2:
        return y * w + (w - 1 - x);
    case 3:
        return (h - 1 - y) * w + (w - 1 - x);
    case 4:
        return (h - 1 - y) * w + x;
    case 5:
        return x * w + y;
    case 6:
        return (h - 1 - x) * w + y;
    case 7:
        return (h - 1 - x) * w + (w - 1 - y);
    case 8:
        return x * w + (w - 1 - y);
    default:
        return y * w + x;
    }
}

tc_status tc_image_upright(tc_image *out, const tc_image *im, tc_error *err) {
    size_t w = (size_t)im->width, h = (size_t)im->height, bytes = tc_mode_bytes(im->mode);
    *out = *im;
    out->borrowed = false;
    out->pixels = tc_new(w * h, bytes);
    if (!out->pixels) {
        *out = (tc_image){.orientation = 1};
        return tc_fail_memory(err, w * h * bytes);
    }
    if (im->orientation >= 5) {
        out->width = im->height;
        out->height = im->width;
    }
    out->orientation = 1;
    uint8_t *to = out->pixels;
    for (size_t y = 0; y < (size_t)out->height; y++)
        for (size_t x = 0; x < (size_t)out->width; x++, to += bytes)
            memcpy(to, im->pixels + source_index(im->orientation, x, y, w, h) * bytes, bytes);
    return TC_OK;
}
