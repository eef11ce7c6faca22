/* chart.c - charts as SVG. Widths of texts are guessed from their number of characters: a page without
 * scripts cannot measure them. */
#include "report/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double CHARACTER = 7.9, LINE = 15; /* of the charts' font of 12.5 units, with a little room */

/* 1, 2, 2.5 or 5 times a power of ten: the smallest that cuts `range` into at most `parts`. */
static double round_step(double range, int parts) {
    static const double steps[] = {1, 2, 2.5, 5, 10};
    double unit = pow(10, floor(log10(range / parts)));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (range / (steps[i] * unit) <= parts + 1e-9) return steps[i] * unit;
    return 10 * unit;
}

double tc_chart_x(const tc_chart *c, double x) { return c->left + c->width * x / c->x_most; }
double tc_chart_y(const tc_chart *c, double y) {
    return c->top + c->height * (c->y_most - y) / (c->y_most - c->y_least);
}

static void put_value(double x, char *out, size_t size) {
    if (x >= 1e9) snprintf(out, size, "%g" TC_REPORT_SPACE "G", x / 1e9);
    else if (x >= 1e6) snprintf(out, size, "%g" TC_REPORT_SPACE "M", x / 1e6);
    else if (x >= 1e4) snprintf(out, size, "%g" TC_REPORT_SPACE "k", x / 1e3);
    else snprintf(out, size, "%.4g", x);
}

static void draw_axes(tc_chart *c, const char *x_name) {
    tc_buf *b = c->b;
    char number[32];
    int rows = (int)lround((c->y_most - c->y_least) / c->y_step);
    for (int i = 0; i <= rows; i++) {
        double v = c->y_least + i * c->y_step, y = tc_chart_y(c, v);
        tc_buf_printf(b, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", c->left, y, c->left + c->width);
        if (fabs(v) < 1e-9) v = 0;
        if (c->percent) snprintf(number, sizeof number, "%.4g" TC_REPORT_SPACE "%%", 100 * v);
        else put_value(v, number, sizeof number);
        tc_buf_printf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                      c->left - 7, y + 4, number);
    }
    double step = round_step(c->x_most, c->width > 260 ? 5 : 4);
    for (int i = 0; i * step <= c->x_most * (1 + 1e-9); i++) {
        put_value(i * step, number, sizeof number);
        tc_buf_printf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                      tc_chart_x(c, i * step), c->top + c->height + 18, number);
    }
    tc_buf_printf(b, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>", c->left, c->top + c->height,
                  c->left + c->width);
    tc_buf_printf(b, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                  c->left + c->width / 2, c->top + c->height + 36, x_name);
}

void tc_chart_open(tc_chart *c, tc_buf *b, const char *title, const char *x_name, double x_most,
                   double y_least, double y_most, bool percent, int margin) {
    *c = (tc_chart){.b = b, .x_most = x_most > 0 ? x_most : 1, .percent = percent, .left = 52, .top = 22};
    if (!(y_most - y_least > 1e-6 * fmax(fabs(y_least), fabs(y_most)))) { /* all equal, or nearly */
        double half = fabs(y_least) > 1e-9 ? fabs(y_least) / 20 : 0.5;
        y_least -= half, y_most = y_least + 2 * half;
    }
    c->y_step = round_step(y_most - y_least, 5);
    c->y_least = floor(y_least / c->y_step + 1e-9) * c->y_step;
    c->y_most = ceil(y_most / c->y_step - 1e-9) * c->y_step;
    c->width = TC_CHART_WIDTH - c->left - (margin ? 14 + CHARACTER * margin : 14);
    c->height = TC_CHART_HEIGHT - c->top - 44;
    tc_buf_printf(b,
                  "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                  "role=\"img\" aria-label=\"",
                  TC_CHART_WIDTH, TC_CHART_HEIGHT);
    tc_report_text(b, title);
    tc_buf_puts(b, "\">\n<title>");
    tc_report_text(b, title);
    tc_buf_puts(b, "</title>\n");
    draw_axes(c, x_name);
}

/* ---- lines and marks */

static double into(const tc_chart *c, double y) { return fmin(fmax(y, c->y_least), c->y_most); }

static void draw_to(tc_chart *c, double x, double y, bool pen) {
    tc_buf_printf(c->b, "%s%.1f %.1f", pen ? "L" : "M", tc_chart_x(c, x), tc_chart_y(c, y));
}

/* The part that lies in the field of the line from (x0, y0), where the pen is if it is down, to (x1, y1).
 * Returns whether it is down there. */
static bool draw_part(tc_chart *c, double x0, double y0, double x1, double y1, bool pen) {
    double from = into(c, y0), to = into(c, y1);
    if (from == to && to != y1) return false;
    if (from != y0) draw_to(c, x0 + (x1 - x0) * (from - y0) / (y1 - y0), from, false);
    draw_to(c, x0 + (x1 - x0) * (to == y1 ? 1 : (to - y0) / (y1 - y0)), to, pen || from != y0);
    return to == y1;
}

void tc_chart_line(tc_chart *c, const double *x, const double *y, size_t n, int colour, bool dashed) {
    bool pen = false;
    tc_buf_printf(c->b, "<path class=\"line c%d%s\" d=\"", colour, dashed ? " dashed" : "");
    for (size_t i = 0; i < n; i++) {
        if (isnan(y[i])) {
            pen = false;
        } else if (i > 0 && !isnan(y[i - 1])) {
            pen = draw_part(c, x[i - 1], y[i - 1], x[i], y[i], pen);
        } else if (into(c, y[i]) == y[i]) {
            draw_to(c, x[i], y[i], false);
            pen = true;
        }
    }
    tc_buf_puts(c->b, "\"/>\n");
}

