/* preprocess_openclip.c - the preprocessing in an open_clip_config.json. OpenCLIP has one size, the model's,
 * for the resize of the shorter side and the crop; only mean and std are free. */
#include "format/save.h"

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
