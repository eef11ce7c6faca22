/* test_resnet.c - models with a ModifiedResNet: the published sizes, configurations that are refused, files,
 * and training that goes on bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 10, SIDE = 32, CONTEXT = 8 };

static const char small[] =
    "{\"embed_dim\":9,\"vision_cfg\":{\"image_size\":32,\"layers\":[1,2,1,1],\"width\":4,\"head_width\":16,"
    "\"patch_size\":null},"
    "\"text_cfg\":{\"context_length\":8,\"vocab_size\":20,\"width\":8,\"heads\":2,\"layers\":1}}";

static tc_status parse(const char *text, tc_config *c, tc_error *err) {
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    tc_status status = tc_config_parse(c, json, "test", err);
    json_decref(json);
    return status;
}

static tc_model *make_model(uint64_t seed) {
    tc_config c;
    tc_model *m = NULL;
    assert_int_equal(parse(small, &c, NULL), TC_OK);
    assert_int_equal(tc_model_random(&m, &c, seed, NULL), TC_OK);
    return m;
}

/* The names of the configurations are their parameters in millions; MACs as published, to 3 %. */
static void published_sizes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int image, text;
        double macs;
    } models[] = {{"TinyCLIP-ResNet-30M-Text-29M", 30, 29, 6.9},
                  {"TinyCLIP-ResNet-19M-Text-19M", 19, 19, 4.4},
                  {"RN50", 38, 38, 9.1}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        tc_config c;
        tc_params p;
        tc_graph *image = NULL, *text = NULL;
        double count[TC_TOWERS] = {0};
        assert_int_equal(tc_config_open(&c, models[i].name, NULL), TC_OK);
        assert_int_equal(tc_net_params(&p, &c, NULL), TC_OK);
        for (size_t k = 0; k < p.count; k++)
            if (!tc_param_is(&p.items[k], TC_ROLE_STATE) &&
                strcmp(p.items[k].name, "token_embedding.weight") != 0)
                count[p.items[k].tower] += (double)p.items[k].numel;
        assert_int_equal(llround(count[TC_TOWER_VISION] / 1e6), models[i].image);
        assert_int_equal(llround(count[TC_TOWER_TEXT] / 1e6), models[i].text);
        assert_int_equal(tc_net_graph(&image, TC_TOWER_VISION, &c, &p, TC_NET_WHOLE, NULL), TC_OK);
        assert_int_equal(tc_net_graph(&text, TC_TOWER_TEXT, &c, &p, TC_NET_WHOLE, NULL), TC_OK);
        assert_true(fabs((tc_graph_macs(image, 0) + tc_graph_macs(text, 77)) / 1e9 / models[i].macs - 1) <
                    0.03);
        tc_graph_free(&image);
        tc_graph_free(&text);
        tc_params_free(&p);
    }
}

static void refused_configurations(void **state) {
    (void)state;
    static const char form[] = "{\"embed_dim\":9,\"vision_cfg\":{%s},\"text_cfg\":{\"context_length\":8,"
                               "\"vocab_size\":20,\"width\":8,\"heads\":2,\"layers\":1}}";
    static const struct {
        const char *vision, *says;
    } bad[] = {
        {"\"image_size\":32,\"layers\":[1,1,1],\"width\":4,\"head_width\":16", "4 entries"},
        {"\"image_size\":32,\"layers\":[1,0,1,1],\"width\":4,\"head_width\":16", "from 1"},
        {"\"image_size\":32,\"layers\":[1,100,100,1],\"width\":4,\"head_width\":16", "at most 128"},
        {"\"image_size\":40,\"layers\":[1,1,1,1],\"width\":4,\"head_width\":16", "multiple of 32"},
        {"\"image_size\":32,\"layers\":[1,1,1,1],\"width\":5,\"head_width\":16", "must be even"},
        {"\"image_size\":32,\"layers\":[1,1,1,1],\"width\":4,\"head_width\":48", "multiple of head_width"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        tc_config c;
        tc_error err;
        snprintf(text, sizeof text, form, bad[i].vision);
        assert_int_equal(parse(text, &c, &err), TC_EFORMAT);
        if (!strstr(err.message, bad[i].says)) fail_msg("'%s' does not say '%s'", err.message, bad[i].says);
    }
}

static void make_batch(float *pixels, int32_t *ids, uint64_t seed) {
    tc_rng rng = tc_rng_make(seed, 1, 1);
    for (int i = 0; i < BATCH * 3 * SIDE * SIDE; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < BATCH * CONTEXT; i++)
        ids[i] = i % CONTEXT == CONTEXT - 1 - i / CONTEXT % 3 ? 19 : 1 + (int32_t)tc_rng_below(&rng, 17);
}

static float pixels[BATCH * 3 * SIDE * SIDE];
static int32_t ids[BATCH * CONTEXT];

static tc_trainer *make_trainer(void) {
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-2, .warmup = 1, .steps = 100},
                  .weight_decay = 0.2,
                  .beta1 = 0.9,
                  .beta2 = 0.999,
                  .eps = 1e-8,
                  .clip = 5,
                  .weight = 1,
                  .logit_scale = 50};
    tc_model *m = make_model(5);
    tc_trainer *t = NULL;
    assert_int_equal(tc_trainer_create(&t, &m, NULL, &h, NULL), TC_OK);
    return t;
}

