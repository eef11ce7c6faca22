/* config.c - reads and writes model configurations: OpenCLIP's JSON and Hugging Face's config.json. Every
 * number is checked against limits before anything is computed from it. */
#include "net/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading */

typedef struct reader {
    const char *name;
    tc_error *err;
    tc_status status;
} reader;

/* A whole number from `low` to `high`; `missing` if the key is not there (-1: it must be). */
static int number(reader *r, const json_t *object, const char *where, const char *key, int low, int high,
                  int missing) {
    const json_t *v = json_object_get(object, key);
    if (r->status != TC_OK) return low;
    if ((!v || json_is_null(v)) && missing >= 0) return missing;
    double d = json_is_number(v) ? json_number_value(v) : NAN;
    if (d != floor(d) || d < low || d > high || isnan(d)) {
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: %s%s must be a whole number from %d to %d", r->name,
                            where, key, low, high);
        return low;
    }
    return (int)d;
}

static const json_t *section(reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    if (r->status == TC_OK && !json_is_object(v))
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: \"%s\" is missing or not an object", r->name, key);
    return v;
}

static void uniform_blocks(tc_tower_config *t, int heads, int ffn) {
    for (int i = 0; i < t->layers; i++) {
        t->block[i].heads = heads;
        t->block[i].ffn = ffn;
    }
}

static void check_vision(reader *r, const tc_config *c) {
    if (r->status == TC_OK && c->patch_size > c->image_size)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: patch_size %d is larger than image_size %d", r->name,
                            c->patch_size, c->image_size);
}

/* Width divided into heads without a rest. */
static int head_dim(reader *r, int width, int heads, const char *tower) {
    if (r->status == TC_OK && width % heads)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: the %s width %d is not a multiple of its %d heads",
                            r->name, tower, width, heads);
    return heads ? width / heads : 1;
}

/* Entry `key` of a tower: a list with a number for each block, or NULL if it is not a list. */
static const json_t *block_list(reader *r, const json_t *cfg, const char *where, const char *key,
                                int layers) {
    const json_t *v = json_object_get(cfg, key);
    if (!json_is_array(v)) return NULL;
    if (r->status == TC_OK && (int)json_array_size(v) != layers)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: %s%s has %zu entries for %d layers", r->name, where, key,
                            json_array_size(v), layers);
    return v;
}

/* The heads and FFN channels that a pruned tower has left, block by block. */
static void read_blocks(reader *r, tc_tower_config *t, const json_t *cfg, const char *where) {
    const json_t *heads = block_list(r, cfg, where, "heads", t->layers),
                 *mlp = block_list(r, cfg, where, "mlp", t->layers);
    for (int l = 0; l < t->layers && r->status == TC_OK; l++) {
        const json_t *h = json_array_get(heads, (size_t)l), *f = json_array_get(mlp, (size_t)l);
        json_int_t n = json_is_integer(h) ? json_integer_value(h) : -1,
                   m = json_is_integer(f) ? json_integer_value(f) : -1;
        if (heads && (n < 0 || n > (1 << 20) / t->head_dim))
            r->status =
                tc_fail(r->err, TC_EFORMAT, "%s: %sheads[%d] must be a whole number of heads from 0 to %d",
                        r->name, where, l, (1 << 20) / t->head_dim);
        else if (mlp && !json_is_null(f) && (m < 0 || m > 1 << 20))
            r->status =
                tc_fail(r->err, TC_EFORMAT, "%s: %smlp[%d] must be null or a whole number from 0 to %d",
                        r->name, where, l, 1 << 20);
        if (heads) t->block[l].heads = (int)n;
        if (mlp) t->block[l].ffn = (int)m;
    }
}

static int ratio_ffn(reader *r, const json_t *cfg, const char *where, int width) {
    const json_t *v = json_object_get(cfg, "mlp_ratio");
    double ratio = v ? json_number_value(v) : 4.0, ffn = trunc(width * ratio);
    if (r->status == TC_OK && (!(ffn >= 1) || ffn > 1 << 20))
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: %smlp_ratio is out of range", r->name, where);
    return r->status == TC_OK ? (int)ffn : 1;
}

