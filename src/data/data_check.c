/* data_check.c - a look at the data before anything long begins. */
#include "data/data.h"

#include <stdlib.h>

static void report_skipped(const tc_data *d, tc_buf *report) {
    const char *s = tc_data_skipped(d);
    if (*s) tc_buf_puts(report, "skipped: ");
    for (; *s; s++) {
        if (*s == '\n') tc_buf_puts(report, "\nskipped: ");
        else tc_buf_add(report, s, 1);
    }
    if (*tc_data_skipped(d)) tc_buf_puts(report, "\n");
}

static void report_example(const tc_data *d, int64_t i, const tc_preprocess *p, float *pixels,
                           tc_buf *report) {
    char name[256], caption[512];
    tc_error err = {0};
    tc_status status = tc_data_caption(d, i, 0, caption, sizeof caption, &err);
    if (status == TC_OK) status = tc_data_image(d, i, p, pixels, &err);
    const char *called = tc_data_name(d, i, name, sizeof name);
    if (status == TC_OK) tc_buf_printf(report, "example: %s: %s\n", called, caption);
    else tc_buf_printf(report, "example: %s cannot be used: %s\n", called, err.message);
}

tc_status tc_data_check(const tc_data *d, const tc_preprocess *p, int examples, tc_buf *report,
                        tc_error *err) {
    int64_t n = tc_data_count(d);
    int classes = tc_data_classes(d);
    float *pixels = tc_new((size_t)p->crop * (size_t)p->crop, 3 * sizeof *pixels);
    if (!pixels) return tc_fail_memory(err, (size_t)p->crop * (size_t)p->crop * 3 * sizeof *pixels);
    if (classes)
        tc_buf_printf(report, "%lld pictures of %d classes, %d prompt templates\n", (long long)n, classes,
                      tc_data_templates(d));
    else tc_buf_printf(report, "%lld pairs of image and caption\n", (long long)n);
    report_skipped(d, report);
    if (examples > n) examples = (int)n;
    for (int k = 0; k < examples; k++) report_example(d, n / examples * k, p, pixels, report);
    free(pixels);
    return report->failed ? tc_fail_memory(err, report->size) : TC_OK;
}
