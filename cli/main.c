/* main.c - finds the verb that is asked for, and answers what belongs to none: help, version, manual page. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_overview(FILE *f) {
    fprintf(f,
            "usage: tinyclip VERB [arguments]\n\nSmall CLIP models: make them, run them, measure them.\n\n");
    for (size_t i = 0; cli_verb_at(i); i++)
        fprintf(f, "  %-11s %s\n", cli_verb_at(i)->name, cli_verb_at(i)->summary);
    fprintf(f, "\nTo begin with: 'tinyclip demo --quick' shows the whole method;\n"
               "'tinyclip zoo pull NAME' fetches a published model, and\n"
               "'tinyclip classify NAME photo.jpg --labels cat,dog' asks it.\n"
               "'tinyclip help VERB' tells about one verb; 'man tinyclip' about all.\n"
               "Exit codes: 0 done, 1 it failed, 2 wrong usage. Results go to standard output,\n"
               "everything else to standard error.\n"
               "TINYCLIP_CPU=ref|avx2|avx512 limits the instructions that are used.\n");
}

/* A result that did not reach its reader is a failure too. */
static int finish(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fprintf(stderr, "tinyclip: standard output: %s\n", errno ? strerror(errno) : "write error");
    return CLI_FAILED;
}

/* oneDNN's convolutions run on libgomp's threads, which wait for one another 300,000 turns of a loop (14 ms)
 * before they sleep. Where another program wants a processor too, each wait burns a time slice, and two
 * threads are a hundred times slower than one; 3,000 turns cost 1 % on a quiet machine. The library reads the
 * number from the environment before main begins, so the program starts itself once more; a setting of the
 * user's stands. */
static void limit_spinning(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "30000", 1) == 0) execv("/proc/self/exe", argv);
}

static bool is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0) return true;
    return false;
}

static const char *const help_words[] = {"help", "--help", "-h", NULL};
static const char *const version_words[] = {"version", "--version", "-V", NULL};

static bool level_is_known(void) {
    static const char *const levels[] = {"", "ref", "avx2", "avx512", NULL};
    const char *level = getenv("TINYCLIP_CPU");
    if (!level || is_one_of(level, levels)) return true;
    fprintf(stderr, "tinyclip: TINYCLIP_CPU: '%s' is none of ref, avx2 and avx512\n", level);
    return false;
}

static const cli_verb *find_verb(const char *name) {
    for (size_t i = 0; cli_verb_at(i); i++)
        if (strcmp(cli_verb_at(i)->name, name) == 0) return cli_verb_at(i);
    cli_nearest near = {.word = name};
    for (size_t i = 0; cli_verb_at(i); i++) cli_nearest_offer(&near, cli_verb_at(i)->name);
    cli_nearest_offer(&near, help_words[0]);
    cli_nearest_offer(&near, version_words[0]);
    cli_usage(NULL, "'%s' is not a verb%s", name, near.text);
    return NULL;
}

/* Errors are JSON where --json stands among the options of the verb. */
static bool wants_json(int argc, char **argv) {
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0) return true;
    return false;
}

static int run_verb(const cli_verb *verb, int argc, char **argv) {
    if (verb->common & CLI_WITH_THREADS) limit_spinning(argv);
    return finish(verb->run(verb, argc - 2, argv + 2));
}

static int help(const char *name) {
    if (!name) {
        print_overview(stdout);
        return finish(CLI_DONE);
    }
    const cli_verb *verb = find_verb(name);
    if (!verb) return CLI_USAGE;
    cli_print_help(verb);
    return finish(CLI_DONE);
}

int main(int argc, char **argv) {
    if (!level_is_known()) return CLI_USAGE;
    if (argc < 2) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (is_one_of(word, help_words)) return help(argv[2]);
    if (is_one_of(word, version_words)) printf("tinyclip %s\n", tc_version());
    else if (strcmp(word, "--cpu-level") == 0) printf("%s\n", tc_cpu_level());
    else if (strcmp(word, "--manual") == 0) cli_print_manual();
    else if (strcmp(word, "--recipe-keys") == 0) cli_print_recipe_keys();
    else {
        cli_failures_as_json(wants_json(argc, argv));
        const cli_verb *verb = find_verb(word);
        return verb ? run_verb(verb, argc, argv) : finish(CLI_USAGE);
    }
    return finish(CLI_DONE);
}
