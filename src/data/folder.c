/* folder.c - image files with a .txt of the same name beside them, at any depth: the `files` layout of
 * img2dataset, and Tux Paint's stamps.
 *
 * The caption is the first non-empty line of the .txt; Tux Paint's translations are on later lines. Samples
 * are in the order of their paths. Only regular files count: a link is followed if it leads to a file inside
 * the folder, linked folders are not entered. */
#include "data/source.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 64, CAPTION_FILE_LIMIT = 1 << 20 };

typedef struct entry {
    char *path;  /* below the root */
    size_t stem; /* length without the extension */
    bool text;
} entry;

typedef struct folder {
    char *root;
    entry *images; /* the samples */
    size_t n, capacity;
} folder;

typedef struct walk {
    const char *root;
    char real_root[PATH_MAX];
    entry *entries;
    size_t n, capacity;
    int64_t links, deep;
} walk;

static void free_entries(entry *e, size_t n) {
    for (size_t i = 0; i < n; i++) free(e[i].path);
    free(e);
}

/* 1: image, 2: caption, 0: neither. */
static int kind_of(const char *name, size_t *stem) {
    static const char *const images[] = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"};
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name) return 0;
    *stem = (size_t)(dot - name);
    if (strcmp(dot, ".txt") == 0 || strcmp(dot, ".TXT") == 0) return 2;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        if (strcasecmp(dot, images[i]) == 0) return 1;
    return 0;
}

static bool link_stays_inside(const walk *w, const char *path) {
    char real[PATH_MAX];
    size_t n = strlen(w->real_root);
    return realpath(path, real) && strncmp(real, w->real_root, n) == 0 &&
           (real[n] == '/' || w->real_root[n - 1] == '/');
}

static tc_status walk_folder(walk *w, const char *below, int depth, tc_error *err);

/* Takes `rel` over. */
static tc_status add_entry(walk *w, char *rel, int depth, tc_error *err) {
    struct stat st;
    size_t stem = 0;
    const char *slash = strrchr(rel, '/'), *name = slash ? slash + 1 : rel;
    int kind = kind_of(name, &stem);
    char *path = tc_path_join(w->root, rel);
    tc_status status = path ? TC_OK : tc_fail_memory(err, strlen(rel));
    bool there = path && lstat(path, &st) == 0, keep = false;
    if (there && S_ISDIR(st.st_mode)) {
        status = walk_folder(w, rel, depth + 1, err);
    } else if (there && kind && S_ISLNK(st.st_mode)) {
        keep = stat(path, &st) == 0 && S_ISREG(st.st_mode) && link_stays_inside(w, path);
        w->links += !keep;
    } else if (there && kind) {
        keep = S_ISREG(st.st_mode);
    }
    if (keep && !tc_grow(&w->entries, &w->capacity, w->n + 1, sizeof *w->entries)) {
        status = tc_fail_memory(err, w->n * sizeof *w->entries);
        keep = false;
    }
    if (keep) w->entries[w->n++] = (entry){rel, (size_t)(name - rel) + stem, kind == 2};
    else free(rel);
    free(path);
    return status;
}

/* below: path of the folder below the root, "" for the root itself. */
static tc_status walk_folder(walk *w, const char *below, int depth, tc_error *err) {
    if (depth > MAX_DEPTH) {
        w->deep++;
        return TC_OK;
    }
    char *path = *below ? tc_path_join(w->root, below) : tc_strdup(w->root);
    if (!path) return tc_fail_memory(err, strlen(below));
    DIR *dir = opendir(path);
    tc_status status = dir ? TC_OK : tc_fail(err, TC_EIO, "%s: cannot list: %s", path, strerror(errno));
    struct dirent *e;
    while (status == TC_OK && (e = readdir(dir))) {
        if (e->d_name[0] == '.') continue; /* hidden, or the folder itself */
        char *rel = *below ? tc_path_join(below, e->d_name) : tc_strdup(e->d_name);
        status = rel ? add_entry(w, rel, depth, err) : tc_fail_memory(err, strlen(below));
    }
    if (dir) closedir(dir);
    free(path);
    return status;
}

static int by_stem(const void *pa, const void *pb) {
    const entry *a = pa, *b = pb;
    int c = memcmp(a->path, b->path, a->stem < b->stem ? a->stem : b->stem);
    if (c) return c;
    if (a->stem != b->stem) return a->stem < b->stem ? -1 : 1;
    if (a->text != b->text) return a->text ? -1 : 1;
    return strcmp(a->path, b->path);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const entry *)a)->path, ((const entry *)b)->path);
}

static bool same_stem(const entry *a, const entry *b) {
    return a->stem == b->stem && memcmp(a->path, b->path, a->stem) == 0;
}

/* An image whose stem has a caption becomes a sample. In the sorted list the caption comes first. ".txt" and
 * ".TXT" of one stem: the first counts. */
static bool pair_up(tc_data *d, folder *f, walk *w) {
    int64_t lonely_images = 0, lonely_captions = 0;
    if (w->n) qsort(w->entries, w->n, sizeof *w->entries, by_stem);
    for (size_t i = 0, next; i < w->n; i = next) {
        size_t images = 0;
        for (next = i; next < w->n && same_stem(&w->entries[i], &w->entries[next]); next++)
            images += !w->entries[next].text;
        if (!w->entries[i].text) lonely_images += (int64_t)images;
        else if (images == 0) lonely_captions++;
        for (size_t k = i; k < next && w->entries[i].text; k++) {
            entry *e = &w->entries[k];
            if (e->text || !tc_split_keeps(d->split, e->path)) continue;
            if (!tc_grow(&f->images, &f->capacity, f->n + 1, sizeof *f->images)) return false;
            f->images[f->n++] = *e;
            e->path = NULL;
        }
        /* Paths given away were the images'; the caption's, with the stem, goes only now. */
        for (size_t k = i; k < next; k++) {
            free(w->entries[k].path);
            w->entries[k].path = NULL;
        }
    }
    if (f->n) qsort(f->images, f->n, sizeof *f->images, by_path);
    tc_data_skip(d, lonely_images, "image", "without a caption");
    tc_data_skip(d, lonely_captions, "caption", "without an image");
    tc_data_skip(d, w->links, "link", "to no file of the folder");
    tc_data_skip(d, w->deep, "folder", "nested too deeply");
    return true;
}

