/* golden_models.c - whole models: embeddings, logits, probabilities and hidden states of every model folder,
 * in each layout that it is stored in.
 *
 * What there is to test is found by looking: a folder with expected.json and config.json is a model, one with
 * expected.json and subfolders that have a config.json is a model in several layouts, a file NAME.pt is a
 * checkpoint whose data lie in NAME_data and whose configuration is NAME.config.json; NAME may be shortened
 * by what follows its last "_", as several checkpoints of one model share them. Inputs are input.safetensors,
 * or images and strings that expected.json names. */
#include "golden/golden.h"
#include "model/model.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    const char *dir; /* with expected.json */
    char label[128]; /* "models/NAME" */
    json_t *json;
    const json_t *tolerances, *e2e;
    tc_store *expected, *hidden, *input;
} fixture;

/* A model with its inputs and outputs. */
typedef struct results {
    tc_model *model;
    int images, texts, context, embed_dim;
    float *pixels, *image, *text; /* embeddings, not normalised */
    int32_t *ids;
} results;

static void fixture_free(fixture *f) {
    tc_store_close(&f->expected);
    tc_store_close(&f->hidden);
    tc_store_close(&f->input);
    json_decref(f->json);
}

static char *name_of(char out[256], const char *label, const char *what) {
    snprintf(out, 256, "%.120s %.120s", label, what);
    return out;
}

static char *join3(const char *a, const char *b, const char *c) {
    char *ab = tc_path_join(a, b), *abc = ab && c ? tc_path_join(ab, c) : NULL;
    if (!c) return ab;
    free(ab);
    return abc;
}

static bool has(const char *dir, const char *sub, const char *file) {
    char *path = join3(dir, sub, file);
    bool there = path && tc_path_exists(path);
    free(path);
    return there;
}

/* ---- inputs */

static bool read_input_ids(const fixture *f, results *r) {
    const tc_tensor *t = tc_store_find(f->input, "input_ids");
    char name[256];
    int64_t n = t && t->ndim == 2 ? tc_tensor_numel(t) : 0, *wide = tc_new((size_t)n, sizeof *wide);
    r->ids = tc_new((size_t)n, sizeof *r->ids);
    bool ok = t && n && wide && r->ids && tc_tensor_read_i64(t, 0, n, wide);
    for (int64_t i = 0; ok && i < n; i++) r->ids[i] = (int32_t)wide[i];
    free(wide);
    if (!ok)
        return golden_report(false, name_of(name, f->label, "input_ids"),
                             "missing, or not a matrix of integers");
    r->texts = (int)t->shape[0];
    r->context = (int)t->shape[1];
    return true;
}

static bool read_input(const fixture *f, results *r) {
    const tc_tensor *t = tc_store_find(f->input, "pixel_values");
    char name[256];
    int size = r->model->config.image_size;
    if (!t || t->ndim != 4 || t->shape[1] != 3 || t->shape[2] != size || t->shape[3] != size)
        return golden_report(false, name_of(name, f->label, "pixel_values"), "missing, or not [n,3,%d,%d]",
                             size, size);
    r->images = (int)t->shape[0];
    r->pixels = golden_tensor(f->input, "pixel_values", NULL);
    return r->pixels && read_input_ids(f, r);
}

/* Mean and sample standard deviation over all values of each image, as listed. A float32 value below 4 is off
 * by at most 2.4e-7 in each of the two programs. */
static void check_pixel_statistics(const fixture *f, const results *r) {
    int64_t n = 3 * (int64_t)r->model->config.image_size * r->model->config.image_size;
    double worst = 0;
    char name[256];
    for (int i = 0; i < r->images; i++) {
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < n; k++) sum += r->pixels[i * n + k];
        for (int64_t k = 0; k < n; k++)
            squares += (r->pixels[i * n + k] - sum / (double)n) * (r->pixels[i * n + k] - sum / (double)n);
        double mean = json_number_value(json_array_get(json_object_get(f->e2e, "pixel_mean"), (size_t)i));
        double std = json_number_value(json_array_get(json_object_get(f->e2e, "pixel_std"), (size_t)i));
        worst = fmax(worst, fmax(fabs(sum / (double)n - mean), fabs(sqrt(squares / (double)(n - 1)) - std)));
    }
    golden_report(worst <= 4.8e-7, name_of(name, f->label, "pixel_mean and pixel_std"), "off by %.3g", worst);
}

