/* structure.c - what is left of the teacher: for each tower of each student its width, and a row a layer with
 * the two things that are counted in it: heads and FFN channels, or the channels of two convolutions. The
 * teacher is the outline, the student what is filled. Counts are drawn, not which members were kept: a small
 * model has only those that it kept.
 *
 * A student with fewer layers inherited every floor(T/S)-th; its rows stand where they came from. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

/* Of the picture: a column of names, then for each part bars with a number behind. */
enum { WIDE = 340, ROW = 18, HEAD = 54, NAME_TO = 33, PART_AT = 40, PART_STEP = 152, BAR_WIDE = 108 };
/* Members are drawn one by one if they are not too many. */
enum { CELL = 13, LEAST_CELL = 4 };

/* rows[i]: the layer of the teacher's tower t that layer i of a student's came from. The stages before it
 * shift it too. */
static int *origins(tc_buf *b, const tc_tower_record *t, const tc_report_model *m, bool vision) {
    int *rows = NULL, before = t->layers;
    for (const tc_stage_record *s = m->run->stages; s <= m->stage; s++) {
        const tc_tower_record *st = vision ? &s->model.vision : &s->model.text;
        if (!st->given) continue;
        int step = st->layers < before ? before / st->layers : 1;
        int *now = tc_report_new(b, (size_t)st->layers, sizeof *now);
        for (int i = 0; i < st->layers && now; i++) {
            int from = i * step < before ? i * step : before - 1;
            now[i] = rows ? rows[from] : from;
        }
        free(rows);
        rows = now;
        if (!rows) return NULL;
        before = st->layers;
    }
    return rows;
}

/* The student's row in the teacher's row i, -1: none. `from`: its layers' origins. */
static int student_row(const tc_tower_record *st, const int *from, int i) {
    if (st->stem && i == 0) return 0;
    for (int k = 0; k < st->layers; k++)
        if (from[k] == i - st->stem) return k + st->stem;
    return -1;
}

/* "3"; behind a stem "stage.block". */
static const char *row_name(const tc_tower_record *t, int row, tc_report_number *n) {
    int block = row - 1, stage = 0;
    if (t->stem && row == 0) return "stem";
    while (stage < 3 && t->stages[stage] > 0 && block >= t->stages[stage]) block -= t->stages[stage++];
    if (t->stem && t->stages[0] > 0) snprintf(n->s, sizeof n->s, "%d.%d", stage + 1, block + 1);
    else snprintf(n->s, sizeof n->s, "%d", t->stem ? row : row + 1);
    return n->s;
}

static int largest(const int *x, int n) {
    int most = 1;
    for (int i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    return most;
}

/* ---- pictures */

static double part_of(int x, int of) {
    if (of <= 0 || x <= 0) return 0;
    return x >= of ? 1 : (double)x / of;
}

/* A bar of the teacher's length with the student's part filled. */
static void bar(tc_buf *b, double x, double y, double wide, double high, int kept, int of, int longest) {
    double whole = wide * part_of(of, longest);
    if (whole <= 0) return;
    tc_buf_printf(b, "<rect class=\"was\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", x, y,
                  whole, high);
    if (kept > 0)
        tc_buf_printf(b, "<rect class=\"is\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", x, y,
                      whole * part_of(kept, of), high);
}

/* Returns how wide the longest row is. */
static double members(tc_buf *b, double x, double y, int kept, int of, int longest) {
    double cell = longest * CELL <= BAR_WIDE ? CELL : BAR_WIDE / (double)longest;
    if (cell < LEAST_CELL) {
        bar(b, x, y + 3, BAR_WIDE, ROW - 7, kept, of, longest);
        return BAR_WIDE;
    }
    for (int i = 0; i < of && i < longest; i++)
        tc_buf_printf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
                      i < kept ? "is on" : "was", x + i * cell, y + 3, cell - 2, ROW - 7);
    return longest * cell;
}

static void put_count(tc_buf *b, double x, double y, int value) {
    tc_report_number n;
    tc_buf_printf(b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>", value > 0 ? "count" : "count gone",
                  x, y, value < 0 ? "none" : tc_report_whole(value, &n));
}

/* Row i of the teacher's tower; s is the student's row there, -1: none. */
static void row(tc_buf *b, const tc_tower_record *t, const tc_tower_record *st, int i, int s) {
    double y = HEAD + i * ROW, base = y + ROW - 5;
    tc_report_number n;
    tc_buf_printf(b, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", NAME_TO, base,
                  row_name(t, i, &n));
    for (int p = 0; p < TC_RECORD_PARTS; p++) {
        double x = PART_AT + p * PART_STEP;
        double wide =
            members(b, x, y, s < 0 ? 0 : st->count[p][s], t->count[p][i], largest(t->count[p], t->rows));
        if (s >= 0) put_count(b, x + wide + 5, base, st->count[p][s]);
        else if (p == 0)
            tc_buf_printf(b, "<text class=\"count gone\" x=\"%.1f\" y=\"%.1f\">left out</text>", x + wide + 5,
                          base);
    }
    tc_buf_puts(b, "\n");
}