/* The inner channels that a pruned ResNet has left. */
static void read_channels(reader *r, tc_config *c, const json_t *v) {
    const json_t *list = json_object_get(v, "channels");
    int count = 2 + 2 * c->vision.layers;
    if (!list || json_is_null(list)) return;
    if (!json_is_array(list) || json_array_size(list) != (size_t)count)
        r->status = tc_fail(
            r->err, TC_EFORMAT,
            "%s: vision_cfg.channels must be a list of %d numbers, two for the stem and two for each block",
            r->name, count);
    for (int i = 0; i < count && r->status == TC_OK; i++) {
        const json_t *n = json_array_get(list, (size_t)i);
        int most = c->channels[i];
        if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > most)
            r->status =
                tc_fail(r->err, TC_EFORMAT, "%s: vision_cfg.channels[%d] must be a whole number from 1 to %d",
                        r->name, i, most);
        else c->channels[i] = (int)json_integer_value(n);
    }
}

/* The four lists' entries are the stages. Every stride is 2: an image's side is 32 times that of the last
 * map. */
static void read_stages(reader *r, tc_config *c, const json_t *v) {
    const json_t *list = json_object_get(v, "layers");
    c->image_tower = TC_IMAGE_RESNET;
    c->vision.head_dim = number(r, v, "vision_cfg.", "head_width", 1, 1 << 16, 64);
    c->vision.width = number(r, v, "vision_cfg.", "width", 2, 1 << 11, -1);
    if (r->status == TC_OK && json_array_size(list) != TC_STAGES)
        r->status = tc_fail(r->err, TC_EFORMAT,
                            "%s: vision_cfg.layers must have %d entries, the blocks of each stage", r->name,
                            TC_STAGES);
    for (int i = 0; i < TC_STAGES && r->status == TC_OK; i++) {
        json_int_t n = json_integer_value(json_array_get(list, (size_t)i));
        if (n < 1 || n > TC_MAX_LAYERS - c->vision.layers)
            r->status = tc_fail(r->err, TC_EFORMAT,
                                "%s: vision_cfg.layers must be whole numbers from 1, at most %d in all",
                                r->name, TC_MAX_LAYERS);
        else c->vision.layers += c->stages[i] = (int)n;
    }
    if (r->status != TC_OK) return;
    if (c->image_size % TC_RESNET_STRIDE)
        r->status = tc_fail(r->err, TC_EFORMAT,
                            "%s: vision_cfg.image_size %d is not a multiple of 32, as a ResNet needs it",
                            r->name, c->image_size);
    else if (c->vision.width % 2 || TC_RESNET_STRIDE * c->vision.width % c->vision.head_dim)
        r->status =
            tc_fail(r->err, TC_EFORMAT,
                    "%s: the ResNet's width %d must be even and 32 times it a multiple of head_width %d",
                    r->name, c->vision.width, c->vision.head_dim);
    else c->vision.block[0].heads = TC_RESNET_STRIDE * c->vision.width / c->vision.head_dim;
    if (r->status != TC_OK) return;
    tc_net_resnet_fill(c);
    read_channels(r, c, v);
}