void tc_chart_level(tc_chart *c, double y, int colour) {
    tc_buf_printf(c->b, "<path class=\"line thin dashed c%d\" d=\"M%.1f %.1fH%.1f\"/>\n", colour, c->left,
                  tc_chart_y(c, y), c->left + c->width);
}

static bool fits(const char *text, double room) {
    return CHARACTER * tc_report_characters(text, TC_CHART_LABEL) <= room;
}

void tc_chart_upright(tc_chart *c, double x, double until, const char *text, const char *brief) {
    double at = tc_chart_x(c, x), room = tc_chart_x(c, until) - at - 6;
    const char *name = "";
    if (fits(text, room)) name = text;
    else if (fits(brief, room)) name = brief;
    tc_buf_printf(c->b,
                  "<path class=\"axis\" d=\"M%.1f %.1fV%.1f\"/><text class=\"tick\" x=\"%.1f\" y=\"%.1f\">",
                  at, c->top - 12, c->top + c->height, at + 4, c->top - 6);
    tc_report_short(c->b, name, TC_CHART_LABEL);
    tc_buf_puts(c->b, "</text>\n");
}

void tc_chart_mark(tc_chart *c, double x, double y, tc_chart_sign sign, int colour, const char *title) {
    double cx = tc_chart_x(c, x), cy = tc_chart_y(c, y);
    if (into(c, y) != y) return;
    tc_buf_printf(c->b, "<g class=\"mark c%d%s\"><title>", colour, sign == TC_CHART_DOT ? " full" : "");
    tc_report_text(c->b, title);
    tc_buf_puts(c->b, "</title>");
    if (sign == TC_CHART_DIAMOND) tc_buf_printf(c->b, "<path d=\"M%.1f %.1fl5 5l-5 5l-5 -5z\"/>", cx, cy - 5);
    else
        tc_buf_printf(c->b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"/>", cx, cy,
                      sign == TC_CHART_DOT ? 5.0 : 4.0);
    tc_buf_puts(c->b, "</g>\n");
}

/* ---- names */

void tc_chart_name_outside(tc_chart *c, double x, double y, int colour, const char *text) {
    if (x < c->x_most && into(c, y) == y)
        tc_buf_printf(c->b, "<path class=\"lead c%d\" d=\"M%.1f %.1fH%.1f\"/>\n", colour, tc_chart_x(c, x),
                      tc_chart_y(c, y), c->left + c->width);
    tc_chart_name(c, c->x_most, y, colour, false, text);
}

void tc_chart_name(tc_chart *c, double x, double y, int colour, bool before, const char *text) {
    if (c->label_count == TC_CHART_LABELS || isnan(x) || isnan(y)) return;
    tc_chart_label *l = &c->labels[c->label_count++];
    *l = (tc_chart_label){
        .x = tc_chart_x(c, x), .y = tc_chart_y(c, into(c, y)), .colour = colour, .before = before};
    l->at = l->y;
    snprintf(l->text, sizeof l->text, "%s", text);
}

static int by_height(const void *a, const void *b) {
    const tc_chart_label *x = a, *y = b;
    return x->y < y->y ? -1 : x->y > y->y;
}

/* From where to where a name reaches. */
static void extent(const tc_chart_label *l, double *from, double *to) {
    double width = CHARACTER * tc_report_characters(l->text, TC_CHART_LABEL);
    *from = l->before ? l->x - 8 - width : l->x + 8;
    *to = *from + width;
}

static bool beside(const tc_chart_label *a, const tc_chart_label *b) {
    double a0, a1, b0, b1;
    extent(a, &a0, &a1);
    extent(b, &b0, &b1);
    return a0 < b1 && b0 < a1;
}

/* Downwards where a name would touch one above it; then upwards from the lower edge. */
static void spread(tc_chart *c) {
    int n = c->label_count;
    qsort(c->labels, (size_t)n, sizeof *c->labels, by_height);
    for (int i = 1; i < n; i++)
        for (int k = 0; k < i; k++)
            if (beside(&c->labels[i], &c->labels[k]))
                c->labels[i].at = fmax(c->labels[i].at, c->labels[k].at + LINE);
    double floor_at = c->top + c->height - 3;
    for (int i = n - 1; i >= 0; i--) {
        c->labels[i].at = fmin(c->labels[i].at, floor_at);
        for (int k = i + 1; k < n; k++)
            if (beside(&c->labels[i], &c->labels[k]))
                c->labels[i].at = fmin(c->labels[i].at, c->labels[k].at - LINE);
    }
}

void tc_chart_close(tc_chart *c) {
    spread(c);
    for (int i = 0; i < c->label_count; i++) {
        const tc_chart_label *l = &c->labels[i];
        double side = l->before ? -1 : 1;
        if (fabs(l->at - l->y) > 3)
            tc_buf_printf(c->b, "<path class=\"lead c%d\" d=\"M%.1f %.1fL%.1f %.1f\"/>", l->colour,
                          l->x + side, l->y, l->x + side * 7, l->at);
        tc_buf_printf(c->b, "<text class=\"name c%d\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"><title>",
                      l->colour, l->x + side * 9, l->at + 4, l->before ? "end" : "start");
        tc_report_text(c->b, l->text);
        tc_buf_puts(c->b, "</title>");
        tc_report_short(c->b, l->text, TC_CHART_LABEL);
        tc_buf_puts(c->b, "</text>\n");
    }
    tc_buf_puts(c->b, "</svg>\n");
}
