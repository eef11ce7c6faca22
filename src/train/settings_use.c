/* settings_use.c - what is done with a table of settings: fields as numbers and texts, defaults, checks,
 * JSON. */
#include "train/settings.h"
#include "train/amounts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const tc_setting *tc_setting_find(tc_setting_list list, const char *name) {
    const tc_setting *s;
    for (size_t i = 0; (s = list(i)); i++)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

/* ---- a field */

static bool is_whole(const tc_setting *s) {
    return s->kind == TC_SETTING_INT || s->kind == TC_SETTING_WHOLE || s->kind == TC_SETTING_PARAMS;
}

double tc_setting_number(const tc_setting *s, const void *options) {
    const void *at = (const char *)options + s->at;
    switch (s->kind) {
    case TC_SETTING_FLAG:
        return *(const bool *)at;
    case TC_SETTING_INT:
        return *(const int *)at;
    case TC_SETTING_WHOLE:
    case TC_SETTING_PARAMS:
        return (double)*(const int64_t *)at;
    case TC_SETTING_REAL:
    case TC_SETTING_PART:
    case TC_SETTING_MACS:
        return *(const double *)at;
    case TC_SETTING_TEXT:
        break;
    }
    return 0;
}

void tc_setting_store(const tc_setting *s, void *options, double x) {
    void *at = (char *)options + s->at;
    switch (s->kind) {
    case TC_SETTING_FLAG:
        *(bool *)at = x != 0;
        break;
    case TC_SETTING_INT:
        *(int *)at = (int)x;
        break;
    case TC_SETTING_WHOLE:
    case TC_SETTING_PARAMS:
        *(int64_t *)at = (int64_t)x;
        break;
    case TC_SETTING_REAL:
    case TC_SETTING_PART:
    case TC_SETTING_MACS:
        *(double *)at = x;
        break;
    case TC_SETTING_TEXT:
        break;
    }
}

tc_range tc_setting_range(const tc_setting *s) {
    return (tc_range){.least = s->least, .most = s->most, .above = s->above, .below = s->below};
}

static bool in_range(const tc_setting *s, double x) {
    tc_range range = tc_setting_range(s);
    return tc_range_has(&range, x);
}

bool tc_setting_is_open(const tc_setting *s) { return !in_range(s, s->fallback); }

static bool fits(const tc_setting *s, double x) { return in_range(s, x) || x == s->fallback; }

/* "a number from 0 to below 1, or -1" */
static const char *range_text(const tc_setting *s, char *out, size_t size) {
    tc_range range = tc_setting_range(s);
    size_t n = strlen(tc_range_text(&range, is_whole(s), out, size));
    if (tc_setting_is_open(s)) snprintf(out + n, size - n, ", or %.15g", s->fallback);
    return out;
}

/* ---- as text */

static bool read_whole(const char *text, double *out) {
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    *out = (double)whole;
    return end != text && !*end && !errno;
}

static bool read_real(const char *text, double *out) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*out);
}

static bool read_flag(const char *text, double *out) {
    *out = strcmp(text, "true") == 0;
    return *out != 0 || strcmp(text, "false") == 0;
}

/* A number by its kind, and in its range. */
static bool read_number(const tc_setting *s, const char *text, double *x) {
    bool read = false;
    switch (s->kind) {
    case TC_SETTING_FLAG:
        return read_flag(text, x);
    case TC_SETTING_INT:
    case TC_SETTING_WHOLE:
        read = read_whole(text, x);
        break;
    case TC_SETTING_REAL:
        read = read_real(text, x);
        break;
    case TC_SETTING_PART:
        read = tc_read_part(text, x);
        break;
    case TC_SETTING_PARAMS:
        read = tc_read_amount(text, x) && (*x = floor(*x + 0.5)) >= 1;
        break;
    case TC_SETTING_MACS:
        read = tc_read_amount(text, x);
        break;
    case TC_SETTING_TEXT:
        break;
    }
    return read && fits(s, *x);
}

