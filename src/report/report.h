/* report.h - the page about compressions: what its parts share.
 *
 * read.c finds the records of compressions (train/record.h) in a folder and lists their models, speed.c knows
 * how fast they are; page.c writes them as one page, of which each other file writes a part. Everything is
 * written through the functions of html.c, which escape. The page is HTML that is well-formed XML too. Who
 * runs out of memory says so in the page's tc_buf. */
#ifndef TC_REPORT_H
#define TC_REPORT_H

#include "train/record.h"

enum { TC_REPORT_RUNS = 24, TC_REPORT_COLOURS = 5 };

/* ---- what a report is about */

/* What models are compared by: zero-shot top-1, or R@1 where there are pairs, or nothing. */
typedef enum tc_report_metric { TC_REPORT_NONE, TC_REPORT_TOP1, TC_REPORT_R1 } tc_report_metric;

typedef struct tc_report_model {
    const tc_compress_record *run;
    const tc_stage_record *stage; /* NULL: the teacher */
    const tc_model_record *record;
    char name[400]; /* of one run's stage, or of one of several runs */
    int colour;     /* 0: the teacher's */
    bool last;      /* of the stages of its run that are done */
    bool shown;     /* where there is no room for all: of one run each stage, of several the last ones */
    double accuracy, images_per_second, texts_per_second; /* NAN: not known */
} tc_report_model;

typedef struct tc_report {
    const char *dir;
    tc_compress_record *runs;
    int count;
    tc_report_model *models; /* the teacher, then each stage of each run, done or not */
    int model_count;
    tc_report_metric metric;
    bool in_turn; /* all speeds are of one go, in which the models took turns */
} tc_report;

/* DIR is a compression's folder, or a folder of such folders of one teacher. */
tc_status tc_report_read(tc_report *r, const char *dir, tc_error *err);
/* Lists the models of the runs that r holds. */
tc_status tc_report_list(tc_report *r, tc_error *err);
void tc_report_free(tc_report *r);

const char *tc_report_metric_name(tc_report_metric m);
/* By the report's metric; NAN if it is not known. */
double tc_report_accuracy(const tc_report *r, const tc_model_record *m);
/* The last stage that is done; NULL if none is. */
const tc_stage_record *tc_report_last(const tc_compress_record *run);
/* What was made from the teacher on, up to the end of a stage, or planned; pairs -1, seconds NAN: not known.
 */
typedef struct tc_report_effort {
    int64_t steps, planned, pairs;
    double seconds;
} tc_report_effort;
tc_report_effort tc_report_effort_of(const tc_compress_record *run, const tc_stage_record *until);

/* Where a model lies: a path from here, or from beside its record. The caller frees it; NULL: it is not
 * there.
 */
char *tc_report_path(const tc_report_model *m);
/* Opens it; an error if it is not the model that was measured. */
tc_status tc_report_open(const tc_report_model *m, tc_model **out, tc_error *err);

/* ---- speeds: DIR/speed.json */

/* Measures all models that are done, which take turns, and notes it. */
tc_status tc_report_measure(tc_report *r, double seconds, const tc_log *log, tc_error *err);
/* What was noted takes the place of what the records say. */
tc_status tc_report_read_speeds(tc_report *r, tc_error *err);
tc_status tc_report_parse_speeds(tc_report *r, const char *file, const char *text, size_t size,
                                 tc_error *err);

/* ---- text */

/* Escaped for elements and attributes; what XML or UTF-8 do not allow becomes U+FFFD. */
void tc_report_text(tc_buf *b, const char *s);
/* The same, with at most `most` characters; a longer one ends in an ellipsis. */
void tc_report_short(tc_buf *b, const char *s, int most);
int tc_report_characters(const char *s, int most);
/* One argument of a command, as a shell reads it back. */
void tc_report_argument(tc_buf *b, const char *s);
/* Numbers with their unit, or a dash for what is not known (negative or NAN). The buffers are the caller's.
 */
typedef struct tc_report_number {
    char s[40];
} tc_report_number;
const char *tc_report_amount(double x, tc_report_number *n);   /* three digits: "1.95 M" */
const char *tc_report_percent(double x, tc_report_number *n);  /* of a fraction: "86.5 %" */
const char *tc_report_accurate(double x, tc_report_number *n); /* the same: "86.54 %" */
const char *tc_report_rate(double x, tc_report_number *n);     /* three digits: "1,390" */
const char *tc_report_duration(double s, tc_report_number *n); /* "3 min 25 s" */
const char *tc_report_whole(int64_t x, tc_report_number *n);   /* "10,000" */
/* What tc_report_amount and tc_report_rate print of x, as a number: quotients are made of these. */
double tc_report_digits(double x);
#define TC_REPORT_DASH "\xe2\x80\x93"
#define TC_REPORT_SPACE "\xc2\xa0" /* that does not break */
#define TC_REPORT_TIMES "\xc3\x97"

/* tc_new; b->failed if there is no memory. */
void *tc_report_new(tc_buf *b, size_t n, size_t size);

/* ---- parts of the page */

/* `log` is for what the models that are asked have to say. */
tc_status tc_report_page(tc_buf *b, const tc_report *r, int examples, const tc_log *log, tc_error *err);
/* What a data set is called: "Fashion-MNIST", or the last part of its path. */
void tc_report_data_name(tc_buf *b, const tc_data_record *d);
void tc_report_models(tc_buf *b, const tc_report *r);
/* Accuracy and speed over size, if there are several students. */
void tc_report_size_charts(tc_buf *b, const tc_report *r);
/* Commands that use the students. */
void tc_report_use(tc_buf *b, const tc_report *r);
/* Accuracy class by class, and what is taken for what. */
bool tc_report_has_classes(const tc_report *r);
void tc_report_classes(tc_buf *b, const tc_report *r);
/* A model that is left out, and why, is told on the page; an error only if memory ran out. */
tc_status tc_report_examples(tc_buf *b, const tc_report *r, int count, const tc_log *log, tc_error *err);
void tc_report_structure(tc_buf *b, const tc_report *r);
/* Accuracy, loss and sparsity over steps. */
void tc_report_curves(tc_buf *b, const tc_report *r);
/* How the compressions were made. */
void tc_report_origin(tc_buf *b, const tc_report *r);

#endif
