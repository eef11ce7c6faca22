/* golden_masked.c - the forward pass of a model under masks, with the gradients of its weights and of the
 * masks; part of folder l0. */
#include "golden/golden.h"

#include "graph/mask.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    const json_t *json;
    tc_store *store;
    tc_config config;
    tc_params params;
    tc_mask_sites sites;
    tc_real **param, **grad, *mask, *mask_grad;
} fixture;

static bool compare(const fixture *f, const char *key, const tc_real *got, int64_t n) {
    char name[160];
    int64_t wanted = 0;
    tc_real *want = golden_tensor(f->store, key, &wanted);
    double tolerance = golden_number(json_object_get(f->json, "tolerance"), key);
    snprintf(name, sizeof name, "l0 masked_forward %s", key);
    bool ok = want && n == wanted
                  ? golden_close(name, got, want, n, tolerance)
                  : golden_report(false, name, "missing, or not of %lld numbers", (long long)n);
    free(want);
    return ok;
}

/* The tensor of exactly n numbers, or NULL. */
static tc_real *read_numbers(const fixture *f, const char *key, int64_t n) {
    int64_t got = 0;
    tc_real *values = golden_tensor(f->store, key, &got);
    if (values && got == n) return values;
    golden_report(false, key, "not of %lld numbers", (long long)n);
    free(values);
    return NULL;
}

static bool read_weights(fixture *f) {
    size_t n = f->params.count;
    f->param = tc_new(n, sizeof *f->param);
    f->grad = tc_new(n, sizeof *f->grad);
    bool ok = f->param && f->grad;
    for (size_t i = 0; i < n && ok; i++) {
        char key[160];
        snprintf(key, sizeof key, "weights.%s", f->params.items[i].name);
        f->param[i] = read_numbers(f, key, f->params.items[i].numel);
        f->grad[i] = tc_new_aligned((size_t)f->params.items[i].numel, sizeof(tc_real));
        ok = f->param[i] && f->grad[i];
        /* Gradients are written, not added. */
        for (int64_t k = 0; k < f->params.items[i].numel && ok; k++) f->grad[i][k] = 77;
    }
    return ok;
}

