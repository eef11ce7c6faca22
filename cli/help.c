/* help.c - the help text of a verb, from its option table. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static bool setting_text(const tc_setting *s, const void *structure, char *out, size_t size) {
    bool amount = s->kind == TC_SETTING_PART || s->kind == TC_SETTING_PARAMS || s->kind == TC_SETTING_MACS;
    return !amount && *tc_setting_write(s, structure, out, size) != 0;
}

bool cli_default_text(const cli_option *o, const void *values, char *out, size_t size) {
    const char *at = (const char *)values + o->at;
    if (o->kind == CLI_SETTING) return setting_text(o->detail, at, out, size);
    bool is_text = o->kind == CLI_TEXT || o->kind == CLI_FILE || o->kind == CLI_CHOICE;
    const char *text = is_text ? *(const char *const *)(const void *)at : NULL;
    if (o->kind == CLI_INT) snprintf(out, size, "%lld", (long long)*(const int64_t *)(const void *)at);
    else if (o->kind == CLI_REAL) snprintf(out, size, "%g", *(const double *)(const void *)at);
    else if (text) snprintf(out, size, "%s", text);
    else return false;
    return true;
}

enum { COLUMNS = 80 };

static void print_option(const cli_option *o, const void *values) {
    char value[96] = "", fallback[64], line[1024];
    if (o->kind == CLI_CHOICE) snprintf(value, sizeof value, " %s", (const char *)o->detail);
    else if (o->kind == CLI_MAYBE) snprintf(value, sizeof value, " [%s]", o->value);
    else if (o->value) snprintf(value, sizeof value, " %s%s", o->value, o->kind == CLI_MANY ? "..." : "");
    bool has_default = cli_default_text(o, values, fallback, sizeof fallback);
    snprintf(line, sizeof line, "%s%s%s%s%s", o->help, o->kind == CLI_LIST ? "; may be repeated" : "",
             has_default ? " [" : "", has_default ? fallback : "", has_default ? "]" : "");
    int column = printf("  %s%s", o->name, value);
    if (column > 26) column = printf("\n") - 1;
    column += printf("%*s", 28 - column, "");
    cli_fill(stdout, line, 28, column, COLUMNS);
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
        char *paragraph = cli_text("%.*s", n, at);
        cli_fill(stdout, paragraph, 0, 0, COLUMNS);
        free(paragraph);
        at += n + (at[n] == '\n');
    }
    printf("\noptions:\n");
    cli_option own;
    const void *defaults = cli_defaults(verb);
    for (size_t i = 0; cli_option_at(verb, i, &own); i++) print_option(&own, defaults);
    for (size_t i = 0; cli_common_options[i].name; i++)
        if (cli_takes_common(verb, i)) print_option(&cli_common_options[i], defaults);
    printf("  --help                    print this and exit\n");
    printf("\nexamples:\n");
    for (const char *at = verb->examples; *at;) {
        int n = (int)strcspn(at, "\n");
        printf("  %.*s\n", n, at);
        at += n + (at[n] == '\n');
    }
}
