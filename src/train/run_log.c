/* run_log.c - the lines of a log.jsonl as numbers: steps, evaluations and the fold. What stands in them is
 * described at tc_train. */
#include "train/run_log.h"
#include "store/json_reader.h"

#include <stdlib.h>
#include <string.h>

static const double MOST_STEPS = 1e12, MOST_PAIRS = 1e9;
static const size_t FILE_LIMIT = (size_t)1 << 30;

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
