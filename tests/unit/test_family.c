/* test_family.c - a family of towers that exists in this file alone and is registered through the table: a
 * strided convolution, residual blocks on the pixels' rows, and the mean of all of them. No other file knows
 * it, and yet a model with it is configured, made, counted, saved, opened, recognised, trained, inherited,
 * exported, masked and folded; what cannot hold it says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fold_rig.h"
#include "net/builder.h"
#include "net/config_read.h"
#include "net/seen.h"
#include "scratch.h"
#include "train/trainer.h"

/* ==== the family */

/* ---- configuration: patch_size is the stem's stride and kernel, channels[l] what block l has within */

static bool claims(const json_t *json) { return json_is_true(json_object_get(json, "plain")); }

static void read_config(tc_config_reader *r, tc_config *c, const json_t *json) {
    tc_tower_config *t = &c->vision;
    const json_t *channels = json_object_get(json, "channels");
    t->width = tc_config_number(r, json, "vision_cfg.", "width", 1, 1 << 12, -1);
    t->patch_size = tc_config_number(r, json, "vision_cfg.", "stride", 1, 64, -1);
    t->layers = (int)json_array_size(channels);
    if (t->layers < 1 || t->layers > TC_MAX_LAYERS)
        tc_config_wrong(r, TC_EFORMAT, "vision_cfg.channels must be a list of 1 to %d numbers",
                        TC_MAX_LAYERS);
    for (int l = 0; l < t->layers && r->status == TC_OK; l++) {
        json_int_t n = json_integer_value(json_array_get(channels, (size_t)l));
        if (n < 1 || n > 1 << 12) tc_config_wrong(r, TC_EFORMAT, "vision_cfg.channels[%d] is no width", l);
        else t->channels[l] = (int)n;
    }
    if (c->image_size % t->patch_size)
        tc_config_wrong(r, TC_EFORMAT, "vision_cfg.image_size %d is no multiple of the stride %d",
                        c->image_size, t->patch_size);
}

static void record(const tc_tower_config *t, json_t *json) {
    json_t *channels = json_array();
    for (int l = 0; l < t->layers; l++) json_array_append_new(channels, json_integer(t->channels[l]));
    json_object_set_new(json, "channels", channels);
}

static void write_config(const tc_config *c, json_t *json) {
    json_object_set_new(json, "plain", json_true());
    json_object_set_new(json, "width", json_integer(c->vision.width));
    json_object_set_new(json, "stride", json_integer(c->vision.patch_size));
    record(&c->vision, json);
}

static bool difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower, int *index,
                       tc_diff_setting *out) {
    for (int l = 0; l < a->layers && l < b->layers; l++) {
        if (a->channels[l] == b->channels[l] || (*index)-- > 0) continue;
        snprintf(out->what, sizeof out->what, "%s channels %d", tower, l);
        snprintf(out->a, sizeof out->a, "%d", a->channels[l]);
        snprintf(out->b, sizeof out->b, "%d", b->channels[l]);
        return true;
    }
    return false;
}

/* ---- the network */

static const tc_axis stream = {TC_GROUP_STAGE, 0, 1, 1};

static void params(tc_adder *a, const tc_config *c) {
    const tc_tower_config *t = &c->vision;
    double std = pow(t->width, -0.5);
    a->prefix = "visual.";
    tc_add_conv(a, "stem", 0, t->width, stream, 3, tc_axis_fixed, t->patch_size);
    tc_add_vector(a, "stem.bias", 0, t->width, stream, 0, 0);
    tc_adder block = *a;
    for (int l = 0; l < t->layers; l++) {
        char prefix[32];
        tc_axis inner = {TC_GROUP_CHANNELS, l, 1, 1};
        snprintf(prefix, sizeof prefix, "visual.plain%d.", l);
        block.prefix = prefix;
        block.in_block = strlen(prefix);
        block.layer = l;
        tc_add_matrix(&block, "in.weight", TC_ROLE_PRUNABLE, t->channels[l], inner, t->width, stream, std);
        tc_add_vector(&block, "in.bias", TC_ROLE_PRUNABLE, t->channels[l], inner, 0, 0);
        tc_add_matrix(&block, "out.weight", TC_ROLE_PRUNABLE, t->width, stream, t->channels[l], inner, std);
        tc_add_vector(&block, "out.bias", TC_ROLE_PRUNABLE, t->width, stream, 0, 0);
    }
    a->failed = block.failed;
    tc_add_matrix(a, "proj", 0, t->width, stream, c->embed_dim, tc_axis_embed, std);
}

