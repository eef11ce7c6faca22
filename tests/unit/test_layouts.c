/* test_layouts.c - one model under the names of every layout opens as the same model, with and without a
 * configuration; what contradicts itself, the configuration or the layout is refused with a message that
 * names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/names.h"
#include "format/layout.h"
#include "model/model.h"
#include "scratch.h"

#include <math.h>

/* Towers whose heads have CLIP's size, so that shapes alone tell everything. */
static const char *const USUAL = "{\"embed_dim\": 20, \"vision_cfg\": {\"image_size\": 24, \"layers\": 2, "
                                 "\"width\": 128, \"patch_size\": 8, \"mlp_ratio\": 1.5},"
                                 " \"text_cfg\": {\"context_length\": 9, \"vocab_size\": 31, \"width\": 64, "
                                 "\"heads\": 1, \"layers\": 3, \"mlp_ratio\": 2}}";
/* And towers that only their configuration explains. */
static const char *const ODD = "{\"embed_dim\": 6, \"vision_cfg\": {\"image_size\": 16, \"layers\": 2, "
                               "\"width\": 12, \"head_width\": 4, \"patch_size\": 8, "
                               "\"mlp_ratio\": 3.1}, \"text_cfg\": {\"context_length\": 9, \"vocab_size\": "
                               "30, \"width\": 8, \"heads\": 2, \"layers\": 2}}";

static tc_model *make_model(const char *config) {
    tc_config c = {0};
    tc_error err;
    json_t *json = NULL;
    tc_model *m = NULL;
    if (tc_json_parse(&json, config, strlen(config), "test", &err) != TC_OK ||
        tc_config_parse(&c, json, "test", &err) != TC_OK || tc_model_random(&m, &c, 7, &err) != TC_OK)
        fail_msg("%s", err.message);
    json_decref(json);
    tc_rng rng = tc_rng_make(7, 1, 1);
    for (int64_t i = 0; i < m->params.total; i++) m->flat[i] += 0.1f * (float)tc_rng_normal(&rng);
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    return m;
}

static void expect_same(const tc_model *a, const tc_model *b, const char *label) {
    char difference[256];
    tc_config c = b->config;
    c.vision.activation = a->config.vision.activation;
    c.text.activation = a->config.text.activation;
    if (tc_config_difference(&a->config, &c, difference, sizeof difference))
        fail_msg("%s: %s", label, difference);
    for (size_t i = 0; i < a->params.count; i++) {
        const tc_param *p = &a->params.items[i];
        float *v = tc_new((size_t)p->numel, sizeof *v), *w = tc_new((size_t)p->numel, sizeof *w);
        assert_true(v && w);
        assert_int_equal(tc_model_read(a, i, v, NULL), TC_OK);
        assert_int_equal(tc_model_read(b, i, w, NULL), TC_OK);
        if (memcmp(v, w, (size_t)p->numel * sizeof *v) != 0) fail_msg("%s: %s differs", label, p->name);
        free(v);
        free(w);
    }
}

/* ---- files under other names */

/* A change of one tensor of a file. */
typedef struct change {
    const char *name; /* canonical; NULL: none */
    enum { DROP, TURN, REPEAT, ADD } what;
    /* REPEAT, ADD: the name of the tensor that is added, with the contents (REPEAT: one number changed) */
    const char *as;
} change;

/* A layout: what stands before a tensor of the image tower, of the text tower, and before logit_scale. */
typedef struct naming {
    const char *label, *source;
    const char *image, *text, *scale;
    const char *image_too, *text_too; /* the towers once more under other names, or NULL */
    bool scalars;                     /* of OpenAI's archives */
} naming;

static const naming namings[] = {
    {"OpenCLIP", "openclip", "", "", "", NULL, NULL, false},
    {"trained on several devices", "openclip", "module.", "module.", "module.", NULL, NULL, false},
    {"TinyCLIP", "tinyclip", "_image_encoder.", "_text_encoder.", "_logit_scale.", NULL, NULL, false},
    {"TinyCLIP on several devices", "tinyclip", "_image_encoder.module.", "_text_encoder.module.",
     "_logit_scale.module.", NULL, NULL, false},
    {"TinyCLIP, wrapped as a whole", "tinyclip", "module._image_encoder.", "module._text_encoder.",
     "module._logit_scale.", NULL, NULL, false},
    {"pruned", "tinyclip, automatically pruned", "_image_encoder.module.", "_text_encoder.module.",
     "_logit_scale.module.", "image_encoder_without_ddp.", "text_encoder_without_ddp.", false},
    {"pruned, the other", "tinyclip, automatically pruned", "module.image_encoder_without_ddp.",
     "module.text_encoder_without_ddp.", "module._logit_scale.", NULL, NULL, false},
    {"OpenAI", "openai", "", "", "", NULL, NULL, true},
};
enum { NAMINGS = sizeof namings / sizeof *namings };

