/* store.c - a set of tensors from one file (.safetensors or of PyTorch) or from the shards that an index
 * names.
 *
 * The files are mapped; only their headers are read here, with pread, so that opening touches no page of
 * tensor data and a file that shrinks meanwhile is an error instead of a signal. */
#include "store/torch_file.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_LIMIT = 100 * 1000 * 1000 };

typedef struct shard {
    tc_map map;
    json_t *header;  /* of a .safetensors file: holds the names and the metadata */
    tc_torch *torch; /* of a PyTorch file: the same */
} shard;

struct tc_store {
    char *path;
    shard *shards;
    size_t nshards;
    tc_tensor_list list; /* sorted by name */
};

void tc_store_close(tc_store **s) {
    if (!*s) return;
    for (size_t i = 0; i < (*s)->nshards; i++) {
        tc_torch_close(&(*s)->shards[i].torch);
        tc_map_close(&(*s)->shards[i].map);
        json_decref((*s)->shards[i].header);
    }
    free((*s)->shards);
    free((*s)->list.at);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

static tc_store *store_new(const char *path, size_t nshards) {
    tc_store *s = tc_new(1, sizeof *s);
    if (!s) return NULL;
    s->path = tc_strdup(path);
    s->shards = tc_new(nshards, sizeof *s->shards);
    if (s->shards) {
        s->nshards = nshards;
        for (size_t i = 0; i < nshards; i++) s->shards[i].map.fd = -1;
    }
    if (!s->path || !s->shards) tc_store_close(&s);
    return s;
}

/* Bytes of the header of a .safetensors file; an error that says what the file is if it is none. */
static tc_status header_size(const tc_bytes *b, size_t *n, tc_error *err) {
    uint8_t first[TC_KIND_BYTES];
    size_t size = b->size < sizeof first ? b->size : sizeof first;
    tc_error why = {0};
    tc_status status = tc_bytes_read(b, 0, first, size, err);
    if (status != TC_OK) return status;
    if (b->size < 8)
        status = tc_fail(&why, TC_EFORMAT, "%s: %zu bytes, too short for a model", b->name, b->size);
    else status = tc_st_header_size(first, b->size, b->name, n, &why);
    if (status == TC_OK) return TC_OK;
    const tc_file_kind *k = tc_file_kind_of(first, size);
    if (!k || k->role == TC_KIND_WEIGHTS) return tc_fail(err, status, "%s", why.message);
    return tc_fail(err, TC_EFORMAT, "%s: %s, not a model%s%s", b->name, k->what, k->remedy ? "; " : "",
                   k->remedy ? k->remedy : "");
}

/* Maps one file and adds its tensors to the list. */
static tc_status shard_open(tc_store *s, size_t i, const char *path, tc_error *err) {
    shard *sh = &s->shards[i];
    size_t n = 0;
    bool torch = false;
    tc_status status = tc_map_open(&sh->map, path, err);
    if (status != TC_OK) return status;
    tc_bytes bytes = {.map = &sh->map, .data = sh->map.data, .size = sh->map.size, .name = sh->map.path};
    status = tc_torch_recognise(&bytes, &torch, err);
    if (status == TC_OK && torch) status = tc_torch_open(&sh->torch, &bytes, &s->list, err);
    if (status != TC_OK || torch) return status;
    status = header_size(&bytes, &n, err);
    if (status != TC_OK) return status;
    char *header = malloc(n + 1);
    if (!header) return tc_fail_memory(err, n + 1);
    status = tc_map_read(&sh->map, 8, header, n, err);
    if (status == TC_OK)
        status = tc_st_parse_header(&s->list, &sh->header, header, n, sh->map.data + 8 + n,
                                    sh->map.size - 8 - n, path, err);
    free(header);
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const tc_tensor *)a)->name, ((const tc_tensor *)b)->name);
}

