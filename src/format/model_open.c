/* model_open.c - opens model files: the project's single file, and checkpoints of any layout, alone or in a
 * folder, with or without a configuration.
 *
 * Every parameter of the configuration must be found with its shape, and every tensor of the file must be
 * used; nothing else counts as opened. The values stay in the mapped file. */
#include "format/layout.h"
#include "format/save.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

tc_open_options tc_open_options_default(void) { return (tc_open_options){0}; }

enum { CONFIG_LIMIT = 1 << 24 };

/* ---- binding of tensors to parameters */

static bool numeric(tc_dtype d) { return d == TC_F32 || d == TC_F16 || d == TC_BF16 || d == TC_F64; }

/* Counters are kept as numbers of the program, which are whole up to 2^24. */
static tc_status check_counter(const tc_model *m, const tc_tensor *t, tc_error *err) {
    int64_t value;
    if (t->dtype != TC_I64)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' has dtype %s, expected I64", m->path, t->name,
                       tc_dtype_name(t->dtype));
    if (!tc_tensor_read_i64(t, 0, 1, &value) || value < 0 || value > 1 << 24)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' must be a count from 0 to 16777216", m->path,
                       t->name);
    return TC_OK;
}

static tc_status check_tensor(const tc_model *m, const tc_tensor *t, int ndim, const int64_t *shape,
                              bool counter, tc_error *err) {
    char a[96], b[96];
    bool same = t->ndim == ndim;
    for (int i = 0; i < ndim && same; i++) same = t->shape[i] == shape[i];
    if (ndim == 0 && t->ndim == 1 && t->shape[0] == 1) same = true; /* a scalar written as [1] */
    if (!same)
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is %s, expected %s", m->path, t->name,
                       tc_shape_text(t->ndim, t->shape, a, sizeof a),
                       tc_shape_text(ndim, shape, b, sizeof b));
    if (counter) return check_counter(m, t, err);
    if (!numeric(t->dtype))
        return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' has dtype %s, expected a floating-point one",
                       m->path, t->name, tc_dtype_name(t->dtype));
    return TC_OK;
}

/* Finds the tensors of parameter i: one, or the three that Hugging Face makes of a fused projection. */
static tc_status bind_param(tc_model *m, size_t i, const tc_layout *l, tc_error *err) {
    const tc_param *p = &m->params.items[i];
    tc_origin *o = &m->origin[i];
    char name[160];
    o->parts = 1;
    for (int part = 0; part < o->parts; part++) {
        tc_named *n = tc_layout_find(l, p->name, part);
        if (!n)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is missing", m->path,
                           tc_layout_spelling(l, p->name, part, name, sizeof name));
        o->part[part] = n->tensor;
        o->parts = n->is.parts;
        o->transposed = n->is.transposed;
        n->used = true;
    }
    int64_t shape[TC_PARAM_RANK];
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[o->transposed ? 1 - k : k];
    if (o->parts == 3) shape[0] /= 3;
    for (int part = 0; part < o->parts; part++) {
        tc_status status = check_tensor(m, o->part[part], p->ndim, shape, tc_param_is_counter(p), err);
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

/* The norm before an attention or an FFN that a pruned block does not have any more, and counters of batch
 * normalisation where there is none. */
static bool is_idle_norm(const tc_config *c, const char *name) {
    if (c->image_tower == TC_IMAGE_VIT && tc_ends_with(name, ".num_batches_tracked")) return true;
    bool visual = tc_starts_with(name, "visual.");
    const tc_tower_config *t = visual ? &c->vision : &c->text;
    int layer, which, end = 0;
    if (sscanf(name + (visual ? 7 : 0), "transformer.resblocks.%3d.ln_%1d.%n", &layer, &which, &end) != 2 ||
        !end)
        return false;
    if (layer < 0 || layer >= t->layers) return false;
    return which == 1 ? t->block[layer].heads == 0 : which == 2 && t->block[layer].ffn < 0;
}

static tc_status bind_all(tc_model *m, const tc_layout *l, tc_error *err) {
    for (size_t i = 0; i < m->params.count; i++) {
        tc_status status = bind_param(m, i, l, err);
        if (status != TC_OK) return status;
    }
    for (size_t i = 0; i < l->count; i++) {
        const tc_named *n = &l->items[i];
        if (!n->used && !tc_names_ignored(n->is.name) && !is_idle_norm(&m->config, n->is.name))
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%s' is not part of the configured model", m->path,
                           n->tensor->name);
    }
    return TC_OK;
}