static void put(tc_st_writer *w, const char *prefix, const char *name, const tc_param *p,
                const int64_t *shape, const float *values) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    assert_int_equal(tc_st_writer_add(w, full, TC_F32, p->ndim, shape, values, NULL), TC_OK);
}

static void put_param(tc_st_writer *w, const tc_model *m, const tc_param *p, const naming *n, const change *c,
                      float *scratch) {
    const float *values = m->flat + p->offset;
    bool hit = c && c->name && strcmp(c->name, p->name) == 0;
    const char *prefix = p->tower == TC_TOWER_VISION ? n->image
                         : p->tower == TC_TOWER_TEXT ? n->text
                                                     : n->scale;
    const char *too = p->tower == TC_TOWER_VISION ? n->image_too
                      : p->tower == TC_TOWER_TEXT ? n->text_too
                                                  : NULL;
    int64_t shape[TC_PARAM_RANK];
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[hit && c->what == TURN ? p->ndim - 1 - k : k];
    if (!(hit && c->what == DROP)) put(w, prefix, p->name, p, shape, values);
    if (too) put(w, too, p->name, p, shape, values);
    if (!hit || c->what < REPEAT) return;
    memcpy(scratch, values, (size_t)p->numel * sizeof *scratch);
    if (c->what == REPEAT) scratch[p->numel / 2] += 1;
    put(w, "", c->as, p, shape, scratch);
}

static void write_naming(const tc_model *m, const naming *n, const change *c, const char *path) {
    tc_st_writer *w = NULL;
    static float scratch[1 << 16];
    static int64_t scalars[3];
    assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
    for (size_t i = 0; i < m->params.count; i++) put_param(w, m, &m->params.items[i], n, c, scratch);
    const char *const names[] = {"input_resolution", "context_length", "vocab_size"};
    const int sizes[] = {m->config.image_size, m->config.context_length, m->config.vocab_size};
    for (int i = 0; i < 3 && n->scalars; i++) {
        scalars[i] = sizes[i] + (c && c->name && strcmp(c->name, names[i]) == 0);
        assert_int_equal(tc_st_writer_add(w, names[i], TC_I64, 0, NULL, &scalars[i], NULL), TC_OK);
    }
    if (tc_st_writer_commit(&w, path, NULL, NULL) != TC_OK) fail_msg("%s cannot be written", path);
}

static tc_model *open_with(const char *path, const char *config, const char *activation, int image_size,
                           tc_error *err) {
    tc_model *m = NULL;
    tc_open_options o = tc_open_options_default();
    o.config = config;
    o.activation = activation;
    o.image_size = image_size;
    *err = (tc_error){0};
    tc_status status = tc_model_open(&m, path, &o, err);
    assert_true((status == TC_OK) == (m != NULL));
    return m;
}

static void every_layout(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    for (int odd = 0; odd < 2; odd++) {
        tc_model *m = make_model(odd ? ODD : USUAL);
        const char *config = scratch_text(dir, "elsewhere.json", odd ? ODD : USUAL);
        for (size_t i = 0; i < NAMINGS; i++) {
            tc_error err;
            write_naming(m, &namings[i], NULL, path);
            /* OpenAI's archives decide the activation; this configuration says another. */
            tc_model *with = open_with(path, config, namings[i].scalars ? "gelu" : NULL, 0, &err);
            if (!with) fail_msg("%s: %s", namings[i].label, err.message);
            expect_same(m, with, namings[i].label);
            assert_string_equal(tc_model_get_info(with)->source, namings[i].source);
            assert_false(tc_model_get_info(with)->activation_assumed);
            assert_int_equal(tc_model_get_info(with)->vision_activation, TC_GELU);
            tc_model *alone = open_with(path, NULL, NULL, 0, &err);
            if (odd) {
                if (alone || err.status != TC_EARG ||
                    !strstr(err.message, "there is no configuration beside it; name one with --model-config"))
                    fail_msg("%s: %s", namings[i].label, err.message);
            } else {
                if (!alone) fail_msg("%s: %s", namings[i].label, err.message);
                expect_same(m, alone, namings[i].label);
                const tc_model_info *info = tc_model_get_info(alone);
                assert_int_equal(info->activation_assumed, !namings[i].scalars);
                assert_int_equal(info->text_activation, namings[i].scalars ? TC_QUICK_GELU : TC_GELU);
                assert_string_equal(info->activation_source,
                                    namings[i].scalars
                                        ? "layout: OpenAI archives use QuickGELU"
                                        : "assumed: nothing says which, and GELU is OpenCLIP's default");
            }
            tc_model_close(&with);
            tc_model_close(&alone);
        }
        tc_model_close(&m);
    }
    free(path);
    scratch_remove(dir);
}

