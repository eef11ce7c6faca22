/* run_log.c - the lines of log.jsonl: steps, evaluations and the fold, written and read back. They are
 * written one by one, so that no killed run lacks any that its checkpoint has gone past. */
#include "train/run_log.h"
#include "store/json_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double MOST_STEPS = 1e12, MOST_PAIRS = 1e9;
static const size_t FILE_LIMIT = (size_t)1 << 30;

/* ---- writing */

/* Whether a complete line belongs to the steps up to `first`. */
static bool keep_line(const char *line, size_t size, int64_t first, double *loss, double *top1) {
    json_t *json = NULL;
    tc_status status = tc_json_parse(&json, line, size, "", NULL);
    const json_t *step = json_object_get(json, "step"), *x;
    bool keep = status == TC_OK && json_is_integer(step) && json_integer_value(step) <= first;
    if (keep && json_is_number(x = json_object_get(json, "loss"))) *loss = json_number_value(x);
    if (keep && json_is_number(x = json_object_get(json, "top1"))) *top1 = json_number_value(x);
    json_decref(json);
    return keep;
}

static tc_status keep_lines(const char *path, int64_t first, double *loss, double *top1, tc_error *err) {
    char *old = NULL;
    size_t size = 0;
    tc_status status = TC_OK;
    tc_buf kept = {0};
    if (first > 0 && tc_path_exists(path)) status = tc_file_read(path, SIZE_MAX >> 1, &old, &size, err);
    for (const char *line = old, *end; status == TC_OK && line && (end = strchr(line, '\n')); line = end + 1)
        if (keep_line(line, (size_t)(end - line), first, loss, top1))
            tc_buf_printf(&kept, "%.*s\n", (int)(end - line), line);
    if (kept.failed && status == TC_OK) status = tc_fail_memory(err, size);
    if (status == TC_OK) status = tc_file_write(path, kept.data ? kept.data : "", kept.size, err);
    tc_buf_free(&kept);
    free(old);
    return status;
}

tc_status tc_log_file_open(tc_log_file *l, const char *dir, int64_t first, double *loss, double *top1,
                           tc_error *err) {
    if (!(l->path = tc_path_join(dir, "log.jsonl"))) return tc_fail_memory(err, 1);
    tc_status status = keep_lines(l->path, first, loss, top1, err);
    if (status == TC_OK && !(l->file = fopen(l->path, "ae")))
        status = tc_fail(err, TC_EIO, "%s: cannot write: %s", l->path, strerror(errno));
    if (status == TC_OK) setvbuf(l->file, NULL, _IOLBF, BUFSIZ);
    return status;
}

void tc_log_file_close(tc_log_file *l) {
    if (l->file) fclose(l->file);
    free(l->path);
    *l = (tc_log_file){0};
}

static tc_status write_line(tc_log_file *l, const char *line, tc_error *err) {
    errno = 0;
    if (fputs(line, l->file) >= 0 && !ferror(l->file)) return TC_OK;
    return tc_fail(err, TC_EIO, "%s: cannot write: %s", l->path, strerror(errno ? errno : EIO));
}

/* JSON has no number for what is not finite. */
static const char *number_text(double x, char out[32]) {
    if (isfinite(x)) snprintf(out, 32, "%.9g", x);
    else snprintf(out, 32, "null");
    return out;
}

tc_status tc_log_file_step(tc_log_file *l, const tc_step_line *s, tc_error *err) {
    char line[1024], loss[32], norm[32], masks[320] = "";
    const double *lambda = s->lambda;
    if (s->masked)
        snprintf(masks, sizeof masks,
                 ",\"sparsity\":%.9g,\"target_sparsity\":%.9g,\"lagrangian\":%.9g,"
                 "\"lambda\":[%.9g,%.9g,%.9g,%.9g]",
                 s->sparsity, s->target, s->lagrangian, lambda[0], lambda[1], lambda[2], lambda[3]);
    snprintf(line, sizeof line,
             "{\"step\":%lld,\"epoch\":%.4f,\"loss\":%s,\"lr\":%.9g,\"grad_norm\":%s,\"logit_scale\":%.9g,"
             "\"pairs\":%d%s,\"pairs_per_second\":%.1f%s}\n",
             (long long)s->step, s->epoch, number_text(s->loss, loss), s->lr, number_text(s->grad_norm, norm),
             s->logit_scale, s->pairs, s->skipped ? ",\"skipped\":true" : "", s->pairs_per_second, masks);
    return write_line(l, line, err);
}

tc_status tc_log_file_fold(tc_log_file *l, int64_t step, double kept, const tc_model_info *left,
                           tc_error *err) {
    char line[256];
    snprintf(line, sizeof line,
             "{\"step\":%lld,\"fold\":true,\"kept\":%.9g,\"params\":%lld,\"params_without_tokens\":%lld}\n",
             (long long)step, kept, (long long)left->params, (long long)left->params_without_tokens);
    return write_line(l, line, err);
}

tc_status tc_log_file_classes(tc_log_file *l, int64_t step, const tc_zeroshot_result *r, tc_error *err) {
    char line[256];
    snprintf(line, sizeof line, "{\"step\":%lld,\"top1\":%.6f,\"top5\":%.6f,\"images\":%lld}\n",
             (long long)step, r->top1, r->top5, (long long)r->images);
    return write_line(l, line, err);
}

