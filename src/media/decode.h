/* decode.h - what the image decoders share: their input, the checks that come before any allocation, and
 * their table. */
#ifndef TC_DECODE_H
#define TC_DECODE_H

#include "media/media.h"

#include <string.h>

typedef struct tc_encoded {
    const uint8_t *data;
    size_t size;
    const char *name; /* for messages */
    int64_t pixel_limit;
} tc_encoded;

/* Whether the n bytes stand at this offset. */
static inline bool tc_encoded_has(const tc_encoded *in, size_t offset, const char *bytes, size_t n) {
    return in->size >= offset + n && memcmp(in->data + offset, bytes, n) == 0;
}

/* One format of images: a file, and a line in image.c. */
typedef struct tc_image_format {
    bool (*accepts)(const tc_encoded *in); /* by the first bytes */
    /* Fills *out (zeroed, orientation 1) or fails; the caller frees out->pixels in either case. */
    tc_status (*decode)(tc_image *out, const tc_encoded *in, tc_error *err);
} tc_image_format;
extern const tc_image_format tc_format_jpeg, tc_format_png, tc_format_webp, tc_format_gif, tc_format_bmp;

/* Fails unless both sides are positive, fit an int, and their product is within the pixel limit. */
tc_status tc_check_size(const tc_encoded *in, int64_t width, int64_t height, tc_error *err);
/* The same check, then zeroed pixels for that mode and size. */
tc_status tc_image_allocate(tc_image *out, const tc_encoded *in, tc_mode mode, int64_t width, int64_t height,
                            tc_error *err);
/* Bytes of one pixel in memory. */
size_t tc_mode_bytes(tc_mode mode);

/* EXIF orientation of a TIFF block, with or without "Exif\0\0" before it; 1 if there is none or the block is
 * damaged. */
int tc_exif_orientation(const uint8_t *data, size_t size);
/* A copy of im (of orientation 2 to 8), turned upright. The caller frees it with tc_image_free. */
tc_status tc_image_upright(tc_image *out, const tc_image *im, tc_error *err);

/* rgb [n,3] = the n pixels at px, which have im's mode and palette, by Pillow's plain conversion. */
void tc_pixels_to_rgb(const tc_image *im, const uint8_t *px, size_t n, uint8_t *rgb);
/* Colours times alpha and back, over n pixels whose last channel is alpha; Pillow's rounding. out may be px.
 */
void tc_premultiply(const uint8_t *px, size_t n, int channels, uint8_t *out);
void tc_unpremultiply(uint8_t *px, size_t n, int channels);

#endif