/* Hugging Face's names in a lone file: three tensors for one fused one, projections the other way round. */
static void huggingface_names(void **state) {
    (void)state;
    char *dir = scratch_dir(), *folder = tc_path_join(dir, "f"),
         *file = tc_path_join(dir, "f/model.safetensors"), *lone = tc_path_join(dir, "m.bin");
    tc_model *m = make_model(USUAL), *again;
    tc_error err;
    assert_int_equal(tc_model_save(m, folder, TC_FORMAT_HF, NULL), TC_OK);
    assert_int_equal(rename(file, lone), 0);
    again = open_with(lone, NULL, NULL, 0, &err);
    if (!again) fail_msg("%s", err.message);
    expect_same(m, again, "lone");
    assert_string_equal(tc_model_get_info(again)->source, "huggingface");
    assert_int_equal(tc_model_tokenizer_kind(again), TC_TOKENIZER_HF);
    tc_model_close(&again);
    tc_model_close(&m);
    free(folder);
    free(file);
    free(lone);
    scratch_remove(dir);
}

/* Every parameter's name in Hugging Face's layout leads back to it. */
static void names_lead_back(void **state) {
    (void)state;
    tc_model *m = make_model(USUAL);
    for (size_t i = 0; i < m->params.count; i++) {
        char theirs[160], full[200];
        bool transposed;
        tc_canonical c;
        for (int part = 0;
             part < 3 && tc_names_hf(m->params.items[i].name, part, theirs, sizeof theirs, &transposed);
             part++) {
            assert_true(tc_names_canonical(theirs, &c));
            assert_string_equal(c.name, m->params.items[i].name);
            assert_int_equal(c.part, part);
            assert_int_equal(c.transposed, transposed);
            snprintf(full, sizeof full, "module.%s", theirs);
            assert_true(tc_names_canonical(full, &c));
            assert_string_equal(c.name, m->params.items[i].name);
        }
    }
    tc_model_close(&m);
    static const char *const strange[] = {"_image_encoder.token_embedding.weight",
                                          "_text_encoder.visual.proj", "_logit_scale.visual.proj",
                                          "_text_encoder.logit_scale", "_image_encoder.module.ln_final.bias"};
    tc_canonical c;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        if (tc_names_canonical(strange[i], &c)) fail_msg("%s is taken for %s", strange[i], c.name);
    /* A number that is not written as this program would write it is another name. */
    assert_true(tc_names_canonical("text_model.encoder.layers.07.mlp.fc1.bias", &c));
    assert_string_equal(c.name, "text_model.encoder.layers.07.mlp.fc1.bias");
}

/* ---- what does not fit */

