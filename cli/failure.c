/* failure.c - how a verb says that it failed: a line on standard error, and with --json an object on standard
 * output too. */
#include "cli.h"

static bool as_json;

void cli_failures_as_json(bool wanted) { as_json = wanted; }

json_t *cli_json_error(const char *status, const char *message) {
    json_t *error = json_object();
    json_object_set_new(error, "status", json_string(status));
    json_object_set_new(error, "message", cli_json_text(message));
    return error;
}

static void print_json(const char *status, const char *message) {
    json_t *all = json_object();
    json_object_set_new(all, "error", cli_json_error(status, message));
    cli_print_json(all);
}

int cli_failed(const tc_error *err) {
    cli_say("%s", err->message);
    if (as_json) print_json(tc_status_name(err->status), err->message);
    return CLI_FAILED;
}

int cli_usage(const cli_verb *verb, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    cli_log_end();
    fprintf(stderr, "tinyclip%s%s: %s\nTry 'tinyclip %s%s--help'.\n", verb ? " " : "", verb ? verb->name : "",
            message, verb ? verb->name : "", verb ? " " : "");
    if (as_json) print_json("usage", message);
    return CLI_USAGE;
}
