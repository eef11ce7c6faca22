/* resume.c - a run that is gone on with by its folder alone: its options as words in the folder's run.json,
 * with the places of files made absolute, and the words read again in front of what is given now. */
#include "training.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the words that start a run again */

/* The place of a file from the root on; of what is not there yet, what it will be. */
static char *absolute(const char *path) {
    char real[PATH_MAX], here[PATH_MAX];
    if (realpath(path, real)) return cli_text("%s", real);
    if (*path == '/' || !getcwd(here, sizeof here)) return cli_text("%s", path);
    return cli_path(here, path);
}

/* Of what may be a name too: as it is unless it is there. idx:IMAGES,LABELS,CLASSES names three files. */
static char *absolute_if_there(const char *value) {
    if (strncmp(value, "idx:", 4) != 0)
        return cli_path_exists(value) ? absolute(value) : cli_text("%s", value);
    char *parts = cli_text("%s", value + 4), *rest = parts, *all = cli_text("idx:");
    for (const char *one; (one = strsep(&rest, ","));) {
        char *place = absolute(one), *longer = cli_text("%s%s%s", all, all[4] ? "," : "", place);
        free(place);
        free(all);
        all = longer;
    }
    free(parts);
    return all;
}

static void add_word(cli_run *r, char *word) {
    r->restart = cli_or_end(realloc(r->restart, ((size_t)r->restart_count + 1) * sizeof *r->restart));
    r->restart[r->restart_count++] = word;
}

static unsigned flags_of(const cli_option *o) {
    return o->kind == CLI_SETTING ? ((const tc_setting *)o->detail)->flags : 0;
}

/* Whether an option belongs to the run, not to one call of the program. */
static bool is_kept(const cli_option *o) {
    if (o->kind == CLI_MAYBE || strcmp(o->name, "--json") == 0 || strcmp(o->name, "--dry-run") == 0)
        return false;
    return !(flags_of(o) & TC_SETTING_CALL);
}

/* The value if it is a text; NULL: it is none, or there is none. */
static const char *text_of(const cli_option *o, const void *values) {
    const char *at = (const char *)values + o->at;
    const tc_setting *s = o->kind == CLI_SETTING ? o->detail : NULL;
    bool text = o->kind == CLI_TEXT || o->kind == CLI_FILE || o->kind == CLI_CHOICE;
    if (s && s->kind == TC_SETTING_TEXT) at += s->at;
    else if (!text) return NULL;
    return *(const char *const *)(const void *)at;
}

/* The value as an option takes it; false if there is none. Goals count too, of which a help text has no
 * default. */
static bool written(const cli_option *o, const void *values, char *out, size_t size) {
    if (o->kind != CLI_SETTING) return cli_default_text(o, values, out, size);
    return *tc_setting_write(o->detail, (const char *)values + o->at, out, size) != '\0';
}

/* The value of an option if it is not its default; the caller frees it. */
static char *value_text(const cli_option *o, const void *values, const void *defaults) {
    char now[64], then[64];
    const char *text = text_of(o, values);
    if (text && flags_of(o) & (TC_SETTING_FILE | TC_SETTING_FOLDER)) return absolute(text);
    if (text) return o->kind == CLI_FILE ? absolute_if_there(text) : cli_text("%s", text);
    if (!written(o, values, now, sizeof now)) return NULL;
    bool same = written(o, defaults, then, sizeof then) && strcmp(now, then) == 0;
    return same ? NULL : cli_text("%s", now);
}

static void keep_option(cli_run *r, const cli_option *o, const void *values, const void *defaults) {
    if (!is_kept(o)) return;
    if (o->kind == CLI_FLAG) {
        if (*((const bool *)values + o->at)) add_word(r, cli_text("%s", o->name));
        return;
    }
    char *value = value_text(o, values, defaults);
    if (value) add_word(r, cli_text("%s=%s", o->name, value));
    free(value);
}

static void keep_words(cli_run *r, const cli_verb *verb, const cli_list *args) {
    const void *defaults = cli_defaults(verb);
    cli_option o;
    add_word(r, cli_text("tinyclip"));
    add_word(r, cli_text("%s", verb->name));
    for (size_t i = 0; i < args->count; i++) add_word(r, absolute_if_there(args->items[i]));
    for (size_t i = 0; cli_option_at(verb, i, &o); i++) keep_option(r, &o, r, defaults);
    for (size_t i = 0; cli_common_options[i].name; i++)
        if (cli_takes_common(verb, i)) keep_option(r, &cli_common_options[i], r, defaults);
}

