/* options.c - reads the arguments of a verb by its option table, and prints the help text from the same
 * table. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_common_options[] = {
    {"--model-config", "C", CLI_TEXT, offsetof(cli_common, model_config),
     "the configuration of a MODEL that has none beside it: a JSON file of OpenCLIP's or Hugging Face's "
     "form, or a built-in name",
     0, 0, NULL},
    {"--activation", "A", CLI_CHOICE, offsetof(cli_common, activation),
     "the activation of a MODEL whose file does not say it, or says it wrongly; without it the layout's or "
     "the configuration's, else gelu",
     0, 0, "gelu|quick_gelu"},
    {"--image-size", "N", CLI_INT, offsetof(cli_common, image_size),
     "images of N pixels a side: the positions are resized bicubically, as open_clip does; 0: the model's "
     "own",
     0, 8192, NULL},
    {"--tokenizer", "KIND", CLI_CHOICE, offsetof(cli_common, tokenizer),
     "how texts are cleaned before they are split: as open_clip or as transformers does; without it the "
     "model's own",
     0, 0, "openclip|hf"},
    {"--preprocess", "ORDER", CLI_CHOICE, offsetof(cli_common, preprocess),
     "the order of steps from an image to pixel values: transformers' or open_clip's; without it the model's "
     "own",
     0, 0, "hf|openclip"},
    {"--exif", NULL, CLI_FLAG, offsetof(cli_common, exif),
     "turn images as their EXIF orientation says; the reference does not", 0, 0, NULL},
    {"--threads", "N", CLI_INT, offsetof(cli_common, threads), "threads to use; 0: one a processor", 0, 4096,
     NULL},
    {"--json", NULL, CLI_FLAG, offsetof(cli_common, json), "print the result as JSON", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static const unsigned common_bits[] = {CLI_WITH_MODEL,  CLI_WITH_MODEL,  CLI_WITH_MODEL,   CLI_WITH_TEXT,
                                       CLI_WITH_IMAGES, CLI_WITH_IMAGES, CLI_WITH_THREADS, CLI_WITH_JSON};

bool cli_takes_common(const cli_verb *verb, size_t i) { return (verb->common & common_bits[i]) != 0; }

const cli_option *cli_option_at(const cli_verb *verb, size_t i) {
    for (const cli_option *o = verb->options; o->name; o++)
        if (i-- == 0) return o;
    for (const cli_option *o = verb->more; o && o->name; o++)
        if (i-- == 0) return o;
    return NULL;
}

static const cli_option *find(const cli_verb *verb, const char *name, size_t length) {
    const cli_option *own;
    for (size_t i = 0; (own = cli_option_at(verb, i)); i++)
        if (strlen(own->name) == length && strncmp(own->name, name, length) == 0) return own;
    for (size_t i = 0; cli_common_options[i].name; i++) {
        const cli_option *o = &cli_common_options[i];
        if (cli_takes_common(verb, i) && strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

int cli_usage(const cli_verb *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "tinyclip %s: ", verb->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry 'tinyclip %s --help'.\n", verb->name);
    va_end(args);
    return CLI_USAGE;
}

/* ---- values */

static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *at = choices; n && at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == '\0')) return true;
    return false;
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

static int set_value(const cli_verb *verb, const cli_option *o, const char *value, char *values) {
    void *into = values + o->at;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)into = true;
        return CLI_DONE;
    case CLI_CHOICE:
        if (!is_choice(o->choices, value))
            return cli_usage(verb, "%s: '%s' is none of %s", o->name, value, o->choices);
        *(const char **)into = value;
        return CLI_DONE;
    case CLI_TEXT:
        *(const char **)into = value;
        return CLI_DONE;
    case CLI_LIST:
    case CLI_MANY:
        cli_list_add(into, value);
        return CLI_DONE;
    case CLI_INT:
    case CLI_REAL:
        return set_number(verb, o, value, into);
    }
    return CLI_USAGE;
}

/* ---- arguments */

static bool is_option(const char *arg) { return arg[0] == '-' && arg[1] != '\0'; }

/* One option at argv[*at] with its values. */
static int read_option(const cli_verb *verb, int argc, char **argv, int *at, char *values) {
    const char *arg = argv[*at], *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    const cli_option *o = find(verb, arg, length);
    if (!o) return cli_usage(verb, "unknown option '%.*s'", (int)length, arg);
    if (o->kind == CLI_FLAG) {
        if (equals) return cli_usage(verb, "%s takes no value", o->name);
        return set_value(verb, o, NULL, values);
    }
    if (equals) return set_value(verb, o, equals + 1, values);
    if (*at + 1 >= argc) return cli_usage(verb, "%s needs a value", o->name);
    if (o->kind != CLI_MANY) return set_value(verb, o, argv[++*at], values);
    int first = *at;
    while (*at + 1 < argc && !is_option(argv[*at + 1])) set_value(verb, o, argv[++*at], values);
    return *at > first ? CLI_DONE : cli_usage(verb, "%s needs a value", o->name);
}

