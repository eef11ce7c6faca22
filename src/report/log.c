/* log.c - the log.jsonl of a stage: its steps, evaluations and the fold. A run that is going on may
 * have half a last line; any other line that is no JSON, or whose numbers are none, is refused with its
 * number. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MOST_STEPS = 1000000000000;

typedef struct line {
    const char *name; /* "log.jsonl:12" */
    json_t *json;
    tc_error *err;
} line;

/* A number; NAN if it is null or not there. */
static tc_status number(const line *l, const char *key, double *out) {
    const json_t *v = json_object_get(l->json, key);
    *out = NAN;
    if (!v || json_is_null(v)) return TC_OK;
    if (!json_is_number(v)) return tc_fail(l->err, TC_EFORMAT, "%s: %s is not a number", l->name, key);
    double x = json_number_value(v);
    if (fabs(x) < 1e30) *out = x; /* beyond it there is nothing to draw */
    return TC_OK;
}

static tc_status add_eval(tc_report_log *log, const line *l, int64_t step) {
    double top1;
    tc_status status = number(l, "top1", &top1);
    if (status != TC_OK || isnan(top1)) return status;
    if (!(top1 >= 0 && top1 <= 1)) return tc_fail(l->err, TC_EFORMAT, "%s: top1 is not from 0 to 1", l->name);
    if (!tc_grow(&log->eval, &log->eval_room, log->evals + 1, sizeof *log->eval))
        return tc_fail_memory(l->err, sizeof *log->eval);
    log->eval[log->evals++] = (struct tc_report_eval){step, top1};
    return TC_OK;
}

static tc_status add_step(tc_report_log *log, const line *l, int64_t step) {
    struct tc_report_step s = {.step = step};
    double rate;
    tc_status status = number(l, "loss", &s.loss);
    if (status == TC_OK) status = number(l, "sparsity", &s.sparsity);
    if (status == TC_OK) status = number(l, "target_sparsity", &s.target);
    if (status == TC_OK) status = number(l, "pairs_per_second", &rate);
    if (status != TC_OK) return status;
    if (!tc_grow(&log->step, &log->step_room, log->steps + 1, sizeof *log->step))
        return tc_fail_memory(l->err, sizeof *log->step);
    log->step[log->steps++] = s;
    if (!isnan(rate)) log->pairs_per_second = rate;
    return TC_OK;
}

static tc_status add_line(tc_report_log *log, const line *l) {
    const json_t *step = json_object_get(l->json, "step");
    if (!json_is_object(l->json)) return tc_fail(l->err, TC_EFORMAT, "%s: not a JSON object", l->name);
    if (!json_is_integer(step) || json_integer_value(step) < 0 || json_integer_value(step) > MOST_STEPS)
        return tc_fail(l->err, TC_EFORMAT, "%s: step is not a whole number from 0 to %lld", l->name,
                       (long long)MOST_STEPS);
    int64_t at = json_integer_value(step);
    if (at < log->last)
        return tc_fail(l->err, TC_EFORMAT, "%s: step %lld follows step %lld", l->name, (long long)at,
                       (long long)log->last);
    log->last = at;
    if (json_object_get(l->json, "fold")) {
        log->fold = at;
        return number(l, "kept", &log->kept);
    }
    if (json_object_get(l->json, "top1")) return add_eval(log, l, at);
    return json_object_get(l->json, "loss") ? add_step(log, l, at) : TC_OK;
}

tc_status tc_report_log_parse(tc_report_log *log, const char *file, const char *text, size_t size,
                              tc_error *err) {
    *log = (tc_report_log){.given = true, .fold = -1, .kept = NAN, .pairs_per_second = NAN};
    tc_status status = TC_OK;
    size_t count = 1;
    for (size_t at = 0, n; at < size && status == TC_OK; at += n + 1, count++) {
        const char *end = memchr(text + at, '\n', size - at);
        n = end ? (size_t)(end - (text + at)) : size - at;
        if (n == 0) continue;
        char name[512];
        snprintf(name, sizeof name, "%s:%zu", file, count);
        line l = {.name = name, .err = err};
        status = tc_json_parse(&l.json, text + at, n, name, err);
        if (status == TC_EFORMAT && !end) return TC_OK; /* it is being written */
        if (status == TC_EFORMAT) status = tc_fail(err, status, "%s: not JSON", name);
        if (status == TC_OK) status = add_line(log, &l);
        json_decref(l.json);
    }
    return status;
}

tc_status tc_report_log_read(tc_report_log *log, const char *file, tc_error *err) {
    char *text;
    size_t size;
    tc_status status = tc_file_read(file, (size_t)1 << 30, &text, &size, err);
    if (status != TC_OK) return status;
    status = tc_report_log_parse(log, file, text, size, err);
    free(text);
    return status;
}

void tc_report_log_free(tc_report_log *log) {
    free(log->step);
    free(log->eval);
    *log = (tc_report_log){0};
}