static void read_openclip(reader *r, tc_config *c, const json_t *json) {
    const json_t *v = section(r, json, "vision_cfg"), *t = section(r, json, "text_cfg");
    if (r->status != TC_OK) return;
    static const char *const other[] = {"timm_model_name",
                                        "hf_model_name",
                                        "ls_init_value",
                                        "attentional_pool",
                                        "patch_dropout",
                                        "global_average_pool",
                                        NULL};
    for (int i = 0; other[i] && r->status == TC_OK; i++) {
        const json_t *a = json_object_get(v, other[i]), *b = json_object_get(t, other[i]);
        bool off =
            (!a || json_is_null(a) || json_is_false(a) || (json_is_number(a) && json_number_value(a) == 0)) &&
            (!b || json_is_null(b));
        if (!off)
            r->status = tc_fail(r->err, TC_EUNSUPPORTED, "%s: \"%s\" is not supported", r->name, other[i]);
    }
    c->embed_dim = number(r, json, "", "embed_dim", 1, 1 << 16, -1);
    c->image_size = number(r, v, "vision_cfg.", "image_size", 1, 8192, 224);
    if (json_is_array(json_object_get(v, "layers"))) {
        read_stages(r, c, v);
    } else {
        c->patch_size = number(r, v, "vision_cfg.", "patch_size", 1, 8192, -1);
        c->vision.width = number(r, v, "vision_cfg.", "width", 1, 1 << 16, -1);
        c->vision.layers = number(r, v, "vision_cfg.", "layers", 1, TC_MAX_LAYERS, -1);
        c->vision.head_dim = number(r, v, "vision_cfg.", "head_width", 1, 1 << 16, 64);
    }
    c->context_length = number(r, t, "text_cfg.", "context_length", 1, 8192, 77);
    c->vocab_size = number(r, t, "text_cfg.", "vocab_size", 1, 1 << 24, 49408);
    c->text.width = number(r, t, "text_cfg.", "width", 1, 1 << 16, -1);
    c->text.layers = number(r, t, "text_cfg.", "layers", 1, TC_MAX_LAYERS, -1);
    bool vision_list = json_is_array(json_object_get(v, "heads")),
         text_list = json_is_array(json_object_get(t, "heads"));
    int heads = text_list ? 0 : number(r, t, "text_cfg.", "heads", 1, 1 << 16, -1);
    if (text_list) c->text.head_dim = number(r, t, "text_cfg.", "head_width", 1, 1 << 16, -1);
    if (r->status != TC_OK) return;
    bool vit = c->image_tower == TC_IMAGE_VIT;
    if (vit && !vision_list && c->vision.width % c->vision.head_dim)
        r->status = tc_fail(r->err, TC_EFORMAT, "%s: the vision width %d is not a multiple of head_width %d",
                            r->name, c->vision.width, c->vision.head_dim);
    if (!text_list) c->text.head_dim = head_dim(r, c->text.width, heads, "text");
    if (vit)
        uniform_blocks(&c->vision, c->vision.width / c->vision.head_dim,
                       ratio_ffn(r, v, "vision_cfg.", c->vision.width));
    uniform_blocks(&c->text, heads, ratio_ffn(r, t, "text_cfg.", c->text.width));
    if (vit) read_blocks(r, &c->vision, v, "vision_cfg.");
    read_blocks(r, &c->text, t, "text_cfg.");
    c->vision.activation = c->text.activation =
        json_is_true(json_object_get(json, "quick_gelu")) ? TC_QUICK_GELU : TC_GELU;
    const json_t *own = json_object_get(t, "quick_gelu");
    if (json_is_boolean(own)) c->text.activation = json_is_true(own) ? TC_QUICK_GELU : TC_GELU;
    bool eos = json_is_number(json_object_get(t, "eos_token_id"));
    c->eos_id = eos ? number(r, t, "text_cfg.", "eos_token_id", 0, 1 << 24, -1) : -1;
}

static tc_activation hf_activation(reader *r, const json_t *cfg, const char *tower) {
    const char *s = json_string_value(json_object_get(cfg, "hidden_act"));
    if (!s || strcmp(s, "quick_gelu") == 0) return TC_QUICK_GELU; /* CLIPConfig's default */
    if (strcmp(s, "gelu") == 0) return TC_GELU;
    if (r->status == TC_OK)
        r->status = tc_fail(r->err, TC_EUNSUPPORTED, "%s: %s.hidden_act \"%.40s\" is not gelu or quick_gelu",
                            r->name, tower, s);
    return TC_GELU;
}

