/* data.c - chooses the form of data for a specification and answers what all forms answer alike.
 *
 * A caption of labelled data is a prompt template with the class name in the place of "{}". */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINES_LIMIT = 16 << 20 };

tc_data_options tc_data_options_default(void) { return (tc_data_options){.pixel_limit = 89478485}; }

bool tc_split_keeps(tc_split split, const char *name) {
    if (split == TC_SPLIT_WHOLE) return true;
    bool test = tc_hash(tc_checksum(0, name, strlen(name)), 0, 0) % 10 == 0;
    return test == (split == TC_SPLIT_TEST);
}

void tc_data_skip(tc_data *d, int64_t n, const char *thing, const char *why) {
    if (n)
        tc_buf_printf(&d->skipped, "%s%lld %s%s %s", d->skipped.size ? "\n" : "", (long long)n, thing,
                      n == 1 ? "" : "s", why);
}

/* ---- text */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

void tc_lines_free(char **lines, int count) {
    for (int i = 0; lines && i < count; i++) free(lines[i]);
    free(lines);
}

tc_status tc_lines_parse(char ***out, int *count, const char *text, size_t size, const char *name,
                         const char *needed, bool gapless, tc_error *err) {
    char **lines = NULL;
    size_t n = 0, capacity = 0, number = 0;
    bool gap = false;
    tc_status status = TC_OK;
    const char *p = text, *end = text + size;
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end && status == TC_OK) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        const char *a = p, *b = stop;
        number++;
        p = newline ? newline + 1 : end;
        while (a < b && is_space(*a)) a++;
        while (b > a && is_space(b[-1])) b--;
        if (a == b) {
            gap = true;
            continue;
        }
        char *line = tc_strndup(a, (size_t)(b - a));
        if (!line || !tc_grow(&lines, &capacity, n + 1, sizeof *lines)) {
            free(line);
            status = tc_fail_memory(err, size);
            break;
        }
        lines[n++] = line;
        if (gapless && gap) status = tc_fail(err, TC_EFORMAT, "%s: line %zu is empty", name, number - 1);
        else if (strlen(line) != (size_t)(b - a))
            status = tc_fail(err, TC_EFORMAT, "%s: line %zu holds a NUL byte", name, number);
        else if (needed && !strstr(line, needed))
            status = tc_fail(err, TC_EFORMAT, "%s: line %zu has no %s", name, number, needed);
    }
    if (status == TC_OK && n == 0) status = tc_fail(err, TC_EFORMAT, "%s: no lines", name);
    if (status != TC_OK) {
        tc_lines_free(lines, (int)n);
        return status;
    }
    *out = lines;
    *count = (int)n;
    return TC_OK;
}

tc_status tc_lines_read(char ***out, int *count, const char *path, const char *needed, bool gapless,
                        tc_error *err) {
    char *text;
    size_t size;
    tc_status status = tc_file_read(path, LINES_LIMIT, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_lines_parse(out, count, text, size, path, needed, gapless, err);
    free(text);
    return status;
}

void tc_copy_text(char *buffer, size_t size, const char *text, size_t n) {
    if (size == 0) return;
    if (n >= size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    }
    memmove(buffer, text, n);
    buffer[n] = 0;
}

/* ---- images */

tc_status tc_read_image(const tc_data *d, const char *path, const tc_preprocess *p, const tc_augment *a,
                        float *pixel_values, tc_error *err) {
    char *bytes;
    size_t size;
    tc_image im = {0};
    int64_t limit = d->options.pixel_limit > 0 && d->options.pixel_limit < p->pixel_limit
                        ? d->options.pixel_limit
                        : p->pixel_limit;
    tc_status status = tc_file_read(path, TC_ENCODED_LIMIT, &bytes, &size, err);
    if (status != TC_OK) return status;
    status = tc_image_decode(&im, bytes, size, path, limit, err);
    free(bytes);
    if (status != TC_OK) return status;
    status = tc_preprocess_image(p, &im, a, pixel_values, NULL, err);
    tc_image_free(&im);
    return status == TC_OK ? TC_OK : tc_fail_in(err, status, "%s", path);
}

/* ---- opening */

static tc_status open_idx_spec(tc_data *d, const char *spec, tc_error *err) {
    char *names = tc_strdup(spec), *images = names, *labels, *classes;
    tc_status status;
    if (!names) return tc_fail_memory(err, strlen(spec));
    labels = strchr(images, ',');
    classes = labels ? strchr(labels + 1, ',') : NULL;
    if (!classes || strchr(classes + 1, ',')) {
        status = tc_fail(err, TC_EARG, "idx:%s: expected idx:IMAGES,LABELS,CLASSES", spec);
    } else {
        *labels++ = 0;
        *classes++ = 0;
        status = tc_lines_read(&d->classes, &d->nclasses, classes, NULL, true, err);
        if (status == TC_OK) status = tc_idx_open(d, &(tc_idx_part){images, labels}, 1, false, err);
    }
    free(names);
    return status;
}

static tc_status open_spec(tc_data *d, const char *spec, tc_error *err) {
    size_t n = strlen(spec);
    if (tc_starts_with(spec, "idx:")) return open_idx_spec(d, spec + 4, err);
    if (strcmp(spec, "fashion-mnist") == 0) return tc_fashion_mnist_open(d, err);
    if (strcmp(spec, "tuxpaint") == 0) return tc_tuxpaint_open(d, err);
    if (tc_path_is_dir(spec)) return tc_folder_open(d, spec, err);
    if (n > 4 && (strcasecmp(spec + n - 4, ".csv") == 0 || strcasecmp(spec + n - 4, ".tsv") == 0))
        return tc_csv_open(d, spec, err);
    return tc_fail(
        err, tc_path_exists(spec) ? TC_EARG : TC_EIO,
        "%s: %s, expected a folder, a .csv file, idx:IMAGES,LABELS,CLASSES, fashion-mnist or tuxpaint", spec,
        tc_path_exists(spec) ? "not a form of data" : "not there");
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
    tc_status status = set_split(d, d->options.split, err);
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

char *tc_template_fill(const char *form, const char *name) {
    tc_buf b = {0};
    for (const char *gap; (gap = strstr(form, "{}")); form = gap + 2) {
        tc_buf_add(&b, form, (size_t)(gap - form));
        tc_buf_puts(&b, name);
    }
    tc_buf_puts(&b, form);
    return tc_buf_take(&b);
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

const char *tc_data_split(const tc_data *d) {
    return d->split == TC_SPLIT_TRAIN ? "train" : d->split == TC_SPLIT_TEST ? "test" : "all";
}
