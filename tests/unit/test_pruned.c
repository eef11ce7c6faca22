/* test_pruned.c - pruned models: towers whose blocks differ, of which some lack heads or an FFN, with widths
 * that are no multiple of the heads' size. They are run, saved, opened, counted, trained, resumed and
 * inherited from like any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/layout.h"
#include "train_rig.h"

#include <math.h>

/* What is left of a tower. -1: no FFN at all. */
typedef struct left {
    int heads, ffn;
} left;
enum { LAYERS = 5, WIDTH = 21, TEXT_WIDTH = 13, EMBED = 8 };
static const left image[LAYERS] = {{3, 20}, {0, 7}, {2, 0}, {1, -1}, {4, 25}},
                  text[LAYERS] = {{2, 9}, {1, 0}, {0, 30}, {0, -1}, {1, 0}};

static tc_config pruned_config(void) {
    tc_config c = rig_config(LAYERS, 32, RIG_SIDE);
    c.vision.width = WIDTH;
    c.text.width = TEXT_WIDTH;
    for (int l = 0; l < LAYERS; l++) {
        c.vision.block[l].heads = image[l].heads, c.vision.block[l].ffn = image[l].ffn;
        c.text.block[l].heads = text[l].heads, c.text.block[l].ffn = text[l].ffn;
    }
    return c;
}

static tc_model *random_model(const tc_config *c, uint64_t seed) {
    tc_model *m = NULL;
    tc_error err;
    rig_or_die(tc_model_random(&m, c, seed, &err), &err, "model");
    tc_rng rng = tc_rng_make(seed, 1, 1);
    for (int64_t i = 0; i < m->params.total; i++) m->flat[i] += 0.1f * (float)tc_rng_normal(&rng);
    m->logit_scale = m->flat[m->params.items[m->params.count - 1].offset];
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    return m;
}

static tc_model *pruned_model(uint64_t seed) {
    tc_config c = pruned_config();
    return random_model(&c, seed);
}

static tc_model *must_open(const char *path, const char *config) {
    tc_model *m = NULL;
    tc_error err;
    tc_open_options o = tc_open_options_default();
    o.config = config;
    if (tc_model_open(&m, path, &o, &err) != TC_OK) fail_msg("%s", err.message);
    return m;
}

enum { IMAGES = 3, TEXTS = 4 };
typedef struct results {
    float image[IMAGES * EMBED], text[TEXTS * EMBED];
} results;

static void run(const tc_model *m, results *r) {
    float pixels[IMAGES * 3 * RIG_SIDE * RIG_SIDE];
    int32_t ids[TEXTS * RIG_CONTEXT];
    tc_session *s = NULL;
    tc_rng rng = tc_rng_make(4, 0, 0);
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) ids[i] = (int32_t)tc_rng_below(&rng, RIG_IDS);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, IMAGES, r->image, NULL), TC_OK);
    assert_int_equal(tc_session_encode_text(s, ids, TEXTS, RIG_CONTEXT, r->text, NULL), TC_OK);
    for (int i = 0; i < IMAGES * EMBED; i++) assert_true(isfinite(r->image[i]) && r->image[i] != 0);
    tc_session_close(&s);
}

static void expect_same(const tc_model *a, const tc_model *b) {
    char difference[256];
    results x, y;
    if (tc_config_difference(&a->config, &b->config, difference, sizeof difference))
        fail_msg("%s", difference);
    run(a, &x);
    run(b, &y);
    assert_memory_equal(&x, &y, sizeof x);
}

/* ---- files */

static void own_file(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    for (int kind = 0; kind < 4; kind++) {
        tc_config c = pruned_config();
        if (kind == 1) c.vision.activation = c.text.activation = TC_QUICK_GELU;
        if (kind == 2) c.text.activation = TC_QUICK_GELU, c.eos_id = 53;
        if (kind == 3) c.vision.activation = TC_QUICK_GELU, c.eos_id = 0;
        tc_model *m = random_model(&c, 3), *again;
        tc_error err;
        if (tc_model_save(m, path, TC_FORMAT_AUTO, &err) != TC_OK) fail_msg("%s", err.message);
        again = must_open(path, NULL);
        expect_same(m, again);
        tc_model_close(&again);
        tc_model_close(&m);
    }
    free(path);
    scratch_remove(dir);
}

