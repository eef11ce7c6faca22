/* inputs.c - what arguments stand for: images in files, folders and lists; texts in files; arrays; data. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEPTH_LIMIT = 64, TEXT_LIMIT = 1 << 30 };

/* ---- images */

/* In a folder only files of these names are images; a file that is named itself may be called anything. */
static bool has_image_name(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static tc_status add_folder(const char *dir, int depth, cli_list *out, tc_error *err) {
    if (depth > DEPTH_LIMIT) return tc_fail(err, TC_EIO, "%s: more than %d folders deep", dir, DEPTH_LIMIT);
    DIR *d = opendir(dir);
    if (!d) return tc_fail(err, TC_EIO, "%s: %s", dir, strerror(errno));
    tc_status status = TC_OK;
    for (struct dirent *e; status == TC_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *path = tc_path_join(dir, e->d_name);
        if (!path) status = tc_fail_memory(err, strlen(dir));
        else if (tc_path_is_dir(path)) status = add_folder(path, depth + 1, out, err);
        else if (has_image_name(path)) cli_list_add(out, path);
        free(path);
    }
    closedir(d);
    return status;
}

static tc_status add_image(const char *name, cli_list *out, tc_error *err) {
    if (!tc_path_is_dir(name)) {
        cli_list_add(out, name);
        return TC_OK;
    }
    size_t first = out->count;
    tc_status status = add_folder(name, 0, out, err);
    if (status == TC_OK && out->count == first)
        return tc_fail(err, TC_EARG, "%s: the folder holds no image", name);
    if (out->count > first) qsort(out->items + first, out->count - first, sizeof *out->items, by_text);
    return status;
}

tc_status cli_images(const cli_list *names, cli_list *out, tc_error *err) {
    tc_status status = TC_OK;
    for (size_t i = 0; i < names->count && status == TC_OK; i++) {
        if (strcmp(names->items[i], "-") != 0) {
            status = add_image(names->items[i], out, err);
            continue;
        }
        cli_list listed = {0};
        status = cli_lines("-", false, &listed, err);
        for (size_t k = 0; k < listed.count && status == TC_OK; k++)
            status = add_image(listed.items[k], out, err);
        cli_list_free(&listed);
    }
    if (status == TC_OK && out->count == 0) return tc_fail(err, TC_EARG, "the list of images is empty");
    return status;
}

/* ---- texts */

static tc_status read_stdin(char **data, size_t *size, tc_error *err) {
    tc_buf b = {0};
    char piece[1 << 14];
    for (size_t n; (n = fread(piece, 1, sizeof piece, stdin)) > 0;) {
        tc_buf_add(&b, piece, n);
        if (b.failed || b.size > TEXT_LIMIT) {
            tc_buf_free(&b);
            return tc_fail(err, TC_ENOMEM, "standard input: more than %d bytes", TEXT_LIMIT);
        }
    }
    if (ferror(stdin)) {
        tc_buf_free(&b);
        return tc_fail(err, TC_EIO, "standard input: %s", strerror(errno));
    }
    *size = b.size;
    tc_buf_add(&b, "", 1);
    *data = tc_buf_take(&b);
    return *data ? TC_OK : tc_fail_memory(err, *size);
}

static bool is_blank(const char *s) { return s[strspn(s, " \t\v\f\r")] == '\0'; }

tc_status cli_lines(const char *path, bool keep_blank, cli_list *out, tc_error *err) {
    char *data = NULL;
    size_t size = 0, number = 1;
    bool standard = strcmp(path, "-") == 0;
    tc_status status =
        standard ? read_stdin(&data, &size, err) : tc_file_read(path, TEXT_LIMIT, &data, &size, err);
    size_t mark = status == TC_OK && size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (size_t at = mark; at < size && status == TC_OK; number++) {
        char *line = data + at, *end = memchr(line, '\n', size - at);
        size_t n = end ? (size_t)(end - line) : size - at;
        at += n + 1;
        if (memchr(line, '\0', n))
            status = tc_fail(err, TC_EFORMAT, "%s: line %zu holds a NUL byte",
                             standard ? "standard input" : path, number);
        if (n && line[n - 1] == '\r') n--;
        line[n] = '\0';
        if (status == TC_OK && (keep_blank || !is_blank(line))) cli_list_add(out, line);
    }
    free(data);
    return status;
}

/* ---- arrays */

tc_status cli_array_open(cli_array *a, const char *spec, tc_error *err) {
    *a = (cli_array){0};
    const char *colon = strrchr(spec, ':');
    char *path = colon ? tc_strndup(spec, (size_t)(colon - spec)) : NULL;
    tc_status status = TC_OK;
    if (path && tc_ends_with(path, ".safetensors")) {
        status = tc_store_open(&a->store, path, err);
        if (status == TC_OK && !(a->tensor = tc_store_find(a->store, colon + 1)))
            status = tc_fail(err, TC_EARG, "%s: there is no tensor '%s'", path, colon + 1);
    } else if (tc_ends_with(spec, ".safetensors")) {
        status = tc_fail(err, TC_EARG, "%s: name the tensor too: %s:NAME", spec, spec);
    } else {
        status = tc_npy_open(&a->npy, spec, err);
        if (status == TC_OK) a->tensor = &a->npy.tensor;
    }
    free(path);
    if (status != TC_OK) cli_array_close(a);
    return status;
}

void cli_array_close(cli_array *a) {
    if (a->store) tc_store_close(&a->store);
    else if (a->tensor) tc_npy_close(&a->npy);
    *a = (cli_array){0};
}

/* ---- data */

tc_status cli_data_open(tc_data **out, const cli_data_args *a, const char *named_split, tc_error *err) {
    tc_data_options o = tc_data_options_default();
    bool named = strcmp(a->spec, "fashion-mnist") == 0 || strcmp(a->spec, "tuxpaint") == 0;
    o.split = a->split ? a->split : named ? named_split : NULL;
    if (o.split && strcmp(o.split, "all") == 0) o.split = NULL;
    o.templates = a->templates;
    o.caption_column = a->caption_column;
    o.image_column = a->image_column;
    return tc_data_open(out, a->spec, &o, err);
}
