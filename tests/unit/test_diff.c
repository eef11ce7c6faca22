/* test_diff.c - in what two models differ: nothing between layouts of one model, otherwise exactly what was
 * changed, with figures known by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "scratch.h"

#include <math.h>

static const char *const SMALL = "{\"embed_dim\": 6, \"vision_cfg\": {\"image_size\": 16, \"layers\": 2, "
                                 "\"width\": 12, \"head_width\": 4, "
                                 "\"patch_size\": 8}, \"text_cfg\": {\"context_length\": 9, \"vocab_size\": "
                                 "30, \"width\": 8, \"heads\": 2, "
                                 "\"layers\": 2}}";
/* Another activation and one block less of another width in the text tower. */
static const char *const OTHER = "{\"embed_dim\": 6, \"quick_gelu\": true, \"vision_cfg\": {\"image_size\": "
                                 "16, \"layers\": 2, \"width\": 12, "
                                 "\"head_width\": 4, \"patch_size\": 8}, \"text_cfg\": {\"context_length\": "
                                 "9, \"vocab_size\": 30, \"width\": 8, "
                                 "\"heads\": 2, \"layers\": 1, \"mlp_ratio\": 2}}";

static tc_model *make(const char *text, uint64_t seed) {
    json_t *json = NULL;
    tc_config c;
    tc_model *m = NULL;
    assert_int_equal(tc_json_parse(&json, text, strlen(text), "test", NULL), TC_OK);
    assert_int_equal(tc_config_parse(&c, json, "test", NULL), TC_OK);
    json_decref(json);
    assert_int_equal(tc_model_random(&m, &c, seed, NULL), TC_OK);
    return m;
}

static tc_diff *diff(const tc_model *a, const tc_model *b, double tolerance) {
    tc_diff *d = NULL;
    tc_error err;
    if (tc_model_diff(&d, a, b, tolerance, &err) != TC_OK) fail_msg("%s", err.message);
    assert_int_equal(d->equal, d->different == 0 && d->setting_count == 0);
    return d;
}

static const char *setting(const tc_diff *d, const char *what) {
    static char text[160];
    for (size_t i = 0; i < d->setting_count; i++)
        if (strcmp(d->settings[i].what, what) == 0) {
            snprintf(text, sizeof text, "%s | %s", d->settings[i].a, d->settings[i].b);
            return text;
        }
    return "none";
}

static const tc_diff_tensor *tensor(const tc_diff *d, const char *name) {
    for (size_t i = 0; i < d->tensor_count; i++)
        if (strcmp(d->tensors[i].name, name) == 0) return &d->tensors[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static tc_real *values(tc_model *m, const char *name) {
    return m->flat + m->params.items[tc_params_find(&m->params, name)].offset;
}

/* ---- layouts */

static void layouts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        tc_format format;
        const char *tokenizer; /* such a file says nothing of its tokenizer */
    } cases[] = {{"folder", TC_FORMAT_HF, "none"},
                 {"own.safetensors", TC_FORMAT_FILE, "none"},
                 {"clip.safetensors", TC_FORMAT_OPENCLIP, "hf | openclip"}};
    char *dir = scratch_dir();
    tc_model *m = make(SMALL, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = tc_path_join(dir, cases[i].name);
        tc_model *again = NULL;
        assert_int_equal(tc_model_save(m, path, cases[i].format, NULL), TC_OK);
        assert_int_equal(tc_model_open(&again, path, NULL, NULL), TC_OK);
        tc_diff *d = diff(m, again, 0);
        assert_int_equal(d->different, 0);
        assert_int_equal(d->tensor_count, m->params.count);
        assert_string_equal(setting(d, "tokenizer"), cases[i].tokenizer);
        assert_string_equal(setting(d, "preprocess order"), cases[i].tokenizer);
        assert_int_equal(d->setting_count, strcmp(cases[i].tokenizer, "none") == 0 ? 0 : 2);
        for (size_t k = 0; k < d->tensor_count; k++)
            assert_true(d->tensors[k].max_abs == 0 && d->tensors[k].relative_l2 == 0 &&
                        d->tensors[k].cosine == 1);
        tc_diff_free(&d);
        assert_null(d);
        tc_model_close(&again);
        free(path);
    }
    tc_model_close(&m);
    scratch_remove(dir);
}

/* ---- values */

static void figures(void **state) {
    (void)state;
    tc_model *a = make(SMALL, 3), *b = make(SMALL, 3);
    tc_real *x = values(a, "visual.ln_post.bias"), *y = values(b, "visual.ln_post.bias"); /* zeros */
    x[0] = 3;
    x[1] = 4;
    y[0] = 4;
    y[1] = 3;
    values(b, "ln_final.weight")[2] += 0.25f; /* ones */
    values(b, "logit_scale")[0] = 0;
    tc_diff *d = diff(a, b, 0);
    assert_int_equal(d->different, 3);
    assert_int_equal(d->setting_count, 0);
    /* The largest relative difference comes first. */
    assert_string_equal(d->tensors[0].name, "logit_scale");
    assert_string_equal(d->tensors[1].name, "visual.ln_post.bias");
    assert_string_equal(d->tensors[2].name, "ln_final.weight");
    assert_true(d->tensors[0].relative_l2 == 1 && d->tensors[0].cosine == 0);
    assert_true(d->tensors[1].max_abs == 1);
    assert_true(fabs(d->tensors[1].relative_l2 - sqrt(2) / 5) < 1e-15);
    assert_true(fabs(d->tensors[1].cosine - 24.0 / 25) < 1e-15);
    assert_true(d->tensors[2].max_abs == 0.25);
    assert_true(fabs(d->tensors[2].relative_l2 - 0.25 / sqrt(7 + 1.25 * 1.25)) < 1e-15);
    assert_int_equal(d->tensors[3].kind, TC_DIFF_NONE);
    tc_diff_free(&d);
    d = diff(a, b, 0.25);
    assert_int_equal(d->different, 2);
    assert_int_equal(tensor(d, "ln_final.weight")->kind, TC_DIFF_NONE);
    assert_true(tensor(d, "ln_final.weight")->max_abs == 0.25);
    tc_diff_free(&d);
    d = diff(a, b, 100);
    assert_true(d->equal);
    tc_diff_free(&d);
    tc_model_close(&a);
    tc_model_close(&b);
}

