/* model_save.c - writes models: Hugging Face folders, the project's single file, OpenCLIP-named files. Each
 * file is written atomically. */
#include "format/names.h"
#include "format/preprocess_json.h"
#include "format/save.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* ---- tensors of a .safetensors file */

/* A tensor of the file: part `part` of `parts` of a parameter, turned or not. */
typedef struct piece {
    size_t param;
    int part, parts;
    bool transposed;
} piece;

typedef struct pieces {
    tc_saving *saving;
    piece *items;
    size_t count, capacity;
} pieces;

static void turn(const tc_real *from, int64_t rows, int64_t columns, tc_real *to) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}

static tc_status fill(void *user, size_t item, void *out, tc_error *err) {
    pieces *all = user;
    const piece *e = &all->items[item];
    const tc_param *p = &all->saving->model->params.items[e->param];
    int64_t n = p->numel / e->parts;
    tc_real *values = tc_new_aligned((size_t)p->numel, sizeof *values), *turned = NULL;
    tc_status status = values ? tc_saving_read(all->saving, e->param, values, err)
                              : tc_fail_memory(err, (size_t)p->numel * sizeof *values);
    if (status == TC_OK && e->transposed) {
        turned = tc_new_aligned((size_t)p->numel, sizeof *turned);
        if (turned) turn(values, p->shape[0], p->shape[1], turned);
        else status = tc_fail_memory(err, (size_t)p->numel * sizeof *turned);
    }
    if (status == TC_OK && tc_param_is_counter(p)) *(int64_t *)out = (int64_t)*values;
    else if (status == TC_OK)
        status =
            tc_saving_narrow(all->saving, e->param, (turned ? turned : values) + e->part * n, n, out, err);
    free(turned);
    free(values);
    return status;
}

static tc_status add_piece(tc_st_writer *w, pieces *all, piece e, const char *name, tc_error *err) {
    const tc_param *p = &all->saving->model->params.items[e.param];
    int64_t shape[TC_PARAM_RANK];
    for (int k = 0; k < p->ndim; k++) shape[k] = p->shape[e.transposed ? 1 - k : k];
    if (e.parts > 1) shape[0] /= e.parts;
    if (!tc_grow(&all->items, &all->capacity, all->count + 1, sizeof e)) return tc_fail_memory(err, sizeof e);
    all->items[all->count] = e;
    tc_dtype dtype = tc_param_is_counter(p) ? TC_I64 : all->saving->dtype;
    return tc_st_writer_add_later(w, name, dtype, p->ndim, shape, fill, all, all->count++, err);
}