static void train(tc_trainer *t, int from, int to) {
    tc_step_log log;
    for (int i = from; i < to; i++) {
        make_batch(pixels, ids, (uint64_t)i);
        assert_int_equal(tc_trainer_step(t, pixels, ids, BATCH - i % 2, CONTEXT, &log, NULL), TC_OK);
        assert_false(log.skipped);
    }
}

static double counter(const tc_model *m) {
    return (double)
        m->flat[m->params.items[tc_params_find(&m->params, "visual.bn1.num_batches_tracked")].offset];
}

/* Five steps are two, a checkpoint, and three: running statistics, counters and moments too. */
static void resumes_bit_for_bit(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_trainer *whole = make_trainer(), *first = make_trainer(), *second = make_trainer();
    tc_log log = {0};
    train(whole, 0, 5);
    train(first, 0, 2);
    assert_int_equal(tc_checkpoint_save(first, dir, "{}", NULL), TC_OK);
    assert_int_equal(tc_checkpoint_load(second, dir, "{}", &log, NULL), TC_OK);
    train(second, 2, 5);
    assert_true(counter(whole->student) == 5);
    assert_memory_equal(whole->student->flat, second->student->flat,
                        (size_t)whole->student->params.total * sizeof(tc_real));
    assert_memory_equal(whole->v, second->v, (size_t)whole->student->params.total * sizeof(tc_real));
    tc_trainer_free(&whole);
    tc_trainer_free(&first);
    tc_trainer_free(&second);
    scratch_remove(dir);
}

/* A step that is left out leaves the running statistics alone. */
static void skipped_step_changes_nothing(void **state) {
    (void)state;
    tc_trainer *t = make_trainer();
    tc_step_log log;
    size_t bytes = (size_t)t->student->params.total * sizeof(tc_real);
    tc_real *before = malloc(bytes);
    assert_non_null(before);
    train(t, 0, 1);
    memcpy(before, t->student->flat, bytes);
    pixels[7] = NAN;
    assert_int_equal(tc_trainer_step(t, pixels, ids, BATCH, CONTEXT, &log, NULL), TC_OK);
    assert_true(log.skipped);
    assert_memory_equal(before, t->student->flat, bytes);
    free(before);
    tc_trainer_free(&t);
}

static void embed(const tc_model *m, int n, float *out) {
    tc_session *s = NULL;
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, n, out, NULL), TC_OK);
    tc_session_close(&s);
}

/* Threads take images of their own and run what is left over together: but for the order of sums the same
 * embeddings as on one thread. */
static void threads_share_images(void **state) {
    (void)state;
    enum { EACH = 9 };
    tc_trainer *t = make_trainer();
    float want[BATCH * EACH], got[BATCH * EACH], most = 0;
    int before = tc_threads();
    train(t, 0, 1);
    tc_set_threads(1);
    embed(t->student, BATCH, want);
    for (int i = 0; i < BATCH * EACH; i++) most = fmaxf(most, fabsf(want[i]));
    for (int threads = 2; threads <= BATCH + 1; threads++) {
        tc_set_threads(threads);
        memset(got, 0, sizeof got);
        embed(t->student, BATCH, got);
        for (int i = 0; i < BATCH * EACH; i++) assert_true(fabsf(got[i] - want[i]) <= 1e-5f * most);
    }
    tc_set_threads(before);
    tc_trainer_free(&t);
}

/* Trained, saved and opened again, in both forms that can hold it; a Hugging Face folder is refused and not
 * begun. */
static void files(void **state) {
    (void)state;
    char *dir = scratch_dir(), *folder = tc_path_join(dir, "folder");
    tc_trainer *t = make_trainer();
    tc_error err;
    float want[BATCH * 9], got[BATCH * 9];
    train(t, 0, 3);
    embed(t->student, BATCH, want);
    for (int i = 0; i < 2; i++) {
        char *path = tc_path_join(dir, i ? "openclip.safetensors" : "own.safetensors");
        tc_model *m = NULL;
        tc_real count = 0;
        assert_int_equal(tc_model_save(t->student, path, i ? TC_FORMAT_OPENCLIP : TC_FORMAT_AUTO, &err),
                         TC_OK);
        assert_int_equal(tc_model_open(&m, path, NULL, &err), TC_OK);
        embed(m, BATCH, got);
        assert_memory_equal(got, want, sizeof want);
        /* One image alone gives the same bits. */
        embed(m, 1, got);
        assert_memory_equal(got, want, 9 * sizeof *want);
        assert_int_equal(tc_model_read(m,
                                       (size_t)tc_params_find(&m->params, "visual.bn1.num_batches_tracked"),
                                       &count, &err),
                         TC_OK);
        assert_true(count == 3);
        tc_model_close(&m);
        free(path);
    }
    assert_int_equal(tc_model_save(t->student, folder, TC_FORMAT_AUTO, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, ".safetensors"));
    assert_false(tc_path_exists(folder));
    tc_trainer_free(&t);
    free(folder);
    scratch_remove(dir);
}

static void inherit_needs_one_family(void **state) {
    (void)state;
    tc_model *m = make_model(1), *student = NULL;
    tc_error err;
    assert_int_equal(tc_model_inherit(&student, m, "ViT-B-32", &err), TC_EARG);
    assert_non_null(strstr(err.message, "image tower"));
    tc_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes),         cmocka_unit_test(refused_configurations),
        cmocka_unit_test(resumes_bit_for_bit),     cmocka_unit_test(skipped_step_changes_nothing),
        cmocka_unit_test(threads_share_images),    cmocka_unit_test(files),
        cmocka_unit_test(inherit_needs_one_family)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
