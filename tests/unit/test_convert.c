/* test_convert.c - models on their way out: rounding to 16 bits, what each form keeps and refuses, and that
 * ONNX files are well-formed.
 *
 * `test_convert --pruned DIR` and `--pruned-resnet DIR` write a pruned model as ONNX with inputs and our
 * results instead, for tests/parity/parity_convert.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/onnx.h"
#include "graph/op.h"
#include "format/preprocess_json.h"
#include "model/model.h"
#include "net/resnet.h"
#include "scratch.h"

#include <math.h>

/* ---- models */

/* kind 0: even, GELU, the largest id ends a text; 1: two activations, an end-of-text id, patches that leave
 * pixels over; 2: pruned; 3: a ResNet; 4: a pruned one. */
enum { KINDS = 5 };
static tc_config config(int kind) {
    tc_config c = {.embed_dim = 12,
                   .image_size = 16,
                   .context_length = 9,
                   .vocab_size = 40,
                   .eos_id = -1,
                   .vision = {.family = &tc_vit, .patch_size = 4, .width = 24, .layers = 3, .head_dim = 8},
                   .text = {.family = &tc_text_transformer, .width = 20, .layers = 3, .head_dim = 5}};
    if (kind == 1) {
        c.image_size = 18;
        c.eos_id = 31;
        c.vision.activation = TC_QUICK_GELU;
    }
    if (kind >= 3) {
        c.image_size = 64;
        c.vision = (tc_tower_config){
            .family = &tc_modified_resnet, .width = 4, .layers = 6, .head_dim = 32, .block = {{.heads = 4}}};
        for (int i = 0; i < TC_STAGES; i++) c.vision.stages[i] = 1 + (i % 2 == 0);
        tc_resnet_fill(&c.vision);
        for (int i = 1; i < 2 + 2 * c.vision.layers && kind == 4; i++)
            c.vision.channels[i] -= i % c.vision.channels[i];
    }
    tc_tower_config *towers[] = {&c.vision, &c.text};
    for (int t = kind >= 3; t < 2; t++)
        for (int i = 0; i < towers[t]->layers; i++) {
            towers[t]->block[i].heads = towers[t]->width / towers[t]->head_dim;
            towers[t]->block[i].ffn = 2 * towers[t]->width;
        }
    if (kind == 2) {
        c.vision.width = 25;
        c.text.width = 19;
        c.vision.block[0].ffn = 31;
        c.vision.block[1].heads = 0;
        c.vision.block[2].heads = 1;
        c.text.block[0].heads = 3;
        c.text.block[1].ffn = 7;
        c.text.block[2].heads = 0;
    }
    return c;
}

static tc_model *make_model(const tc_config *c) {
    tc_model *m = NULL;
    tc_error err;
    if (tc_model_random(&m, c, 3, &err) != TC_OK) fail_msg("%s", err.message);
    tc_rng rng = tc_rng_make(3, 1, 1);
    for (int64_t i = 0; i < m->params.total; i++)
        m->flat[i] = 1.5f * m->flat[i] + 0.1f * (float)tc_rng_normal(&rng);
    for (size_t i = 0; i < m->params.count; i++) /* a whole number, larger than f16 */
        if (tc_param_is_counter(&m->params.items[i])) m->flat[m->params.items[i].offset] = 70000 + (float)i;
    assert_int_equal(tc_model_finish(m, NULL), TC_OK);
    return m;
}

static tc_status save(const tc_model *m, const char *path, tc_format format, tc_precision precision,
                      tc_error *err) {
    tc_save_options o = tc_save_options_default();
    o.format = format;
    o.precision = precision;
    return tc_model_save_as(m, path, &o, err);
}

/* ---- 16 bits */

static float widen(tc_dtype dtype, uint16_t bits) {
    tc_tensor t = {.dtype = dtype, .data = (const uint8_t *)&bits, .bytes = 2};
    tc_real x;
    assert_true(tc_tensor_read(&t, 0, 1, &x));
    return (float)x;
}

static uint16_t narrow(tc_dtype dtype, float x, bool *fits) {
    uint16_t out = 0x5555;
    tc_real value = x;
    *fits = tc_dtype_narrow(dtype, &value, 1, &out) < 0;
    return out;
}

