/* test_config.c - configurations: what is accepted, the message of each refusal, the way back to JSON; the
 * built-in ones have the sizes and costs that are in their names and in the paper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "scratch.h"

#include <math.h>

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

static const char *const WITH_EOS =
    "{\"projection_dim\": 5, \"vision_config\": {\"image_size\": 12, \"patch_size\": 6, \"hidden_size\": 8, "
    "\"num_attention_heads\": 2, "
    "\"num_hidden_layers\": 1,"
    " \"intermediate_size\": 20, \"hidden_act\": \"gelu\"}, \"text_config\": {\"max_position_embeddings\": "
    "7, \"vocab_size\": 25, \"hidden_size\": 6,"
    " \"num_attention_heads\": 3, \"num_hidden_layers\": 2, \"intermediate_size\": 10, \"hidden_act\": "
    "\"quick_gelu\", \"eos_token_id\": 20}}";

/* ---- configurations */

#define VISION                                                                                              \
    "\"vision_cfg\": {\"image_size\": 16, \"layers\": 1, \"width\": 8, \"head_width\": 4, \"patch_size\": " \
    "4}"
#define TEXT "\"text_cfg\": {\"width\": 8, \"heads\": 2, \"layers\": 1}"
#define HF_VISION(extra)                                                                             \
    "\"vision_config\": {\"hidden_size\": 8, \"num_attention_heads\": 2, \"num_hidden_layers\": 1, " \
    "\"intermediate_size\": 8" extra "}"
#define HF_TEXT(extra)                                                                             \
    "\"text_config\": {\"hidden_size\": 8, \"num_attention_heads\": 2, \"num_hidden_layers\": 1, " \
    "\"intermediate_size\": 8" extra "}"

#define RESNET(layers, size, width)                                                     \
    "{\"embed_dim\": 4, \"vision_cfg\": {\"layers\": " layers ", \"image_size\": " size \
    ", \"width\": " width ", \"patch_size\": null}, " TEXT "}"
