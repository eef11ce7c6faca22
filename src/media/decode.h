/* decode.h - what the image decoders share: their input, the checks that come before any allocation, and
 * their table entries. */
#ifndef TC_DECODE_H
#define TC_DECODE_H

#include "media/media.h"

typedef struct tc_encoded {
    const uint8_t *data;
    size_t size;
    const char *name; /* for messages */
    int64_t pixel_limit;
} tc_encoded;

/* Every decoder fills *out (zeroed, orientation 1) or fails; the caller frees out->pixels in either case. */
tc_status tc_decode_jpeg(tc_image *out, const tc_encoded *in, tc_error *err);
tc_status tc_decode_png(tc_image *out, const tc_encoded *in, tc_error *err);
tc_status tc_decode_webp(tc_image *out, const tc_encoded *in, tc_error *err);
tc_status tc_decode_gif(tc_image *out, const tc_encoded *in, tc_error *err);
tc_status tc_decode_bmp(tc_image *out, const tc_encoded *in, tc_error *err);

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
