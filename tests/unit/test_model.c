/* test_model.c - models on disk: what is written opens again with the same results, and what does not fit is
 * refused with a message that names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "scratch.h"

#include <math.h>

/* ---- a small model and its results */

static const char *const SMALL =
    "{\"embed_dim\": 6, \"quick_gelu\": true, \"vision_cfg\": {\"image_size\": 16, \"layers\": 2, \"width\": "
    "12, "
    "\"head_width\": 4, \"patch_size\": 8, \"mlp_ratio\": 3.1},"
    " \"text_cfg\": {\"context_length\": 9, \"vocab_size\": 30, \"width\": 8, \"heads\": 2, \"layers\": 2}}";

static tc_config parse(const char *text) {
    tc_config c = {0};
    tc_error err;
    json_t *json = NULL;
    if (tc_json_parse(&json, text, strlen(text), "test", &err) != TC_OK ||
        tc_config_parse(&c, json, "test", &err) != TC_OK)
        fail_msg("%s", err.message);
    json_decref(json);
    return c;
}

static tc_model *make_model(const char *config, uint64_t seed) {
    tc_config c = parse(config);
    tc_model *m = NULL;
    tc_error err;
    if (tc_model_random(&m, &c, seed, &err) != TC_OK) fail_msg("%s", err.message);
    /* Biases and norms too are different everywhere. */
    tc_rng rng = tc_rng_make(seed, 1, 1);
    for (int64_t i = 0; i < m->params.total; i++) m->flat[i] += 0.1f * (float)tc_rng_normal(&rng);
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    return m;
}

static tc_model *must_open(const char *path, const char *config) {
    tc_model *m = NULL;
    tc_error err;
    tc_open_options o = tc_open_options_default();
    o.config = config;
    if (tc_model_open(&m, path, &o, &err) != TC_OK) fail_msg("%s", err.message);
    return m;
}

enum { IMAGES = 3, TEXTS = 4, MAX_EMBED = 16 };
typedef struct results {
    float image[IMAGES * MAX_EMBED], text[TEXTS * MAX_EMBED], logits[IMAGES * TEXTS];
} results;

static void run(const tc_model *m, results *r) {
    const tc_model_info *info = tc_model_get_info(m);
    int size = 3 * info->image_size * info->image_size, e = info->embed_dim, context = info->context_length;
    float *pixels = tc_new((size_t)(IMAGES * size), sizeof *pixels);
    int32_t *ids = tc_new((size_t)(TEXTS * context), sizeof *ids);
    tc_session *s = NULL;
    tc_rng rng = tc_rng_make(4, 0, 0);
    assert_true(pixels && ids && e <= MAX_EMBED);
    memset(r, 0, sizeof *r);
    for (int i = 0; i < IMAGES * size; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < TEXTS * context; i++)
        ids[i] = (int32_t)tc_rng_below(&rng, (uint64_t)info->vocab_size);
    assert_int_equal(tc_session_create(&s, m, NULL), TC_OK);
    assert_int_equal(tc_session_encode_image(s, pixels, IMAGES, r->image, NULL), TC_OK);
    assert_int_equal(tc_session_encode_text(s, ids, TEXTS, context, r->text, NULL), TC_OK);
    tc_logits(r->image, r->text, IMAGES, TEXTS, e, expf(info->logit_scale), r->logits);
    assert_true(isfinite(r->logits[0]));
    tc_session_close(&s);
    free(pixels);
    free(ids);
}

static void expect_same(const tc_model *a, const tc_model *b) {
    results x, y;
    run(a, &x);
    run(b, &y);
    assert_true(x.logits[0] != 0);
    assert_memory_equal(&x, &y, sizeof x);
    assert_int_equal(a->params.count, b->params.count);
    for (size_t i = 0; i < a->params.count; i++) {
        const tc_param *p = &a->params.items[i];
        float *v = tc_new((size_t)p->numel, sizeof *v), *w = tc_new((size_t)p->numel, sizeof *w);
        assert_true(v && w);
        assert_int_equal(tc_model_read(a, i, v, NULL), TC_OK);
        assert_int_equal(tc_model_read(b, i, w, NULL), TC_OK);
        assert_memory_equal(v, w, (size_t)p->numel * sizeof *v);
        free(v);
        free(w);
    }
    uint64_t hash_a = 1, hash_b = 2;
    assert_int_equal(tc_model_hash(a, &hash_a, NULL), TC_OK);
    assert_int_equal(tc_model_hash(b, &hash_b, NULL), TC_OK);
    assert_true(hash_a == hash_b);
    assert_int_equal(tc_model_get_info(a)->params, tc_model_get_info(b)->params);
    assert_true(tc_model_get_info(a)->logit_scale == tc_model_get_info(b)->logit_scale);
}