/* ---- preprocessing */

/* A number, or an object: {"shortest_edge": n} for the resize (height and width would change the picture's
 * proportions), {"height": n, "width": n} for the crop. */
static int side(const json_t *v, bool crop) {
    if (json_is_integer(v)) return (int)json_integer_value(v);
    const json_t *edge = json_object_get(v, "shortest_edge"), *h = json_object_get(v, "height"),
                 *w = json_object_get(v, "width");
    if (!crop) return json_is_integer(edge) ? (int)json_integer_value(edge) : -1;
    return json_is_integer(h) && json_is_integer(w) && json_integer_value(h) == json_integer_value(w)
               ? (int)json_integer_value(h)
               : -1;
}

static bool triple(const json_t *v, float out[3]) {
    if (json_array_size(v) != 3) return false;
    for (size_t i = 0; i < 3; i++) {
        if (!json_is_number(json_array_get(v, i))) return false;
        out[i] = (float)json_number_value(json_array_get(v, i));
    }
    return true;
}

static bool on(const json_t *json, const char *key) {
    const json_t *v = json_object_get(json, key);
    return !v || !json_is_false(v);
}

tc_status tc_preprocess_parse(tc_preprocess *out, const json_t *json, const char *name, int image_size,
                              tc_error *err) {
    const json_t *inner = json_object_get(json, "image_processor"), *v;
    if (json_is_object(inner)) json = inner;
    tc_preprocess p = tc_preprocess_default(image_size);
    p.order = TC_IMAGE_HF;
    if ((v = json_object_get(json, "size"))) p.resize = side(v, false);
    if ((v = json_object_get(json, "crop_size"))) p.crop = side(v, true);
    if (p.resize < 1 || p.resize > 1 << 14 || p.crop < 1 || p.crop > 1 << 14)
        return tc_fail(err, TC_EFORMAT,
                       "%s: size and crop_size must be a shortest edge and a square of 1 to 16384 pixels",
                       name);
    if (!on(json, "do_resize")) p.resize = 0;
    if (!on(json, "do_center_crop"))
        return tc_fail(err, TC_EUNSUPPORTED, "%s: do_center_crop false is not supported", name);
    if ((v = json_object_get(json, "resample")) && json_is_integer(v) && json_integer_value(v) != 3)
        return tc_fail(err, TC_EUNSUPPORTED, "%s: resample %d is not supported, only 3 (bicubic)", name,
                       (int)json_integer_value(v));
    if ((v = json_object_get(json, "rescale_factor"))) p.rescale = (float)json_number_value(v);
    if (!on(json, "do_rescale")) p.rescale = 1;
    if ((v = json_object_get(json, "image_mean")) && !triple(v, p.mean))
        return tc_fail(err, TC_EFORMAT, "%s: image_mean must be three numbers", name);
    if ((v = json_object_get(json, "image_std")) && !triple(v, p.std))
        return tc_fail(err, TC_EFORMAT, "%s: image_std must be three numbers", name);
    if (!on(json, "do_normalize"))
        for (int i = 0; i < 3; i++) p.mean[i] = 0, p.std[i] = 1;
    for (int i = 0; i < 3; i++)
        if (!(p.std[i] > 0) || !isfinite(p.mean[i]) || !isfinite(p.std[i]))
            return tc_fail(err, TC_EFORMAT, "%s: image_std must be above 0", name);
    if (p.crop != image_size)
        return tc_fail(err, TC_EFORMAT, "%s: crop_size is %d, but the model's image_size is %d", name, p.crop,
                       image_size);
    *out = p;
    return TC_OK;
}

