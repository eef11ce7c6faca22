/* cmd_report.c - a compression as a page to look at. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct report_args {
    cli_common common;
    const char *out;
    int64_t examples;
    double measure;
} report_args;

static const report_args defaults = {.examples = TC_REPORT_EXAMPLES};
static const cli_option options[] = {
    {"-o", "FILE", CLI_TEXT, offsetof(report_args, out), "the page; without it DIR/report.html", 0, 0, NULL},
    {"--examples", "N", CLI_INT, offsetof(report_args, examples),
     "held-out images that are shown with what teacher and students make of them; 0: none, and no model is "
     "opened",
     0, TC_REPORT_MOST_EXAMPLES, NULL},
    {"--measure", "SECONDS", CLI_REAL, offsetof(report_args, measure),
     "measure the speed of teacher and students in one go, in turn, so long for each tower of each, and keep "
     "it in DIR/speed.json, which later reports read; 0: not",
     0, 600, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static int run(const cli_verb *verb, int argc, char **argv) {
    report_args o = defaults;
    cli_list args = {0};
    tc_error err = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    char *page = cli_path(args.items[0], "report.html");
    tc_report_options r = tc_report_options_default();
    tc_report_result result = {0};
    r.dir = args.items[0];
    r.out = o.out ? o.out : page;
    r.examples = (int)o.examples;
    r.speed_seconds = o.measure;
    r.log = cli_log;
    tc_status status = tc_report_write(&r, &result, &err);
    if (status == TC_OK && o.common.json)
        cli_print_json(json_pack("{s:o, s:i, s:I}", "output", cli_json_text(r.out), "compressions",
                                 result.compressions, "bytes", (json_int_t)result.bytes));
    else if (status == TC_OK)
        printf("wrote %s: %d compression%s, %zu kB\n", r.out, result.compressions,
               result.compressions > 1 ? "s" : "", (result.bytes + 999) / 1000);
    free(page);
    cli_release(verb, &o, &args);
    return status == TC_OK ? CLI_DONE : cli_failed(&err);
}

const cli_verb cmd_report = {
    .name = "report",
    .summary = "a page about a compression: figures, curves, structure, examples",
    .usage = "DIR [-o report.html] [--examples N] [--measure SECONDS]",
    .description =
        "Makes one page of HTML from the folder of a compression, or from a folder that holds "
        "several of one teacher: what happened in a sentence; teacher and students with accuracy, "
        "parameters, multiply-accumulates and speed; commands that use the students; accuracy by "
        "class and what is taken for what; held-out images with what each model makes of them; the "
        "heads and channels that each layer kept; accuracy, loss and sparsity over the steps; how "
        "all of it was made, with commands and checksums.\n"
        "The page needs no other file, no network and no script. A compression that is not "
        "finished gives a page that says how far it is. What compress.json does not hold is left "
        "out, and the page says so. For the examples the data and the models that it names are "
        "opened.",
    .examples = "tinyclip report small -o report.html\ntinyclip report build/demo --examples 24",
    .options = options,
    .common = CLI_WITH_THREADS | CLI_WITH_JSON,
    .defaults = &defaults,
    .least_args = 1,
    .most_args = 1,
    .run = run};
