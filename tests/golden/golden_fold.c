/* golden_fold.c - pruned models are trained on; folded models: the outputs of a masked model, computed with
 * what is left of its weights. The masks hold zeros, ones and fractions; in both folders there are blocks
 * without heads, whose output bias stays. */
#include "golden/golden.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

/* The weights `prefix` + canonical name of a store. */
static tc_status read_model(tc_model **out, const tc_config *c, const tc_store *s, const char *prefix,
                            tc_error *err) {
    tc_status status = tc_model_new_flat(out, c, err);
    for (size_t i = 0; status == TC_OK && i < (*out)->params.count; i++) {
        const tc_param *p = &(*out)->params.items[i];
        char name[160];
        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const tc_tensor *t = tc_store_find(s, name);
        /* The scale has no part in the embeddings. */
        if (!t && p->ndim == 0) continue;
        if (!t || tc_tensor_numel(t) != p->numel || !tc_tensor_read(t, 0, p->numel, (*out)->flat + p->offset))
            status = tc_fail(err, TC_EFORMAT, "tensor %s is missing or has another size", name);
    }
    if (status == TC_OK && !((*out)->source = tc_strdup("golden"))) status = tc_fail_memory(err, 1);
    return status == TC_OK ? tc_model_finish(*out, err) : status;
}

static const char *mask_name(const tc_mask_site *s, char out[64]) {
    const char *what = s->group == TC_GROUP_WIDTH   ? "hidden"
                       : s->group == TC_GROUP_HEADS ? "heads"
                                                    : "intermediate";
    snprintf(out, 64, "mask.%s.%s_z", s->tower == TC_TOWER_TEXT ? "text" : "image", what);
    return out;
}

/* The masks of a store as one vector; NULL if one is missing. Of heads and FFN channels each block has a row.
 */
static tc_real *read_mask(const tc_store *s, const tc_mask_sites *sites) {
    tc_real *mask = tc_new((size_t)sites->total, sizeof *mask);
    bool ok = mask;
    for (size_t i = 0; i < sites->count && ok; i++) {
        const tc_mask_site *site = &sites->items[i];
        char name[64];
        int64_t n, at = site->group == TC_GROUP_WIDTH ? 0 : (int64_t)site->layer * site->size;
        tc_real *values = golden_tensor(s, mask_name(site, name), &n);
        ok = values && at + site->size <= n;
        if (ok) memcpy(mask + site->offset, values + at, (size_t)site->size * sizeof *mask);
        free(values);
    }
    if (ok) return mask;
    free(mask);
    return NULL;
}

/* The model of the store, folded with its masks. */
static tc_status read_folded(tc_model **out, const tc_config *c, const tc_store *s, const char *prefix,
                             tc_error *err) {
    tc_model *m = NULL;
    tc_mask_sites sites = {0};
    tc_real *mask = NULL;
    tc_status status = read_model(&m, c, s, prefix, err);
    if (status == TC_OK) status = tc_mask_sites_create(&sites, &m->params, err);
    if (status == TC_OK && !(mask = read_mask(s, &sites)))
        status = tc_fail(err, TC_EFORMAT, "a mask is missing");
    if (status == TC_OK) status = tc_model_fold(out, m, &sites, mask, err);
    free(mask);
    tc_mask_sites_free(&sites);
    tc_model_close(&m);
    return status;
}

typedef struct outputs {
    const char *image, *text; /* tensors with them */
    double image_tolerance, text_tolerance;
} outputs;

static void check_outputs(const tc_model *m, const tc_store *input, const tc_store *expected,
                          const outputs *o, const char *label) {
    int64_t pixels_size, images, texts, size = 3 * (int64_t)m->config.image_size * m->config.image_size;
    float *pixels = golden_tensor(input, "pixel_values", &pixels_size),
          *image = golden_tensor(expected, o->image, &images);
    float *text = golden_tensor(expected, o->text, &texts),
          *got = tc_new((size_t)(images + texts + 1), sizeof *got);
    const tc_tensor *t = tc_store_find(input, "input_ids");
    int64_t count = t ? tc_tensor_numel(t) : 0, *wide = tc_new((size_t)count, sizeof *wide);
    int32_t *ids = tc_new((size_t)count, sizeof *ids);
    tc_session *s = NULL;
    tc_error err = {0};
    char name[128];
    bool ok = pixels && image && text && got && t && t->ndim == 2 && ids && wide &&
              tc_tensor_read_i64(t, 0, count, wide);
    for (int64_t i = 0; i < count && ok; i++) ids[i] = (int32_t)wide[i];
    ok = ok && tc_session_create(&s, m, &err) == TC_OK;
    ok = ok && tc_session_encode_image(s, pixels, (int)(pixels_size / size), got, &err) == TC_OK;
    snprintf(name, sizeof name, "%s image", label);
    if (ok) golden_close(name, got, image, images, o->image_tolerance);
    ok = ok && tc_session_encode_text(s, ids, (int)t->shape[0], (int)t->shape[1], got, &err) == TC_OK;
    snprintf(name, sizeof name, "%s text", label);
    if (ok) golden_close(name, got, text, texts, o->text_tolerance);
    else golden_report(false, label, "%s", err.message);
    tc_session_close(&s);
    free(pixels);
    free(image);
    free(text);
    free(got);
    free(wide);
    free(ids);
}