static const struct {
    const char *text, *message; /* after "c.json: "; NULL: accepted */
} configs[] = {
    {"{\"embed_dim\": 4, " VISION ", " TEXT "}", NULL},
    {"{\"model_cfg\": {\"embed_dim\": 4, " VISION ", " TEXT "}, \"preprocess_cfg\": {}}", NULL},
    {"{" HF_VISION("") ", " HF_TEXT("") "}", NULL},
    {"{}", "neither an OpenCLIP configuration (vision_cfg, text_cfg) nor a Hugging Face one (vision_config, "
           "text_config)"},
    {"[1]", "neither an OpenCLIP configuration (vision_cfg, text_cfg) nor a Hugging Face one (vision_config, "
            "text_config)"},
    {"{" VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 0, " VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": -4, " VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 4.5, " VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 1e30, " VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": \"4\", " VISION ", " TEXT "}", "embed_dim must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 4, " VISION "}", "\"text_cfg\" is missing or not an object"},
    {"{\"embed_dim\": 4, \"vision_cfg\": 3, " TEXT "}", "\"vision_cfg\" is missing or not an object"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"layers\": [3, 4, 6, 3], \"width\": 44, \"patch_size\": "
     "null}, " TEXT "}",
     NULL},
    {RESNET("[1, 2, 1, 1]", "64", "8"), NULL},
    {RESNET("[1, 1, 1]", "64", "8"), "vision_cfg.layers must have 4 entries, the blocks of each stage"},
    {RESNET("[]", "64", "8"), "vision_cfg.layers must have 4 entries, the blocks of each stage"},
    {RESNET("[1, 1, 0, 1]", "64", "8"), "vision_cfg.layers must be whole numbers from 1, at most 128 in all"},
    {RESNET("[1, 1, 2.5, 1]", "64", "8"),
     "vision_cfg.layers must be whole numbers from 1, at most 128 in all"},
    {RESNET("[100, 1, 27, 1]", "64", "8"),
     "vision_cfg.layers must be whole numbers from 1, at most 128 in all"},
    {RESNET("[1, 1, 1, 1]", "48", "8"),
     "vision_cfg.image_size 48 is not a multiple of 32, as a ResNet needs it"},
    {RESNET("[1, 1, 1, 1]", "64", "7"),
     "the ResNet's width 7 must be even and 32 times it a multiple of head_width 64"},
    {RESNET("[1, 1, 1, 1]", "64", "8, \"head_width\": 48"),
     "the ResNet's width 8 must be even and 32 times it a multiple of head_width 48"},
    {RESNET("[1, 1, 1, 1]", "64", "0"), "vision_cfg.width must be a whole number from 2 to 2048"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"timm_model_name\": \"vit\", \"layers\": 1}, " TEXT "}",
     "\"timm_model_name\" is not supported"},
    {"{\"embed_dim\": 4, " VISION ", \"text_cfg\": {\"hf_model_name\": \"bert\"}}",
     "\"hf_model_name\" is not supported"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"layers\": 129, \"width\": 8, \"patch_size\": 4}, " TEXT "}",
     "vision_cfg.layers must be a whole number from 1 to 128"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"layers\": 1, \"width\": 8, \"patch_size\": null}, " TEXT "}",
     "vision_cfg.patch_size must be a whole number from 1 to 8192"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"image_size\": 16, \"layers\": 1, \"width\": 8, \"head_width\": "
     "4, \"patch_size\": 17}, " TEXT "}",
     "patch_size 17 is larger than image_size 16"},
    {"{\"embed_dim\": 4, \"vision_cfg\": {\"image_size\": 16, \"layers\": 1, \"width\": 9, \"head_width\": "
     "4, \"patch_size\": 4}, " TEXT "}",
     "the vision width 9 is not a multiple of head_width 4"},
    {"{\"embed_dim\": 4, " VISION ", \"text_cfg\": {\"width\": 8, \"heads\": 3, \"layers\": 1}}",
     "the text width 8 is not a multiple of its 3 heads"},
    {"{\"embed_dim\": 4, " VISION ", \"text_cfg\": {\"width\": 8, \"layers\": 1}}",
     "text_cfg.heads must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 4, " VISION ", \"text_cfg\": {\"width\": 8, \"heads\": 0, \"layers\": 1}}",
     "text_cfg.heads must be a whole number from 1 to 65536"},
    {"{\"embed_dim\": 4, " VISION
     ", \"text_cfg\": {\"width\": 8, \"heads\": 2, \"layers\": 1, \"mlp_ratio\": 0}}",
     "text_cfg.mlp_ratio is out of range"},
    {"{\"embed_dim\": 4, " VISION
     ", \"text_cfg\": {\"width\": 8, \"heads\": 2, \"layers\": 1, \"mlp_ratio\": 1e9}}",
     "text_cfg.mlp_ratio is out of range"},
    {"{\"embed_dim\": 4, " VISION
     ", \"text_cfg\": {\"width\": 8, \"heads\": 2, \"layers\": 1, \"mlp_ratio\": \"4\"}}",
     "text_cfg.mlp_ratio is out of range"},
    {"{" HF_VISION(", \"hidden_act\": \"gelu_new\"") ", " HF_TEXT("") "}",
     "vision_config.hidden_act \"gelu_new\" is not gelu or quick_gelu"},
    {"{" HF_VISION("") ", " HF_TEXT(", \"hidden_act\": \"relu\"") "}",
     "text_config.hidden_act \"relu\" is not gelu or quick_gelu"},
    {"{\"model_type\": \"siglip\", " HF_VISION("") ", " HF_TEXT("") "}", "model_type \"siglip\" is not clip"},
    {"{" HF_VISION(", \"num_channels\": 1") ", " HF_TEXT("") "}", "vision_config.num_channels is not 3"},
    {"{" HF_VISION(", \"layer_norm_eps\": 1e-6") ", " HF_TEXT("") "}",
     "vision_config.layer_norm_eps is not 1e-5"},
    {"{" HF_VISION(", \"image_size\": 10, \"patch_size\": 11") ", " HF_TEXT("") "}",
     "patch_size 11 is larger than image_size 10"},
    {"{" HF_VISION("") ", \"text_config\": {\"hidden_size\": 8, \"num_attention_heads\": 3}}",
     "the text_config width 8 is not a multiple of its 3 heads"},
    {"{" HF_VISION("") "}", "\"text_config\" is missing or not an object"},
    {"{" HF_VISION("") ", " HF_TEXT(", \"eos_token_id\": -1") "}",
     "text_config.eos_token_id must be a whole number from 0 to 16777216"},
};

