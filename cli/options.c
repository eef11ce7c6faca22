/* options.c - reads the arguments of a verb by its option table. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(const cli_option *o, const char *name, size_t length) {
    return strlen(o->name) == length && strncmp(o->name, name, length) == 0;
}

static bool find(const cli_verb *verb, const char *name, size_t length, cli_option *out) {
    for (size_t i = 0; cli_option_at(verb, i, out); i++)
        if (is_name(out, name, length)) return true;
    for (size_t i = 0; cli_common_options[i].name; i++) {
        *out = cli_common_options[i];
        if (cli_takes_common(verb, i) && is_name(out, name, length)) return true;
    }
    return false;
}

static int unknown_option(const cli_verb *verb, const char *arg, size_t length) {
    char name[96];
    snprintf(name, sizeof name, "%.*s", (int)length, arg);
    cli_nearest near = {.word = name};
    cli_option o;
    for (size_t i = 0; cli_option_at(verb, i, &o); i++) cli_nearest_offer(&near, o.name);
    for (size_t i = 0; cli_common_options[i].name; i++)
        if (cli_takes_common(verb, i)) cli_nearest_offer(&near, cli_common_options[i].name);
    return cli_usage(verb, "unknown option '%s'%s", name, near.text);
}

/* ---- values */

static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *at = choices; n && at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == '\0')) return true;
    return false;
}

static int choice_error(const cli_verb *verb, const cli_option *o, const char *value) {
    const char *choices_text = o->detail;
    char choices[128], *rest = choices;
    snprintf(choices, sizeof choices, "%s", choices_text);
    cli_nearest near = {.word = value};
    for (const char *one; (one = strsep(&rest, "|"));) cli_nearest_offer(&near, one);
    return cli_usage(verb, "%s: '%s' is none of %s%s", o->name, value, choices_text, near.text);
}

static int range_error(const cli_verb *verb, const cli_option *o, const char *value) {
    const char *what = o->kind == CLI_INT ? "a whole number" : "a number";
    if (o->least == 0 && o->most == 0) return cli_usage(verb, "%s: '%s' is not %s", o->name, value, what);
    if (isinf(o->most) || o->most >= 1e15)
        return cli_usage(verb, "%s: '%s' is not %s of at least %.15g", o->name, value, what, o->least);
    return cli_usage(verb, "%s: '%s' is not %s from %.15g to %.15g", o->name, value, what, o->least, o->most);
}

static int set_number(const cli_verb *verb, const cli_option *o, const char *value, void *into) {
    char *end;
    double x;
    errno = 0;
    long long whole = 0;
    if (o->kind == CLI_INT) {
        whole = strtoll(value, &end, 10);
        x = (double)whole;
    } else {
        x = strtod(value, &end);
    }
    bool ranged = o->least != 0 || o->most != 0;
    if (end == value || *end || errno || !isfinite(x) || (ranged && (x < o->least || x > o->most)))
        return range_error(verb, o, value);
    if (o->kind == CLI_INT) *(int64_t *)into = whole;
    else *(double *)into = x;
    return CLI_DONE;
}

static int set_setting(const cli_verb *verb, const cli_option *o, const char *value, void *structure) {
    tc_error err = {0};
    if (tc_setting_read(o->detail, structure, value, &err) == TC_OK) return CLI_DONE;
    return cli_usage(verb, "%s: %s", o->name, err.message);
}

static int set_value(const cli_verb *verb, const cli_option *o, const char *value, char *values) {
    void *into = values + o->at;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)into = true;
        return CLI_DONE;
    case CLI_CHOICE:
        if (!is_choice(o->detail, value)) return choice_error(verb, o, value);
        *(const char **)into = value;
        return CLI_DONE;
    case CLI_TEXT:
    case CLI_FILE:
    case CLI_MAYBE:
        *(const char **)into = value;
        return CLI_DONE;
    case CLI_LIST:
    case CLI_MANY:
        cli_list_add(into, value);
        return CLI_DONE;
    case CLI_INT:
    case CLI_REAL:
        return set_number(verb, o, value, into);
    case CLI_SETTING:
        return set_setting(verb, o, value, into);
    }
    return CLI_USAGE;
}