/* ---- the source */

static const folder *state(const tc_data *d) { return d->state; }

static const char *folder_name(const tc_data *d, int64_t i, char *buffer, size_t size) {
    (void)buffer, (void)size;
    return state(d)->images[i].path;
}

static tc_status folder_image(const tc_data *d, int64_t i, const tc_preprocess *p, const tc_augment *a,
                              float *pixel_values, tc_error *err) {
    char *path = tc_path_join(state(d)->root, state(d)->images[i].path);
    if (!path) return tc_fail_memory(err, PATH_MAX);
    tc_status status = tc_read_image(d, path, p, a, pixel_values, err);
    free(path);
    return status;
}

/* First line of [text, end) that is not blank, without white space at its ends; empty if there is none. */
static const char *first_line(const char *text, const char *end, size_t *n) {
    static const char blank[] = " \t\r\n\f\v";
    if (end - text >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3;
    while (text < end && *text && strchr(blank, *text)) text++;
    const char *stop = text;
    while (stop < end && *stop != '\n' && *stop != '\r' && *stop) stop++;
    while (stop > text && strchr(blank, stop[-1])) stop--;
    *n = (size_t)(stop - text);
    return text;
}

/* Where the caption of a sample may lie, k 0 or 1. */
static void caption_path(const tc_data *d, int64_t i, int k, tc_buf *path) {
    static const char *const extensions[] = {".txt", ".TXT"};
    const entry *e = &state(d)->images[i];
    path->size = 0;
    tc_buf_printf(path, "%s%s%.*s%s", state(d)->root, tc_ends_with(state(d)->root, "/") ? "" : "/",
                  (int)e->stem, e->path, extensions[k]);
}

static tc_status folder_caption(const tc_data *d, int64_t i, int t, char *buffer, size_t size,
                                tc_error *err) {
    (void)t;
    const entry *e = &state(d)->images[i];
    char *text = NULL;
    size_t length, n;
    tc_status status = TC_EIO;
    tc_buf path = {0};
    for (int k = 0; k < 2 && status == TC_EIO; k++) {
        tc_error ignored;
        caption_path(d, i, k, &path);
        status = path.failed
                     ? tc_fail_memory(err, e->stem)
                     : tc_file_read(path.data, CAPTION_FILE_LIMIT, &text, &length, k ? &ignored : err);
    }
    if (status == TC_OK) {
        const char *line = first_line(text, text + length, &n);
        if (n) tc_copy_text(buffer, size, line, n);
        else status = tc_fail(err, TC_EFORMAT, "%s: no caption, the file is blank", path.data);
    }
    free(text);
    tc_buf_free(&path);
    return status;
}

static tc_status folder_hash(const tc_data *d, uint64_t *sum, tc_error *err) {
    tc_buf path = {0};
    for (int64_t i = 0; i < d->count && !path.failed; i++) {
        const char *name = state(d)->images[i].path;
        *sum = tc_hash_text(*sum, name);
        path.size = 0;
        tc_buf_printf(&path, "%s%s%s", state(d)->root, tc_ends_with(state(d)->root, "/") ? "" : "/", name);
        if (!path.failed) *sum = tc_hash_file(*sum, path.data);
        for (int k = 0; k < 2 && !path.failed; k++) {
            caption_path(d, i, k, &path);
            if (!path.failed) *sum = tc_hash_file(*sum, path.data);
        }
    }
    bool failed = path.failed;
    tc_buf_free(&path);
    return failed ? tc_fail_memory(err, PATH_MAX) : TC_OK;
}

static void folder_free(tc_data *d) {
    folder *f = d->state;
    if (!f) return;
    free_entries(f->images, f->n);
    free(f->root);
    free(f);
}

static const tc_source folder_source = {.kind = "folder",
                                        .image = folder_image,
                                        .caption = folder_caption,
                                        .name = folder_name,
                                        .hash = folder_hash,
                                        .free = folder_free};

tc_status tc_folder_open(tc_data *d, const char *root, tc_error *err) {
    folder *f = tc_new(1, sizeof *f);
    walk *w = tc_new(1, sizeof *w);
    tc_status status = TC_OK;
    d->source = &folder_source;
    d->state = f;
    if (!f || !w || !(f->root = tc_strdup(root))) status = tc_fail_memory(err, sizeof *w);
    else if (!realpath(root, w->real_root))
        status = tc_fail(err, TC_EIO, "%s: cannot open: %s", root, strerror(errno));
    if (status == TC_OK) {
        w->root = root;
        status = walk_folder(w, "", 0, err);
        if (status == TC_OK && !pair_up(d, f, w)) status = tc_fail_memory(err, f->n * sizeof *f->images);
        d->count = (int64_t)f->n;
        free_entries(w->entries, w->n);
    }
    free(w);
    return status;
}

const tc_data_form tc_form_folder = {"a folder", NULL, tc_path_is_dir, tc_folder_open};
