/* golden_resnet.c - a ModifiedResNet model in one file: embeddings, logits, and the maps inside, which the
 * goldens list channel by channel and the graph holds pixel by pixel. NAME.pt or NAME.safetensors lies beside
 * NAME.config.json and NAME_data. */
#include "golden/golden.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    char label[128];
    json_t *json;
    tc_store *expected, *hidden, *input;
    tc_model *model;
    float *pixels;
    int32_t *ids;
    int images, texts, context;
} fixture;

static void report_close(const fixture *f, const char *section, const char *key, const tc_store *store,
                         const float *got, int64_t n) {
    char name[256];
    int64_t wanted = 0;
    float *expected = golden_tensor(store, key, &wanted);
    double atol = golden_number(json_object_get(json_object_get(f->json, section), key), "atol");
    snprintf(name, sizeof name, "%.120s %.100s", f->label, key);
    if (expected && got && n == wanted) golden_close(name, got, expected, n, atol);
    else golden_report(false, name, "missing, or not of %lld numbers", (long long)n);
    free(expected);
}

static bool read_input(fixture *f) {
    const tc_tensor *pixels = tc_store_find(f->input, "pixel_values"),
                    *ids = tc_store_find(f->input, "input_ids");
    int size = f->model->config.image_size;
    if (!pixels || !ids || pixels->ndim != 4 || ids->ndim != 2 || pixels->shape[2] != size ||
        pixels->shape[3] != size)
        return golden_report(false, f->label, "pixel_values or input_ids are missing or of another size");
    int64_t n = tc_tensor_numel(ids), *wide = tc_new((size_t)n, sizeof *wide);
    f->images = (int)pixels->shape[0];
    f->texts = (int)ids->shape[0];
    f->context = (int)ids->shape[1];
    f->pixels = golden_tensor(f->input, "pixel_values", NULL);
    f->ids = tc_new((size_t)n, sizeof *f->ids);
    bool ok = f->pixels && f->ids && wide && tc_tensor_read_i64(ids, 0, n, wide);
    for (int64_t i = 0; i < n && ok; i++) f->ids[i] = (int32_t)wide[i];
    free(wide);
    return ok || golden_report(false, f->label, "input_ids cannot be read");
}

static void check_logits(const fixture *f, float *image, float *text) {
    int e = f->model->config.embed_dim, b = f->images, t = f->texts;
    float scale = expf(tc_model_get_info(f->model)->logit_scale),
          *logits = tc_new((size_t)(b * t), sizeof *logits);
    tc_normalize(image, b, e);
    tc_normalize(text, t, e);
    report_close(f, "expected", "image_embeds_norm", f->expected, image, (int64_t)b * e);
    report_close(f, "expected", "text_embeds_norm", f->expected, text, (int64_t)t * e);
    report_close(f, "expected", "logit_scale_exp", f->expected, &scale, 1);
    for (int k = 0; k < 2 && logits; k++) {
        int rows = k ? t : b, columns = k ? b : t;
        tc_logits(k ? text : image, k ? image : text, rows, columns, e, scale, logits);
        report_close(f, "expected", k ? "logits_per_text" : "logits_per_image", f->expected, logits,
                     (int64_t)b * t);
        tc_softmax(logits, rows, columns);
        report_close(f, "expected", k ? "probs_per_text" : "probs_per_image", f->expected, logits,
                     (int64_t)b * t);
    }
    free(logits);
}

static void check_outputs(const fixture *f) {
    tc_session *s = NULL;
    tc_error err;
    int e = f->model->config.embed_dim;
    float *image = tc_new((size_t)(f->images * e), sizeof *image),
          *text = tc_new((size_t)(f->texts * e), sizeof *text);
    bool ok = image && text && golden_ok(tc_session_create(&s, f->model, &err), &err, f->label) &&
              golden_ok(tc_session_encode_image(s, f->pixels, f->images, image, &err), &err, f->label) &&
              golden_ok(tc_session_encode_text(s, f->ids, f->texts, f->context, text, &err), &err, f->label);
    if (ok) {
        report_close(f, "expected", "image_embeds", f->expected, image, (int64_t)f->images * e);
        report_close(f, "expected", "text_embeds", f->expected, text, (int64_t)f->texts * e);
        check_logits(f, image, text);
    }
    tc_session_close(&s);
    free(image);
    free(text);
}

/* rows x width, a pixel a row -> width x rows */
static float *by_channel(const float *x, int64_t rows, int64_t width) {
    float *y = tc_new((size_t)(rows * width), sizeof *y);
    for (int64_t r = 0; r < rows && y; r++)
        for (int64_t i = 0; i < width; i++) y[i * rows + r] = x[r * width + i];
    return y;
}

static bool run_graph(const fixture *f, tc_graph *g, const tc_real *const *param, int image, tc_runner **r,
                      tc_error *err) {
    int64_t size = 3 * (int64_t)f->model->config.image_size * f->model->config.image_size;
    tc_feed feed = {.batch = 1, .pixels = f->pixels + image * size};
    return tc_runner_create(r, g, param, NULL, NULL, true, err) == TC_OK &&
           tc_runner_forward(*r, &feed, err) == TC_OK;
}

