/* checkpoint.c - the state of a training run on disk.
 *
 * A checkpoint is one .safetensors file: weights and both moments as flat blocks, and in its metadata the
 * settings, the counters and a checksum over all of it. While masks are learnt, gates and multipliers with
 * their moments are one block more; once they are folded, the metadata holds the configuration of what is
 * left. It appears under its name only when it is complete and synced; the two newest are kept. So whatever
 * happens during a save, the one before is still there, and a file that was damaged later is found out and
 * passed over. Loading checks everything before it changes the trainer. */
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "checkpoint-", suffix[] = ".safetensors";
enum { KEPT = 2, BLOCKS = 3 };

static const char checksum_form[] = "%016" PRIx64;

typedef struct counters {
    int64_t step, skipped, skipped_in_a_row, bad_samples;
} counters;

/* What a file holds. */
typedef struct content {
    const char *settings, *state;
    const char *fold; /* of a folded student: JSON with its configuration; else NULL */
    const void *block[BLOCKS];
    size_t bytes;      /* of each block */
    const void *gates; /* [3, count] values and moments, double; NULL without masks */
    size_t gate_bytes;
    counters counters;
} content;

static uint64_t checksum_of(const content *c) {
    uint64_t sum = tc_checksum(0, c->settings, strlen(c->settings));
    sum = tc_checksum(sum, c->state, strlen(c->state));
    for (int i = 0; i < BLOCKS; i++) sum = tc_checksum(sum, c->block[i], c->bytes);
    if (c->gates) sum = tc_checksum(sum, c->gates, c->gate_bytes);
    if (c->fold) sum = tc_checksum(sum, c->fold, strlen(c->fold));
    return sum;
}

/* ---- files of the folder */

/* The step in the name of a checkpoint; -1 if it is no such name. */
static int64_t step_of(const char *name) {
    if (!tc_starts_with(name, prefix)) return -1;
    const char *digits = name + strlen(prefix);
    size_t n = strspn(digits, "0123456789");
    return n >= 1 && n <= 18 && strcmp(digits + n, suffix) == 0 ? strtoll(digits, NULL, 10) : -1;
}

static int is_checkpoint(const struct dirent *e) { return step_of(e->d_name) >= 0; }

static int newest_first(const struct dirent **a, const struct dirent **b) {
    int64_t x = step_of((*a)->d_name), y = step_of((*b)->d_name);
    return (x < y) - (x > y);
}

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

/* After a save at `step`: only this one and the one before are kept. Later ones were damaged, or this run
 * would have gone on from them. */
static void remove_others(const char *dir, int64_t step) {
    struct dirent **names;
    int n = scandir(dir, &names, is_checkpoint, newest_first), kept = 0;
    for (int i = 0; i < n; i++) {
        if (step_of(names[i]->d_name) <= step && kept++ < KEPT) continue;
        char *path = tc_path_join(dir, names[i]->d_name);
        if (path) unlink(path);
        free(path);
    }
    free_names(names, n);
}

/* ---- saving */

static const char state_form[] = "{\"step\":%" PRId64 ",\"skipped\":%" PRId64 ",\"skipped_in_a_row\":%" PRId64
                                 ",\"bad_samples\":%" PRId64 "}";

static tc_status add_blocks(tc_st_writer *w, const content *c, const tc_trainer *t, tc_error *err) {
    static const char *const names[BLOCKS] = {"weights", "moment1", "moment2"};
    tc_dtype dtype = sizeof(tc_real) == 4 ? TC_F32 : TC_F64;
    tc_status status = TC_OK;
    for (int i = 0; i < BLOCKS && status == TC_OK; i++)
        status = tc_st_writer_add(w, names[i], dtype, 1, &t->student->params.total, c->block[i], err);
    if (c->gates && status == TC_OK)
        status = tc_st_writer_add(w, "gates", TC_F64, 2, (int64_t[]){3, t->gates->count}, c->gates, err);
    return status;
}

