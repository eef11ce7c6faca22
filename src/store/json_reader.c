/* json_reader.c - typed values out of JSON: one place that knows how to look at a key, what to say of a value
 * that does not fit, and that only the first such thing counts. */
#include "store/json_reader.h"

#include <string.h>

static const double MOST_WHOLE = 1e15; /* doubles count up to there one by one */

const tc_json_dialect tc_json_config = {.colon = " ",
                                        .not_a = "must be ",
                                        .no_flag = "must be true or false",
                                        .whole_reals = true,
                                        .null_is_absent = true};
const tc_json_dialect tc_json_rules = {
    .colon = ": ", .not_a = "must be ", .missing = "it is missing", .no_flag = "must be true or false"};
const tc_json_dialect tc_json_record = {.colon = " ",
                                        .not_a = "is not ",
                                        .missing = "is missing",
                                        .no_flag = "is neither true nor false",
                                        .null_is_absent = true};

/* ---- ranges */

tc_range tc_range_of(double least, double most) { return (tc_range){.least = least, .most = most}; }

tc_range tc_range_any(void) { return tc_range_of(-INFINITY, INFINITY); }

bool tc_range_has(const tc_range *r, double x) {
    return (r->above ? x > r->least : x >= r->least) && (r->below ? x < r->most : x <= r->most);
}

const char *tc_range_text(const tc_range *r, bool whole, char *out, size_t size) {
    int n = snprintf(out, size, "a %snumber", whole ? "whole " : "");
    char *rest = out + n;
    size_t room = size - (size_t)n;
    if (isinf(r->least)) return out;
    if (isinf(r->most)) snprintf(rest, room, " %s %.15g", r->above ? "above" : "of at least", r->least);
    else
        snprintf(rest, room, " %s %.15g to %s%.15g", r->above ? "above" : "from", r->least,
                 r->below ? "below " : "", r->most);
    return out;
}

/* ---- messages */

tc_json_shown tc_json_plain(const char *text) {
    tc_json_shown shown;
    snprintf(shown.text, sizeof shown.text, "%.60s", text);
    for (char *c = shown.text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) *c = ' ';
    return shown;
}

/* "WHERE.KEY", each cut at half of the room */
static void join(char *out, size_t size, const char *where, const char *key) {
    int half = (int)size / 2 - 1;
    snprintf(out, size, "%.*s%s%.*s", half, where, *where && *key ? "." : "", half, tc_json_plain(key).text);
}

static bool failed(const tc_json_object *o) { return o->reader->status != TC_OK; }

void tc_json_wrong(const tc_json_object *o, const char *key, const char *format, ...) {
    tc_json_reader *r = o->reader;
    char what[800], place[160];
    va_list args;
    if (failed(o)) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    join(place, sizeof place, o->path, key);
    r->status =
        tc_fail(r->err, TC_EFORMAT, "%s: %s%s%s", r->name, place, *place ? r->dialect->colon : "", what);
}

void tc_json_not(const tc_json_object *o, const char *key, const char *what) {
    tc_json_wrong(o, key, "%s%s", o->reader->dialect->not_a, what);
}

/* ---- values */

/* NULL if it is not there, or if something was wrong before. `what` it should be is said if it is needed and
 * the dialect has no word for missing keys. */
static const json_t *value(const tc_json_object *o, const char *key, bool needed, const char *what) {
    const json_t *v = o->json && !failed(o) ? json_object_get(o->json, key) : NULL;
    const tc_json_dialect *d = o->reader->dialect;
    if (v && !(d->null_is_absent && json_is_null(v))) return v;
    if (needed && d->missing) tc_json_wrong(o, key, "%s", d->missing);
    else if (needed) tc_json_not(o, key, what);
    return NULL;
}

bool tc_json_has(const tc_json_object *o, const char *key) { return value(o, key, false, "") != NULL; }

static tc_json_object object_at(const tc_json_object *o, const json_t *v) {
    tc_json_object inner = {.reader = o->reader, .json = json_is_object(v) ? v : NULL};
    return inner;
}

tc_json_object tc_json_root(tc_json_reader *r, const json_t *json) {
    tc_json_object root = {.reader = r, .json = json_is_object(json) ? json : NULL};
    if (!root.json) tc_json_not(&root, "", "an object");
    return root;
}

tc_json_object tc_json_inner(const tc_json_object *o, const char *key, bool needed) {
    const json_t *v = value(o, key, needed, "an object");
    tc_json_object inner = object_at(o, v);
    join(inner.path, sizeof inner.path, o->path, key);
    if (v && !inner.json) tc_json_not(&inner, "", "an object");
    return inner;
}

