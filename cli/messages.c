/* messages.c - what the program says on stderr: remarks and progress. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double PROGRESS_EVERY = 5; /* seconds between lines of progress where stderr is no terminal */

enum { REMARK_INDENT = 4 }; /* of the second line of a remark, and more */

static const double QUIET_FOR = 1; /* seconds that work may take without a word */

static struct {
    bool standing; /* a line of progress stands on the terminal, without its newline */
    bool begun;
    double last;
} progress;

/* Whether a line may be written over: not where the terminal or the user wants no control characters. */
static bool can_rewrite(void) {
    const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 && !(plain && *plain);
}

/* Bytes of a line that fit into `room` characters: whole fields, which two blanks part, as far as they take
 * half of the room, else whole words, else what there is room for. */
static int fitting(const char *line, int room) {
    int field = 0, word = 0, i = 0;
    for (int seen = 0; line[i]; i++) {
        bool begins = ((unsigned char)line[i] & 0xc0) != 0x80; /* not the rest of a character */
        if (begins && seen++ == room) break;
        if (line[i] == ' ') word = i;
        if (line[i] == ' ' && line[i + 1] == ' ') field = i;
    }
    if (!line[i]) return i;
    if (line[i] == ' ') return i;
    if (field >= room / 2) return field;
    return word ? word : i;
}

/* Takes a line of progress off the terminal, where something else is to be said. */
static void erase(void) {
    if (progress.standing) fputs("\r\033[K", stderr);
    progress.standing = false;
}

void cli_log_end(void) {
    if (progress.standing) fputc('\n', stderr);
    progress.standing = false;
}

/* A line that stays; on a terminal it is parted between words. */
static void remark(const char *before, const char *line) {
    int width = can_rewrite() && !strchr(line, '\n') ? cli_columns(stderr) : 0;
    erase();
    fputs(before, stderr);
    if (width) cli_fill(stderr, line, REMARK_INDENT, (int)strlen(before), width);
    else fprintf(stderr, "%s\n", line);
}

void cli_log(void *user, int level, const char *line) {
    (void)user;
    if (level == 0) {
        if (can_rewrite()) {
            /* The last column stays free: a full line would wrap, and then no longer be one to write over. */
            fprintf(stderr, "\r%.*s\033[K", fitting(line, cli_columns(stderr) - 1), line);
            progress.standing = true;
        } else if (!progress.begun || cli_now() - progress.last >= PROGRESS_EVERY) {
            fprintf(stderr, "%s\n", line);
            progress.begun = true;
            progress.last = cli_now();
        }
    } else {
        remark(level >= 2 ? "warning: " : "", line);
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
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    remark("tinyclip: ", line);
}