static tc_status add_tensors(tc_st_writer *w, pieces *all, bool hf, tc_error *err) {
    const tc_params *params = &all->saving->model->params;
    for (size_t i = 0; i < params->count; i++) {
        const char *ours = params->items[i].name;
        int parts = hf && params->items[i].ndim ? params->items[i].axis[0].parts : 1;
        for (int part = 0; part < parts; part++) {
            char name[160];
            bool transposed = false;
            if (!hf) snprintf(name, sizeof name, "%s", ours);
            else if (!tc_names_hf(ours, part, name, sizeof name, &transposed))
                return tc_fail(
                    err, TC_EUNSUPPORTED,
                    "a Hugging Face folder has no name for %s; write an OpenCLIP folder or the single file",
                    ours);
            tc_status status = add_piece(w, all, (piece){i, part, parts, transposed}, name, err);
            if (status != TC_OK) return status;
        }
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
    json_t *config = own_config_is_hf ? tc_config_full_json(&m->config) : tc_config_openclip_json(&m->config);
    tc_status status = add_json(w, "tinyclip.config", config, err);
    if (status == TC_OK) status = add_json(w, "tinyclip.preprocess", tc_preprocess_json(&m->preprocess), err);
    if (status == TC_OK)
        status = tc_st_writer_metadata(w, "tinyclip.tokenizer",
                                       m->tokenizer_kind == TC_TOKENIZER_HF ? "hf" : "openclip", err);
    if (status == TC_OK)
        status = tc_st_writer_metadata(w, "tinyclip.image_order",
                                       m->preprocess.order == TC_IMAGE_HF ? "hf" : "openclip", err);
    if (status == TC_OK) status = add_vocabulary(w, m, err);
    if (status == TC_OK && m->card) status = tc_st_writer_metadata(w, "tinyclip.card", m->card, err);
    return status;
}

static tc_status save_tensors(tc_saving *saving, const char *path, tc_format format, tc_error *err) {
    tc_st_writer *w = NULL;
    pieces all = {.saving = saving};
    tc_status status = tc_st_writer_create(&w, err);
    if (status != TC_OK) return status;
    status = add_tensors(w, &all, format == TC_FORMAT_HF, err);
    if (status == TC_OK && format != TC_FORMAT_FILE) status = tc_st_writer_metadata(w, "format", "pt", err);
    if (status == TC_OK && format == TC_FORMAT_FILE) status = add_own_metadata(w, saving->model, err);
    if (status == TC_OK) status = tc_st_writer_commit(&w, path, NULL, err);
    else tc_st_writer_abort(&w);
    free(all.items);
    return status;
}

static tc_status refuse_uneven(const tc_model *m, const char *path, const char *form, tc_error *err) {
    char why[160];
    if (!tc_config_uneven(&m->config, why, sizeof why)) return TC_OK;
    return tc_fail(err, TC_EUNSUPPORTED,
                   "%s: %s cannot hold a pruned model, whose layers differ; write this program's single "
                   "file: a name that ends in .safetensors, or "
                   "ONNX (%s)",
                   path, form, why);
}

static tc_status save_card(const tc_model *m, const char *dir, tc_error *err) {
    json_t *card = NULL;
    if (!m->card) return TC_OK;
    tc_status status = tc_json_parse(&card, m->card, strlen(m->card), "model card", err);
    return status == TC_OK ? tc_save_json(dir, "tinyclip_card.json", card, err) : status;
}

static json_t *hf_config(const tc_saving *s) {
    json_t *json = tc_config_hf_json(&s->model->config);
    static const char *const names[] = {[TC_F32] = "float32", [TC_F16] = "float16", [TC_BF16] = "bfloat16"};
    json_object_set_new(json, "dtype", json_string(names[s->dtype]));
    return json;
}

/* The configuration comes last: a folder without one is not taken for a model. */
static tc_status save_hf(tc_saving *s, const char *dir, tc_error *err) {
    const tc_tower_family *family = s->model->config.vision.family;
    if (!family->write_hf)
        return tc_fail(
            err, TC_EUNSUPPORTED,
            "%s: a Hugging Face folder cannot hold a %s, since CLIPModel has none; write %sa single "
            ".safetensors file or ONNX",
            dir, family->name, family->in_openclip ? "an OpenCLIP folder, " : "");
    tc_status status = refuse_uneven(s->model, dir, "a Hugging Face folder", err);
    if (status == TC_OK) status = tc_make_dirs(dir, err);
    char *weights = tc_path_join(dir, "model.safetensors");
    if (!weights && status == TC_OK) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_save_tokenizer(s, dir, err);
    if (status == TC_OK)
        status =
            tc_save_json(dir, "preprocessor_config.json", tc_preprocess_json(&s->model->preprocess), err);
    if (status == TC_OK) status = save_card(s->model, dir, err);
    if (status == TC_OK) status = save_tensors(s, weights, TC_FORMAT_HF, err);
    if (status == TC_OK) status = tc_save_json(dir, "config.json", hf_config(s), err);
    free(weights);
    return status;
}

/* OpenCLIP takes the largest id as the end of the text: the same as the first end-of-text id where that is
 * the largest there can be. */
static tc_status check_openclip(const tc_model *m, const char *path, tc_error *err) {
    const tc_config *c = &m->config;
    if (!c->vision.family->in_openclip)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: OpenCLIP has no %s; write a single .safetensors file or ONNX", path,
                       c->vision.family->name);
    tc_status status = refuse_uneven(m, path, "an OpenCLIP folder", err);
    if (status != TC_OK) return status;
    if (c->vision.activation != c->text.activation)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: OpenCLIP has one activation for both towers, this model has two; write a Hugging "
                       "Face folder or the single file",
                       path);
    if (c->eos_id >= 0 && c->eos_id != c->vocab_size - 1)
        return tc_fail(err, TC_EUNSUPPORTED,
                       "%s: OpenCLIP ends a text at its largest id, this model at id %d of %d; write a "
                       "Hugging Face folder or the single file",
                       path, c->eos_id, c->vocab_size);
    return TC_OK;
}

