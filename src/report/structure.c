/* structure.c - what is left of the teacher: for each tower of each student its width, and a row a
 * layer with its heads and FFN channels, or the channels of a ResNet's convolutions. The teacher is the
 * outline, the student what is filled. Counts are drawn, not which members were kept: a small model has only
 * those that it kept.
 *
 * A student with fewer layers inherited every floor(T/S)-th; its rows stand where they came from. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIDE = 340,
    ROW = 18,
    HEAD = 54,
    HEADS_AT = 24,
    HEADS_WIDE = 104,
    FFN_AT = 160,
    FFN_WIDE = 132,
    NUMBER_AT = 298,
    CONV_AT = 38,
    CONV_STEP = 152,
    CONV_WIDE = 108
};

/* rows[i]: the teacher's layer that layer i of a stage's tower came from. The stages before it shift it too.
 */
static int *origins(tc_buf *b, const tc_report_run *run, const tc_report_stage *stage, bool vision) {
    int *rows = NULL, before = (vision ? run->teacher.vision : run->teacher.text).layers;
    for (const tc_report_stage *s = run->stages; s <= stage; s++) {
        const tc_report_tower *t = vision ? &s->facts.vision : &s->facts.text;
        if (!t->given) continue;
        int *now = tc_report_new(b, (size_t)t->layers, sizeof *now),
            step = t->layers < before ? before / t->layers : 1;
        for (int i = 0; i < t->layers && now; i++) {
            int from = i * step < before ? i * step : before - 1;
            now[i] = rows ? rows[from] : from;
        }
        free(rows);
        rows = now;
        if (!rows) return NULL;
        before = t->layers;
    }
    return rows;
}

/* The student's layer in the teacher's row, -1: none. */
static int layer_in_row(const int *rows, int layers, int row) {
    for (int i = 0; i < layers; i++)
        if (rows[i] == row) return i;
    return -1;
}