tc_status tc_log_file_pairs(tc_log_file *l, int64_t step, const tc_retrieval_result *r, tc_error *err) {
    const tc_retrieval_direction *to[2] = {&r->image_to_text, &r->text_to_image};
    static const char *const name[2] = {"image_to_text", "text_to_image"};
    char line[768];
    int n = snprintf(line, sizeof line, "{\"step\":%lld,\"retrieval\":{\"pairs\":%lld", (long long)step,
                     (long long)r->pairs);
    for (int i = 0; i < 2; i++)
        n +=
            snprintf(line + n, sizeof line - (size_t)n,
                     ",\"%s\":{\"r1\":%.6f,\"r5\":%.6f,\"r10\":%.6f,\"mean_rank\":%.9g,\"median_rank\":%.9g}",
                     name[i], to[i]->r1, to[i]->r5, to[i]->r10, to[i]->mean_rank, to[i]->median_rank);
    snprintf(line + n, sizeof line - (size_t)n, "}}\n");
    return write_line(l, line, err);
}

/* ---- reading */

tc_run_log tc_run_log_empty(void) { return (tc_run_log){.fold = -1, .pairs = -1, .kept = NAN}; }

void tc_run_log_free(tc_run_log *log) {
    free(log->steps);
    free(log->evals);
    *log = tc_run_log_empty();
}

/* NAN if it is not there, and beyond what can be drawn. */
static double number(const tc_json_object *line, const char *key) {
    double x = tc_json_real(line, key, tc_range_any(), NAN);
    return fabs(x) < 1e30 ? x : NAN;
}

static tc_status add_eval(tc_run_log *log, const tc_json_object *line, int64_t step, tc_error *err) {
    double top1 = tc_json_real(line, "top1", tc_range_of(0, 1), NAN);
    if (isnan(top1)) return TC_OK;
    if (!tc_grow(&log->evals, &log->eval_room, log->eval_count + 1, sizeof *log->evals))
        return tc_fail_memory(err, sizeof *log->evals);
    log->evals[log->eval_count++] = (tc_logged_eval){step, top1};
    return TC_OK;
}

static tc_status add_step(tc_run_log *log, const tc_json_object *line, int64_t step, tc_error *err) {
    int64_t pairs = tc_json_whole(line, "pairs", tc_range_of(0, MOST_PAIRS), -1);
    if (pairs >= 0) log->pairs = pairs + (log->pairs > 0 ? log->pairs : 0);
    if (!tc_grow(&log->steps, &log->step_room, log->step_count + 1, sizeof *log->steps))
        return tc_fail_memory(err, sizeof *log->steps);
    log->steps[log->step_count++] = (tc_logged_step){.step = step,
                                                     .loss = number(line, "loss"),
                                                     .sparsity = number(line, "sparsity"),
                                                     .target = number(line, "target_sparsity")};
    return TC_OK;
}

static tc_status add_line(tc_run_log *log, tc_json_reader *r, const json_t *json) {
    tc_json_object line = tc_json_root(r, json);
    int64_t step = tc_json_whole(&line, "step", tc_range_of(0, MOST_STEPS), TC_JSON_NEEDED);
    if (step < log->last)
        tc_json_wrong(&line, "step", "%lld follows step %lld", (long long)step, (long long)log->last);
    if (r->status != TC_OK) return r->status;
    log->last = step;
    tc_status status = TC_OK;
    if (tc_json_has(&line, "fold")) {
        log->fold = step;
        log->kept = number(&line, "kept");
    } else if (json_object_get(json, "top1")) {
        status = add_eval(log, &line, step, r->err);
    } else if (json_object_get(json, "loss")) {
        status = add_step(log, &line, step, r->err);
    }
    return status == TC_OK ? r->status : status;
}

tc_status tc_run_log_parse(tc_run_log *log, const char *file, const char *text, size_t size, tc_error *err) {
    *log = tc_run_log_empty();
    tc_status status = TC_OK;
    size_t count = 1;
    for (size_t at = 0, n; at < size && status == TC_OK; at += n + 1, count++) {
        const char *end = memchr(text + at, '\n', size - at);
        n = end ? (size_t)(end - (text + at)) : size - at;
        if (n == 0) continue;
        char name[512];
        json_t *json = NULL;
        snprintf(name, sizeof name, "%s:%zu", file, count);
        tc_json_reader r = {.name = name, .dialect = &tc_json_record, .err = err};
        status = tc_json_parse(&json, text + at, n, name, err);
        if (status == TC_EFORMAT && !end) return TC_OK; /* it is being written */
        if (status == TC_EFORMAT) status = tc_fail(err, status, "%s: not JSON", name);
        if (status == TC_OK) status = add_line(log, &r, json);
        json_decref(json);
    }
    return status;
}

tc_status tc_run_log_read(tc_run_log *log, const char *file, tc_error *err) {
    char *text;
    size_t size;
    *log = tc_run_log_empty();
    tc_status status = tc_file_read(file, FILE_LIMIT, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_run_log_parse(log, file, text, size, err);
    free(text);
    return status;
}