/* NAME.safetensors with NAME.json beside it, or a folder. */
static tc_status save_openclip(tc_saving *s, const char *path, tc_error *err) {
    bool file = tc_ends_with(path, ".safetensors");
    json_t *model = NULL, *preprocess = NULL;
    tc_config c = s->model->config;
    char *weights = NULL, *config = NULL;
    tc_buf name = {0};
    tc_status status = check_openclip(s->model, path, err);
    if (status == TC_OK) status = tc_preprocess_openclip_json(&preprocess, &s->model->preprocess, path, err);
    if (status == TC_OK && !file) status = tc_make_dirs(path, err);
    if (status != TC_OK) goto out;
    if (file) tc_buf_printf(&name, "%.*s.json", (int)(strlen(path) - strlen(".safetensors")), path);
    weights = file ? tc_strdup(path) : tc_path_join(path, "open_clip_model.safetensors");
    config = file ? tc_buf_take(&name) : tc_path_join(path, "open_clip_config.json");
    status = weights && config ? save_tensors(s, weights, TC_FORMAT_OPENCLIP, err)
                               : tc_fail_memory(err, strlen(path));
    if (status == TC_OK && !file) status = save_card(s->model, path, err);
    if (status != TC_OK) goto out;
    c.eos_id = -1;
    model = json_pack("{s:o, s:O}", "model_cfg", tc_config_openclip_json(&c), "preprocess_cfg", preprocess);
    status = tc_save_json(NULL, config, model, err);
out:
    json_decref(preprocess);
    free(weights);
    free(config);
    return status;
}

tc_save_options tc_save_options_default(void) { return (tc_save_options){0}; }

tc_status tc_model_save_as(const tc_model *m, const char *path, const tc_save_options *options,
                           tc_error *err) {
    static const tc_dtype dtypes[] = {
        [TC_PRECISION_F32] = TC_F32, [TC_PRECISION_F16] = TC_F16, [TC_PRECISION_BF16] = TC_BF16};
    tc_save_options o = options ? *options : tc_save_options_default();
    tc_saving s = {.model = m, .dtype = dtypes[o.precision], .log = {o.log, o.log_user}, .started = tc_now()};
    s.bytes = (size_t)m->info.params * tc_dtype_size(s.dtype) * (o.format == TC_FORMAT_ONNX ? 2 : 1);
    tc_status status = tc_check_reserved(o.reserved, sizeof o.reserved, "tc_save_options", err);
    if (status != TC_OK) return status;
    if (o.format == TC_FORMAT_AUTO)
        o.format = tc_ends_with(path, ".safetensors") ? TC_FORMAT_FILE : TC_FORMAT_HF;
    if (o.format == TC_FORMAT_HF) return save_hf(&s, path, err);
    if (o.format == TC_FORMAT_OPENCLIP) return save_openclip(&s, path, err);
    if (o.format == TC_FORMAT_ONNX) return tc_save_onnx(&s, path, err);
    return save_tensors(&s, path, o.format, err);
}

tc_status tc_model_save(const tc_model *m, const char *path, tc_format format, tc_error *err) {
    tc_save_options o = tc_save_options_default();
    o.format = format;
    return tc_model_save_as(m, path, &o, err);
}