/* Every number of 16 bits comes back as it was; what lies between two becomes the nearer one, what lies in
 * the middle the even one. */
static void every_16_bit_number(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        tc_dtype dtype = kind ? TC_BF16 : TC_F16;
        uint32_t infinity = kind ? 0x7f80 : 0x7c00;
        bool fits;
        for (uint32_t b = 0; b <= 0xffff; b++) {
            uint32_t magnitude = b & 0x7fff, sign = b & 0x8000;
            float x = widen(dtype, (uint16_t)b);
            uint16_t again = narrow(dtype, x, &fits);
            assert_true(fits);
            if (magnitude > infinity) {
                assert_true((again & 0x7fff) > infinity);
                continue;
            }
            assert_int_equal(again, b);
            if (magnitude + 1 >= infinity) continue;
            float next = widen(dtype, (uint16_t)(b + 1)), middle = (float)(((double)x + next) / 2);
            assert_int_equal(narrow(dtype, middle, &fits), sign | (magnitude + (magnitude & 1)));
            assert_int_equal(narrow(dtype, nextafterf(middle, x), &fits), b);
            assert_int_equal(narrow(dtype, nextafterf(middle, next), &fits), b + 1);
        }
        /* Half a unit above the largest number is where infinity begins. */
        float largest = widen(dtype, (uint16_t)(infinity - 1)),
              below = widen(dtype, (uint16_t)(infinity - 2));
        float edge = (float)(largest + ((double)largest - below) / 2);
        assert_int_equal(narrow(dtype, nextafterf(edge, 0), &fits), infinity - 1);
        assert_true(fits);
        assert_int_equal(narrow(dtype, -edge, &fits), infinity | 0x8000);
        assert_false(fits);
        assert_int_equal(narrow(dtype, INFINITY, &fits), infinity);
        assert_true(fits);
    }
    tc_real many[4] = {1, -65519, 65520, 1e9f};
    uint16_t out[4];
    assert_int_equal(tc_dtype_narrow(TC_F16, many, 4, out), 2);
    assert_int_equal(tc_dtype_narrow(TC_F16, many, 2, out), -1);
    assert_int_equal(tc_dtype_narrow(TC_BF16, many, 4, out), -1);
}

/* ---- round trips */

static void expect_narrowed(const tc_model *m, const tc_model *again, tc_dtype dtype) {
    assert_int_equal(m->params.count, again->params.count);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        const char *name, *stored;
        int ndim;
        int64_t shape[4];
        assert_true(tc_model_tensor(again, i, &name, &ndim, shape, &stored));
        assert_string_equal(stored, tc_param_is_counter(p) ? "I64" : tc_dtype_name(dtype));
        tc_real *v = tc_new((size_t)p->numel, sizeof *v), *w = tc_new((size_t)p->numel, sizeof *w);
        assert_true(v && w);
        assert_int_equal(tc_model_read(m, i, v, NULL), TC_OK);
        assert_int_equal(tc_model_read(again, i, w, NULL), TC_OK);
        for (int64_t k = 0; k < p->numel; k++) {
            bool fits;
            if (dtype != TC_F32 && !tc_param_is_counter(p))
                v[k] = (tc_real)widen(dtype, narrow(dtype, (float)v[k], &fits));
            assert_true(v[k] == w[k]);
        }
        free(v);
        free(w);
    }
}