static bool read_images(const fixture *f, results *r) {
    const json_t *images = json_object_get(f->e2e, "images");
    char *folder = join3(f->dir, "../../preprocess", "images"), name[256];
    tc_preprocess p = tc_model_preprocess(r->model);
    int64_t n = 3 * (int64_t)p.crop * p.crop;
    bool ok = true;
    if (!folder || !tc_path_is_dir(folder)) {
        golden_skip(name_of(name, f->label, "images"),
                    "the folder preprocess/images is not beside the models");
        free(folder);
        return true;
    }
    r->pixels = tc_new(json_array_size(images) * (size_t)n, sizeof *r->pixels);
    for (size_t i = 0; i < json_array_size(images) && ok; i++) {
        tc_error err;
        char *path = tc_path_join(folder, json_string_value(json_array_get(images, i)));
        ok = path && r->pixels &&
             golden_ok(tc_preprocess_file(&p, path, r->pixels + (int64_t)i * n, NULL, &err), &err,
                       name_of(name, f->label, "images"));
        free(path);
    }
    r->images = (int)json_array_size(images);
    free(folder);
    if (ok) check_pixel_statistics(f, r);
    return ok;
}

/* The listed ids are padded to the longest string; ours to the model's context. */
static void check_ids(const fixture *f, const results *r) {
    const tc_tensor *t = tc_store_find(f->expected, "input_ids");
    char name[256];
    int64_t n = t && t->ndim == 2 && t->shape[0] == r->texts && t->shape[1] <= r->context ? tc_tensor_numel(t)
                                                                                          : 0,
            wrong = 0;
    int64_t *expected = tc_new((size_t)n, sizeof *expected);
    bool ok = n && expected && tc_tensor_read_i64(t, 0, n, expected);
    for (int64_t i = 0; ok && i < n; i++)
        wrong += expected[i] != r->ids[i / t->shape[1] * r->context + i % t->shape[1]];
    golden_report(ok && wrong == 0, name_of(name, f->label, "input_ids"), "%lld of %lld differ",
                  (long long)wrong, (long long)n);
    free(expected);
}

static bool tokenize(const fixture *f, results *r) {
    const json_t *strings = json_object_get(f->e2e, "strings");
    tc_tokenizer *t = NULL;
    tc_error err;
    char name[256];
    r->texts = (int)json_array_size(strings);
    r->context = r->model->config.context_length;
    r->ids = tc_new((size_t)r->texts * (size_t)r->context, sizeof *r->ids);
    bool ok = r->ids &&
              golden_ok(tc_model_tokenizer(r->model, &t, &err), &err, name_of(name, f->label, "tokenizer"));
    for (int i = 0; i < r->texts && ok; i++)
        ok = golden_ok(tc_tokenizer_encode(t, json_string_value(json_array_get(strings, (size_t)i)),
                                           r->context, r->ids + i * r->context, NULL, NULL, &err),
                       &err, name_of(name, f->label, "strings"));
    tc_tokenizer_close(&t);
    if (ok) check_ids(f, r);
    return ok;
}

