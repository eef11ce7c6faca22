/* preprocess.c - from a decoded image to pixel_values: resize, crop, convert to RGB, normalise, in the order
 * of the library to agree with.
 *
 * open_clip resizes in the file's own mode and converts the crop; transformers composites on white and
 * converts first. Only the pixels of the crop are ever resized. Where the crop is larger than the image the
 * rest is 0 in the mode that is cropped, as both libraries pad. */
#include "media/decode.h"
#include "media/resize.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CROP_LIMIT = 16384, FILE_LIMIT = 64 << 20 };

tc_preprocess tc_preprocess_default(int image_size) {
    return (tc_preprocess){
        .resize = image_size,
        .crop = image_size,
        .mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .std = {0.26862954f, 0.26130258f, 0.27577711f},
        .rescale = 1.0f / 255.0f,
        .order = TC_IMAGE_OPENCLIP,
        .pixel_limit = 89478485,
    };
}

static tc_status check_settings(const tc_preprocess *p, tc_error *err) {
    if (p->crop < 1 || p->crop > CROP_LIMIT)
        return tc_fail(err, TC_EARG, "preprocessing: crop is %d, expected 1 to %d", p->crop, CROP_LIMIT);
    if (p->resize < 0 || p->resize > CROP_LIMIT)
        return tc_fail(err, TC_EARG, "preprocessing: resize is %d, expected 0 to %d", p->resize, CROP_LIMIT);
    for (int c = 0; c < 3; c++)
        if (!isfinite(p->mean[c]) || !isfinite(p->std[c]) || p->std[c] == 0)
            return tc_fail(err, TC_EARG, "preprocessing: mean %g, std %g of channel %d make no sense",
                           p->mean[c], p->std[c], c);
    return isfinite(p->rescale) ? TC_OK : tc_fail(err, TC_EARG, "preprocessing: rescale is not a number");
}

/* ---- geometry: the box of the source that is used, its size after the resize, and where the crop lies in
 * that */

typedef struct geometry {
    int x, y, width, height;         /* the box */
    int64_t full_width, full_height; /* what it is resized to */
    int64_t left, top;               /* of the crop; negative where padding comes first */
} geometry;

/* floor((size - crop) / 2) for transformers; for open_clip halves go to the even number, and the smaller half
 * of the padding comes first. */
static int64_t crop_offset(int64_t size, int64_t crop, tc_image_order order) {
    int64_t d = size - crop, half = d >= 0 ? d / 2 : -((1 - d) / 2);
    if (order == TC_IMAGE_HF) return half;
    if (d < 0) return -(-d / 2);
    return d % 2 ? half + half % 2 : half;
}

static tc_status centred(geometry *g, const tc_preprocess *p, const tc_image *im, tc_error *err) {
    int64_t w = im->width, h = im->height, s = p->resize;
    *g = (geometry){.width = im->width, .height = im->height, .full_width = w, .full_height = h};
    if (s > 0 && w <= h) {
        g->full_width = s;
        g->full_height = s * h / w;
    } else if (s > 0) {
        g->full_height = s;
        g->full_width = s * w / h;
    }
    if (g->full_width > INT_MAX || g->full_height > INT_MAX)
        return tc_fail(err, TC_EUNSUPPORTED, "an image of %dx%d pixels is too elongated to be resized to %d",
                       im->width, im->height, p->resize);
    g->left = crop_offset(g->full_width, p->crop, p->order);
    g->top = crop_offset(g->full_height, p->crop, p->order);
    return TC_OK;
}

/* A box of a random area and aspect, drawn up to ten times until it fits. Draws from r, in this order: area,
 * aspect, then top and left. */
static bool random_box(geometry *g, const tc_image *im, double scale_min, tc_rng *r) {
    double area = (double)im->width * im->height, low = log(3.0 / 4.0), high = log(4.0 / 3.0);
    for (int attempt = 0; attempt < 10; attempt++) {
        double wanted = area * (scale_min + (1 - scale_min) * tc_rng_uniform(r));
        double aspect = exp(low + (high - low) * tc_rng_uniform(r));
        double w = rint(sqrt(wanted * aspect)), h = rint(sqrt(wanted / aspect));
        if (w < 1 || h < 1 || w > im->width || h > im->height) continue;
        g->width = (int)w;
        g->height = (int)h;
        g->y = (int)tc_rng_below(r, (uint64_t)(im->height - g->height + 1));
        g->x = (int)tc_rng_below(r, (uint64_t)(im->width - g->width + 1));
        return true;
    }
    return false;
}

/* If no random box fits: the largest centred box whose aspect is within 3/4 to 4/3. */
static void central_box(geometry *g, const tc_image *im) {
    double aspect = (double)im->width / im->height;
    g->width = im->width;
    g->height = im->height;
    if (aspect < 3.0 / 4.0) g->height = (int)rint(im->width / (3.0 / 4.0));
    if (aspect > 4.0 / 3.0) g->width = (int)rint(im->height * (4.0 / 3.0));
    g->y = (im->height - g->height) / 2;
    g->x = (im->width - g->width) / 2;
}

