/* preprocess_json.c - preprocessing settings in the JSON of Hugging Face and of OpenCLIP, which has one size,
 * the model's, for the resize of the shorter side and the crop, so that only mean and std are free. */
#include "format/preprocess_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double tc_decimal(float x) {
    char text[32];
    if (x == (float)(1 / 255.0)) return 1 / 255.0;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return strtod(text, NULL);
}

/* ---- Hugging Face: preprocessor_config.json */

/* A number, or an object: {"shortest_edge": n} for the resize (height and width would change the picture's
 * proportions), {"height": n, "width": n} for the crop. */
static int side(const json_t *v, bool crop) {
    if (json_is_integer(v)) return (int)json_integer_value(v);
    const json_t *edge = json_object_get(v, "shortest_edge");
    const json_t *h = json_object_get(v, "height");
    const json_t *w = json_object_get(v, "width");
    if (!crop) return json_is_integer(edge) ? (int)json_integer_value(edge) : -1;
    return json_is_integer(h) && json_is_integer(w) && json_integer_value(h) == json_integer_value(w)
               ? (int)json_integer_value(h)
               : -1;
}

static bool triple(const json_t *v, float out[3]) {
    if (json_array_size(v) != 3) return false;
    for (size_t i = 0; i < 3; i++) {
        if (!json_is_number(json_array_get(v, i))) return false;
        out[i] = (float)json_number_value(json_array_get(v, i));
    }
    return true;
}

static bool on(const json_t *json, const char *key) {
    const json_t *v = json_object_get(json, key);
    return !v || !json_is_false(v);
}

tc_status tc_preprocess_parse(tc_preprocess *out, const json_t *json, const char *name, int image_size,
                              tc_error *err) {
    const json_t *inner = json_object_get(json, "image_processor"), *v;
    if (json_is_object(inner)) json = inner;
    tc_preprocess p = tc_preprocess_default(image_size);
    p.order = TC_IMAGE_HF;
    if ((v = json_object_get(json, "size"))) p.resize = side(v, false);
    if ((v = json_object_get(json, "crop_size"))) p.crop = side(v, true);
    if (p.resize < 1 || p.resize > 1 << 14 || p.crop < 1 || p.crop > 1 << 14)
        return tc_fail(err, TC_EFORMAT,
                       "%s: size and crop_size must be a shortest edge and a square of 1 to 16384 pixels",
                       name);
    if (!on(json, "do_resize")) p.resize = 0;
    if (!on(json, "do_center_crop"))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: do_center_crop false is not supported", name);
    if ((v = json_object_get(json, "resample")) && json_is_integer(v) && json_integer_value(v) != 3)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: resample %d is not supported, only 3 (bicubic)", name,
                       (int)json_integer_value(v));
    if ((v = json_object_get(json, "rescale_factor"))) p.rescale = (float)json_number_value(v);
    if (!on(json, "do_rescale")) p.rescale = 1;
    if ((v = json_object_get(json, "image_mean")) && !triple(v, p.mean))
        return tc_fail(err, TC_EFORMAT, "%s: image_mean must be three numbers", name);
    if ((v = json_object_get(json, "image_std")) && !triple(v, p.std))
        return tc_fail(err, TC_EFORMAT, "%s: image_std must be three numbers", name);
    if (!on(json, "do_normalize"))
        for (int i = 0; i < 3; i++) p.mean[i] = 0, p.std[i] = 1;
    for (int i = 0; i < 3; i++)
        if (!(p.std[i] > 0) || !isfinite(p.mean[i]) || !isfinite(p.std[i]))
            return tc_fail(err, TC_EFORMAT, "%s: image_std must be above 0", name);
    if (p.crop != image_size)
        return tc_fail(err, TC_EFORMAT, "%s: crop_size is %d, but the model's image_size is %d", name, p.crop,
                       image_size);
    *out = p;
    return TC_OK;
}