static void hf_tower(reader *r, tc_tower_config *t, const json_t *cfg, const char *tower,
                     const int missing[4]) {
    char where[32];
    snprintf(where, sizeof where, "%s.", tower);
    t->width = number(r, cfg, where, "hidden_size", 1, 1 << 16, missing[0]);
    t->layers = number(r, cfg, where, "num_hidden_layers", 1, TC_MAX_LAYERS, missing[1]);
    int heads = number(r, cfg, where, "num_attention_heads", 1, 1 << 16, missing[2]);
    int ffn = number(r, cfg, where, "intermediate_size", 1, 1 << 20, missing[3]);
    const json_t *eps = json_object_get(cfg, "layer_norm_eps");
    if (r->status == TC_OK && eps && fabs(json_number_value(eps) - 1e-5) > 1e-12)
        r->status = tc_fail(r->err, TC_EUNSUPPORTED, "%s: %s.layer_norm_eps is not 1e-5", r->name, tower);
    t->head_dim = head_dim(r, t->width, heads, tower);
    t->activation = hf_activation(r, cfg, tower);
    uniform_blocks(t, heads, ffn);
}

/* The defaults are those of transformers' CLIPConfig: its files leave out what equals them. */
static void read_hf(reader *r, tc_config *c, const json_t *json) {
    static const int vision[4] = {768, 12, 12, 3072}, text[4] = {512, 12, 8, 2048};
    const json_t *v = section(r, json, "vision_config"), *t = section(r, json, "text_config");
    if (r->status != TC_OK) return;
    const char *type = json_string_value(json_object_get(json, "model_type"));
    if (type && strcmp(type, "clip") != 0) {
        r->status = tc_fail(r->err, TC_EUNSUPPORTED, "%s: model_type \"%.40s\" is not clip", r->name, type);
        return;
    }
    c->embed_dim = number(r, json, "", "projection_dim", 1, 1 << 16, 512);
    c->image_size = number(r, v, "vision_config.", "image_size", 1, 8192, 224);
    c->patch_size = number(r, v, "vision_config.", "patch_size", 1, 8192, 32);
    if (number(r, v, "vision_config.", "num_channels", 1, 64, 3) != 3 && r->status == TC_OK)
        r->status = tc_fail(r->err, TC_EUNSUPPORTED, "%s: vision_config.num_channels is not 3", r->name);
    c->context_length = number(r, t, "text_config.", "max_position_embeddings", 1, 8192, 77);
    c->vocab_size = number(r, t, "text_config.", "vocab_size", 1, 1 << 24, 49408);
    hf_tower(r, &c->vision, v, "vision_config", vision);
    hf_tower(r, &c->text, t, "text_config", text);
    int eos = number(r, t, "text_config.", "eos_token_id", 0, 1 << 24, 49407);
    /* 2 is a wrong value in the official files, for which transformers takes the largest id */
    c->eos_id = eos == 2 ? -1 : eos;
}

tc_status tc_config_parse(tc_config *out, const json_t *json, const char *name, tc_error *err) {
    reader r = {name, err, TC_OK};
    tc_config c;
    memset(&c, 0, sizeof c);
    const json_t *inner = json_object_get(json, "model_cfg");
    if (json_is_object(inner)) json = inner;
    if (json_object_get(json, "vision_cfg")) read_openclip(&r, &c, json);
    else if (json_object_get(json, "vision_config")) read_hf(&r, &c, json);
    else
        return tc_fail(err, TC_EFORMAT,
                       "%s: neither an OpenCLIP configuration (vision_cfg, text_cfg) nor a Hugging Face one "
                       "(vision_config, text_config)",
                       name);
    check_vision(&r, &c);
    if (r.status == TC_OK) *out = c;
    return r.status;
}