/* ---- writing and reading again */

static void save_and_open(const char *config, tc_format format, const char *name) {
    char *dir = scratch_dir(), *path = tc_path_join(dir, name);
    tc_model *m = make_model(config, 3), *again = NULL;
    tc_error err;
    if (tc_model_save(m, path, format, &err) != TC_OK) fail_msg("%s", err.message);
    again = must_open(path, NULL);
    expect_same(m, again);
    /* And once more from the mapped file, over the file that it is mapped from. */
    if (tc_model_save(again, path, format, &err) != TC_OK) fail_msg("%s", err.message);
    tc_model_close(&again);
    again = must_open(path, NULL);
    expect_same(m, again);
    tc_model_close(&again);
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

static const char *const WITH_EOS =
    "{\"projection_dim\": 5, \"vision_config\": {\"image_size\": 12, \"patch_size\": 6, \"hidden_size\": 8, "
    "\"num_attention_heads\": 2, "
    "\"num_hidden_layers\": 1,"
    " \"intermediate_size\": 20, \"hidden_act\": \"gelu\"}, \"text_config\": {\"max_position_embeddings\": "
    "7, \"vocab_size\": 25, \"hidden_size\": 6,"
    " \"num_attention_heads\": 3, \"num_hidden_layers\": 2, \"intermediate_size\": 10, \"hidden_act\": "
    "\"quick_gelu\", \"eos_token_id\": 20}}";

static void huggingface_folder(void **state) {
    (void)state;
    save_and_open(SMALL, TC_FORMAT_HF, "model");
    save_and_open(SMALL, TC_FORMAT_AUTO, "model");
    save_and_open(WITH_EOS, TC_FORMAT_HF, "new/folders/model");
}

static void single_file(void **state) {
    (void)state;
    save_and_open(SMALL, TC_FORMAT_FILE, "m.safetensors");
    save_and_open(SMALL, TC_FORMAT_AUTO, "m.safetensors");
    save_and_open(WITH_EOS, TC_FORMAT_FILE, "m.safetensors");
}

static void openclip_file(void **state) {
    (void)state;
    save_and_open(SMALL, TC_FORMAT_OPENCLIP, "m.safetensors");
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"),
         *other = tc_path_join(dir, "elsewhere.json"), *config = tc_path_join(dir, "m.json");
    tc_model *m = make_model(SMALL, 8), *again = NULL;
    tc_error err;
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_OPENCLIP, &err), TC_OK);
    assert_int_equal(rename(config, other), 0);
    assert_int_equal(tc_model_open(&again, path, NULL, &err), TC_EARG);
    assert_null(again);
    assert_non_null(strstr(
        err.message, "m.safetensors: there is no configuration beside it; name one with --model-config"));
    again = must_open(path, other);
    expect_same(m, again);
    assert_string_equal(tc_model_get_info(again)->source, "openclip");
    assert_int_equal(tc_model_tokenizer_kind(again), TC_TOKENIZER_OPENCLIP);
    assert_int_equal(tc_model_preprocess(again).order, TC_IMAGE_OPENCLIP);
    tc_model_close(&again);
    tc_model_close(&m);
    m = make_model(WITH_EOS, 1);
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_OPENCLIP, &err), TC_EUNSUPPORTED);
    tc_model_close(&m);
    free(path);
    free(other);
    free(config);
    scratch_remove(dir);
}

/* Weights with Hugging Face's names in a lone file, and a configuration named by the caller. */
static void huggingface_file(void **state) {
    (void)state;
    char *dir = scratch_dir(), *folder = tc_path_join(dir, "f"),
         *file = tc_path_join(dir, "f/model.safetensors"), *lone = tc_path_join(dir, "lone.safetensors");
    char *config = tc_path_join(dir, "f/config.json");
    tc_model *m = make_model(WITH_EOS, 8), *again = NULL;
    assert_int_equal(tc_model_save(m, folder, TC_FORMAT_HF, NULL), TC_OK);
    assert_int_equal(rename(file, lone), 0);
    again = must_open(lone, config);
    expect_same(m, again);
    assert_int_equal(tc_model_tokenizer_kind(again), TC_TOKENIZER_HF);
    tc_model_close(&again);
    tc_model_close(&m);
    free(folder);
    free(file);
    free(lone);
    free(config);
    scratch_remove(dir);
}

