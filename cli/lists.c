/* lists.c - the memory of the program: it ends where there is none left, so that no verb has to ask. Texts,
 * lists of them, paths made of parts. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* ---- texts and paths */

char *cli_text(const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int failed = vasprintf(&text, format, args) < 0;
    va_end(args);
    return cli_or_end(failed ? NULL : text);
}

char *cli_path(const char *dir, const char *name) {
    return cli_text("%s%s%s", dir, cli_ends_with(dir, "/") ? "" : "/", name);
}

tc_status cli_make_dirs(const char *path, tc_error *err) {
    char *copy = cli_text("%s/", path);
    tc_status status = TC_OK;
    for (char *at = copy; status == TC_OK && (at = strchr(at + 1, '/'));) {
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && cli_path_is_dir(copy)))
            status = cli_fail(err, TC_EIO, "%s: cannot make the folder: %s", copy, strerror(errno));
        *at = '/';
    }
    free(copy);
    return status;
}
