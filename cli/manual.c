/* manual.c - the manual page, in roff, from the tables that the help texts come from, so that the two say the
 * same. docs/tinyclip.1 is this output.
 */
#include "cli.h"

#include <string.h>

/* Text with roff's own characters escaped; n < 0: all of it. */
static void put(const char *s, int n) {
    for (int i = 0; s[i] && (n < 0 || i < n); i++) {
        if (s[i] == '\\') fputs("\\e", stdout);
        else if (s[i] == '-') fputs("\\-", stdout);
        else if (s[i] == '\'') fputs("\\(aq", stdout);
        else if (s[i] == '.' && i == 0) fputs("\\&.", stdout);
        else putchar(s[i]);
    }
}

/* Each line of `text` behind the request `before`. */
static void put_lines(const char *text, const char *before, const char *prefix) {
    for (const char *at = text; *at;) {
        int n = (int)strcspn(at, "\n");
        printf("%s", before);
        put(prefix, -1);
        put(at, n);
        printf("\n");
        at += n + (at[n] == '\n');
    }
}

static void put_option(const cli_option *o, const void *values) {
    char fallback[64];
    printf(".TP\n\\fB");
    put(o->name, -1);
    printf("\\fR");
    if (o->kind == CLI_CHOICE) {
        printf(" ");
        put(o->detail, -1);
    } else if (o->value) {
        printf(" %s\\fI", o->kind == CLI_MAYBE ? "[" : "");
        put(o->value, -1);
        printf("\\fR%s%s", o->kind == CLI_MANY ? "..." : "", o->kind == CLI_MAYBE ? "]" : "");
    }
    printf("\n");
    put(o->help, -1);
    if (o->kind == CLI_LIST) printf("; may be repeated");
    if (cli_default_text(o, values, fallback, sizeof fallback)) {
        printf(" [");
        put(fallback, -1);
        printf("]");
    }
    printf("\n");
}

static void put_verb(const cli_verb *v) {
    char prefix[64];
    printf(".SH \"tinyclip %s\"\n.nf\n", v->name);
    snprintf(prefix, sizeof prefix, "tinyclip %s ", v->name);
    put_lines(v->usage, "", prefix);
    printf(".fi\n");
    put_lines(v->description, ".PP\n", "");
    cli_option o;
    const void *defaults = cli_defaults(v);
    for (size_t i = 0; cli_option_at(v, i, &o); i++) put_option(&o, defaults);
    printf(".PP\nCommon options:");
    for (size_t i = 0; cli_common_options[i].name; i++) {
        if (!cli_takes_common(v, i)) continue;
        printf(" ");
        put(cli_common_options[i].name, -1);
    }
    printf("\n.PP\nExamples:\n.nf\n.RS 4\n");
    put_lines(v->examples, "", "");
    printf(".RE\n.fi\n");
}

static void put_keys(void) {
    printf(
        ".SH JSON\nWith \\-\\-json a verb prints one object on one line of standard output. Where it fails "
        "that is\n"
        "{\"error\": {\"status\": ..., \"message\": ...}}; exit code and standard error are as without it.\n"
        "A key means the same whatever the verb. Parts are from 0 to 1.\n");
    for (const cli_key *k = cli_keys; k->meaning; k++) {
        if (k->name) printf(".TP\n\\fB%s\\fR (%s)\n", k->name, k->type);
        else printf(".SS \"%s\"\n", k->meaning);
        if (k->name) put(k->meaning, -1);
        if (k->name) printf("\n");
    }
}

void cli_print_manual(void) {
    printf(".\\\" Printed by tinyclip --manual.\n.TH TINYCLIP 1 \"\" \"tinyclip %s\" \"User commands\"\n.SH "
           "NAME\n",
           tc_version());
    printf("tinyclip \\- small CLIP models: make them, run them, measure them\n.SH SYNOPSIS\n.B tinyclip\n.I "
           "VERB\n[arguments]\n.SH DESCRIPTION\n");
    printf("One program for CLIP models that are made small by weight inheritance and affinity "
           "mimicking.\nThe verbs:\n");
    for (size_t i = 0; cli_verb_at(i); i++) {
        printf(".TP\n.B %s\n", cli_verb_at(i)->name);
        put(cli_verb_at(i)->summary, -1);
        printf("\n");
    }
    printf(".PP\nA MODEL is a Hugging Face or OpenCLIP folder, a single .safetensors file of this program, a "
           "checkpoint (.safetensors, .pt, .bin) under "
           "the names\n"
           "of OpenCLIP, OpenAI, transformers or TinyCLIP, with its configuration beside it (NAME.json), in "
           "\\-\\-model\\-config or told by its "
           "tensors, or the\n"
           "name of a published model whose weights \"tinyclip zoo pull\" has fetched.\n"
           "Images are files (JPEG, PNG, WebP, GIF or BMP, recognised by content), folders (every image "
           "below, sorted by path), or \\- for a list on\n"
           "standard input, one name a line.\n");
    for (size_t i = 0; cli_verb_at(i); i++) put_verb(cli_verb_at(i));
    printf(".SH \"COMMON OPTIONS\"\n");
    static const cli_common none;
    for (size_t i = 0; cli_common_options[i].name; i++) put_option(&cli_common_options[i], &none);
    printf(".TP\n\\fB\\-\\-help\\fR\nprint the help text of the verb and exit\n");
    printf(".SH \"EXIT STATUS\"\n0: done. 1: it failed; one line on standard error tells what was wrong and "
           "where. 2: wrong usage.\n"
           "The verb diff has its own: 0 the same, 1 different, 2 trouble.\n");
    put_keys();
    printf(
        ".SH ENVIRONMENT\n.TP\n.B TINYCLIP_CPU\nref, avx2 or avx512: the instructions that are used at most, "
        "oneDNN's included.\n"
        ".TP\n.B XDG_CACHE_HOME\nthe folder that tinyclip/ with the weights of published models lies in; "
        "~/.cache unless it is set.\n"
        ".TP\n.B TINYCLIP_ZOO_URL\nwhere published models are downloaded from, instead of the release page.\n"
        ".TP\n.B GOMP_SPINCOUNT\nhow long threads of oneDNN's convolutions wait for one another before they "
        "sleep; "
        "the program sets 30000 unless this or OMP_WAIT_POLICY is set.\n");
}
