/* test_abi.c - the version, and the reserved room of option structs: empty in what _default() gives, refused
 * where a later version's setting lies in it. Where the fields lie is checked by tests/style/abi.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "tinyclip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_version(void **state) {
    (void)state;
    int major, minor, patch;
    assert_string_equal(tc_version(), TC_VERSION);
    assert_int_equal(tc_version_number(), TC_VERSION_NUMBER);
    assert_int_equal(sscanf(tc_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_int_equal(tc_version_number(), 10000 * major + 100 * minor + patch);
}

/* A setting of a later version is an error that names its struct. */
static void refused(tc_status status, const tc_error *err, const char *type) {
    assert_int_equal(status, TC_EARG);
    if (strncmp(err->message, type, strlen(type)) != 0) fail_msg("%s: %s", type, err->message);
}

#define FILLED(type, name)                                                    \
    type name = type##_default();                                             \
    for (size_t i = 0; i < sizeof name.reserved / sizeof *name.reserved; i++) \
        assert_int_equal(name.reserved[i], 0);                                \
    name.reserved[sizeof name.reserved / sizeof *name.reserved - 1] = 1

static void test_models(void **state) {
    (void)state;
    tc_error err;
    tc_model *m = NULL, *none = NULL;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "model");
    tc_create_options small = tc_create_options_default();
    small.without_values = true;
    assert_int_equal(tc_model_create_with(&m, "TinyCLIP-ViT-8M-16-Text-3M", &small, &err), TC_OK);
    FILLED(tc_create_options, create);
    refused(tc_model_create_with(&none, "ViT-B-32", &create, &err), &err, "tc_create_options");
    FILLED(tc_save_options, save);
    refused(tc_model_save_as(m, path, &save, &err), &err, "tc_save_options");
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_HF, &err), TC_OK);
    FILLED(tc_open_options, open);
    refused(tc_model_open(&none, path, &open, &err), &err, "tc_open_options");
    assert_null(none);
    FILLED(tc_train_options, train);
    refused(tc_train(&train, NULL, NULL, &err), &err, "tc_train_options");
    FILLED(tc_mask_options, masks);
    train.reserved[sizeof train.reserved / sizeof *train.reserved - 1] = 0;
    train.masks = &masks;
    refused(tc_train(&train, NULL, NULL, &err), &err, "tc_mask_options");
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

static void test_others(void **state) {
    (void)state;
    tc_error err;
    tc_data *data = NULL;
    tc_compress_plan *plan = malloc(sizeof *plan);
    FILLED(tc_data_options, from);
    refused(tc_data_open(&data, ".", &from, &err), &err, "tc_data_options");
    FILLED(tc_compress_options, compress);
    refused(tc_compress(&compress, NULL, &err), &err, "tc_compress_options");
    refused(tc_compress_plan_make(&compress, false, plan, &err), &err, "tc_compress_options");
    FILLED(tc_report_options, report);
    report.dir = ".";
    refused(tc_report_write(&report, NULL, &err), &err, "tc_report_options");
    FILLED(tc_zoo_options, zoo);
    const tc_zoo_model *student = NULL;
    for (int i = 0; !student || !student->file; i++) student = tc_zoo_at(i);
    refused(tc_zoo_pull(student, &zoo, NULL, &err), &err, "tc_zoo_options");
    free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_version), cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_others)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