static bool run_model(const fixture *f, results *r, const char *label) {
    tc_session *s = NULL;
    tc_error err;
    char name[256];
    r->embed_dim = r->model->config.embed_dim;
    if (f->e2e ? !read_images(f, r) || !tokenize(f, r) : !read_input(f, r)) return false;
    r->image = tc_new((size_t)(r->images * r->embed_dim), sizeof *r->image);
    r->text = tc_new((size_t)(r->texts * r->embed_dim), sizeof *r->text);
    bool ok = r->image && r->text &&
              golden_ok(tc_session_create(&s, r->model, &err), &err, name_of(name, label, "session"));
    ok = ok && golden_ok(tc_session_encode_image(s, r->pixels, r->images, r->image, &err), &err,
                         name_of(name, label, "image_embeds"));
    ok = ok && golden_ok(tc_session_encode_text(s, r->ids, r->texts, r->context, r->text, &err), &err,
                         name_of(name, label, "text_embeds"));
    tc_session_close(&s);
    return ok;
}

static void results_free(results *r) {
    tc_model_close(&r->model);
    free(r->pixels);
    free(r->image);
    free(r->text);
    free(r->ids);
}

/* ---- outputs */

static float *copy(const float *x, int64_t n) {
    float *y = tc_new((size_t)n, sizeof *y);
    if (y && n) memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* Output `key` of the table of the README, newly allocated; NULL if there is no such output. */
static float *output(const results *r, const char *key, int64_t *n) {
    int e = r->embed_dim;
    bool per_image = tc_ends_with(key, "_per_image"), norm = tc_ends_with(key, "_norm");
    if (strcmp(key, "logit_scale_exp") == 0) {
        float scale = expf(tc_model_get_info(r->model)->logit_scale);
        return copy(&scale, *n = 1);
    }
    if (tc_starts_with(key, "image_embeds") || tc_starts_with(key, "text_embeds")) {
        bool image = key[0] == 'i';
        *n = (int64_t)(image ? r->images : r->texts) * e;
        float *x = copy(image ? r->image : r->text, *n);
        if (x && norm) tc_normalize(x, image ? r->images : r->texts, e);
        return x;
    }
    if (!per_image && !tc_ends_with(key, "_per_text")) return NULL;
    float *image = copy(r->image, (int64_t)r->images * e), *text = copy(r->text, (int64_t)r->texts * e),
          *logits = NULL;
    int rows = per_image ? r->images : r->texts, columns = per_image ? r->texts : r->images;
    if (image && text && (logits = tc_new((size_t)(rows * columns), sizeof *logits))) {
        tc_normalize(image, r->images, e);
        tc_normalize(text, r->texts, e);
        tc_logits(per_image ? image : text, per_image ? text : image, rows, columns, e,
                  expf(tc_model_get_info(r->model)->logit_scale), logits);
        if (tc_starts_with(key, "probs")) tc_softmax(logits, rows, columns);
    }
    free(image);
    free(text);
    *n = (int64_t)rows * columns;
    return logits;
}

static void check_outputs(const fixture *f, const results *r, const char *label) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)f->tolerances, key, value) {
        char name[256];
        int64_t n, wanted;
        name_of(name, label, key);
        if (!r->images && !tc_starts_with(key, "text") && strcmp(key, "logit_scale_exp") != 0) {
            golden_skip(name, "the images are not there");
            continue;
        }
        float *expected = golden_tensor(f->expected, key, &wanted), *got = output(r, key, &n);
        if (expected && got && n == wanted)
            golden_close(name, got, expected, n, golden_number(value, "atol"));
        else if (expected)
            golden_report(false, name, "no such output, or not of %lld numbers", (long long)wanted);
        free(expected);
        free(got);
    }
}

/* ---- hidden states: the graph as it is built, every value kept */

typedef struct inside {
    tc_graph *graph[2];
    tc_runner *run[2]; /* image, text */
    float **param;
    size_t params;
} inside;

static void inside_free(inside *s) {
    for (int i = 0; i < 2; i++) {
        tc_runner_free(&s->run[i]);
        tc_graph_free(&s->graph[i]);
    }
    for (size_t i = 0; i < s->params && s->param; i++) free(s->param[i]);
    free(s->param);
}

