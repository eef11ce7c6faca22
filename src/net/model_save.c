/* model_save.c - writes models: Hugging Face folders, the project's single file, OpenCLIP-named files. Each file is written atomically. */
#include "net/model.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Tensors as float32, kept until the writer is done with them. */
typedef struct shelf {
    float **items;
    size_t count, capacity;
} shelf;

static void shelf_free(shelf *s) {
    for (size_t i = 0; i < s->count; i++) free(s->items[i]);
    free(s->items);
}

static float *shelf_take(shelf *s, int64_t n, tc_error *err) {
    float *values = tc_new((size_t)n, sizeof *values);
    if (!values || !tc_grow(&s->items, &s->capacity, s->count + 1, sizeof *s->items)) {
        free(values);
        tc_fail_memory(err, (size_t)n * sizeof *values);
        return NULL;
    }
    s->items[s->count++] = values;
    return values;
}

static tc_status read_floats(const tc_model *m, size_t i, float *out, tc_error *err) {
    if (sizeof(tc_real) == sizeof(float)) return tc_model_read(m, i, (tc_real *)(void *)out, err);
    int64_t n = m->params.items[i].numel;
    tc_real *values = tc_new((size_t)n, sizeof *values);
    if (!values) return tc_fail_memory(err, (size_t)n * sizeof *values);
    tc_status status = tc_model_read(m, i, values, err);
    for (int64_t k = 0; k < n; k++) out[k] = (float)values[k];
    free(values);
    return status;
}

/* One part of a parameter under its name in the other layout. */
static tc_status add_hf(tc_st_writer *w, shelf *s, const tc_param *p, const float *values, const char *name, int part, int parts, bool transposed,
                        tc_error *err) {
    int64_t shape[TC_PARAM_RANK], n = p->numel / parts;
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[transposed ? 1 - k : k];
    if (parts > 1) shape[0] /= parts;
    const float *from = values + part * n;
    if (transposed) {
        float *turned = shelf_take(s, n, err);
        if (!turned) return TC_ENOMEM;
        for (int64_t i = 0; i < p->shape[0]; i++)
            for (int64_t j = 0; j < p->shape[1]; j++) turned[j * p->shape[0] + i] = from[i * p->shape[1] + j];
        from = turned;
    }
    return tc_st_writer_add(w, name, TC_F32, p->ndim, shape, from, err);
}

static tc_status add_counter(tc_st_writer *w, shelf *s, const tc_param *p, float value, tc_error *err) {
    int64_t *whole = (int64_t *)(void *)shelf_take(s, 2, err);
    if (!whole) return TC_ENOMEM;
    *whole = (int64_t)value;
    return tc_st_writer_add(w, p->name, TC_I64, 0, NULL, whole, err);
}

static tc_status add_tensors(tc_st_writer *w, shelf *s, const tc_model *m, bool hf, tc_error *err) {
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        float *values = shelf_take(s, p->numel, err);
        if (!values) return TC_ENOMEM;
        tc_status status = read_floats(m, i, values, err);
        char name[160];
        bool transposed, fused = hf && strstr(p->name, "attn.in_proj_") != NULL;
        for (int part = 0; part < (fused ? 3 : 1) && status == TC_OK; part++) {
            if (tc_param_is_counter(p)) status = add_counter(w, s, p, *values, err);
            else if (!hf) status = tc_st_writer_add(w, p->name, TC_F32, p->ndim, p->shape, values, err);
            else if (!tc_names_hf(p->name, part, name, sizeof name, &transposed))
                status = tc_fail(err, TC_EUNSUPPORTED, "a Hugging Face folder has no name for %s", p->name);
            else status = add_hf(w, s, p, values, name, part, fused ? 3 : 1, transposed, err);
        }
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

static tc_status add_json(tc_st_writer *w, const char *key, json_t *json, tc_error *err) {
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) return tc_fail_memory(err, 1);
    tc_status status = tc_st_writer_metadata(w, key, text, err);
    free(text);
    return status;
}

/* A vocabulary that is not the library's goes with the model. */
static tc_status add_vocabulary(tc_st_writer *w, const tc_model *m, tc_error *err) {
    tc_tokenizer *t = NULL;
    tc_buf vocab = {0}, merges = {0};
    if (!m->tokenizer_dir && !m->vocab) return TC_OK;
    tc_status status = tc_model_tokenizer(m, &t, err);
    if (status == TC_OK && !tc_tokenizer_is_builtin(t)) {
        status = tc_tokenizer_texts(t, &vocab, &merges, err);
        if (status == TC_OK) status = tc_st_writer_metadata(w, "tinyclip.vocab", vocab.data, err);
        if (status == TC_OK) status = tc_st_writer_metadata(w, "tinyclip.merges", merges.data, err);
    }
    tc_buf_free(&vocab);
    tc_buf_free(&merges);
    tc_tokenizer_close(&t);
    return status;
}