/* What other programs open has no words for it. */
static void no_other_form(void **state) {
    (void)state;
    static const tc_format formats[] = {TC_FORMAT_HF, TC_FORMAT_AUTO, TC_FORMAT_OPENCLIP};
    char *dir = scratch_dir(), *path = tc_path_join(dir, "model");
    tc_model *m = pruned_model(3);
    for (int i = 0; i < 3; i++) {
        tc_error err;
        assert_int_equal(tc_model_save(m, path, formats[i], &err), TC_EUNSUPPORTED);
        assert_true(tc_starts_with(err.message, path));
        assert_non_null(strstr(err.message, "single"));
        assert_false(tc_path_exists(path));
    }
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- the tensors with the configuration of the model before it was pruned */

/* Some of the model's tensors under OpenCLIP's names; `more` is a norm that is written too, or NULL. */
static void write_tensors(const tc_model *m, const char *more, const char *path) {
    static const float ones[64];
    tc_st_writer *w = NULL;
    const int64_t width = TEXT_WIDTH;
    assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        assert_int_equal(tc_st_writer_add(w, p->name, TC_F32, p->ndim, p->shape, m->flat + p->offset, NULL),
                         TC_OK);
    }
    if (more) assert_int_equal(tc_st_writer_add(w, more, TC_F32, 1, &width, ones, NULL), TC_OK);
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, NULL), TC_OK);
}

static void tensors_decide(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_config c = pruned_config(), before = rig_config(LAYERS, 32, RIG_SIDE);
    c.text.block[3].ffn = 2; /* a block with nothing left cannot be told from one that was lost */
    tc_model *m = random_model(&c, 3), *again;
    tc_error err;
    json_t *json = tc_config_openclip_json(&before);
    char *text_before = json_dumps(json, 0);
    const char *config = scratch_text(dir, "before.json", text_before);
    write_tensors(m, NULL, path);
    again = must_open(path, config);
    expect_same(m, again);
    assert_true(tc_model_get_info(again)->pruned);
    tc_model_close(&again);
    /* A norm that was left before what is gone means nothing. */
    write_tensors(m, "transformer.resblocks.2.ln_1.weight", path);
    again = must_open(path, config);
    expect_same(m, again);
    tc_model_close(&again);
    /* But one that belongs nowhere does. */
    write_tensors(m, "transformer.resblocks.2.ln_3.weight", path);
    assert_int_equal(tc_model_open(&again, path, &(tc_open_options){.config = config}, &err), TC_EFORMAT);
    assert_non_null(strstr(
        err.message, "tensor 'transformer.resblocks.2.ln_3.weight' is not part of the configured model"));
    /* Without a configuration the size of the heads is not known. */
    write_tensors(m, NULL, path);
    assert_int_equal(tc_model_open(&again, path, NULL, &err), TC_EARG);
    assert_non_null(strstr(err.message,
                           "the image tower (width 21, 5 layers) is pruned or has heads of an unusual size"));
    tc_model_close(&m);
    free(text_before);
    json_decref(json);
    free(path);
    scratch_remove(dir);
}