static tc_status sort_by_name(tc_store *s, tc_error *err) {
    tc_tensor *t = s->list.at;
    if (s->list.count == 0) return TC_OK;
    qsort(t, s->list.count, sizeof *t, by_name);
    for (size_t i = 1; i < s->list.count; i++)
        if (strcmp(t[i - 1].name, t[i].name) == 0)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' is there twice", s->path, t[i].name);
    return TC_OK;
}

static tc_status open_file(tc_store **out, const char *path, tc_error *err) {
    tc_store *s = store_new(path, 1);
    if (!s) return tc_fail_memory(err, sizeof *s);
    tc_status status = shard_open(s, 0, path, err);
    if (status == TC_OK) status = sort_by_name(s, err);
    if (status != TC_OK) tc_store_close(&s);
    *out = s;
    return status;
}

/* ---- sharded */

/* A shard lies in the folder of its index: anything but a plain file name could reach elsewhere. */
static bool is_plain_name(const char *name) {
    return name && *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of the weight map, sorted. */
static tc_status shard_names(const json_t *map, const char *path, const char ***out, size_t *count,
                             tc_error *err) {
    const char **names = tc_new(json_object_size(map), sizeof *names), *key;
    json_t *value;
    size_t n = 0, distinct = 0;
    if (!names) return tc_fail_memory(err, json_object_size(map) * sizeof *names);
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const char *name = json_string_value(value);
        if (!is_plain_name(name)) {
            free(names);
            return tc_fail(
                err, TC_EFORMAT,
                "%s: tensor '%.200s' lies in '%.200s', expected the name of a file in the same folder", path,
                key, name ? name : "(not a string)");
        }
        names[n++] = name;
    }
    if (n) qsort(names, n, sizeof *names, compare_strings);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[distinct - 1]) != 0) names[distinct++] = names[i];
    *out = names;
    *count = distinct;
    return TC_OK;
}

/* The index and its shards must name the same tensors, each in the shard that holds it. */
static tc_status check_shard(const tc_store *s, size_t first, const json_t *map, const char *shard_name,
                             tc_error *err) {
    for (size_t i = first; i < s->list.count; i++) {
        const char *name = s->list.at[i].name, *place = json_string_value(json_object_get(map, name));
        if (!place)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' of shard %s is not in the index", s->path,
                           name, shard_name);
        if (strcmp(place, shard_name) != 0)
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' is in shard %s, the index says %s", s->path,
                           name, shard_name, place);
    }
    return TC_OK;
}

static tc_status check_index(const tc_store *s, const json_t *map, tc_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        if (!tc_store_find(s, key))
            return tc_fail(err, TC_EFORMAT, "%s: tensor '%.200s' is not in its shard %s", s->path, key,
                           json_string_value(value));
    }
    return TC_OK;
}

static tc_status open_shards(tc_store *s, const char *dir, const char **names, const json_t *map,
                             tc_error *err) {
    for (size_t i = 0; i < s->nshards; i++) {
        size_t first = s->list.count;
        char *path = tc_path_join(dir, names[i]);
        if (!path) return tc_fail_memory(err, strlen(dir));
        tc_status status = shard_open(s, i, path, err);
        free(path);
        if (status == TC_OK) status = check_shard(s, first, map, names[i], err);
        if (status != TC_OK) return status;
    }
    tc_status status = sort_by_name(s, err);
    return status == TC_OK ? check_index(s, map, err) : status;
}

static tc_status open_index(tc_store **out, const char *path, tc_error *err) {
    json_t *index;
    const char **names = NULL;
    size_t count = 0;
    tc_store *s = NULL;
    tc_status status = tc_json_load(&index, path, INDEX_LIMIT, err);
    if (status != TC_OK) return status;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? tc_strndup(path, (size_t)(slash - path) + 1) : tc_strdup("./");
    const json_t *map = json_object_get(index, "weight_map");
    if (!dir) status = tc_fail_memory(err, strlen(path));
    else if (!json_is_object(map) || json_object_size(map) == 0)
        status = tc_fail(err, TC_EFORMAT, "%s: no weight_map", path);
    else status = shard_names(map, path, &names, &count, err);
    if (status != TC_OK) goto out;
    s = store_new(path, count);
    status = s ? open_shards(s, dir, names, map, err) : tc_fail_memory(err, count * sizeof(shard));
    if (status != TC_OK) tc_store_close(&s);
out:
    *out = s;
    free(names);
    free(dir);
    json_decref(index);
    return status;
}

