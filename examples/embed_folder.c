/* embed_folder.c - the embeddings of all pictures in a folder as a NumPy file, one row of length 1 a picture,
 * whose names are printed in the same order.  embed_folder MODEL FOLDER OUT.npy
 *
 *   cc embed_folder.c -o embed_folder $(pkg-config --cflags --libs tinyclip)
 *
 * Pictures are decoded by all threads and embedded 64 at a time; damaged ones are told and left out. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tinyclip.h>

static int fail(const char *why) {
    fprintf(stderr, "embed_folder: %s\n", why);
    return 1;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The pictures in a folder, known by their first bytes, in the order of their names; NULL if there is none.
 */
static char **list_pictures(const char *folder, int64_t *count) {
    char **paths = NULL;
    DIR *dir = opendir(folder);
    *count = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t size = strlen(folder) + strlen(e->d_name) + 2;
        char *path = malloc(size);
        char **grown = realloc(paths, ((size_t)*count + 1) * sizeof *paths);
        if (!path || !grown) exit(fail("out of memory"));
        paths = grown;
        snprintf(path, size, "%s/%s", folder, e->d_name);
        if (tc_picture_kind(path)) paths[(*count)++] = path;
        else free(path);
    }
    if (dir) closedir(dir);
    if (*count) qsort(paths, (size_t)*count, sizeof *paths, by_name);
    return paths;
}

static void tell_bad(void *user, int64_t index, const tc_error *error) {
    (void)user, (void)index;
    fprintf(stderr, "embed_folder: left out: %s\n", error->message);
}

static void tell_progress(void *user, int64_t done, int64_t all) {
    (void)user;
    fprintf(stderr, "embed_folder: %lld of %lld\n", (long long)done, (long long)all);
}

int main(int argc, char **argv) {
    if (argc != 4) return fail("usage: embed_folder MODEL FOLDER OUT.npy");
    tc_error err;
    tc_model *model = NULL;
    tc_session *session = NULL;
    tc_image_pass *pass = NULL;
    tc_image_pass_options o = tc_image_pass_options_default();
    char **paths = list_pictures(argv[2], &o.count);
    if (o.count == 0) return fail("the folder is not there, or holds no picture");
    o.paths = (const char *const *)paths;
    o.normalize = true;
    o.on_bad = tell_bad;
    o.on_progress = tell_progress;
    if (tc_model_open(&model, argv[1], NULL, &err) != TC_OK ||
        tc_session_create(&session, model, &err) != TC_OK ||
        tc_image_pass_open(&pass, session, &o, &err) != TC_OK)
        return fail(err.message);

    size_t dim = (size_t)tc_model_get_info(model)->embed_dim;
    float *rows = calloc((size_t)o.count * dim, sizeof *rows);
    if (!rows) return fail("out of memory");
    int64_t shape[2] = {0, (int64_t)dim};
    const int64_t *index;
    const float *embeds;
    int n;
    do {
        if (tc_image_pass_next(pass, &n, &index, &embeds, &err) != TC_OK) return fail(err.message);
        memcpy(rows + (size_t)shape[0] * dim, embeds, (size_t)n * dim * sizeof *rows);
        for (int i = 0; i < n; i++) printf("%s\n", paths[index[i]]);
        shape[0] += n;
    } while (n > 0);
    if (tc_array_write(argv[3], "F32", 2, shape, rows, &err) != TC_OK) return fail(err.message);

    for (int64_t i = 0; i < o.count; i++) free(paths[i]);
    free(paths), free(rows);
    tc_image_pass_close(&pass);
    tc_session_close(&session);
    tc_model_close(&model);
    return 0;
}
