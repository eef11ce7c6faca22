/* test_create.c - models made from configurations, and the values of their parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "scratch.h"

#include <math.h>

static const char SMALL[] =
    "{\"embed_dim\": 6, \"quick_gelu\": true, \"vision_cfg\": {\"image_size\": 16, \"layers\": 2, \"width\": "
    "12, "
    "\"head_width\": 4, \"patch_size\": 8, \"mlp_ratio\": 3.1}, "
    "\"text_cfg\": {\"context_length\": 9, \"vocab_size\": 30, \"width\": 8, \"heads\": 2, \"layers\": 2}}";

/* Parameters by number, from a model in memory and from half-precision files whose tensors are turned or in
 * parts. */
static void values_of_parameters(void **state) {
    (void)state;
    tc_error err;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "hf");
    tc_model *m, *again;
    tc_save_options save = tc_save_options_default();
    assert_int_equal(tc_model_create(&m, scratch_text(dir, "small.json", SMALL), 4, &err), TC_OK);
    save.format = TC_FORMAT_HF;
    save.precision = TC_PRECISION_BF16;
    assert_int_equal(tc_model_save_as(m, path, &save, &err), TC_OK);
    assert_int_equal(tc_model_open(&again, path, NULL, &err), TC_OK);
    float *values = tc_new((size_t)m->params.total, sizeof *values);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        assert_int_equal(tc_model_tensor_read(m, i, values, &err), TC_OK);
        assert_memory_equal(values, m->flat + p->offset, (size_t)p->numel * sizeof *values);
        assert_int_equal(tc_model_tensor_read(again, i, values, &err), TC_OK);
        for (int64_t k = 0; k < p->numel; k++)
            assert_true(fabsf(values[k] - m->flat[p->offset + k]) <= fabsf(m->flat[p->offset + k]) / 256);
    }
    assert_int_equal(tc_model_tensor_read(m, m->params.count, values, &err), TC_EARG);
    free(values);
    tc_model_close(&m);
    tc_model_close(&again);
    free(path);
    scratch_remove(dir);
}

static void created_with_options(void **state) {
    (void)state;
    tc_error err;
    char text[64];
    char *dir = scratch_dir();
    const char *config = scratch_text(dir, "small.json", SMALL);
    tc_model *m = NULL, *plain = NULL;
    uint64_t a, b;
    tc_create_options o = tc_create_options_default();
    o.seed = 9;
    assert_int_equal(tc_model_create_with(&m, config, &o, &err), TC_OK);
    assert_int_equal(tc_model_create(&plain, config, 9, &err), TC_OK);
    assert_int_equal(tc_model_hash(m, &a, &err), TC_OK);
    assert_int_equal(tc_model_hash(plain, &b, &err), TC_OK);
    assert_true(a == b);
    assert_int_equal(tc_model_config_difference(m, config, text, sizeof text, &err), TC_OK);
    assert_string_equal(text, "");
    assert_int_equal(tc_model_config_difference(m, "ViT-B-32", text, sizeof text, &err), TC_OK);
    assert_true(strlen(text) > 0);
    assert_int_equal(tc_model_config_difference(m, "no-such", text, sizeof text, &err), TC_EIO);
    tc_model_close(&m);
    o.activation = "gelu";
    o.image_size = 32;
    assert_int_equal(tc_model_create_with(&m, config, &o, &err), TC_OK);
    assert_int_equal(tc_model_get_info(m)->vision_activation, TC_GELU);
    assert_int_equal(tc_model_get_info(m)->text_activation, TC_GELU);
    assert_int_equal(tc_model_get_info(m)->image_size, 32);
    assert_int_equal(tc_model_preprocess(m).crop, 32);
    tc_model_close(&m);
    o.image_size = 4;
    assert_int_equal(tc_model_create_with(&m, config, &o, &err), TC_EARG);
    assert_null(m);
    o.image_size = 0;
    o.activation = "relu";
    assert_int_equal(tc_model_create_with(&m, config, &o, &err), TC_EARG);
    o = tc_create_options_default();
    o.without_values = true;
    assert_int_equal(tc_model_create_with(&m, config, &o, &err), TC_OK);
    assert_true(tc_model_get_info(m)->params == tc_model_get_info(plain)->params);
    assert_true(tc_model_get_info(m)->logit_scale == tc_model_get_info(plain)->logit_scale);
    for (size_t i = 0; i + 1 < m->params.count; i++) assert_true(m->flat[m->params.items[i].offset] == 0);
    tc_model_close(&m);
    tc_model_close(&plain);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_of_parameters),
                                       cmocka_unit_test(created_with_options)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