static void settings_survive(void **state) {
    (void)state;
    for (int file = 0; file < 2; file++) {
        char *dir = scratch_dir(), *path = tc_path_join(dir, file ? "m.safetensors" : "m");
        tc_model *m = make_model(SMALL, 2), *again;
        tc_preprocess p = tc_model_preprocess(m), q;
        p.mean[1] = 0.25f, p.std[2] = 0.125f, p.resize = 20, p.order = TC_IMAGE_HF;
        tc_model_set_preprocess(m, &p);
        assert_int_equal(tc_model_set_card(m, "{\"data\": \"caf\xc3\xa9\", \"steps\": 12}", NULL), TC_OK);
        assert_int_equal(tc_model_save(m, path, TC_FORMAT_AUTO, NULL), TC_OK);
        again = must_open(path, NULL);
        q = tc_model_preprocess(again);
        assert_memory_equal(&p, &q, sizeof p);
        assert_int_equal(tc_model_tokenizer_kind(again), TC_TOKENIZER_HF);
        json_t *card = NULL;
        assert_int_equal(tc_json_parse(&card, tc_model_get_info(again)->card,
                                       strlen(tc_model_get_info(again)->card), "card", NULL),
                         TC_OK);
        assert_string_equal(json_string_value(json_object_get(card, "data")), "caf\xc3\xa9");
        assert_int_equal(json_integer_value(json_object_get(card, "steps")), 12);
        json_decref(card);
        assert_int_equal(tc_model_set_card(again, NULL, NULL), TC_OK);
        assert_null(tc_model_get_info(again)->card);
        tc_model_close(&again);
        tc_model_close(&m);
        free(path);
        scratch_remove(dir);
    }
}

/* A model with the real vocabulary writes its tokenizer's files and reads its vocabulary from them. */
static void tokenizer_files(void **state) {
    (void)state;
    static const char *const config = "{\"embed_dim\": 2, \"vision_cfg\": {\"image_size\": 8, \"layers\": 1, "
                                      "\"width\": 4, \"head_width\": 4, \"patch_size\": 8},"
                                      " \"text_cfg\": {\"context_length\": 77, \"vocab_size\": 49408, "
                                      "\"width\": 2, \"heads\": 1, \"layers\": 1}}";
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m"), *vocab = tc_path_join(dir, "m/vocab.json"),
         *merges = tc_path_join(dir, "m/merges.txt");
    tc_model *m = make_model(config, 2), *again;
    tc_tokenizer *own = NULL, *read = NULL;
    int32_t a[77], b[77];
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_HF, NULL), TC_OK);
    assert_true(tc_path_exists(vocab) && tc_path_exists(merges));
    again = must_open(path, NULL);
    assert_int_equal(tc_model_tokenizer(m, &own, NULL), TC_OK);
    assert_int_equal(tc_model_tokenizer(again, &read, NULL), TC_OK);
    assert_int_equal(tc_tokenizer_size(read), 49408);
    static const char *const texts[] = {"", "a photo of a cat",
                                        "  Two  people's bicycles, 1999 -- caf\xc3\xa9 \xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(tc_tokenizer_encode(own, texts[i], 77, a, NULL, NULL, NULL), TC_OK);
        assert_int_equal(tc_tokenizer_encode(read, texts[i], 77, b, NULL, NULL, NULL), TC_OK);
        assert_memory_equal(a, b, sizeof a);
    }
    tc_tokenizer_close(&own);
    tc_tokenizer_close(&read);
    tc_model_close(&m);
    tc_model_close(&again);
    free(path);
    free(vocab);
    free(merges);
    scratch_remove(dir);
}

/* ---- files that do not fit; each case changes one tensor of a good folder */

typedef struct edit {
    const char *name; /* of the tensor that is changed */
    bool drop;        /* it is left out */
    const char *also; /* a tensor of this name is added, with the same contents */
    int ndim;         /* its shape is this instead, if ndim is not 0 */
    int64_t shape[4];
    tc_dtype dtype; /* its dtype is this instead, zeros; TC_F32: as it is */
    bool prefixed;  /* every name gets "module." */
} edit;

static void rewrite(const char *path, const char *to, const edit *e) {
    static const uint8_t zeros[1 << 16];
    tc_store *s = NULL;
    tc_st_writer *w = NULL;
    char names[128][128];
    assert_int_equal(tc_store_open(&s, path, NULL), TC_OK);
    assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
    assert_in_range(tc_store_count(s), 1, 128);
    for (size_t i = 0; i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        bool hit = strcmp(t->name, e->name) == 0;
        tc_dtype dtype = hit ? e->dtype : t->dtype;
        int ndim = hit && e->ndim ? e->ndim : t->ndim;
        const int64_t *shape = hit && e->ndim ? e->shape : t->shape;
        snprintf(names[i], sizeof *names, "%s%s", e->prefixed ? "module." : "", t->name);
        if (!(hit && e->drop))
            assert_int_equal(tc_st_writer_add(w, names[i], dtype, ndim, shape,
                                              hit && (e->ndim || dtype != t->dtype) ? zeros : t->data, NULL),
                             TC_OK);
        if (hit && e->also)
            assert_int_equal(tc_st_writer_add(w, e->also, t->dtype, t->ndim, t->shape, t->data, NULL), TC_OK);
    }
    assert_int_equal(tc_st_writer_commit(&w, to, NULL, NULL), TC_OK);
    tc_store_close(&s);
}

