/* test_pruned_resnet.c - ResNets with a number of inner channels of their own in each block: configurations,
 * files of this program, checkpoints with and without a configuration, counts, training. What a form cannot
 * hold is in test_convert.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/layout.h"
#include "net/resnet.h"
#include "scratch.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, SIDE = 32, CONTEXT = 8, EMBED = 9, BLOCKS = 5, CHANNELS = 2 + 2 * BLOCKS };

/* Of 2 and 2 in the stem, 4 and 4 in the first block, 8 in the next two, 16, 32. */
static const int left[CHANNELS] = {1, 2, 3, 4, 1, 8, 7, 5, 16, 9, 31, 1};

static const char form[] =
    "{\"embed_dim\":9,\"vision_cfg\":{\"image_size\":32,\"layers\":[1,2,1,1],\"width\":4,\"head_width\":16%s}"
    ","
    "\"text_cfg\":{\"context_length\":8,\"vocab_size\":20,\"width\":8,\"heads\":2,\"layers\":1}}";

static tc_status parse(const char *more, tc_config *c, tc_error *err) {
    char text[512];
    snprintf(text, sizeof text, form, more);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    tc_status status = tc_config_parse(c, json, "test", err);
    json_decref(json);
    return status;
}

/* 64 channels a head, as what is opened without a configuration has. */
static tc_config pruned_config(int head_dim) {
    tc_config c;
    assert_int_equal(parse("", &c, NULL), TC_OK);
    assert_false(tc_config_is_pruned(&c));
    memcpy(c.vision.channels, left, sizeof left);
    c.vision.head_dim = head_dim;
    c.vision.block[0].heads = 128 / head_dim;
    c.text.width = head_dim == 64 ? 128 : 8;
    c.text.head_dim = head_dim == 64 ? 64 : 4;
    c.text.block[0].ffn = 4 * c.text.width;
    return c;
}

static tc_model *make_model(const tc_config *c, uint64_t seed) {
    tc_model *m = NULL;
    tc_rng rng = tc_rng_make(seed, 1, 1);
    assert_int_equal(tc_model_random(&m, c, seed, NULL), TC_OK);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        for (int64_t k = 0; k < p->numel && p->ndim && !tc_param_is(p, TC_ROLE_STATE); k++)
            m->flat[p->offset + k] += 0.1f * (float)tc_rng_normal(&rng);
        for (int64_t k = 0; k < p->numel && p->ndim && tc_param_is(p, TC_ROLE_STATE); k++)
            m->flat[p->offset + k] += 0.1f * (float)tc_rng_uniform(&rng);
    }
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    return m;
}

static float pixels[BATCH * 3 * SIDE * SIDE];
static int32_t ids[BATCH * CONTEXT];

static void make_batch(uint64_t seed) {
    tc_rng rng = tc_rng_make(seed, 1, 1);
    for (int i = 0; i < BATCH * 3 * SIDE * SIDE; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < BATCH * CONTEXT; i++)
        ids[i] = i % CONTEXT == CONTEXT - 1 ? 19 : 1 + (int32_t)tc_rng_below(&rng, 17);
}

static void embed(const tc_model *m, float *out) {
    tc_session *s = NULL;
    make_batch(3);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, BATCH, out, NULL), TC_OK);
    tc_session_close(&s);
}

static void expect_same(const tc_model *a, const tc_model *b) {
    char difference[256];
    float x[BATCH * EMBED], y[BATCH * EMBED];
    if (tc_config_difference(&a->config, &b->config, difference, sizeof difference))
        fail_msg("%s", difference);
    embed(a, x);
    embed(b, y);
    for (int i = 0; i < BATCH * EMBED; i++) assert_true(isfinite(x[i]) && x[i] != 0);
    assert_memory_equal(x, y, sizeof x);
}

/* ---- configurations */