static int graph(tc_graph *g, const tc_config *c, unsigned flags) {
    const tc_tower_config *t = &c->vision;
    int side = c->image_size / t->patch_size, x = tc_net_patches(g, c->image_size, 1);
    (void)flags;
    tc_node stem = {.op = &tc_op_conv, .nin = 1, .in = {x}, .side = c->image_size, .stride = t->patch_size};
    x = tc_net_layer(g, stem, "visual.", "stem.weight", "stem.bias");
    for (int l = 0; l < t->layers; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "visual.plain%d.", l);
        int y = tc_net_act(g, tc_net_linear(g, x, prefix, "in.weight", "in.bias"), TC_ACT_RELU);
        x = tc_net_sum(g, x, tc_net_linear(g, y, prefix, "out.weight", "out.bias"));
    }
    tc_node mean = {.op = &tc_op_avgpool, .nin = 1, .in = {x}, .side = side, .stride = side};
    return tc_net_projection(g, tc_net_layer(g, mean, "", NULL, NULL), "visual.", "proj");
}

static int step(const tc_tower_config *t) { return t->patch_size; }

/* ---- checkpoints: everything but the size of images, for which the stem's stride 8 times is taken */

static bool is_in(const tc_seen *s) { return tc_seen_has(s, "visual.plain0.in.bias"); }

static void recognise(tc_seen *s, tc_config *c) {
    tc_tower_config *t = &c->vision;
    char name[64];
    t->width = tc_seen_at_least_one(s, "visual.stem.bias", 1, 0, 1 << 12);
    t->patch_size = tc_seen_at_least_one(s, "visual.stem.weight", 4, 2, 64);
    for (t->layers = 0; t->layers < TC_MAX_LAYERS; t->layers++) {
        snprintf(name, sizeof name, "visual.plain%d.in.bias", t->layers);
        if (!tc_seen_has(s, name)) break;
        t->channels[t->layers] = tc_seen_at_least_one(s, name, 1, 0, 1 << 12);
    }
    c->embed_dim = tc_seen_at_least_one(s, "visual.proj", 2, 1, 1 << 12);
    c->image_size = 8 * t->patch_size;
}

/* Must be as configured. */
static void adjust(tc_seen *s, tc_config *c) { (void)s, (void)c; }

/* ---- masks, inheritance, telling */

static bool is_pruned(const tc_tower_config *t) {
    for (int l = 0; l < t->layers; l++)
        if (t->channels[l] != t->channels[0]) return true;
    return false;
}

static void set_kept(tc_tower_config *t, tc_group group, int layer, int kept) {
    if (group == TC_GROUP_CHANNELS) t->channels[layer] = kept;
}

static int source_block(const tc_tower_config *teacher, const tc_tower_config *student, int block) {
    return block * (teacher->layers / student->layers);
}

static void describe(const tc_tower_config *t, char *out, size_t size) {
    snprintf(out, size, "%d plain blocks", t->layers);
}

static bool row(const tc_tower_config *t, int layer, char *out, size_t size) {
    if (layer < 0) return false;
    snprintf(out, size, "%8d", t->channels[layer]);
    return true;
}

static const tc_tower_family plain = {.name = "PlainConv",
                                      .kind = "plain",
                                      .title = "PlainConv",
                                      .side = TC_TOWER_VISION,
                                      .claims = claims,
                                      .read = read_config,
                                      .write = write_config,
                                      .difference = difference,
                                      .own_activation = true,
                                      .activation = TC_RELU,
                                      .params = params,
                                      .graph = graph,
                                      .step = step,
                                      .whole_steps = true,
                                      .is_in = is_in,
                                      .recognise = recognise,
                                      .adjust = adjust,
                                      .is_pruned = is_pruned,
                                      .set_kept = set_kept,
                                      .never_empty = 1 << TC_GROUP_CHANNELS,
                                      .source_block = source_block,
                                      .any_head_dim = true,
                                      .beta2 = 0.99,
                                      .eps = 1e-7,
                                      .describe = describe,
                                      .columns = "channels",
                                      .row = row,
                                      .record = record};

const tc_tower_family *const tc_more_tower_families[] = {&plain, NULL};

/* ==== a model with it */

