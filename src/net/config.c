/* config.c - model configurations as JSON: OpenCLIP's form and Hugging Face's config.json. What stands in a
 * tower's section is its family's to read and to write. */
#include "net/config_read.h"
#include "net/tower.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading */

/* The family of this side that claims the section of OpenCLIP's form (NULL: of Hugging Face's form, the one
 * that has it), or the first one. */
static const tc_tower_family *family_of(int side, const json_t *openclip) {
    const tc_tower_family *first = NULL, *f;
    for (int i = 0; (f = tc_tower_family_at(i)); i++) {
        if (f->side != side || (!openclip && !f->read_hf)) continue;
        if (!first) first = f;
        if (openclip && f->claims && f->claims(openclip)) return f;
    }
    return first;
}

/* Something of OpenCLIP's that no family here has. */
static void refuse_others(tc_config_reader *r, const json_t *v, const json_t *t) {
    static const char *const other[] = {"timm_model_name",
                                        "hf_model_name",
                                        "ls_init_value",
                                        "attentional_pool",
                                        "patch_dropout",
                                        "global_average_pool",
                                        NULL};
    for (int i = 0; other[i]; i++) {
        const json_t *a = json_object_get(v, other[i]), *b = json_object_get(t, other[i]);
        bool off =
            (!a || json_is_null(a) || json_is_false(a) || (json_is_number(a) && json_number_value(a) == 0)) &&
            (!b || json_is_null(b));
        if (!off) tc_config_wrong(r, TC_EUNSUPPORTED, "\"%s\" is not supported", other[i]);
    }
}

static void read_openclip(tc_config_reader *r, tc_config *c, const json_t *json) {
    const json_t *v = tc_config_section(r, json, "vision_cfg"), *t = tc_config_section(r, json, "text_cfg");
    if (r->status != TC_OK) return;
    refuse_others(r, v, t);
    c->vision.family = family_of(TC_TOWER_VISION, v);
    c->text.family = family_of(TC_TOWER_TEXT, t);
    c->embed_dim = tc_config_number(r, json, "", "embed_dim", 1, 1 << 16, -1);
    c->image_size = tc_config_number(r, v, "vision_cfg.", "image_size", 1, 8192, 224);
    c->vision.activation = c->text.activation =
        json_is_true(json_object_get(json, "quick_gelu")) ? TC_QUICK_GELU : TC_GELU;
    c->vision.family->read(r, c, v);
    c->text.family->read(r, c, t);
}

static void read_hf(tc_config_reader *r, tc_config *c, const json_t *json) {
    const json_t *v = tc_config_section(r, json, "vision_config");
    const json_t *t = tc_config_section(r, json, "text_config");
    const char *type = json_string_value(json_object_get(json, "model_type"));
    if (type && strcmp(type, "clip") != 0)
        tc_config_wrong(r, TC_EUNSUPPORTED, "model_type \"%.40s\" is not clip", type);
    if (r->status != TC_OK) return;
    c->vision.family = family_of(TC_TOWER_VISION, NULL);
    c->text.family = family_of(TC_TOWER_TEXT, NULL);
    c->embed_dim = tc_config_number(r, json, "", "projection_dim", 1, 1 << 16, 512);
    c->vision.family->read_hf(r, c, v);
    c->text.family->read_hf(r, c, t);
}

tc_status tc_config_parse(tc_config *out, const json_t *json, const char *name, tc_error *err) {
    tc_config_reader r = {name, err, TC_OK};
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

json_t *tc_config_openclip_json(const tc_config *c) {
    json_t *vision = json_pack("{s:i}", "image_size", c->image_size), *text = json_object();
    c->vision.family->write(c, vision);
    c->text.family->write(c, text);
    if (c->text.activation != tc_config_activation(c))
        json_object_set_new(text, "quick_gelu", json_boolean(c->text.activation == TC_QUICK_GELU));
    return json_pack("{s:i, s:b, s:o, s:o}", "embed_dim", c->embed_dim, "quick_gelu",
                     tc_config_activation(c) == TC_QUICK_GELU, "vision_cfg", vision, "text_cfg", text);
}

json_t *tc_config_hf_json(const tc_config *c) {
    return json_pack("{s:[s], s:s, s:i, s:f, s:s, s:o, s:o}", "architectures", "CLIPModel", "model_type",
                     "clip", "projection_dim", c->embed_dim, "logit_scale_init_value", 2.6592, "dtype",
                     "float32", "text_config", c->text.family->write_hf(c), "vision_config",
                     c->vision.family->write_hf(c));
}

json_t *tc_config_full_json(const tc_config *c) {
    return tc_config_fits_hf(c) ? tc_config_hf_json(c) : tc_config_openclip_json(c);
}

json_t *tc_tower_json(const tc_tower_config *t) {
    json_t *json =
        json_pack("{s:s, s:i, s:i}", "kind", t->family->kind, "width", t->width, "layers", t->layers);
    if (json) t->family->record(t, json);
    return json;
}

/* ---- what it can be */

static bool is_pruned(const tc_tower_config *t) { return t->family->is_pruned && t->family->is_pruned(t); }

bool tc_config_is_pruned(const tc_config *c) { return is_pruned(&c->vision) || is_pruned(&c->text); }

static bool is_uneven(const tc_tower_config *t, const char *tower, char *buffer, size_t size) {
    return t->family->uneven && t->family->uneven(t, tower, buffer, size);
}

const char *tc_config_uneven(const tc_config *c, char *buffer, size_t size) {
    bool uneven = is_uneven(&c->vision, "vision", buffer, size) || is_uneven(&c->text, "text", buffer, size);
    return uneven ? buffer : NULL;
}

bool tc_config_fits_hf(const tc_config *c) {
    return c->vision.family->write_hf && c->text.family->write_hf && !tc_config_is_pruned(c);
}

tc_activation tc_config_activation(const tc_config *c) {
    return c->vision.family->own_activation ? c->text.activation : c->vision.activation;
}

void tc_config_set_activation(tc_config *c, tc_activation a) {
    c->vision.activation = c->text.activation = a;
}
