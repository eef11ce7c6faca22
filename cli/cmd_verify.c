/* cmd_verify.c - a model's outputs against those that another program saved: cosine and largest difference.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct verify {
    cli_common common;
    const char *input;
    double tolerance;
} verify;

static const verify defaults = {.tolerance = 0};
static const cli_option options[] = {
    {"--input", "F", CLI_TEXT, offsetof(verify, input),
     "a .safetensors file with pixel_values and input_ids, if GOLDEN does not hold them", 0, 0, NULL},
    {"--tolerance", "X", CLI_REAL, offsetof(verify, tolerance),
     "fail if any value differs by more than X; 0: only report", 0, 1e30, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

/* Every output that can be made of the inputs that are there. */
typedef struct outputs {
    cli_model model;
    size_t images, texts;
    float *image, *text, *image_unit, *text_unit;   /* [I,E], [T,E] */
    float *per_image, *per_text, *p_image, *p_text; /* [I,T], [T,I] */
    float scale;
} outputs;

static void outputs_free(outputs *o) {
    float *all[] = {o->image,     o->text,     o->image_unit, o->text_unit,
                    o->per_image, o->per_text, o->p_image,    o->p_text};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    cli_model_close(&o->model);
}

static float *copy(const float *x, size_t n) {
    float *y = cli_new(n, sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static tc_status embed_images(outputs *o, const tc_array *a, tc_error *err) {
    int side = o->model.info->image_size;
    if (a->ndim != 4 || a->shape[1] != 3 || a->shape[2] != side || a->shape[3] != side ||
        a->shape[0] > INT32_MAX)
        return cli_fail(err, TC_EFORMAT, "pixel_values: expected [n,3,%d,%d]", side, side);
    float *pixels = cli_new((size_t)a->numel, sizeof *pixels);
    o->images = (size_t)a->shape[0];
    o->image = cli_new(o->images * (size_t)o->model.info->embed_dim, sizeof *o->image);
    tc_status status = tc_array_read(a, 0, a->numel, pixels, err);
    if (status == TC_OK)
        status = tc_session_encode_image(o->model.session, pixels, (int)o->images, o->image, err);
    free(pixels);
    return status;
}

static tc_status embed_texts(outputs *o, const tc_array *a, tc_error *err) {
    int context = o->model.info->context_length;
    if (a->ndim != 2 || a->shape[1] < 1 || a->shape[0] > INT32_MAX || a->shape[1] > context)
        return cli_fail(err, TC_EFORMAT, "input_ids: expected [n,%d] or shorter rows", context);
    size_t n = (size_t)a->numel;
    int64_t *wide = cli_new(n, sizeof *wide);
    int32_t *ids = cli_new(n, sizeof *ids);
    o->texts = (size_t)a->shape[0];
    o->text = cli_new(o->texts * (size_t)o->model.info->embed_dim, sizeof *o->text);
    tc_status status = tc_array_read_i64(a, 0, a->numel, wide, err);
    /* What is no id becomes -1, which the session refuses with its position. */
    for (size_t i = 0; i < n; i++) ids[i] = wide[i] < 0 || wide[i] > INT32_MAX ? -1 : (int32_t)wide[i];
    if (status == TC_OK)
        status = tc_session_encode_text(o->model.session, ids, (int)o->texts, (int)a->shape[1], o->text, err);
    free(wide);
    free(ids);
    return status;
}

static void compare_pairs(outputs *o) {
    int dim = o->model.info->embed_dim, n = (int)o->images, m = (int)o->texts;
    size_t pairs = o->images * o->texts;
    if (o->image) tc_normalize(o->image_unit = copy(o->image, o->images * (size_t)dim), n, dim);
    if (o->text) tc_normalize(o->text_unit = copy(o->text, o->texts * (size_t)dim), m, dim);
    if (!o->image || !o->text) return;
    o->per_image = cli_new(pairs, sizeof *o->per_image);
    o->per_text = cli_new(pairs, sizeof *o->per_text);
    tc_logits(o->image_unit, o->text_unit, n, m, dim, o->scale, o->per_image);
    for (size_t i = 0; i < o->images; i++)
        for (size_t t = 0; t < o->texts; t++) o->per_text[t * o->images + i] = o->per_image[i * o->texts + t];
    tc_softmax(o->p_image = copy(o->per_image, pairs), n, m);
    tc_softmax(o->p_text = copy(o->per_text, pairs), m, n);
}

/* pixel_values and input_ids of either file. */
static bool find_input(const tc_arrays *golden, const tc_arrays *input, const char *name, tc_array *out) {
    return tc_arrays_find(golden, name, out) || (input && tc_arrays_find(input, name, out));
}

static tc_status compute(outputs *o, const char *path, const tc_arrays *golden, const tc_arrays *input,
                         tc_error *err) {
    tc_array pixels, ids;
    bool images = find_input(golden, input, "pixel_values", &pixels);
    bool texts = find_input(golden, input, "input_ids", &ids);
    if (!images && !texts)
        return cli_fail(
            err, TC_EARG,
            "%s: there is neither pixel_values nor input_ids; name the file that holds them with --input",
            path);
    o->scale = (float)exp((double)o->model.info->logit_scale);
    tc_status status = images ? embed_images(o, &pixels, err) : TC_OK;
    if (status == TC_OK && texts) status = embed_texts(o, &ids, err);
    if (status == TC_OK) compare_pairs(o);
    return status;
}

/* ---- comparison */

typedef struct difference {
    const char *name;
    double cosine, most, largest; /* most: largest difference; largest: largest magnitude expected */
    bool unit;
} difference;

/* Whether all rows have length 1: then embeddings under their plain name are the normalised ones, as
 * CLIPModel returns them. */
static bool is_unit(const float *x, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t i = 0; i < columns; i++) sum += (double)x[r * columns + i] * (double)x[r * columns + i];
        if (!(fabs(sum - 1) < 1e-3)) return false;
    }
    return rows > 0;
}

