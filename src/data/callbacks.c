/* callbacks.c - samples that a program has in a form of its own, given by functions. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES = 1 << 14 };

typedef struct given {
    tc_data_callbacks c;
    int *labels; /* [count], checked; labelled data */
} given;

static const given *state(const tc_data *d) { return d->state; }

/* ---- images */

/* Pixels are used where they lie, never written to. */
static tc_status wrap_pixels(tc_image *out, const tc_sample_image *im, const tc_preprocess *p,
                             tc_error *err) {
    size_t pixels, bytes;
    bool fits = im->width > 0 && im->height > 0 && (im->channels == 1 || im->channels == 3) &&
                tc_mul((size_t)im->width, (size_t)im->height, &pixels) &&
                tc_mul(pixels, (size_t)im->channels, &bytes) && bytes == im->size;
    if (!fits)
        return tc_fail(err, TC_EFORMAT,
                       "%dx%d pixels of %d channels do not fit %zu bytes; channels are 1 or 3", im->width,
                       im->height, im->channels, im->size);
    if (pixels > (uint64_t)p->pixel_limit)
        return tc_fail(err, TC_ENOMEM, "%dx%d pixels, more than the limit of %lld pixels", im->width,
                       im->height, (long long)p->pixel_limit);
    *out = (tc_image){.mode = im->channels == 1 ? TC_MODE_L : TC_MODE_RGB,
                      .width = im->width,
                      .height = im->height,
                      .pixels = (uint8_t *)(uintptr_t)im->bytes,
                      .orientation = 1,
                      .borrowed = true};
    return TC_OK;
}

static const char *given_name(const tc_data *d, int64_t i, char *buffer, size_t size) {
    snprintf(buffer, size, "%s: sample %lld", d->spec, (long long)i);
    return buffer;
}

static tc_status preprocess(const tc_sample_image *from, const char *name, const tc_preprocess *p,
                            const tc_augment *a, float *pixel_values, tc_error *err) {
    tc_image im = {0};
    if (!from->bytes) return tc_fail(err, TC_EFORMAT, "the image has no bytes");
    tc_status status = from->width ? wrap_pixels(&im, from, p, err)
                                   : tc_image_decode(&im, from->bytes, from->size, name, p->pixel_limit, err);
    if (status != TC_OK) return status;
    status = tc_preprocess_image(p, &im, a, pixel_values, NULL, err);
    tc_image_free(&im);
    return status;
}

/* The callback's own error is told with the sample that it belongs to. */
static tc_status ask_image(const tc_data *d, int64_t i, tc_sample_image *out, tc_error *err) {
    const tc_data_callbacks *c = &state(d)->c;
    tc_error own = {0};
    char name[128];
    *out = (tc_sample_image){0};
    tc_status status = c->image(c->user, i, out, &own);
    if (status == TC_OK) return TC_OK;
    return tc_fail(err, status, "%s: %s", given_name(d, i, name, sizeof name),
                   *own.message ? own.message : "the image could not be had");
}

static void release_image(const tc_data *d, int64_t i, tc_sample_image *im) {
    const tc_data_callbacks *c = &state(d)->c;
    if (c->release) c->release(c->user, i, im);
}

static tc_status given_image(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                             float *pixel_values, tc_error *err) {
    tc_sample_image im;
    tc_error own;
    char name[128];
    given_name(d, i, name, sizeof name);
    tc_status status = ask_image(d, i, &im, err);
    if (status != TC_OK) return status;
    status = preprocess(&im, name, p, a, pixel_values, &own);
    release_image(d, i, &im);
    if (status == TC_OK) return TC_OK;
    bool named = strncmp(own.message, name, strlen(name)) == 0; /* by who decodes */
    return tc_fail(err, status, "%s%s%s", named ? "" : name, named ? "" : ": ", own.message);
}

/* ---- captions, labels */

static tc_status given_caption(const tc_data *d, int64_t i, int t, char *buffer, size_t size, tc_error *err) {
    const tc_data_callbacks *c = &state(d)->c;
    (void)t;
    if (size) *buffer = '\0';
    tc_status status = c->caption(c->user, i, buffer, size, err);
    if (size) buffer[size - 1] = '\0';
    return status;
}

static int given_label(const tc_data *d, int64_t i) { return state(d)->labels ? state(d)->labels[i] : -1; }

/* ---- to know it again */

static tc_status hash_sample(const tc_data *d, int64_t i, char *caption, uint64_t *sum, tc_error *err) {
    tc_sample_image im;
    tc_status status = ask_image(d, i, &im, err);
    if (status != TC_OK) return status;
    *sum = tc_hash(*sum, (uint64_t)im.width, (uint64_t)im.height);
    *sum = tc_checksum(tc_hash(*sum, im.size, (uint64_t)given_label(d, i)), im.bytes, im.bytes ? im.size : 0);
    release_image(d, i, &im);
    if (d->nclasses) return TC_OK;
    status = given_caption(d, i, 0, caption, CAPTION_BYTES, err);
    *sum = tc_hash_text(*sum, caption);
    return status;
}