enum { SIDE = 8, STRIDE = 2, WIDTH = 12, LAYERS = 4, INNER = 10, PAIRS = 6 };
#define TEXT \
    "\"text_cfg\": {\"context_length\": 9, \"vocab_size\": 30, \"width\": 20, \"heads\": 4, \"layers\": 2}}"

static char *dir;

static void or_fail(tc_status status, const tc_error *err) {
    if (status != TC_OK) fail_msg("%s", err->message);
}

static tc_config config_of(const char *vision) {
    tc_config c;
    tc_error err;
    char text[512];
    json_t *json = NULL;
    snprintf(text, sizeof text, "{\"embed_dim\": 7, \"vision_cfg\": {\"image_size\": %d, %s}, " TEXT, SIDE,
             vision);
    or_fail(tc_json_parse(&json, text, strlen(text), "plain.json", &err), &err);
    or_fail(tc_config_parse(&c, json, "plain.json", &err), &err);
    json_decref(json);
    return c;
}

static tc_config config(void) {
    return config_of("\"plain\": true, \"width\": 12, \"stride\": 2, \"channels\": [10, 10, 10, 10]");
}

static char *path_of(const char *name) { return tc_path_join(dir, name); }

static void assert_same(const tc_model *a, const tc_model *b) {
    tc_diff *d = NULL;
    assert_int_equal(tc_model_diff(&d, a, b, 0, NULL), TC_OK);
    if (d->setting_count) fail_msg("%s: %s and %s", d->settings[0].what, d->settings[0].a, d->settings[0].b);
    assert_int_equal(d->different, 0);
    tc_diff_free(&d);
}

/* ---- */

static void configured(void **state) {
    (void)state;
    char text[200];
    tc_config c = config(), again, vit = fold_vit(false);
    assert_ptr_equal(c.vision.family, &plain);
    assert_int_equal(c.vision.width, WIDTH);
    assert_int_equal(c.vision.layers, LAYERS);
    assert_int_equal(c.vision.channels[3], INNER);
    json_t *json = tc_config_full_json(&c);
    assert_int_equal(tc_config_parse(&again, json, "again", NULL), TC_OK);
    json_decref(json);
    assert_false(tc_config_difference(&c, &again, text, sizeof text));
    again.vision.channels[2] = 3;
    assert_true(tc_config_difference(&c, &again, text, sizeof text));
    assert_string_equal(text, "vision channels 2: 10 and 3");
    assert_true(tc_config_difference(&c, &vit, text, sizeof text));
    assert_string_equal(text, "image tower: PlainConv and ViT");
    assert_false(tc_config_fits_hf(&c));
    assert_false(tc_config_is_pruned(&c));
    json = tc_tower_json(&c.vision);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "plain");
    assert_int_equal(json_array_size(json_object_get(json, "channels")), LAYERS);
    json_decref(json);
}

static void wrong_configurations_are_refused(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"\"width\": 12, \"stride\": 3, \"channels\": [1]",
         "x: vision_cfg.image_size 8 is no multiple of the stride 3"},
        {"\"width\": 12, \"stride\": 2, \"channels\": [1, 0]", "x: vision_cfg.channels[1] is no width"},
        {"\"stride\": 2, \"channels\": [1]", "x: vision_cfg.width must be a whole number from 1 to 4096"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tc_config c;
        tc_error err;
        char text[512];
        json_t *json = NULL;
        snprintf(text, sizeof text,
                 "{\"embed_dim\": 7, \"vision_cfg\": {\"image_size\": 8, \"plain\": true, %s}, " TEXT,
                 wrong[i][0]);
        or_fail(tc_json_parse(&json, text, strlen(text), "x", &err), &err);
        assert_int_equal(tc_config_parse(&c, json, "x", &err), TC_EFORMAT);
        assert_string_equal(err.message, wrong[i][1]);
        json_decref(json);
    }
}

static void counted(void **state) {
    (void)state;
    tc_config c = config();
    tc_model *m = fold_model(&c, 1);
    const tc_model_info *i = tc_model_get_info(m);
    int places = (SIDE / STRIDE) * (SIDE / STRIDE), blocks = LAYERS * (2 * WIDTH * INNER + WIDTH + INNER),
        stem = 3 * STRIDE * STRIDE * WIDTH;
    assert_string_equal(i->architecture, "PlainConv");
    assert_int_equal(i->vision_activation, TC_RELU);
    assert_int_equal(i->vision_channel_count, LAYERS);
    assert_int_equal(i->params_vision, stem + WIDTH + blocks + WIDTH * FOLD_EMBED);
    assert_int_equal(i->params_prunable - blocks, 2 * (4 * 20 * 20 + 4 * 20 + 8 * 20 * 20 + 5 * 20));
    assert_true(i->macs_image == places * (stem + LAYERS * 2 * WIDTH * INNER) + WIDTH * FOLD_EMBED);
    char *layers = tc_model_layers(m);
    assert_non_null(strstr(layers, "image: channels"));
    free(layers);
    tc_model_close(&m);
}