json_t *tc_preprocess_json(const tc_preprocess *p) {
    return json_pack("{s:s, s:b, s:{s:i}, s:i, s:b, s:{s:i, s:i}, s:b, s:f, s:b, s:[f,f,f], s:[f,f,f], s:b}",
                     "image_processor_type", "CLIPImageProcessor", "do_resize", p->resize > 0, "size",
                     "shortest_edge", p->resize > 0 ? p->resize : p->crop, "resample", 3, "do_center_crop", 1,
                     "crop_size", "height", p->crop, "width", p->crop, "do_rescale", 1, "rescale_factor",
                     tc_decimal(p->rescale), "do_normalize", 1, "image_mean", tc_decimal(p->mean[0]),
                     tc_decimal(p->mean[1]), tc_decimal(p->mean[2]), "image_std", tc_decimal(p->std[0]),
                     tc_decimal(p->std[1]), tc_decimal(p->std[2]), "do_convert_rgb", 1);
}

/* What OpenCLIP's configuration beside the weights says of images. */
static tc_status open_openclip_preprocess(tc_model *m, const char *path, tc_error *err) {
    json_t *json = NULL;
    tc_status status = tc_json_load(&json, path, CONFIG_LIMIT, err);
    if (status == TC_OK) status = tc_preprocess_openclip_parse(&m->preprocess, json, path, err);
    json_decref(json);
    return status;
}

/* preprocessor_config.json, or what transformers 5 puts into processor_config.json; neither: CLIP's settings.
 */
static tc_status open_preprocess(tc_model *m, const char *dir, tc_error *err) {
    static const char *const names[] = {"preprocessor_config.json", "processor_config.json"};
    m->preprocess.order = TC_IMAGE_HF;
    for (int i = 0; i < 2; i++) {
        json_t *json = NULL;
        char *path = tc_path_join(dir, names[i]);
        if (!path) return tc_fail_memory(err, 1);
        tc_status status = TC_OK;
        bool there = tc_path_exists(path);
        if (there) status = tc_json_load(&json, path, CONFIG_LIMIT, err);
        if (there && status == TC_OK)
            status = tc_preprocess_parse(&m->preprocess, json, path, m->config.image_size, err);
        json_decref(json);
        free(path);
        if (there || status != TC_OK) return status;
    }
    return TC_OK;
}

/* ---- layouts */

static tc_status start(tc_model **out, const tc_config *c, tc_store **store, const char *path,
                       const char *source, tc_error *err) {
    tc_status status = tc_model_new(out, c, err);
    if (status != TC_OK) return status;
    tc_model *m = *out;
    m->store = *store;
    *store = NULL;
    m->path = tc_strdup(path);
    m->source = tc_strdup(source);
    return m->path && m->source ? TC_OK : tc_fail_memory(err, strlen(path));
}

static tc_status set_source(tc_model *m, const char *text, tc_error *err) {
    free(m->activation_source);
    m->activation_source = tc_strdup(text);
    return m->activation_source ? TC_OK : tc_fail_memory(err, strlen(text));
}

/* The tensors of a store whose configuration is exact. */
static tc_status bind_store(tc_model *m, tc_error *err) {
    tc_layout l;
    tc_status status = tc_layout_read(&l, m->store, m->path, err);
    if (status == TC_OK) status = bind_all(m, &l, err);
    tc_layout_free(&l);
    return status;
}

static tc_status load_card(tc_model *m, const char *dir, tc_error *err) {
    char *path = tc_path_join(dir, "tinyclip_card.json");
    if (!path) return tc_fail_memory(err, 1);
    size_t size;
    tc_status status = tc_path_exists(path) ? tc_file_read(path, CONFIG_LIMIT, &m->card, &size, err) : TC_OK;
    free(path);
    return status;
}

static tc_status parse_metadata(const tc_store *s, const char *key, json_t **out, tc_error *err) {
    const char *text = tc_store_metadata(s, key);
    *out = NULL;
    return text ? tc_json_parse(out, text, strlen(text), key, err) : TC_OK;
}

/* The project's own file: metadata tinyclip.config, .preprocess, .tokenizer, .image_order, .card, and .vocab
 * and .merges if they are not CLIP's. */
