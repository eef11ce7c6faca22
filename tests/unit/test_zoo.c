/* test_zoo.c - the table of published models: its names, its counts against the names, its costs against the
 * published ones; where the cache lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "scratch.h"
#include "zoo/zoo.h"

#include <math.h>

static void names(void **state) {
    (void)state;
    int students = 0, teachers = 0, automatic = 0;
    for (int i = 0; tc_zoo_at(i); i++) {
        const tc_zoo_model *m = tc_zoo_at(i), *found = NULL;
        assert_int_equal(tc_zoo_find(&found, m->name, NULL), TC_OK);
        assert_ptr_equal(found, m);
        assert_int_equal(m->teacher, m->published.inheritance == NULL);
        assert_int_equal(m->teacher, m->file == NULL);
        *(m->teacher ? &teachers : &students) += 1;
        if (m->teacher) continue;
        assert_int_equal(strcmp(m->published.inheritance, "auto") == 0, m->config == NULL);
        automatic += m->config == NULL;
        /* The file on the release page, with and without its suffix. */
        assert_int_equal(tc_zoo_find(&found, m->file, NULL), TC_OK);
        assert_ptr_equal(found, m);
        char *stem = tc_strndup(m->file, strlen(m->file) - strlen(".pt"));
        assert_int_equal(tc_zoo_find(&found, stem, NULL), TC_OK);
        assert_ptr_equal(found, m);
        free(stem);
        /* The numbers in both names are those of the table, and a published name is enough where it means one
         * model. */
        int image, text, patch;
        const char *published = m->published.name;
        bool vit = sscanf(published, "TinyCLIP-ViT-%dM/%d-Text-%dM", &image, &patch, &text) == 3;
        if (!vit) assert_int_equal(sscanf(published, "TinyCLIP-ResNet-%dM-Text-%dM", &image, &text), 2);
        assert_int_equal(image, m->published.params_image_m);
        assert_int_equal(text, m->published.params_text_m);
        tc_error err;
        tc_status status = tc_zoo_find(&found, published, &err);
        if (status != TC_OK) assert_non_null(strstr(err.message, m->name));
        else assert_ptr_equal(found, m);
        bool twins = !m->config && image != 22;
        assert_int_equal(status, twins ? TC_EARG : TC_OK);
    }
    assert_int_equal(students, 11);
    assert_int_equal(automatic, 5);
    assert_in_range(teachers, 3, 8);
    static const char *const not_there[] = {"",          "ViT-B-3",        "ViT-B/32",
                                            "TinyCLIP-", "TinyCLIP-auto-", "TinyCLIP-ViT-40M-32-Text-19M-",
                                            ".pt",       "tinyclip"};
    for (size_t i = 0; i < sizeof not_there / sizeof *not_there; i++) {
        const tc_zoo_model *found = tc_zoo_at(0);
        assert_int_equal(tc_zoo_find(&found, not_there[i], NULL), TC_OK);
        assert_null(found);
    }
}

/* Counts round to the numbers in the names, costs are within 3 % of the published ones. A network that is not
 * built in is not counted. */
static void counts(void **state) {
    (void)state;
    int counted = 0;
    for (int i = 0; tc_zoo_at(i); i++) {
        const tc_zoo_model *m = tc_zoo_at(i);
        const tc_zoo_published *p = &m->published;
        tc_zoo_sizes s;
        tc_error err;
        if (tc_zoo_count(m, &s, &err) != TC_OK) fail_msg("%s", err.message);
        bool built_in = m->config && tc_config_builtin(m->config, -1, NULL, NULL);
        assert_int_equal(s.params > 0, built_in);
        if (!built_in) continue;
        counted++;
        if (fabs(s.macs / 1e9 / p->macs_g - 1) > 0.03)
            fail_msg("%s: %.3f G MACs, %g published", m->name, s.macs / 1e9, p->macs_g);
        assert_int_equal(s.params_without_tokens, s.params_image + s.params_text + 1);
        assert_true(s.params > s.params_without_tokens);
        if (m->teacher) continue;
        assert_int_equal((s.params_image + 500000) / 1000000, p->params_image_m);
        assert_int_equal((s.params_text + 500000) / 1000000, p->params_text_m);
    }
    assert_in_range(counted, 8, 11);
}

/* One published figure contradicts its twin's, and only that one. */
static void contradiction(void **state) {
    (void)state;
    for (int i = 0; tc_zoo_at(i); i++)
        for (int j = 0; tc_zoo_at(j); j++) {
            const tc_zoo_model *a = tc_zoo_at(i), *b = tc_zoo_at(j);
            if (i == j || a->teacher || strcmp(a->published.name, b->published.name) != 0) continue;
            bool differ = fabs(a->published.macs_g / b->published.macs_g - 1) > 0.03;
            assert_int_equal(differ, a->note != NULL || b->note != NULL);
        }
}

