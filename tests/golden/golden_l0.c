/* golden_l0.c - learned masks: the gates of one tower, its sparsity and its Lagrangian (modules); the masked
 * forward pass and joint training are in files of their own.
 *
 * A module is one tower. Its sites are those of a model both of whose towers are such a tower, the image
 * tower being the one that is looked at; with the pruning type "layer" two more sites of one gate a layer,
 * whose scores are factors of the terms of that layer's heads and FFN channels. */
#include "golden/golden.h"

#include "train/sparsity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const types[] = {"hidden", "heads", "intermediate", "mha", "ffn"};
enum { HIDDEN, HEADS, INTERMEDIATE, MHA, FFN, TYPES };
static const tc_group groups[] = {TC_GROUP_WIDTH, TC_GROUP_HEADS, TC_GROUP_FFN, TC_GROUP_NONE, TC_GROUP_NONE};

typedef struct module {
    const char *name;
    const json_t *json;
    tc_store *store;
    tc_model *model;
    tc_gates *g;
    tc_budget keep;
    int layers;
    int first[TYPES]; /* the type's site of layer 0; -1: it has none */
} module;

static int config_number(const module *m, const char *key) {
    return (int)golden_number(json_object_get(m->json, "config"), key);
}

/* Sites of one gate a layer, behind the others. */
static bool add_layer_sites(module *m, tc_mask_sites *sites) {
    size_t count = sites->count + 2 * (size_t)m->layers;
    tc_mask_site *items = realloc(sites->items, count * sizeof *items);
    if (!items) return false;
    sites->items = items;
    for (int type = MHA; type <= FFN; type++) {
        m->first[type] = (int)sites->count;
        for (int l = 0; l < m->layers; l++)
            items[sites->count++] = (tc_mask_site){
                .group = TC_GROUP_NONE, .layer = l, .size = 1, .unit = 1, .offset = sites->total++};
    }
    return true;
}

/* The scores of whole layers multiply those of their heads and channels. */
static void multiply_layers(module *m) {
    for (size_t i = 0; i < m->keep.count; i++) {
        tc_budget_term *t = &m->keep.items[i];
        for (int k = 0; k < 2; k++) {
            const tc_mask_site *s = &m->g->sites.items[t->site[k]];
            if (s->tower != TC_TOWER_VISION) continue;
            if (s->group == TC_GROUP_HEADS) t->site[t->sites++] = m->first[MHA] + s->layer;
            if (s->group == TC_GROUP_FFN) t->site[t->sites++] = m->first[FFN] + s->layer;
        }
    }
}

static tc_status open_module(module *m, tc_error *err) {
    int h = config_number(m, "hidden_size"), heads = config_number(m, "num_attention_heads"),
        ffn = config_number(m, "intermediate_size");
    tc_config c = {.embed_dim = 4, .image_size = 8, .context_length = 4, .vocab_size = 8, .eos_id = -1};
    m->layers = config_number(m, "num_hidden_layers");
    if (heads < 1 || m->layers < 1 || m->layers > TC_MAX_LAYERS)
        return tc_fail(err, TC_EFORMAT, "the module's configuration is not complete");
    c.vision = (tc_tower_config){
        .family = &tc_vit, .patch_size = 4, .width = h, .layers = m->layers, .head_dim = h / heads};
    for (int l = 0; l < m->layers; l++) {
        c.vision.block[l].heads = heads;
        c.vision.block[l].ffn = ffn;
    }
    c.text = c.vision;
    c.text.family = &tc_text_transformer;
    tc_mask_sites sites = {0};
    tc_status status = tc_model_new(&m->model, &c, err);
    if (status == TC_OK) status = tc_mask_sites_create(&sites, &m->model->params, err);
    if (status == TC_OK) status = tc_budget_make(&m->keep, TC_BUDGET_KEEP, m->model, &sites, err);
    if (status != TC_OK) return status;
    for (int type = 0; type < TYPES; type++) m->first[type] = -1;
    for (int type = HIDDEN; type <= INTERMEDIATE; type++)
        m->first[type] = tc_mask_sites_find(&sites, TC_TOWER_VISION, groups[type], type ? 0 : -1);
    bool layer = json_object_get(json_object_get(m->json, "shapes"), types[MHA]) != NULL;
    if (layer && !add_layer_sites(m, &sites)) return tc_fail_memory(err, 1);
    const json_t *initial = json_object_get(m->json, "initial_loga"),
                 *lambda = json_object_get(m->json, "lambda_init");
    status = tc_gates_create(&m->g, &sites, golden_number(initial, types[HIDDEN]),
                             json_number_value(json_array_get(lambda, 0)), err);
    if (status == TC_OK && layer) multiply_layers(m);
    return status;
}

/* The values of a type's gates as they lie in the blocks of all gates; *n: how many, over all layers. */
static int64_t gates_of(const module *m, int type, int64_t *n) {
    const tc_mask_site *s = &m->g->sites.items[m->first[type]];
    *n = (int64_t)s->size * (type == HIDDEN ? 1 : m->layers);
    return s->offset;
}