/* ---- files */

static void encode(const tc_model *m, float out[3 * FOLD_EMBED]) {
    tc_session *s = NULL;
    float pixels[3 * 3 * SIDE * SIDE];
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) pixels[i] = sinf((float)i);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, 3, out, NULL), TC_OK);
    tc_session_close(&s);
}

static void saved_and_opened(void **state) {
    (void)state;
    tc_error err;
    tc_config c = config();
    float before[3 * FOLD_EMBED], after[3 * FOLD_EMBED];
    tc_model *m = fold_model(&c, 2), *again = NULL;
    char *path = path_of("plain.safetensors"), *folder = path_of("folder");
    or_fail(tc_model_save(m, path, TC_FORMAT_FILE, &err), &err);
    or_fail(tc_model_open(&again, path, NULL, &err), &err);
    assert_ptr_equal(again->config.vision.family, &plain);
    assert_same(m, again);
    encode(m, before);
    encode(again, after);
    for (int i = 0; i < 3 * FOLD_EMBED; i++) assert_true(fabsf(before[i] - after[i]) < 1e-5f);
    assert_int_equal(tc_model_save(m, folder, TC_FORMAT_HF, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "a Hugging Face folder cannot hold a PlainConv"));
    assert_int_equal(tc_model_save(m, folder, TC_FORMAT_OPENCLIP, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "OpenCLIP has no PlainConv"));
    tc_model_close(&again);
    tc_model_close(&m);
    free(path);
    free(folder);
}

/* Of a file that is nothing but tensors; and one whose configuration is that of a ViT is refused. */
static void recognised(void **state) {
    (void)state;
    static const char vit[] =
        "{\"embed_dim\": 7, \"vision_cfg\": {\"image_size\": 8, \"width\": 8, \"layers\": 1, "
        "\"head_width\": 4, \"patch_size\": 4}, " TEXT;
    tc_error err;
    tc_config c = config_of("\"plain\": true, \"width\": 12, \"stride\": 1, \"channels\": [10, 10]");
    c.text.width = 64; /* heads of the size that is taken where nothing tells it */
    c.text.head_dim = 64;
    for (int l = 0; l < c.text.layers; l++) c.text.block[l].heads = 1;
    tc_model *m = fold_model(&c, 3), *again = NULL;
    tc_st_writer *w = NULL;
    char *path = path_of("tensors.safetensors");
    or_fail(tc_st_writer_create(&w, &err), &err);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        or_fail(tc_st_writer_add(w, p->name, TC_F32, p->ndim, p->shape, m->flat + p->offset, &err), &err);
    }
    or_fail(tc_st_writer_commit(&w, path, NULL, &err), &err);
    or_fail(tc_model_open(&again, path, NULL, &err), &err);
    assert_ptr_equal(again->config.vision.family, &plain);
    assert_int_equal(again->config.vision.layers, 2);
    assert_memory_equal(again->config.vision.channels, c.vision.channels, sizeof c.vision.channels);
    tc_model_close(&again);
    tc_open_options o = tc_open_options_default();
    o.config = scratch_text(dir, "vit.json", vit);
    assert_int_equal(tc_model_open(&again, path, &o, &err), TC_EFORMAT);
    assert_non_null(
        strstr(err.message, "the image tower is a PlainConv in its tensors, a ViT in the configuration"));
    tc_model_close(&m);
    free(path);
}

static bool file_has(const char *path, const char *word) {
    char *data = NULL;
    size_t size, n = strlen(word);
    assert_int_equal(tc_file_read(path, 1 << 24, &data, &size, NULL), TC_OK);
    bool found = false;
    for (size_t i = 0; i + n <= size && !found; i++) found = memcmp(data + i, word, n) == 0;
    free(data);
    return found;
}

