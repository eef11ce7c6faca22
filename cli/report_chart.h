/* report_chart.h - a chart of lines or points as SVG: axes with round numbers, and names beside the lines
 * instead of a legend.
 *
 * Colours are classes (c0 is neutral, c1 to c5 those of the page's style), so that a chart follows the
 * reader's light or dark scheme. */
#ifndef TC_CLI_REPORT_CHART_H
#define TC_CLI_REPORT_CHART_H

#include "report.h"

enum { CHART_WIDTH = 460, CHART_HEIGHT = 290, CHART_LABELS = 96, CHART_LABEL = 22 /* characters */ };

typedef struct chart_label {
    double x, y; /* where it points to, in the picture */
    double at;   /* the height that it gets */
    int colour;
    bool before;    /* it stands to the left of x */
    char text[128]; /* not escaped */
} chart_label;

typedef struct chart {
    tc_buf *b;
    double x_most, y_least, y_most, y_step; /* of the values; x begins at 0 */
    double left, top, width, height;        /* of the field, in the picture */
    bool percent;                           /* y is a fraction */
    chart_label labels[CHART_LABELS];
    int label_count;
} chart;

/* Widens the range to round numbers. `margin`: characters that names right of the field need; 0: none. */
void chart_open(chart *c, tc_buf *b, const char *title, const char *x_name, double x_most, double y_least,
                double y_most, bool percent, int margin);
/* Draws the names, and ends the picture. */
void chart_close(chart *c);
double chart_x(const chart *c, double x);
double chart_y(const chart *c, double y);
/* n points; one that is NAN breaks the line, and what lies above or below the field is cut off. */
void chart_line(chart *c, const double *x, const double *y, size_t n, int colour, bool dashed);
void chart_level(chart *c, double y, int colour);
/* An upright line that something begins at, with the longest of the two names that fits in before `until`. */
void chart_upright(chart *c, double x, double until, const char *text, const char *brief);
typedef enum chart_sign { CHART_DOT, CHART_RING, CHART_DIAMOND } chart_sign;
void chart_mark(chart *c, double x, double y, chart_sign sign, int colour, const char *title);
/* A name right of the field, where the line that ends at this point would get to. */
void chart_name_outside(chart *c, double x, double y, int colour, const char *text);
/* A name beside a point; names that would overlap move apart. */
void chart_name(chart *c, double x, double y, int colour, bool before, const char *text);

#endif