static tc_real *tensor(const module *m, const char *what, const char *type, int64_t n) {
    char name[128];
    int64_t got = -1;
    snprintf(name, sizeof name, "mod_%s.%s.%s", m->name, what, type);
    tc_real *values = golden_tensor(m->store, name, &got);
    if (values && got == n) return values;
    if (values) golden_report(false, name, "%lld numbers, %lld expected", (long long)got, (long long)n);
    free(values);
    return NULL;
}

/* What is stored of a type -> the block `to`. */
static void take(const module *m, const char *what, double *to) {
    for (int type = 0; type < TYPES; type++) {
        int64_t n, at;
        if (m->first[type] < 0) continue;
        at = gates_of(m, type, &n);
        tc_real *values = tensor(m, what, types[type], n);
        for (int64_t i = 0; i < n && values; i++) to[at + i] = values[i];
        free(values);
    }
}

static void check_type(const module *m, const char *what, int type, const double *got, double tolerance) {
    char title[128];
    int64_t n, at = gates_of(m, type, &n);
    double worst = 0;
    tc_real *want = tensor(m, what, types[type], n);
    for (int64_t i = 0; i < n && want; i++) {
        double d = fabs(got[at + i] - (double)want[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
        if (want[i] == 0 && strcmp(what, "z_eval") == 0 && got[at + i] != 0) worst = INFINITY;
    }
    snprintf(title, sizeof title, "l0/%s %s.%s", m->name, what, types[type]);
    if (want)
        golden_report(worst <= tolerance, title, "largest difference %.3g, tolerance %.3g", worst, tolerance);
    free(want);
}

/* tolerance_of: whose tolerance is meant. */
static void check(const module *m, const char *what, const char *tolerance_of, const double *got) {
    for (int type = 0; type < TYPES; type++) {
        char key[64];
        snprintf(key, sizeof key, "%s.%s", tolerance_of, types[type]);
        if (m->first[type] >= 0)
            check_type(m, what, type, got, golden_number(json_object_get(m->json, "tolerance"), key));
    }
}

static void check_gates(module *m, tc_error *err) {
    tc_gates *g = m->g;
    int64_t total = g->sites.total;
    double *x = tc_new((size_t)total, sizeof *x), *cotangent = tc_new((size_t)total, sizeof *cotangent);
    int *kept = tc_new(g->sites.count, sizeof *kept);
    take(m, "u", g->u);
    take(m, "sample_cotangent", cotangent);
    for (int64_t i = 0; i < total; i++)
        g->mask_grad[i] = (tc_real)cotangent[i], g->u[i] = g->u[i] > 0 ? g->u[i] : 0.5;
    for (int64_t i = 0; i < total; i++) x[i] = tc_gate_score(g->value[i], NULL);
    check(m, "score", "score", x);
    for (int64_t i = 0; i < total; i++) x[i] = tc_gate_soft(g->value[i]);
    check(m, "z_soft", "z_eval", x);
    tc_gates_sample(g);
    for (int64_t i = 0; i < total; i++) x[i] = (double)g->mask[i];
    check(m, "z_sampled", "z_sampled", x);
    tc_gates_backward(g);
    check(m, "sample_grad", "sample_grad", g->grad);
    tc_gates_kept(g, 0, kept);
    if (golden_ok(tc_gates_mask(g, kept, g->mask, err), err, m->name)) {
        for (int64_t i = 0; i < total; i++) x[i] = (double)g->mask[i];
        check(m, "z_eval", "z_eval", x);
    }
    for (int type = 0; type < TYPES; type++) {
        const json_t *zeros = json_object_get(json_object_get(m->json, "eval_zero_counts"), types[type]);
        bool same =
            m->first[type] >= 0 && json_array_size(zeros) == (type == HIDDEN ? 1u : (size_t)m->layers);
        for (size_t l = 0; l < json_array_size(zeros) && same; l++) {
            int site = m->first[type] + (int)l;
            same = json_integer_value(json_array_get(zeros, l)) == g->sites.items[site].size - kept[site];
        }
        char title[128];
        snprintf(title, sizeof title, "l0/%s zeros of %s", m->name, types[type]);
        if (zeros) golden_report(same, title, "other numbers of zeros");
    }
    free(x);
    free(cotangent);
    free(kept);
}

/* ---- counts and the Lagrangian */

static void check_number(const module *m, const char *what, double got, double want, double tolerance) {
    char title[128];
    snprintf(title, sizeof title, "l0/%s %s", m->name, what);
    golden_report(fabs(got - want) <= tolerance, title, "%.9g, expected %.9g within %.3g", got, want,
                  tolerance);
}

static void check_counts(module *m) {
    const tc_mask_sites *sites = &m->g->sites;
    double n[2], open[2], tolerance = golden_number(m->json, "expected_parameters_tolerance"),
                          *sum = m->g->sum;
    for (size_t i = 0; i < sites->count; i++) {
        sum[i] = 0;
        for (int k = 0; k < sites->items[i].size; k++)
            sum[i] += tc_gate_score(m->g->value[sites->items[i].offset + k], NULL);
    }
    tc_budget_expect(&m->keep, sum, n);
    check_number(m, "prunable_model_size", m->keep.whole[0], golden_number(m->json, "prunable_model_size"),
                 0);
    check_number(m, "expected_parameters", n[0], golden_number(m->json, "expected_parameters"), tolerance);
    check_number(m, "expected_sparsity", 1 - n[0] / m->keep.whole[0],
                 golden_number(m->json, "expected_sparsity"), 2e-6);
    /* Without the mask over the width: its sum is the width, and the biases of the FFN, a channel's and a
     * part of the last one, count. */
    double hidden = golden_number(json_object_get(m->json, "sizes"), types[HIDDEN]),
           ffn = golden_number(m->json, "params_per_intermediate_dim");
    sum[m->first[HIDDEN]] = hidden;
    tc_budget_expect(&m->keep, sum, open);
    for (int l = 0; l < m->layers; l++)
        open[0] += sum[m->first[INTERMEDIATE] + l] * (m->first[FFN] >= 0 ? sum[m->first[FFN] + l] : 1) *
                   (ffn - 2 * hidden);
    check_number(m, "expected_parameters_without_hidden", open[0],
                 golden_number(m->json, "expected_parameters_without_hidden"), tolerance);
}

static void check_lagrangian(module *m) {
    tc_gates *g = m->g;
    size_t i;
    const json_t *item;
    tc_sparsity_target target = {.start = {golden_number(m->json, "start_sparsity")},
                                 .end = {golden_number(m->json, "target_sparsity")},
                                 .warmup = golden_number(m->json, "lagrangian_warmup"),
                                 .per_tower = true};
    json_array_foreach(json_object_get(m->json, "lagrangian"), i, item) {
        tc_sparsity s;
        int step = (int)golden_number(item, "step");
        char what[96];
        const json_t *tolerance = json_object_get(item, "tolerance"),
                     *grads = json_object_get(tolerance, "grads");
        memset(g->grad, 0, (size_t)g->count * sizeof *g->grad);
        tc_gates_lagrangian(g, &m->keep, &target, step, &s);
        const double *lambda = g->grad + g->sites.total;
        const struct {
            const char *key;
            double got, tolerance;
        } numbers[] = {{"loss", s.loss[0], golden_number(tolerance, "loss")},
                       {"expected_sparsity", s.expected[0], 2e-6},
                       {"target_sparsity", s.target[0], 1e-12},
                       {"grad_lambda_1", lambda[0], golden_number(grads, "lambda_1")},
                       {"grad_lambda_2", lambda[1], golden_number(grads, "lambda_2")}};
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            snprintf(what, sizeof what, "%s at step %d", numbers[k].key, step);
            check_number(m, what, numbers[k].got, golden_number(item, numbers[k].key), numbers[k].tolerance);
        }
        for (int type = 0; type < TYPES; type++) {
            char name[256], key[64];
            snprintf(what, sizeof what, "lagrangian_grad.step%d", step);
            snprintf(key, sizeof key, "%s_loga", types[type]);
            snprintf(name, sizeof name, "mod_%s.%s.%s", m->name, what, key);
            if (m->first[type] < 0 || !tc_store_find(m->store, name)) continue;
            int64_t n, at = gates_of(m, type, &n), count;
            double worst = 0;
            tc_real *want = golden_tensor(m->store, name, &count);
            for (int64_t j = 0; j < n && want && count == n; j++) {
                double d = fabs(g->grad[at + j] - (double)want[j]);
                if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
            }
            snprintf(name, sizeof name, "l0/%s %s.%s", m->name, what, key);
            golden_report(want && count == n && worst <= golden_number(grads, key), name,
                          "largest difference %.3g", worst);
            free(want);
        }
    }
}

static void run_module(const char *dir, const json_t *json) {
    module m = {.json = json, .name = json_string_value(json_object_get(json, "name"))};
    tc_error err;
    if (!m.name) m.name = "?";
    m.store = golden_store(dir, "modules.safetensors");
    if (m.store && golden_ok(open_module(&m, &err), &err, m.name)) {
        take(&m, "loga", m.g->value);
        check_gates(&m, &err);
        check_counts(&m);
        check_lagrangian(&m);
    }
    tc_budget_free(&m.keep);
    tc_gates_free(&m.g);
    tc_model_close(&m.model);
    tc_store_close(&m.store);
}

void golden_l0(const char *dir) {
    json_t *json = golden_json(dir, "expected.json");
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(json, "modules"), i, item) run_module(dir, item);
    golden_fold_l0(dir, json);
    golden_masked(dir, json_object_get(json, "masked_forward"));
    golden_joint(dir, json_object_get(json, "joint"));
    json_decref(json);
}