static void checked(void **state) {
    (void)state;
    const tc_zoo_model *small = NULL, *other = NULL;
    tc_config c;
    tc_model *m = NULL;
    tc_error err;
    assert_int_equal(tc_zoo_find(&small, "TinyCLIP-ViT-8M-16-Text-3M", NULL), TC_OK);
    assert_int_equal(tc_zoo_find(&other, "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M", NULL), TC_OK);
    assert_int_equal(tc_config_open(&c, small->config, NULL), TC_OK);
    assert_int_equal(tc_model_new(&m, &c, NULL), TC_OK);
    assert_int_equal(tc_model_count(m, NULL), TC_OK);
    assert_int_equal(tc_zoo_check(small, m, &err), TC_OK);
    assert_int_equal(tc_zoo_check(other, m, &err), TC_EFORMAT);
    assert_string_equal(err.message, "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M: the weights have 8.28 and "
                                     "2.52 million parameters (image, text), "
                                     "which does not fit the name");
    tc_model_close(&m);
}

/* An automatic model is counted from its weights once they are in the cache. */
static void automatic(void **state) {
    (void)state;
    const tc_zoo_model *m = NULL;
    tc_model *weights = NULL;
    tc_zoo_sizes s;
    char *dir = scratch_dir(), *cache, *path, *config;
    assert_int_equal(setenv("XDG_CACHE_HOME", dir, 1), 0);
    assert_int_equal(tc_zoo_find(&m, "TinyCLIP-ViT-22M/32-Text-10M", NULL), TC_OK);
    assert_int_equal(tc_zoo_count(m, &s, NULL), TC_OK);
    assert_int_equal(s.params, 0);
    assert_null(tc_zoo_path(m));
    config = tc_strdup(scratch_text(
        dir, "c.json",
        "{\"embed_dim\": 6, \"vision_cfg\": {\"image_size\": 16, \"layers\": 2, \"width\": 12, "
        "\"head_width\": 4, \"patch_size\": 8}, \"text_cfg\": {\"context_length\": 9, \"vocab_size\": 30, "
        "\"width\": 8, \"heads\": 2, \"layers\": 2}}"));
    assert_int_equal(tc_model_create(&weights, config, 1, NULL), TC_OK);
    cache = tc_zoo_cache();
    assert_int_equal(tc_make_dirs(cache, NULL), TC_OK);
    path = tc_path_join(cache, "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M.safetensors");
    assert_int_equal(tc_model_save(weights, path, TC_FORMAT_FILE, NULL), TC_OK);
    assert_int_equal(tc_zoo_count(m, &s, NULL), TC_OK);
    const tc_model_info *info = tc_model_get_info(weights);
    assert_int_equal(s.params, info->params);
    assert_int_equal(s.params_image, info->params_vision);
    assert_true(s.macs == info->macs_image + info->macs_text);
    char *found = tc_zoo_path(m);
    assert_string_equal(found, path);
    /* Damaged weights are an error that says which. */
    tc_error err;
    scratch_text(cache, "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M.safetensors", "rubbish");
    assert_int_not_equal(tc_zoo_count(m, &s, &err), TC_OK);
    assert_non_null(strstr(err.message, "TinyCLIP-auto-ViT-22M-32-Text-10M-LAION400M.safetensors"));
    tc_model_close(&weights);
    free(found);
    free(config);
    free(path);
    free(cache);
    scratch_remove(dir);
}

static void cache_folder(void **state) {
    (void)state;
    static const struct {
        const char *cache, *home, *folder;
    } cases[] = {{"/c", "/h", "/c/tinyclip"},
                 {"", "/h", "/h/.cache/tinyclip"},
                 {NULL, "/h", "/h/.cache/tinyclip"},
                 {"relative", "/h", "/h/.cache/tinyclip"},
                 {"/c", NULL, "/c/tinyclip"},
                 {NULL, NULL, NULL},
                 {"", "", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].cache) setenv("XDG_CACHE_HOME", cases[i].cache, 1);
        else unsetenv("XDG_CACHE_HOME");
        if (cases[i].home) setenv("HOME", cases[i].home, 1);
        else unsetenv("HOME");
        char *folder = tc_zoo_cache();
        if (cases[i].folder) assert_string_equal(folder, cases[i].folder);
        else assert_null(folder);
        free(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),         cmocka_unit_test(counts),
                                       cmocka_unit_test(contradiction), cmocka_unit_test(checked),
                                       cmocka_unit_test(automatic),     cmocka_unit_test(cache_folder)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
