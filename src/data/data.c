/* data.c - chooses the form of data for a specification and answers what all forms answer alike.
 *
 * A caption of labelled data is a prompt template with the class name in the place of "{}". */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

tc_data_options tc_data_options_default(void) { return (tc_data_options){.pixel_limit = 89478485}; }

/* ---- opening */

/* The first that takes a specification opens it: names before paths. */
static const tc_data_form *const forms[] = {&tc_form_idx, &tc_form_fashion_mnist, &tc_form_tuxpaint,
                                            &tc_form_folder, &tc_form_csv};
enum { FORMS = sizeof forms / sizeof *forms };

static tc_status no_form(const char *spec, tc_error *err) {
    bool there = tc_path_exists(spec);
    char known[160] = "";
    for (size_t i = 0, n = 0; i < FORMS; i++) {
        const char *between = i + 2 < FORMS ? ", " : " or ";
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", forms[i]->written,
                              i + 1 < FORMS ? between : "");
    }
    return tc_fail(err, there ? TC_EARG : TC_EIO, "%s: %s, expected %s", spec,
                   there ? "not a form of data" : "not there", known);
}

static tc_status open_spec(tc_data *d, const char *spec, tc_error *err) {
    for (size_t i = 0; i < FORMS; i++)
        if (forms[i]->takes(spec)) return forms[i]->open(d, spec, err);
    return no_form(spec, err);
}

static tc_status set_split(tc_data *d, const char *split, tc_error *err) {
    if (!split) return TC_OK;
    if (strcmp(split, "train") == 0) d->split = TC_SPLIT_TRAIN;
    else if (strcmp(split, "test") == 0) d->split = TC_SPLIT_TEST;
    else return tc_fail(err, TC_EARG, "split '%s', expected train or test", split);
    return TC_OK;
}

/* Labelled data gets the caller's templates, else its own, else one that suits most things. */
static tc_status set_templates(tc_data *d, const char *path, tc_error *err) {
    static const char usual[] = "a photo of a {}.";
    if (d->nclasses == 0)
        return path ? tc_fail(err, TC_EARG, "%s: the data has captions of its own, templates are for classes",
                              path)
                    : TC_OK;
    if (path) {
        tc_lines_free(d->templates, d->ntemplates);
        d->templates = NULL;
        d->ntemplates = 0;
        return tc_lines_read(&d->templates, &d->ntemplates, path, "{}", false, err);
    }
    return d->templates ? TC_OK
                        : tc_lines_parse(&d->templates, &d->ntemplates, usual, sizeof usual - 1, "template",
                                         "{}", false, err);
}

tc_status tc_data_open(tc_data **out, const char *spec, const tc_data_options *options, tc_error *err) {
    *out = NULL;
    tc_data *d = tc_new(1, sizeof *d);
    if (!d || !(d->spec = tc_strdup(spec))) {
        free(d);
        return tc_fail_memory(err, sizeof *d);
    }
    d->options = options ? *options : tc_data_options_default();
    tc_status status =
        tc_check_reserved(d->options.reserved, sizeof d->options.reserved, "tc_data_options", err);
    if (status == TC_OK) status = set_split(d, d->options.split, err);
    if (status == TC_OK) status = open_spec(d, spec, err);
    if (status == TC_OK) status = set_templates(d, d->options.templates, err);
    if (status == TC_OK && d->skipped.failed) status = tc_fail_memory(err, d->skipped.size);
    if (status == TC_OK && d->count == 0)
        status = tc_fail(err, TC_EFORMAT, "%s: no samples%s%s%s%s", spec,
                         d->options.split ? " in the split " : "", d->options.split ? d->options.split : "",
                         d->skipped.size ? "; skipped: " : "", tc_data_skipped(d));
    for (char *c = err && status != TC_OK ? err->message : NULL; c && *c; c++)
        if (*c == '\n') *c = ' ';
    /* The strings belong to the caller and may be gone after this call. */
    d->options.split = d->options.templates = d->options.caption_column = d->options.image_column = NULL;
    if (status != TC_OK) tc_data_close(&d);
    *out = d;
    return status;
}

void tc_data_close(tc_data **d) {
    if (!*d) return;
    if ((*d)->source) (*d)->source->free(*d);
    tc_lines_free((*d)->classes, (*d)->nclasses);
    tc_lines_free((*d)->templates, (*d)->ntemplates);
    tc_buf_free(&(*d)->skipped);
    free((*d)->spec);
    free(*d);
    *d = NULL;
}

/* ---- answers */

int64_t tc_data_count(const tc_data *d) { return d->count; }

int tc_data_classes(const tc_data *d) { return d->nclasses; }

const char *tc_data_class_name(const tc_data *d, int c) {
    return c >= 0 && c < d->nclasses ? d->classes[c] : NULL;
}

int tc_data_templates(const tc_data *d) { return d->ntemplates; }

const char *tc_data_template(const tc_data *d, int t) {
    return t >= 0 && t < d->ntemplates ? d->templates[t] : NULL;
}

const char *tc_data_skipped(const tc_data *d) { return d->skipped.data ? d->skipped.data : ""; }

static bool has(const tc_data *d, int64_t i) { return i >= 0 && i < d->count; }

static tc_status no_sample(const tc_data *d, int64_t i, tc_error *err) {
    return tc_fail(err, TC_EARG, "%s: no sample %lld, there are %lld", d->spec, (long long)i,
                   (long long)d->count);
}

int tc_data_label(const tc_data *d, int64_t i) {
    return has(d, i) && d->source->label ? d->source->label(d, i) : -1;
}

const char *tc_data_name(const tc_data *d, int64_t i, char *buffer, size_t size) {
    return has(d, i) ? d->source->name(d, i, buffer, size) : "";
}

/* The caption of class c in template t. */
static tc_status fill_template(const tc_data *d, int c, int t, char *buffer, size_t size, tc_error *err) {
    const char *form = tc_data_template(d, t);
    if (!form) return tc_fail(err, TC_EARG, "%s: no template %d, there are %d", d->spec, t, d->ntemplates);
    char *text = tc_template_fill(form, d->classes[c]);
    if (!text) return tc_fail_memory(err, strlen(form));
    tc_copy_text(buffer, size, text, strlen(text));
    free(text);
    return TC_OK;
}

tc_status tc_data_caption(const tc_data *d, int64_t i, int t, char *buffer, size_t size, tc_error *err) {
    if (!has(d, i)) return no_sample(d, i, err);
    if (d->nclasses) return fill_template(d, d->source->label(d, i), t, buffer, size, err);
    return d->source->caption(d, i, t, buffer, size, err);
}

tc_status tc_data_image_augmented(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                                  float *pixel_values, tc_error *err) {
    return has(d, i) ? d->source->image(d, i, p, a, pixel_values, err) : no_sample(d, i, err);
}

tc_status tc_data_image(const tc_data *d, int64_t i, const tc_preprocess *p, float *pixel_values,
                        tc_error *err) {
    return tc_data_image_augmented(d, i, p, NULL, pixel_values, err);
}

const char *tc_data_spec(const tc_data *d) { return d->spec; }

const char *tc_data_kind(const tc_data *d) { return d->source->kind; }

const char *tc_data_title(const char *spec) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i]->title && strcmp(forms[i]->written, spec) == 0) return forms[i]->title;
    return NULL;
}

const char *tc_data_split(const tc_data *d) {
    static const char *const names[] = {
        [TC_SPLIT_WHOLE] = "all", [TC_SPLIT_TRAIN] = "train", [TC_SPLIT_TEST] = "test"};
    return names[d->split];
}
