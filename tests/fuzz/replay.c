/* replay.c - runs a fuzz target over the files of its corpus, so that `make check` repeats what fuzzing has
 * found: replay_X FOLDER. Linked with fuzz_X.c; prints one TAP line a file. A target that fails ends the
 * program. */
#include "base/base.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* The target gets a block of exactly the file's size, so that a sanitizer sees every read behind it. */
static bool replay(const char *path) {
    char *data;
    size_t size;
    tc_error err;
    if (tc_file_read(path, 1 << 26, &data, &size, &err) != TC_OK) {
        printf("# %s\n", err.message);
        return false;
    }
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) {
        if (size) memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(data);
    return exact != NULL;
}

int main(int argc, char **argv) {
    struct dirent **names;
    int n = argc == 2 ? scandir(argv[1], &names, visible, alphasort) : -1, failed = 0;
    if (n < 1) {
        fprintf(stderr, "usage: %s FOLDER (with files)\n", argv[0]);
        return 2;
    }
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        char *path = tc_path_join(argv[1], names[i]->d_name);
        bool ok = path && replay(path);
        printf("%sok %d - %s\n", ok ? "" : "not ", i + 1, names[i]->d_name);
        fflush(stdout);
        failed += !ok;
        free(path);
        free(names[i]);
    }
    free(names);
    return failed != 0;
}
