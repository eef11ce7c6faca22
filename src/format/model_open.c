/* model_open.c - opens model files: the project's single file, and checkpoints of any layout, alone or in a
 * folder, with or without a configuration. The values stay in the mapped file. */
#include "format/bind.h"
#include "format/preprocess_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

tc_open_options tc_open_options_default(void) { return (tc_open_options){0}; }

enum { CONFIG_LIMIT = 1 << 24 };

/* ---- preprocessing */

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
    if (status == TC_OK) status = tc_bind(m, &l, err);
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
    const char *tokenizer = tc_store_metadata(m->store, "tinyclip.tokenizer");
    const char *order = tc_store_metadata(m->store, "tinyclip.image_order");
    const char *card = tc_store_metadata(m->store, "tinyclip.card");
    const char *vocab = tc_store_metadata(m->store, "tinyclip.vocab");
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
        tc_config_set_activation(&m->config, TC_QUICK_GELU);
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
    if (status == TC_OK) status = tc_bind(*out, l, err);
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
        tc_activation a = TC_GELU;
        status = tc_activation_parse(&a, o->activation, err);
        tc_config_set_activation(&m->config, a);
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