/* What a text should have been; kinds with a form of their own are told by an example. */
static const char *expected(const tc_setting *s, char *out, size_t size) {
    switch (s->kind) {
    case TC_SETTING_FLAG:
        return "true or false";
    case TC_SETTING_PART:
        return "a part such as 50% or 0.5, at most 100%";
    case TC_SETTING_PARAMS:
        return "a number of parameters such as 20M";
    case TC_SETTING_MACS:
        return "a number of multiply-accumulates such as 2G";
    default:
        return range_text(s, out, size);
    }
}

tc_status tc_setting_read(const tc_setting *s, void *options, const char *text, tc_error *err) {
    char what[160];
    double x;
    if (s->kind == TC_SETTING_TEXT) {
        *(const char **)(void *)((char *)options + s->at) = text;
        return TC_OK;
    }
    if (!read_number(s, text, &x))
        return tc_fail(err, TC_EARG, "'%s' is not %s", text, expected(s, what, sizeof what));
    tc_setting_store(s, options, x);
    return TC_OK;
}

const char *tc_setting_write(const tc_setting *s, const void *options, char *buffer, size_t size) {
    double x = tc_setting_number(s, options);
    const char *text = NULL;
    if (s->kind == TC_SETTING_TEXT)
        text = *(const char *const *)(const void *)((const char *)options + s->at);
    if (s->kind == TC_SETTING_TEXT) snprintf(buffer, size, "%s", text ? text : "");
    else if (s->kind == TC_SETTING_FLAG) snprintf(buffer, size, "%s", x != 0 ? "true" : "false");
    else snprintf(buffer, size, "%.15g", x);
    return buffer;
}

/* ---- a table */

void tc_settings_default(tc_setting_list list, void *options) {
    const tc_setting *s;
    for (size_t i = 0; (s = list(i)); i++) tc_setting_store(s, options, s->fallback);
}

tc_status tc_settings_check(tc_setting_list list, const void *options, const char *what, tc_error *err) {
    const tc_setting *s;
    char range[160];
    for (size_t i = 0; (s = list(i)); i++)
        if (s->kind != TC_SETTING_TEXT && !fits(s, tc_setting_number(s, options)))
            return tc_fail(err, TC_EARG, "%s: %s must be %s", what, s->name,
                           range_text(s, range, sizeof range));
    return TC_OK;
}

/* ---- as JSON */

static json_t *json_of(const tc_setting *s, const void *options) {
    double x = tc_setting_number(s, options);
    if (s->kind == TC_SETTING_TEXT) {
        const char *text = *(const char *const *)(const void *)((const char *)options + s->at);
        json_t *json = text ? json_string(text) : NULL;
        return json ? json : json_null(); /* a path need not be UTF-8 */
    }
    if (s->kind == TC_SETTING_FLAG) return json_boolean(x != 0);
    return is_whole(s) ? json_integer((json_int_t)x) : json_real(x);
}

void tc_settings_note(tc_setting_list list, const void *options, unsigned flag, bool has, json_t *into) {
    const tc_setting *s;
    for (size_t i = 0; (s = list(i)); i++)
        if (((s->flags & flag) != 0) == has) json_object_set_new(into, s->name, json_of(s, options));
}

void tc_setting_take(const tc_setting *s, const tc_json_object *from, void *options) {
    tc_range range = tc_setting_range(s);
    double x = tc_setting_number(s, options);
    if (!tc_json_has(from, s->key)) return;
    if (s->kind == TC_SETTING_FLAG) x = tc_json_flag(from, s->key, x != 0, false);
    else if (is_whole(s)) x = (double)tc_json_whole(from, s->key, range, (int64_t)x);
    else x = tc_json_real(from, s->key, range, x);
    tc_setting_store(s, options, x);
}

void tc_setting_give(const tc_setting *s, const void *options, json_t *into) {
    if (in_range(s, tc_setting_number(s, options))) json_object_set_new(into, s->key, json_of(s, options));
}

/* ---- what the run chooses */

void tc_train_choose(tc_train_options *o, const tc_tower_family *family, bool teacher) {
    if (o->beta2 < 0) o->beta2 = family->beta2;
    if (o->eps == 0) o->eps = family->eps;
    if (o->logit_scale < 0) o->logit_scale = teacher ? 50 : 0;
}