static void augmented(geometry *g, const tc_preprocess *p, const tc_image *im, double scale_min, tc_rng *r) {
    *g = (geometry){.full_width = p->crop, .full_height = p->crop};
    if (!random_box(g, im, scale_min, r)) central_box(g, im);
}

/* ---- resize and crop in the image's own mode */

/* The part of the resized image that lies in the crop, and where it lies there. False if there is none. */
static bool visible(const geometry *g, int crop, tc_part *part, int *left, int *top) {
    int64_t x0 = g->left > 0 ? g->left : 0, y0 = g->top > 0 ? g->top : 0;
    int64_t x1 = g->left + crop < g->full_width ? g->left + crop : g->full_width;
    int64_t y1 = g->top + crop < g->full_height ? g->top + crop : g->full_height;
    *part = (tc_part){g->full_width, g->full_height, x0, y0, (int)(x1 - x0), (int)(y1 - y0)};
    *left = (int)(x0 - g->left);
    *top = (int)(y0 - g->top);
    return part->width > 0 && part->height > 0;
}

/* Colours are weighted by their alpha while they are mixed. */
static tc_status resize_alpha(const tc_view *view, int channels, const tc_part *part, uint8_t *out,
                              size_t stride, tc_error *err) {
    size_t row = (size_t)view->width * (size_t)channels, bytes;
    uint8_t *copy = tc_mul(row, (size_t)view->height, &bytes) ? malloc(bytes) : NULL;
    if (!copy) return tc_fail_memory(err, bytes);
    for (size_t y = 0; y < (size_t)view->height; y++)
        tc_premultiply(view->pixels + y * view->stride, (size_t)view->width, channels, copy + y * row);
    tc_view multiplied = {copy, row, view->width, view->height};
    tc_status status = tc_resize_part(&multiplied, channels, part, out, stride, err);
    for (size_t y = 0; status == TC_OK && y < (size_t)part->height; y++)
        tc_unpremultiply(out + y * stride, (size_t)part->width, channels);
    free(copy);
    return status;
}

/* `part` of the view of im after its resize, in im's mode. */
static tc_status resize_mode(const tc_image *im, const tc_view *view, const tc_part *part, uint8_t *out,
                             size_t stride, tc_error *err) {
    int bytes = (int)tc_mode_bytes(im->mode);
    bool same = part->full_width == view->width && part->full_height == view->height;
    if (same) return tc_resize_part(view, bytes, part, out, stride, err); /* a copy */
    switch (im->mode) {
    case TC_MODE_1:
    case TC_MODE_P:
        return tc_resize_part_nearest(view, part, out, stride, err);
    case TC_MODE_LA:
    case TC_MODE_RGBA:
        return resize_alpha(view, bytes, part, out, stride, err);
    case TC_MODE_I16:
        return tc_resize_part16(view, part, out, stride, err);
    default:
        return tc_resize_part(view, bytes, part, out, stride, err);
    }
}

/* out [crop,crop,pixel], zeroed by the caller. */
static tc_status resize_crop(const tc_image *im, const geometry *g, int crop, uint8_t *out, tc_error *err) {
    tc_part part;
    int left, top;
    if (!visible(g, crop, &part, &left, &top)) return TC_OK;
    size_t bytes = tc_mode_bytes(im->mode), stride = (size_t)crop * bytes, row = (size_t)im->width * bytes;
    tc_view view = {im->pixels + (size_t)g->y * row + (size_t)g->x * bytes, row, g->width, g->height};
    return resize_mode(im, &view, &part, out + (size_t)top * stride + (size_t)left * bytes, stride, err);
}

tc_status tc_image_resize(const tc_image *im, int ow, int oh, uint8_t *out, tc_error *err) {
    if (ow <= 0 || oh <= 0) return tc_fail(err, TC_EARG, "resize to %dx%d makes no sense", ow, oh);
    size_t bytes = tc_mode_bytes(im->mode);
    tc_view view = {im->pixels, (size_t)im->width * bytes, im->width, im->height};
    tc_part part = {.full_width = ow, .full_height = oh, .width = ow, .height = oh};
    return resize_mode(im, &view, &part, out, (size_t)ow * bytes, err);
}

/* ---- the last steps */

static void flip_rows(uint8_t *rgb, size_t side) {
    for (size_t y = 0; y < side; y++, rgb += 3 * side)
        for (size_t a = 0, b = side - 1; a < b; a++, b--) {
            uint8_t t[3];
            memcpy(t, rgb + 3 * a, 3);
            memcpy(rgb + 3 * a, rgb + 3 * b, 3);
            memcpy(rgb + 3 * b, t, 3);
        }
}