static tc_status open_single(tc_model **out, const char *path, tc_store **store, tc_error *err) {
    tc_config c;
    json_t *config = NULL, *preprocess = NULL;
    tc_status status = parse_metadata(*store, "tinyclip.config", &config, err);
    if (status == TC_OK) status = tc_config_parse(&c, config, path, err);
    if (status == TC_OK) status = parse_metadata(*store, "tinyclip.preprocess", &preprocess, err);
    if (status == TC_OK) status = start(out, &c, store, path, "tinyclip file", err);
    if (status == TC_OK) status = bind_store(*out, err);
    if (status == TC_OK) status = set_source(*out, "configuration in the file", err);
    if (status == TC_OK && preprocess)
        status = tc_preprocess_parse(&(*out)->preprocess, preprocess, path, c.image_size, err);
    json_decref(config);
    json_decref(preprocess);
    if (status != TC_OK) return status;
    tc_model *m = *out;
    const char *tokenizer = tc_store_metadata(m->store, "tinyclip.tokenizer"),
               *order = tc_store_metadata(m->store, "tinyclip.image_order");
    const char *card = tc_store_metadata(m->store, "tinyclip.card"),
               *vocab = tc_store_metadata(m->store, "tinyclip.vocab");
    const char *merges = tc_store_metadata(m->store, "tinyclip.merges");
    m->tokenizer_kind = tokenizer && strcmp(tokenizer, "hf") == 0 ? TC_TOKENIZER_HF : TC_TOKENIZER_OPENCLIP;
    m->preprocess.order = order && strcmp(order, "hf") == 0 ? TC_IMAGE_HF : TC_IMAGE_OPENCLIP;
    if (card && !(m->card = tc_strdup(card))) return tc_fail_memory(err, strlen(card));
    if (vocab && merges && (!(m->vocab = tc_strdup(vocab)) || !(m->merges = tc_strdup(merges))))
        return tc_fail_memory(err, strlen(vocab));
    return TC_OK;
}

/* ---- checkpoints: their configuration, what their names are, and what neither says */

/* NAME.json, NAME.config.json, open_clip_config.json or config.json beside NAME.safetensors (or .pt, .pth,
 * .bin); in a folder one of the latter. */
static char *config_beside(const char *path) {
    static const char *const endings[] = {".safetensors", ".pt", ".pth", ".bin"};
    static const char *const names[] = {"config.json", "open_clip_config.json"};
    const char *slash = strrchr(path, '/');
    bool folder = tc_path_is_dir(path);
    size_t stem = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (tc_ends_with(path, endings[i])) stem = strlen(path) - strlen(endings[i]);
    for (int i = folder ? 2 : 0; i < 4; i++) {
        tc_buf b = {0};
        if (i < 2) tc_buf_printf(&b, "%.*s%s", (int)stem, path, i ? ".config.json" : ".json");
        else if (folder) tc_buf_printf(&b, "%s/%s", path, names[i - 2]);
        else tc_buf_printf(&b, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, names[3 - i]);
        char *candidate = tc_buf_take(&b);
        if (!candidate || tc_path_exists(candidate)) return candidate;
        free(candidate);
    }
    return NULL;
}

/* What the caller chose, the layout, the configuration, in this order; OpenAI's archives with a configuration
 * that contradicts them are an error. */
static tc_status choose_activation(tc_model *m, const tc_layout *l, const tc_open_options *o,
                                   const char *config, tc_error *err) {
    bool openai = l->written_by & TC_NAMED_OPENAI;
    char source[512];
    if (o->activation) return TC_OK; /* for every kind of model, later */
    if (openai && config &&
        (m->config.vision.activation != TC_QUICK_GELU || m->config.text.activation != TC_QUICK_GELU))
        return tc_fail(err, TC_EARG,
                       "%s: OpenAI's archives use QuickGELU, but the configuration %s says GELU; decide with "
                       "--activation",
                       m->path, config);
    if (openai) {
        m->config.vision.activation = m->config.text.activation = TC_QUICK_GELU;
        return set_source(m, "layout: OpenAI archives use QuickGELU", err);
    }
    m->activation_assumed = !config;
    snprintf(source, sizeof source, "configuration %s", config ? config : "");
    return set_source(m, config ? source : "assumed: nothing says which, and GELU is OpenCLIP's default",
                      err);
}

