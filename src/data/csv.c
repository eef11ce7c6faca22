/* csv.c - a CSV file (RFC 4180) with a header line, whose columns name an image and its caption;
 * tab-separated if the header has a tab, as OpenCLIP's lists do. Paths are relative to the file's folder.
 *
 * The file is read whole and taken apart in place: a field ends where its delimiter stood, which becomes its
 * NUL. */
#include "data/csv.h"

#include "data/source.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const size_t file_limit = (size_t)4 << 30;

/* ---- records */

void tc_csv_init(tc_csv *c, char *text, size_t size, const char *name) {
    *c = (tc_csv){.at = text, .end = text + size, .line = 1, .separator = ',', .name = name};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) c->at += 3;
    for (const char *p = c->at; p < c->end && *p != '\n' && *p != '\r'; p++)
        if (*p == '\t') c->separator = '\t';
}

/* Steps over one line end, if there is one. */
static bool take_line_end(tc_csv *c) {
    if (c->at >= c->end || (*c->at != '\n' && *c->at != '\r')) return false;
    bool crlf = *c->at == '\r' && c->at + 1 < c->end && c->at[1] == '\n';
    c->at += crlf ? 2 : 1;
    c->line++;
    return true;
}

/* c->at is behind an opening quote; the text moves down over doubled quotes. Afterwards c->at is behind the
 * closing quote, *stop at the end of the text. */
static bool take_quoted(tc_csv *c, char **stop) {
    char *out = c->at;
    while (c->at < c->end) {
        char ch = *c->at++;
        if (ch == '"') {
            if (c->at >= c->end || *c->at != '"') {
                *stop = out;
                return true;
            }
            c->at++;
        } else if (ch == '\n' || (ch == '\r' && (c->at >= c->end || *c->at != '\n'))) {
            c->line++;
        }
        *out++ = ch;
    }
    return false;
}

static bool at_field_end(const tc_csv *c) {
    return c->at >= c->end || *c->at == c->separator || *c->at == '\n' || *c->at == '\r';
}

/* One field up to its delimiter, which is not stepped over; false if a quote stays open. The NUL behind it
 * may fall on the delimiter, so the caller writes it after looking. */
static bool take_field(tc_csv *c, char **start, char **stop, bool *bad) {
    bool quoted = c->at < c->end && *c->at == '"';
    if (quoted) c->at++;
    *start = c->at;
    if (quoted && !take_quoted(c, stop)) return false;
    if (quoted && !at_field_end(c)) *bad = true;
    while (!at_field_end(c)) c->at++;
    if (!quoted) *stop = c->at;
    return true;
}

tc_status tc_csv_next(tc_csv *c, char **fields, int *n, bool *bad, tc_error *err) {
    *n = 0;
    *bad = false;
    while (take_line_end(c)) continue;
    size_t line = c->line;
    const char *record = c->at;
    for (bool more = c->at < c->end; more;) {
        char *start, *stop;
        if (*n == TC_CSV_FIELDS)
            return tc_fail(err, TC_EFORMAT, "%s: line %zu: more than %d fields", c->name, line,
                           TC_CSV_FIELDS);
        size_t quote_line = c->line;
        if (!take_field(c, &start, &stop, bad))
            return tc_fail(err, TC_EFORMAT, "%s: line %zu: a quote is opened and never closed", c->name,
                           quote_line);
        if (c->at - record > TC_CSV_RECORD_LIMIT)
            return tc_fail(err, TC_EFORMAT, "%s: line %zu: record of more than %d bytes", c->name, line,
                           TC_CSV_RECORD_LIMIT);
        if (memchr(start, 0, (size_t)(stop - start)))
            return tc_fail(err, TC_EFORMAT, "%s: line %zu: NUL byte", c->name, line);
        more = c->at < c->end && *c->at == c->separator;
        if (more) c->at++;
        else take_line_end(c);
        *stop = 0;
        fields[(*n)++] = start;
    }
    return TC_OK;
}

/* ---- the source */

typedef struct row {
    const char *image, *caption;
} row;

typedef struct table {
    char *dir;  /* of the file, ends in '/' */
    char *text; /* the file; rows point into it */
    row *rows;
    size_t n, capacity;
    int64_t ragged, badly_quoted, no_image, no_caption, remote;
} table;

/* Position of the first of `names` (ended by NULL) among the fields, or -1. */
static int find_column(char *const *fields, int n, const char *const *names) {
    for (; *names; names++)
        for (int i = 0; i < n; i++)
            if (strcasecmp(fields[i], *names) == 0) return i;
    return -1;
}

static tc_status choose_column(const tc_csv *c, char *const *fields, int n, const char *wanted,
                               const char *const *usual, const char *what, int *column, tc_error *err) {
    const char *const one[] = {wanted, NULL};
    tc_buf have = {0};
    *column = find_column(fields, n, wanted ? one : usual);
    if (*column >= 0) return TC_OK;
    for (int i = 0; i < n && have.size < 300; i++)
        tc_buf_printf(&have, "%s'%.60s'", i ? ", " : "", fields[i]);
    tc_status status = tc_fail(err, TC_EFORMAT, "%s: no %s column%s%s%s; the header has %s", c->name, what,
                               wanted ? " '" : "", wanted ? wanted : "",
                               wanted ? "'" : " of a usual name (give it with an option)",
                               have.failed || !have.data ? "nothing" : have.data);
    tc_buf_free(&have);
    return status;
}

static bool is_blank(const char *s) { return s[strspn(s, " \t\r\n")] == 0; }