static tc_status add_metadata(tc_st_writer *w, const content *c, tc_error *err) {
    char sum[32];
    snprintf(sum, sizeof sum, checksum_form, checksum_of(c));
    tc_status status = tc_st_writer_metadata(w, "settings", c->settings, err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "state", c->state, err);
    if (status == TC_OK && c->fold) status = tc_st_writer_metadata(w, "fold", c->fold, err);
    if (status == TC_OK) status = tc_st_writer_metadata(w, "checksum", sum, err);
    return status;
}

/* Values and moments of the gates, one after the other; the caller frees them. NULL: memory ran out. */
static double *gather_gates(const tc_gates *g) {
    size_t n = (size_t)g->count;
    double *all = tc_new(3 * n, sizeof *all);
    const double *from[] = {g->value, g->m, g->v};
    for (size_t i = 0; i < 3 && all; i++) memcpy(all + i * n, from[i], n * sizeof *all);
    return all;
}

static char *describe_fold(const tc_trainer *t) {
    json_t *json = json_pack("{s:I, s:o}", "folded_after", (json_int_t)t->folded_after, "model",
                             tc_config_full_json(&t->student->config));
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    return text;
}

static tc_status write_checkpoint(const tc_trainer *t, const char *path, const char *settings,
                                  tc_error *err) {
    tc_st_writer *w = NULL;
    char state[256], *fold = NULL;
    double *gates = NULL;
    snprintf(state, sizeof state, state_form, t->step, t->skipped, t->skipped_in_a_row, t->bad_samples);
    bool ok = (!t->gates || (gates = gather_gates(t->gates))) && (!t->folded || (fold = describe_fold(t)));
    content c = {.settings = settings,
                 .state = state,
                 .fold = fold,
                 .block = {t->student->flat, t->m, t->v},
                 .bytes = (size_t)t->student->params.total * sizeof(tc_real),
                 .gates = gates,
                 .gate_bytes = t->gates ? 3 * (size_t)t->gates->count * sizeof *gates : 0};
    tc_status status = ok ? tc_st_writer_create(&w, err) : tc_fail_memory(err, c.gate_bytes);
    if (status == TC_OK) status = add_blocks(w, &c, t, err);
    if (status == TC_OK) status = add_metadata(w, &c, err);
    if (status == TC_OK) status = tc_st_writer_commit(&w, path, NULL, err);
    else tc_st_writer_abort(&w);
    free(gates);
    free(fold);
    return status;
}

tc_status tc_checkpoint_save(const tc_trainer *t, const char *dir, const char *settings, tc_error *err) {
    tc_buf path = {0};
    tc_buf_printf(&path, "%s/%s%012lld%s", dir, prefix, (long long)t->step, suffix);
    char *name = tc_buf_take(&path);
    tc_status status = name ? write_checkpoint(t, name, settings, err) : tc_fail_memory(err, 1);
    free(name);
    if (status == TC_OK) remove_others(dir, t->step);
    return status;
}

/* ---- loading */

bool tc_settings_differ(const char *key, json_t *old, json_t *now, tc_buf *out) {
    if (old && now && json_equal(old, now)) return false;
    /* 15 digits: as it was written by hand */
    const size_t form = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15);
    const char *inner;
    json_t *value;
    char name[256];
    for (size_t i = 0; json_is_array(old) && json_is_array(now) &&
                       json_array_size(old) == json_array_size(now) && i < json_array_size(now);
         i++) {
        snprintf(name, sizeof name, "%s[%zu]", key, i);
        if (tc_settings_differ(name, json_array_get(old, i), json_array_get(now, i), out)) return true;
    }
    if (json_is_object(old) && json_is_object(now)) {
        json_object_foreach(now, inner, value) {
            snprintf(name, sizeof name, "%s%s%s", key, *key ? "." : "", inner);
            if (tc_settings_differ(name, json_object_get(old, inner), value, out)) return true;
        }
        json_object_foreach(old, inner, value) {
            snprintf(name, sizeof name, "%s%s%s", key, *key ? "." : "", inner);
            if (!json_object_get(now, inner) && tc_settings_differ(name, value, NULL, out)) return true;
        }
    }
    char *a = old ? json_dumps(old, form) : NULL, *b = now ? json_dumps(now, form) : NULL;
    tc_buf_printf(out, "%s was %.200s and is now %.200s", key, a ? a : "absent", b ? b : "absent");
    free(a);
    free(b);
    return true;
}

