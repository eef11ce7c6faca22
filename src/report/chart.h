/* chart.h - a chart of lines or points as SVG: axes with round numbers, and names beside the lines
 * instead of a legend.
 *
 * Colours are classes (c0 is neutral, c1 to c5 those of the page's style), so that a chart follows the
 * reader's light or dark scheme. */
#ifndef TC_REPORT_CHART_H
#define TC_REPORT_CHART_H

#include "report/report.h"

enum {
    TC_CHART_WIDTH = 430,
    TC_CHART_HEIGHT = 280,
    TC_CHART_LABELS = 96,
    TC_CHART_LABEL = 22 /* characters */
};

typedef struct tc_chart_label {
    double x, y; /* where it points to, in the picture */
    double at;   /* the height that it gets */
    int colour;
    bool before;    /* it stands to the left of x */
    char text[128]; /* not escaped */
} tc_chart_label;

typedef struct tc_chart {
    tc_buf *b;
    double x_most, y_least, y_most, y_step; /* of the values; x begins at 0 */
    double left, top, width, height;        /* of the field, in the picture */
    bool percent;                           /* y is a fraction */
    tc_chart_label labels[TC_CHART_LABELS];
    int label_count;
} tc_chart;

/* Widens the range to round numbers. `margin`: characters that names right of the field need; 0: none. */
void tc_chart_open(tc_chart *c, tc_buf *b, const char *title, const char *x_name, double x_most,
                   double y_least, double y_most, bool percent, int margin);
/* Draws the names, and ends the picture. */
void tc_chart_close(tc_chart *c);
double tc_chart_x(const tc_chart *c, double x);
double tc_chart_y(const tc_chart *c, double y);
/* n points; one that is NAN breaks the line, and what lies above or below the field is cut off. */
void tc_chart_line(tc_chart *c, const double *x, const double *y, size_t n, int colour, bool dashed);
void tc_chart_level(tc_chart *c, double y, int colour);
/* An upright line that something begins at, with the longest of the two names that fits in before `until`. */
void tc_chart_upright(tc_chart *c, double x, double until, const char *text, const char *brief);
typedef enum tc_chart_sign { TC_CHART_DOT, TC_CHART_RING, TC_CHART_DIAMOND } tc_chart_sign;
void tc_chart_mark(tc_chart *c, double x, double y, tc_chart_sign sign, int colour, const char *title);
/* A name right of the field, where the line that ends at this point would get to. */
void tc_chart_name_outside(tc_chart *c, double x, double y, int colour, const char *text);
/* A name beside a point; names that would overlap move apart. */
void tc_chart_name(tc_chart *c, double x, double y, int colour, bool before, const char *text);

#endif
