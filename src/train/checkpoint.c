/* checkpoint.c - the state of a training run on disk.
 *
 * A checkpoint is one .safetensors file: weights and both moments as flat blocks, and in its metadata the settings, the step and a checksum over all of it.
 * It appears under its name only when it is complete and synced; the two newest are kept. So whatever happens during a save, the one
 * before is still there, and a file that was damaged later is found out and passed over. */
#include "train/train.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "checkpoint-", suffix[] = ".safetensors";
enum { KEPT = 2 };

static uint64_t checksum_of(const char *settings, const char *state, const void *const blocks[3], size_t bytes) {
    uint64_t sum = tc_checksum(0, settings, strlen(settings));
    sum = tc_checksum(sum, state, strlen(state));
    for (int i = 0; i < 3; i++) sum = tc_checksum(sum, blocks[i], bytes);
    return sum;
}

/* ---- files of the folder */

static int is_checkpoint(const struct dirent *e) { return tc_starts_with(e->d_name, prefix) && tc_ends_with(e->d_name, suffix); }

/* Newest first: the step in the name has a fixed number of digits. */
static int newest_first(const struct dirent **a, const struct dirent **b) { return strcmp((*b)->d_name, (*a)->d_name); }

static void free_names(struct dirent **names, int n) {
    for (int i = 0; i < n; i++) free(names[i]);
    if (n >= 0) free(names);
}

bool tc_checkpoint_exists(const char *dir) {
    struct dirent **names;
    int n = scandir(dir, &names, is_checkpoint, newest_first);
    free_names(names, n);
    return n > 0;
}

static void remove_old(const char *dir) {
    struct dirent **names;
    int n = scandir(dir, &names, is_checkpoint, newest_first);
    for (int i = KEPT; i < n; i++) {
        char *path = tc_path_join(dir, names[i]->d_name);
        if (path) unlink(path);
        free(path);
    }
    free_names(names, n);
}

/* ---- saving */

static tc_status add_blocks(tc_st_writer *w, const tc_trainer *t, tc_error *err) {
    tc_dtype dtype = sizeof(tc_real) == 4 ? TC_F32 : TC_F64;
    int64_t n = t->student->params.total;
    tc_status status = tc_st_writer_add(w, "weights", dtype, 1, &n, t->student->flat, err);
    if (status == TC_OK) status = tc_st_writer_add(w, "moment1", dtype, 1, &n, t->m, err);
    if (status == TC_OK) status = tc_st_writer_add(w, "moment2", dtype, 1, &n, t->v, err);
    return status;
}

static tc_status write_checkpoint(const tc_trainer *t, const char *path, const char *settings, tc_error *err) {
    tc_st_writer *w = NULL;
    char state[128], sum[32];
    const void *blocks[3] = {t->student->flat, t->m, t->v};
    snprintf(state, sizeof state, "{\"step\":%lld,\"skipped\":%lld,\"skipped_in_a_row\":%lld}", (long long)t->step, (long long)t->skipped,
             (long long)t->skipped_in_a_row);
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)checksum_of(settings, state, blocks, (size_t)t->student->params.total * sizeof(tc_real)));
    tc_status status = tc_st_writer_create(&w, err);
    if (status == TC_OK) status = add_blocks(w, t, err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "settings", settings, err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "state", state, err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "checksum", sum, err);
    if (status == TC_OK) return tc_st_writer_commit(&w, path, NULL, err);
    tc_st_writer_abort(&w);
    return status;
}

tc_status tc_checkpoint_save(const tc_trainer *t, const char *dir, const char *settings, tc_error *err) {
    tc_buf path = {0};
    tc_buf_printf(&path, "%s/%s%012lld%s", dir, prefix, (long long)t->step, suffix);
    char *name = tc_buf_take(&path);
    tc_status status = name ? write_checkpoint(t, name, settings, err) : tc_fail_memory(err, 1);
    free(name);
    if (status == TC_OK) remove_old(dir);
    return status;
}

/* ---- loading */