static const struct {
    int naming;
    change change;
    const char *with, *alone; /* the message with a configuration and without; NULL: it opens */
} broken[] = {
    {0,
     {"ln_final.bias", ADD, "ln_final.scale"},
     "tensor 'ln_final.scale' is not part of the configured model",
     "tensor 'ln_final.scale' is not part of the configured model"},
    {2,
     {"ln_final.bias", ADD, "_image_encoder.ln_final.bias"},
     "tensor '_image_encoder.ln_final.bias' is not part of any model that is known",
     "tensor '_image_encoder.ln_final.bias' is not part of any model that is known"},
    {3,
     {"visual.ln_post.weight", DROP, NULL},
     "tensor 'visual.ln_post.weight' is missing",
     "tensor 'visual.ln_post.weight' is missing"},
    {0,
     {"visual.ln_pre.weight", DROP, NULL},
     "tensor 'visual.ln_pre.weight' is missing",
     "tensor 'visual.ln_pre.weight' is missing"},
    {0,
     {"transformer.resblocks.1.attn.in_proj_bias", DROP, NULL},
     "tensor 'transformer.resblocks.1.attn.in_proj_bias' is missing",
     "tensor 'transformer.resblocks.1.attn.in_proj_bias' is missing"},
    {0,
     {"transformer.resblocks.1.mlp.c_fc.bias", DROP, NULL},
     "tensor 'transformer.resblocks.1.mlp.c_fc.bias' is missing",
     "tensor 'transformer.resblocks.1.mlp.c_fc.bias' is missing"},
    {0,
     {"transformer.resblocks.1.ln_1.weight", DROP, NULL},
     "tensor 'transformer.resblocks.1.ln_1.weight' is missing",
     "tensor 'transformer.resblocks.1.ln_1.weight' is missing"},
    {2,
     {"visual.proj", TURN, NULL},
     "tensor '_image_encoder.visual.proj' is [20,128], expected [128,20]",
     "tensor '_image_encoder.visual.proj' is [20,128], expected [128,128]"},
    {1,
     {"visual.transformer.resblocks.0.mlp.c_fc.weight", TURN, NULL},
     "tensor 'module.visual.transformer.resblocks.0.mlp.c_fc.weight' is [128,192], expected [192,128]",
     "tensor 'module.visual.transformer.resblocks.0.mlp.c_fc.weight' is [128,192], expected [192,128]"},
    {0,
     {"transformer.resblocks.2.attn.in_proj_weight", TURN, NULL},
     "tensor 'transformer.resblocks.2.attn.in_proj_weight' is [64,192], expected [192,64]",
     "tensor 'transformer.resblocks.2.attn.in_proj_weight' is [64,192], expected [192,64]"},
    {0,
     {"visual.conv1.weight", TURN, NULL},
     "tensor 'visual.conv1.weight' is [8,8,3,128], expected [128,3,8,8]",
     "tensor 'visual.conv1.weight' is [8,8,3,128], expected [128,3,3,3]"},
    {0, {"ln_final.weight", ADD, "module.ln_final.weight"}, NULL, NULL},
    {0,
     {"ln_final.weight", REPEAT, "module.ln_final.weight"},
     "tensors 'ln_final.weight' and 'module.ln_final.weight' are both ln_final.weight, and differ",
     "tensors 'ln_final.weight' and 'module.ln_final.weight' are both ln_final.weight, and differ"},
    {6,
     {"visual.proj", REPEAT, "_image_encoder.visual.proj"},
     "tensors '_image_encoder.visual.proj' and 'module.image_encoder_without_ddp.visual.proj' are both "
     "visual.proj, and differ",
     "tensors '_image_encoder.visual.proj' and 'module.image_encoder_without_ddp.visual.proj' are both "
     "visual.proj, and differ"},
    {0,
     {"text_projection", ADD, "text_projection.weight"},
     "tensors 'text_projection' and 'text_projection.weight' are both text_projection, and differ",
     "tensors 'text_projection' and 'text_projection.weight' are both text_projection, and differ"},
    {0, {"ln_final.weight", ADD, "attn_mask"}, NULL, NULL},
    {3, {"ln_final.weight", ADD, "_text_encoder.module.attn_mask"}, NULL, NULL},
    {0, {"ln_final.weight", ADD, "visual.bn1.num_batches_tracked"}, NULL, NULL},
    {7,
     {"context_length", ADD, ""},
     "context_length is 10, but the tensors are those of 9",
     "context_length is 10, but the tensors are those of 9"},
    {7,
     {"vocab_size", ADD, ""},
     "vocab_size is 32, but the tensors are those of 31",
     "vocab_size is 32, but the tensors are those of 31"},
    {7,
     {"input_resolution", ADD, ""},
     "input_resolution is 25, but the tensors are those of 24",
     NULL}, /* 3 patches of 8, one pixel over */
    {0,
     {"ln_final.weight", ADD, "context_length"},
     "tensor 'context_length' must be a whole number",
     "tensor 'context_length' must be a whole number"},
};

static void expect_message(const char *path, const char *config, const char *activation, const char *label,
                           const char *message) {
    tc_error err;
    tc_model *m = open_with(path, config, activation, 0, &err);
    if (!message && !m) fail_msg("%s: %s", label, err.message);
    if (message && (m || !strstr(err.message, message) || !tc_starts_with(err.message, path)))
        fail_msg("%s: \"%s\" instead of \"%s\"", label, err.message, message);
    tc_model_close(&m);
}