static tc_status inside_open(inside *s, const tc_model *m, tc_error *err) {
    *s = (inside){.params = m->params.count, .param = tc_new(m->params.count, sizeof *s->param)};
    tc_status status = s->param ? TC_OK : tc_fail_memory(err, m->params.count);
    for (size_t i = 0; i < s->params && status == TC_OK; i++) {
        s->param[i] = tc_new((size_t)m->params.items[i].numel, sizeof(float));
        status = s->param[i] ? tc_model_read(m, i, s->param[i], err) : tc_fail_memory(err, 1);
    }
    unsigned flags = TC_NET_WHOLE | TC_NET_NAMED;
    for (int tower = 0; tower < 2 && status == TC_OK; tower++)
        status = tc_net_graph(&s->graph[tower], tower, &m->config, &m->params, flags, err);
    for (int i = 0; i < 2 && status == TC_OK; i++)
        status = tc_runner_create(&s->run[i], s->graph[i], (const tc_real *const *)s->param, NULL, NULL, true,
                                  err);
    return status;
}

/* Value `name` of the last pass; NULL if the graph has none. */
static const float *value_of(const inside *s, int tower, const char *name, int *width, int64_t *rows) {
    int v = tc_graph_find(s->graph[tower], name);
    if (v < 0) return NULL;
    *width = tc_width_of(s->run[tower], v);
    *rows = tc_rows_of(s->run[tower], v);
    return s->run[tower]->value[v];
}

/* Runs text `t` up to position `length`, or, with prefixes, each of its beginnings of 1 to `length` ids as a
 * text of its own. */
static tc_status run_text(const inside *s, const results *r, int t, int length, bool prefixes,
                          tc_error *err) {
    int count = prefixes ? length : 1;
    int32_t *seq = tc_new((size_t)count + 1, sizeof *seq),
            *ids = tc_new((size_t)length * (size_t)count, sizeof *ids);
    if (!seq || !ids) {
        free(seq);
        free(ids);
        return tc_fail_memory(err, 1);
    }
    for (int i = 0; i < count; i++) {
        int n = prefixes ? i + 1 : length;
        memcpy(ids + seq[i], r->ids + (int64_t)t * r->context, (size_t)n * sizeof *ids);
        seq[i + 1] = seq[i] + n;
    }
    tc_feed feed = {.batch = count, .ids = ids, .seq = seq};
    tc_status status = tc_runner_forward(s->run[1], &feed, err);
    free(seq);
    free(ids);
    return status;
}

/* Largest difference of the leading rows of value `name` from the expected tensor `key`; infinite if they do
 * not fit. */
static double hidden_distance(const fixture *f, const inside *s, int tower, const char *name,
                              const char *key) {
    int64_t n, rows = 0;
    int width = 0;
    float *expected = golden_tensor(f->hidden, key, &n);
    const float *got = value_of(s, tower, name, &width, &rows);
    double d =
        expected && got && n % width == 0 && n / width <= rows ? golden_distance(got, expected, n) : INFINITY;
    free(expected);
    return d;
}

/* Number of positions in the expected hidden states of the text. */
static int text_positions(const fixture *f) {
    const tc_tensor *t = tc_store_find(f->hidden, "text_hidden_0");
    return t && t->ndim == 3 ? (int)t->shape[1] : 0;
}

static int end_of(const results *r, int t) {
    return tc_caption_length(&r->model->config, r->ids + (int64_t)t * r->context, r->context);
}

static tc_status run_image(const inside *s, const results *r, int i, tc_error *err) {
    int size = r->model->config.image_size;
    tc_feed feed = {.batch = 1, .pixels = r->pixels + i * 3 * (int64_t)size * size};
    return tc_runner_forward(s->run[0], &feed, err);
}

/* Which image and which text the hidden states belong to is not written down: the one that fits best at the
 * end of the tower. */