static tc_status compare_settings(const char *path, const char *stored, const char *wanted, tc_error *err) {
    json_t *old = NULL, *now = NULL;
    tc_buf difference = {0};
    tc_status status = tc_json_parse(&old, stored, strlen(stored), "settings of the checkpoint", err);
    if (status == TC_OK) status = tc_json_parse(&now, wanted, strlen(wanted), "settings", err);
    if (status == TC_OK && tc_settings_differ("", old, now, &difference))
        status = tc_fail(err, TC_EARG, "%s: cannot resume with other settings: %s", path,
                         difference.data ? difference.data : "memory ran out");
    tc_buf_free(&difference);
    json_decref(old);
    json_decref(now);
    return status;
}

static bool read_counters(const char *text, counters *c) {
    char again[256];
    static const char form[] = "{\"step\":%" SCNd64 ",\"skipped\":%" SCNd64 ",\"skipped_in_a_row\":%" SCNd64
                               ",\"bad_samples\":%" SCNd64 "}";
    if (sscanf(text, form, &c->step, &c->skipped, &c->skipped_in_a_row, &c->bad_samples) != 4) return false;
    snprintf(again, sizeof again, state_form, c->step, c->skipped, c->skipped_in_a_row, c->bad_samples);
    return strcmp(again, text) == 0 && c->step >= 0 && c->skipped >= 0 && c->skipped <= c->step &&
           c->skipped_in_a_row >= 0 && c->bad_samples >= 0;
}

/* False if the file is no complete checkpoint or its checksum is wrong. */
static bool read_content(const tc_store *s, content *c) {
    static const char *const names[BLOCKS] = {"weights", "moment1", "moment2"};
    const char *sum = tc_store_metadata(s, "checksum");
    const tc_tensor *gates = tc_store_find(s, "gates");
    char right[32];
    c->settings = tc_store_metadata(s, "settings");
    c->state = tc_store_metadata(s, "state");
    c->fold = tc_store_metadata(s, "fold");
    if (!c->settings || !c->state || !sum) return false;
    for (int i = 0; i < BLOCKS; i++) {
        const tc_tensor *t = tc_store_find(s, names[i]);
        if (!t || t->ndim != 1 || t->dtype != (sizeof(tc_real) == 4 ? TC_F32 : TC_F64) ||
            (i > 0 && t->bytes != c->bytes))
            return false;
        c->block[i] = t->data;
        c->bytes = t->bytes;
    }
    if (gates && (gates->ndim != 2 || gates->dtype != TC_F64)) return false;
    if (gates) c->gates = gates->data, c->gate_bytes = gates->bytes;
    if (tc_store_check(s, NULL) != TC_OK) return false;
    snprintf(right, sizeof right, checksum_form, checksum_of(c));
    return strcmp(sum, right) == 0 && read_counters(c->state, &c->counters);
}

static void take_content(tc_trainer *t, const content *c) {
    tc_real *to[BLOCKS] = {t->student->flat, t->m, t->v};
    for (int i = 0; i < BLOCKS; i++) memcpy(to[i], c->block[i], c->bytes);
    if (t->gates) {
        size_t n = (size_t)t->gates->count * sizeof(double);
        double *blocks[] = {t->gates->value, t->gates->m, t->gates->v};
        for (size_t i = 0; i < 3; i++) memcpy(blocks[i], (const char *)c->gates + i * n, n);
    }
    t->step = c->counters.step;
    t->skipped = c->counters.skipped;
    t->skipped_in_a_row = c->counters.skipped_in_a_row;
    t->bad_samples = c->counters.bad_samples;
    tc_trainer_weights_changed(t);
    tc_trainer_moments_changed(t);
}

static tc_status size_differs(const char *path, tc_error *err) {
    return tc_fail(err, TC_EFORMAT, "%s: the checkpoint does not have the size of the model", path);
}