/* A record becomes a row or is counted as skipped. */
static bool add_row(const tc_data *d, table *t, char *const *fields, int n, bool bad, int columns, int image,
                    int caption) {
    if (bad) {
        t->badly_quoted++;
    } else if (n != columns) {
        t->ragged++;
    } else if (is_blank(fields[image])) {
        t->no_image++;
    } else if (strstr(fields[image], "://")) {
        t->remote++;
    } else if (is_blank(fields[caption])) {
        t->no_caption++;
    } else if (tc_split_keeps(d->split, fields[image])) {
        if (!tc_grow(&t->rows, &t->capacity, t->n + 1, sizeof *t->rows)) return false;
        t->rows[t->n++] = (row){fields[image], fields[caption]};
    }
    return true;
}

static tc_status read_rows(tc_data *d, table *t, tc_csv *c, tc_error *err) {
    static const char *const image_names[] = {"filepath", "file_path", "image_path", "image", "file",
                                              "path",     "filename",  "file_name",  "img",   NULL};
    static const char *const caption_names[] = {"caption", "title", "text", "captions", "description", NULL};
    char **fields = tc_new(TC_CSV_FIELDS, sizeof *fields);
    int n = 0, columns = 0, image = 0, caption = 0;
    bool bad;
    if (!fields) return tc_fail_memory(err, TC_CSV_FIELDS * sizeof *fields);
    tc_status status = tc_csv_next(c, fields, &columns, &bad, err);
    if (status == TC_OK && columns == 0) status = tc_fail(err, TC_EFORMAT, "%s: no header line", c->name);
    if (status == TC_OK)
        status =
            choose_column(c, fields, columns, d->options.image_column, image_names, "image", &image, err);
    if (status == TC_OK)
        status = choose_column(c, fields, columns, d->options.caption_column, caption_names, "caption",
                               &caption, err);
    while (status == TC_OK && (status = tc_csv_next(c, fields, &n, &bad, err)) == TC_OK && n > 0)
        if (!add_row(d, t, fields, n, bad, columns, image, caption))
            status = tc_fail_memory(err, t->n * sizeof *t->rows);
    free(fields);
    return status;
}

static const table *state(const tc_data *d) { return d->state; }

static const char *csv_name(const tc_data *d, int64_t i, char *buffer, size_t size) {
    (void)buffer, (void)size;
    return state(d)->rows[i].image;
}

static tc_status csv_image(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                           float *pixel_values, tc_error *err) {
    const char *image = state(d)->rows[i].image;
    char *path = *image == '/' ? tc_strdup(image) : tc_path_join(state(d)->dir, image);
    if (!path) return tc_fail_memory(err, PATH_MAX);
    tc_status status = tc_read_image(d, path, p, a, pixel_values, err);
    free(path);
    return status;
}

static tc_status csv_caption(const tc_data *d, int64_t i, int t, char *buffer, size_t size, tc_error *err) {
    (void)t, (void)err;
    const char *caption = state(d)->rows[i].caption;
    tc_copy_text(buffer, size, caption, strlen(caption));
    return TC_OK;
}

static tc_status csv_hash(const tc_data *d, uint64_t *sum, tc_error *err) {
    tc_buf path = {0};
    for (int64_t i = 0; i < d->count && !path.failed; i++) {
        const row *r = &state(d)->rows[i];
        path.size = 0;
        tc_buf_printf(&path, "%s%s", *r->image == '/' ? "" : state(d)->dir, r->image);
        *sum = tc_hash_text(tc_hash_text(*sum, r->image), r->caption);
        if (!path.failed) *sum = tc_hash_file(*sum, path.data);
    }
    bool failed = path.failed;
    tc_buf_free(&path);
    return failed ? tc_fail_memory(err, PATH_MAX) : TC_OK;
}

static void csv_free(tc_data *d) {
    table *t = d->state;
    if (!t) return;
    free(t->dir);
    free(t->text);
    free(t->rows);
    free(t);
}

static const tc_source csv_source = {.kind = "csv",
                                     .image = csv_image,
                                     .caption = csv_caption,
                                     .name = csv_name,
                                     .hash = csv_hash,
                                     .free = csv_free};

static tc_status open_csv(tc_data *d, const char *path, tc_error *err) {
    table *t = tc_new(1, sizeof *t);
    const char *slash = strrchr(path, '/');
    size_t size;
    tc_csv c;
    d->source = &csv_source;
    d->state = t;
    if (!t || !(t->dir = slash ? tc_strndup(path, (size_t)(slash - path) + 1) : tc_strdup("./")))
        return tc_fail_memory(err, PATH_MAX);
    tc_status status = tc_file_read(path, file_limit, &t->text, &size, err);
    if (status != TC_OK) return status;
    tc_csv_init(&c, t->text, size, path);
    status = read_rows(d, t, &c, err);
    d->count = (int64_t)t->n;
    tc_data_skip(d, t->ragged, "row", "with another number of fields than the header");
    tc_data_skip(d, t->badly_quoted, "row", "with text behind a closing quote");
    tc_data_skip(d, t->no_image, "row", "without an image");
    tc_data_skip(d, t->no_caption, "row", "without a caption");
    tc_data_skip(d, t->remote, "row", "whose image is an address on the network");
    return status;
}

static bool takes(const char *spec) {
    size_t n = strlen(spec);
    if (n <= 4 || tc_path_is_dir(spec)) return false;
    return strcasecmp(spec + n - 4, ".csv") == 0 || strcasecmp(spec + n - 4, ".tsv") == 0;
}

const tc_data_form tc_form_csv = {"a .csv file", NULL, takes, open_csv};