/* ---- reading them again */

/* What was made absolute was there when the run began. */
static bool is_gone(const char *value) {
    if (strncmp(value, "idx:", 4) != 0) return *value == '/' && !cli_path_exists(value);
    char *parts = cli_text("%s", value + 4), *rest = parts;
    bool gone = false;
    for (const char *one; (one = strsep(&rest, ","));) gone = gone || !cli_path_exists(one);
    free(parts);
    return gone;
}

static int tell_gone(const char *what, const char *value, const char *option) {
    tc_error err = {0};
    cli_fail(&err, TC_EIO, "%s %s is not there any more; say where it is now with %s", what, value, option);
    return cli_failed(&err);
}

/* A file that the run began with and that is gone. */
static int check_files(const cli_verb *verb, const void *values, const cli_list *args) {
    cli_option o;
    if (args->count > 0 && is_gone(args->items[0]))
        return tell_gone("the model", args->items[0], "an argument");
    for (size_t i = 0; cli_option_at(verb, i, &o); i++) {
        const char *value = text_of(&o, values);
        bool needed = o.kind == CLI_FILE || flags_of(&o) & TC_SETTING_FILE;
        if (value && needed && is_gone(value)) return tell_gone(o.name, value, o.name);
    }
    return CLI_DONE;
}

/* The words of the run behind its verb; those that are no options, its arguments, stand first and are left
 * out if there are new ones. False: it was said what is wrong. */
static bool kept_words(const cli_verb *verb, const char *dir, bool new_arguments, char ***words, int *from,
                       int *count) {
    tc_error err = {0};
    if (tc_run_restart(dir, words, count, &err) != TC_OK) return cli_failed(&err) == CLI_DONE;
    if (*count < 2 || strcmp((*words)[1], verb->name) != 0) {
        cli_fail(&err, TC_EARG, "%s: it is no run of %s%s%s", dir, verb->name, *count < 2 ? "" : ", but of ",
                 *count < 2 ? "" : (*words)[1]);
        return cli_failed(&err) == CLI_DONE;
    }
    for (*from = 2; new_arguments && *from < *count && *(*words)[*from] != '-';) ++*from;
    return true;
}

/* The same with the words that the folder keeps in front. */
static bool parse_kept(const cli_verb *verb, int argc, char **argv, void *values, size_t size, cli_list *args,
                       int *code) {
    const char *dir = ((cli_run *)values)->resume;
    char **words = NULL;
    int from = 0, count = 0;
    bool kept = kept_words(verb, dir, args->count > 0, &words, &from, &count);
    int n = kept ? count - from + argc : 0;
    char **all = cli_new((size_t)n + 1, sizeof *all);
    for (int i = 0; kept && i < n; i++)
        all[i] = i < count - from ? words[from + i] : argv[i - (count - from)];
    cli_release(verb, values, args);
    memcpy(values, cli_defaults(verb), size);
    *code = CLI_FAILED;
    bool parsed = kept && cli_parse(verb, n, all, values, args, code);
    free(all);
    if (parsed) ((cli_run *)values)->kept = words;
    else free(words);
    return parsed;
}

/* The folder of --resume is that of the run. */
static int check_out(const cli_verb *verb, const char *dir, const char **out) {
    if (*out && strcmp(*out, dir) != 0)
        return cli_usage(verb, "--resume %s and --out %s are two folders; name one", dir, *out);
    *out = dir;
    return CLI_DONE;
}

bool cli_run_parse(const cli_verb *verb, int argc, char **argv, void *values, size_t size, const char **out,
                   cli_list *args, int *code) {
    cli_run *r = values;
    memcpy(values, cli_defaults(verb), size);
    if (!cli_parse(verb, argc, argv, values, args, code)) return false;
    bool alone = r->resume && *r->resume;
    if (alone && !parse_kept(verb, argc, argv, values, size, args, code)) return false;
    if (alone) *code = check_out(verb, r->resume, out);
    if (alone && *code == CLI_DONE) *code = check_files(verb, values, args);
    if (*code == CLI_DONE) keep_words(r, verb, args);
    else cli_run_release(verb, values, args);
    return *code == CLI_DONE;
}

void cli_run_release(const cli_verb *verb, void *values, cli_list *args) {
    cli_run *r = values;
    for (int i = 0; i < r->restart_count; i++) free(r->restart[i]);
    free(r->restart);
    free(r->kept);
    cli_release(verb, values, args);
}
