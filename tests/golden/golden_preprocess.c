/* golden_preprocess.c - decoding, resizing and normalising against Pillow's bytes: everything is exact but
 * the normalised floats. */
#include "golden/golden.h"

#include "media/media.h"
#include "sha256.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The crops of the goldens are those of a network for 224 pixels with CLIP's settings. */
enum { SIDE = 224, CROP_BYTES = SIDE * SIDE * 3 };
#define NORMALISED_TOLERANCE 1e-6

static const char *text(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static bool same_hash(const void *data, size_t size, const char *expected) {
    char hex[65];
    sha256_hex(data, size, hex);
    return strcmp(hex, expected) == 0;
}

/* images/NAME.jpg -> NAME */
static void stem(const char *file, char *out, size_t size) {
    const char *base = strrchr(file, '/');
    snprintf(out, size, "%s", base ? base + 1 : file);
    char *dot = strrchr(out, '.');
    if (dot) *dot = 0;
}

static tc_status load(tc_image *im, const char *path, tc_error *err) {
    char *bytes;
    size_t size;
    tc_status status = tc_file_read(path, (size_t)1 << 26, &bytes, &size, err);
    if (status != TC_OK) return status;
    status = tc_image_decode(im, bytes, size, path, 0, err);
    free(bytes);
    return status;
}

/* ---- images[] */

static void check_decoded(const json_t *entry, const tc_image *im) {
    static const char *const modes[] = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"};
    char name[256];
    const char *file = text(entry, "file"), *mode = text(entry, "pillow_mode");
    snprintf(name, sizeof name, "preprocess %s: mode and size", file);
    bool ok = strcmp(mode, modes[im->mode]) == 0 && im->width == (int)golden_number(entry, "width") &&
              im->height == (int)golden_number(entry, "height");
    golden_report(ok, name, "%s %dx%d, expected %s %gx%g", modes[im->mode], im->width, im->height, mode,
                  golden_number(entry, "width"), golden_number(entry, "height"));
    size_t bytes = (size_t)im->width * (size_t)im->height * 3;
    uint8_t *rgb = tc_new(bytes, 1);
    snprintf(name, sizeof name, "preprocess %s: decoded_rgb_sha256", file);
    if (rgb) tc_image_to_rgb(im, false, rgb);
    golden_report(rgb && same_hash(rgb, bytes, text(entry, "decoded_rgb_sha256")), name, "other pixels");
    free(rgb);
}

/* The crop in one order of steps, compared with the hash under `key`, if the entry has it. */
static void check_crop(const json_t *entry, const char *key, const char *path, tc_image_order order,
                       bool exif, uint8_t *crop) {
    if (!json_object_get(entry, key)) return;
    char name[256];
    tc_error err;
    snprintf(name, sizeof name, "preprocess %s: %s", text(entry, "file"), key);
    tc_preprocess p = tc_preprocess_default(SIDE);
    p.order = order;
    p.exif = exif;
    if (!golden_ok(tc_preprocess_file(&p, path, NULL, crop, &err), &err, name)) return;
    golden_report(same_hash(crop, CROP_BYTES, text(entry, key)), name, "other bytes");
}

/* crops/PREFIX.NAME.png, if it is there, holds the whole crop. */
static void check_crop_file(const char *dir, const char *prefix, const char *file, const uint8_t *crop) {
    char name[256], base[128], relative[192];
    tc_error err;
    tc_image im;
    stem(file, base, sizeof base);
    snprintf(relative, sizeof relative, "crops/%s.%s.png", prefix, base);
    char *path = tc_path_join(dir, relative);
    snprintf(name, sizeof name, "preprocess %s", relative);
    if (path && tc_path_exists(path) && golden_ok(load(&im, path, &err), &err, name)) {
        bool same = im.mode == TC_MODE_RGB && im.width == SIDE && im.height == SIDE &&
                    memcmp(im.pixels, crop, CROP_BYTES) == 0;
        golden_report(same, name, "other bytes");
        tc_image_free(&im);
    }
    free(path);
}

static void check_image(const char *dir, const json_t *entry) {
    static uint8_t crop[CROP_BYTES];
    const char *file = text(entry, "file");
    tc_error err;
    tc_image im;
    char *path = tc_path_join(dir, file);
    if (path && golden_ok(load(&im, path, &err), &err, file)) {
        check_decoded(entry, &im);
        tc_image_free(&im);
        check_crop(entry, "open_clip_sha256", path, TC_IMAGE_OPENCLIP, false, crop);
        check_crop_file(dir, "open_clip", file, crop);
        check_crop(entry, "hf_pil_sha256", path, TC_IMAGE_HF, false, crop);
        check_crop_file(dir, "hf_pil", file, crop);
        check_crop(entry, "open_clip_after_exif_transpose_sha256", path, TC_IMAGE_OPENCLIP, true, crop);
        check_crop(entry, "hf_load_image_then_pil_sha256", path, TC_IMAGE_HF, true, crop);
    }
    free(path);
}

/* ---- normalisation */

/* A gray picture of all 256 values, normalised, is the table itself. */
static void check_table(const char *dir) {
    tc_store *store = golden_store(dir, "normalise_lut.safetensors");
    int64_t n = 0;
    tc_real *expected = store ? golden_tensor(store, "normalised_lut", &n) : NULL;
    uint8_t gray[256];
    float got[3 * 256];
    tc_real values[3 * 256];
    tc_image im;
    tc_error err;
    for (int v = 0; v < 256; v++) gray[v] = (uint8_t)v;
    tc_preprocess p = tc_preprocess_default(16);
    p.resize = 0;
    tc_image_from_gray(&im, gray, 16, 16);
    if (expected &&
        golden_ok(tc_preprocess_image(&p, &im, NULL, got, NULL, &err), &err, "preprocess normalised_lut")) {
        for (int i = 0; i < 3 * 256; i++) values[i] = got[i];
        if (golden_report(n == 3 * 256, "preprocess normalised_lut: size", "%lld values", (long long)n))
            golden_close("preprocess normalised_lut", values, expected, n, NORMALISED_TOLERANCE);
    }
    free(expected);
    tc_store_close(&store);
}

/* Values of three channels under `key` against the array of the same name. */
static double distance3(const json_t *entry, const char *key, const double got[3]) {
    const json_t *array = json_object_get(entry, key);
    double most = json_array_size(array) == 3 ? 0 : INFINITY;
    for (size_t c = 0; c < 3 && most < INFINITY; c++) {
        double d = fabs(got[c] - json_number_value(json_array_get(array, c)));
        if (!(d <= most)) most = d;
    }
    return most;
}

static void check_example(const char *dir, const char *key, const json_t *entry) {
    static float values[CROP_BYTES];
    const size_t n = (size_t)SIDE * SIDE;
    const char *base = strrchr(key, '/');
    char name[256], relative[192];
    double first[3], last[3], mean[3] = {0};
    tc_error err;
    snprintf(relative, sizeof relative, "images/%s", base ? base + 1 : key);
    char *path = tc_path_join(dir, relative);
    for (int order = TC_IMAGE_OPENCLIP; path && order <= TC_IMAGE_HF; order++) {
        bool hf = order == TC_IMAGE_HF;
        tc_preprocess p = tc_preprocess_default(SIDE);
        p.order = (tc_image_order)order;
        snprintf(name, sizeof name, "preprocess normalised %s, %s", relative, hf ? "hf" : "open_clip");
        if (!golden_ok(tc_preprocess_file(&p, path, values, NULL, &err), &err, name)) continue;
        for (size_t c = 0; c < 3; c++) {
            first[c] = values[c * n];
            last[c] = values[(c + 1) * n - 1];
            mean[c] = 0;
            for (size_t i = 0; i < n; i++) mean[c] += values[c * n + i] / (double)n;
        }
        double d = fmax(distance3(entry, hf ? "hf_first" : "first", first),
                        distance3(entry, hf ? "hf_last" : "last", last));
        d = fmax(d, distance3(entry, "mean", mean));
        golden_report(d <= NORMALISED_TOLERANCE, name, "largest difference %.3g", d);
    }
    free(path);
}

/* ---- resize */

static const tc_tensor *bytes_tensor(const tc_store *store, int id, const char *suffix, const json_t *shape) {
    char name[64];
    snprintf(name, sizeof name, "%d.%s", id, suffix);
    const tc_tensor *t = tc_store_find(store, name);
    if (!t || t->dtype != TC_U8 || t->ndim != 3) return NULL;
    for (size_t i = 0; i < json_array_size(shape); i++)
        if (t->shape[i] != json_integer_value(json_array_get(shape, i))) return NULL;
    return t;
}

/* Mode RGBA goes through the steps of an image with alpha; the rest through the bare resize. */
static tc_status resize_case(const tc_tensor *in, const tc_tensor *out, bool alpha, uint8_t *got,
                             tc_error *err) {
    int h = (int)in->shape[0], w = (int)in->shape[1], channels = (int)in->shape[2], oh = (int)out->shape[0],
        ow = (int)out->shape[1];
    if (!alpha) return tc_resize_bicubic(in->data, w, h, channels, ow, oh, got, err);
    uint8_t *copy = tc_new(in->bytes, 1);
    if (!copy) return tc_fail_memory(err, in->bytes);
    memcpy(copy, in->data, in->bytes);
    tc_image im = {.mode = TC_MODE_RGBA, .width = w, .height = h, .pixels = copy, .orientation = 1};
    tc_status status = tc_image_resize(&im, ow, oh, got, err);
    free(copy);
    return status;
}

static void check_resize(const json_t *entry, const tc_store *store) {
    char name[128];
    tc_error err;
    int id = (int)golden_number(entry, "id");
    bool alpha = strcmp(text(entry, "mode"), "RGBA") == 0;
    snprintf(name, sizeof name, "preprocess resize %d, %s %s", id, text(entry, "mode"),
             text(entry, "content"));
    const tc_tensor *in = bytes_tensor(store, id, "in", json_object_get(entry, "in_hwc"));
    const tc_tensor *out = bytes_tensor(store, id, "out", json_object_get(entry, "out_hw"));
    uint8_t *got = out ? tc_new(out->bytes, 1) : NULL;
    if (!in || !got || in->shape[2] != out->shape[2]) {
        golden_report(false, name, "tensors are missing or of another shape");
    } else if (golden_ok(resize_case(in, out, alpha, got, &err), &err, name)) {
        bool same =
            memcmp(got, out->data, out->bytes) == 0 && same_hash(got, out->bytes, text(entry, "sha256_out"));
        golden_report(same, name, "other bytes");
    }
    free(got);
}

/* ---- broken[] */

static void check_broken(const char *dir, const json_t *entry) {
    static uint8_t crop[CROP_BYTES];
    char name[256];
    tc_error err = {.message = ""};
    const char *file = text(entry, "file"), *hash = text(entry, "open_clip_sha256");
    bool good = strcmp(text(entry, "result"), "ok") == 0;
    char *path = tc_path_join(dir, file);
    if (!path) return;
    tc_preprocess p = tc_preprocess_default(SIDE);
    tc_status status = tc_preprocess_file(&p, path, NULL, crop, &err);
    snprintf(name, sizeof name, "preprocess %s: %s", file, text(entry, "result"));
    if (good)
        golden_report(status == TC_OK && (!hash[0] || same_hash(crop, CROP_BYTES, hash)), name, "%s",
                      status ? err.message : "other bytes");
    else
        golden_report(status != TC_OK && strstr(err.message, file), name,
                      "no error, or one that does not name the file");
    free(path);
}

void golden_preprocess(const char *dir) {
    size_t i;
    const char *key;
    json_t *entry, *expected = golden_json(dir, "expected.json"), *resize = golden_json(dir, "resize.json");
    tc_store *store = golden_store(dir, "resize.safetensors");
    json_array_foreach(json_object_get(expected, "images"), i, entry) check_image(dir, entry);
    json_object_foreach(json_object_get(expected, "normalised_examples"), key, entry)
        check_example(dir, key, entry);
    json_array_foreach(json_object_get(expected, "broken"), i, entry) check_broken(dir, entry);
    json_array_foreach(json_object_get(resize, "cases"), i, entry) if (store) check_resize(entry, store);
    check_table(dir);
    tc_store_close(&store);
    json_decref(expected);
    json_decref(resize);
}