static void round_trips(void **state) {
    (void)state;
    static const struct {
        tc_format format;
        const char *name, *source;
    } forms[] = {{TC_FORMAT_HF, "folder", "huggingface"},
                 {TC_FORMAT_FILE, "m.safetensors", "tinyclip file"},
                 {TC_FORMAT_OPENCLIP, "folder", "openclip"},
                 {TC_FORMAT_OPENCLIP, "m.safetensors", "openclip"}};
    static const tc_dtype dtypes[] = {TC_F32, TC_F16, TC_BF16};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (int p = 0; p < 3; p++)
            for (int kind = 0; kind < KINDS; kind++) {
                bool hf = forms[i].format == TC_FORMAT_HF, openclip = forms[i].format == TC_FORMAT_OPENCLIP;
                if (kind == 2 || (kind == 1 && openclip) || (kind >= 3 && hf) || (kind == 4 && openclip))
                    continue;
                tc_config c = config(kind);
                char *dir = scratch_dir(), *path = tc_path_join(dir, forms[i].name);
                tc_model *m = make_model(&c), *again = NULL;
                tc_preprocess pre = tc_model_preprocess(m);
                tc_error err;
                pre.mean[0] = 0.25f;
                pre.std[2] = 0.75f;
                tc_model_set_preprocess(m, &pre);
                assert_int_equal(tc_model_set_card(m, "{\"steps\": 7}", NULL), TC_OK);
                if (save(m, path, forms[i].format, (tc_precision)p, &err) != TC_OK)
                    fail_msg("%s", err.message);
                if (tc_model_open(&again, path, NULL, &err) != TC_OK) fail_msg("%s", err.message);
                assert_string_equal(tc_model_get_info(again)->source, forms[i].source);
                expect_narrowed(m, again, dtypes[p]);
                char what[256];
                if (tc_config_difference(&m->config, &again->config, what, sizeof what)) fail_msg("%s", what);
                tc_preprocess q = tc_model_preprocess(again);
                assert_true(q.mean[0] == 0.25f && q.std[2] == 0.75f);
                bool lone = forms[i].format == TC_FORMAT_OPENCLIP && tc_ends_with(path, ".safetensors");
                assert_true(lone == (tc_model_get_info(again)->card == NULL));
                tc_model_close(&again);
                tc_model_close(&m);
                free(path);
                scratch_remove(dir);
            }
}