json_t *tc_preprocess_json(const tc_preprocess *p) {
    return json_pack("{s:s, s:b, s:{s:i}, s:i, s:b, s:{s:i, s:i}, s:b, s:f, s:b, s:[f,f,f], s:[f,f,f], s:b}",
                     "image_processor_type", "CLIPImageProcessor", "do_resize", p->resize > 0, "size",
                     "shortest_edge", p->resize > 0 ? p->resize : p->crop, "resample", 3, "do_center_crop", 1,
                     "crop_size", "height", p->crop, "width", p->crop, "do_rescale", 1, "rescale_factor",
                     tc_decimal(p->rescale), "do_normalize", 1, "image_mean", tc_decimal(p->mean[0]),
                     tc_decimal(p->mean[1]), tc_decimal(p->mean[2]), "image_std", tc_decimal(p->std[0]),
                     tc_decimal(p->std[1]), tc_decimal(p->std[2]), "do_convert_rgb", 1);
}

/* ---- OpenCLIP: preprocess_cfg */

tc_status tc_preprocess_openclip_json(json_t **out, const tc_preprocess *p, const char *path, tc_error *err) {
    *out = NULL;
    if (p->resize != p->crop)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: this model resizes images to %d and crops them to %d pixels, an OpenCLIP folder "
                       "has one size for both; "
                       "write a Hugging Face folder or the single file",
                       path, p->resize, p->crop);
    if (fabsf(p->rescale * 255 - 1) > 1e-6f)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: this model multiplies bytes by %g, OpenCLIP always divides them by 255", path,
                       (double)p->rescale);
    *out = json_pack("{s:i, s:s, s:[f,f,f], s:[f,f,f], s:s, s:s}", "size", p->crop, "mode", "RGB", "mean",
                     tc_decimal(p->mean[0]), tc_decimal(p->mean[1]), tc_decimal(p->mean[2]), "std",
                     tc_decimal(p->std[0]), tc_decimal(p->std[1]), tc_decimal(p->std[2]), "interpolation",
                     "bicubic", "resize_mode", "shortest");
    return *out ? TC_OK : tc_fail_memory(err, 1);
}

static tc_status read_triple(float out[3], const json_t *json, const char *key, const char *name,
                             tc_error *err) {
    const json_t *v = json_object_get(json, key);
    if (!v || json_is_null(v)) return TC_OK;
    for (size_t i = 0; i < 3; i++) {
        const json_t *x = json_array_get(v, i);
        double d = json_array_size(v) == 3 && json_is_number(x) ? json_number_value(x) : NAN;
        if (!isfinite(d) || fabs(d) > 1e6)
            return tc_fail(err, TC_EFORMAT, "%s: preprocess_cfg.%s must be three numbers", name, key);
        out[i] = (float)d;
    }
    return TC_OK;
}

tc_status tc_preprocess_openclip_parse(tc_preprocess *p, const json_t *config, const char *name,
                                       tc_error *err) {
    const json_t *cfg = json_object_get(config, "preprocess_cfg");
    static const char *const fixed[][2] = {
        {"mode", "RGB"}, {"interpolation", "bicubic"}, {"resize_mode", "shortest"}};
    if (!json_is_object(cfg)) return TC_OK;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const char *s = json_string_value(json_object_get(cfg, fixed[i][0]));
        if (s && strcmp(s, fixed[i][1]) != 0)
            return tc_fail(err, TC_EUNSUPPORTED, "%s: preprocess_cfg.%s \"%.40s\" is not supported, only %s",
                           name, fixed[i][0], s, fixed[i][1]);
    }
    tc_status status = read_triple(p->mean, cfg, "mean", name, err);
    if (status == TC_OK) status = read_triple(p->std, cfg, "std", name, err);
    for (int i = 0; i < 3 && status == TC_OK; i++)
        if (!(p->std[i] > 0))
            status = tc_fail(err, TC_EFORMAT, "%s: preprocess_cfg.std must be above 0", name);
    return status;
}