/* Largest difference of the named value over its tolerance. */
static double distance(const fixture *f, const tc_runner *r, const char *key) {
    int v = tc_graph_find(r->graph, key);
    int64_t n;
    float *expected = golden_tensor(f->hidden, key, &n);
    double d = INFINITY;
    if (expected && v >= 0 && n == tc_rows_of(r, v) * tc_width_of(r, v)) {
        float *got = by_channel(r->value[v], tc_rows_of(r, v), tc_width_of(r, v));
        if (got) d = golden_distance(got, expected, n);
        free(got);
    }
    free(expected);
    return d / golden_number(json_object_get(json_object_get(f->json, "expected_hidden"), key), "atol");
}

/* The maps are those of one image, which one is not written down: the one whose result fits best. */
static void check_maps(const fixture *f, tc_graph *g, const tc_real *const *param) {
    const char *key;
    json_t *value;
    tc_error err;
    double best = INFINITY;
    int image = 0;
    for (int i = 0; i < f->images; i++) {
        tc_runner *r = NULL;
        double d = run_graph(f, g, param, i, &r, &err) ? distance(f, r, "visual.attnpool") : INFINITY;
        if (d < best) best = d, image = i;
        tc_runner_free(&r);
    }
    tc_runner *r = NULL;
    bool ok = run_graph(f, g, param, image, &r, &err);
    json_object_foreach(json_object_get(f->json, "expected_hidden"), key, value) {
        char name[256];
        if (!tc_starts_with(key, "visual.")) continue;
        double d = ok ? distance(f, r, key) : INFINITY;
        snprintf(name, sizeof name, "%.120s %.100s", f->label, key);
        golden_report(d <= 1, name, "%.3g times its tolerance", d);
    }
    tc_runner_free(&r);
}

static void check_hidden(const fixture *f) {
    const tc_params *p = &f->model->params;
    tc_graph *g = NULL;
    tc_error err;
    float **param = tc_new(p->count, sizeof *param);
    bool ok = param != NULL;
    for (size_t i = 0; i < p->count && ok; i++)
        ok = (param[i] = tc_new((size_t)p->items[i].numel, sizeof **param)) &&
             tc_model_read(f->model, i, param[i], NULL) == TC_OK;
    if (ok &&
        golden_ok(tc_net_graph(&g, TC_TOWER_VISION, &f->model->config, p, TC_NET_WHOLE | TC_NET_NAMED, &err),
                  &err, f->label))
        check_maps(f, g, (const tc_real *const *)param);
    else if (!ok) golden_report(false, f->label, "the weights cannot be read");
    tc_graph_free(&g);
    for (size_t i = 0; i < p->count && param; i++) free(param[i]);
    free(param);
}

static char *beside(const char *dir, int stem, const char *file, const char *rest) {
    tc_buf b = {0};
    tc_buf_printf(&b, "%s/%.*s%s", dir, stem, file, rest);
    return tc_buf_take(&b);
}

bool golden_is_resnet(const char *dir, const char *file) {
    const char *dot = strrchr(file, '.');
    if (!dot || (strcmp(dot, ".pt") != 0 && strcmp(dot, ".safetensors") != 0)) return false;
    char *path = beside(dir, (int)(dot - file), file, ".config.json");
    tc_error err;
    json_t *json = NULL;
    bool list = path && tc_path_exists(path) && tc_json_load(&json, path, 1 << 20, &err) == TC_OK &&
                json_is_array(json_object_get(json_object_get(json, "vision_cfg"), "layers"));
    json_decref(json);
    free(path);
    return list;
}

void golden_resnet(const char *dir, const char *file) {
    fixture f = {0};
    int stem = (int)(strrchr(file, '.') - file);
    char *path = tc_path_join(dir, file), *data = beside(dir, stem, file, "_data"),
         *config = beside(dir, stem, file, ".config.json");
    tc_open_options o = tc_open_options_default();
    tc_error err;
    o.config = config;
    snprintf(f.label, sizeof f.label, "models/%.100s", file);
    f.json = golden_json(data, "expected.json");
    f.expected = golden_store(data, "expected.safetensors");
    f.hidden = golden_store(data, "expected_hidden.safetensors");
    f.input = golden_store(data, "input.safetensors");
    if (f.json && f.expected && f.hidden && f.input &&
        golden_ok(tc_model_open(&f.model, path, &o, &err), &err, f.label) && read_input(&f)) {
        check_outputs(&f);
        check_hidden(&f);
    }
    tc_model_close(&f.model);
    tc_store_close(&f.expected);
    tc_store_close(&f.hidden);
    tc_store_close(&f.input);
    json_decref(f.json);
    free(f.pixels);
    free(f.ids);
    free(path);
    free(data);
    free(config);
}