static void what_does_not_fit(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_model *m = make_model(USUAL);
    const char *config = scratch_text(dir, "elsewhere.json", USUAL);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const naming *n = &namings[broken[i].naming];
        char label[200];
        snprintf(label, sizeof label, "%zu: %s, %s", i, n->label, broken[i].change.name);
        write_naming(m, n, &broken[i].change, path);
        expect_message(path, config, n->scalars ? "gelu" : NULL, label, broken[i].with);
        expect_message(path, NULL, NULL, label, broken[i].alone);
    }
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* A configuration of another model: both numbers are named. */
static void contradictory_configurations(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message; /* in USUAL, `from` becomes `to` */
    } cases[] = {
        {"\"layers\": 2", "\"layers\": 4",
         "the image tower has 2 layers in its tensors, 4 in the configuration"},
        {"\"layers\": 3", "\"layers\": 2",
         "the text tower has 3 layers in its tensors, 2 in the configuration"},
        {"\"width\": 128", "\"width\": 192", "tensor 'visual.class_embedding' is [128], expected [192]"},
        {"\"mlp_ratio\": 2", "\"mlp_ratio\": 4",
         "tensor 'transformer.resblocks.0.mlp.c_fc.weight' is [128,64], expected [256,64]"},
        {"\"image_size\": 24", "\"image_size\": 32",
         "tensor 'visual.positional_embedding' is [10,128], expected [17,128]"},
        {"\"patch_size\": 8", "\"patch_size\": 6",
         "tensor 'visual.positional_embedding' is [10,128], expected [17,128]"},
        {"\"vocab_size\": 31", "\"vocab_size\": 49408",
         "tensor 'token_embedding.weight' is [31,64], expected [49408,64]"},
        {"\"context_length\": 9", "\"context_length\": 77",
         "tensor 'positional_embedding' is [9,64], expected [77,64]"},
        {"\"embed_dim\": 20", "\"embed_dim\": 512", "tensor 'visual.proj' is [128,20], expected [128,512]"}};
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors");
    tc_model *m = make_model(USUAL);
    write_naming(m, &namings[0], NULL, path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_buf b = {0};
        const char *at = strstr(USUAL, cases[i].from);
        assert_non_null(at);
        tc_buf_printf(&b, "%.*s%s%s", (int)(at - USUAL), USUAL, cases[i].to, at + strlen(cases[i].from));
        expect_message(path, scratch_text(dir, "elsewhere.json", b.data), NULL, cases[i].to,
                       cases[i].message);
        tc_buf_free(&b);
    }
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- activation */

static void activations(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"),
         *own = tc_path_join(dir, "own.safetensors");
    tc_model *m = make_model(USUAL), *again;
    tc_error err;
    const char *config = scratch_text(dir, "elsewhere.json", USUAL);
    write_naming(m, &namings[7], NULL, path);
    assert_null(open_with(path, config, NULL, 0, &err));
    assert_int_equal(err.status, TC_EARG);
    assert_non_null(strstr(err.message, "OpenAI's archives use QuickGELU, but the configuration"));
    again = open_with(path, NULL, "gelu", 0, &err);
    if (!again) fail_msg("%s", err.message);
    assert_int_equal(tc_model_get_info(again)->vision_activation, TC_GELU);
    assert_int_equal(tc_model_get_info(again)->text_activation, TC_GELU);
    assert_string_equal(tc_model_get_info(again)->activation_source, "option: chosen with --activation");
    tc_model_close(&again);
    write_naming(m, &namings[0], NULL, path);
    again = open_with(path, config, "quick_gelu", 0, &err);
    if (!again) fail_msg("%s", err.message);
    assert_int_equal(tc_model_get_info(again)->vision_activation, TC_QUICK_GELU);
    /* The project's own file keeps it. */
    assert_int_equal(tc_model_save(again, own, TC_FORMAT_FILE, NULL), TC_OK);
    tc_model_close(&again);
    again = open_with(own, NULL, NULL, 0, &err);
    if (!again) fail_msg("%s", err.message);
    assert_int_equal(tc_model_get_info(again)->vision_activation, TC_QUICK_GELU);
    assert_string_equal(tc_model_get_info(again)->activation_source, "configuration in the file");
    tc_model_close(&again);
    static const char *const wrong[] = {"relu", "", "GELU", "gelu ", "quickgelu"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char expected[100];
        assert_null(open_with(path, config, wrong[i], 0, &err));
        assert_int_equal(err.status, TC_EARG);
        snprintf(expected, sizeof expected, "activation \"%s\" is not gelu or quick_gelu", wrong[i]);
        assert_string_equal(err.message, expected);
    }
    tc_model_close(&m);
    free(path);
    free(own);
    scratch_remove(dir);
}

