/* model_diff.c - in what two models differ: settings, and tensor by tensor under the canonical names, which
 * do not depend on the layout of the files.
 *
 * For values a and b of one tensor: max |a-b|, |a-b|/max(|a|,|b|) and a.b/(|a||b|), summed in double. */
#include "model/model.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder {
    tc_diff *d;
    size_t settings, tensors; /* capacities */
    bool failed;
} builder;

/* ---- settings */

static void add_setting(builder *b, const tc_diff_setting *s) {
    if (b->failed || !tc_grow(&b->d->settings, &b->settings, b->d->setting_count + 1, sizeof *s)) {
        b->failed = true;
        return;
    }
    b->d->settings[b->d->setting_count++] = *s;
}

static void text_setting(builder *b, const char *what, const char *x, const char *y) {
    tc_diff_setting s;
    if (strcmp(x, y) == 0) return;
    snprintf(s.what, sizeof s.what, "%s", what);
    snprintf(s.a, sizeof s.a, "%s", x);
    snprintf(s.b, sizeof s.b, "%s", y);
    add_setting(b, &s);
}

/* Nine digits tell any two floats apart. */
static void float_setting(builder *b, const char *what, const float *x, const float *y, int n) {
    char text[2][64] = {"", ""};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < n; i++) {
            size_t used = strlen(text[side]);
            snprintf(text[side] + used, sizeof text[side] - used, "%s%.9g", i ? " " : "",
                     (double)(side ? y : x)[i]);
        }
    text_setting(b, what, text[0], text[1]);
}

static void int_setting(builder *b, const char *what, int64_t x, int64_t y) {
    char text[2][32];
    snprintf(text[0], sizeof *text, "%lld", (long long)x);
    snprintf(text[1], sizeof *text, "%lld", (long long)y);
    text_setting(b, what, text[0], text[1]);
}

static void preprocess_settings(builder *b, const tc_preprocess *x, const tc_preprocess *y) {
    int_setting(b, "preprocess resize", x->resize, y->resize);
    int_setting(b, "preprocess crop", x->crop, y->crop);
    float_setting(b, "preprocess mean", x->mean, y->mean, 3);
    float_setting(b, "preprocess std", x->std, y->std, 3);
    float_setting(b, "preprocess rescale", &x->rescale, &y->rescale, 1);
    text_setting(b, "preprocess order", x->order == TC_IMAGE_HF ? "hf" : "openclip",
                 y->order == TC_IMAGE_HF ? "hf" : "openclip");
}

/* What tells one vocabulary from another. */
static tc_status vocabulary(const tc_model *m, char *out, size_t size, tc_error *err) {
    tc_tokenizer *t = NULL;
    tc_buf text = {0};
    tc_status status = tc_model_tokenizer(m, &t, err);
    if (status == TC_OK) status = tc_tokenizer_texts(t, &text, &text, err);
    if (status == TC_OK)
        snprintf(out, size, "%d ids, checksum %016" PRIx64, tc_tokenizer_size(t),
                 tc_checksum(0, text.data, text.size));
    tc_tokenizer_close(&t);
    tc_buf_free(&text);
    return status;
}

static tc_status tokenizer_settings(builder *b, const tc_model *x, const tc_model *y, tc_error *err) {
    char text[2][64];
    text_setting(b, "tokenizer", x->tokenizer_kind == TC_TOKENIZER_HF ? "hf" : "openclip",
                 y->tokenizer_kind == TC_TOKENIZER_HF ? "hf" : "openclip");
    /* both have the built-in one */
    if (!x->tokenizer_dir && !x->vocab && !y->tokenizer_dir && !y->vocab) return TC_OK;
    tc_status status = vocabulary(x, text[0], sizeof *text, err);
    if (status == TC_OK) status = vocabulary(y, text[1], sizeof *text, err);
    if (status == TC_OK) text_setting(b, "vocabulary", text[0], text[1]);
    return status;
}

static tc_status settings(builder *b, const tc_model *x, const tc_model *y, tc_error *err) {
    tc_diff_setting s;
    for (int i = 0; tc_config_difference_at(&x->config, &y->config, i, &s); i++) add_setting(b, &s);
    preprocess_settings(b, &x->preprocess, &y->preprocess);
    return tokenizer_settings(b, x, y, err);
}

/* ---- tensors */

static void values(tc_diff_tensor *t, const tc_real *x, const tc_real *y, int64_t n, double tolerance) {
    double xx = 0, yy = 0, xy = 0, dd = 0, most = 0;
    bool broken = false, different = false;
    for (int64_t i = 0; i < n; i++) {
        double p = (double)x[i], q = (double)y[i], d = fabs(p - q);
        if (p == q || (isnan(p) && isnan(q))) d = 0; /* the same infinity, too */
        if (isnan(p) && isnan(q)) continue;
        if (!isfinite(d)) broken = true;
        if (!(d <= tolerance)) different = true;
        if (d > most) most = d;
        dd += d * d;
        xx += p * p;
        yy += q * q;
        xy += p * q;
    }
    double larger = xx > yy ? xx : yy;
    t->kind = different ? TC_DIFF_VALUES : TC_DIFF_NONE;
    t->max_abs = broken ? NAN : most;
    t->relative_l2 = dd > 0 ? sqrt(dd / larger) : 0;
    t->cosine = xx > 0 && yy > 0 ? xy / sqrt(xx) / sqrt(yy) : 0;
    if (dd == 0) t->cosine = 1;
    if (broken) t->relative_l2 = t->cosine = NAN;
}

