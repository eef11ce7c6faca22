/* report.h - the page about a compression: what its parts share.
 *
 * read.c finds the records of compressions (train/record.h) in a folder; page.c writes them as one page, with
 * the charts of curves.c, the pictures of structure.c and the examples of examples.c. Everything is written
 * through the functions of html.c, which escape. The page is HTML that is well-formed XML too. Who runs out
 * of memory says so in the page's tc_buf. */
#ifndef TC_REPORT_H
#define TC_REPORT_H

#include "train/record.h"

enum { TC_REPORT_RUNS = 24 };

/* ---- what lies in a folder */

typedef struct tc_report {
    const char *dir;
    tc_compress_record *runs;
    int count;
} tc_report;

/* DIR is a compression's folder, or a folder of such folders of one teacher. */
tc_status tc_report_read(tc_report *r, const char *dir, tc_error *err);
void tc_report_free(tc_report *r);

/* The teacher of all of them, as it was measured first. */
const tc_model_record *tc_report_teacher(const tc_report *r);
/* The last stage that is done; NULL if none is. */
const tc_stage_record *tc_report_last(const tc_compress_record *run);
/* Steps made and planned, over all stages. */
int64_t tc_report_steps_made(const tc_compress_record *run);
int64_t tc_report_steps_planned(const tc_compress_record *run);
double tc_report_seconds(const tc_compress_record *run);

/* What models are compared by: zero-shot top-1, or R@1 where there are pairs, or nothing. */
typedef enum tc_report_metric { TC_REPORT_NONE, TC_REPORT_TOP1, TC_REPORT_R1 } tc_report_metric;
tc_report_metric tc_report_metric_of(const tc_report *r);
const char *tc_report_metric_name(tc_report_metric m);
/* NAN if it is not known. */
double tc_report_metric_value(const tc_model_record *f, tc_report_metric m);

/* ---- text */

/* Escaped for elements and attributes; what XML or UTF-8 do not allow becomes U+FFFD. */
void tc_report_text(tc_buf *b, const char *s);
/* The same, with at most `most` characters; a longer one ends in an ellipsis. Returns the characters written.
 */
int tc_report_short(tc_buf *b, const char *s, int most);
int tc_report_characters(const char *s, int most);
/* Numbers with their unit, or a dash for what is not known (negative or NAN). The buffers are the caller's.
 */
typedef struct tc_report_number {
    char s[40];
} tc_report_number;
const char *tc_report_amount(double x, tc_report_number *n);   /* three digits: "1.95 M" */
const char *tc_report_percent(double x, tc_report_number *n);  /* of a fraction: "86.5 %" */
const char *tc_report_rate(double x, tc_report_number *n);     /* "1,390" */
const char *tc_report_duration(double s, tc_report_number *n); /* "3 min 25 s" */
const char *tc_report_whole(int64_t x, tc_report_number *n);   /* "10,000" */
#define TC_REPORT_DASH "\xe2\x80\x93"
#define TC_REPORT_SPACE "\xc2\xa0" /* that does not break */

/* ---- parts of the page */

/* `log` is for what the models that are asked have to say. */
tc_status tc_report_page(tc_buf *b, const tc_report *r, int examples, const tc_log *log, tc_error *err);
/* Accuracy, loss and sparsity over steps. */
void tc_report_curves(tc_buf *b, const tc_report *r);
/* Accuracy and speed over size, if there are several students. */
void tc_report_size_charts(tc_buf *b, const tc_report *r);
void tc_report_structure(tc_buf *b, const tc_report *r);
/* A model that is left out, and why, is told on the page; an error only if memory ran out. */
tc_status tc_report_examples(tc_buf *b, const tc_report *r, int count, const tc_log *log, tc_error *err);
/* How the compression was made. */
void tc_report_origin(tc_buf *b, const tc_report *r);
/* The name of a model in charts and examples: of one run's stage, or of one of several runs. */
typedef struct tc_report_name {
    char s[400];
} tc_report_name;
const char *tc_report_model_name(const tc_report *r, const tc_compress_record *run,
                                 const tc_stage_record *stage, tc_report_name *name);
/* tc_new; b->failed if there is no memory. */
void *tc_report_new(tc_buf *b, size_t n, size_t size);

enum { TC_REPORT_COLOURS = 5 };
/* The number of a compression's colour, from 1; 0 is the teacher's. */
int tc_report_colour(const tc_report *r, const tc_compress_record *run);

#endif