/* ---- image size */

static void run_one(const tc_model *m, float *embeds) {
    tc_session *s = NULL;
    size_t n = 3 * (size_t)m->config.image_size * (size_t)m->config.image_size;
    float *pixels = tc_new(n, sizeof *pixels);
    tc_rng rng = tc_rng_make(4, 0, 0);
    assert_non_null(pixels);
    for (size_t i = 0; i < n; i++) pixels[i] = (float)tc_rng_normal(&rng);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, 1, embeds, NULL), TC_OK);
    tc_session_close(&s);
    free(pixels);
}

static void image_sizes(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"), *folder = tc_path_join(dir, "hf"),
         *own = tc_path_join(dir, "own.safetensors");
    tc_model *m = make_model(USUAL), *again, *saved;
    tc_error err;
    float a[20], b[20];
    assert_int_equal(tc_model_save(m, folder, TC_FORMAT_HF, NULL), TC_OK);
    write_naming(m, &namings[0], NULL, path);
    for (int hf = 0; hf < 2; hf++) {
        static const int sizes[] = {24, 30, 8, 16, 40, 57};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            int grid = sizes[i] / 8;
            again = open_with(hf ? folder : path, NULL, NULL, sizes[i], &err);
            if (!again) fail_msg("%d: %s", sizes[i], err.message);
            const tc_model_info *info = tc_model_get_info(again);
            tc_preprocess p = tc_model_preprocess(again);
            assert_int_equal(info->image_size, sizes[i]);
            assert_int_equal(p.crop, sizes[i]);
            assert_int_equal(p.resize, sizes[i]);
            int id = tc_params_find(&again->params, "visual.positional_embedding");
            assert_int_equal(again->params.items[id].shape[0], 1 + grid * grid);
            /* The class keeps its position. */
            float *values = tc_new((size_t)again->params.items[id].numel, sizeof *values);
            assert_int_equal(tc_model_read(again, (size_t)id, values, NULL), TC_OK);
            assert_memory_equal(values, m->flat + m->params.items[id].offset, 128 * sizeof *values);
            if (grid == 3)
                assert_memory_equal(values, m->flat + m->params.items[id].offset, 10 * 128 * sizeof *values);
            free(values);
            run_one(again, a);
            /* It is saved as what it is now. */
            assert_int_equal(tc_model_save(again, own, TC_FORMAT_FILE, NULL), TC_OK);
            saved = open_with(own, NULL, NULL, 0, &err);
            if (!saved) fail_msg("%s", err.message);
            run_one(saved, b);
            assert_memory_equal(a, b, sizeof a);
            tc_model_close(&saved);
            tc_model_close(&again);
        }
    }
    static const int wrong[] = {7, -24, 8193};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_null(open_with(path, NULL, NULL, wrong[i], &err));
        assert_int_equal(err.status, TC_EARG);
    }
    tc_model_close(&m);
    free(path);
    free(folder);
    free(own);
    scratch_remove(dir);
}

/* What bicubic resizing must do whatever its formula: a constant stays, mirrored stays mirrored; and two
 * numbers worked out by hand. */
