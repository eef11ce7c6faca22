/* system.c - what the program needs of the machine and takes no library for: messages of its own errors,
 * paths, the clock. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

tc_status cli_fail(tc_error *err, tc_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (err) vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (err) err->status = status;
    return status;
}

/* ---- paths */

bool cli_ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool cli_path_exists(const char *path) { return access(path, F_OK) == 0; }

bool cli_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

tc_status cli_write_file(const char *path, const char *text, size_t size, tc_error *err) {
    FILE *f = fopen(path, "wb");
    bool written = f && fwrite(text, 1, size, f) == size;
    if (f && fclose(f) != 0) written = false;
    return written ? TC_OK : cli_fail(err, TC_EIO, "%s: cannot write: %s", path, strerror(errno));
}

/* ---- time */

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *cli_duration(double seconds, char *out, size_t size) {
    long s = seconds > 0 && seconds < 1e12 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600) snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
    return out;
}

/* ---- the terminal */

enum { USUAL_COLUMNS = 80 };

int cli_columns(FILE *f) {
    struct winsize size;
    const char *told = getenv("COLUMNS");
    if (!isatty(fileno(f))) return 0;
    if (ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return told && atoi(told) > 0 ? atoi(told) : USUAL_COLUMNS;
}

void cli_fill(FILE *f, const char *text, int indent, int column, int width) {
    for (bool first = true; *text; first = false) {
        int n = (int)strcspn(text, " ");
        if (!first && column + 1 + n > width) column = fprintf(f, "\n%*s", indent, "") - 1;
        else if (!first) column += fprintf(f, " ");
        column += fprintf(f, "%.*s", n, text);
        text += n + (text[n] == ' ');
    }
    fprintf(f, "\n");
}