/* What an open_clip_config.json says of images, well and badly. */
static void openclip_preprocessing(void **state) {
    (void)state;
    static const struct {
        const char *cfg, *message;
    } cases[] = {{"{\"mean\": [0.5, 0.25, 0], \"std\": null, \"interpolation\": \"bicubic\", "
                  "\"resize_mode\": \"shortest\"}",
                  NULL},
                 {"{\"mean\": [0.5, 0.25]}", "c.json: preprocess_cfg.mean must be three numbers"},
                 {"{\"mean\": 0.5}", "c.json: preprocess_cfg.mean must be three numbers"},
                 {"{\"mean\": [1, 2, 1e300]}", "c.json: preprocess_cfg.mean must be three numbers"},
                 {"{\"std\": [1, \"1\", 1]}", "c.json: preprocess_cfg.std must be three numbers"},
                 {"{\"std\": [1, 0, 1]}", "c.json: preprocess_cfg.std must be above 0"},
                 {"{\"interpolation\": \"nearest\"}",
                  "c.json: preprocess_cfg.interpolation \"nearest\" is not supported, only bicubic"},
                 {"{\"resize_mode\": \"squash\"}",
                  "c.json: preprocess_cfg.resize_mode \"squash\" is not supported, only shortest"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tc_preprocess p = tc_preprocess_default(32), before = p;
        tc_error err = {0};
        json_t *config = json_object(), *cfg = NULL;
        assert_int_equal(tc_json_parse(&cfg, cases[i].cfg, strlen(cases[i].cfg), "test", NULL), TC_OK);
        json_object_set_new(config, "preprocess_cfg", cfg);
        tc_status status = tc_preprocess_openclip_parse(&p, config, "c.json", &err);
        assert_int_equal(status == TC_OK, cases[i].message == NULL);
        if (cases[i].message) assert_string_equal(err.message, cases[i].message);
        else assert_true(p.mean[0] == 0.5f && p.mean[2] == 0 && p.std[0] == before.std[0]);
        json_decref(config);
    }
    static const float numbers[] = {0.48145466f, 0.5f, 1 / 3.0f, 1e-30f, 16777217.0f, -0.1f};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true((float)tc_decimal(numbers[i]) == numbers[i]);
    assert_true(tc_decimal(0.4578275f) == 0.4578275 && tc_decimal((float)(1 / 255.0)) == 1 / 255.0);
}

/* config.json names the type that the weights have. */
static void folders_name_their_type(void **state) {
    (void)state;
    static const char *const names[] = {"float32", "float16", "bfloat16"};
    tc_config c = config(0);
    tc_model *m = make_model(&c);
    char *dir = scratch_dir(), *path = tc_path_join(dir, "config.json");
    for (int p = 0; p < 3; p++) {
        json_t *json = NULL;
        assert_int_equal(save(m, dir, TC_FORMAT_HF, (tc_precision)p, NULL), TC_OK);
        assert_int_equal(tc_json_load(&json, path, 1 << 20, NULL), TC_OK);
        assert_string_equal(json_string_value(json_object_get(json, "dtype")), names[p]);
        json_decref(json);
    }
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* ---- refusals */

static void expect_refused(const tc_model *m, const char *path, tc_format format, tc_precision precision,
                           tc_status status, const char *message) {
    tc_error err = {0};
    assert_int_equal(save(m, path, format, precision, &err), status);
    if (!strstr(err.message, message)) fail_msg("\"%s\" does not hold \"%s\"", err.message, message);
    assert_int_equal(save(m, path, format, precision, NULL), status);
}

static void what_a_form_cannot_say(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "out");
    tc_config c = config(2);
    tc_model *m = make_model(&c);
    expect_refused(
        m, path, TC_FORMAT_HF, TC_PRECISION_F32, TC_EUNSUPPORTED,
        "out: a Hugging Face folder cannot hold a pruned model, whose layers differ; write this program's "
        "single file: a name that ends in "
        ".safetensors, or ONNX (vision block 0 has 3 heads and 31 FFN channels, block 1 0 and 48)");
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "an OpenCLIP folder cannot hold a pruned model");
    tc_model_close(&m);
    c = config(3);
    m = make_model(&c);
    expect_refused(m, path, TC_FORMAT_HF, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "out: a Hugging Face folder cannot hold a ModifiedResNet, since CLIPModel has none; write "
                   "an OpenCLIP folder");
    tc_model_close(&m);
    c = config(4);
    m = make_model(&c);
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "out: an OpenCLIP folder cannot hold a pruned model, whose layers differ; write this "
                   "program's single file: a name that ends in "
                   ".safetensors, or ONNX (the stem has 2 and 1 inner channels)");
    tc_model_close(&m);
    c = config(0);
    c.text.width = 19;
    m = make_model(&c);
    expect_refused(m, path, TC_FORMAT_HF, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "the text tower's 4 heads of 5 are not its width of 19");
    tc_model_close(&m);
    c = config(0);
    for (int l = 0; l < 3; l++) c.text.block[l].heads = 0;
    m = make_model(&c);
    expect_refused(m, path, TC_FORMAT_HF, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "text block 0 has 0 heads and 40 FFN channels");
    tc_model_close(&m);
    c = config(1);
    m = make_model(&c);
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "OpenCLIP has one activation for both towers");
    m->config.vision.activation = TC_GELU;
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "OpenCLIP ends a text at its largest id, this model at id 31 of 40");
    m->config.eos_id = 39;
    assert_int_equal(save(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, NULL), TC_OK);
    scratch_remove(tc_strdup(path));
    tc_preprocess pre = tc_model_preprocess(m);
    pre.resize = 20;
    tc_model_set_preprocess(m, &pre);
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED,
                   "resizes images to 20 and crops them to 18 pixels");
    pre.resize = 18;
    pre.rescale = 1;
    tc_model_set_preprocess(m, &pre);
    expect_refused(m, path, TC_FORMAT_OPENCLIP, TC_PRECISION_F32, TC_EUNSUPPORTED, "multiplies bytes by 1");
    assert_false(tc_path_exists(path));
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

