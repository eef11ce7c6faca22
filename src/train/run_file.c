/* run_file.c - OUT/run.json: what a run was asked to do. Nothing is decided by it but with which words the
 * run is started again (tc_run_restart); whether a run may go on is decided by its checkpoints or
 * compress.json. */
#include "train/run_file.h"
#include "data/data.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static const char NAME[] = "run.json";
enum { FILE_LIMIT = 1 << 24, MOST_WORDS = 10000 };

bool tc_run_file_exists(const char *dir) {
    char *path = tc_path_join(dir, NAME);
    bool there = path && tc_path_exists(path);
    free(path);
    return there;
}

/* ---- writing */

/* Text that need not be UTF-8, as paths; null if it is not, or if there is none. */
static json_t *text_or_null(const char *s) {
    json_t *text = s ? json_string(s) : NULL;
    return text ? text : json_null();
}

void tc_run_file_model(json_t *content, const char *key, const tc_model *m) {
    if (m) json_object_set_new(content, key, text_or_null(m->path ? m->path : m->source));
}

void tc_run_file_data(json_t *content, const char *key, const tc_data *d) {
    if (d)
        json_object_set_new(content, key,
                            json_pack("{s:o, s:s, s:I}", "spec", text_or_null(tc_data_spec(d)), "split",
                                      tc_data_split(d), "samples", (json_int_t)tc_data_count(d)));
}

/* NULL if a word is no UTF-8: then the run cannot be started again by them. */
static json_t *words_json(const char *const *words, int64_t count) {
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_string(words[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

tc_status tc_run_file_write(const char *dir, json_t *content, const char *const *restart, int64_t count,
                            tc_error *err) {
    json_t *words = restart ? words_json(restart, count) : NULL;
    char *path = tc_path_join(dir, NAME);
    if (content && words) json_object_set(content, "restart", words);
    /* 15 digits give back a number as it was written by hand. */
    char *text = content ? json_dumps(content, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    tc_status status =
        path && text ? tc_file_write(path, text, strlen(text), err) : tc_fail_memory(err, 1024);
    json_decref(words);
    json_decref(content);
    free(path);
    free(text);
    return status;
}

/* ---- reading */

/* The strings of a list as one block: pointers, and the texts behind them. */
static char **copy_words(const json_t *list) {
    size_t n = json_array_size(list), bytes = n * sizeof(char *);
    for (size_t i = 0; i < n; i++) bytes += json_string_length(json_array_get(list, i)) + 1;
    char **words = tc_new(1, bytes ? bytes : 1), *at = words ? (char *)(words + n) : NULL;
    for (size_t i = 0; i < n && words; i++) {
        const json_t *word = json_array_get(list, i);
        words[i] = memcpy(at, json_string_value(word), json_string_length(word) + 1);
        at += json_string_length(word) + 1;
    }
    return words;
}

static const json_t *read_words(tc_json_reader *r, const json_t *json) {
    tc_json_object root = tc_json_root(r, json);
    const json_t *list = tc_json_list(&root, "restart", false);
    if (json_array_size(list) > MOST_WORDS)
        tc_json_wrong(&root, "restart", "has more than %d words", MOST_WORDS);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            tc_json_wrong(&root, "restart", "holds something that is no text");
    if (r->status == TC_OK && !list)
        r->status = tc_fail(r->err, TC_ESTATE,
                            "%s: it does not say how the run was started; give its options again", r->name);
    return r->status == TC_OK ? list : NULL;
}

tc_status tc_run_restart(const char *dir, char ***words, int *count, tc_error *err) {
    char *path = tc_path_join(dir, NAME);
    json_t *json = NULL;
    *words = NULL;
    *count = 0;
    if (!path) return tc_fail_memory(err, strlen(dir));
    tc_json_reader r = {.name = path, .dialect = &tc_json_record, .err = err};
    r.status = tc_json_load(&json, path, FILE_LIMIT, err);
    const json_t *list = r.status == TC_OK ? read_words(&r, json) : NULL;
    if (list && !(*words = copy_words(list))) r.status = tc_fail_memory(err, 1);
    if (*words) *count = (int)json_array_size(list);
    json_decref(json);
    free(path);
    return r.status;
}