/* The first setting that differs, as an error. */
static tc_status compare_settings(const char *stored, const char *now, tc_error *err) {
    json_t *a = NULL, *b = NULL;
    tc_status status = tc_json_parse(&a, stored, strlen(stored), "settings of the checkpoint", err);
    if (status == TC_OK) status = tc_json_parse(&b, now, strlen(now), "settings", err);
    const char *key;
    json_t *value;
    json_object_foreach(b, key, value) {
        const json_t *old = json_object_get(a, key);
        if (status != TC_OK || json_equal(old, value)) continue;
        char *x = old ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT) : NULL, *y = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        status = tc_fail(err, TC_EARG, "cannot resume with other settings: %s was %.200s and is now %.200s", key, x ? x : "absent", y ? y : "?");
        free(x);
        free(y);
    }
    json_decref(a);
    json_decref(b);
    return status;
}

static const tc_tensor *block(const tc_store *s, const char *name, int64_t n) {
    const tc_tensor *t = tc_store_find(s, name);
    return t && t->dtype == (sizeof(tc_real) == 4 ? TC_F32 : TC_F64) && t->ndim == 1 && t->shape[0] == n ? t : NULL;
}

static bool read_state(tc_trainer *t, const char *text) {
    long long step, skipped, row;
    int end = 0;
    if (sscanf(text, "{\"step\":%lld,\"skipped\":%lld,\"skipped_in_a_row\":%lld}%n", &step, &skipped, &row, &end) != 3 || text[end] || step < 0 || skipped < 0)
        return false;
    t->step = step;
    t->skipped = skipped;
    t->skipped_in_a_row = row;
    return true;
}

/* Settings are compared before sizes, so that another configuration is named as such. */
static tc_status load_one(tc_trainer *t, const char *path, const char *settings, bool *other_settings, tc_error *err) {
    tc_store *s = NULL;
    tc_status status = tc_store_open(&s, path, err);
    if (status != TC_OK) return status;
    int64_t n = t->student->params.total;
    const char *stored = tc_store_metadata(s, "settings"), *state = tc_store_metadata(s, "state"), *sum = tc_store_metadata(s, "checksum");
    static const char *const names[3] = {"weights", "moment1", "moment2"};
    tc_real *to[3] = {t->student->flat, t->m, t->v};
    const void *from[3];
    size_t bytes = 0;
    bool ok = stored && state && sum;
    for (int i = 0; i < 3 && ok; i++) {
        const tc_tensor *any = tc_store_find(s, names[i]);
        ok = any && any->ndim == 1 && (i == 0 || any->bytes == bytes);
        if (ok) from[i] = any->data, bytes = any->bytes;
    }
    ok = ok && tc_store_check(s, NULL) == TC_OK && strtoull(sum, NULL, 16) == checksum_of(stored, state, from, bytes);
    if (!ok) status = tc_fail(err, TC_EFORMAT, "%s: the checkpoint is damaged", path);
    if (status == TC_OK) {
        status = compare_settings(stored, settings, err);
        *other_settings = status != TC_OK;
    }
    for (int i = 0; i < 3 && status == TC_OK; i++)
        if (!block(s, names[i], n)) status = tc_fail(err, TC_EFORMAT, "%s: '%s' does not have the size of the model", path, names[i]);
    for (int i = 0; i < 3 && status == TC_OK; i++) memcpy(to[i], from[i], bytes);
    if (status == TC_OK && !read_state(t, state)) status = tc_fail(err, TC_EFORMAT, "%s: the state of the checkpoint cannot be read", path);
    tc_store_close(&s);
    return status;
}

tc_status tc_checkpoint_load(tc_trainer *t, const char *dir, const char *settings, const tc_log *log, tc_error *err) {
    struct dirent **names;
    int n = scandir(dir, &names, is_checkpoint, newest_first);
    if (n < 1) {
        free_names(names, n);
        return tc_fail(err, TC_ESTATE, "%s: there is no checkpoint to resume from", dir);
    }
    tc_error why = {0};
    tc_status status = TC_ESTATE;
    bool other = false;
    for (int i = 0; i < n && status != TC_OK && !other; i++) {
        char *path = tc_path_join(dir, names[i]->d_name);
        status = path ? load_one(t, path, settings, &other, &why) : tc_fail_memory(&why, 1);
        if (status != TC_OK && !other) tc_log_line(log, 2, "%s; trying the one before", why.message);
        if (status == TC_OK) tc_log_line(log, 1, "resumed from %s", path);
        free(path);
    }
    free_names(names, n);
    if (status == TC_OK) return TC_OK;
    if (other) return tc_fail(err, TC_EARG, "%s", why.message);
    return tc_fail(err, TC_ESTATE, "%s: no checkpoint in it is valid: %s", dir, why.message);
}