/* The tensor is named, and what was there before stays. */
static void too_large_for_f16(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.safetensors"), *onnx = tc_path_join(dir, "onnx");
    tc_config c = config(0);
    tc_model *m = make_model(&c), *again = NULL;
    assert_int_equal(save(m, path, TC_FORMAT_FILE, TC_PRECISION_F32, NULL), TC_OK);
    int i = tc_params_find(&m->params, "transformer.resblocks.1.attn.in_proj_weight");
    assert_true(i >= 0);
    m->flat[m->params.items[i].offset + 5] = 70000;
    expect_refused(
        m, path, TC_FORMAT_FILE, TC_PRECISION_F16, TC_EARG,
        "tensor 'transformer.resblocks.1.attn.in_proj_weight' holds 70000, which is too large for f16");
    expect_refused(m, onnx, TC_FORMAT_ONNX, TC_PRECISION_F16, TC_EARG,
                   "holds 70000, which is too large for f16");
    assert_int_equal(tc_model_open(&again, path, NULL, NULL), TC_OK);
    tc_model_close(&again);
    char *text = tc_path_join(onnx, "text_model.onnx");
    assert_false(tc_path_exists(text));
    assert_int_equal(save(m, path, TC_FORMAT_FILE, TC_PRECISION_BF16, NULL), TC_OK);
    tc_model_close(&m);
    free(text);
    free(onnx);
    free(path);
    scratch_remove(dir);
}

/* ---- ONNX: a decoder of protobuf, enough to check what the format asks for */

typedef struct bytes {
    const uint8_t *p, *end;
} bytes;

static uint64_t varint(bytes *b) {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(b->p < b->end && shift < 70);
        v |= (uint64_t)(*b->p & 0x7f) << shift;
        if (!(*b->p++ & 0x80)) return v;
    }
}

/* The next field: a number in *value, or a message in *inner. */
static bool next_field(bytes *b, int *field, uint64_t *value, bytes *inner) {
    if (b->p == b->end) return false;
    uint64_t tag = varint(b);
    *field = (int)(tag >> 3);
    *inner = (bytes){NULL, NULL};
    *value = 0;
    size_t size = 4;
    switch (tag & 7) {
    case 0:
        *value = varint(b);
        return true;
    case 2:
        size = (size_t)varint(b);
        break;
    case 5:
        break;
    default:
        fail_msg("wire type %d", (int)(tag & 7));
    }
    assert_true(size <= (size_t)(b->end - b->p));
    *inner = (bytes){b->p, b->p + size};
    b->p += size;
    return true;
}

typedef struct names {
    bytes at[4096];
    size_t count;
} names;

static bool known(const names *n, bytes name) {
    for (size_t i = 0; i < n->count; i++)
        if (n->at[i].end - n->at[i].p == name.end - name.p &&
            memcmp(n->at[i].p, name.p, (size_t)(name.end - name.p)) == 0)
            return true;
    return false;
}

static void define(names *n, bytes name) {
    assert_true(name.p < name.end);
    if (known(n, name)) fail_msg("'%.*s' is defined twice", (int)(name.end - name.p), name.p);
    assert_true(n->count < sizeof n->at / sizeof *n->at);
    n->at[n->count++] = name;
}

/* The first field of that number. */
static bytes get(bytes message, int wanted) {
    int field;
    uint64_t value;
    bytes inner;
    while (next_field(&message, &field, &value, &inner))
        if (field == wanted) return inner;
    return (bytes){NULL, NULL};
}

/* dims x element size is what raw_data holds. */
static void check_initializer(bytes tensor, names *n, int float_type) {
    int field, type = 0;
    uint64_t value, numel = 1;
    bytes inner, all = tensor;
    while (next_field(&tensor, &field, &value, &inner)) {
        if (field == 1) numel *= value;
        if (field == 2) type = (int)value;
    }
    assert_true(type == TC_ONNX_INT64 || type == TC_ONNX_FLOAT || type == float_type);
    size_t size = type == TC_ONNX_INT64 ? 8 : type == TC_ONNX_FLOAT ? 4 : 2;
    bytes raw = get(all, 9);
    assert_int_equal(numel * size, raw.end - raw.p);
    assert_true(numel > 0);
    define(n, get(all, 8));
}

static void check_node(bytes node, names *values, names *nodes) {
    int field;
    uint64_t value;
    bytes inner, all = node;
    while (next_field(&all, &field, &value, &inner)) {
        if (field == 1 && !known(values, inner))
            fail_msg("'%.*s' is used before it is made", (int)(inner.end - inner.p), inner.p);
        if (field == 5) assert_non_null(get(inner, 1).p);
    }
    for (all = node; next_field(&all, &field, &value, &inner);)
        if (field == 2) define(values, inner);
    define(nodes, get(node, 3));
    assert_non_null(get(node, 4).p);
}