static void exported(void **state) {
    (void)state;
    tc_error err;
    tc_config c = config();
    tc_model *m = fold_model(&c, 4);
    char *folder = path_of("onnx"), *file = path_of("onnx/vision_model.onnx");
    or_fail(tc_model_save(m, folder, TC_FORMAT_ONNX, &err), &err);
    static const char *const words[] = {
        "Conv", "Relu", "Add", "AveragePool", "visual.stem.weight", "visual.plain3.out.bias", "MatMul"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!file_has(file, words[i])) fail_msg("no %s", words[i]);
    assert_false(file_has(file, "BatchNormalization"));
    tc_model_close(&m);
    free(folder);
    free(file);
}

/* ---- training */

static tc_trainer *trainer_of(uint64_t seed) {
    tc_config c = config();
    tc_model *m = fold_model(&c, seed);
    tc_trainer *t = NULL;
    tc_error err;
    const tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 0.003, .steps = 1000},
                        .beta1 = 0.9,
                        .beta2 = plain.beta2,
                        .eps = plain.eps,
                        .weight = 1,
                        .logit_scale = 10};
    or_fail(tc_trainer_create(&t, &m, NULL, &h, &err), &err);
    return t;
}

static void batch_of(float *pixels, int32_t *ids) {
    tc_rng rng = tc_rng_make(3, 3, 3);
    for (int i = 0; i < PAIRS * 3 * SIDE * SIDE; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < PAIRS * FOLD_CONTEXT; i++)
        ids[i] = i % FOLD_CONTEXT == 4 ? FOLD_IDS - 1 : (int32_t)tc_rng_below(&rng, FOLD_IDS - 1);
}

static void trained(void **state) {
    (void)state;
    float pixels[PAIRS * 3 * SIDE * SIDE];
    int32_t ids[PAIRS * FOLD_CONTEXT];
    tc_trainer *t = trainer_of(5);
    tc_step_log log;
    double first = 0;
    batch_of(pixels, ids);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(tc_trainer_step(t, pixels, ids, PAIRS, FOLD_CONTEXT, &log, NULL), TC_OK);
        if (i == 0) first = log.loss.loss;
    }
    if (!(log.loss.loss < first / 2)) fail_msg("the loss fell from %g to %g only", first, log.loss.loss);
    tc_trainer_free(&t);
}

/* The loss along the image tower's gradient: (f(w + h d) - f(w - h d)) / 2h is |g| for d = g / |g|. Rounding
 * of the loss (2^-24 of it, for each of two) over 2h, and the third derivative times h^2, are both far below
 * 1 %. */
static void gradients_are_right(void **state) {
    (void)state;
    float pixels[PAIRS * 3 * SIDE * SIDE];
    int32_t ids[PAIRS * FOLD_CONTEXT];
    tc_trainer *t = trainer_of(6);
    const tc_params *p = &t->student->params;
    tc_step_log log;
    batch_of(pixels, ids);
    assert_int_equal(tc_trainer_gradients(t, pixels, ids, PAIRS, FOLD_CONTEXT, &log, NULL), TC_OK);
    double square = 0, loss[2], h = 0.01;
    size_t bytes = (size_t)p->total * sizeof(tc_real);
    tc_real *g = tc_new_aligned(bytes, 1), *w = tc_new_aligned(bytes, 1);
    memcpy(w, t->student->flat, bytes);
    for (size_t i = 0; i < p->count; i++)
        for (int64_t k = 0; p->items[i].tower == TC_TOWER_VISION && k < p->items[i].numel; k++) {
            tc_real x = t->grad[p->items[i].offset + k];
            g[p->items[i].offset + k] = x;
            square += (double)x * (double)x;
        }
    for (int side = 0; side < 2; side++) {
        double by = (side ? h : -h) / sqrt(square);
        for (int64_t k = 0; k < p->total; k++)
            t->student->flat[k] = (tc_real)((double)w[k] + by * (double)g[k]);
        assert_int_equal(tc_trainer_gradients(t, pixels, ids, PAIRS, FOLD_CONTEXT, &log, NULL), TC_OK);
        loss[side] = log.loss.loss;
    }
    double slope = (loss[1] - loss[0]) / (2 * h);
    assert_true(square > 0);
    if (fabs(slope / sqrt(square) - 1) > 0.01) fail_msg("slope %g, gradient %g", slope, sqrt(square));
    free(g);
    free(w);
    tc_trainer_free(&t);
}

/* ---- smaller ones */

