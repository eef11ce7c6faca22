/* fuzz_image.c - any bytes as an image file; an accepted one is converted, turned and preprocessed in both
 * orders. */
#include "media/media.h"

#include <stdlib.h>

enum { LIMIT = 1 << 18, SIDE = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tc_image im;
    tc_error err;
    if (tc_image_decode(&im, data, size, "fuzz", LIMIT, &err) != TC_OK) return 0;
    if (im.width < 1 || im.height < 1 || (int64_t)im.width * im.height > LIMIT || im.orientation < 1 ||
        im.orientation > 8)
        abort();
    uint8_t *rgb = malloc((size_t)im.width * (size_t)im.height * 3), crop[SIDE * SIDE * 3];
    if (rgb) tc_image_to_rgb(&im, true, rgb);
    free(rgb);
    tc_preprocess p = tc_preprocess_default(SIDE);
    tc_augment augment = {size, 0.3, true};
    p.exif = true;
    for (int order = TC_IMAGE_OPENCLIP; order <= TC_IMAGE_HF; order++) {
        p.order = (tc_image_order)order;
        if (tc_preprocess_image(&p, &im, NULL, NULL, crop, &err) != TC_OK) abort();
        if (tc_preprocess_image(&p, &im, &augment, NULL, crop, &err) != TC_OK) abort();
    }
    tc_image_free(&im);
    return 0;
}