/* Every value that is made is used, too: no dead nodes or weights. */
static void check_uses(bytes graph, const names *values) {
    names *used = tc_new(1, sizeof *used);
    int field;
    uint64_t value;
    bytes inner, node, name;
    assert_non_null(used);
    while (next_field(&graph, &field, &value, &inner)) {
        if (field == 12) used->at[used->count++] = get(inner, 1);
        if (field != 1) continue;
        for (node = inner; next_field(&node, &field, &value, &name);)
            if (field == 1 && !known(used, name)) used->at[used->count++] = name;
    }
    for (size_t i = 0; i < values->count; i++)
        if (!known(used, values->at[i]))
            fail_msg("'%.*s' is never used", (int)(values->at[i].end - values->at[i].p), values->at[i].p);
    free(used);
}

static void check_graph(bytes graph, int float_type, size_t inputs, size_t outputs) {
    names *values = tc_new(1, sizeof *values), *nodes = tc_new(1, sizeof *nodes);
    int field;
    uint64_t value;
    bytes inner, all;
    assert_true(values && nodes);
    for (all = graph; next_field(&all, &field, &value, &inner);) {
        if (field == 5) check_initializer(inner, values, float_type);
        if (field == 11) define(values, get(inner, 1)), inputs--;
    }
    for (all = graph; next_field(&all, &field, &value, &inner);)
        if (field == 1) check_node(inner, values, nodes);
    for (all = graph; next_field(&all, &field, &value, &inner);)
        if (field == 12) assert_true(known(values, get(inner, 1))), outputs--;
    assert_int_equal(inputs, 0);
    assert_int_equal(outputs, 0);
    assert_true(nodes->count > 10);
    check_uses(graph, values);
    free(values);
    free(nodes);
}

static void check_file(const char *dir, const char *name, int float_type, size_t inputs, size_t outputs) {
    char *path = tc_path_join(dir, name), *data = NULL;
    size_t size;
    tc_error err;
    if (tc_file_read(path, 1 << 24, &data, &size, &err) != TC_OK) fail_msg("%s", err.message);
    bytes model = {(const uint8_t *)data, (const uint8_t *)data + size}, all = model, inner;
    int field, graphs = 0;
    uint64_t value;
    while (next_field(&all, &field, &value, &inner)) {
        if (field == 1) assert_int_equal(value, TC_ONNX_IR);
        if (field == 7) graphs++;
        if (field != 8) continue;
        bytes opset = inner;
        assert_true(next_field(&opset, &field, &value, &inner));
        assert_int_equal(value, TC_ONNX_OPSET);
        field = 8;
    }
    assert_int_equal(graphs, 1);
    check_graph(get(model, 7), float_type, inputs, outputs);
    free(data);
    free(path);
}

static size_t count_nodes(const char *dir, const char *name, const char *op) {
    char *path = tc_path_join(dir, name), *data = NULL;
    size_t size, count = 0;
    assert_int_equal(tc_file_read(path, 1 << 24, &data, &size, NULL), TC_OK);
    bytes graph = get((bytes){(const uint8_t *)data, (const uint8_t *)data + size}, 7), inner;
    int field;
    uint64_t value;
    while (next_field(&graph, &field, &value, &inner)) {
        if (field != 1) continue;
        bytes kind = get(inner, 4);
        count += (size_t)(kind.end - kind.p) == strlen(op) && memcmp(kind.p, op, strlen(op)) == 0;
    }
    free(data);
    free(path);
    return count;
}

/* Maps stay as convolutions want them: none of the products on pixels is a MatMul, and the only transposes
 * are one behind the last map and those of the keys and values of the pool. */