/* Pruned models that are larger than what they are said to come from, and one with a block lost. */
static void contradictions(void **state) {
    (void)state;
    static const struct {
        int width, heads, ffn, head_dim; /* of the configuration; blocks of the model as above */
        const char *message;
    } cases[] = {{20, 2, 64, 10, "the image tower has a width of 21 in its tensors, 20 in the configuration"},
                 {24, 3, 64, 8,
                  "block 4 of the image tower has 4 heads and 25 FFN channels in its tensors, 3 and 64 in "
                  "the configuration"},
                 {32, 4, 24, 8,
                  "block 4 of the image tower has 4 heads and 25 FFN channels in its tensors, 4 and 24 in "
                  "the configuration"},
                 {30, 6, 64, 5,
                  "block 0 of the image tower has 72 query, key and value channels in its tensors, which are "
                  "no heads of 5 each"}};
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_config c = pruned_config();
    c.text.block[3].ffn = 2;
    tc_model *m = random_model(&c, 3), *again = NULL;
    tc_error err;
    write_tensors(m, NULL, path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_config before = rig_config(LAYERS, 32, RIG_SIDE);
        before.vision.width = cases[i].width;
        before.vision.head_dim = cases[i].head_dim;
        for (int l = 0; l < LAYERS; l++)
            before.vision.block[l].heads = cases[i].heads, before.vision.block[l].ffn = cases[i].ffn;
        json_t *json = tc_config_openclip_json(&before);
        char *dumped = json_dumps(json, 0);
        assert_int_equal(tc_model_open(&again, path,
                                       &(tc_open_options){.config = scratch_text(dir, "before.json", dumped)},
                                       &err),
                         TC_EFORMAT);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" instead of \"%s\"", err.message, cases[i].message);
        free(dumped);
        json_decref(json);
    }
    tc_model_close(&m);
    m = pruned_model(3);
    write_tensors(m, NULL, path);
    tc_config before = rig_config(LAYERS, 32, RIG_SIDE);
    json_t *json = tc_config_openclip_json(&before);
    char *dumped = json_dumps(json, 0);
    assert_int_equal(tc_model_open(&again, path,
                                   &(tc_open_options){.config = scratch_text(dir, "before.json", dumped)},
                                   &err),
                     TC_EFORMAT);
    free(dumped);
    json_decref(json);
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- configurations */

static void configurations(void **state) {
    (void)state;
    static const struct {
        const char *vision, *text, *message; /* what is added to the towers; NULL: accepted */
    } cases[] = {
        {"\"heads\": [1, 0]", "\"heads\": 2", NULL},
        {"\"mlp\": [0, null]", "\"heads\": 2", NULL},
        {"\"heads\": [3, 1], \"width\": 9", "\"heads\": [0, 4], \"head_width\": 3, \"mlp\": [5, 6]", NULL},
        {"\"heads\": [1]", "\"heads\": 2", "vision_cfg.heads has 1 entries for 2 layers"},
        {"\"mlp\": [1, 2, 3]", "\"heads\": 2", "vision_cfg.mlp has 3 entries for 2 layers"},
        {"\"heads\": [1, -1]", "\"heads\": 2",
         "vision_cfg.heads[1] must be a whole number of heads from 0 to 262144"},
        {"\"heads\": [1, 1.5]", "\"heads\": 2",
         "vision_cfg.heads[1] must be a whole number of heads from 0 to 262144"},
        {"\"heads\": [null, 1]", "\"heads\": 2",
         "vision_cfg.heads[0] must be a whole number of heads from 0 to 262144"},
        {"\"heads\": [1, 262145]", "\"heads\": 2",
         "vision_cfg.heads[1] must be a whole number of heads from 0 to 262144"},
        {"\"mlp\": [-1, 4]", "\"heads\": 2",
         "vision_cfg.mlp[0] must be null or a whole number from 0 to 1048576"},
        {"\"mlp\": [4, 1048577]", "\"heads\": 2",
         "vision_cfg.mlp[1] must be null or a whole number from 0 to 1048576"},
        {"\"mlp\": [4, \"5\"]", "\"heads\": 2",
         "vision_cfg.mlp[1] must be null or a whole number from 0 to 1048576"},
        {"\"mlp\": [4, 4]", "\"heads\": [1, 1]",
         "text_cfg.head_width must be a whole number from 1 to 65536"},
        {"\"mlp\": [4, 4]", "\"heads\": 2, \"eos_token_id\": -3",
         "text_cfg.eos_token_id must be a whole number from 0 to 16777216"},
    };
    char *dir = scratch_dir(), json[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool wide = strstr(cases[i].vision, "width\":") != NULL;
        snprintf(json, sizeof json,
                 "{\"embed_dim\": 4, \"vision_cfg\": {\"image_size\": 8, \"patch_size\": 4, \"layers\": 2, "
                 "\"head_width\": 4, %s%s}, \"text_cfg\": "
                 "{\"width\": 8, \"layers\": 2, %s}}",
                 wide ? "" : "\"width\": 8, ", cases[i].vision, cases[i].text);
        const char *path = scratch_text(dir, "c.json", json);
        tc_config c, again;
        tc_error err = {0};
        char difference[256];
        tc_status status = tc_config_open(&c, path, &err);
        if (!cases[i].message && status != TC_OK) fail_msg("%s", err.message);
        if (cases[i].message && (status != TC_EFORMAT || !tc_ends_with(err.message, cases[i].message)))
            fail_msg("%s: \"%s\" instead of \"%s\"", json, err.message, cases[i].message);
        if (status != TC_OK) continue;
        assert_true(tc_config_is_pruned(&c));
        json_t *written = tc_config_full_json(&c);
        assert_int_equal(tc_config_parse(&again, written, "again", NULL), TC_OK);
        json_decref(written);
        if (tc_config_difference(&c, &again, difference, sizeof difference)) fail_msg("%s", difference);
    }
    scratch_remove(dir);
}