static int largest(const int *x, int n) {
    int most = 1;
    for (int i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    return most;
}

static double part(int x, int of) { return of <= 0 || x <= 0 ? 0 : x >= of ? 1 : (double)x / of; }

/* A bar of the teacher's length with the student's part filled. */
static void bar(tc_buf *b, double x, double y, double wide, double high, int kept, int of, int longest,
                int colour) {
    double whole = wide * part(of, longest);
    if (whole <= 0) return;
    tc_buf_printf(b, "<rect class=\"was\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", x, y,
                  whole, high);
    if (kept > 0)
        tc_buf_printf(b, "<rect class=\"is c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                      colour, x, y, whole * part(kept, of), high);
}

/* A square a head, unless there are too many. */
static double head_cell(int longest) {
    return longest * 13 <= HEADS_WIDE ? 13 : HEADS_WIDE / (double)longest;
}
static double heads_wide(const tc_report_tower *t) {
    int longest = largest(t->heads, t->layers);
    return longest * head_cell(longest);
}

static void heads(tc_buf *b, double y, int kept, int of, int longest, int colour) {
    double cell = head_cell(longest);
    if (cell < 3) {
        bar(b, HEADS_AT, y + 3, HEADS_WIDE, ROW - 7, kept, of, longest, colour);
        return;
    }
    for (int i = 0; i < of && i < longest; i++)
        tc_buf_printf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
                      i < kept ? "is on" : "was", HEADS_AT + i * cell, y + 3, cell - 2, ROW - 7);
}

static void put_number(tc_buf *b, double x, double y, int value) {
    tc_report_number n;
    tc_buf_printf(b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>", value > 0 ? "count" : "count gone",
                  x, y, value < 0 ? "none" : tc_report_whole(value, &n));
}

/* Layer i of the teacher's tower; s is the student's layer there, -1: none. */
static void row(tc_buf *b, const tc_report_tower *t, const tc_report_tower *st, int i, int s, int colour) {
    double y = HEAD + i * ROW, base = y + ROW - 5;
    tc_buf_printf(b,
                  "<text class=\"tick\" x=\"16\" y=\"%.1f\" text-anchor=\"end\">%d</text><g class=\"c%d\">",
                  base, i + 1, colour);
    heads(b, y, s < 0 ? 0 : st->heads[s], t->heads[i], largest(t->heads, t->layers), colour);
    bar(b, FFN_AT, y + 3, FFN_WIDE, ROW - 7, s < 0 ? 0 : st->ffn[s], t->ffn[i], largest(t->ffn, t->layers),
        colour);
    if (s >= 0) put_number(b, HEADS_AT + heads_wide(t) + 5, base, st->heads[s]);
    if (s >= 0) put_number(b, NUMBER_AT, base, st->ffn[s]);
    else
        tc_buf_printf(b, "<text class=\"count gone\" x=\"%d\" y=\"%.1f\">left out</text>", NUMBER_AT - 1,
                      base);
    tc_buf_puts(b, "</g>\n");
}

/* "stem", then "stage.block". */
static const char *block_name(const tc_report_tower *t, int row, char *out, size_t size) {
    int block = row - 1, stage = 0;
    if (row == 0) return "stem";
    while (stage < 3 && t->stages[stage] > 0 && block >= t->stages[stage]) block -= t->stages[stage++];
    if (t->stages[0] > 0) snprintf(out, size, "%d.%d", stage + 1, block + 1);
    else snprintf(out, size, "%d", row);
    return out;
}

/* Row i of a ResNet: 0 is the stem, whose first two convolutions are drawn, then the blocks; s is the
 * student's row there, -1: none. */
static void block_row(tc_buf *b, const tc_report_tower *t, const tc_report_tower *st, int i, int s,
                      int colour) {
    double y = HEAD + i * ROW, base = y + ROW - 5;
    char name[32];
    int most = largest(t->channels, 2 + 2 * t->layers);
    tc_buf_printf(b,
                  "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text><g class=\"c%d\">",
                  CONV_AT - 7, base, block_name(t, i, name, sizeof name), colour);
    for (int k = 0; k < 2; k++) {
        double x = CONV_AT + k * CONV_STEP;
        bar(b, x, y + 3, CONV_WIDE, ROW - 7, s < 0 ? 0 : st->channels[2 * s + k], t->channels[2 * i + k],
            most, colour);
        if (s >= 0) put_number(b, x + CONV_WIDE + 5, base, st->channels[2 * s + k]);
    }
    if (s < 0)
        tc_buf_printf(b, "<text class=\"count gone\" x=\"%d\" y=\"%.1f\">left out</text>", NUMBER_AT - 1,
                      base);
    tc_buf_puts(b, "</g>\n");
}

/* The student's row of block_row in the teacher's row i. */
static int student_row(const int *rows, int layers, int i) {
    int layer = i > 0 ? layer_in_row(rows, layers, i - 1) : -1;
    return i == 0 ? 0 : layer < 0 ? -1 : layer + 1;
}

/* The picture in words, for who does not see it. */
static void words(tc_buf *b, const tc_report_tower *t, const tc_report_tower *st, const int *rows) {
    tc_buf_printf(b, "Width %d of %d.", st->width, t->width);
    char name[32];
    for (int i = 0; t->resnet && i <= t->layers; i++) {
        int s = student_row(rows, st->layers, i);
        tc_buf_printf(b, " %s:", block_name(t, i, name, sizeof name));
        if (s < 0) tc_buf_puts(b, " left out.");
        else
            tc_buf_printf(b, " %d of %d and %d of %d channels.", st->channels[2 * s], t->channels[2 * i],
                          st->channels[2 * s + 1], t->channels[2 * i + 1]);
    }
    for (int i = 0; !t->resnet && i < t->layers; i++) {
        int s = layer_in_row(rows, st->layers, i);
        if (s < 0) tc_buf_printf(b, " Layer %d: left out.", i + 1);
        else
            tc_buf_printf(b, " Layer %d: %d of %d heads, %d of %d FFN channels.", i + 1, st->heads[s],
                          t->heads[i], st->ffn[s] < 0 ? 0 : st->ffn[s], t->ffn[i] < 0 ? 0 : t->ffn[i]);
    }
}

static bool drawable(const tc_report_tower *t) {
    return t->given && (t->resnet ? t->channels != NULL : t->heads && t->ffn);
}

static void tower(tc_buf *b, const tc_report_run *run, const tc_report_stage *stage, bool vision,
                  int colour) {
    const tc_report_tower *t = vision ? &run->teacher.vision : &run->teacher.text,
                          *st = vision ? &stage->facts.vision : &stage->facts.text;
    const char *title = vision ? "Image tower" : "Text tower";
    tc_report_number n;
    tc_buf_printf(b, "<figure>\n<h4>%s%s</h4>\n", title,
                  t->resnet ? " <small>channels of each block</small>" : "");
    int *rows =
        drawable(t) && drawable(st) && t->resnet == st->resnet ? origins(b, run, stage, vision) : NULL;
    if (!rows) {
        tc_buf_puts(b, "<p class=\"missing\">Its structure is not in compress.json.</p>\n</figure>\n");
        return;
    }
    tc_buf_printf(b,
                  "<svg class=\"tower\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                  "role=\"img\" aria-label=\"%s. ",
                  WIDE, HEAD + (t->layers + t->resnet) * ROW + 4, title);
    words(b, t, st, rows);
    tc_buf_puts(b, "\">\n");
    bar(b, HEADS_AT, 5, FFN_AT - HEADS_AT - 8, 10, st->width, t->width, t->width, colour);
    tc_buf_printf(b, "<text class=\"count\" x=\"%d\" y=\"14\">width %d of %d</text>\n", FFN_AT, st->width,
                  t->width);
    if (t->resnet)
        tc_buf_printf(b,
                      "<text class=\"tick\" x=\"%d\" y=\"44\">first convolution</text><text class=\"tick\" "
                      "x=\"%d\" y=\"44\">second convolution</text>\n",
                      CONV_AT, CONV_AT + CONV_STEP);
    else
        tc_buf_printf(b,
                      "<text class=\"tick\" x=\"%d\" y=\"44\">heads of %d</text><text class=\"tick\" "
                      "x=\"%d\" y=\"44\">FFN channels of %s</text>\n",
                      HEADS_AT, largest(t->heads, t->layers), FFN_AT,
                      tc_report_whole(largest(t->ffn, t->layers), &n));
    for (int i = 0; i < t->layers + t->resnet; i++) {
        if (t->resnet) block_row(b, t, st, i, student_row(rows, st->layers, i), colour);
        else row(b, t, st, i, layer_in_row(rows, st->layers, i), colour);
    }
    tc_buf_puts(b, "</svg>\n</figure>\n");
    free(rows);
}

static void student(tc_buf *b, const tc_report *r, const tc_report_run *run, const tc_report_stage *s,
                    int colour) {
    tc_report_number n, of;
    tc_report_name name;
    tc_buf_puts(b, "<article class=\"student\">\n<h3>");
    tc_report_text(b, tc_report_model_name(r, run, s, &name));
    tc_buf_printf(b, " <small>%s of %s parameters</small></h3>\n<div class=\"towers\">\n",
                  tc_report_amount((double)s->facts.params_without_tokens, &n),
                  tc_report_amount((double)run->teacher.params_without_tokens, &of));
    tower(b, run, s, true, colour);
    tower(b, run, s, false, colour);
    tc_buf_puts(b, "</div>\n</article>\n");
}

void tc_report_structure(tc_buf *b, const tc_report *r) {
    bool any = false;
    tc_buf_puts(b, "<section id=\"structure\">\n<h2>Structure</h2>\n");
    for (int i = 0; i < r->count; i++) {
        const tc_report_run *run = &r->runs[i];
        for (int k = 0; k < run->stage_count; k++) {
            const tc_report_stage *s = &run->stages[k];
            if (!s->done || (r->count > 1 && s != tc_report_last(run))) continue;
            if (!any)
                tc_buf_puts(b, "<p class=\"note\">What is left of the teacher in each layer: outlined what "
                               "it has, filled what the student has. How many, "
                               "not which.</p>\n<div class=\"students\">\n");
            any = true;
            student(b, r, run, s, i % TC_REPORT_COLOURS + 1);
        }
    }
    tc_buf_puts(b, any ? "</div>\n</section>\n"
                       : "<p class=\"missing\">No stage is done yet.</p>\n</section>\n");
}