static void onnx_of_a_resnet(void **state) {
    (void)state;
    char *dir = scratch_dir();
    tc_config c = config(3);
    tc_model *m = make_model(&c);
    assert_int_equal(save(m, dir, TC_FORMAT_ONNX, TC_PRECISION_F32, NULL), TC_OK);
    size_t convolutions = 3 + TC_STAGES; /* the stem, and a shortcut in each stage */
    for (int i = 0; i < TC_STAGES; i++) convolutions += 3 * (size_t)c.vision.stages[i];
    assert_int_equal(count_nodes(dir, "vision_model.onnx", "Conv"), convolutions);
    assert_int_equal(count_nodes(dir, "vision_model.onnx", "BatchNormalization"), convolutions);
    assert_int_equal(count_nodes(dir, "vision_model.onnx", "Transpose"), 3);
    assert_int_equal(count_nodes(dir, "vision_model.onnx", "MatMul"), 4 + 2);
    assert_int_equal(count_nodes(dir, "vision_model.onnx", "AveragePool"), 1 + 2 * (TC_STAGES - 1));
    tc_model_close(&m);
    scratch_remove(dir);
}

static void onnx_files(void **state) {
    (void)state;
    static const int types[] = {TC_ONNX_FLOAT, TC_ONNX_FLOAT16, TC_ONNX_BFLOAT16};
    for (int kind = 0; kind < KINDS; kind++)
        for (int p = 0; p < 3; p++) {
            char *dir = scratch_dir();
            tc_config c = config(kind);
            tc_model *m = make_model(&c);
            tc_error err;
            if (save(m, dir, TC_FORMAT_ONNX, (tc_precision)p, &err) != TC_OK) fail_msg("%s", err.message);
            check_file(dir, "vision_model.onnx", types[p], 1, 1);
            check_file(dir, "text_model.onnx", types[p], 1, 1);
            check_file(dir, "model.onnx", types[p], 2, 4);
            tc_model_close(&m);
            scratch_remove(dir);
        }
}

/* A new operation needs its form, unless it is in no graph that is saved. */
static void every_operation_has_a_form(void **state) {
    (void)state;
    for (int i = 0; tc_ops[i]; i++)
        if (!tc_ops[i]->onnx != tc_ops[i]->unsaved)
            fail_msg("%s has no ONNX form, or one that is not used", tc_ops[i]->name);
}

static tc_status read_nothing(void *user, size_t param, tc_real *values, tc_error *err) {
    (void)user, (void)param, (void)values;
    return tc_fail(err, TC_EIO, "weights were read");
}

static void what_onnx_cannot_hold(void **state) {
    (void)state;
    char *dir = scratch_dir(), *path = tc_path_join(dir, "m.onnx");
    tc_onnx_weights weights = {.read = read_nothing};
    tc_error err;
    /* 2 GiB of weights: refused before any is read. */
    for (int small = 0; small < 2; small++) {
        tc_params params = {0};
        int64_t shape[2] = {small ? 4 : 1 << 15, 1 << 14};
        tc_params_add(&params, "w", 0, -1, 2, shape, (tc_axis[2]){{0}}, 0, 1);
        tc_onnx *o = tc_onnx_create("large", &params, TC_F32);
        tc_onnx_output(o, "y", TC_ONNX_FLOAT, 2, (const char *[]){"n", "m"}, tc_onnx_param(o, 0));
        assert_int_equal(tc_onnx_write(o, path, &weights, &err), small ? TC_EIO : TC_EUNSUPPORTED);
        const char *message =
            small ? "weights were read" : "m.onnx: 2.00 GiB, and an ONNX file is at most 2 GiB";
        assert_non_null(strstr(err.message, message));
        assert_false(tc_path_exists(path));
        tc_onnx_free(&o);
        tc_params_free(&params);
    }
    /* A fused graph has other nodes. */
    tc_config c = config(0);
    tc_model *m = make_model(&c);
    tc_graph *g = NULL;
    assert_int_equal(tc_net_graph(&g, TC_TOWER_VISION, &c, &m->params, 0, NULL), TC_OK);
    tc_graph_fuse(g, false);
    tc_onnx *o = tc_onnx_create("fused", &m->params, TC_F32);
    int x = tc_onnx_input(o, "x", TC_ONNX_FLOAT, 4, (const char *[]){"n", "3", "16", "16"});
    assert_int_equal(tc_onnx_graph(o, g, x, -1), -1);
    assert_int_equal(tc_onnx_write(o, path, &weights, &err), TC_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "m.onnx: the graph is fused"));
    tc_onnx_free(&o);
    tc_graph_free(&g);
    tc_model_close(&m);
    free(path);
    scratch_remove(dir);
}

