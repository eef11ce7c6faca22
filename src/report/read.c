/* read.c - the compressions of a folder, or of the folders in it; and what follows from their records. */
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
    if (status != TC_OK) tc_report_free(r);
    return status;
}

void tc_report_free(tc_report *r) {
    for (int i = 0; i < r->count; i++) tc_compress_record_free(&r->runs[i]);
    free(r->runs);
    *r = (tc_report){0};
}

/* ---- what follows from it */

const tc_model_record *tc_report_teacher(const tc_report *r) {
    for (int i = 0; i < r->count; i++)
        if (r->runs[i].teacher.given) return &r->runs[i].teacher;
    return &r->runs[0].teacher;
}

const tc_stage_record *tc_report_last(const tc_compress_record *run) {
    const tc_stage_record *last = NULL;
    for (int i = 0; i < run->stage_count; i++)
        if (run->stages[i].done) last = &run->stages[i];
    return last;
}

int64_t tc_report_steps_planned(const tc_compress_record *run) {
    const tc_stage_record *last = &run->stages[run->stage_count - 1];
    return last->before + last->steps;
}

int64_t tc_report_steps_made(const tc_compress_record *run) {
    int64_t made = 0;
    for (int i = 0; i < run->stage_count; i++) {
        const tc_stage_record *s = &run->stages[i];
        made += s->done || s->log.last > s->steps ? s->steps : s->log.last;
    }
    return made;
}

double tc_report_seconds(const tc_compress_record *run) {
    double all = 0;
    for (int i = 0; i < run->stage_count; i++)
        if (run->stages[i].done) all += run->stages[i].seconds;
    return all;
}

/* What the teacher was measured by counts; without one, what the first result was. */
tc_report_metric tc_report_metric_of(const tc_report *r) {
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r->count; i++) {
            const tc_stage_record *s = tc_report_last(&r->runs[i]);
            const tc_model_record *f = pass == 0 ? &r->runs[i].teacher : s ? &s->model : NULL;
            if (f && !isnan(f->top1)) return TC_REPORT_TOP1;
            if (f && f->pairs > 0) return TC_REPORT_R1;
        }
    return TC_REPORT_NONE;
}

const char *tc_report_metric_name(tc_report_metric m) {
    return m == TC_REPORT_TOP1 ? "zero-shot top-1" : m == TC_REPORT_R1 ? "R@1, caption of an image" : "";
}

double tc_report_metric_value(const tc_model_record *f, tc_report_metric m) {
    return m == TC_REPORT_TOP1 ? f->top1 : m == TC_REPORT_R1 && f->pairs > 0 ? f->image_to_text.r1 : NAN;
}

int tc_report_colour(const tc_report *r, const tc_compress_record *run) {
    return (int)(run - r->runs) % TC_REPORT_COLOURS + 1;
}

const char *tc_report_model_name(const tc_report *r, const tc_compress_record *run,
                                 const tc_stage_record *stage, tc_report_name *name) {
    int number = (int)(stage - run->stages) + 1;
    if (r->count == 1) snprintf(name->s, sizeof name->s, "stage %d (%.300s)", number, stage->name);
    else if (number == run->stage_count) snprintf(name->s, sizeof name->s, "%.300s", run->name);
    else snprintf(name->s, sizeof name->s, "%.300s, stage %d", run->name, number);
    return name->s;
}