static int nearest(const fixture *f, const inside *s, const results *r, int tower, double *least) {
    const char *pooled = tower ? "text_pooled" : "vision_pooled";
    int best = 0;
    *least = INFINITY;
    for (int i = 0; i < (tower ? r->texts : r->images); i++) {
        tc_status status = tower ? run_text(s, r, i, end_of(r, i), false, NULL) : run_image(s, r, i, NULL);
        double d = status == TC_OK ? hidden_distance(f, s, tower, pooled, pooled) : INFINITY;
        if (d < *least) {
            *least = d;
            best = i;
        }
    }
    return best;
}

static void report_hidden(const fixture *f, const char *label, const char *key, double d) {
    char name[256];
    double limit = golden_number(json_object_get(json_object_get(f->json, "expected_hidden"), key), "atol");
    golden_report(d <= limit, name_of(name, label, key), "largest difference %.3g, tolerance %.3g", d, limit);
}

/* text_pooled is the final LayerNorm of the last row of what is run, so running every beginning of the text
 * gives it for every row. */
static void check_text_end(const fixture *f, const inside *s, const results *r, const char *label, int text,
                           double pooled) {
    char name[256];
    tc_error err;
    report_hidden(f, label, "text_pooled", pooled);
    if (!tc_store_find(f->hidden, "text_last")) return;
    if (golden_ok(run_text(s, r, text, text_positions(f), true, &err), &err,
                  name_of(name, label, "text_last")))
        report_hidden(f, label, "text_last", hidden_distance(f, s, 1, "text_pooled", "text_last"));
}

static void check_hidden_values(const fixture *f, const inside *s, const results *r, const char *label) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(f->json, "expected_hidden"), key, value) {
        char name[256];
        int tower = tc_starts_with(key, "text");
        if (strcmp(key, "text_pooled") == 0 || strcmp(key, "text_last") == 0) continue;
        if (!tower && !r->images) golden_skip(name_of(name, label, key), "the images are not there");
        else report_hidden(f, label, key, hidden_distance(f, s, tower, key, key));
    }
}

static void check_hidden(const fixture *f, const results *r, const char *label) {
    inside s;
    tc_error err;
    char name[256];
    double pooled[2];
    name_of(name, label, "hidden states");
    bool ok = golden_ok(inside_open(&s, r->model, &err), &err, name);
    int image = ok ? nearest(f, &s, r, 0, &pooled[0]) : 0, text = ok ? nearest(f, &s, r, 1, &pooled[1]) : 0;
    if (ok && r->images) ok = golden_ok(run_image(&s, r, image, &err), &err, name);
    /* All positions, also those behind the end. */
    if (ok) ok = golden_ok(run_text(&s, r, text, text_positions(f), false, &err), &err, name);
    if (ok) {
        check_hidden_values(f, &s, r, label);
        check_text_end(f, &s, r, label, text, pooled[1]);
    }
    inside_free(&s);
}

/* ---- hidden states under OpenCLIP's names; they are those of image 0 and text 0 */

/* Largest difference of the first n numbers of value `name` from those expected. */
static double first_distance(const inside *s, int tower, const char *name, const float *expected, int64_t n) {
    int width = 0;
    int64_t rows = 0;
    const float *got = value_of(s, tower, name, &width, &rows);
    return got && n <= rows * width ? golden_distance(got, expected, n) : INFINITY;
}

/* The convolution's result is [width, grid, grid] there and [grid * grid, width] here. */
static double patches_distance(const inside *s, const float *expected, int64_t n) {
    int width = 0;
    int64_t rows = 0;
    const float *got = value_of(s, 0, "vision_patches", &width, &rows);
    double most = got && n == rows * width ? 0 : INFINITY;
    for (int64_t i = 0; i < n && isfinite(most); i++)
        most = fmax(most, fabs((double)got[i % rows * width + i / rows] - expected[i]));
    return most;
}

/* Rows of the token table, to which the graph has added the positions: no rounding but that of taking them
 * away again. */
