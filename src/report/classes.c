/* classes.c - accuracy class by class, of the teacher and each student, and what a class is taken for most
 * often. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 6, OPEN_ROWS = 24 /* what is beyond them is folded away */ };

/* Whose accuracies are comparable: models that were measured on as many classes as the first one. */
typedef struct table {
    const tc_report_model *models[COLUMNS];
    int count, classes;
} table;

static table models_of(const tc_report *r) {
    table t = {0};
    for (int i = 0; i < r->model_count && t.count < COLUMNS; i++) {
        const tc_report_model *m = &r->models[i];
        int classes = m->record->class_count;
        if (!classes || (m->stage && !m->shown) || (t.count && classes != t.classes)) continue;
        t.classes = classes;
        t.models[t.count++] = m;
    }
    return t;
}

bool tc_report_has_classes(const tc_report *r) { return models_of(r).count > 0; }

/* ---- the order: classes that students find hardest first */

typedef struct place {
    int class;
    double right; /* of the students together; of the teacher if there are none */
} place;

static int hardest_first(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->right != y->right) return x->right < y->right ? -1 : 1;
    return x->class - y->class;
}

static double accuracy(const tc_class_record *c) {
    return c->images > 0 ? (double)c->right / (double)c->images : 0;
}

/* The classes that there are images of; *count gets how many. */
static place *order(tc_buf *b, const table *t, int *count) {
    place *places = tc_report_new(b, (size_t)t->classes, sizeof *places);
    if (!places) return NULL;
    *count = 0;
    for (int c = 0; c < t->classes; c++) {
        if (t->models[0]->record->classes[c].images == 0) continue;
        place *p = &places[(*count)++];
        p->class = c;
        for (int i = 0; i < t->count; i++)
            if (t->models[i]->stage || t->count == 1) p->right += accuracy(&t->models[i]->record->classes[c]);
    }
    qsort(places, (size_t)*count, sizeof *places, hardest_first);
    return places;
}

/* ---- the table */

static void put_class_name(tc_buf *b, const tc_class_record *c, int number) {
    if (c->name) tc_report_short(b, c->name, 40);
    else tc_buf_printf(b, "class %d", number + 1);
}

/* Accuracy as a bar, and under it what else was said. */
static void put_cell(tc_buf *b, const tc_report_model *m, int number) {
    const tc_class_record *all = m->record->classes, *c = &all[number];
    tc_report_number n;
    tc_buf_puts(b, "<td data-label=\"");
    tc_report_short(b, m->name, 40);
    tc_buf_printf(b,
                  "\"><span class=\"share\"><span class=\"bar c%d\" "
                  "style=\"width:%.1f%%\"></span><span>%s</span></span>",
                  m->colour, 100 * accuracy(c),
                  c->images ? tc_report_percent(accuracy(c), &n) : TC_REPORT_DASH);
    if (c->taken[0].class >= 0 && c->images > 0) {
        tc_buf_printf(b, "<small>%s ", tc_report_percent((double)c->taken[0].images / (double)c->images, &n));
        put_class_name(b, &all[c->taken[0].class], c->taken[0].class);
        tc_buf_puts(b, "</small>");
    }
    tc_buf_puts(b, "</td>");
}

static void put_rows(tc_buf *b, const table *t, const place *places, int from, int to) {
    tc_report_number n;
    tc_buf_puts(
        b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Accuracy by class\"><table "
           "class=\"cards-if-narrow\">\n<thead><tr><th scope=\"col\">Class</th>");
    for (int i = 0; i < t->count; i++) {
        tc_buf_printf(b, "<th scope=\"col\"><span class=\"key c%d\"></span>", t->models[i]->colour);
        tc_report_short(b, t->models[i]->name, 40);
        tc_buf_puts(b, "</th>");
    }
    tc_buf_puts(b, "</tr></thead>\n<tbody>\n");
    for (int k = from; k < to; k++) {
        int number = places[k].class;
        const tc_class_record *c = &t->models[0]->record->classes[number];
        tc_buf_puts(b, "<tr><th scope=\"row\">");
        put_class_name(b, c, number);
        tc_buf_printf(b, "<small>%s images</small></th>", tc_report_whole(c->images, &n));
        for (int i = 0; i < t->count; i++) put_cell(b, t->models[i], number);
        tc_buf_puts(b, "</tr>\n");
    }
    tc_buf_puts(b, "</tbody>\n</table></div>\n");
}

void tc_report_classes(tc_buf *b, const tc_report *r) {
    table t = models_of(r);
    int count;
    place *places = order(b, &t, &count);
    if (!places) return;
    tc_buf_puts(
        b, "<section id=\"classes\">\n<h2>Accuracy by class</h2>\n<p class=\"note\">How much of each class "
           "is recognised, hardest for the students first; below, what it is taken for most often "
           "when it is not.</p>\n");
    int open = count < OPEN_ROWS ? count : OPEN_ROWS;
    put_rows(b, &t, places, 0, open);
    if (open < count) {
        tc_buf_printf(b, "<details><summary>The other %d classes</summary>\n", count - open);
        put_rows(b, &t, places, open, count);
        tc_buf_puts(b, "</details>\n");
    }
    tc_buf_puts(b, "</section>\n");
    free(places);
}