tc_json_object tc_json_entry(const tc_json_object *o, const char *key, size_t i) {
    const json_t *v = json_array_get(value(o, key, false, ""), i);
    tc_json_object inner = object_at(o, v);
    char place[64];
    snprintf(place, sizeof place, "%.40s[%zu]", key, i);
    join(inner.path, sizeof inner.path, o->path, place);
    if (!inner.json) tc_json_not(&inner, "", "an object");
    return inner;
}

static bool is_whole(const json_t *v, const tc_json_dialect *d) {
    double x = json_number_value(v);
    return (json_is_integer(v) || (d->whole_reals && json_is_real(v) && x == floor(x))) &&
           fabs(x) <= MOST_WHOLE;
}

int64_t tc_json_whole(const tc_json_object *o, const char *key, tc_range range, int64_t absent) {
    char what[128];
    bool needed = absent == TC_JSON_NEEDED;
    tc_range_text(&range, true, what, sizeof what);
    const json_t *v = value(o, key, needed, what);
    double x = json_number_value(v);
    if (v && is_whole(v, o->reader->dialect) && tc_range_has(&range, x)) return (int64_t)x;
    if (v) tc_json_not(o, key, what);
    if (needed) return isfinite(range.least) ? (int64_t)range.least : 0;
    return absent;
}

double tc_json_real(const tc_json_object *o, const char *key, tc_range range, double absent) {
    char what[128];
    bool needed = absent == TC_JSON_NEEDED_REAL;
    tc_range_text(&range, false, what, sizeof what);
    const json_t *v = value(o, key, needed, what);
    double x = json_number_value(v);
    if (v && json_is_number(v) && tc_range_has(&range, x)) return x;
    if (v) tc_json_not(o, key, what);
    if (needed) return isfinite(range.least) ? range.least : 0;
    return absent;
}

bool tc_json_flag(const tc_json_object *o, const char *key, bool absent, bool needed) {
    const json_t *v = value(o, key, needed, "true or false");
    if (!v) return absent;
    if (!json_is_boolean(v)) tc_json_wrong(o, key, "%s", o->reader->dialect->no_flag);
    return json_is_true(v);
}

const char *tc_json_text(const tc_json_object *o, const char *key, size_t least, size_t most, bool needed) {
    const json_t *v = value(o, key, needed, "a text");
    size_t n = json_string_length(v);
    char what[64];
    if (!v) return NULL;
    snprintf(what, sizeof what, "a text of %zu to %zu bytes", least, most);
    if (!json_is_string(v)) tc_json_not(o, key, "a text");
    else if (n < least || n > most) tc_json_not(o, key, what);
    return failed(o) ? NULL : json_string_value(v);
}

const json_t *tc_json_list(const tc_json_object *o, const char *key, bool needed) {
    const json_t *v = value(o, key, needed, "a list");
    if (v && !json_is_array(v)) tc_json_not(o, key, "a list");
    return json_is_array(v) ? v : NULL;
}

bool tc_json_wholes(const tc_json_object *o, const char *key, tc_range range, int n, const char *what,
                    int *out) {
    const json_t *list = tc_json_list(o, key, false);
    char fits[128];
    if (list && json_array_size(list) != (size_t)n) tc_json_wrong(o, key, "%s", what);
    for (int i = 0; list && i < n && !failed(o); i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        char place[64];
        snprintf(place, sizeof place, "%.40s[%d]", key, i);
        if (!is_whole(v, o->reader->dialect) || !tc_range_has(&range, json_number_value(v)))
            tc_json_not(o, place, tc_range_text(&range, true, fits, sizeof fits));
        else out[i] = (int)json_number_value(v);
    }
    return list && !failed(o);
}

/* ---- keys */

static bool is_among(const char *key, const char *const *known) {
    while (*known)
        if (strcmp(*known++, key) == 0) return true;
    return false;
}

void tc_json_only(const tc_json_object *o, const char *const *known, const char *where) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o->json, key, v) {
        if (failed(o) || is_among(key, known)) continue;
        tc_buf list = {0};
        for (size_t i = 0; known[i]; i++) tc_buf_printf(&list, "%s%s", i ? ", " : "", known[i]);
        tc_json_wrong(o, key, "there is no such key%s; known are %s", where, list.data ? list.data : "few");
        tc_buf_free(&list);
    }
}