static void configurations(void **state) {
    (void)state;
    char *dir = scratch_dir();
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        const char *path = scratch_text(dir, "c.json", configs[i].text);
        tc_config c;
        tc_error err = {0};
        tc_status status = tc_config_open(&c, path, &err);
        char expected[512];
        snprintf(expected, sizeof expected, "%s: %s", path, configs[i].message ? configs[i].message : "");
        if (!configs[i].message && status != TC_OK) fail_msg("%s", err.message);
        if (configs[i].message && (status == TC_OK || strcmp(err.message, expected) != 0))
            fail_msg("%s: status %d, \"%s\"", configs[i].text, status, err.message);
    }
    tc_config c;
    tc_error err;
    assert_int_equal(tc_config_open(&c, "no-such-configuration", &err), TC_EIO);
    const char *path = scratch_text(dir, "c.json", "{\"embed_dim\": 4, \"embed_dim\": 5}");
    assert_int_equal(tc_config_open(&c, path, &err), TC_EFORMAT);
    path = scratch_text(dir, "c.json", "{\"embed_dim\": ");
    assert_int_equal(tc_config_open(&c, path, &err), TC_EFORMAT);
    scratch_remove(dir);
}

/* Numbers that are each allowed but together ask for more than any machine has. */
static void too_large(void **state) {
    (void)state;
    char *dir = scratch_dir();
    const char *path =
        scratch_text(dir, "c.json",
                     "{\"embed_dim\": 65536, \"vision_cfg\": {\"image_size\": 8192, \"layers\": 128, "
                     "\"width\": 65536, \"head_width\": 1, \"patch_size\": 1},"
                     " \"text_cfg\": {\"width\": 65536, \"heads\": 65536, \"layers\": 128, \"vocab_size\": "
                     "16777216, \"context_length\": 8192}}");
    tc_model *m = NULL;
    tc_error err;
    assert_int_equal(tc_model_create(&m, path, 1, &err), TC_ENOMEM);
    assert_null(m);
    scratch_remove(dir);
}

/* Both spellings of a configuration, written and read again, give the same one. */
static void configurations_survive(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"embed_dim\": 4, " VISION ", " TEXT "}",
                                        "{\"quick_gelu\": true, \"embed_dim\": 4, " VISION ", " TEXT "}"};
    char difference[200];
    for (size_t i = 0; i < 3; i++)
        for (int hf = 0; hf < 2; hf++) {
            tc_config a = parse(i < 2 ? texts[i] : WITH_EOS), b;
            if (i == 2 && !hf) continue; /* OpenCLIP's cannot say it */
            json_t *json = hf ? tc_config_hf_json(&a) : tc_config_openclip_json(&a);
            assert_int_equal(tc_config_parse(&b, json, "again", NULL), TC_OK);
            json_decref(json);
            if (tc_config_difference(&a, &b, difference, sizeof difference)) fail_msg("%s", difference);
        }
    /* Every FFN width comes back through OpenCLIP's ratio. */
    tc_config a = parse(texts[0]);
    for (int width = 8; width <= 768; width += 76)
        for (int ffn = 1; ffn < 4 * width; ffn += 17) {
            tc_config b, c = a;
            c.vision.width = width, c.vision.head_dim = 4, c.vision.block[0].heads = width / 4,
            c.vision.block[0].ffn = ffn;
            json_t *json = tc_config_openclip_json(&c);
            assert_int_equal(tc_config_parse(&b, json, "again", NULL), TC_OK);
            json_decref(json);
            if (tc_config_difference(&c, &b, difference, sizeof difference))
                fail_msg("width %d, %d FFN channels: %s", width, ffn, difference);
        }
}

/* ---- built-in configurations */

static void sizes_of(const tc_config *c, int64_t params[2], double macs[2]) {
    tc_params p;
    assert_int_equal(tc_net_params(&p, c, NULL), TC_OK);
    params[0] = params[1] = 0;
    for (size_t i = 0; i < p.count; i++)
        if (p.items[i].tower != TC_TOWER_JOINT && strcmp(p.items[i].name, "token_embedding.weight") != 0)
            params[p.items[i].tower == TC_TOWER_TEXT] += p.items[i].numel;
    for (int text = 0; text < 2; text++) {
        tc_graph *g = NULL;
        assert_int_equal(tc_net_graph(&g, text ? TC_TOWER_TEXT : TC_TOWER_VISION, c, &p, TC_NET_WHOLE, NULL),
                         TC_OK);
        macs[text] = tc_graph_macs(g, c->context_length);
        tc_graph_free(&g);
    }
    tc_params_free(&p);
}

