/* scratch.h - temporary folders and files for tests. */
#ifndef TC_SCRATCH_H
#define TC_SCRATCH_H

#include "base/base.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A new empty folder under $TMPDIR; the caller gives it to scratch_remove. */
static inline char *scratch_dir(void) {
    const char *tmp = getenv("TMPDIR");
    char *dir = tc_path_join(tmp && *tmp ? tmp : "/tmp", "tinyclip-test-XXXXXX");
    if (!dir || !mkdtemp(dir)) {
        perror("mkdtemp");
        exit(1);
    }
    return dir;
}

static inline int scratch_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void scratch_remove(char *dir) {
    nftw(dir, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

/* Writes dir/name and gives its path (static: valid until the 8th next call). */
static inline const char *scratch_file(const char *dir, const char *name, const void *data, size_t size) {
    static char *paths[8];
    static int next;
    free(paths[next % 8]);
    char *path = paths[next++ % 8] = tc_path_join(dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    return path;
}

/* A 24-bit BMP of side x side pixels, all of one gray. */
static inline const char *scratch_bmp(const char *dir, const char *name, int side, uint8_t gray) {
    size_t line = ((size_t)side * 3 + 3) / 4 * 4, size = 54 + line * (size_t)side;
    uint8_t *b = malloc(size);
    const uint32_t head[13] = {(uint32_t)size,
                               0,
                               54,
                               40,
                               (uint32_t)side,
                               (uint32_t)side,
                               1 | 24 << 16,
                               0,
                               (uint32_t)(line * (size_t)side),
                               2835,
                               2835,
                               0,
                               0};
    b[0] = 'B';
    b[1] = 'M';
    memcpy(b + 2, head, sizeof head);
    memset(b + 54, gray, size - 54);
    const char *path = scratch_file(dir, name, b, size);
    free(b);
    return path;
}

static inline const char *scratch_text(const char *dir, const char *name, const char *text) {
    return scratch_file(dir, name, text, strlen(text));
}

#endif