static tc_status given_hash(const tc_data *d, uint64_t *sum, tc_error *err) {
    uint64_t version = state(d)->c.version;
    *sum = tc_hash(tc_hash_text(*sum, d->spec), version, 0);
    if (version) return TC_OK;
    char *caption = tc_new(CAPTION_BYTES, 1);
    tc_status status = caption ? TC_OK : tc_fail_memory(err, CAPTION_BYTES);
    for (int64_t i = 0; i < d->count && status == TC_OK; i++) status = hash_sample(d, i, caption, sum, err);
    free(caption);
    return status;
}

static void given_free(tc_data *d) {
    given *g = d->state;
    if (!g) return;
    if (g->c.close) g->c.close(g->c.user);
    free(g->labels);
    free(g);
}

static const tc_source given_source = {.kind = "callbacks",
                                       .image = given_image,
                                       .caption = given_caption,
                                       .name = given_name,
                                       .label = given_label,
                                       .hash = given_hash,
                                       .free = given_free};

/* ---- opening */

tc_data_callbacks tc_data_callbacks_default(void) { return (tc_data_callbacks){.name = "samples"}; }

static tc_status check(const tc_data_callbacks *c, tc_error *err) {
    const struct {
        bool ok;
        const char *what;
    } rules[] = {{c->name && *c->name, "a name is needed, for messages"},
                 {c->count > 0, "there are no samples"},
                 {c->image != NULL, "a function that gives images is needed"},
                 {c->classes >= 0 && c->classes <= 1 << 20, "the number of classes makes no sense"},
                 {c->classes == 0 || (c->class_names && c->label),
                  "classes need names, and a function that gives labels"},
                 {c->classes > 0 || c->caption, "a function that gives captions is needed, or classes"},
                 {c->n_templates == 0 || (c->n_templates > 0 && c->templates && c->classes > 0),
                  "templates are for classes"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) return tc_fail(err, TC_EARG, "data from callbacks: %s", rules[i].what);
    return TC_OK;
}

static tc_status copy_texts(char ***out, int *count, const char *const *texts, int n, tc_error *err) {
    char **copy = *out = tc_new((size_t)n, sizeof *copy);
    for (*count = 0; copy && *count < n; ++*count)
        if (!(copy[*count] = tc_strdup(texts[*count]))) break;
    return copy && *count == n ? TC_OK : tc_fail_memory(err, (size_t)n * sizeof *copy);
}

static tc_status read_labels(tc_data *d, given *g, tc_error *err) {
    g->labels = tc_new((size_t)d->count, sizeof *g->labels);
    if (!g->labels) return tc_fail_memory(err, (size_t)d->count * sizeof *g->labels);
    for (int64_t i = 0; i < d->count; i++) {
        g->labels[i] = g->c.label(g->c.user, i);
        if (g->labels[i] < 0 || g->labels[i] >= d->nclasses)
            return tc_fail(err, TC_EARG, "%s: sample %lld has the label %d, but there are %d classes",
                           d->spec, (long long)i, g->labels[i], d->nclasses);
    }
    return TC_OK;
}

static tc_status set_classes(tc_data *d, given *g, tc_error *err) {
    static const char *const usual[] = {"a photo of a {}."};
    const tc_data_callbacks *c = &g->c;
    tc_status status = copy_texts(&d->classes, &d->nclasses, c->class_names, c->classes, err);
    if (status == TC_OK)
        status = copy_texts(&d->templates, &d->ntemplates, c->n_templates ? c->templates : usual,
                            c->n_templates ? c->n_templates : 1, err);
    for (int t = 0; t < d->ntemplates && status == TC_OK; t++)
        if (!strstr(d->templates[t], "{}"))
            status = tc_fail(err, TC_EARG, "%s: the template \"%s\" has no {}", d->spec, d->templates[t]);
    return status == TC_OK ? read_labels(d, g, err) : status;
}

tc_status tc_data_from_callbacks(tc_data **out, const tc_data_callbacks *callbacks, tc_error *err) {
    *out = NULL;
    tc_status status =
        tc_check_reserved(callbacks->reserved, sizeof callbacks->reserved, "tc_data_callbacks", err);
    if (status == TC_OK) status = check(callbacks, err);
    if (status != TC_OK) return status;
    tc_data *d = tc_new(1, sizeof *d);
    given *g = tc_new(1, sizeof *g);
    if (!d || !g || !(d->spec = tc_strdup(callbacks->name))) {
        free(d);
        free(g);
        return tc_fail_memory(err, sizeof *d);
    }
    *d = (tc_data){.source = &given_source, .state = g, .spec = d->spec, .count = callbacks->count};
    g->c = *callbacks;
    if (g->c.classes) status = set_classes(d, g, err);
    if (status == TC_OK) *out = d;
    else {
        g->c.close = NULL; /* what `user` is stays the caller's */
        tc_data_close(&d);
    }
    return status;
}