tc_status tc_config_open(tc_config *out, const char *name_or_path, tc_error *err) {
    size_t size;
    json_t *json = NULL;
    const char *text = tc_config_builtin(name_or_path, -1, NULL, &size);
    tc_status status;
    if (text) {
        status = tc_json_parse(&json, text, size, name_or_path, err);
    } else if (!tc_path_exists(name_or_path)) {
        return tc_fail(err, TC_EIO,
                       "%s: neither a file nor a built-in configuration (`tinyclip info` lists them)",
                       name_or_path);
    } else {
        char *inside = tc_path_is_dir(name_or_path) ? tc_path_join(name_or_path, "config.json") : NULL;
        status = tc_json_load(&json, inside ? inside : name_or_path, (size_t)1 << 24, err);
        free(inside);
    }
    if (status != TC_OK) return status;
    status = tc_config_parse(out, json, name_or_path, err);
    json_decref(json);
    return status;
}

/* ---- writing */

/* mlp_ratio such that trunc(width * ratio) gives ffn again. */
static double ratio_of(int ffn, int width) {
    double ratio = (double)ffn / width;
    return trunc(width * ratio) == ffn ? ratio : nextafter(ratio, INFINITY);
}

bool tc_tower_is_pruned(const tc_tower_config *t) {
    for (int l = 0; l < t->layers; l++)
        if (t->block[l].heads * t->head_dim != t->width || t->block[l].ffn < 1 ||
            t->block[l].ffn != t->block[0].ffn)
            return true;
    return false;
}

bool tc_net_resnet_is_pruned(const tc_config *c) {
    for (int i = 0; i < 2 + 2 * c->vision.layers; i++)
        if (c->channels[i] != tc_net_resnet_channels(c, i)) return true;
    return false;
}

bool tc_config_is_pruned(const tc_config *c) {
    return (c->image_tower == TC_IMAGE_VIT ? tc_tower_is_pruned(&c->vision) : tc_net_resnet_is_pruned(c)) ||
           tc_tower_is_pruned(&c->text);
}

bool tc_config_fits_hf(const tc_config *c) {
    return c->image_tower == TC_IMAGE_VIT && !tc_config_is_pruned(c);
}

/* What describes the blocks of a tower: a ratio, or the lists of a pruned one. */
static void add_blocks(json_t *cfg, const tc_tower_config *t) {
    if (!tc_tower_is_pruned(t)) {
        json_object_set_new(cfg, "mlp_ratio", json_real(ratio_of(t->block[0].ffn, t->width)));
        return;
    }
    json_t *heads = json_array(), *mlp = json_array();
    for (int l = 0; l < t->layers; l++) {
        json_array_append_new(heads, json_integer(t->block[l].heads));
        json_array_append_new(mlp, t->block[l].ffn < 0 ? json_null() : json_integer(t->block[l].ffn));
    }
    json_object_set_new(cfg, "head_width", json_integer(t->head_dim));
    json_object_set_new(cfg, "heads", heads);
    json_object_set_new(cfg, "mlp", mlp);
}

static json_t *openclip_resnet(const tc_config *c) {
    json_t *vision = json_pack("{s:i, s:[i,i,i,i], s:i, s:i, s:n}", "image_size", c->image_size, "layers",
                               c->stages[0], c->stages[1], c->stages[2], c->stages[3], "width",
                               c->vision.width, "head_width", c->vision.head_dim, "patch_size");
    if (!tc_net_resnet_is_pruned(c)) return vision;
    json_t *channels = json_array();
    for (int i = 0; i < 2 + 2 * c->vision.layers; i++)
        json_array_append_new(channels, json_integer(c->channels[i]));
    json_object_set_new(vision, "channels", channels);
    return vision;
}

static json_t *openclip_vision(const tc_config *c) {
    if (c->image_tower == TC_IMAGE_RESNET) return openclip_resnet(c);
    json_t *vision =
        json_pack("{s:i, s:i, s:i, s:i, s:i}", "image_size", c->image_size, "layers", c->vision.layers,
                  "width", c->vision.width, "head_width", c->vision.head_dim, "patch_size", c->patch_size);
    add_blocks(vision, &c->vision);
    return vision;
}

