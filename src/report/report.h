/* report.h - the page about a compression: what its parts share.
 *
 * read.c and log.c turn a folder, whose files are not trusted, into the structures below; page.c writes them
 * as one page, with the charts of curves.c, the pictures of structure.c and the examples of examples.c.
 * Everything is written through the functions of html.c, which escape. The page is HTML that is well-formed
 * XML too. Strings point into the JSON that a run keeps. Who runs out of memory says so in the page's tc_buf.
 */
#ifndef TC_REPORT_H
#define TC_REPORT_H

#include "store/store.h"

enum { TC_REPORT_RUNS = 24, TC_REPORT_STAGES = 32, TC_REPORT_LAYERS = 1024 };

/* ---- what lies in a folder */

typedef struct tc_report_tower {
    bool given, resnet;
    int width, layers;
    int *heads, *ffn; /* [layers]; ffn -1: the layer has none */
    /* ResNet: [2 + 2 * layers], of the stem's first two convolutions and of the two within each block */
    int *channels;
    int stages[4]; /* ResNet: blocks of each stage, layers in all; all 0: not known */
} tc_report_tower;

/* One model. What is not known is NULL, -1 or NAN. */
typedef struct tc_report_facts {
    bool given; /* it has been measured */
    const char *path, *hash;
    int64_t params, params_without_tokens;
    double macs_image, macs_text;
    int embed_dim;
    tc_report_tower vision, text;
    double top1, top5;
    int64_t images;
    int64_t pairs; /* -1: no retrieval */
    tc_retrieval_direction image_to_text, text_to_image;
    double images_per_second, texts_per_second;
} tc_report_facts;

/* What a stage's log.jsonl holds; steps are those of the stage. */
typedef struct tc_report_log {
    bool given;
    size_t steps, evals, step_room, eval_room;
    struct tc_report_step {
        int64_t step;
        double loss, sparsity, target; /* NAN: not there */
    } * step;
    struct tc_report_eval {
        int64_t step;
        double top1;
    } * eval;
    int64_t last;            /* the last step of all lines; 0: none yet */
    int64_t fold;            /* the step of the fold; -1: none */
    double kept;             /* part of the prunable parameters that the fold left; NAN */
    double pairs_per_second; /* of the last step; NAN */
} tc_report_log;

typedef struct tc_report_stage {
    const char *name, *inheritance, *teacher_loss, *folder;
    char *dir;
    int64_t steps, before; /* steps of this stage, and of all stages before it */
    double seconds;
    bool done;
    tc_report_facts facts;
    tc_report_log log;
} tc_report_stage;

typedef struct tc_report_data {
    bool given;
    const char *spec, *split, *hash;
    int64_t samples;
} tc_report_data;

/* One compression. */
typedef struct tc_report_run {
    json_t *json;
    char *dir, *name; /* name: the folder's */
    const char *version, *recipe_name, *cpu;
    const json_t *command, *recipe; /* array of strings; object; or NULL */
    int64_t seed, threads;
    tc_report_data data, eval;
    tc_report_facts teacher;
    tc_report_stage stages[TC_REPORT_STAGES];
    int stage_count;
    bool finished;
} tc_report_run;

typedef struct tc_report {
    const char *dir;
    tc_report_run *runs;
    int count;
} tc_report;

/* DIR is a compression's folder, or a folder of such folders of one teacher. */
tc_status tc_report_read(tc_report *r, const char *dir, tc_error *err);
void tc_report_free(tc_report *r);
/* One compress.json, given as text; `file` is for messages. The logs are not read. */
tc_status tc_report_parse(tc_report_run *run, const char *dir, const char *file, const char *text,
                          size_t size, tc_error *err);
void tc_report_run_free(tc_report_run *run);
/* A log of `size` bytes; its last line may be cut. */
tc_status tc_report_log_parse(tc_report_log *log, const char *file, const char *text, size_t size,
                              tc_error *err);
tc_status tc_report_log_read(tc_report_log *log, const char *file, tc_error *err);
void tc_report_log_free(tc_report_log *log);

/* The teacher of all of them, as it was measured first. */
const tc_report_facts *tc_report_teacher(const tc_report *r);
/* The last stage that is done; NULL if none is. */
const tc_report_stage *tc_report_last(const tc_report_run *run);
/* Steps made and planned, over all stages. */
int64_t tc_report_steps_made(const tc_report_run *run);
int64_t tc_report_steps_planned(const tc_report_run *run);
double tc_report_seconds(const tc_report_run *run);

/* What models are compared by: zero-shot top-1, or R@1 where there are pairs, or nothing. */
typedef enum tc_report_metric { TC_REPORT_NONE, TC_REPORT_TOP1, TC_REPORT_R1 } tc_report_metric;
tc_report_metric tc_report_metric_of(const tc_report *r);
const char *tc_report_metric_name(tc_report_metric m);
/* NAN if it is not known. */
double tc_report_metric_value(const tc_report_facts *f, tc_report_metric m);

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
const char *tc_report_model_name(const tc_report *r, const tc_report_run *run, const tc_report_stage *stage,
                                 tc_report_name *name);
/* tc_new; b->failed if there is no memory. */
void *tc_report_new(tc_buf *b, size_t n, size_t size);

enum { TC_REPORT_COLOURS = 5 };

#endif