static int check_count(const cli_verb *verb, const cli_list *args) {
    int n = (int)args->count;
    if (verb->most_args >= 0 && n > verb->most_args)
        return cli_usage(verb, "unexpected argument '%s'", args->items[verb->most_args]);
    if (n >= verb->least_args) return CLI_DONE;
    const char *end = strpbrk(verb->usage, "\n");
    return cli_usage(verb, "an argument is missing; usage: tinyclip %s %.*s", verb->name,
                     end ? (int)(end - verb->usage) : (int)strlen(verb->usage), verb->usage);
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
    const cli_option *o;
    for (size_t i = 0; (o = cli_option_at(verb, i)); i++)
        if (o->kind == CLI_LIST || o->kind == CLI_MANY)
            cli_list_free((cli_list *)(void *)((char *)values + o->at));
    cli_list_free(args);
}

/* ---- help */

bool cli_default_text(const cli_option *o, const void *values, char *out, size_t size) {
    const char *at = (const char *)values + o->at;
    const char *text =
        o->kind == CLI_TEXT || o->kind == CLI_CHOICE ? *(const char *const *)(const void *)at : NULL;
    if (o->kind == CLI_INT) snprintf(out, size, "%lld", (long long)*(const int64_t *)(const void *)at);
    else if (o->kind == CLI_REAL) snprintf(out, size, "%g", *(const double *)(const void *)at);
    else if (text) snprintf(out, size, "%s", text);
    else return false;
    return true;
}

enum { COLUMNS = 80 };

/* Words of `text` filled into lines up to column 80, each but the first behind `indent` spaces. */
static void print_filled(const char *text, int indent, int column) {
    for (bool first = true; *text; first = false) {
        int n = (int)strcspn(text, " ");
        if (!first && column + 1 + n > COLUMNS) column = printf("\n%*s", indent, "") - 1;
        else if (!first) column += printf(" ");
        column += printf("%.*s", n, text);
        text += n + (text[n] == ' ');
    }
    printf("\n");
}

static void print_option(const cli_option *o, const void *values) {
    char value[96] = "", fallback[64], line[1024];
    if (o->kind == CLI_CHOICE) snprintf(value, sizeof value, " %s", o->choices);
    else if (o->value) snprintf(value, sizeof value, " %s%s", o->value, o->kind == CLI_MANY ? "..." : "");
    bool has_default = cli_default_text(o, values, fallback, sizeof fallback);
    snprintf(line, sizeof line, "%s%s%s%s%s", o->help, o->kind == CLI_LIST ? "; may be repeated" : "",
             has_default ? " [" : "", has_default ? fallback : "", has_default ? "]" : "");
    int column = printf("  %s%s", o->name, value);
    if (column > 26) column = printf("\n") - 1;
    column += printf("%*s", 28 - column, "");
    print_filled(line, 28, column);
}

void cli_print_help(const cli_verb *verb) {
    for (const char *at = verb->usage; *at;) {
        int n = (int)strcspn(at, "\n");
        printf("%s tinyclip %s %.*s\n", at == verb->usage ? "usage:" : "      ", verb->name, n, at);
        at += n + (at[n] == '\n');
    }
    printf("\n");
    for (const char *at = verb->description; *at;) {
        int n = (int)strcspn(at, "\n");
        char *paragraph = tc_strndup(at, (size_t)n);
        if (paragraph) print_filled(paragraph, 0, 0);
        free(paragraph);
        at += n + (at[n] == '\n');
    }
    printf("\noptions:\n");
    const cli_option *own;
    for (size_t i = 0; (own = cli_option_at(verb, i)); i++) print_option(own, verb->defaults);
    for (size_t i = 0; cli_common_options[i].name; i++)
        if (cli_takes_common(verb, i)) print_option(&cli_common_options[i], verb->defaults);
    printf("  --help                    print this and exit\n");
    printf("\nexamples:\n");
    for (const char *at = verb->examples; *at;) {
        int n = (int)strcspn(at, "\n");
        printf("  %.*s\n", n, at);
        at += n + (at[n] == '\n');
    }
}
