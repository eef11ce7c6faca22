/* speed.c - how fast the models of a report are, measured in one go: DIR/speed.json, written and read.
 *
 * Compressions note speeds at different times, and a machine is not the same at different times; what one
 * model is to another can be told only if they took turns. A model is known by the hash of its weights, so
 * the folder may be moved. */
#include "report/report.h"
#include "store/json_reader.h"
#include "train/measure.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, MOST_MODELS = TC_REPORT_RUNS * TC_RECORD_STAGES + 1 };
static const double MOST_SPEED = 1e15;

/* ---- reading */

static void read_model(tc_report *r, const tc_json_object *o) {
    const char *hash = tc_json_text(o, "weights_hash", 1, 64, true);
    double images = tc_json_real(o, "images_per_second", tc_range_of(0, MOST_SPEED), NAN);
    double texts = tc_json_real(o, "texts_per_second", tc_range_of(0, MOST_SPEED), NAN);
    for (int i = 0; i < r->model_count && hash; i++) {
        tc_report_model *m = &r->models[i];
        if (!m->record->hash || strcmp(m->record->hash, hash) != 0) continue;
        m->images_per_second = images;
        m->texts_per_second = texts;
    }
}

tc_status tc_report_parse_speeds(tc_report *r, const char *file, const char *text, size_t size,
                                 tc_error *err) {
    json_t *json = NULL;
    tc_status status = tc_json_parse(&json, text, size, file, err);
    if (status != TC_OK) return status;
    tc_json_reader reader = {.name = file, .dialect = &tc_json_record, .err = err};
    tc_json_object root = tc_json_root(&reader, json);
    size_t n = json_array_size(tc_json_list(&root, "models", true));
    if (n > MOST_MODELS) tc_json_wrong(&root, "models", "are more than %d", MOST_MODELS);
    for (int i = 0; i < r->model_count; i++)
        r->models[i].images_per_second = r->models[i].texts_per_second = NAN;
    for (size_t i = 0; i < n && reader.status == TC_OK; i++) {
        tc_json_object o = tc_json_entry(&root, "models", i);
        read_model(r, &o);
    }
    r->in_turn = true;
    json_decref(json);
    return reader.status;
}

tc_status tc_report_read_speeds(tc_report *r, tc_error *err) {
    char *file = tc_path_join(r->dir, "speed.json"), *text = NULL;
    size_t size;
    if (!file) return tc_fail_memory(err, 1);
    tc_status status = TC_OK;
    if (tc_path_exists(file)) {
        status = tc_file_read(file, FILE_LIMIT, &text, &size, err);
        if (status == TC_OK) status = tc_report_parse_speeds(r, file, text, size, err);
    }
    free(text);
    free(file);
    return status;
}

/* ---- measuring */

static tc_status write_speeds(tc_report *r, const json_t *json, tc_error *err) {
    char *file = tc_path_join(r->dir, "speed.json");
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    tc_status status = file && text ? tc_file_write(file, text, strlen(text), err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_report_parse_speeds(r, file, text, strlen(text), err);
    free(text);
    free(file);
    return status;
}

static json_t *speeds_json(const tc_report *r, const int *which, const tc_speed *speeds, int n) {
    json_t *models = json_array();
    for (int i = 0; i < n; i++) {
        const char *hash = r->models[which[i]].record->hash;
        json_array_append_new(models, json_pack("{s:s, s:f, s:f}", "weights_hash", hash, "images_per_second",
                                                speeds[i].images_per_second, "texts_per_second",
                                                speeds[i].texts_per_second));
    }
    return json_pack("{s:i, s:i, s:{s:s, s:i}, s:o}", "batch", TC_SPEED_BATCH, "caption", TC_SPEED_CAPTION,
                     "machine", "cpu", tc_cpu_level(), "threads", tc_threads(), "models", models);
}

/* The teacher and what is done, each weights once; which [model_count]. Returns how many. */
static int choose(const tc_report *r, int *which) {
    int n = 0;
    for (int i = 0; i < r->model_count; i++) {
        const tc_model_record *m = r->models[i].record;
        bool new = m->given && m->hash;
        for (int k = 0; k < n && new; k++) new = strcmp(r->models[which[k]].record->hash, m->hash) != 0;
        if (new) which[n++] = i;
    }
    return n;
}

tc_status tc_report_measure(tc_report *r, double seconds, const tc_log *log, tc_error *err) {
    size_t room = (size_t)r->model_count;
    int *which = tc_new(room, sizeof *which);
    tc_model **models = tc_new(room, sizeof *models);
    tc_speed *speeds = tc_new(room, sizeof *speeds);
    tc_status status = which && models && speeds ? TC_OK : tc_fail_memory(err, room * sizeof *speeds);
    int n = status == TC_OK ? choose(r, which) : 0;
    if (status == TC_OK && n == 0)
        status =
            tc_fail(err, TC_EARG, "%s: no model of it has been measured yet, and has a checksum", r->dir);
    for (int i = 0; i < n && status == TC_OK; i++)
        status = tc_report_open(&r->models[which[i]], &models[i], err);
    if (status == TC_OK) {
        tc_log_line(log, 1, "measuring the speed of %d models in turn", n);
        status = tc_measure_speeds((const tc_model *const *)models, n, TC_SPEED_BATCH, TC_SPEED_CAPTION,
                                   seconds, speeds, err);
    }
    if (status == TC_OK) {
        json_t *json = speeds_json(r, which, speeds, n);
        status = write_speeds(r, json, err);
        json_decref(json);
    }
    for (int i = 0; i < n; i++) tc_model_close(&models[i]);
    free(which);
    free(models);
    free(speeds);
    return status;
}
