/* lines.c - texts with one entry a line: class names, prompt templates. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_LIMIT = 16 << 20 };

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

void tc_lines_free(char **lines, int count) {
    for (int i = 0; lines && i < count; i++) free(lines[i]);
    free(lines);
}

tc_status tc_lines_parse(char ***out, int *count, const char *text, size_t size, const char *name,
                         const char *needed, bool gapless, tc_error *err) {
    char **lines = NULL;
    size_t n = 0, capacity = 0, number = 0;
    bool gap = false;
    tc_status status = TC_OK;
    const char *p = text, *end = text + size;
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end && status == TC_OK) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        const char *a = p, *b = stop;
        number++;
        p = newline ? newline + 1 : end;
        while (a < b && is_space(*a)) a++;
        while (b > a && is_space(b[-1])) b--;
        if (a == b) {
            gap = true;
            continue;
        }
        char *line = tc_strndup(a, (size_t)(b - a));
        if (!line || !tc_grow(&lines, &capacity, n + 1, sizeof *lines)) {
            free(line);
            status = tc_fail_memory(err, size);
            break;
        }
        lines[n++] = line;
        if (gapless && gap) status = tc_fail(err, TC_EFORMAT, "%s: line %zu is empty", name, number - 1);
        else if (strlen(line) != (size_t)(b - a))
            status = tc_fail(err, TC_EFORMAT, "%s: line %zu holds a NUL byte", name, number);
        else if (needed && !strstr(line, needed))
            status = tc_fail(err, TC_EFORMAT, "%s: line %zu has no %s", name, number, needed);
    }
    if (status == TC_OK && n == 0) status = tc_fail(err, TC_EFORMAT, "%s: no lines", name);
    if (status != TC_OK) {
        tc_lines_free(lines, (int)n);
        return status;
    }
    *out = lines;
    *count = (int)n;
    return TC_OK;
}

tc_status tc_lines_read(char ***out, int *count, const char *path, const char *needed, bool gapless,
                        tc_error *err) {
    char *text;
    size_t size;
    tc_status status = tc_file_read(path, LINES_LIMIT, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_lines_parse(out, count, text, size, path, needed, gapless, err);
    free(text);
    return status;
}

void tc_copy_text(char *buffer, size_t size, const char *text, size_t n) {
    if (size == 0) return;
    if (n >= size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    }
    memmove(buffer, text, n);
    buffer[n] = 0;
}