static void inherited(void **state) {
    (void)state;
    tc_error err;
    tc_config c = config(),
              small = config_of("\"plain\": true, \"width\": 8, \"stride\": 2, \"channels\": [6, 5]");
    tc_config vit = fold_vit(false);
    tc_model *teacher = fold_model(&c, 7), *student = NULL;
    or_fail(tc_model_inherit_config(&student, teacher, &small, &err), &err);
    const tc_param *s = &student->params.items[tc_params_find(&student->params, "visual.plain1.in.weight")],
                   *t = &teacher->params.items[tc_params_find(&teacher->params, "visual.plain2.in.weight")];
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 8; j++)
            assert_true(student->flat[s->offset + i * 8 + j] == teacher->flat[t->offset + i * WIDTH + j]);
    tc_model_close(&student);
    small.vision.layers = 5;
    assert_int_equal(tc_model_inherit_config(&student, teacher, &small, &err), TC_EARG);
    assert_int_equal(tc_model_inherit_config(&student, teacher, &vit, &err), TC_EARG);
    assert_string_equal(err.message,
                        "inherit: the student's image tower is a ViT, its teacher's a PlainConv");
    tc_model_close(&teacher);
}

static void masked_and_folded(void **state) {
    (void)state;
    tc_config c = config();
    tc_model *m = fold_model(&c, 8);
    tc_mask_sites sites = fold_sites(m);
    assert_true(tc_mask_sites_find(&sites, TC_TOWER_VISION, TC_GROUP_CHANNELS, 2) >= 0);
    tc_real *mask = fold_mask(&sites, &fold_cases[0], &fold_cases[0], FOLD_BLOCKS_GONE, 8);
    tc_model *folded = fold_folded(m, &sites, mask);
    assert_int_equal(folded->config.vision.channels[2], 1); /* one stays, with the factor 0 */
    assert_true(folded->config.vision.channels[0] < INNER && tc_config_is_pruned(&folded->config));
    for (int text = 0; text < 2; text++)
        for (int train = 0; train < 2; train++) {
            double d = fold_distance(m, &sites, mask, folded, text, 0, train);
            if (!(d < 1e-5)) fail_msg("they differ by %g", d);
        }
    free(mask);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
    tc_model_close(&folded);
}

/* A family without set_kept has no masks. */
static void folding_is_refused_by_the_table(void **state) {
    (void)state;
    tc_error err;
    tc_tower_family unmasked = plain;
    unmasked.set_kept = NULL;
    tc_config c = config(), folded;
    c.vision.family = &unmasked;
    tc_model *m = fold_model(&c, 10);
    tc_mask_sites sites = fold_sites(m);
    int *kept = tc_new(sites.count, sizeof *kept);
    for (size_t i = 0; i < sites.count; i++) kept[i] = sites.items[i].size;
    assert_int_equal(tc_config_fold(&folded, &c, &sites, kept, &err), TC_EUNSUPPORTED);
    assert_string_equal(err.message, "fold: a PlainConv has no masks");
    free(kept);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
}

static void images_of_another_size(void **state) {
    (void)state;
    tc_error err;
    tc_config c = config();
    tc_model *m = fold_model(&c, 9), *larger = NULL;
    char *path = path_of("sized.safetensors");
    or_fail(tc_model_save(m, path, TC_FORMAT_FILE, &err), &err);
    tc_open_options o = tc_open_options_default();
    o.image_size = 12;
    or_fail(tc_model_open(&larger, path, &o, &err), &err);
    assert_int_equal(tc_model_get_info(larger)->image_size, 12);
    assert_int_equal(tc_model_get_info(larger)->params, tc_model_get_info(m)->params);
    tc_model_close(&larger);
    o.image_size = 13;
    assert_int_equal(tc_model_open(&larger, path, &o, &err), TC_EARG);
    assert_string_equal(err.message, "image_size 13: that of a PlainConv is a multiple of 2");
    tc_model_close(&m);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(configured),
                                       cmocka_unit_test(wrong_configurations_are_refused),
                                       cmocka_unit_test(counted),
                                       cmocka_unit_test(saved_and_opened),
                                       cmocka_unit_test(recognised),
                                       cmocka_unit_test(exported),
                                       cmocka_unit_test(trained),
                                       cmocka_unit_test(gradients_are_right),
                                       cmocka_unit_test(inherited),
                                       cmocka_unit_test(masked_and_folded),
                                       cmocka_unit_test(folding_is_refused_by_the_table),
                                       cmocka_unit_test(images_of_another_size)};
    dir = scratch_dir();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name("tests", tests, NULL, NULL);
    scratch_remove(dir);
    return failed;
}
