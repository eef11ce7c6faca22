/* read.c - the compressions of a folder, or of the folders in it; and the models of these. */
#include "report/report.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- folders */

/* The folder itself if there is a compress.json in it; *is says so. */
static tc_status try_folder(tc_report *r, const char *dir, bool *is, tc_error *err) {
    char *file = tc_path_join(dir, "compress.json");
    if (!file) return tc_fail_memory(err, 1);
    *is = tc_path_exists(file);
    tc_status status = TC_OK;
    if (*is && r->count == TC_REPORT_RUNS)
        status = tc_fail(err, TC_EARG, "%s: more than %d compressions", r->dir, TC_REPORT_RUNS);
    else if (*is) status = tc_compress_record_read(&r->runs[r->count++], dir, err);
    free(file);
    return status;
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static tc_status read_subfolders(tc_report *r, tc_error *err) {
    struct dirent **names;
    int n = scandir(r->dir, &names, visible, alphasort);
    if (n < 0) return tc_fail(err, TC_EIO, "%s: %s", r->dir, strerror(errno));
    tc_status status = TC_OK;
    for (int i = 0; i < n; i++) {
        char *dir = tc_path_join(r->dir, names[i]->d_name);
        bool is;
        if (!dir) status = tc_fail_memory(err, 1);
        else if (status == TC_OK && tc_path_is_dir(dir)) status = try_folder(r, dir, &is, err);
        free(dir);
        free(names[i]);
    }
    free(names);
    if (status == TC_OK && r->count == 0)
        status = tc_fail(
            err, TC_EARG,
            "%s: no compress.json in it nor in its folders; it is not the folder of a compression", r->dir);
    return status;
}

/* A page compares with one teacher. */
static tc_status check_teachers(const tc_report *r, tc_error *err) {
    const tc_model_record *a = &r->runs[0].teacher;
    for (int i = 1; i < r->count; i++) {
        const tc_model_record *b = &r->runs[i].teacher;
        bool sizes = a->given && b->given &&
                     (a->params != b->params || a->params_without_tokens != b->params_without_tokens);
        if (sizes || (a->hash && b->hash && strcmp(a->hash, b->hash) != 0))
            return tc_fail(err, TC_EARG, "%s and %s have different teachers; a report is about one",
                           r->runs[0].dir, r->runs[i].dir);
    }
    return TC_OK;
}

tc_status tc_report_read(tc_report *r, const char *dir, tc_error *err) {
    *r = (tc_report){.dir = dir, .runs = tc_new(TC_REPORT_RUNS, sizeof *r->runs)};
    if (!r->runs) return tc_fail_memory(err, TC_REPORT_RUNS * sizeof *r->runs);
    bool is;
    tc_status status = try_folder(r, dir, &is, err);
    if (status == TC_OK && !is) status = read_subfolders(r, err);
    if (status == TC_OK) status = check_teachers(r, err);
    if (status == TC_OK) status = tc_report_list(r, err);
    if (status == TC_OK) status = tc_report_read_speeds(r, err);
    if (status != TC_OK) tc_report_free(r);
    return status;
}

void tc_report_free(tc_report *r) {
    for (int i = 0; i < r->count; i++) tc_compress_record_free(&r->runs[i]);
    free(r->runs);
    free(r->models);
    *r = (tc_report){0};
}

/* ---- the models */

/* The teacher as it was measured first: it is one for all. */
static const tc_compress_record *run_with_teacher(const tc_report *r) {
    for (int i = 0; i < r->count; i++)
        if (r->runs[i].teacher.given) return &r->runs[i];
    return r->runs;
}

/* What the teacher was measured by counts; without one, what the first result was. */
static tc_report_metric metric_of(const tc_report *r) {
    for (int i = 0; i < r->model_count; i++) {
        if (!isnan(r->models[i].record->top1)) return TC_REPORT_TOP1;
        if (r->models[i].record->pairs > 0) return TC_REPORT_R1;
    }
    return TC_REPORT_NONE;
}

static void name_model(const tc_report *r, tc_report_model *m) {
    int number = (int)(m->stage - m->run->stages) + 1;
    if (r->count == 1) snprintf(m->name, sizeof m->name, "stage %d (%.300s)", number, m->stage->name);
    else if (number == m->run->stage_count) snprintf(m->name, sizeof m->name, "%.300s", m->run->name);
    else snprintf(m->name, sizeof m->name, "%.300s, stage %d", m->run->name, number);
}

static void add_model(tc_report *r, const tc_compress_record *run, const tc_stage_record *stage) {
    const tc_model_record *record = stage ? &stage->model : &run->teacher;
    tc_report_model *m = &r->models[r->model_count++];
    *m = (tc_report_model){.run = run,
                           .stage = stage,
                           .record = record,
                           .name = "teacher",
                           .images_per_second = record->images_per_second,
                           .texts_per_second = record->texts_per_second};
    if (!stage) return;
    m->colour = (int)(run - r->runs) % TC_REPORT_COLOURS + 1;
    m->last = stage == tc_report_last(run);
    m->shown = stage->done && (m->last || r->count == 1);
    name_model(r, m);
}

tc_status tc_report_list(tc_report *r, tc_error *err) {
    size_t n = 1;
    for (int i = 0; i < r->count; i++) n += (size_t)r->runs[i].stage_count;
    r->models = tc_new(n, sizeof *r->models);
    if (!r->models) return tc_fail_memory(err, n * sizeof *r->models);
    add_model(r, run_with_teacher(r), NULL);
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) add_model(r, &r->runs[i], &r->runs[i].stages[k]);
    r->in_turn = r->count == 1 && r->runs[0].speeds_in_turn;
    r->metric = metric_of(r);
    for (int i = 0; i < r->model_count; i++)
        r->models[i].accuracy = tc_report_accuracy(r, r->models[i].record);
    return TC_OK;
}

/* ---- what follows from the records */

const char *tc_report_metric_name(tc_report_metric m) {
    static const char *const names[] = {"", "zero-shot top-1", "R@1, caption of an image"};
    return names[m];
}

double tc_report_accuracy(const tc_report *r, const tc_model_record *m) {
    if (r->metric == TC_REPORT_TOP1) return m->top1;
    return r->metric == TC_REPORT_R1 && m->pairs > 0 ? m->image_to_text.r1 : NAN;
}

const tc_stage_record *tc_report_last(const tc_compress_record *run) {
    const tc_stage_record *last = NULL;
    for (int i = 0; i < run->stage_count; i++)
        if (run->stages[i].done) last = &run->stages[i];
    return last;
}

tc_report_effort tc_report_effort_of(const tc_compress_record *run, const tc_stage_record *until) {
    tc_report_effort e = {0};
    for (const tc_stage_record *s = run->stages; s <= until; s++) {
        e.planned += s->steps;
        e.steps += s->done || s->log.last > s->steps ? s->steps : s->log.last;
        e.pairs = e.pairs < 0 || s->log.pairs < 0 ? -1 : e.pairs + s->log.pairs;
        e.seconds += s->seconds;
    }
    return e;
}