/* The sites of a mask of the goldens in order: one a layer, or one a tower. */
typedef struct mask_kind {
    const char *name;
    tc_group group;
} mask_kind;
static const mask_kind kinds[] = {
    {"hidden_z", TC_GROUP_WIDTH}, {"heads_z", TC_GROUP_HEADS}, {"intermediate_z", TC_GROUP_FFN}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Between the vector over all sites and one tensor: the sites of a kind lie side by side. Members of the
 * kind; *offset: of the first. */
static int64_t span_of(const fixture *f, int tower, tc_group group, int64_t *offset) {
    int64_t n = 0;
    *offset = 0;
    for (size_t i = 0; i < f->sites.count; i++) {
        const tc_mask_site *s = &f->sites.items[i];
        if (s->tower != tower || s->group != group) continue;
        if (n == 0) *offset = s->offset;
        n += s->size;
    }
    return n;
}

static const char *tower_name(int tower) { return tower == TC_TOWER_VISION ? "image" : "text"; }

static bool read_masks(fixture *f) {
    f->mask = tc_new((size_t)f->sites.total, sizeof *f->mask);
    f->mask_grad = tc_new((size_t)f->sites.total, sizeof *f->mask_grad);
    int64_t read = 0;
    for (int i = 0; i < 2 * KINDS && f->mask && f->mask_grad; i++) {
        int tower = i / KINDS ? TC_TOWER_TEXT : TC_TOWER_VISION;
        char key[64];
        int64_t offset, n = span_of(f, tower, kinds[i % KINDS].group, &offset);
        snprintf(key, sizeof key, "mask.%s.%s", tower_name(tower), kinds[i % KINDS].name);
        tc_real *values = read_numbers(f, key, n);
        if (!values) return false;
        memcpy(f->mask + offset, values, (size_t)n * sizeof *values);
        free(values);
        read += n;
    }
    for (int64_t i = 0; i < f->sites.total && f->mask_grad; i++) f->mask_grad[i] = 77;
    return f->mask && f->mask_grad &&
           (read == f->sites.total || golden_report(false, "l0 masked_forward", "a site has no mask"));
}

/* One tower forwards and backwards: its features, and through the cotangent all gradients. */
static bool run_tower(const fixture *f, int tower, const tc_feed *feed) {
    tc_graph *g = NULL;
    tc_runner *r = NULL;
    tc_error err;
    int64_t n = (int64_t)feed->batch * f->config.embed_dim;
    char key[64];
    tc_status status = tc_net_graph(&g, tower, &f->config, &f->params, 0, &err);
    if (status == TC_OK) {
        tc_graph_mask(g, &f->sites);
        tc_graph_fuse(g, true);
        status = g->failed
                     ? tc_fail(&err, TC_EARG, "%s", g->message)
                     : tc_runner_create(&r, g, (const tc_real *const *)f->param, f->grad, NULL, false, &err);
    }
    if (status == TC_OK) {
        r->mask = f->mask;
        r->mask_grad = f->mask_grad;
        status = tc_runner_forward(r, feed, &err);
    }
    bool ok = golden_ok(status, &err, "l0 masked_forward");
    snprintf(key, sizeof key, "cotangent_%s", tower_name(tower));
    tc_real *cotangent = ok ? read_numbers(f, key, n) : NULL;
    if (cotangent) {
        snprintf(key, sizeof key, "out.%s", tower_name(tower));
        compare(f, key, tc_runner_output(r), n);
        memcpy(tc_runner_output_grad(r), cotangent, (size_t)n * sizeof *cotangent);
        tc_runner_backward(r);
    }
    ok = cotangent != NULL;
    free(cotangent);
    tc_runner_free(&r);
    tc_graph_free(&g);
    return ok;
}

static bool run_image(const fixture *f) {
    const tc_tensor *t = tc_store_find(f->store, "pixel_values");
    int64_t image = 3 * (int64_t)f->config.image_size * f->config.image_size;
    int batch = t && t->ndim == 4 ? (int)t->shape[0] : 0;
    tc_real *pixels = read_numbers(f, "pixel_values", batch * image);
    bool ok = pixels && run_tower(f, TC_TOWER_VISION, &(tc_feed){.batch = batch, .pixels = pixels});
    free(pixels);
    return ok;
}

static bool run_text(const fixture *f) {
    const tc_tensor *t = tc_store_find(f->store, "input_ids");
    int64_t n = t ? tc_tensor_numel(t) : 0, *wide = tc_new((size_t)n, sizeof *wide);
    int32_t *ids = tc_new((size_t)n, sizeof *ids);
    tc_captions captions = {0};
    tc_error err;
    int batch = 0;
    bool ok = wide && ids && t && t->ndim == 2 && tc_tensor_read_i64(t, 0, n, wide);
    for (int64_t i = 0; i < n && ok; i++) ids[i] = (int32_t)wide[i];
    if (!ok) golden_report(false, "l0 masked_forward", "input_ids cannot be read");
    ok = ok && golden_ok(tc_captions_gather(&captions, &f->config, ids, (int)t->shape[0], (int)t->shape[1],
                                            INT64_MAX, &batch, &err),
                         &err, "l0 masked_forward");
    ok = ok &&
         run_tower(f, TC_TOWER_TEXT, &(tc_feed){.batch = batch, .ids = captions.ids, .seq = captions.seq});
    tc_captions_free(&captions);
    free(wide);
    free(ids);
    return ok;
}

static void compare_gradients(const fixture *f) {
    size_t listed = 0;
    for (size_t i = 0; i < f->params.count; i++) {
        char key[160];
        snprintf(key, sizeof key, "grad.%s", f->params.items[i].name);
        if (f->params.items[i].tower == TC_TOWER_JOINT) continue; /* logit_scale is no part of the features */
        compare(f, key, f->grad[i], f->params.items[i].numel);
        listed++;
    }
    for (int i = 0; i < 2 * KINDS; i++) {
        int tower = i / KINDS ? TC_TOWER_TEXT : TC_TOWER_VISION;
        char key[64];
        int64_t offset, n = span_of(f, tower, kinds[i % KINDS].group, &offset);
        snprintf(key, sizeof key, "grad_mask.%s.%s", tower_name(tower), kinds[i % KINDS].name);
        compare(f, key, f->mask_grad + offset, n);
        /* A channel of the width that is 0 reaches nothing. */
        double most = 0;
        for (int64_t k = offset; k < offset + n && kinds[i % KINDS].group == TC_GROUP_WIDTH; k++)
            if (f->mask[k] == 0) most = fmax(most, fabs((double)f->mask_grad[k]));
        snprintf(key, sizeof key, "l0 masked_forward %s width without a channel", tower_name(tower));
        if (kinds[i % KINDS].group == TC_GROUP_WIDTH) golden_report(most == 0, key, "gradient %.3g", most);
        listed++;
    }
    /* The two outputs have tolerances too. */
    size_t tolerances = json_object_size(json_object_get(f->json, "tolerance"));
    golden_report(listed + 2 == tolerances, "l0 masked_forward every tensor", "%zu compared, %zu tolerances",
                  listed + 2, tolerances);
}

void golden_masked(const char *dir, const json_t *json) {
    fixture f = {.json = json, .store = golden_store(dir, "masked_forward.safetensors")};
    tc_error err;
    bool ok = f.store &&
              golden_ok(tc_config_parse(&f.config, json_object_get(json, "config"), "masked_forward", &err),
                        &err, "l0 masked_forward") &&
              golden_ok(tc_net_params(&f.params, &f.config, &err), &err, "l0 masked_forward") &&
              golden_ok(tc_mask_sites_create(&f.sites, &f.params, &err), &err, "l0 masked_forward");
    if (ok && read_weights(&f) && read_masks(&f) && run_image(&f) && run_text(&f)) compare_gradients(&f);
    for (size_t i = 0; i < f.params.count; i++) {
        if (f.param) free(f.param[i]);
        if (f.grad) free(f.grad[i]);
    }
    free(f.param);
    free(f.grad);
    free(f.mask);
    free(f.mask_grad);
    tc_mask_sites_free(&f.sites);
    tc_params_free(&f.params);
    tc_store_close(&f.store);
}