void golden_fold_l0(const char *dir, const json_t *json) {
    const json_t *own = json_object_get(json, "masked_forward"),
                 *tolerance = json_object_get(own, "tolerance");
    outputs o = {"out.image", "out.text", golden_number(tolerance, "out.image"),
                 golden_number(tolerance, "out.text")};
    tc_store *s = golden_store(dir, "masked_forward.safetensors");
    tc_model *m = NULL;
    tc_error err = {0};
    tc_config c;
    tc_status status = s ? tc_config_parse(&c, json_object_get(own, "config"), "config", &err) : TC_EIO;
    if (status == TC_OK) status = read_folded(&m, &c, s, "weights.", &err);
    if (golden_ok(status, &err, "l0 masked_forward folded"))
        check_outputs(m, s, s, &o, "l0 masked_forward folded");
    tc_model_close(&m);
    tc_store_close(&s);
}

void golden_fold_pruned(const char *dir, const char *config, const json_t *tolerances, const char *label) {
    tc_store *full = golden_store(dir, "full_before_prune.safetensors"),
             *input = golden_store(dir, "input.safetensors");
    tc_store *expected = golden_store(dir, "expected_before_prune.safetensors");
    const char *image = "image_embeds", *text = "text_embeds";
    outputs o = {image, text, golden_number(json_object_get(tolerances, image), "atol"),
                 golden_number(json_object_get(tolerances, text), "atol")};
    tc_model *m = NULL;
    tc_error err = {0};
    tc_config c;
    char name[160];
    snprintf(name, sizeof name, "%s folded", label);
    tc_status status = full && input && expected ? tc_config_open(&c, config, &err) : TC_EIO;
    if (status == TC_OK) status = read_folded(&m, &c, full, "", &err);
    if (golden_ok(status, &err, name)) check_outputs(m, input, expected, &o, name);
    tc_model_close(&m);
    tc_store_close(&full);
    tc_store_close(&input);
    tc_store_close(&expected);
}

void golden_pruned_trains(const tc_model *m, const char *label) {
    enum { PAIRS = 4, STEPS = 20 };
    const tc_hyper h = {
        .schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-3, .warmup = 1, .steps = 10 * STEPS},
        .beta1 = 0.9,
        .beta2 = 0.98,
        .eps = 1e-6,
        .clip = 5,
        .weight = 1,
        .logit_scale = 20};
    int64_t size = (int64_t)PAIRS * 3 * m->config.image_size * m->config.image_size,
            context = m->config.context_length;
    float *pixels = tc_new((size_t)size, sizeof *pixels);
    int32_t *ids = tc_new((size_t)(PAIRS * context), sizeof *ids);
    tc_rng rng = tc_rng_make(1, 0, 0);
    tc_model *student = NULL;
    tc_trainer *t = NULL;
    tc_step_log log = {0};
    tc_error err = {0};
    char name[160];
    double first = 0;
    for (int64_t i = 0; i < size && pixels; i++) pixels[i] = (float)tc_rng_normal(&rng);
    for (int64_t i = 0; i < PAIRS * context && ids; i++)
        ids[i] = (int32_t)tc_rng_below(&rng, (uint64_t)m->config.vocab_size);
    tc_status status = pixels && ids ? tc_model_copy(&student, m, &err) : tc_fail_memory(&err, (size_t)size);
    if (status == TC_OK) status = tc_trainer_create(&t, &student, NULL, &h, &err);
    for (int step = 0; step < STEPS && status == TC_OK; step++) {
        status = tc_trainer_step(t, pixels, ids, PAIRS, (int)context, &log, &err);
        if (step == 0) first = log.loss.loss;
    }
    snprintf(name, sizeof name, "%s is trained on", label);
    if (golden_ok(status, &err, name))
        golden_report(log.loss.loss < 0.8 * first, name, "loss %.4g, then %.4g", first, log.loss.loss);
    tc_trainer_free(&t);
    tc_model_close(&student);
    free(pixels);
    free(ids);
}