/* ---- arguments */

static bool is_option(const char *arg) { return arg[0] == '-' && arg[1] != '\0'; }

/* One option at argv[*at] with its values. */
static int read_option(const cli_verb *verb, int argc, char **argv, int *at, char *values) {
    const char *arg = argv[*at], *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    cli_option o;
    if (!find(verb, arg, length, &o)) return unknown_option(verb, arg, length);
    if (o.kind == CLI_FLAG) {
        if (equals) return cli_usage(verb, "%s takes no value", o.name);
        return set_value(verb, &o, NULL, values);
    }
    if (equals) return set_value(verb, &o, equals + 1, values);
    bool followed = *at + 1 < argc && !is_option(argv[*at + 1]);
    if (o.kind == CLI_MAYBE) return set_value(verb, &o, followed ? argv[++*at] : "", values);
    if (*at + 1 >= argc) return cli_usage(verb, "%s needs a value", o.name);
    if (o.kind != CLI_MANY) return set_value(verb, &o, argv[++*at], values);
    int first = *at;
    while (*at + 1 < argc && !is_option(argv[*at + 1])) set_value(verb, &o, argv[++*at], values);
    return *at > first ? CLI_DONE : cli_usage(verb, "%s needs a value", o.name);
}

/* "usage: tinyclip VERB ...", the first form. */
static const char *usage_line(const cli_verb *verb, char *out, size_t size) {
    snprintf(out, size, "usage: tinyclip %s %.*s", verb->name, (int)strcspn(verb->usage, "\n"), verb->usage);
    return out;
}

/* A picture where the usage wants a model is most often an argument in the wrong place. */
static int check_model(const cli_verb *verb, const cli_list *args) {
    char line[256];
    const char *usage = verb->usage;
    bool optional = strncmp(usage, "[MODEL]", 7) == 0 && (int)args->count > verb->least_args;
    bool wanted = optional || strncmp(usage, "MODEL", 5) == 0 || strncmp(usage, "TEACHER", 7) == 0;
    const char *picture = wanted && args->count > 0 ? tc_picture_kind(args->items[0]) : NULL;
    if (!picture) return CLI_DONE;
    return cli_usage(verb, "%s is %s, not a model; %s", args->items[0], picture,
                     usage_line(verb, line, sizeof line));
}

int cli_argument_missing(const cli_verb *verb) {
    char line[256];
    return cli_usage(verb, "an argument is missing; %s", usage_line(verb, line, sizeof line));
}

static int check_count(const cli_verb *verb, const cli_list *args) {
    int n = (int)args->count;
    char line[256];
    if (verb->most_args >= 0 && n > verb->most_args)
        return cli_usage(verb, "unexpected argument '%s'; %s", args->items[verb->most_args],
                         usage_line(verb, line, sizeof line));
    if (n >= verb->least_args) return check_model(verb, args);
    return cli_argument_missing(verb);
}

bool cli_parse(const cli_verb *verb, int argc, char **argv, void *values, cli_list *args, int *code) {
    bool ended = false;
    *code = CLI_DONE;
    for (int i = 0; i < argc && *code == CLI_DONE; i++) {
        if (ended || !is_option(argv[i])) {
            cli_list_add(args, argv[i]);
        } else if (strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            cli_print_help(verb);
            cli_release(verb, values, args);
            return false;
        } else {
            *code = read_option(verb, argc, argv, &i, values);
        }
    }
    if (*code == CLI_DONE) *code = check_count(verb, args);
    if (*code != CLI_DONE) cli_release(verb, values, args);
    else if (((cli_common *)values)->threads > 0) tc_set_threads((int)((cli_common *)values)->threads);
    return *code == CLI_DONE;
}

void cli_release(const cli_verb *verb, void *values, cli_list *args) {
    cli_option o;
    for (size_t i = 0; cli_option_at(verb, i, &o); i++)
        if (o.kind == CLI_LIST || o.kind == CLI_MANY)
            cli_list_free((cli_list *)(void *)((char *)values + o.at));
    cli_list_free(args);
}