/* pixel_values [3,n] from rgb [n,3]: (v * rescale - mean) / std, one table of 256 values a channel. */
static void normalise(const tc_preprocess *p, const uint8_t *rgb, size_t n, float *pixel_values) {
    for (int c = 0; c < 3; c++, pixel_values += n) {
        float table[256];
        for (int v = 0; v < 256; v++) table[v] = (float)(((double)p->rescale * v - p->mean[c]) / p->std[c]);
        for (size_t i = 0; i < n; i++) pixel_values[i] = table[rgb[3 * i + (size_t)c]];
    }
}

static tc_status crop_to_rgb(const tc_preprocess *p, const tc_image *im, const tc_augment *augment,
                             uint8_t *rgb, tc_error *err) {
    geometry g;
    tc_rng r = tc_rng_make(augment ? augment->seed : 0, 0, 0);
    if (augment && augment->scale_min < 1) augmented(&g, p, im, augment->scale_min, &r);
    else {
        tc_status status = centred(&g, p, im, err);
        if (status != TC_OK) return status;
    }
    size_t side = (size_t)p->crop, bytes = side * side * tc_mode_bytes(im->mode);
    uint8_t *own = tc_new(bytes, 1);
    if (!own) return tc_fail_memory(err, bytes);
    tc_status status = resize_crop(im, &g, p->crop, own, err);
    if (status == TC_OK) tc_pixels_to_rgb(im, own, side * side, rgb);
    free(own);
    if (status == TC_OK && augment && augment->flip && tc_rng_uniform(&r) < 0.5) flip_rows(rgb, side);
    return status;
}

/* transformers' first step. L and RGB without transparency are mixed the same before and after the
 * conversion, and stay as they are. */
static tc_status convert_first(tc_image *out, const tc_image *im, tc_error *err) {
    size_t n = (size_t)im->width * (size_t)im->height, bytes;
    *out = (tc_image){.mode = TC_MODE_RGB, .width = im->width, .height = im->height, .orientation = 1};
    out->pixels = tc_mul(n, 3, &bytes) ? malloc(bytes) : NULL;
    if (!out->pixels) return tc_fail_memory(err, bytes);
    tc_image_to_rgb(im, true, out->pixels);
    return TC_OK;
}

tc_status tc_preprocess_image(const tc_preprocess *p, const tc_image *im, const tc_augment *augment,
                              float *pixel_values, uint8_t *crop, tc_error *err) {
    tc_status status = check_settings(p, err);
    if (status != TC_OK) return status;
    tc_image upright = {.orientation = 1}, converted = {.orientation = 1};
    uint8_t *rgb = crop;
    size_t pixels = (size_t)p->crop * (size_t)p->crop;
    if (p->exif && im->orientation > 1) {
        status = tc_image_upright(&upright, im, err);
        if (status != TC_OK) goto out;
        im = &upright;
    }
    bool plain = (im->mode == TC_MODE_L || im->mode == TC_MODE_RGB) && !im->has_transparency;
    if (p->order == TC_IMAGE_HF && !plain) {
        status = convert_first(&converted, im, err);
        if (status != TC_OK) goto out;
        im = &converted;
    }
    if (!rgb && !(rgb = tc_new(pixels, 3))) {
        status = tc_fail_memory(err, pixels * 3);
        goto out;
    }
    status = crop_to_rgb(p, im, augment, rgb, err);
    if (status == TC_OK && pixel_values) normalise(p, rgb, pixels, pixel_values);
out:
    if (rgb != crop) free(rgb);
    tc_image_free(&converted);
    tc_image_free(&upright);
    return status;
}

tc_status tc_preprocess_bytes(const tc_preprocess *p, const void *bytes, size_t size, const char *name,
                              float *pixel_values, uint8_t *crop, tc_error *err) {
    tc_image im;
    tc_status status = check_settings(p, err);
    if (status == TC_OK) status = tc_image_decode(&im, bytes, size, name, p->pixel_limit, err);
    if (status != TC_OK) return status;
    status = tc_preprocess_image(p, &im, NULL, pixel_values, crop, err);
    tc_image_free(&im);
    return status == TC_OK ? status : tc_fail_in(err, status, "%s", name ? name : "image");
}

tc_status tc_preprocess_file(const tc_preprocess *p, const char *path, float *pixel_values, uint8_t *crop,
                             tc_error *err) {
    char *bytes;
    size_t size;
    /* read, not mapped: a file that shrinks is no SIGBUS */
    tc_status status = tc_file_read(path, FILE_LIMIT, &bytes, &size, err);
    if (status != TC_OK) return status;
    status = tc_preprocess_bytes(p, bytes, size, path, pixel_values, crop, err);
    free(bytes);
    return status;
}