static void configurations(void **state) {
    (void)state;
    static const struct {
        const char *more, *message; /* NULL: accepted */
        bool pruned;
    } cases[] = {
        {",\"channels\":[1,2,3,4,1,8,7,5,16,9,31,1]", NULL, true},
        {",\"channels\":[2,2,4,4,8,8,8,8,16,16,32,32]", NULL, false},
        {",\"channels\":[2,2,4,4,8,8,8,8,16,16,32,31]", NULL, true},
        {",\"channels\":null", NULL, false},
        {",\"channels\":[2,2,4,4]",
         "vision_cfg.channels must be a list of 12 numbers, two for the stem and two for each block", false},
        {",\"channels\":7",
         "vision_cfg.channels must be a list of 12 numbers, two for the stem and two for each block", false},
        {",\"channels\":[0,2,4,4,8,8,8,8,16,16,32,32]",
         "vision_cfg.channels[0] must be a whole number from 1 to 2", false},
        {",\"channels\":[2,2,4,5,8,8,8,8,16,16,32,32]",
         "vision_cfg.channels[3] must be a whole number from 1 to 4", false},
        {",\"channels\":[2,2,4,4,8,8,8,8,16,1.5,32,32]",
         "vision_cfg.channels[9] must be a whole number from 1 to 16", false},
        {",\"channels\":[2,2,4,4,8,8,8,8,16,16,32,-1]",
         "vision_cfg.channels[11] must be a whole number from 1 to 32", false},
        {",\"channels\":[2,2,4,4,8,8,8,8,16,16,32,null]",
         "vision_cfg.channels[11] must be a whole number from 1 to 32", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_config c, again;
        tc_error err = {0};
        char difference[256];
        tc_status status = parse(cases[i].more, &c, &err);
        if (cases[i].message) {
            assert_int_equal(status, TC_EFORMAT);
            if (!tc_ends_with(err.message, cases[i].message))
                fail_msg("\"%s\" instead of \"%s\"", err.message, cases[i].message);
            continue;
        }
        if (status != TC_OK) fail_msg("%s", err.message);
        assert_int_equal(tc_config_is_pruned(&c), cases[i].pruned);
        json_t *written = tc_config_full_json(&c);
        assert_int_equal(json_object_get(json_object_get(written, "vision_cfg"), "channels") != NULL,
                         cases[i].pruned);
        assert_int_equal(tc_config_parse(&again, written, "again", NULL), TC_OK);
        json_decref(written);
        if (tc_config_difference(&c, &again, difference, sizeof difference)) fail_msg("%s", difference);
    }
}

static void differences(void **state) {
    (void)state;
    tc_config a = pruned_config(16), b = a;
    tc_diff_setting d;
    b.vision.channels[1] = 1;
    b.vision.channels[7] = 8;
    assert_true(tc_config_difference_at(&a, &b, 0, &d));
    assert_string_equal(d.what, "stem");
    assert_string_equal(d.a, "1 and 2 inner channels");
    assert_string_equal(d.b, "1 and 1 inner channels");
    assert_true(tc_config_difference_at(&a, &b, 1, &d));
    assert_string_equal(d.what, "vision block 2");
    assert_string_equal(d.b, "7 and 8 inner channels");
    assert_false(tc_config_difference_at(&a, &b, 2, &d));
}

/* ---- files */

static tc_model *must_open(const char *path, const char *config) {
    tc_model *m = NULL;
    tc_error err;
    if (tc_model_open(&m, path, &(tc_open_options){.config = config}, &err) != TC_OK)
        fail_msg("%s", err.message);
    return m;
}

static void own_file(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_config c = pruned_config(16);
    tc_model *m = make_model(&c, 1);
    tc_error err;
    if (tc_model_save(m, path, TC_FORMAT_AUTO, &err) != TC_OK) fail_msg("%s", err.message);
    tc_model *again = must_open(path, NULL);
    expect_same(m, again);
    tc_model_close(&again);
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* The tensors alone, under OpenCLIP's names; `longer` grows by one row if it is not NULL, `without` and what
 * begins so is left out. */
static void write_tensors(const tc_model *m, const char *longer, const char *without, const char *path) {
    tc_st_writer *w = NULL;
    int64_t *counts = tc_new(m->params.count, sizeof *counts); /* read at the commit */
    assert_non_null(counts);
    assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        int64_t shape[TC_PARAM_RANK];
        counts[i] = (int64_t)m->flat[p->offset];
        memcpy(shape, p->shape, sizeof shape);
        if (without && tc_starts_with(p->name, without)) continue;
        /* the padding of the flat block is room for it */
        if (longer && strcmp(p->name, longer) == 0) shape[0]++;
        bool counter = tc_param_is_counter(p);
        const void *data = counter ? (const void *)&counts[i] : m->flat + p->offset;
        assert_int_equal(tc_st_writer_add(w, p->name, counter ? TC_I64 : TC_F32, p->ndim, shape, data, NULL),
                         TC_OK);
    }
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, NULL), TC_OK);
    free(counts);
}