static const struct {
    edit change;
    const char *message; /* the end of it; NULL: it opens */
} hf_edits[] = {
    {{.name = "logit_scale", .dtype = TC_F32}, NULL},
    {{.name = "text_model.final_layer_norm.bias", .drop = true, .dtype = TC_F32},
     "tensor 'text_model.final_layer_norm.bias' is missing"},
    {{.name = "vision_model.encoder.layers.1.self_attn.k_proj.bias", .drop = true, .dtype = TC_F32},
     "tensor 'vision_model.encoder.layers.1.self_attn.k_proj.bias' is missing"},
    {{.name = "logit_scale", .drop = true, .dtype = TC_F32}, "tensor 'logit_scale' is missing"},
    {{.name = "logit_scale", .also = "logit_bias", .dtype = TC_F32},
     "tensor 'logit_bias' is not part of the configured model"},
    {{.name = "vision_model.encoder.layers.1.mlp.fc1.bias",
      .also = "vision_model.encoder.layers.2.mlp.fc1.bias",
      .dtype = TC_F32},
     "tensor 'vision_model.encoder.layers.2.mlp.fc1.bias' is not part of the configured model"},
    {{.name = "visual_projection.weight", .ndim = 2, .shape = {12, 6}, .dtype = TC_F32},
     "tensor 'visual_projection.weight' is [12,6], expected [6,12]"},
    {{.name = "text_model.embeddings.token_embedding.weight", .ndim = 2, .shape = {31, 8}, .dtype = TC_F32},
     "tensor 'text_model.embeddings.token_embedding.weight' is [31,8], expected [30,8]"},
    {{.name = "text_model.encoder.layers.0.self_attn.v_proj.weight",
      .ndim = 2,
      .shape = {24, 8},
      .dtype = TC_F32},
     "tensor 'text_model.encoder.layers.0.self_attn.v_proj.weight' is [24,8], expected [8,8]"},
    {{.name = "vision_model.embeddings.patch_embedding.weight",
      .ndim = 2,
      .shape = {12, 192},
      .dtype = TC_F32},
     "tensor 'vision_model.embeddings.patch_embedding.weight' is [12,192], expected [12,3,8,8]"},
    {{.name = "vision_model.embeddings.class_embedding", .ndim = 2, .shape = {1, 12}, .dtype = TC_F32},
     "tensor 'vision_model.embeddings.class_embedding' is [1,12], expected [12]"},
    {{.name = "logit_scale", .ndim = 1, .shape = {1}, .dtype = TC_F32},
     NULL}, /* a scalar may be written so */
    {{.name = "logit_scale", .ndim = 1, .shape = {2}, .dtype = TC_F32},
     "tensor 'logit_scale' is [2], expected []"},
    {{.name = "text_model.final_layer_norm.weight", .dtype = TC_I64},
     "tensor 'text_model.final_layer_norm.weight' has dtype I64, expected a floating-point one"},
    {{.name = "text_model.final_layer_norm.weight", .dtype = TC_F8_E4M3},
     "tensor 'text_model.final_layer_norm.weight' has dtype F8_E4M3, expected a floating-point one"},
    {{.name = "text_model.final_layer_norm.weight", .dtype = TC_F16}, NULL},
    {{.name = "text_model.final_layer_norm.weight", .dtype = TC_BF16}, NULL},
    {{.name = "text_model.final_layer_norm.weight", .dtype = TC_F64}, NULL},
    {{.name = "text_projection.weight", .dtype = TC_F16}, NULL},
    {{.name = "logit_scale", .also = "vision_model.embeddings.position_ids", .dtype = TC_F32},
     NULL}, /* old transformers wrote these */
    {{.name = "", .prefixed = true, .dtype = TC_F32},
     NULL}, /* "module.", which PyTorch adds in training on several devices */
};

static void expect_opening(const char *path, const char *config, const char *label, const char *message) {
    tc_model *m = NULL;
    tc_error err = {0};
    tc_open_options o = tc_open_options_default();
    o.config = config;
    tc_status status = tc_model_open(&m, path, &o, &err);
    if (!message && status != TC_OK) fail_msg("%s: %s", label, err.message);
    if (message && (status != TC_EFORMAT || m || !tc_ends_with(err.message, message) ||
                    !tc_starts_with(err.message, path)))
        fail_msg("%s: status %d, \"%s\" instead of \"...%s\"", label, status, err.message, message);
    if (m) {
        results r;
        run(m, &r);
    }
    tc_model_close(&m);
}