static void a_place_that_cannot_be_written(void **state) {
    (void)state;
    char *dir = scratch_dir();
    const char *file = scratch_text(dir, "file", "x");
    char *below = tc_path_join(file, "out");
    tc_config c = config(0);
    tc_model *m = make_model(&c);
    for (int f = TC_FORMAT_HF; f <= TC_FORMAT_ONNX; f++) {
        tc_error err = {0};
        assert_int_equal(save(m, below, (tc_format)f, TC_PRECISION_F32, &err), TC_EIO);
        assert_non_null(strstr(err.message, file));
    }
    tc_model_close(&m);
    free(below);
    scratch_remove(dir);
}

/* ---- for parity_convert.py */

static void write_array(const char *dir, const char *name, tc_dtype dtype, int ndim, const int64_t *shape,
                        const void *data) {
    char *path = tc_path_join(dir, name);
    tc_error err;
    if (tc_npy_write(path, dtype, ndim, shape, data, &err) != TC_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    free(path);
}

static int write_pruned(const char *dir, int kind) {
    enum { N = 5 };
    tc_config c = config(kind);
    c.text.block[0].ffn = 0;
    if (kind == 2) c.vision.block[0].ffn = 0;
    tc_model *m = NULL;
    tc_session *s = NULL;
    tc_error err;
    int64_t side = c.image_size, context = c.context_length, embed = c.embed_dim;
    float pixels[N * 3 * 64 * 64], image[N * 12], text[N * 12];
    int64_t wide[N * 9];
    int32_t ids[N * 9];
    tc_rng rng = tc_rng_make(7, 0, 0);
    for (int i = 0; i < N * 3 * 64 * 64; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int i = 0; i < N * 9; i++) wide[i] = ids[i] = (int32_t)tc_rng_below(&rng, (uint64_t)c.vocab_size);
    tc_status status = tc_model_random(&m, &c, 3, &err);
    for (int64_t i = 0; status == TC_OK && i < m->params.total; i++)
        m->flat[i] = 1.5f * m->flat[i] + 0.1f * (float)tc_rng_normal(&rng);
    if (status == TC_OK) status = tc_model_finish(m, &err);
    if (status == TC_OK) status = save(m, dir, TC_FORMAT_ONNX, TC_PRECISION_F32, &err);
    if (status == TC_OK) status = tc_session_create(&s, m, &err);
    if (status == TC_OK) status = tc_session_encode_image(s, pixels, N, image, &err);
    if (status == TC_OK) status = tc_session_encode_text(s, ids, N, (int)context, text, &err);
    if (status != TC_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    write_array(dir, "pixel_values.npy", TC_F32, 4, (int64_t[]){N, 3, side, side}, pixels);
    write_array(dir, "input_ids.npy", TC_I64, 2, (int64_t[]){N, context}, wide);
    write_array(dir, "image_embeds.npy", TC_F32, 2, (int64_t[]){N, embed}, image);
    write_array(dir, "text_embeds.npy", TC_F32, 2, (int64_t[]){N, embed}, text);
    tc_session_close(&s);
    tc_model_close(&m);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--pruned") == 0) return write_pruned(argv[2], 2);
    if (argc == 3 && strcmp(argv[1], "--pruned-resnet") == 0) return write_pruned(argv[2], 4);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_16_bit_number),
                                       cmocka_unit_test(round_trips),
                                       cmocka_unit_test(folders_name_their_type),
                                       cmocka_unit_test(openclip_preprocessing),
                                       cmocka_unit_test(what_a_form_cannot_say),
                                       cmocka_unit_test(too_large_for_f16),
                                       cmocka_unit_test(onnx_files),
                                       cmocka_unit_test(onnx_of_a_resnet),
                                       cmocka_unit_test(every_operation_has_a_form),
                                       cmocka_unit_test(what_onnx_cannot_hold),
                                       cmocka_unit_test(a_place_that_cannot_be_written)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