static void resized_positions(void **state) {
    (void)state;
    enum { FROM = 5, WIDTH = 2 };
    float grid[(1 + FROM * FROM) * WIDTH], mirrored[sizeof grid / sizeof *grid];
    tc_rng rng = tc_rng_make(9, 0, 0);
    for (int i = 0; i < (1 + FROM * FROM) * WIDTH; i += WIDTH) {
        grid[i] = (float)tc_rng_normal(&rng);
        grid[i + 1] = 3;
    }
    for (int y = 0; y < FROM; y++)
        for (int x = 0; x < FROM; x++)
            memcpy(mirrored + (1 + y * FROM + x) * WIDTH, grid + (1 + y * FROM + FROM - 1 - x) * WIDTH,
                   WIDTH * sizeof *grid);
    for (int to = 1; to < 14; to++) {
        float *a = tc_new((size_t)(1 + to * to) * WIDTH, sizeof *a),
              *b = tc_new((size_t)(1 + to * to) * WIDTH, sizeof *b);
        assert_int_equal(tc_positions_resize(grid, FROM, to, WIDTH, a, NULL), TC_OK);
        assert_int_equal(tc_positions_resize(mirrored, FROM, to, WIDTH, b, NULL), TC_OK);
        for (int y = 0; y < to; y++)
            for (int x = 0; x < to; x++) {
                const float *p = a + (1 + y * to + x) * WIDTH, *q = b + (1 + y * to + to - 1 - x) * WIDTH;
                assert_true(fabsf(p[0] - q[0]) < 1e-5f);
                assert_true(fabsf(p[1] - 3) < 1e-5f);
            }
        if (to == FROM) assert_memory_equal(a + WIDTH, grid + WIDTH, FROM * FROM * WIDTH * sizeof *a);
        free(a);
        free(b);
    }
    /* 2 -> 4, first entry: its centre is 0.25, both old ones are within 2 of it, at distances 0.25 and 1.25
     * from their centres 0.5 and 1.5: keys(0.25) = 0.8671875, keys(1.25) = -0.0703125, divided by their sum
     * 0.796875. */
    float two[5] = {0, 0, 1, 0, 1}, four[17];
    assert_int_equal(tc_positions_resize(two, 2, 4, 1, four, NULL), TC_OK);
    assert_true(fabs(four[1] - -0.0703125 / 0.796875) < 1e-7);
    assert_true(fabs(four[4] - 0.8671875 / 0.796875) < 1e-7);
}

/* ---- OpenCLIP's folders */

static void openclip_folder(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "open_clip_model.safetensors"), text[1024];
    tc_model *m = make_model(ODD), *again;
    tc_error err;
    snprintf(
        text, sizeof text,
        "{\"model_cfg\": %s, \"preprocess_cfg\": {\"mean\": [0.5, 0.25, 0.5], \"std\": [0.5, 0.5, 0.125], "
        "\"interpolation\": \"bicubic\", \"resize_mode\": \"shortest\"}}",
        ODD);
    write_naming(m, &namings[0], NULL, path);
    scratch_text(dir, "open_clip_config.json", text);
    for (int file = 0; file < 2; file++) {
        again = open_with(file ? path : dir, NULL, NULL, 0, &err);
        if (!again) fail_msg("%s", err.message);
        expect_same(m, again, "folder");
        tc_preprocess p = tc_model_preprocess(again);
        assert_true(p.mean[1] == 0.25f && p.std[2] == 0.125f && p.order == TC_IMAGE_OPENCLIP &&
                    p.resize == 16);
        tc_model_close(&again);
    }
    snprintf(text, sizeof text, "{\"model_cfg\": %s, \"preprocess_cfg\": {\"resize_mode\": \"squash\"}}",
             ODD);
    scratch_text(dir, "open_clip_config.json", text);
    assert_null(open_with(dir, NULL, NULL, 0, &err));
    assert_non_null(
        strstr(err.message, "preprocess_cfg.resize_mode \"squash\" is not supported, only shortest"));
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- real sizes: shapes alone, no file */

static int by_name(const void *a, const void *b) {
    return strcmp(((const tc_named *)a)->is.name, ((const tc_named *)b)->is.name);
}

static void expect_recognised(const tc_config *c, const char *label) {
    tc_params params;
    tc_config found;
    tc_error err;
    char difference[256];
    assert_int_equal(tc_net_params(&params, c, NULL), TC_OK);
    tc_tensor *tensors = tc_new(params.count, sizeof *tensors);
    tc_layout l = {.path = label,
                   .items = tc_new(params.count, sizeof *l.items),
                   .count = params.count,
                   .written_by = TC_NAMED_OPENCLIP};
    assert_true(tensors && l.items);
    for (size_t i = 0; i < params.count; i++) {
        const tc_param *p = &params.items[i];
        tensors[i] = (tc_tensor){.name = p->name, .dtype = TC_F32, .ndim = p->ndim};
        for (int k = 0; k < p->ndim; k++) tensors[i].shape[k] = p->shape[k];
        l.items[i] = (tc_named){.tensor = &tensors[i], .is = {.parts = 1}};
        snprintf(l.items[i].is.name, sizeof l.items[i].is.name, "%s", p->name);
    }
    qsort(l.items, l.count, sizeof *l.items, by_name);
    if (tc_layout_config(&found, &l, NULL, &err) != TC_OK) fail_msg("%s", err.message);
    found.vision.activation = c->vision.activation;
    found.text.activation = c->text.activation;
    if (tc_config_difference(c, &found, difference, sizeof difference)) fail_msg("%s: %s", label, difference);
    tc_layout_free(&l);
    tc_params_free(&params);
    free(tensors);
}

