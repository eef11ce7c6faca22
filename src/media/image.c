/* image.c - recognises an image by its first bytes and hands it to its decoder.
 *
 * The name of a file says nothing: a PNG named .jpg is fine, an HTML page named .jpg is refused with what it
 * begins with. */
#include "media/decode.h"

#include <ctype.h>

enum { ENCODED_LIMIT = 64 << 20 };
#define DEFAULT_PIXEL_LIMIT INT64_C(89478485) /* Pillow's: a quarter of a gibibyte at 3 bytes a pixel */

static const tc_image_format *const formats[] = {&tc_format_jpeg, &tc_format_png, &tc_format_webp,
                                                 &tc_format_gif, &tc_format_bmp};

static tc_status unknown(const tc_encoded *in, tc_error *err) {
    const tc_file_kind *k = tc_file_kind_of(in->data, in->size < TC_KIND_BYTES ? in->size : TC_KIND_BYTES);
    if (k)
        return tc_fail(err, TC_EFORMAT, "%s: %s, not a JPEG, PNG, WebP, GIF or BMP image", in->name, k->what);
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
        if (!formats[i]->accepts(&in)) continue;
        tc_status status = formats[i]->decode(out, &in, err);
        if (status != TC_OK) tc_image_free(out);
        return status;
    }
    return unknown(&in, err);
}