static double tokens_distance(const results *r, const inside *s, const float *expected, int64_t n) {
    int id = tc_params_find(&r->model->params, "token_embedding.weight"), width = r->model->config.text.width;
    double most = id >= 0 && n == (int64_t)r->context * width ? 0 : INFINITY;
    for (int64_t i = 0; i < n && isfinite(most); i++)
        most = fmax(most, fabs((double)s->param[id][r->ids[i / width] * width + i % width] - expected[i]));
    return most;
}

static double openclip_distance(const results *r, const inside *s, const char *key, const float *expected,
                                int64_t n) {
    char name[64];
    int block;
    if (strcmp(key, "visual.conv1") == 0) return patches_distance(s, expected, n);
    if (strcmp(key, "token_embedding") == 0) return tokens_distance(r, s, expected, n);
    if (strcmp(key, "visual.ln_pre") == 0) return first_distance(s, 0, "vision_hidden_0", expected, n);
    /* Only the class token's is computed. */
    if (strcmp(key, "visual.ln_post") == 0)
        return first_distance(s, 0, "vision_pooled", expected, r->model->config.vision.width);
    if (strcmp(key, "ln_final") == 0)
        return run_text(s, r, 0, r->context, true, NULL) == TC_OK
                   ? first_distance(s, 1, "text_pooled", expected, n)
                   : INFINITY;
    bool text = sscanf(key, "text.block%d", &block) == 1;
    if (!text && sscanf(key, "visual.block%d", &block) != 1) return INFINITY;
    snprintf(name, sizeof name, "%s_hidden_%d", text ? "text" : "vision", block + 1);
    return first_distance(s, text, name, expected, n);
}

static void check_openclip_hidden(const fixture *f, const results *r, const char *label) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(f->json, "expected_hidden"), key, value) {
        inside s;
        tc_error err;
        char name[256];
        int64_t n;
        name_of(name, label, key);
        float *expected = golden_tensor(f->hidden, key, &n);
        bool ok = golden_ok(inside_open(&s, r->model, &err), &err, name) &&
                  golden_ok(run_image(&s, r, 0, &err), &err, name) &&
                  golden_ok(run_text(&s, r, 0, r->context, false, &err), &err, name);
        if (expected && ok) report_hidden(f, label, key, openclip_distance(r, &s, key, expected, n));
        inside_free(&s);
        free(expected);
    }
}

/* ---- folders */

static void run_layout(const fixture *f, const char *sub) {
    results r = {0};
    tc_error err;
    char label[200], name[256], *path = sub ? tc_path_join(f->dir, sub) : tc_strdup(f->dir);
    snprintf(label, sizeof label, "%s%s%.60s", f->label, sub ? "/" : "", sub ? sub : "");
    name_of(name, label, "open");
    tc_status status =
        path ? tc_model_open(&r.model, path, NULL, &err) : tc_fail(&err, TC_ENOMEM, "out of memory");
    if (status == TC_EIO && strstr(err.message, "has no model.safetensors"))
        golden_skip(name, "pytorch_model.bin is not read");
    else if (golden_ok(status, &err, name) && run_model(f, &r, label)) {
        check_outputs(f, &r, label);
        if (f->hidden) check_hidden(f, &r, label);
    }
    results_free(&r);
    free(path);
}

