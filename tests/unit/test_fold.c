/* test_fold.c - folded models in float: their outputs within 1e-5 of the largest of the masked model's,
 * through the graph and through sessions; what they keep of the model that was masked; what cannot be folded;
 * and that they are models like any other: counted, saved, opened, exported, trained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fold_rig.h"
#include "scratch.h"
#include "train/trainer.h"

#define TOLERANCE 1e-5

/* ---- outputs */

/* The folded model by a session against the masked one by its graph. */
static double session_distance(const tc_model *masked, const tc_mask_sites *sites, const tc_real *mask,
                               const tc_model *folded, bool text) {
    fold_pass p;
    tc_session *s = NULL;
    float got[FOLD_TEXTS * FOLD_EMBED];
    int32_t ids[FOLD_TEXTS * FOLD_CONTEXT] = {0};
    double most = 0, size = 0;
    fold_forward(&p, masked, sites, mask, text, 0, false);
    assert_int_equal(tc_session_create(&s, folded, NULL), TC_OK);
    for (int i = 0; i < FOLD_TEXTS && text; i++)
        memcpy(ids + i * FOLD_CONTEXT, p.ids + p.seq[i], (size_t)(p.seq[i + 1] - p.seq[i]) * sizeof *ids);
    if (text) assert_int_equal(tc_session_encode_text(s, ids, FOLD_TEXTS, FOLD_CONTEXT, got, NULL), TC_OK);
    else assert_int_equal(tc_session_encode_image(s, p.pixels, FOLD_IMAGES, got, NULL), TC_OK);
    const tc_real *want = tc_runner_output(p.r);
    for (int i = 0; i < p.rows * FOLD_EMBED; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
        size = fmax(size, fabs((double)want[i]));
    }
    tc_session_close(&s);
    fold_pass_free(&p);
    return size > 0 ? most / size : INFINITY;
}

static void compare(const tc_model *masked, const tc_mask_sites *sites, const tc_real *mask,
                    const tc_model *folded, const char *what, const char *name) {
    for (int tower = 0; tower < 2; tower++) {
        double graph = fold_distance(masked, sites, mask, folded, tower, 0, false),
               session = session_distance(masked, sites, mask, folded, tower);
        if (!(graph <= TOLERANCE && session <= TOLERANCE))
            fail_msg("%s, %s, %s: relative differences %.3g and %.3g", what, name, tower ? "text" : "image",
                     graph, session);
    }
}

static void outputs(void **state) {
    (void)state;
    fold_check_all(compare);
}

/* A mask of ones is none: the same bits. */
static void ones_change_nothing(void **state) {
    (void)state;
    tc_config kinds[] = {fold_vit(false), fold_resnet()};
    for (int kind = 0; kind < 2; kind++) {
        char difference[256];
        tc_model *m = fold_model(&kinds[kind], 2);
        tc_mask_sites sites = fold_sites(m);
        tc_real *mask = tc_new((size_t)sites.total, sizeof *mask);
        for (int64_t i = 0; i < sites.total; i++) mask[i] = 1;
        tc_model *folded = fold_folded(m, &sites, mask);
        if (tc_config_difference(&m->config, &folded->config, difference, sizeof difference))
            fail_msg("%s", difference);
        assert_memory_equal(m->flat, folded->flat, (size_t)m->params.total * sizeof *m->flat);
        free(mask);
        tc_mask_sites_free(&sites);
        tc_model_close(&m);
        tc_model_close(&folded);
    }
}

/* ---- what stays */

static void settings_stay(void **state) {
    (void)state;
    tc_config c = fold_vit(false);
    c.eos_id = 17;
    tc_model *m = fold_model(&c, 3);
    tc_preprocess pre = tc_model_preprocess(m);
    pre.mean[1] = 0.25f;
    tc_model_set_preprocess(m, &pre);
    m->tokenizer_kind = TC_TOKENIZER_OPENCLIP;
    m->vocab = tc_strdup("{}");
    m->merges = tc_strdup("#version: 0.2\n");
    m->flat[m->params.items[m->params.count - 1].offset] = 3.25f;
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    tc_mask_sites sites = fold_sites(m);
    tc_real *mask = fold_mask(&sites, &fold_cases[0], &fold_cases[0], FOLD_NONE_GONE, 1);
    tc_model *folded = fold_folded(m, &sites, mask);
    assert_int_equal(folded->config.eos_id, 17);
    assert_int_equal(folded->config.vision.activation, TC_GELU);
    assert_int_equal(folded->config.text.activation, TC_QUICK_GELU);
    assert_int_equal(folded->tokenizer_kind, TC_TOKENIZER_OPENCLIP);
    assert_string_equal(folded->vocab, m->vocab);
    assert_string_equal(folded->merges, m->merges);
    assert_true(folded->preprocess.mean[1] == 0.25f);
    assert_true(tc_model_get_info(folded)->logit_scale == 3.25f);
    assert_true(tc_model_get_info(folded)->pruned);
    assert_string_equal(tc_model_get_info(folded)->source, "pruned");
    free(mask);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
    tc_model_close(&folded);
}