/* The configuration and the number of steps in the description of a fold. */
static tc_status read_fold(const char *text, const char *path, tc_config *config, int64_t *folded_after,
                           tc_error *err) {
    json_t *json = NULL;
    tc_status status = tc_json_parse(&json, text, strlen(text), path, err);
    if (status == TC_OK) status = tc_config_parse(config, json_object_get(json, "model"), path, err);
    if (status == TC_OK) *folded_after = (int64_t)json_integer_value(json_object_get(json, "folded_after"));
    json_decref(json);
    return status;
}

/* Makes the trainer one of the folded student that the checkpoint holds. */
static tc_status take_fold(tc_trainer *t, const char *path, const content *c, tc_error *err) {
    tc_config config;
    tc_model *m = NULL;
    int64_t folded_after = 0;
    if (!t->gates) return size_differs(path, err);
    tc_status status = read_fold(c->fold, path, &config, &folded_after, err);
    if (status == TC_OK) status = tc_model_new_flat(&m, &config, err);
    if (status == TC_OK && c->bytes != (size_t)m->params.total * sizeof(tc_real))
        status = size_differs(path, err);
    if (status == TC_OK) status = tc_model_copy_settings(m, t->student, err);
    if (status == TC_OK && !(m->source = tc_strdup(t->student->source))) status = tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_model_finish(m, err);
    if (status == TC_OK) status = tc_trainer_become(t, &m, err);
    if (status == TC_OK) t->folded_after = folded_after;
    tc_model_close(&m);
    return status;
}

/* TC_EARG: it was made with other settings. Settings are compared before sizes, so that another configuration
 * is named as such. */
static tc_status load_one(tc_trainer *t, const char *path, const char *settings, tc_error *err) {
    tc_store *s = NULL;
    content c = {0};
    tc_status status = tc_store_open(&s, path, err);
    if (status != TC_OK) return status;
    if (!read_content(s, &c)) status = tc_fail(err, TC_EFORMAT, "%s: the checkpoint is damaged", path);
    if (status == TC_OK) status = compare_settings(path, c.settings, settings, err);
    if (status == TC_OK && c.fold) status = take_fold(t, path, &c, err);
    size_t gate_bytes = t->gates ? 3 * (size_t)t->gates->count * sizeof(double) : 0;
    if (status == TC_OK &&
        (c.bytes != (size_t)t->student->params.total * sizeof(tc_real) || c.gate_bytes != gate_bytes))
        status = size_differs(path, err);
    if (status == TC_OK) take_content(t, &c);
    tc_store_close(&s);
    return status;
}

tc_status tc_checkpoint_load(tc_trainer *t, const char *dir, const char *settings, const tc_log *log,
                             tc_error *err) {
    struct dirent **names;
    int n = scandir(dir, &names, is_checkpoint, newest_first);
    if (n < 0) return tc_fail(err, TC_EIO, "%s: cannot list the folder: %s", dir, strerror(errno));
    tc_error why = {0};
    tc_status status = TC_EFORMAT;
    /* Only a file that is no valid checkpoint makes way for the one before. */
    for (int i = 0; i < n && (status == TC_EFORMAT || status == TC_EIO || status == TC_EUNSUPPORTED); i++) {
        char *path = tc_path_join(dir, names[i]->d_name);
        status = path ? load_one(t, path, settings, &why) : tc_fail_memory(&why, 1);
        if (status == TC_OK) tc_log_line(log, 1, "resumed from %s", path);
        else if (status != TC_EARG && i + 1 < n)
            tc_log_line(log, 2, "%s; trying the one before", why.message);
        free(path);
    }
    free_names(names, n);
    if (n == 0) return tc_fail(err, TC_ESTATE, "%s: there is no checkpoint to resume from", dir);
    if (status == TC_OK || status == TC_EARG || status == TC_ENOMEM)
        return status == TC_OK ? TC_OK : tc_fail(err, status, "%s", why.message);
    return tc_fail(err, TC_ESTATE, "%s: no checkpoint in it is valid; the oldest: %s", dir, why.message);
}