/* The layouts of one model: the folder itself, or its subfolders. */
static void run_layouts(const fixture *f) {
    struct dirent **entries;
    if (has(f->dir, "config.json", NULL)) {
        run_layout(f, NULL);
        return;
    }
    int n = scandir(f->dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *sub = entries[i]->d_name;
        if (sub[0] != '.' && has(f->dir, sub, "config.json")) run_layout(f, sub);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
}

static void run_folder(const char *dir, const char *name) {
    char *path = tc_path_join(dir, name);
    fixture f = {.dir = path};
    snprintf(f.label, sizeof f.label, "models/%.100s", name);
    f.json = path ? golden_json(path, "expected.json") : NULL;
    if (f.json) {
        f.e2e = json_object_get(f.json, "e2e");
        f.tolerances = json_object_get(f.e2e ? f.e2e : f.json, f.e2e ? "tolerances" : "expected");
        f.expected = golden_store(path, "expected.safetensors");
        f.hidden = has(path, "expected_hidden.safetensors", NULL)
                       ? golden_store(path, "expected_hidden.safetensors")
                       : NULL;
        f.input = f.e2e ? NULL : golden_store(path, "input.safetensors");
        if (f.expected && (f.e2e || f.input)) run_layouts(&f);
    }
    fixture_free(&f);
    free(path);
}

/* ---- checkpoints */

/* dir/STEM + ending for the longest beginning STEM of the file's name, cut at "_", for which it exists; NULL:
 * none. */
static char *beside(const char *dir, const char *file, const char *ending) {
    for (size_t n = strcspn(file, "."); n > 0; n--) {
        char name[256];
        if (file[n] != '_' && file[n] != '.') continue;
        snprintf(name, sizeof name, "%.*s%s", (int)n, file, ending);
        if (has(dir, name, NULL)) return tc_path_join(dir, name);
    }
    return NULL;
}

/* The outputs of a pruned model are called raw: what the stored tensors give as they are. */
static bool open_checkpoint_data(fixture *f) {
    f->json = golden_json(f->dir, "expected.json");
    bool raw = f->json && json_object_get(f->json, "expected_raw");
    if (!f->json) return false;
    f->tolerances = json_object_get(f->json, raw ? "expected_raw" : "expected");
    f->expected = golden_store(f->dir, raw ? "expected_raw.safetensors" : "expected.safetensors");
    f->hidden = has(f->dir, "expected_hidden.safetensors", NULL)
                    ? golden_store(f->dir, "expected_hidden.safetensors")
                    : NULL;
    f->input = golden_store(f->dir, "input.safetensors");
    return f->expected && f->input;
}

static void run_checkpoint(const char *dir, const char *file) {
    char *path = tc_path_join(dir, file), *data = beside(dir, file, "_data"),
         *config = beside(dir, file, ".config.json");
    fixture f = {.dir = data};
    results r = {0};
    tc_error err;
    char name[256];
    tc_open_options o = tc_open_options_default();
    o.config = config;
    snprintf(f.label, sizeof f.label, "models/%.100s", file);
    name_of(name, f.label, "open");
    tc_status status = path && data ? tc_model_open(&r.model, path, &o, &err)
                                    : tc_fail(&err, TC_EIO, "no folder of data beside it");
    if (golden_ok(status, &err, name) && open_checkpoint_data(&f) && run_model(&f, &r, f.label)) {
        check_outputs(&f, &r, f.label);
        if (f.hidden) check_openclip_hidden(&f, &r, f.label);
        if (tc_model_get_info(r.model)->pruned) golden_pruned_trains(r.model, f.label);
        if (has(data, "full_before_prune.safetensors", NULL))
            golden_fold_pruned(data, config, f.tolerances, f.label);
    }
    fixture_free(&f);
    results_free(&r);
    free(path);
    free(data);
    free(config);
}

/* Does the folder hold a model in some layout, or only the data of a file beside it? */
static bool is_model(const char *dir, const char *name) {
    char *path = tc_path_join(dir, name);
    struct dirent **entries;
    bool found = has(path, "config.json", NULL);
    int n = has(path, "expected.json", NULL) ? scandir(path, &entries, NULL, alphasort) : -1;
    for (int i = 0; i < n; i++) {
        found = found || (entries[i]->d_name[0] != '.' && has(path, entries[i]->d_name, "config.json"));
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    free(path);
    return n >= 0 && found;
}

void golden_models(const char *dir) {
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *file = entries[i]->d_name;
        if (golden_is_resnet(dir, file)) golden_resnet(dir, file);
        else if (tc_ends_with(file, ".pt") || tc_ends_with(file, ".safetensors")) run_checkpoint(dir, file);
        else if (file[0] != '.' && is_model(dir, file)) run_folder(dir, file);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    if (n <= 2) golden_report(false, "models", "%s is empty", dir);
}
