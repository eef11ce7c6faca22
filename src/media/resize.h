/* resize.h - resizing of a part of a view, with nothing computed that the part does not need. */
#ifndef TC_RESIZE_H
#define TC_RESIZE_H

#include "base/base.h"

/* Pixels that lie in somebody else's image. `stride`: bytes from one row to the next. */
typedef struct tc_view {
    const uint8_t *pixels;
    size_t stride;
    int width, height;
} tc_view;

/* The part of a resized image that is wanted: columns x..x+width-1 and rows y..y+height-1 of full_width x
 * full_height, all inside it. */
typedef struct tc_part {
    int64_t full_width, full_height, x, y;
    int width, height;
} tc_part;

/* Pillow's bicubic resize of `in` to the full size, of which only the part is computed, exactly as it would
 * be in the whole. channels: 1 to 4 bytes a pixel. out [height,width,channels] with rows out_stride bytes
 * apart. */
tc_status tc_resize_part(const tc_view *in, int channels, const tc_part *part, uint8_t *out,
                         size_t out_stride, tc_error *err);
/* The same for 16-bit samples, one a pixel. */
tc_status tc_resize_part16(const tc_view *in, const tc_part *part, uint8_t *out, size_t out_stride,
                           tc_error *err);
/* The same with the nearest pixel, for one byte a pixel. */
tc_status tc_resize_part_nearest(const tc_view *in, const tc_part *part, uint8_t *out, size_t out_stride,
                                 tc_error *err);

#endif