/* Our output of that name with its shape; NULL if it is none or cannot be made. */
static const float *find_output(const outputs *o, const char *name, size_t shape[2], const float **unit) {
    size_t i = o->images, t = o->texts, e = (size_t)o->model.info->embed_dim;
    const struct {
        const char *name;
        const float *x, *unit;
        size_t rows, columns;
    } all[] = {{"image_embeds", o->image, o->image_unit, i, e},
               {"text_embeds", o->text, o->text_unit, t, e},
               {"image_embeds_norm", o->image_unit, NULL, i, e},
               {"text_embeds_norm", o->text_unit, NULL, t, e},
               {"logits_per_image", o->per_image, NULL, i, t},
               {"logits_per_text", o->per_text, NULL, t, i},
               {"probs", o->p_image, NULL, i, t},
               {"probs_per_image", o->p_image, NULL, i, t},
               {"probs_per_text", o->p_text, NULL, t, i},
               {"logit_scale_exp", &o->scale, NULL, 1, 1}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (strcmp(all[k].name, name) != 0) continue;
        shape[0] = all[k].rows;
        shape[1] = all[k].columns;
        *unit = all[k].unit;
        return all[k].x;
    }
    return NULL;
}

static difference differ(const float *ours, const float *want, size_t n) {
    difference d = {0};
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        double a = (double)ours[i], b = (double)want[i], off = fabs(a - b);
        ab += a * b, aa += a * a, bb += b * b;
        if (!isnan(d.most) && !(off <= d.most)) d.most = off; /* what is not a number stays */
        d.largest = fmax(d.largest, fabs(b));
    }
    d.cosine = ab / sqrt(aa * bb);
    return d;
}

static tc_status compare(const outputs *o, const tc_array *a, bool *known, difference *d, tc_error *err) {
    size_t shape[2];
    const float *unit, *ours = find_output(o, a->name, shape, &unit);
    *known = ours != NULL;
    if (!ours) return TC_OK;
    size_t n = shape[0] * shape[1];
    char text[200];
    bool fits = (size_t)a->numel == n && (a->ndim < 1 || (size_t)a->shape[a->ndim - 1] == shape[1]);
    if (!fits)
        return cli_fail(err, TC_EFORMAT, "tensor '%s' is %s, but the model gives [%zu,%zu]", a->name,
                        cli_shape(a->ndim, a->shape, text, sizeof text), shape[0], shape[1]);
    float *want = cli_new(n, sizeof *want);
    tc_status status = tc_array_read(a, 0, a->numel, want, err);
    if (status == TC_OK) {
        bool normalised = unit && is_unit(want, shape[0], shape[1]);
        *d = differ(normalised ? unit : ours, want, n);
        d->name = a->name;
        d->unit = normalised;
    }
    free(want);
    return status;
}