/* Hugging Face's settings and files, or what OpenCLIP writes beside the configuration. */
static tc_status open_settings(tc_model *m, bool hf, const char *config, tc_error *err) {
    bool folder = tc_path_is_dir(m->path);
    tc_status status = TC_OK;
    if (hf) {
        m->tokenizer_kind = TC_TOKENIZER_HF;
        m->preprocess.order = TC_IMAGE_HF;
    }
    if (hf && folder) status = open_preprocess(m, m->path, err);
    if (!hf && config && tc_path_exists(config)) status = open_openclip_preprocess(m, config, err);
    if (status == TC_OK && folder) status = load_card(m, m->path, err);
    static const char *const files[] = {"vocab.json", "tokenizer.json"};
    for (int i = 0; i < 2 && hf && folder && status == TC_OK && !m->tokenizer_dir; i++) {
        char *file = tc_path_join(m->path, files[i]);
        if (file && tc_path_exists(file)) m->tokenizer_dir = tc_strdup(m->path);
        free(file);
    }
    return status;
}

static tc_status open_layout(tc_model **out, const char *path, const tc_open_options *o, const char *config,
                             tc_store **store, tc_layout *l, tc_error *err) {
    tc_config given, c;
    bool hf = l->written_by & TC_NAMED_HF;
    tc_status status = config ? tc_config_open(&given, config, err) : TC_OK;
    if (status == TC_OK) status = tc_layout_config(&c, l, config ? &given : NULL, err);
    if (status == TC_OK) status = start(out, &c, store, path, tc_layout_name(l), err);
    if (status == TC_OK) status = bind_all(*out, l, err);
    if (status == TC_OK) status = choose_activation(*out, l, o, config, err);
    return status == TC_OK ? open_settings(*out, hf, config, err) : status;
}

static tc_status open_checkpoint(tc_model **out, const char *path, const tc_open_options *o, tc_store **store,
                                 tc_error *err) {
    char *found = o->config ? NULL : config_beside(path);
    tc_layout l;
    tc_status status = tc_layout_read(&l, *store, path, err);
    if (status != TC_OK) goto out;
    if (l.count == 0) status = tc_fail(err, TC_EFORMAT, "%s: it holds no tensors", path);
    /* Hugging Face's folders are nothing without their configuration. */
    else if (!o->config && !found && tc_path_is_dir(path))
        status = tc_fail(err, TC_EIO, "%s: the folder has no config.json and no open_clip_config.json", path);
    else status = open_layout(out, path, o, o->config ? o->config : found, store, &l, err);
    tc_layout_free(&l);
out:
    free(found);
    return status;
}

/* ---- what the caller wants otherwise */

static tc_status apply_options(tc_model *m, const tc_open_options *o, tc_error *err) {
    tc_status status = TC_OK;
    if (o->activation) {
        status = tc_activation_parse(&m->config.vision.activation, o->activation, err);
        m->config.text.activation = m->config.vision.activation;
        if (status == TC_OK) status = set_source(m, "option: chosen with --activation", err);
        m->activation_assumed = false;
    }
    if (status == TC_OK && o->image_size && o->image_size != m->config.image_size)
        status = tc_model_set_image_size(m, o->image_size, err);
    return status;
}

tc_status tc_model_open(tc_model **out, const char *path, const tc_open_options *options, tc_error *err) {
    tc_open_options o = options ? *options : tc_open_options_default();
    tc_store *store = NULL;
    *out = NULL;
    if (!tc_path_exists(path)) {
        if (tc_config_builtin(path, -1, NULL, NULL))
            return tc_fail(err, TC_EARG,
                           "%s: that is the name of a configuration, which has no weights; a model's folder "
                           "or file is needed",
                           path);
        return tc_fail(err, TC_EIO, "%s: no such file or folder", path);
    }
    tc_status status = tc_check_reserved(o.reserved, sizeof o.reserved, "tc_open_options", err);
    if (status == TC_OK) status = tc_store_open(&store, path, err);
    if (status != TC_OK) return status;
    if (tc_store_metadata(store, "tinyclip.config")) status = open_single(out, path, &store, err);
    else status = open_checkpoint(out, path, &o, &store, err);
    if (status == TC_OK) status = apply_options(*out, &o, err);
    if (status == TC_OK) status = tc_model_finish(*out, err);
    tc_store_close(&store);
    if (status != TC_OK) tc_model_close(out);
    return status;
}