static void strict_huggingface(void **state) {
    (void)state;
    char *dir = scratch_dir(), *good = tc_path_join(dir, "good"), *bad = tc_path_join(dir, "bad");
    char *weights = tc_path_join(good, "model.safetensors"), *broken = tc_path_join(bad, "model.safetensors");
    tc_model *m = make_model(SMALL, 5);
    assert_int_equal(tc_model_save(m, good, TC_FORMAT_HF, NULL), TC_OK);
    assert_int_equal(tc_model_save(m, bad, TC_FORMAT_HF, NULL), TC_OK);
    for (size_t i = 0; i < sizeof hf_edits / sizeof *hf_edits; i++) {
        rewrite(weights, broken, &hf_edits[i].change);
        expect_opening(bad, NULL, hf_edits[i].change.name, hf_edits[i].message);
    }
    tc_model_close(&m);
    free(good);
    free(bad);
    free(weights);
    free(broken);
    scratch_remove(dir);
}

static void strict_openclip(void **state) {
    (void)state;
    static const struct {
        edit change;
        const char *message;
    } edits[] = {
        {{.name = "logit_scale", .dtype = TC_F32}, NULL},
        {{.name = "visual.transformer.resblocks.1.attn.in_proj_weight", .drop = true, .dtype = TC_F32},
         "tensor 'visual.transformer.resblocks.1.attn.in_proj_weight' is missing"},
        {{.name = "visual.proj", .ndim = 2, .shape = {6, 12}, .dtype = TC_F32},
         "tensor 'visual.proj' is [6,12], expected [12,6]"},
        {{.name = "transformer.resblocks.0.attn.in_proj_bias", .ndim = 1, .shape = {8}, .dtype = TC_F32},
         "tensor 'transformer.resblocks.0.attn.in_proj_bias' is [8], expected [24]"},
        {{.name = "ln_final.bias", .also = "ln_final.scale", .dtype = TC_F32},
         "tensor 'ln_final.scale' is not part of the configured model"},
        {{.name = "logit_scale", .also = "attn_mask", .dtype = TC_F32}, NULL}};
    char *dir = scratch_dir(), *good = tc_path_join(dir, "good.safetensors"),
         *bad = tc_path_join(dir, "bad.safetensors"), *config = tc_path_join(dir, "good.json");
    tc_model *m = make_model(SMALL, 5);
    assert_int_equal(tc_model_save(m, good, TC_FORMAT_OPENCLIP, NULL), TC_OK);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        rewrite(good, bad, &edits[i].change);
        expect_opening(bad, config, edits[i].change.name, edits[i].message);
    }
    tc_model_close(&m);
    free(good);
    free(bad);
    free(config);
    scratch_remove(dir);
}

/* Values in half precision are widened exactly. */
static void half_precision(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"),
         *config = tc_path_join(dir, "m.json");
    static const uint16_t half[6] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555};
    static const float wide[6] = {1, -2, 0x1p-24f, 65504, -0.0f, 0x1.554p-2f};
    tc_model *m = make_model(SMALL, 5), *again;
    assert_int_equal(tc_model_save(m, path, TC_FORMAT_OPENCLIP, NULL), TC_OK);
    tc_store *s = NULL;
    tc_st_writer *w = NULL;
    uint16_t values[12 * 6];
    for (int i = 0; i < 12 * 6; i++) values[i] = half[i % 6];
    assert_int_equal(tc_store_open(&s, path, NULL), TC_OK);
    assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
    for (size_t i = 0; i < tc_store_count(s); i++) {
        const tc_tensor *t = tc_store_at(s, i);
        bool hit = strcmp(t->name, "visual.proj") == 0;
        assert_int_equal(tc_st_writer_add(w, t->name, hit ? TC_F16 : t->dtype, t->ndim, t->shape,
                                          hit ? (const void *)values : t->data, NULL),
                         TC_OK);
    }
    assert_int_equal(tc_st_writer_commit(&w, path, NULL, NULL), TC_OK);
    tc_store_close(&s);
    again = must_open(path, NULL);
    int id = tc_params_find(&again->params, "visual.proj"), ndim;
    float got[12 * 6];
    assert_int_equal(tc_model_read(again, (size_t)id, got, NULL), TC_OK);
    for (int i = 0; i < 12 * 6; i++) assert_memory_equal(&got[i], &wide[i % 6], sizeof *got);
    const char *name, *dtype;
    int64_t shape[4];
    assert_true(tc_model_tensor(again, (size_t)id, &name, &ndim, shape, &dtype));
    assert_string_equal(name, "visual.proj");
    assert_string_equal(dtype, "F16");
    assert_true(ndim == 2 && shape[0] == 12 && shape[1] == 6);
    assert_false(tc_model_tensor(again, again->params.count, &name, &ndim, shape, &dtype));
    tc_model_close(&m);
    tc_model_close(&again);
    free(path);
    free(config);
    scratch_remove(dir);
}