/* ---- public */

tc_status tc_store_open(tc_store **out, const char *path, tc_error *err) {
    static const char *const usual[] = {
        "model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors",
        "pytorch_model.bin", "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin"};
    *out = NULL;
    if (!tc_path_is_dir(path))
        return tc_ends_with(path, ".json") ? open_index(out, path, err) : open_file(out, path, err);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        char *file = tc_path_join(path, usual[i]);
        if (!file) return tc_fail_memory(err, strlen(path));
        bool there = tc_path_exists(file);
        tc_status status = there ? tc_store_open(out, file, err) : TC_OK;
        free(file);
        if (there) return status;
    }
    return tc_fail(
        err, TC_EIO,
        "%s: there is no model in the folder: it has no model.safetensors, pytorch_model.bin, index of "
        "shards of either, open_clip_model.safetensors or open_clip_pytorch_model.bin",
        path);
}

static tc_status parse_memory(tc_store *s, const tc_bytes *all, tc_error *err) {
    size_t n = 0;
    tc_status status = header_size(all, &n, err);
    if (status != TC_OK) return status;
    const uint8_t *header = all->data + 8;
    return tc_st_parse_header(&s->list, &s->shards[0].header, (const char *)header, n, header + n,
                              all->size - 8 - n, all->name, err);
}

tc_status tc_store_open_memory(tc_store **out, const void *data, size_t size, tc_error *err) {
    const tc_bytes all = {.data = data, .size = size, .name = "memory"};
    *out = NULL;
    tc_store *s = store_new(all.name, 1);
    if (!s) return tc_fail_memory(err, sizeof *s);
    bool torch = false;
    tc_status status = tc_torch_recognise(&all, &torch, err);
    if (status == TC_OK)
        status = torch ? tc_torch_open(&s->shards[0].torch, &all, &s->list, err) : parse_memory(s, &all, err);
    if (status == TC_OK) status = sort_by_name(s, err);
    if (status != TC_OK) tc_store_close(&s);
    *out = s;
    return status;
}

size_t tc_store_count(const tc_store *s) { return s->list.count; }

const tc_tensor *tc_store_at(const tc_store *s, size_t i) {
    return i < s->list.count ? &s->list.at[i] : NULL;
}

const tc_tensor *tc_store_find(const tc_store *s, const char *name) {
    tc_tensor key = {.name = name};
    return s->list.count ? bsearch(&key, s->list.at, s->list.count, sizeof key, by_name) : NULL;
}

const char *tc_store_metadata(const tc_store *s, const char *key) {
    for (size_t i = 0; i < s->nshards; i++) {
        const char *value =
            json_string_value(json_object_get(json_object_get(s->shards[i].header, "__metadata__"), key));
        if (value) return value;
    }
    return NULL;
}

const char *tc_store_path(const tc_store *s) { return s->path; }

tc_status tc_store_check(const tc_store *s, tc_error *err) {
    for (size_t i = 0; i < s->nshards; i++) {
        if (s->shards[i].map.fd < 0) continue;
        tc_status status = tc_map_check(&s->shards[i].map, err);
        if (status != TC_OK) return status;
    }
    return TC_OK;
}

bool tc_store_maps(const tc_store *s, const tc_tensor *t) {
    const uint8_t *data = tc_tensor_data(t, NULL);
    for (size_t i = 0; i < s->nshards && data; i++)
        if (tc_map_holds(&s->shards[i].map, data, t->bytes)) return true;
    return false;
}

void tc_store_let_go(const tc_store *s, const tc_tensor *t) {
    if (tc_store_maps(s, t)) tc_pages_let_go(tc_tensor_data(t, NULL), t->bytes);
}
