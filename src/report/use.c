/* use.c - what can be done with the students: commands as they can be typed, with the paths of these models.
 */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

enum { LABELS = 4 /* class names in an example */ };

static void put_labels(tc_buf *b, const tc_report_model *m) {
    tc_buf labels = {0};
    for (int c = 0, n = 0; c < m->record->class_count && n < LABELS; c++) {
        const char *name = m->record->classes[c].name;
        if (!name || strchr(name, ',')) continue;
        tc_buf_printf(&labels, "%s%s", n++ ? "," : "", name);
    }
    if (!labels.data) tc_buf_puts(&labels, "cat,dog");
    if (labels.data) tc_report_argument(b, labels.data);
    b->failed = b->failed || labels.failed;
    tc_buf_free(&labels);
}

static void put_commands(tc_buf *b, const tc_report_model *m, const char *path) {
    static const char *const commands[][2] = {{"classify", " photo.jpg --labels "},
                                              {"embed", " --images photos -o photos.npy"},
                                              {"convert", " small-onnx --to onnx"},
                                              {"info", ""}};
    tc_buf_puts(b, "<pre class=\"command\" tabindex=\"0\"><code>");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        tc_buf_printf(b, "%stinyclip %s ", i ? "\n" : "", commands[i][0]);
        tc_report_argument(b, path);
        tc_buf_puts(b, commands[i][1]);
        if (i == 0) put_labels(b, m);
    }
    tc_buf_puts(b, "</code></pre>\n");
}

/* The most accurate student; of equal ones the first. */
static const tc_report_model *best(const tc_report *r) {
    const tc_report_model *found = NULL;
    for (int i = 0; i < r->model_count; i++)
        if (r->models[i].last && (!found || r->models[i].accuracy > found->accuracy)) found = &r->models[i];
    return found;
}

static void put_student(tc_buf *b, const tc_report_model *m, bool open) {
    char *path = tc_report_path(m);
    tc_buf_printf(b, "<details class=\"use\"%s>\n<summary><span class=\"key c%d\"></span><strong>",
                  open ? " open=\"open\"" : "", m->colour);
    tc_report_text(b, m->name);
    tc_buf_puts(b, "</strong></summary>\n");
    if (path) put_commands(b, m, path);
    else tc_buf_puts(b, "<p class=\"missing\">Its file is not there any more.</p>\n");
    tc_buf_puts(b, "</details>\n");
    free(path);
}

void tc_report_use(tc_buf *b, const tc_report *r) {
    const tc_report_model *first = best(r);
    tc_buf_puts(b, "<section id=\"use\">\n<h2>Use a student</h2>\n");
    tc_buf_puts(
        b, first ? "<p class=\"note\">With your pictures and labels, from the folder that this report was "
                   "made in.</p>\n"
                 : "<p class=\"missing\">No stage is done yet.</p>\n");
    for (int i = 0; i < r->model_count; i++)
        if (r->models[i].last) put_student(b, &r->models[i], &r->models[i] == first);
    tc_buf_puts(b, "</section>\n");
}