/* Two shards and an index, as transformers writes large models. */
static void sharded(void **state) {
    (void)state;
    char *dir = scratch_dir(), *weights = tc_path_join(dir, "model.safetensors");
    tc_model *m = make_model(SMALL, 6), *again;
    static const char *const names[2] = {"model-00001-of-00002.safetensors",
                                         "model-00002-of-00002.safetensors"};
    json_t *index = json_pack("{s:{s:i}, s:{}}", "metadata", "total_size", 1, "weight_map");
    tc_store *s = NULL;
    assert_int_equal(tc_model_save(m, dir, TC_FORMAT_HF, NULL), TC_OK);
    assert_int_equal(tc_store_open(&s, weights, NULL), TC_OK);
    for (int shard = 0; shard < 2; shard++) {
        char *path = tc_path_join(dir, names[shard]);
        tc_st_writer *w = NULL;
        assert_int_equal(tc_st_writer_create(&w, NULL), TC_OK);
        for (size_t i = (size_t)shard; i < tc_store_count(s); i += 2) {
            const tc_tensor *t = tc_store_at(s, i);
            assert_int_equal(tc_st_writer_add(w, t->name, t->dtype, t->ndim, t->shape, t->data, NULL), TC_OK);
            json_object_set_new(json_object_get(index, "weight_map"), t->name, json_string(names[shard]));
        }
        assert_int_equal(tc_st_writer_commit(&w, path, NULL, NULL), TC_OK);
        free(path);
    }
    tc_store_close(&s);
    unlink(weights);
    char *text = json_dumps(index, 0);
    const char *index_path = scratch_text(dir, "model.safetensors.index.json", text);
    again = must_open(dir, NULL);
    expect_same(m, again);
    tc_model_close(&again);
    char *config = tc_path_join(dir, "config.json");
    again = must_open(index_path, config); /* the index itself */
    expect_same(m, again);
    tc_model_close(&again);
    free(text);
    free(config);
    free(weights);
    json_decref(index);
    tc_model_close(&m);
    scratch_remove(dir);
}

static void not_models(void **state) {
    (void)state;
    char *dir = scratch_dir(), *missing = tc_path_join(dir, "nothing"), *folder = tc_path_join(dir, "m"),
         *config = tc_path_join(dir, "m/config.json");
    tc_model *m = NULL;
    tc_error err;
    assert_int_equal(tc_model_open(&m, missing, NULL, &err), TC_EIO);
    assert_non_null(strstr(err.message, "nothing: no such file or folder"));
    assert_int_equal(tc_model_open(&m, "ViT-B-32", NULL, &err), TC_EARG);
    assert_int_equal(tc_model_open(&m, dir, NULL, &err), TC_EIO);
    assert_non_null(strstr(err.message, "has no model.safetensors"));
    tc_model *good = make_model(SMALL, 1);
    assert_int_equal(tc_model_save(good, folder, TC_FORMAT_HF, NULL), TC_OK);
    assert_int_equal(unlink(config), 0);
    assert_int_equal(tc_model_open(&m, folder, NULL, &err), TC_EIO);
    assert_non_null(strstr(err.message, "config.json"));
    assert_null(m);
    /* A folder cannot be made where a file is. */
    const char *file = scratch_text(dir, "file", "x");
    assert_int_not_equal(tc_model_save(good, file, TC_FORMAT_HF, &err), TC_OK);
    tc_model_close(&good);
    free(missing);
    free(folder);
    free(config);
    scratch_remove(dir);
}

/* ---- preprocessor files */

