/* report.c - what the library offers of reports: the page of a folder as a file, and its table of models as
 * text. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

tc_report_options tc_report_options_default(void) { return (tc_report_options){.examples = 12}; }

tc_status tc_report_write(const tc_report_options *o, tc_report_result *result, tc_error *err) {
    enum { MOST_EXAMPLES = 60 };
    tc_log log = {o->log, o->log_user};
    tc_report r = {0};
    tc_buf page = {0};
    if (o->examples < 0 || o->examples > MOST_EXAMPLES)
        return tc_fail(err, TC_EARG, "%d examples make no sense; 0 to %d can be shown", o->examples,
                       MOST_EXAMPLES);
    tc_status status = tc_check_reserved(o->reserved, sizeof o->reserved, "tc_report_options", err);
    if (status != TC_OK) return status;
    char *beside = o->out ? NULL : tc_path_join(o->dir, "report.html");
    status = o->out || beside ? tc_report_read(&r, o->dir, err) : tc_fail_memory(err, 1);
    if (status == TC_OK) status = tc_report_page(&page, &r, o->examples, &log, err);
    if (status == TC_OK) status = tc_file_write(o->out ? o->out : beside, page.data, page.size, err);
    if (status == TC_OK && result) *result = (tc_report_result){.compressions = r.count, .bytes = page.size};
    tc_buf_free(&page);
    tc_report_free(&r);
    free(beside);
    return status;
}

/* ---- the table of models */

static void add_row(tc_buf *b, const char *name, const char *run, const tc_model_record *f, int64_t steps,
                    double seconds) {
    tc_report_number params, macs, images, time;
    tc_buf_printf(b, "%-14s %-14s %12s %10s %8.2f %10s", name, run,
                  tc_report_whole(f->params_without_tokens, &params),
                  tc_report_amount(f->macs_image + f->macs_text, &macs), 100 * f->top1,
                  tc_report_rate(f->images_per_second, &images));
    if (steps > 0) tc_buf_printf(b, " %7lld %15s", (long long)steps, tc_report_duration(seconds, &time));
    tc_buf_puts(b, "\n");
}

/* Stages that are called by a number are called by what they keep, in percent. */
static const char *stage_name(const tc_stage_record *s, tc_report_number *n) {
    bool number = *s->name && s->name[strspn(s->name, "0123456789")] == '\0';
    snprintf(n->s, sizeof n->s, "%.30s%s", s->name, number ? " %" : "");
    return n->s;
}

static void add_run(tc_buf *b, const tc_compress_record *run) {
    int64_t steps = 0;
    double seconds = 0;
    for (int i = 0; i < run->stage_count; i++) {
        const tc_stage_record *s = &run->stages[i];
        tc_report_number name;
        steps += s->steps;
        seconds += s->seconds;
        add_row(b, stage_name(s, &name), run->name, &s->model, steps, seconds);
    }
}

tc_status tc_report_table(const char *dir, char **text, tc_error *err) {
    tc_report r = {0};
    tc_buf b = {0};
    tc_status status = tc_report_read(&r, dir, err);
    if (status != TC_OK) return status;
    tc_buf_printf(&b, "%-14s %-14s %12s %10s %8s %10s %7s %15s\n", "", "inheritance", "parameters*", "MACs",
                  "top-1 %", "images/s", "steps", "time");
    add_row(&b, "teacher", "", tc_report_teacher(&r), 0, 0);
    for (int i = 0; i < r.count; i++) add_run(&b, &r.runs[i]);
    tc_buf_puts(&b, "* without the token table; MACs of an image and a full-length text; steps and time from "
                    "the teacher on\n");
    *text = tc_buf_take(&b);
    tc_report_free(&r);
    return *text ? TC_OK : tc_fail_memory(err, 1);
}