static void describe(const tc_param *p, int *ndim, int64_t shape[4]) {
    *ndim = p ? p->ndim : -1;
    for (int k = 0; p && k < p->ndim; k++) shape[k] = p->shape[k];
}

static bool same_shape(const tc_param *p, const tc_param *q) {
    return p->ndim == q->ndim && memcmp(p->shape, q->shape, (size_t)p->ndim * sizeof *p->shape) == 0;
}

/* Parameter i of x and j of y; -1: it has none. */
static tc_status add_tensor(builder *b, const tc_model *x, int i, const tc_model *y, int j, double tolerance,
                            tc_error *err) {
    const tc_param *p = i < 0 ? NULL : &x->params.items[i], *q = j < 0 ? NULL : &y->params.items[j];
    tc_diff_tensor t = {.max_abs = NAN, .relative_l2 = NAN, .cosine = NAN};
    memcpy(t.name, (p ? p : q)->name, sizeof t.name);
    describe(p, &t.ndim_a, t.shape_a);
    describe(q, &t.ndim_b, t.shape_b);
    if (!q) t.kind = TC_DIFF_ONLY_A;
    else if (!p) t.kind = TC_DIFF_ONLY_B;
    else t.kind = same_shape(p, q) ? TC_DIFF_NONE : TC_DIFF_SHAPE;
    tc_status status = TC_OK;
    if (t.kind == TC_DIFF_NONE) {
        tc_real *v = tc_new((size_t)p->numel, sizeof *v), *w = tc_new((size_t)p->numel, sizeof *w);
        if (!v || !w) status = tc_fail_memory(err, (size_t)p->numel * sizeof *v);
        if (status == TC_OK) status = tc_model_read(x, (size_t)i, v, err);
        if (status == TC_OK) status = tc_model_read(y, (size_t)j, w, err);
        if (status == TC_OK) values(&t, v, w, p->numel, tolerance);
        free(v);
        free(w);
        tc_model_let_go(x, (size_t)i);
        tc_model_let_go(y, (size_t)j);
    }
    if (!tc_grow(&b->d->tensors, &b->tensors, b->d->tensor_count + 1, sizeof t)) b->failed = true;
    else b->d->tensors[b->d->tensor_count++] = t;
    return status;
}

/* NAN counts as larger than every number. */
static int by_size(const void *a, const void *b) {
    const tc_diff_tensor *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    double p = isnan(x->relative_l2) ? INFINITY : x->relative_l2;
    double q = isnan(y->relative_l2) ? INFINITY : y->relative_l2;
    if (p != q) return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static tc_status tensors(builder *b, const tc_model *x, const tc_model *y, double tolerance, tc_error *err) {
    tc_status status = TC_OK;
    for (size_t i = 0; i < x->params.count && status == TC_OK; i++)
        status =
            add_tensor(b, x, (int)i, y, tc_params_find(&y->params, x->params.items[i].name), tolerance, err);
    for (size_t j = 0; j < y->params.count && status == TC_OK; j++)
        if (tc_params_find(&x->params, y->params.items[j].name) < 0)
            status = add_tensor(b, x, -1, y, (int)j, tolerance, err);
    return status;
}

/* ---- all */

tc_status tc_model_diff(tc_diff **out, const tc_model *a, const tc_model *b, double tolerance,
                        tc_error *err) {
    builder make = {.d = tc_new(1, sizeof *make.d)};
    *out = NULL;
    if (!make.d) return tc_fail_memory(err, sizeof *make.d);
    tc_status status = settings(&make, a, b, err);
    if (status == TC_OK) status = tensors(&make, a, b, tolerance, err);
    if (status == TC_OK && make.failed) status = tc_fail_memory(err, sizeof *make.d->tensors);
    if (status != TC_OK) {
        tc_diff_free(&make.d);
        return status;
    }
    qsort(make.d->tensors, make.d->tensor_count, sizeof *make.d->tensors, by_size);
    while (make.d->different < make.d->tensor_count &&
           make.d->tensors[make.d->different].kind != TC_DIFF_NONE)
        make.d->different++;
    make.d->equal = make.d->different == 0 && make.d->setting_count == 0;
    *out = make.d;
    return TC_OK;
}

void tc_diff_free(tc_diff **d) {
    if (!*d) return;
    free((*d)->settings);
    free((*d)->tensors);
    free(*d);
    *d = NULL;
}