static void real_models(void **state) {
    (void)state;
    /* OpenCLIP's largest, whose image heads are not of 64 channels: width, layers, head_width, FFN; text
     * width, layers; embed_dim. */
    static const struct {
        const char *name;
        int width, layers, head_dim, ffn, text_width, text_layers, embed_dim;
    } large[] = {{"ViT-H-14", 1280, 32, 80, 5120, 1024, 24, 1024},
                 {"ViT-g-14", 1408, 40, 88, 6144, 1024, 24, 1024},
                 {"ViT-bigG-14", 1664, 48, 104, 8192, 1280, 32, 1280},
                 {"ViT-L-14", 1024, 24, 64, 4096, 768, 12, 768}};
    tc_config c;
    for (int i = 0; tc_builtin_config(i); i++) {
        assert_int_equal(tc_config_open(&c, tc_builtin_config(i), NULL), TC_OK);
        expect_recognised(&c, tc_builtin_config(i));
    }
    assert_int_equal(tc_config_open(&c, "ViT-B-32", NULL), TC_OK);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        c.embed_dim = large[i].embed_dim;
        c.image_size = 224;
        c.vision.patch_size = 14;
        c.vision.width = large[i].width, c.vision.layers = large[i].layers,
        c.vision.head_dim = large[i].head_dim;
        c.text.width = large[i].text_width, c.text.layers = large[i].text_layers, c.text.head_dim = 64;
        for (int l = 0; l < c.vision.layers; l++) {
            c.vision.block[l].heads = c.vision.width / c.vision.head_dim;
            c.vision.block[l].ffn = large[i].ffn;
        }
        for (int l = 0; l < c.text.layers; l++) {
            c.text.block[l].heads = c.text.width / 64;
            c.text.block[l].ffn = 4 * c.text.width;
        }
        expect_recognised(&c, large[i].name);
    }
}

/* ---- ResNet */

/* A ResNet is recognised by its tensors; a configuration of another one, or of a ViT, is refused. */
static void resnet(void **state) {
    (void)state;
    static const char text[] =
        "{\"embed_dim\": 24, \"vision_cfg\": {\"image_size\": 96, \"layers\": [%s], \"width\": 8}, "
        "\"text_cfg\": "
        "{\"context_length\": 9, \"vocab_size\": 50, \"width\": 64, \"heads\": 1, \"layers\": 2}}";
    char *dir = scratch_dir(), *config = tc_path_join(dir, "c.cfg"), *other = tc_path_join(dir, "d.cfg"),
         *path = tc_path_join(dir, "m.safetensors"), *beside = tc_path_join(dir, "m.json"), json[400],
         difference[160];
    tc_model *m = NULL, *again = NULL;
    tc_error err;
    snprintf(json, sizeof json, text, "2, 1, 3, 1");
    assert_int_equal(tc_file_write(config, json, strlen(json), NULL), TC_OK);
    snprintf(json, sizeof json, text, "2, 1, 4, 1");
    assert_int_equal(tc_file_write(other, json, strlen(json), NULL), TC_OK);
    assert_int_equal(tc_model_create(&m, config, 1, NULL), TC_OK);
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_OPENCLIP, NULL), TC_OK);
    assert_int_equal(remove(beside), 0);
    assert_int_equal(tc_model_open(&again, path, NULL, NULL), TC_OK);
    assert_false(tc_config_difference(&m->config, &again->config, difference, sizeof difference));
    tc_model_close(&again);
    tc_open_options o = tc_open_options_default();
    o.config = other;
    assert_int_equal(tc_model_open(&again, path, &o, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "stage"));
    o.config = "ViT-B-32";
    assert_int_equal(tc_model_open(&again, path, &o, &err), TC_EFORMAT);
    assert_non_null(strstr(err.message, "ModifiedResNet"));
    tc_model_close(&m);
    free(config), free(other), free(path), free(beside);
    scratch_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_layout),
                                       cmocka_unit_test(huggingface_names),
                                       cmocka_unit_test(names_lead_back),
                                       cmocka_unit_test(what_does_not_fit),
                                       cmocka_unit_test(contradictory_configurations),
                                       cmocka_unit_test(activations),
                                       cmocka_unit_test(image_sizes),
                                       cmocka_unit_test(resized_positions),
                                       cmocka_unit_test(openclip_folder),
                                       cmocka_unit_test(real_models),
                                       cmocka_unit_test(resnet)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
