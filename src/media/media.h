/* media.h - decoded images and what is done to them before a network sees them. */
#ifndef TC_MEDIA_H
#define TC_MEDIA_H

#include "base/base.h"

/* As Pillow names them. A P image keeps indices and palette; I;16 is 16-bit gray in host order. */
typedef enum tc_mode {
    TC_MODE_1,
    TC_MODE_L,
    TC_MODE_LA,
    TC_MODE_P,
    TC_MODE_RGB,
    TC_MODE_RGBA,
    TC_MODE_CMYK,
    TC_MODE_I16
} tc_mode;

typedef struct tc_image {
    tc_mode mode;
    int width, height;
    /* [height,width,channels] (I;16: uint16_t [height,width]; 1: one byte a pixel, 0 or 255); owned */
    uint8_t *pixels;
    uint8_t palette[256][4]; /* mode P: red, green, blue, alpha */
    bool has_transparency;   /* a tRNS entry: palette alpha (P), or the key below */
    uint16_t key[3];         /* colour key of L, I;16, RGB */
    int orientation;         /* EXIF, 1 to 8; 1 if there is none */
    bool borrowed;           /* pixels belong to somebody else: tc_image_free leaves them alone */
} tc_image;

/* Checks the header against pixel_limit first, then decodes. `name` is for messages. */
tc_status tc_image_decode(tc_image *out, const void *bytes, size_t size, const char *name,
                          int64_t pixel_limit, tc_error *err);
void tc_image_free(tc_image *im);
/* An image of mode L over px [h,w], which is borrowed, not copied, and never written to. TC_EARG if px is
 * NULL or a side is not positive. */
tc_status tc_image_from_gray(tc_image *out, const uint8_t *px, int w, int h);
/* The whole image as rgb [height,width,3]. on_white false: Pillow's plain conversion (alpha and colour keys
 * are ignored); true: transparent pixels are composited on white first, as transformers does. */
void tc_image_to_rgb(const tc_image *im, bool on_white, uint8_t *rgb);

/* Training augmentation, a pure function of `seed`: torchvision's RandomResizedCrop and RandomHorizontalFlip.
 * Up to ten times: area = W*H times a uniform number of [scale_min,1), aspect = exp of a uniform number of
 * [ln 3/4, ln 4/3), w = round(sqrt(area*aspect)), h = round(sqrt(area/aspect)); if w x h fits into the image,
 * its top and then its left are drawn uniformly. If none fits: the largest centred box of an aspect within
 * 3/4 to 4/3. The box is cut out and resized to crop x crop (tc_image_resize); one more draw below 1/2 flips
 * it, if `flip`. Draws come from tc_rng_make(seed, 0, 0) in this order. The order of steps of tc_preprocess
 * holds here too. */
typedef struct tc_augment {
    uint64_t seed;
    double scale_min; /* 1: no random crop: the centred crop of tc_preprocess is used */
    bool flip;
} tc_augment;

/* The whole preprocessing of a decoded image; augment may be NULL. pixel_values [3,S,S] and crop [S,S,3] may
 * each be NULL. */
tc_status tc_preprocess_image(const tc_preprocess *p, const tc_image *im, const tc_augment *augment,
                              float *pixel_values, uint8_t *crop, tc_error *err);

/* Pillow's resize with the bicubic filter, `channels` 1 to 4 bytes a pixel, out [oh,ow,channels]. The order
 * of the passes is Pillow 13's. */
tc_status tc_resize_bicubic(const uint8_t *in, int w, int h, int channels, int ow, int oh, uint8_t *out,
                            tc_error *err);
/* Pillow's resize of a whole image in its own mode: nearest for P and 1, alpha premultiplied, else bicubic.
 * out [oh,ow,pixel] has the mode of im. */
tc_status tc_image_resize(const tc_image *im, int ow, int oh, uint8_t *out, tc_error *err);

#endif