static const char *write_config(const char *dir, const tc_config *c) {
    json_t *json = tc_config_openclip_json(c);
    char *text = json_dumps(json, 0);
    const char *path = scratch_text(dir, "given.json", text);
    free(text);
    json_decref(json);
    return path;
}

/* Alone, with the configuration from before, and with its own. */
static void tensors_decide(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_config c = pruned_config(64), before = c;
    tc_model *m = make_model(&c, 3);
    tc_resnet_fill(&before.vision);
    write_tensors(m, NULL, NULL, path);
    for (int i = 0; i < 3; i++) {
        tc_model *again = must_open(path, i == 0 ? NULL : write_config(dir, i == 1 ? &before : &c));
        expect_same(m, again);
        assert_true(tc_model_get_info(again)->pruned);
        tc_model_close(&again);
    }
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

static void expect_refused(const char *path, const char *config, const char *message) {
    tc_model *m = NULL;
    tc_error err = {0};
    assert_int_equal(tc_model_open(&m, path, &(tc_open_options){.config = config}, &err), TC_EFORMAT);
    if (!strstr(err.message, message)) fail_msg("\"%s\" does not hold \"%s\"", err.message, message);
}

static void contradictions(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_config c = pruned_config(64), other = c;
    tc_model *m = make_model(&c, 3);
    write_tensors(m, NULL, NULL, path);
    other.vision.channels[4] = 2;
    expect_refused(path, write_config(dir, &other),
                   "differ: vision block 1: 1 and 8 inner channels and 2 and 8 inner channels");
    /* More channels than its width allows, a norm that is not its convolution's, an odd width, a stage that
     * is not there. */
    write_tensors(m, "visual.layer3.0.bn1.bias", NULL, path);
    expect_refused(path, NULL,
                   "visual.layer3.0.bn1.bias has 17 channels, but a ResNet of width 4 has at most 16 there");
    write_tensors(m, "visual.layer3.0.bn2.bias", NULL, path);
    expect_refused(path, NULL, "visual.layer3.0.conv2.weight' is [9,16,3,3], expected [10,16,3,3]");
    write_tensors(m, "visual.bn3.bias", NULL, path);
    expect_refused(path, NULL, "visual.bn3.bias has 5 channels, but a ResNet's width is even");
    write_tensors(m, NULL, "visual.layer3.", path);
    expect_refused(path, NULL, "all tensors of visual.layer3.* are missing");
    write_tensors(m, NULL, "visual.layer2.1.bn2.bias", path);
    expect_refused(path, NULL, "tensor 'visual.layer2.1.bn2.bias' is missing");
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- counts, worked out here from the sizes alone */

static void counts(void **state) {
    (void)state;
    static const int stage[BLOCKS] = {1, 2, 2, 3, 4}, first[BLOCKS] = {1, 1, 0, 1, 1};
    tc_config c = pruned_config(16);
    tc_model *m = make_model(&c, 1);
    const tc_model_info *info = tc_model_get_info(m);
    int64_t params =
        27 * left[0] + 2 * left[0] + 9 * left[0] * left[1] + 2 * left[1] + 9 * left[1] * 4 + 2 * 4;
    double macs = 256.0 * (27 * left[0] + 9 * left[0] * left[1] + 9 * left[1] * 4);
    for (int b = 0; b < BLOCKS; b++) {
        int out = 16 << (stage[b] - 1),
            in = !first[b]       ? out
                 : stage[b] == 1 ? 4
                                 : out / 2,
            one = left[2 + 2 * b], two = left[3 + 2 * b];
        int side = 8 >> (stage[b] - 1), before = first[b] && stage[b] > 1 ? 2 * side : side;
        params += in * one + 2 * one + 9 * one * two + 2 * two + two * out + 2 * out +
                  (first[b] ? in * out + 2 * out : 0);
        macs += (double)before * before * (in * one + 9 * one * two) +
                (double)side * side * (two * out + (first[b] ? in * out : 0));
    }
    params += 2 * 128 + 3 * (128 * 128 + 128) + EMBED * 129;
    /* every row, as published counts are */
    macs += 2.0 * 3 * 128 * 128 + 2.0 * 2 * 2 * 128 + 2.0 * EMBED * 128;
    assert_true(info->pruned);
    assert_int_equal(info->params_vision, params);
    if (info->macs_image != macs) fail_msg("%.0f MACs instead of %.0f", info->macs_image, macs);
    assert_memory_equal(info->vision_channels, left, sizeof left);
    tc_model_close(&m);
}

/* ---- training and inheritance */

static void steps_reduce_the_loss(void **state) {
    (void)state;
    tc_config c = pruned_config(16);
    tc_model *m = make_model(&c, 5), *teacher = make_model(&c, 6);
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 3e-3, .warmup = 1, .steps = 1000},
                  .weight_decay = 0.2,
                  .beta1 = 0.9,
                  .beta2 = 0.999,
                  .eps = 1e-8,
                  .clip = 5,
                  .alpha = 0.5,
                  .weight = 1,
                  .logit_scale = 20};
    tc_trainer *t = NULL;
    tc_step_log log = {0};
    double start = 0;
    make_batch(1);
    assert_int_equal(tc_trainer_create(&t, &m, teacher, &h, NULL), TC_OK);
    for (int step = 0; step < 30; step++) {
        assert_int_equal(tc_trainer_step(t, pixels, ids, BATCH, CONTEXT, &log, NULL), TC_OK);
        assert_false(log.skipped);
        if (step == 0) start = log.loss.loss;
    }
    if (!(log.loss.loss < 0.7 * start)) fail_msg("the loss went from %.4f to %.4f", start, log.loss.loss);
    tc_trainer_free(&t);
    tc_model_close(&teacher);
}

static void inheritance(void **state) {
    (void)state;
    tc_config c = pruned_config(16), s = c;
    tc_model *teacher = make_model(&c, 1), *student = NULL;
    tc_error err;
    float out[BATCH * EMBED];
    s.vision.channels[8] = 3;
    assert_int_equal(tc_model_inherit_config(&student, teacher, &s, &err), TC_OK);
    embed(student, out);
    tc_model_close(&student);
    s.vision.channels[11] = 2;
    assert_int_equal(tc_model_inherit_config(&student, teacher, &s, &err), TC_EARG);
    assert_non_null(strstr(
        err.message,
        "visual.layer4.0.conv2.weight is [2,31,3,3] in the student, larger than the teacher's [1,31,3,3]"));
    tc_model_close(&teacher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations),        cmocka_unit_test(differences),    cmocka_unit_test(own_file),
        cmocka_unit_test(tensors_decide),        cmocka_unit_test(contradictions), cmocka_unit_test(counts),
        cmocka_unit_test(steps_reduce_the_loss), cmocka_unit_test(inheritance)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