/* ---- counts, worked out here from the sizes alone */

static int64_t params_of(const left *b, int width, int head_dim) {
    int64_t n = 0, inner = (int64_t)b->heads * head_dim;
    if (b->heads) n += 2 * width + 3 * inner * (width + 1) + width * (inner + 1);
    if (b->ffn >= 0) n += 2 * width + b->ffn * (width + 1) + width * (b->ffn + 1);
    return n;
}

static double macs_of(const left *b, int width, int head_dim, int rows) {
    double inner = b->heads * head_dim;
    return rows * (4 * inner * width + (b->ffn > 0 ? 2.0 * b->ffn * width : 0)) + 2.0 * rows * rows * inner;
}

static void counts(void **state) {
    (void)state;
    tc_model *m = pruned_model(1);
    const tc_model_info *info = tc_model_get_info(m);
    int64_t vision = WIDTH + 5 * WIDTH + WIDTH * EMBED + WIDTH * 48 + 4 * WIDTH,
            words = RIG_CONTEXT * TEXT_WIDTH + TEXT_WIDTH * EMBED + 2 * TEXT_WIDTH;
    double macs = 4.0 * 48 * WIDTH + WIDTH * EMBED, text_macs = TEXT_WIDTH * EMBED;
    for (int l = 0; l < LAYERS; l++) {
        vision += params_of(&image[l], WIDTH, 8);
        words += params_of(&text[l], TEXT_WIDTH, 8);
        macs += macs_of(&image[l], WIDTH, 8, 5);
        text_macs += macs_of(&text[l], TEXT_WIDTH, 8, RIG_CONTEXT);
        assert_int_equal(info->vision_layer_heads[l], image[l].heads);
        assert_int_equal(info->vision_layer_ffn[l], image[l].ffn);
        assert_int_equal(info->text_layer_heads[l], text[l].heads);
        assert_int_equal(info->text_layer_ffn[l], text[l].ffn);
    }
    assert_true(info->pruned);
    assert_int_equal(info->params_vision, vision);
    assert_int_equal(info->params_text, words);
    assert_int_equal(info->params, vision + words + RIG_IDS * TEXT_WIDTH + 1);
    assert_true(info->macs_image == macs);
    assert_true(info->macs_text == text_macs);
    assert_int_equal(info->vision_heads, 4);
    assert_int_equal(info->text_heads, 2);
    tc_model_close(&m);
}

/* ---- inheritance: the leading part of what a pruned teacher has */

static void inheritance(void **state) {
    (void)state;
    tc_model *teacher = pruned_model(1), *student = NULL;
    tc_config c = pruned_config();
    tc_error err;
    results r;
    c.vision.width = WIDTH - 4;
    c.vision.block[0].heads = 2;
    c.vision.block[4].ffn = 11;
    c.text.block[2].ffn = 30;
    if (tc_model_inherit_config(&student, teacher, &c, &err) != TC_OK) fail_msg("%s", err.message);
    run(student, &r);
    int to = tc_params_find(&student->params, "visual.transformer.resblocks.0.attn.in_proj_bias");
    int from = tc_params_find(&teacher->params, "visual.transformer.resblocks.0.attn.in_proj_bias");
    const float *s = student->flat + student->params.items[to].offset,
                *t = teacher->flat + teacher->params.items[from].offset;
    for (int part = 0; part < 3; part++) assert_memory_equal(s + part * 16, t + part * 24, 16 * sizeof *s);
    tc_model_close(&student);
    /* What the teacher has not it cannot give. */
    c.vision.block[1].heads = 1;
    assert_int_equal(tc_model_inherit_config(&student, teacher, &c, &err), TC_EARG);
    assert_string_equal(err.message,
                        "inherit: the teacher has nothing for visual.transformer.resblocks.1.ln_1.weight");
    c.vision.block[1].heads = 0;
    c.vision.block[3].ffn = 0;
    assert_int_equal(tc_model_inherit_config(&student, teacher, &c, &err), TC_EARG);
    assert_string_equal(err.message,
                        "inherit: the teacher has nothing for visual.transformer.resblocks.3.ln_2.weight");
    tc_model_close(&teacher);
}

