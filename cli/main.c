/* main.c - the table of verbs, and what belongs to none of them. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_verb *const verbs[] = {
    &cmd_classify, &cmd_score,   &cmd_embed,   &cmd_tokenize, &cmd_preprocess, &cmd_info,
    &cmd_train,    &cmd_inherit, &cmd_distill, &cmd_compress, &cmd_report,     &cmd_convert,
    &cmd_eval,     &cmd_bench,   &cmd_verify,  &cmd_demo,     &cmd_zoo,        &cmd_diff};

const cli_verb *cli_verb_at(size_t i) { return i < sizeof verbs / sizeof *verbs ? verbs[i] : NULL; }

void cli_print_overview(FILE *f) {
    fprintf(f,
            "usage: tinyclip VERB [arguments]\n\nSmall CLIP models: make them, run them, measure them.\n\n");
    for (size_t i = 0; cli_verb_at(i); i++)
        fprintf(f, "  %-11s %s\n", cli_verb_at(i)->name, cli_verb_at(i)->summary);
    fprintf(f, "\n'tinyclip VERB --help' tells about one verb; 'man tinyclip' about all.\n"
               "Exit codes: 0 done, 1 it failed, 2 wrong usage. Results go to standard output, everything "
               "else to standard error.\n"
               "TINYCLIP_CPU=ref|avx2|avx512 limits the instructions that are used.\n");
}

/* A result that did not reach its reader is a failure too. */
static int finish(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fprintf(stderr, "tinyclip: standard output: %s\n", errno ? strerror(errno) : "write error");
    return CLI_FAILED;
}

/* libgomp's threads wait for one another 300,000 turns of a loop (14 ms) before they sleep. Where another
 * program wants a processor too, each wait burns a time slice, and two threads are a hundred times slower
 * than one; 3,000 turns cost 1 % on a quiet machine. The library reads the number from the environment before
 * main begins, so the program starts itself once more; a setting of the user's stands. */
static void limit_spinning(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "30000", 1) == 0) execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : NULL, *level = getenv("TINYCLIP_CPU");
    if (level && *level && strcmp(level, "ref") != 0 && strcmp(level, "avx2") != 0 &&
        strcmp(level, "avx512") != 0) {
        fprintf(stderr, "tinyclip: TINYCLIP_CPU: '%s' is none of ref, avx2 and avx512\n", level);
        return CLI_USAGE;
    }
    if (!verb) {
        cli_print_overview(stderr);
        return CLI_USAGE;
    }
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || (strcmp(verb, "help") == 0 && argc == 2)) {
        cli_print_overview(stdout);
        return finish(CLI_DONE);
    }
    if (strcmp(verb, "--version") == 0 || strcmp(verb, "--cpu-level") == 0) {
        printf("%s%s\n", strcmp(verb, "--version") == 0 ? "tinyclip " : "",
               strcmp(verb, "--version") == 0 ? TC_VERSION : tc_cpu_level());
        return finish(CLI_DONE);
    }
    if (strcmp(verb, "--manual") == 0) {
        cli_print_manual();
        return finish(CLI_DONE);
    }
    bool help = strcmp(verb, "help") == 0;
    if (help) verb = argv[2];
    for (size_t i = 0; cli_verb_at(i); i++) {
        const cli_verb *v = cli_verb_at(i);
        if (strcmp(v->name, verb) != 0) continue;
        if (help) cli_print_help(v);
        else if (v->common & CLI_WITH_THREADS) limit_spinning(argv);
        return finish(help ? CLI_DONE : v->run(v, argc - 2, argv + 2));
    }
    fprintf(stderr, "tinyclip: '%s' is not a verb\nTry 'tinyclip --help'.\n", verb);
    return CLI_USAGE;
}