json_t *tc_config_openclip_json(const tc_config *c) {
    bool vit = c->image_tower == TC_IMAGE_VIT;
    tc_activation activation = vit ? c->vision.activation : c->text.activation;
    json_t *text = json_pack("{s:i, s:i, s:i, s:i, s:i}", "context_length", c->context_length, "vocab_size",
                             c->vocab_size, "width", c->text.width, "heads", c->text.block[0].heads, "layers",
                             c->text.layers);
    add_blocks(text, &c->text);
    if (c->eos_id >= 0) json_object_set_new(text, "eos_token_id", json_integer(c->eos_id));
    if (c->text.activation != activation)
        json_object_set_new(text, "quick_gelu", json_boolean(c->text.activation == TC_QUICK_GELU));
    return json_pack("{s:i, s:b, s:o, s:o}", "embed_dim", c->embed_dim, "quick_gelu",
                     activation == TC_QUICK_GELU, "vision_cfg", openclip_vision(c), "text_cfg", text);
}

json_t *tc_config_full_json(const tc_config *c) {
    return tc_config_fits_hf(c) ? tc_config_hf_json(c) : tc_config_openclip_json(c);
}

static json_t *hf_tower_json(const tc_tower_config *t, const char *type, int embed_dim) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:i}", "model_type", type, "hidden_size",
                     t->width, "intermediate_size", t->block[0].ffn, "num_attention_heads", t->block[0].heads,
                     "num_hidden_layers", t->layers, "hidden_act",
                     t->activation == TC_GELU ? "gelu" : "quick_gelu", "layer_norm_eps", 1e-5,
                     "attention_dropout", 0.0, "projection_dim", embed_dim);
}

json_t *tc_config_hf_json(const tc_config *c) {
    json_t *vision = hf_tower_json(&c->vision, "clip_vision_model", c->embed_dim),
           *text = hf_tower_json(&c->text, "clip_text_model", c->embed_dim);
    json_object_set_new(vision, "image_size", json_integer(c->image_size));
    json_object_set_new(vision, "patch_size", json_integer(c->patch_size));
    json_object_set_new(vision, "num_channels", json_integer(3));
    json_object_set_new(text, "vocab_size", json_integer(c->vocab_size));
    json_object_set_new(text, "max_position_embeddings", json_integer(c->context_length));
    json_object_set_new(text, "bos_token_id", json_integer(c->vocab_size >= 2 ? c->vocab_size - 2 : 0));
    json_object_set_new(text, "eos_token_id", json_integer(c->eos_id < 0 ? 2 : c->eos_id));
    json_object_set_new(text, "pad_token_id", json_integer(1 < c->vocab_size ? 1 : 0));
    return json_pack("{s:[s], s:s, s:i, s:f, s:s, s:o, s:o}", "architectures", "CLIPModel", "model_type",
                     "clip", "projection_dim", c->embed_dim, "logit_scale_init_value", 2.6592, "dtype",
                     "float32", "text_config", text, "vision_config", vision);
}

static void set_difference(tc_diff_setting *out, const char *what, const char *a, const char *b) {
    snprintf(out->what, sizeof out->what, "%s", what);
    snprintf(out->a, sizeof out->a, "%s", a);
    snprintf(out->b, sizeof out->b, "%s", b);
}

static const char *activation_name(tc_activation a) { return a == TC_GELU ? "gelu" : "quick_gelu"; }

static const char *tower_name(const tc_config *c) {
    return c->image_tower == TC_IMAGE_VIT ? "ViT" : "ModifiedResNet";
}

static bool block_difference(const tc_tower_config *a, const tc_tower_config *b, const char *tower,
                             int *index, tc_diff_setting *out) {
    for (int l = 0; l < a->layers && l < b->layers; l++)
        if ((a->block[l].heads != b->block[l].heads || a->block[l].ffn != b->block[l].ffn) &&
            (*index)-- == 0) {
            snprintf(out->what, sizeof out->what, "%s block %d", tower, l);
            snprintf(out->a, sizeof out->a, "%d heads, %d FFN channels", a->block[l].heads, a->block[l].ffn);
            snprintf(out->b, sizeof out->b, "%d heads, %d FFN channels", b->block[l].heads, b->block[l].ffn);
            return true;
        }
    return false;
}