/* NaN is not a number that is near enough; but the same in both is the same. */
static void not_finite(void **state) {
    (void)state;
    tc_model *a = make(SMALL, 3), *b = make(SMALL, 3);
    values(a, "ln_final.bias")[0] = values(b, "ln_final.bias")[0] = NAN;
    values(a, "ln_final.bias")[1] = values(b, "ln_final.bias")[1] = INFINITY;
    tc_diff *d = diff(a, b, 0);
    assert_true(d->equal);
    tc_diff_free(&d);
    values(b, "ln_final.bias")[0] = 0;
    values(b, "visual.ln_post.bias")[1] = INFINITY;
    values(b, "logit_scale")[0] += 1;
    d = diff(a, b, 1e30);
    assert_int_equal(d->different, 2);
    assert_string_equal(d->tensors[0].name, "ln_final.bias");
    assert_string_equal(d->tensors[1].name, "visual.ln_post.bias");
    for (int i = 0; i < 2; i++)
        assert_true(isnan(d->tensors[i].max_abs) && isnan(d->tensors[i].relative_l2) &&
                    isnan(d->tensors[i].cosine));
    tc_diff_free(&d);
    tc_model_close(&a);
    tc_model_close(&b);
}

/* ---- settings and shapes */

static void other_network(void **state) {
    (void)state;
    tc_model *a = make(SMALL, 3), *b = make(OTHER, 4);
    tc_preprocess p = tc_model_preprocess(b);
    p.mean[2] = 0.5f;
    tc_model_set_preprocess(b, &p);
    tc_diff *d = diff(a, b, 0);
    assert_string_equal(setting(d, "text layers"), "2 | 1");
    assert_string_equal(setting(d, "vision activation"), "gelu | quick_gelu");
    assert_string_equal(setting(d, "text activation"), "gelu | quick_gelu");
    assert_string_equal(setting(d, "text block 0"), "2 heads, 32 FFN channels | 2 heads, 16 FFN channels");
    assert_true(tc_ends_with(setting(d, "preprocess mean"), " 0.5"));
    assert_int_equal(d->setting_count, 5);
    /* Only in one, then other shapes, then other values, then equal ones. */
    for (size_t i = 1; i < d->tensor_count; i++) assert_true(d->tensors[i - 1].kind <= d->tensors[i].kind);
    const tc_diff_tensor *t = tensor(d, "transformer.resblocks.1.mlp.c_fc.weight");
    assert_int_equal(t->kind, TC_DIFF_ONLY_A);
    assert_int_equal(t->ndim_b, -1);
    assert_true(t->ndim_a == 2 && t->shape_a[0] == 32 && t->shape_a[1] == 8);
    t = tensor(d, "transformer.resblocks.0.mlp.c_proj.weight");
    assert_int_equal(t->kind, TC_DIFF_SHAPE);
    assert_true(t->shape_a[1] == 32 && t->shape_b[1] == 16 && isnan(t->max_abs));
    assert_int_equal(tensor(d, "visual.proj")->kind, TC_DIFF_VALUES);
    assert_int_equal(tensor(d, "visual.ln_pre.weight")->kind, TC_DIFF_NONE);
    size_t count = d->tensor_count, settings = d->setting_count;
    tc_diff_free(&d);
    d = diff(b, a, 0);
    assert_int_equal(d->tensor_count, count);
    assert_int_equal(d->setting_count, settings);
    assert_int_equal(tensor(d, "transformer.resblocks.1.mlp.c_fc.weight")->kind, TC_DIFF_ONLY_B);
    assert_int_equal(tensor(d, "transformer.resblocks.1.mlp.c_fc.weight")->ndim_a, -1);
    tc_diff_free(&d);
    tc_model_close(&a);
    tc_model_close(&b);
}

/* A file that is cut while it is open is an error, not a crash. */
static void shortened(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_model *m = make(SMALL, 3), *mapped = NULL;
    tc_diff *d = (tc_diff *)&d;
    tc_error err;
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_FILE, NULL), TC_OK);
    assert_int_equal(tc_model_open(&mapped, path, NULL, NULL), TC_OK);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(tc_model_diff(&d, m, mapped, 0, &err), TC_EIO);
    assert_null(d);
    assert_non_null(strstr(err.message, "m.safetensors: the file was shortened"));
    tc_model_close(&m);
    tc_model_close(&mapped);
    free(path);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(layouts), cmocka_unit_test(figures),
                                       cmocka_unit_test(not_finite), cmocka_unit_test(other_network),
                                       cmocka_unit_test(shortened)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
