/* report.c - what the library offers of reports: the page of a folder as a file. */
#include "report/report.h"

#include <stdlib.h>

tc_report_options tc_report_options_default(void) {
    return (tc_report_options){.examples = TC_REPORT_EXAMPLES};
}

tc_status tc_report_write(const tc_report_options *o, tc_report_result *result, tc_error *err) {
    tc_log log = {o->log, o->log_user};
    tc_report r = {0};
    tc_buf page = {0};
    if (!o->dir) return tc_fail(err, TC_EARG, "a report needs the folder of a compression");
    if (o->examples < 0 || o->examples > TC_REPORT_MOST_EXAMPLES)
        return tc_fail(err, TC_EARG, "%d examples make no sense; 0 to %d can be shown", o->examples,
                       TC_REPORT_MOST_EXAMPLES);
    tc_status status = tc_check_reserved(o->reserved, sizeof o->reserved, "tc_report_options", err);
    if (status != TC_OK) return status;
    char *beside = o->out ? NULL : tc_path_join(o->dir, "report.html");
    status = o->out || beside ? tc_report_read(&r, o->dir, err) : tc_fail_memory(err, 1);
    if (status == TC_OK && o->speed_seconds > 0) status = tc_report_measure(&r, o->speed_seconds, &log, err);
    if (status == TC_OK) status = tc_report_page(&page, &r, o->examples, &log, err);
    if (status == TC_OK) status = tc_file_write(o->out ? o->out : beside, page.data, page.size, err);
    if (status == TC_OK && result) *result = (tc_report_result){.compressions = r.count, .bytes = page.size};
    tc_buf_free(&page);
    tc_report_free(&r);
    free(beside);
    return status;
}