/* What is measured without weights is what the model becomes. */
static void configuration_alone(void **state) {
    (void)state;
    tc_config kinds[] = {fold_vit(false), fold_vit(true), fold_resnet()};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < FOLD_CASES; i++) {
            tc_model *m = fold_model(&kinds[kind], 3);
            tc_mask_sites sites = fold_sites(m);
            tc_real *mask = fold_mask(&sites, &fold_cases[i], &fold_cases[i], (fold_gone)(i % 3), 1);
            tc_model *folded = fold_folded(m, &sites, mask);
            int *kept = tc_new(sites.count, sizeof *kept);
            char difference[256];
            tc_config c;
            for (size_t s = 0; s < sites.count; s++)
                for (int k = 0; k < sites.items[s].size; k++) kept[s] += mask[sites.items[s].offset + k] != 0;
            assert_int_equal(tc_config_fold(&c, &m->config, &sites, kept, NULL), TC_OK);
            if (tc_config_difference(&c, &folded->config, difference, sizeof difference))
                fail_msg("%s", difference);
            for (size_t p = 0; p < folded->params.count; p++)
                assert_true(tc_params_find(&m->params, folded->params.items[p].name) >= 0);
            free(kept);
            free(mask);
            tc_mask_sites_free(&sites);
            tc_model_close(&m);
            tc_model_close(&folded);
        }
}

/* ---- what cannot be */

static void refusals(void **state) {
    (void)state;
    tc_config c = fold_vit(false), narrow = c;
    narrow.text.width = 16;
    tc_model *m = fold_model(&c, 3), *other = fold_model(&narrow, 3), *folded = NULL;
    tc_mask_sites sites = fold_sites(m);
    tc_real *mask = fold_mask(&sites, &fold_cases[0], &fold_cases[0], FOLD_NONE_GONE, 1);
    int *kept = tc_new(sites.count, sizeof *kept),
        text = tc_mask_sites_find(&sites, TC_TOWER_TEXT, TC_GROUP_WIDTH, -1);
    tc_error err;
    assert_int_equal(tc_model_fold(&folded, other, &sites, mask, &err), TC_EARG);
    assert_string_equal(err.message, "fold: the mask is that of another model");
    memset(mask + sites.items[text].offset, 0, (size_t)sites.items[text].size * sizeof *mask);
    assert_int_equal(tc_model_fold(&folded, m, &sites, mask, &err), TC_EARG);
    assert_string_equal(err.message, "fold: nothing is left of the width of the text tower");
    assert_null(folded);
    for (size_t s = 0; s < sites.count; s++) kept[s] = sites.items[s].size;
    kept[text]++;
    assert_int_equal(tc_config_fold(&c, &m->config, &sites, kept, &err), TC_EARG);
    kept[text] = -1;
    assert_int_equal(tc_config_fold(&c, &m->config, &sites, kept, &err), TC_EARG);
    free(kept);
    free(mask);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
    tc_model_close(&other);
}

/* ---- models like any other */

static void run(const tc_model *m, float *out) {
    fold_pass image, text;
    fold_forward(&image, m, NULL, NULL, false, 0, false);
    fold_forward(&text, m, NULL, NULL, true, 0, false);
    memcpy(out, tc_runner_output(image.r), FOLD_IMAGES * FOLD_EMBED * sizeof *out);
    memcpy(out + FOLD_IMAGES * FOLD_EMBED, tc_runner_output(text.r), FOLD_TEXTS * FOLD_EMBED * sizeof *out);
    fold_pass_free(&image);
    fold_pass_free(&text);
}

enum { OUTPUTS = (FOLD_IMAGES + FOLD_TEXTS) * FOLD_EMBED };

