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
    if (depth > DEPTH_LIMIT) return cli_fail(err, TC_EIO, "%s: more than %d folders deep", dir, DEPTH_LIMIT);
    DIR *d = opendir(dir);
    if (!d) return cli_fail(err, TC_EIO, "%s: %s", dir, strerror(errno));
    tc_status status = TC_OK;
    for (struct dirent *e; status == TC_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *path = cli_path(dir, e->d_name);
        if (cli_path_is_dir(path)) status = add_folder(path, depth + 1, out, err);
        else if (has_image_name(path)) cli_list_add(out, path);
        free(path);
    }
    closedir(d);
    return status;
}

static tc_status add_image(const char *name, cli_list *out, tc_error *err) {
    if (!cli_path_is_dir(name)) {
        cli_list_add(out, name);
        return TC_OK;
    }
    size_t first = out->count;
    tc_status status = add_folder(name, 0, out, err);
    if (status == TC_OK && out->count == first)
        return cli_fail(err, TC_EARG, "%s: the folder holds no image", name);
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
    if (status == TC_OK && out->count == 0) return cli_fail(err, TC_EARG, "the list of images is empty");
    return status;
}

/* ---- texts */

static bool is_blank(const char *s) { return s[strspn(s, " \t\v\f\r")] == '\0'; }

/* One line of n bytes, as it was read. */
static tc_status add_line(char *line, size_t n, size_t number, const char *name, bool keep_blank,
                          cli_list *out, tc_error *err) {
    if (n && line[n - 1] == '\n') n--;
    if (memchr(line, '\0', n))
        return cli_fail(err, TC_EFORMAT, "%s: line %zu holds a NUL byte", name, number);
    if (n && line[n - 1] == '\r') n--;
    line[n] = '\0';
    if (number == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    if (keep_blank || !is_blank(line)) cli_list_add(out, line);
    return TC_OK;
}

static tc_status read_lines(FILE *f, const char *name, bool keep_blank, cli_list *out, tc_error *err) {
    char *line = NULL;
    size_t capacity = 0, number = 0, total = 0;
    tc_status status = TC_OK;
    errno = 0;
    for (ssize_t n; status == TC_OK && (n = getline(&line, &capacity, f)) >= 0;) {
        total += (size_t)n;
        if (total > TEXT_LIMIT) status = cli_fail(err, TC_ENOMEM, "%s: more than %d bytes", name, TEXT_LIMIT);
        else status = add_line(line, (size_t)n, ++number, name, keep_blank, out, err);
    }
    if (status == TC_OK && !feof(f)) status = cli_fail(err, TC_EIO, "%s: %s", name, strerror(errno));
    free(line);
    return status;
}

tc_status cli_lines(const char *path, bool keep_blank, cli_list *out, tc_error *err) {
    if (strcmp(path, "-") == 0) return read_lines(stdin, "standard input", keep_blank, out, err);
    FILE *f = fopen(path, "rb");
    if (!f) return cli_fail(err, TC_EIO, "%s: cannot open: %s", path, strerror(errno));
    tc_status status = read_lines(f, path, keep_blank, out, err);
    fclose(f);
    return status;
}

/* ---- arrays */

tc_status cli_array_open(tc_arrays **file, tc_array *out, const char *spec, tc_error *err) {
    const char *colon = strrchr(spec, ':');
    char *path = cli_text("%.*s", colon ? (int)(colon - spec) : 0, spec);
    tc_status status = TC_OK;
    *file = NULL;
    if (cli_ends_with(path, ".safetensors")) {
        status = tc_arrays_open(file, path, err);
        if (status == TC_OK && !tc_arrays_find(*file, colon + 1, out))
            status = cli_fail(err, TC_EARG, "%s: there is no tensor '%s'", path, colon + 1);
    } else if (cli_ends_with(spec, ".safetensors")) {
        status = cli_fail(err, TC_EARG, "%s: name the tensor too: %s:NAME", spec, spec);
    } else {
        status = tc_arrays_open(file, spec, err);
        if (status == TC_OK && !tc_arrays_at(*file, 0, out))
            status = cli_fail(err, TC_EFORMAT, "%s: there is no array in it", spec);
    }
    free(path);
    if (status != TC_OK) tc_arrays_close(file);
    return status;
}

/* ---- data */

static bool has_name(const char *spec) {
    for (int i = 0; cli_named_data[i]; i++)
        if (strcmp(spec, cli_named_data[i]) == 0) return true;
    return false;
}

tc_status cli_data_open(tc_data **out, const cli_data_args *a, const char *named_split, tc_error *err) {
    tc_data_options o = tc_data_options_default();
    o.split = a->split;
    if (!o.split && has_name(a->spec)) o.split = named_split;
    if (o.split && strcmp(o.split, "all") == 0) o.split = NULL;
    o.templates = a->templates;
    o.caption_column = a->caption_column;
    o.image_column = a->image_column;
    tc_status status = tc_data_open(out, a->spec, &o, err);
    if (status != TC_OK) cli_suggest(err, a->spec, CLI_KNOWN_DATA | CLI_KNOWN_FILES);
    return status;
}