static tc_status add_own_metadata(tc_st_writer *w, const tc_model *m, tc_error *err) {
    bool own_config_is_hf = m->config.eos_id >= 0 || m->config.vision.activation != m->config.text.activation;
    tc_status status = add_json(w, "tinyclip.config", own_config_is_hf ? tc_config_hf_json(&m->config) : tc_config_openclip_json(&m->config), err);
    if (status == TC_OK) status = add_json(w, "tinyclip.preprocess", tc_preprocess_json(&m->preprocess), err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "tinyclip.tokenizer", m->tokenizer_kind == TC_TOKENIZER_HF ? "hf" : "openclip", err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "tinyclip.image_order", m->preprocess.order == TC_IMAGE_HF ? "hf" : "openclip", err);
    if (status == TC_OK) status = add_vocabulary(w, m, err);
    if (status == TC_OK && m->card) status = tc_st_writer_metadata(w, "tinyclip.card", m->card, err);
    return status;
}

static tc_status save_tensors(const tc_model *m, const char *path, tc_format format, tc_error *err) {
    tc_st_writer *w = NULL;
    shelf s = {0};
    tc_status status = tc_st_writer_create(&w, err);
    if (status != TC_OK) return status;
    status = add_tensors(w, &s, m, format == TC_FORMAT_HF, err);
    if (status == TC_OK && format == TC_FORMAT_HF) status = tc_st_writer_metadata(w, "format", "pt", err);
    if (status == TC_OK && format == TC_FORMAT_FILE) status = add_own_metadata(w, m, err);
    if (status == TC_OK) status = tc_st_writer_commit(&w, path, NULL, err);
    else tc_st_writer_abort(&w);
    shelf_free(&s);
    return status;
}

static tc_status write_json(const char *dir, const char *name, json_t *json, tc_error *err) {
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL, *path = dir ? tc_path_join(dir, name) : tc_strdup(name);
    json_decref(json);
    tc_status status = text && path ? tc_file_write(path, text, strlen(text), err) : tc_fail_memory(err, 1);
    free(text);
    free(path);
    return status;
}

static tc_status write_tokenizer(const tc_model *m, const char *dir, tc_error *err) {
    tc_tokenizer *t = NULL;
    tc_status status = tc_model_tokenizer(m, &t, err);
    if (status != TC_OK) return status;
    /* A model of a smaller vocabulary than its tokenizer's has no tokenizer of its own to write. */
    if (tc_tokenizer_size(t) <= m->config.vocab_size) status = tc_tokenizer_write_hf(t, dir, m->config.context_length, err);
    tc_tokenizer_close(&t);
    return status;
}

static tc_status save_folder(const tc_model *m, const char *dir, tc_error *err) {
    if (m->config.image_tower == TC_IMAGE_RESNET)
        return tc_fail(
            err, TC_EUNSUPPORTED,
            "%s: a Hugging Face folder cannot hold a ModifiedResNet, since CLIPModel has none; save a file whose name ends in .safetensors", dir);
    tc_status status = tc_make_dirs(dir, err);
    char *weights = tc_path_join(dir, "model.safetensors");
    if (!weights && status == TC_OK) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = write_tokenizer(m, dir, err);
    if (status == TC_OK) status = write_json(dir, "preprocessor_config.json", tc_preprocess_json(&m->preprocess), err);
    if (status == TC_OK && m->card) {
        json_t *card = NULL;
        status = tc_json_parse(&card, m->card, strlen(m->card), "model card", err);
        if (status == TC_OK) status = write_json(dir, "tinyclip_card.json", card, err);
    }
    if (status == TC_OK) status = save_tensors(m, weights, TC_FORMAT_HF, err);
    if (status == TC_OK) status = write_json(dir, "config.json", tc_config_hf_json(&m->config), err);
    free(weights);
    return status;
}

static tc_status save_openclip(const tc_model *m, const char *path, tc_error *err) {
    if (m->config.vision.activation != m->config.text.activation || m->config.eos_id >= 0)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: an OpenCLIP configuration has one activation for both towers and takes the largest id; this model does not", path);
    tc_buf name = {0};
    tc_buf_printf(&name, "%.*s.json", (int)(strlen(path) - (tc_ends_with(path, ".safetensors") ? strlen(".safetensors") : 0)), path);
    char *config = tc_buf_take(&name);
    tc_status status = config ? save_tensors(m, path, TC_FORMAT_OPENCLIP, err) : tc_fail_memory(err, strlen(path));
    if (status == TC_OK) status = write_json(NULL, config, tc_config_openclip_json(&m->config), err);
    free(config);
    return status;
}

tc_status tc_model_save(const tc_model *m, const char *path, tc_format format, tc_error *err) {
    if (format == TC_FORMAT_AUTO) format = tc_ends_with(path, ".safetensors") ? TC_FORMAT_FILE : TC_FORMAT_HF;
    if (format == TC_FORMAT_HF) return save_folder(m, path, err);
    if (format == TC_FORMAT_OPENCLIP) return save_openclip(m, path, err);
    return save_tensors(m, path, format, err);
}