/* TinyCLIP-ViT-39M-16-Text-19M: millions of parameters of the image tower, and of the text tower without its
 * token table. The published cost is that of an image and a text together. */
static void builtin_sizes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double gmacs;
    } published[] = {{"TinyCLIP-ViT-39M-16-Text-19M", 9.5},
                     {"TinyCLIP-ViT-8M-16-Text-3M", 2.0},
                     {"TinyCLIP-ViT-61M-32-Text-29M", 5.3},
                     {"TinyCLIP-ViT-40M-32-Text-19M", 3.5}};
    int found = 0;
    for (int i = 0; tc_builtin_config(i); i++) {
        const char *name = tc_builtin_config(i);
        tc_config c;
        tc_error err;
        int64_t params[2];
        double macs[2];
        int image, patch, text;
        if (tc_config_open(&c, name, &err) != TC_OK) fail_msg("%s", err.message);
        if (c.vision.family == &tc_modified_resnet) continue; /* test_resnet.c */
        sizes_of(&c, params, macs);
        if (sscanf(name, "TinyCLIP-ViT-%dM-%d-Text-%dM", &image, &patch, &text) == 3) {
            assert_int_equal((params[0] + 500000) / 1000000, image);
            assert_int_equal((params[1] + 500000) / 1000000, text);
            assert_int_equal(c.vision.patch_size, patch);
        } else {
            assert_int_equal(sscanf(name, "ViT-B-%d", &patch), 1);
            assert_int_equal(c.vision.patch_size, patch);
            assert_int_equal(c.vision.width, 768);
            assert_int_equal(c.vision.activation, tc_ends_with(name, "quickgelu") ? TC_QUICK_GELU : TC_GELU);
            /* OpenAI's ViT-B/32 */
            if (patch == 32)
                assert_int_equal(params[0] + params[1] + (int64_t)c.vocab_size * c.text.width + 1, 151277313);
        }
        for (size_t k = 0; k < sizeof published / sizeof *published; k++) {
            if (strcmp(published[k].name, name) != 0) continue;
            double total = (macs[0] + macs[1]) / 1e9;
            found++;
            if (!(fabs(total / published[k].gmacs - 1) <= 0.03))
                fail_msg("%s: %.3f GMACs, published %.1f", name, total, published[k].gmacs);
        }
    }
    assert_int_equal(found, 4);
    assert_null(tc_builtin_config(-1));
}

static void builtin_model(void **state) {
    (void)state;
    tc_model *m = NULL, *same = NULL, *other = NULL;
    tc_config c;
    int64_t params[2];
    double macs[2];
    const char *name = "TinyCLIP-ViT-8M-16-Text-3M";
    assert_int_equal(tc_config_open(&c, name, NULL), TC_OK);
    sizes_of(&c, params, macs);
    assert_int_equal(tc_model_create(&m, name, 1, NULL), TC_OK);
    assert_int_equal(tc_model_create(&same, name, 1, NULL), TC_OK);
    assert_int_equal(tc_model_create(&other, name, 2, NULL), TC_OK);
    const tc_model_info *info = tc_model_get_info(m);
    assert_int_equal(info->params_vision, params[0]);
    assert_int_equal(info->params_text, params[1]);
    assert_int_equal(info->params_without_tokens, params[0] + params[1] + 1);
    assert_int_equal(info->params, info->params_without_tokens + (int64_t)c.vocab_size * c.text.width);
    assert_true(info->macs_image == macs[0] && info->macs_text == macs[1]);
    assert_true(info->macs_image_used < info->macs_image && info->macs_text_used < info->macs_text / 5);
    assert_true(info->logit_scale == (float)log(1 / 0.07));
    assert_memory_equal(m->flat, same->flat, (size_t)m->params.total * sizeof *m->flat);
    assert_memory_not_equal(m->flat, other->flat, (size_t)m->params.total * sizeof *m->flat);
    tc_model_close(&m);
    tc_model_close(&same);
    tc_model_close(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(configurations), cmocka_unit_test(too_large),
                                       cmocka_unit_test(configurations_survive),
                                       cmocka_unit_test(builtin_sizes), cmocka_unit_test(builtin_model)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
