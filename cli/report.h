/* report.h - the page about a compression: what its parts share.
 *
 * report_read.c and report_log.c turn a folder, whose files are not trusted, into the structures below;
 * report_page.c writes them as one page, with the charts of report_curves.c, the pictures of
 * report_structure.c and the examples of report_examples.c. Everything is written through the functions of
 * report_text.c, which escape. The page is HTML that is well-formed XML too. Strings point into the JSON that
 * a run keeps. */
#ifndef TC_CLI_REPORT_H
#define TC_CLI_REPORT_H

#include "cli.h"

enum { REPORT_RUNS = 24, REPORT_STAGES = 32, REPORT_LAYERS = 1024, REPORT_EXAMPLES = 12 };

/* ---- what lies in a folder */

typedef struct report_tower {
    bool given, resnet;
    int width, layers;
    int *heads, *ffn; /* [layers]; ffn -1: the layer has none */
    /* ResNet: [2 + 2 * layers], of the stem's first two convolutions and of the two within each block */
    int *channels;
    int stages[4]; /* ResNet: blocks of each stage, layers in all; all 0: not known */
} report_tower;

/* One model. What is not known is NULL, -1 or NAN. */
typedef struct report_facts {
    bool given; /* it has been measured */
    const char *path, *hash;
    int64_t params, params_without_tokens;
    double macs_image, macs_text;
    int embed_dim;
    report_tower vision, text;
    double top1, top5;
    int64_t images;
    int64_t pairs; /* -1: no retrieval */
    tc_retrieval_direction image_to_text, text_to_image;
    double images_per_second, texts_per_second;
} report_facts;

/* What a stage's log.jsonl holds; steps are those of the stage. */
typedef struct report_log {
    bool given;
    size_t steps, evals, step_room, eval_room;
    struct report_step {
        int64_t step;
        double loss, sparsity, target; /* NAN: not there */
    } * step;
    struct report_eval {
        int64_t step;
        double top1;
    } * eval;
    int64_t last;            /* the last step of all lines; 0: none yet */
    int64_t fold;            /* the step of the fold; -1: none */
    double kept;             /* part of the prunable parameters that the fold left; NAN */
    double pairs_per_second; /* of the last step; NAN */
} report_log;

typedef struct report_stage {
    const char *name, *inheritance, *teacher_loss, *folder;
    char *dir;
    int64_t steps, before; /* steps of this stage, and of all stages before it */
    double seconds;
    bool done;
    report_facts facts;
    report_log log;
} report_stage;

typedef struct report_data {
    bool given;
    const char *spec, *split, *hash;
    int64_t samples;
} report_data;

/* One compression. */
typedef struct report_run {
    json_t *json;
    char *dir, *name; /* name: the folder's */
    const char *version, *recipe_name, *cpu;
    const json_t *command, *recipe; /* array of strings; object; or NULL */
    int64_t seed, threads;
    report_data data, eval;
    report_facts teacher;
    report_stage stages[REPORT_STAGES];
    int stage_count;
    bool finished;
} report_run;

typedef struct report {
    const char *dir;
    report_run *runs;
    int count;
} report;

/* DIR is a compression's folder, or a folder of such folders of one teacher. */
tc_status report_read(report *r, const char *dir, tc_error *err);
void report_free(report *r);
/* One compress.json, given as text; `file` is for messages. The logs are not read. */
tc_status report_parse(report_run *run, const char *dir, const char *file, const char *text, size_t size,
                       tc_error *err);
void report_run_free(report_run *run);
/* A log of `size` bytes; its last line may be cut. */
tc_status report_log_parse(report_log *log, const char *file, const char *text, size_t size, tc_error *err);
tc_status report_log_read(report_log *log, const char *file, tc_error *err);
void report_log_free(report_log *log);

/* The teacher of all of them, as it was measured first. */
const report_facts *report_teacher(const report *r);
/* The last stage that is done; NULL if none is. */
const report_stage *report_result(const report_run *run);
/* Steps made and planned, over all stages. */
int64_t report_steps_made(const report_run *run);
int64_t report_steps_planned(const report_run *run);
double report_seconds(const report_run *run);

/* What models are compared by: zero-shot top-1, or R@1 where there are pairs, or nothing. */
typedef enum report_metric { REPORT_NONE, REPORT_TOP1, REPORT_R1 } report_metric;
report_metric report_metric_of(const report *r);
const char *report_metric_name(report_metric m);
/* NAN if it is not known. */
double report_metric_value(const report_facts *f, report_metric m);

/* ---- text */

/* Escaped for elements and attributes; what XML or UTF-8 do not allow becomes U+FFFD. */
void report_text(tc_buf *b, const char *s);
/* The same, with at most `most` characters; a longer one ends in an ellipsis. Returns the characters written.
 */
int report_short(tc_buf *b, const char *s, int most);
int report_characters(const char *s, int most);
/* Numbers with their unit, or a dash for what is not known (negative or NAN). The buffers are the caller's.
 */
typedef struct report_number {
    char s[40];
} report_number;
const char *report_amount(double x, report_number *n);   /* three digits: "1.95 M" */
const char *report_percent(double x, report_number *n);  /* of a fraction: "86.5 %" */
const char *report_rate(double x, report_number *n);     /* "1,390" */
const char *report_duration(double s, report_number *n); /* "3 min 25 s" */
const char *report_whole(int64_t x, report_number *n);   /* "10,000" */
#define REPORT_DASH "\xe2\x80\x93"
#define REPORT_SPACE "\xc2\xa0" /* that does not break */

/* ---- parts of the page */

tc_status report_page(tc_buf *b, const report *r, int examples, tc_error *err);
/* The page as a file; says on standard output that it is there. */
tc_status report_write(const char *path, const report *r, int examples, tc_error *err);
/* Accuracy, loss and sparsity over steps. */
void report_curves(tc_buf *b, const report *r);
/* Accuracy and speed over size, if there are several students. */
void report_size_charts(tc_buf *b, const report *r);
void report_structure(tc_buf *b, const report *r);
/* A model that is left out, and why, is told on the page; an error only if memory ran out. */
tc_status report_examples(tc_buf *b, const report *r, int count, tc_error *err);
/* How the compression was made. */
void report_origin(tc_buf *b, const report *r);
/* The name of a model in charts and examples: of one run's stage, or of one of several runs. The caller frees
 * it. */
char *report_model_name(const report *r, const report_run *run, const report_stage *stage);

enum { REPORT_COLOURS = 5 };

#endif