/* Saved and opened again; folded from the mapped file; refused by OpenCLIP; written as ONNX. */
static void check_files(const tc_model *m, const tc_model *folded, const tc_mask_sites *sites,
                        const tc_real *mask) {
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"), *onnx = tc_path_join(dir, "onnx");
    tc_model *again = NULL, *copy = NULL;
    tc_error err;
    float want[OUTPUTS], got[OUTPUTS];
    run(folded, want);
    if (tc_model_save(folded, path, TC_FORMAT_AUTO, &err) != TC_OK ||
        tc_model_open(&again, path, NULL, &err) != TC_OK || tc_model_copy(&copy, again, &err) != TC_OK)
        fail_msg("%s", err.message);
    run(copy, got);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(tc_model_get_info(again)->params, tc_model_get_info(folded)->params);
    tc_model_close(&copy);
    tc_model_close(&again);
    if (tc_model_save(m, path, TC_FORMAT_AUTO, &err) != TC_OK ||
        tc_model_open(&again, path, NULL, &err) != TC_OK ||
        tc_model_fold(&copy, again, sites, mask, &err) != TC_OK)
        fail_msg("%s", err.message);
    assert_memory_equal(copy->flat, folded->flat, (size_t)folded->params.total * sizeof *folded->flat);
    tc_model_close(&copy);
    tc_model_close(&again);
    assert_int_equal(tc_model_save(folded, dir, TC_FORMAT_OPENCLIP, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "cannot hold a pruned model"));
    if (tc_model_save(folded, onnx, TC_FORMAT_ONNX, &err) != TC_OK) fail_msg("%s", err.message);
    free(onnx);
    free(path);
    scratch_remove(dir);
}

static void check_training(tc_model *m /* taken */) {
    enum { PAIRS = 6 };
    const tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 3e-3, .warmup = 1, .steps = 1000},
                        .weight_decay = 0.2,
                        .beta1 = 0.9,
                        .beta2 = 0.98,
                        .eps = 1e-6,
                        .clip = 5,
                        .weight = 1,
                        .logit_scale = 20};
    int64_t size = (int64_t)PAIRS * 3 * m->config.image_size * m->config.image_size;
    float *pixels = tc_new((size_t)size, sizeof *pixels);
    int32_t ids[PAIRS * FOLD_CONTEXT];
    tc_rng rng = tc_rng_make(5, 0, 0);
    tc_trainer *t = NULL;
    tc_step_log log = {0};
    tc_error err;
    double first = 0;
    for (int64_t i = 0; i < size; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < PAIRS * FOLD_CONTEXT; i++) ids[i] = (int32_t)tc_rng_below(&rng, FOLD_IDS);
    if (tc_trainer_create(&t, &m, NULL, &h, &err) != TC_OK) fail_msg("%s", err.message);
    for (int step = 0; step < 25; step++) {
        if (tc_trainer_step(t, pixels, ids, PAIRS, FOLD_CONTEXT, &log, &err) != TC_OK)
            fail_msg("%s", err.message);
        assert_false(log.skipped);
        if (step == 0) first = log.loss.loss;
    }
    if (!(log.loss.loss < 0.8 * first)) fail_msg("the loss went from %.4f to %.4f", first, log.loss.loss);
    free(pixels);
    tc_trainer_free(&t);
}

static void folded_is_a_model(void **state) {
    (void)state;
    tc_config kinds[] = {fold_vit(false), fold_vit(true), fold_resnet()};
    static const int cases[] = {0, 3, 13};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 3; i++) {
            tc_model *m = fold_model(&kinds[kind], 3);
            tc_mask_sites sites = fold_sites(m);
            tc_real *mask = fold_mask(&sites, &fold_cases[cases[i]], &fold_cases[cases[i]],
                                      i ? FOLD_BLOCKS_GONE : FOLD_NONE_GONE, 1);
            tc_model *folded = fold_folded(m, &sites, mask);
            const tc_model_info *whole = tc_model_get_info(m), *info = tc_model_get_info(folded);
            assert_true(info->pruned && info->params < whole->params &&
                        info->macs_image < whole->macs_image && info->macs_text < whole->macs_text);
            check_files(m, folded, &sites, mask);
            check_training(folded);
            free(mask);
            tc_mask_sites_free(&sites);
            tc_model_close(&m);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outputs),       cmocka_unit_test(ones_change_nothing),
                                       cmocka_unit_test(settings_stay), cmocka_unit_test(configuration_alone),
                                       cmocka_unit_test(refusals),      cmocka_unit_test(folded_is_a_model)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1); /* hundreds of passes, each too small to be shared */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