static void preprocessor_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *message; /* NULL: it opens, with `resize` */
        int resize;
    } cases[] = {
        {"{}", NULL, 16},
        {"{\"size\": 20, \"crop_size\": 16}", NULL, 20},
        {"{\"size\": {\"shortest_edge\": 18}, \"crop_size\": {\"height\": 16, \"width\": 16}, \"resample\": "
         "3}",
         NULL, 18},
        {"{\"image_processor\": {\"size\": {\"shortest_edge\": 19}}}", NULL, 19},
        {"{\"do_resize\": false}", NULL, 0},
        {"{\"size\": {\"height\": 16, \"width\": 16}}",
         "size and crop_size must be a shortest edge and a square of 1 to 16384 pixels", 0},
        {"{\"size\": {\"shortest_edge\": 0}}",
         "size and crop_size must be a shortest edge and a square of 1 to 16384 pixels", 0},
        {"{\"size\": {\"shortest_edge\": 20000}}",
         "size and crop_size must be a shortest edge and a square of 1 to 16384 pixels", 0},
        {"{\"size\": \"large\"}",
         "size and crop_size must be a shortest edge and a square of 1 to 16384 pixels", 0},
        {"{\"crop_size\": {\"height\": 16, \"width\": 17}}",
         "size and crop_size must be a shortest edge and a square of 1 to 16384 pixels", 0},
        {"{\"crop_size\": 32}", "crop_size is 32, but the model's image_size is 16", 0},
        {"{\"do_center_crop\": false}", "do_center_crop false is not supported", 0},
        {"{\"resample\": 2}", "resample 2 is not supported, only 3 (bicubic)", 0},
        {"{\"image_mean\": [0.5, 0.5]}", "image_mean must be three numbers", 0},
        {"{\"image_mean\": [0.5, 0.5, \"x\"]}", "image_mean must be three numbers", 0},
        {"{\"image_std\": 1}", "image_std must be three numbers", 0},
        {"{\"image_std\": [0.5, 0, 0.5]}", "image_std must be above 0", 0},
        {"{\"image_std\": [0.5, -1, 0.5]}", "image_std must be above 0", 0},
    };
    char *dir = scratch_dir();
    tc_model *m = make_model(SMALL, 1);
    assert_int_equal(tc_model_save(m, dir, TC_FORMAT_HF, NULL), TC_OK);
    tc_model_close(&m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_error err = {0};
        scratch_text(dir, "preprocessor_config.json", cases[i].text);
        tc_status status = tc_model_open(&m, dir, NULL, &err);
        if (!cases[i].message && status != TC_OK) fail_msg("%s: %s", cases[i].text, err.message);
        if (!cases[i].message) assert_int_equal(tc_model_preprocess(m).resize, cases[i].resize);
        if (cases[i].message && (status == TC_OK || !tc_ends_with(err.message, cases[i].message) ||
                                 !strstr(err.message, "preprocessor_config.json: ")))
            fail_msg("%s: status %d, %s", cases[i].text, status, err.message);
        tc_model_close(&m);
    }
    scratch_remove(dir);
}

/* ---- inheritance that cannot be */

static void inheritance_errors(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message; /* in SMALL, `from` becomes `to` */
    } cases[] = {
        {"\"layers\": 2, \"width\": 12", "\"layers\": 3, \"width\": 12",
         "inherit: the student has 3 vision layers, its teacher only 2"},
        {"\"heads\": 2, \"layers\": 2", "\"heads\": 2, \"layers\": 3",
         "inherit: the student has 3 text layers, its teacher only 2"},
        {"\"head_width\": 4", "\"head_width\": 6",
         "inherit: vision head width is 6 in the student and 4 in the teacher; they must be equal"},
        {"\"heads\": 2", "\"heads\": 1",
         "inherit: text head width is 8 in the student and 4 in the teacher; they must be equal"},
        {"\"patch_size\": 8", "\"patch_size\": 4",
         "inherit: patch_size is 4 in the student and 8 in the teacher; they must be equal"},
        {"\"image_size\": 16", "\"image_size\": 8",
         "inherit: image_size is 8 in the student and 16 in the teacher; they must be equal"},
        {"\"width\": 12", "\"width\": 16",
         "inherit: visual.class_embedding is [16] in the student, larger than the teacher's [12]"},
        {"\"vocab_size\": 30", "\"vocab_size\": 31",
         "inherit: token_embedding.weight is [31,8] in the student, larger than the teacher's [30,8]"}};
    char *dir = scratch_dir();
    tc_model *teacher = make_model(SMALL, 1), *student = NULL;
    tc_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_buf b = {0};
        const char *at = strstr(SMALL, cases[i].from);
        assert_non_null(at);
        tc_buf_printf(&b, "%.*s%s%s", (int)(at - SMALL), SMALL, cases[i].to, at + strlen(cases[i].from));
        const char *path = scratch_text(dir, "student.json", b.data);
        assert_int_equal(tc_model_inherit(&student, teacher, path, &err), TC_EARG);
        assert_null(student);
        assert_string_equal(err.message, cases[i].message);
        tc_buf_free(&b);
    }
    tc_model_close(&teacher);
    scratch_remove(dir);
}

