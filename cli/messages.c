/* messages.c - what the program says on stderr: remarks and progress. Also the lists and the memory of
 * the program. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double PROGRESS_EVERY = 5; /* seconds between lines of progress where stderr is no terminal */

static const double QUIET_FOR = 1; /* seconds that work may take without a word */

static struct {
    bool standing; /* a line of progress stands on the terminal, without its newline */
    bool begun;
    double last;
} progress;

void cli_log_end(void) {
    if (progress.standing) fputc('\n', stderr);
    progress.standing = false;
}

void cli_log(void *user, int level, const char *line) {
    (void)user;
    if (level == 0) {
        if (isatty(STDERR_FILENO)) {
            fprintf(stderr, "\r%s\033[K", line);
            progress.standing = true;
        } else if (!progress.begun || cli_now() - progress.last >= PROGRESS_EVERY) {
            fprintf(stderr, "%s\n", line);
            progress.begun = true;
            progress.last = cli_now();
        }
    } else {
        cli_log_end();
        fprintf(stderr, "%s%s\n", level >= 2 ? "warning: " : "", line);
    }
    fflush(stderr);
}

void cli_progress(const char *what, size_t done, size_t all, double start) {
    char line[96];
    double seconds = cli_now() - start;
    if (seconds < QUIET_FOR) return;
    snprintf(line, sizeof line, "%zu of %zu %s, %.0f a second", done, all, what, (double)done / seconds);
    cli_log(NULL, 0, line);
}

void cli_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    cli_log_end();
    fprintf(stderr, "tinyclip: ");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- memory and lists */

void *cli_or_end(void *p) {
    if (p) return p;
    cli_say("out of memory");
    exit(CLI_FAILED);
}

void *cli_new(size_t n, size_t size) { return cli_or_end(calloc(n ? n : 1, size)); }

void cli_list_add(cli_list *l, const char *s) {
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 16;
        l->items = cli_or_end(reallocarray(l->items, l->capacity, sizeof *l->items));
    }
    l->items[l->count++] = cli_text("%s", s);
}

void cli_list_free(cli_list *l) {
    for (size_t i = 0; i < l->count; i++) free(l->items[i]);
    free(l->items);
    *l = (cli_list){0};
}