/* "heads of 6", or "heads" where layers differ. */
static void part_title(tc_buf *b, const tc_tower_record *t, int p) {
    tc_report_number n;
    int most = largest(t->count[p], t->rows);
    bool equal = true;
    for (int i = 0; i < t->rows; i++) equal = equal && t->count[p][i] == most;
    tc_buf_printf(b, "<text class=\"tick\" x=\"%d\" y=\"44\">%s%s%s</text>\n", PART_AT + p * PART_STEP,
                  t->part[p], equal ? " of " : "", equal ? tc_report_whole(most, &n) : "");
}

/* The picture in words, for who does not see it. */
static void words(tc_buf *b, const tc_tower_record *t, const tc_tower_record *st, const int *from) {
    tc_report_number n;
    tc_buf_printf(b, "Width %d of %d.", st->width, t->width);
    for (int i = 0; i < t->rows; i++) {
        int s = student_row(st, from, i);
        tc_buf_printf(b, " %s%s:", t->stem ? "" : "Layer ", row_name(t, i, &n));
        for (int p = 0; p < TC_RECORD_PARTS && s >= 0; p++) {
            int is = st->count[p][s], was = t->count[p][i];
            tc_buf_printf(b, "%s %d of %d %s", p ? "," : "", is < 0 ? 0 : is, was < 0 ? 0 : was, t->part[p]);
        }
        tc_buf_puts(b, s < 0 ? " left out." : ".");
    }
}

/* ---- towers and students */

/* Towers of one form can be laid over each other. */
static bool comparable(const tc_tower_record *a, const tc_tower_record *b) {
    return a->rows > 0 && b->rows > 0 && strcmp(a->part[0], b->part[0]) == 0;
}

static void tower(tc_buf *b, const tc_report_model *teacher, const tc_report_model *m, bool vision) {
    const tc_tower_record *t = vision ? &teacher->record->vision : &teacher->record->text;
    const tc_tower_record *st = vision ? &m->record->vision : &m->record->text;
    const char *title = vision ? "Image tower" : "Text tower";
    tc_buf_printf(b, "<figure>\n<h4>%s</h4>\n", title);
    int *from = comparable(t, st) ? origins(b, t, m, vision) : NULL;
    if (!from) {
        tc_buf_puts(b, "<p class=\"missing\">Its structure is not in compress.json.</p>\n</figure>\n");
        return;
    }
    tc_buf_printf(b,
                  "<svg class=\"tower\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                  "role=\"img\" aria-label=\"%s. ",
                  WIDE, HEAD + t->rows * ROW + 4, title);
    words(b, t, st, from);
    tc_buf_puts(b, "\">\n");
    bar(b, PART_AT, 5, BAR_WIDE, 10, st->width, t->width, t->width);
    tc_buf_printf(b, "<text class=\"count\" x=\"%d\" y=\"14\">width %d of %d</text>\n",
                  PART_AT + BAR_WIDE + 5, st->width, t->width);
    for (int p = 0; p < TC_RECORD_PARTS; p++) part_title(b, t, p);
    for (int i = 0; i < t->rows; i++) row(b, t, st, i, student_row(st, from, i));
    tc_buf_puts(b, "</svg>\n</figure>\n");
    free(from);
}

static void student(tc_buf *b, const tc_report *r, const tc_report_model *m) {
    tc_report_number n, of;
    tc_buf_printf(b, "<article class=\"student c%d\">\n<h3><span class=\"key\"></span>", m->colour);
    tc_report_text(b, m->name);
    tc_buf_printf(b, " <small>%s of %s parameters</small></h3>\n<div class=\"towers\">\n",
                  tc_report_amount((double)m->record->params_without_tokens, &n),
                  tc_report_amount((double)r->models[0].record->params_without_tokens, &of));
    tower(b, &r->models[0], m, true);
    tower(b, &r->models[0], m, false);
    tc_buf_puts(b, "</div>\n</article>\n");
}

void tc_report_structure(tc_buf *b, const tc_report *r) {
    bool any = false;
    tc_buf_puts(b, "<section id=\"structure\">\n<h2>Structure</h2>\n");
    for (int i = 0; i < r->model_count; i++) {
        if (!r->models[i].shown) continue;
        if (!any)
            tc_buf_puts(b,
                        "<p class=\"note\">What is left of the teacher in each layer: outlined what it has, "
                        "filled what the student has. How many, not which.</p>\n<div class=\"students\">\n");
        any = true;
        student(b, r, &r->models[i]);
    }
    tc_buf_puts(b, any ? "</div>\n</section>\n"
                       : "<p class=\"missing\">No stage is done yet.</p>\n</section>\n");
}