/* What the weights were trained with goes along: activation, preprocessing, tokenizer. */
static void inheritance_keeps_settings(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_model *teacher = make_model(WITH_EOS, 1), *student = NULL;
    const char *path = scratch_text(dir, "student.json",
                                    "{\"embed_dim\": 5, \"vision_cfg\": {\"image_size\": 12, \"patch_size\": "
                                    "6, \"width\": 4, \"head_width\": 4, \"layers\": 1, "
                                    "\"mlp_ratio\": 2},"
                                    " \"text_cfg\": {\"context_length\": 7, \"vocab_size\": 25, \"width\": "
                                    "4, \"heads\": 2, \"layers\": 1, \"mlp_ratio\": 2}}");
    tc_preprocess p = tc_model_preprocess(teacher);
    p.mean[0] = 0.5f;
    tc_model_set_preprocess(teacher, &p);
    tc_error err;
    if (tc_model_inherit(&student, teacher, path, &err) != TC_OK) fail_msg("%s", err.message);
    const tc_model_info *info = tc_model_get_info(student);
    assert_int_equal(info->vision_activation, TC_GELU);
    assert_int_equal(info->text_activation, TC_QUICK_GELU);
    assert_int_equal(student->config.eos_id, 20);
    assert_int_equal(tc_model_tokenizer_kind(student), tc_model_tokenizer_kind(teacher));
    p = tc_model_preprocess(student);
    assert_true(p.mean[0] == 0.5f);
    tc_model_close(&student);
    tc_model_close(&teacher);
    scratch_remove(dir);
}

/* ---- memory */

/* Bytes of mapped files that this process holds in memory. */
static long resident_file_bytes(void) {
    char line[128];
    long kilobytes = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssFile: %ld kB", &kilobytes) == 1) break;
    if (f) fclose(f);
    return kilobytes * 1024;
}

/* Once the weights are packed, the pages that they were read from are not held beside them. */
static void packed_weights_leave_the_file(void **state) {
    static const char wide[] = "{\"embed_dim\": 8, \"vision_cfg\": {\"image_size\": 16, \"layers\": 3, "
                               "\"width\": 256, \"head_width\": 64, "
                               "\"patch_size\": 8}, \"text_cfg\": {\"context_length\": 9, \"vocab_size\": "
                               "30, \"width\": 256, \"heads\": 4, "
                               "\"layers\": 3}}";
    static const char *const names[] = {"folder", "single.safetensors"};
    char *dir = scratch_dir();
    tc_model *m = make_model(wide, 8);
    long size = (long)(m->params.total * (int64_t)sizeof(float));
    (void)state;
    if (resident_file_bytes() < 0) skip();
    for (int i = 0; i < 2; i++) {
        char *path = tc_path_join(dir, names[i]);
        tc_session *s = NULL;
        assert_int_equal(tc_model_save(m, path, TC_FORMAT_AUTO, NULL), TC_OK);
        tc_model *again = must_open(path, NULL);
        long before = resident_file_bytes();
        assert_int_equal(tc_session_create(&s, again, NULL), TC_OK);
        long grown = resident_file_bytes() - before;
        if (grown > size / 8) fail_msg("%s: %ld bytes of %ld stay in memory", names[i], grown, size);
        expect_same(m, again);
        tc_session_close(&s);
        tc_model_close(&again);
        free(path);
    }
    tc_model_close(&m);
    scratch_remove(dir);
}

/* The smallest change of any parameter changes the hash. */
static void hash_of_weights(void **state) {
    (void)state;
    tc_model *m = make_model(SMALL, 3);
    uint64_t first, other;
    assert_int_equal(tc_model_hash(m, &first, NULL), TC_OK);
    for (size_t i = 0; i < m->params.count; i++) {
        tc_real *last = m->flat + m->params.items[i].offset + m->params.items[i].numel - 1, old = *last;
        *last = nextafterf(old, INFINITY);
        assert_int_equal(tc_model_hash(m, &other, NULL), TC_OK);
        if (other == first) fail_msg("%s does not count", m->params.items[i].name);
        *last = old;
    }
    assert_int_equal(tc_model_hash(m, &other, NULL), TC_OK);
    assert_true(other == first);
    tc_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(huggingface_folder),
                                       cmocka_unit_test(single_file),
                                       cmocka_unit_test(openclip_file),
                                       cmocka_unit_test(huggingface_file),
                                       cmocka_unit_test(settings_survive),
                                       cmocka_unit_test(tokenizer_files),
                                       cmocka_unit_test(strict_huggingface),
                                       cmocka_unit_test(strict_openclip),
                                       cmocka_unit_test(half_precision),
                                       cmocka_unit_test(sharded),
                                       cmocka_unit_test(not_models),
                                       cmocka_unit_test(preprocessor_files),
                                       cmocka_unit_test(inheritance_errors),
                                       cmocka_unit_test(inheritance_keeps_settings),
                                       cmocka_unit_test(packed_weights_leave_the_file),
                                       cmocka_unit_test(hash_of_weights)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