static void put(json_t *rows, const difference *d) {
    if (!rows) {
        printf("%-20s %12.9f %14.3g %14.4g%s\n", d->name, d->cosine, d->most, d->largest,
               d->unit ? "  (unit length)" : "");
        return;
    }
    json_t *one = json_object();
    json_object_set_new(one, "name", cli_json_text(d->name));
    json_object_set_new(one, "cosine", cli_json_real(d->cosine));
    json_object_set_new(one, "max_difference", cli_json_real(d->most));
    json_object_set_new(one, "max_abs", cli_json_real(d->largest));
    json_object_set_new(one, "normalized", json_boolean(d->unit || cli_ends_with(d->name, "_norm")));
    json_array_append_new(rows, one);
}

static tc_status compare_all(const outputs *o, const char *path, const tc_arrays *golden, const verify *v,
                             bool *passed, tc_error *err) {
    json_t *rows = v->common.json ? json_array() : NULL;
    size_t compared = 0;
    tc_status status = TC_OK;
    *passed = true;
    tc_array a;
    for (size_t i = 0; status == TC_OK && tc_arrays_at(golden, i, &a); i++) {
        bool known = false;
        difference d = {0};
        status = compare(o, &a, &known, &d, err);
        if (status != TC_OK) break;
        if (!known) {
            if (strcmp(a.name, "pixel_values") != 0 && strcmp(a.name, "input_ids") != 0)
                cli_say("%s: not compared", a.name);
            continue;
        }
        if (compared++ == 0 && !rows)
            printf("%-20s %12s %14s %14s\n", "output", "cosine", "max difference", "max magnitude");
        put(rows, &d);
        if (v->tolerance > 0 && !(d.most <= v->tolerance)) *passed = false;
    }
    if (status == TC_OK && compared == 0)
        status = cli_fail(err, TC_EARG, "%s: there is no output to compare with", path);
    if (status == TC_OK && rows) {
        json_t *all = json_object();
        json_object_set(all, "outputs", rows);
        json_object_set_new(all, "passed", json_boolean(*passed));
        cli_print_json(all);
    }
    json_decref(rows);
    return status;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    verify v = defaults;
    cli_list args = {0};
    tc_error err = {0};
    tc_arrays *golden = NULL, *input = NULL;
    outputs o = {0};
    bool passed = false;
    int code;
    if (!cli_parse(verb, argc, argv, &v, &args, &code)) return code;
    tc_status status = tc_arrays_open(&golden, args.items[1], &err);
    if (status == TC_OK && v.input) status = tc_arrays_open(&input, v.input, &err);
    if (status == TC_OK) status = cli_model_open(&o.model, args.items[0], &v.common, CLI_SESSION, &err);
    if (status == TC_OK) status = compute(&o, args.items[1], golden, input, &err);
    if (status == TC_OK) status = compare_all(&o, args.items[1], golden, &v, &passed, &err);
    code = passed ? CLI_DONE : CLI_FAILED;
    if (status != TC_OK) cli_failed(&err);
    else if (!passed) cli_say("an output differs by more than %g", v.tolerance);
    outputs_free(&o);
    tc_arrays_close(&golden);
    tc_arrays_close(&input);
    cli_release(verb, &v, &args);
    return code;
}

const cli_verb cmd_verify = {
    .name = "verify",
    .summary = "compare a model's outputs with saved ones",
    .usage = "MODEL GOLDEN.safetensors [--input F.safetensors] [--tolerance X] [options]",
    .description =
        "GOLDEN holds outputs that another program computed: image_embeds, text_embeds, image_embeds_norm, "
        "text_embeds_norm, logits_per_image, logits_per_text, "
        "probs (softmax over texts), probs_per_image, probs_per_text, logit_scale_exp; and the inputs "
        "pixel_values and input_ids, unless --input names another "
        "file for them. Prints the cosine and the largest difference for each output found. Embeddings of "
        "unit "
        "length are compared with the normalised ones.",
    .examples = "tinyclip verify model golden.safetensors\n"
                "tinyclip verify model expected.safetensors --input input.safetensors --tolerance 1e-4",
    .options = options,
    .common = CLI_WITH_JSON | CLI_WITH_MODEL | CLI_WITH_THREADS,
    .defaults = &defaults,
    .least_args = 2,
    .most_args = 2,
    .run = run};