/* By block, if they have the same ones. */
static bool channel_difference(const tc_config *a, const tc_config *b, int *index, tc_diff_setting *out) {
    if (a->image_tower != TC_IMAGE_RESNET || b->image_tower != TC_IMAGE_RESNET ||
        a->vision.layers != b->vision.layers)
        return false;
    for (int i = 0; i < 2 + 2 * a->vision.layers; i += 2) {
        const int *x = &a->channels[i], *y = &b->channels[i];
        if ((x[0] == y[0] && x[1] == y[1]) || (*index)-- > 0) continue;
        if (i) snprintf(out->what, sizeof out->what, "vision block %d", i / 2 - 1);
        else snprintf(out->what, sizeof out->what, "stem");
        snprintf(out->a, sizeof out->a, "%d and %d inner channels", x[0], x[1]);
        snprintf(out->b, sizeof out->b, "%d and %d inner channels", y[0], y[1]);
        return true;
    }
    return false;
}

bool tc_config_difference_at(const tc_config *a, const tc_config *b, int index, tc_diff_setting *out) {
    const struct {
        const char *what;
        int x, y;
    } item[] = {{"blocks of stage 1", a->stages[0], b->stages[0]},
                {"blocks of stage 2", a->stages[1], b->stages[1]},
                {"blocks of stage 3", a->stages[2], b->stages[2]},
                {"blocks of stage 4", a->stages[3], b->stages[3]},
                {"embed_dim", a->embed_dim, b->embed_dim},
                {"image_size", a->image_size, b->image_size},
                {"patch_size", a->patch_size, b->patch_size},
                {"context_length", a->context_length, b->context_length},
                {"vocab_size", a->vocab_size, b->vocab_size},
                {"eos id", a->eos_id, b->eos_id},
                {"vision width", a->vision.width, b->vision.width},
                {"vision layers", a->vision.layers, b->vision.layers},
                {"vision head width", a->vision.head_dim, b->vision.head_dim},
                {"text width", a->text.width, b->text.width},
                {"text layers", a->text.layers, b->text.layers},
                {"text head width", a->text.head_dim, b->text.head_dim}};
    const struct {
        const char *what;
        tc_activation x, y;
    } act[] = {{"vision activation", a->vision.activation, b->vision.activation},
               {"text activation", a->text.activation, b->text.activation}};
    if (a->image_tower != b->image_tower && index-- == 0) {
        set_difference(out, "image tower", tower_name(a), tower_name(b));
        return true;
    }
    for (size_t i = 0; i < sizeof item / sizeof *item; i++)
        if (item[i].x != item[i].y && index-- == 0) {
            char x[16], y[16];
            snprintf(x, sizeof x, "%d", item[i].x);
            snprintf(y, sizeof y, "%d", item[i].y);
            set_difference(out, item[i].what, x, y);
            return true;
        }
    for (size_t i = 0; i < sizeof act / sizeof *act; i++)
        if (act[i].x != act[i].y && index-- == 0) {
            set_difference(out, act[i].what, activation_name(act[i].x), activation_name(act[i].y));
            return true;
        }
    return channel_difference(a, b, &index, out) ||
           block_difference(&a->vision, &b->vision, "vision", &index, out) ||
           block_difference(&a->text, &b->text, "text", &index, out);
}

bool tc_config_difference(const tc_config *a, const tc_config *b, char *buffer, size_t size) {
    tc_diff_setting d;
    if (!tc_config_difference_at(a, b, 0, &d)) return false;
    snprintf(buffer, size, "%s: %s and %s", d.what, d.a, d.b);
    return true;
}