/* ---- training */

static void steps_reduce_the_loss(void **state) {
    (void)state;
    tc_model *student = pruned_model(1), *teacher = pruned_model(2);
    tc_trainer *t = NULL;
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 3e-3, .warmup = 1, .steps = 1000},
                  .weight_decay = 0.2,
                  .beta1 = 0.9,
                  .beta2 = 0.98,
                  .eps = 1e-6,
                  .clip = 5,
                  .alpha = 0.5,
                  .weight = 1,
                  .logit_scale = 20};
    float pixels[6 * 3 * RIG_SIDE * RIG_SIDE];
    int32_t ids[6 * RIG_CONTEXT];
    tc_rng rng = tc_rng_make(5, 0, 0);
    tc_step_log log = {0};
    tc_error err;
    double first = 0;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) ids[i] = (int32_t)tc_rng_below(&rng, RIG_IDS);
    if (tc_trainer_create(&t, &student, teacher, &h, &err) != TC_OK) fail_msg("%s", err.message);
    for (int step = 0; step < 40; step++) {
        if (tc_trainer_step(t, pixels, ids, 6, RIG_CONTEXT, &log, &err) != TC_OK) fail_msg("%s", err.message);
        assert_false(log.skipped);
        if (step == 0) first = log.loss.loss;
    }
    if (!(log.loss.loss < 0.7 * first)) fail_msg("the loss went from %.4f to %.4f", first, log.loss.loss);
    tc_trainer_free(&t);
    tc_model_close(&teacher);
}

/* Stopped and gone on with after every number of steps, the run ends in the same file; the file opens. */
static void resumed_is_never_stopped(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    tc_model_close(&r.start);
    r.start = pruned_model(1);
    char *whole = rig_path(&r, "whole"), *parts = rig_path(&r, "parts"),
         *saved = tc_path_join(whole, "model.safetensors");
    tc_train_options o = rig_options(&r, whole);
    tc_train_result result;
    tc_error err;
    tc_model *trained = NULL;
    o.steps = 5;
    o.teacher = r.teacher;
    o.alpha = 0.5;
    if (tc_train(&o, &trained, &result, &err) != TC_OK) fail_msg("%s", err.message);
    tc_buf want = rig_bytes(whole, "model.safetensors");
    o.out = parts;
    for (int64_t stride = 1; stride < 5; stride += 2) {
        o.resume = false;
        o.stop_after = stride;
        do {
            if (tc_train(&o, NULL, &result, &err) != TC_OK) fail_msg("%s", err.message);
            o.resume = true;
        } while (result.steps < o.steps);
        assert_true(rig_same(&want, parts, "model.safetensors"));
        rig_remove(parts);
    }
    tc_model *again = must_open(saved, NULL);
    expect_same(trained, again);
    tc_model_close(&again);
    tc_model_close(&trained);
    tc_buf_free(&want);
    free(whole);
    free(parts);
    free(saved);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(own_file),

                                       cmocka_unit_test(no_other_form),
                                       cmocka_unit_test(tensors_decide),
                                       cmocka_unit_test(contradictions),
                                       cmocka_unit_test(configurations),
                                       cmocka_unit_test(counts),
                                       cmocka_unit_test(inheritance),
                                       cmocka_unit_test(steps_reduce_the_loss),
                                       cmocka_unit_test(resumed_is_never_stopped)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
