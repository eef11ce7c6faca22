/* models.c - teacher and students side by side: the table of the page, and the same as lines of text. What is
 * said to be a part or a multiple of the teacher's is the quotient of the two numbers that are printed. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What counts most comes first: on a narrow page three columns make a line. */
typedef enum column {
    TOP1,
    R1_TEXT,
    R1_IMAGE,
    PARAMS,
    IMAGES,
    TOP5,
    R5_TEXT,
    R5_IMAGE,
    MACS_IMAGE,
    MACS_TEXT,
    ALL_PARAMS,
    TEXTS,
    COLUMNS
} column;

typedef enum kind { FRACTION, AMOUNT, RATE } kind;

static const struct {
    const char *name, *unit, *label; /* label: both in one, where there is no head of the column */
    kind kind;
} columns[COLUMNS] = {
    [TOP1] = {"Top-1", "zero-shot", "Top-1", FRACTION},
    [R1_TEXT] = {"R@1", "of texts", "R@1 of texts", FRACTION},
    [R1_IMAGE] = {"R@1", "of images", "R@1 of images", FRACTION},
    [PARAMS] = {"Parameters", "no token table", "Parameters", AMOUNT},
    [IMAGES] = {"Images/s", "measured", "Images/s", RATE},
    [TOP5] = {"Top-5", "zero-shot", "Top-5", FRACTION},
    [R5_TEXT] = {"R@5", "of texts", "R@5 of texts", FRACTION},
    [R5_IMAGE] = {"R@5", "of images", "R@5 of images", FRACTION},
    [MACS_IMAGE] = {"MACs", "an image", "MACs, image", AMOUNT},
    [MACS_TEXT] = {"MACs", "a text", "MACs, text", AMOUNT},
    [ALL_PARAMS] = {"Parameters", "all", "with tokens", AMOUNT},
    [TEXTS] = {"Texts/s", "measured", "Texts/s", RATE},
};

/* NAN: not known. */
static double cell(const tc_report_model *m, column c) {
    const tc_model_record *f = m->record;
    bool pairs = f->pairs > 0;
    const double values[COLUMNS] = {[TOP1] = f->top1,
                                    [TOP5] = f->top5,
                                    [R1_TEXT] = pairs ? f->image_to_text.r1 : NAN,
                                    [R5_TEXT] = pairs ? f->image_to_text.r5 : NAN,
                                    [R1_IMAGE] = pairs ? f->text_to_image.r1 : NAN,
                                    [R5_IMAGE] = pairs ? f->text_to_image.r5 : NAN,
                                    [PARAMS] = (double)f->params_without_tokens,
                                    [ALL_PARAMS] = (double)f->params,
                                    [MACS_IMAGE] = f->macs_image,
                                    [MACS_TEXT] = f->macs_text,
                                    [IMAGES] = m->images_per_second,
                                    [TEXTS] = m->texts_per_second};
    return f->given ? values[c] : NAN;
}

/* A column that no model has a number for is left out. */
static bool wanted(const tc_report *r, column c) {
    for (int i = 0; i < r->model_count; i++)
        if (cell(&r->models[i], c) >= 0) return true;
    return false;
}

/* ---- the page's table */

/* The number as it is printed. */
static double printed(kind k, double x) { return k == FRACTION ? round(1e4 * x) : tc_report_digits(x); }

static void put_cell(tc_buf *b, column c, double x, double of) {
    kind k = columns[c].kind;
    tc_report_number n;
    double part = printed(k, x) / printed(k, of);
    tc_buf_printf(b, "<td data-label=\"%s\">", columns[c].label);
    if (k == FRACTION) tc_buf_puts(b, tc_report_accurate(x, &n));
    else tc_buf_puts(b, k == RATE ? tc_report_rate(x, &n) : tc_report_amount(x, &n));
    if (isfinite(part) && k == RATE)
        tc_buf_printf(b, "<small>%.2f" TC_REPORT_SPACE TC_REPORT_TIMES "</small>", part);
    else if (isfinite(part))
        tc_buf_printf(b, "<small>%.*f" TC_REPORT_SPACE "%%</small>", k == FRACTION, 100 * part);
    tc_buf_puts(b, "</td>");
}

/* What was done from the teacher on. */
static void put_effort(tc_buf *b, const tc_report_model *m) {
    tc_report_number n, of;
    tc_buf_puts(b, "<td data-label=\"Training\">");
    if (!m->stage) {
        tc_buf_puts(b, TC_REPORT_DASH);
    } else if (!m->stage->done) {
        tc_buf_printf(b, "%s<small>of %s steps</small>", tc_report_whole(m->stage->log.last, &n),
                      tc_report_whole(m->stage->steps, &of));
    } else {
        tc_report_effort e = tc_report_effort_of(m->run, m->stage);
        tc_buf_printf(b, "%s steps<small>", tc_report_whole(e.steps, &n));
        if (e.pairs >= 0) tc_buf_printf(b, "%s pairs<br/>", tc_report_amount((double)e.pairs, &n));
        tc_buf_printf(b, "%s</small>", tc_report_duration(e.seconds, &n));
    }
    tc_buf_puts(b, "</td>");
}

/* What it is, in a word or two. */
static void put_way(tc_buf *b, const tc_report_model *m) {
    if (!m->stage && !m->record->vision.given) return;
    tc_buf_puts(b, "<small>");
    if (!m->stage) {
        tc_report_text(b, m->record->vision.kind);
    } else {
        const char *way = m->stage->inheritance, *loss = m->stage->teacher_loss;
        if (strcmp(way, "auto") == 0) tc_buf_puts(b, "by learnt masks");
        else if (strcmp(way, "manual") == 0) tc_buf_puts(b, "by hand");
        else tc_report_text(b, way);
        if (loss && strcmp(loss, "none") == 0) tc_buf_puts(b, ", no teacher");
    }
    tc_buf_puts(b, "</small>");
}

static void put_row(tc_buf *b, const tc_report *r, const tc_report_model *m) {
    bool step = m->stage && !(m->last && m->run->finished);
    tc_buf_printf(b, "<tr%s><th scope=\"row\"><span class=\"key c%d\"></span>", step ? " class=\"step\"" : "",
                  m->colour);
    tc_report_text(b, m->name);
    put_way(b, m);
    tc_buf_puts(b, "</th>");
    for (column c = 0; c < COLUMNS; c++)
        if (wanted(r, c)) put_cell(b, c, cell(m, c), m->stage ? cell(&r->models[0], c) : NAN);
    put_effort(b, m);
    tc_buf_puts(b, "</tr>\n");
}

static void put_note(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b,
                "<p class=\"note\">Small figures are relative to the teacher. MACs: multiply-accumulates of "
                "one image, and of one text of full length. Training: all stages from the teacher on.");
    if (wanted(r, R1_TEXT))
        tc_buf_puts(b,
                    " R@1 of texts: how often the right text is the first one for an image; of images, the "
                    "other way round.");
    bool speeds = wanted(r, IMAGES) || wanted(r, TEXTS);
    if (speeds && r->in_turn)
        tc_buf_puts(b, " Images and texts a second: all models in one go, taking turns, 32 at a time, 32-bit "
                       "floats.");
    if (!r->in_turn) {
        tc_buf_puts(b, speeds
                           ? " Images and texts a second: each model when it was done, 32 at a time, 32-bit "
                             "floats, so the machine may have been in another state each time. "
                           : " Speeds were not measured. ");
        tc_buf_puts(b, "All are measured in one go by <code>tinyclip report ");
        tc_report_argument(b, r->dir);
        tc_buf_puts(b, " --measure 1</code>.");
    }
    tc_buf_puts(b, "</p>\n");
}

void tc_report_models(tc_buf *b, const tc_report *r) {
    tc_buf_puts(
        b,
        "<section id=\"models\">\n<h2>Teacher and students</h2>\n<div class=\"scroll\" "
        "tabindex=\"0\" role=\"region\" aria-label=\"Table of models\">\n<table class=\"cards-if-narrow\">\n"
        "<thead><tr><th scope=\"col\">Model</th>");
    for (column c = 0; c < COLUMNS; c++)
        if (wanted(r, c))
            tc_buf_printf(b, "<th scope=\"col\">%s<small>%s</small></th>", columns[c].name, columns[c].unit);
    tc_buf_puts(b, "<th scope=\"col\">Training<small>in all</small></th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < r->model_count; i++) put_row(b, r, &r->models[i]);
    tc_buf_puts(b, "</tbody>\n</table>\n</div>\n");
    put_note(b, r);
    tc_report_size_charts(b, r);
    tc_buf_puts(b, "</section>\n");
}

/* ---- the table as text */

/* Stages that are called by a number are called by what they keep, in percent. */
static const char *stage_name(const tc_stage_record *s, tc_report_number *n) {
    bool number = *s->name && s->name[strspn(s->name, "0123456789")] == '\0';
    snprintf(n->s, sizeof n->s, "%.30s%s", s->name, number ? " %" : "");
    return n->s;
}

/* `%*s` counts bytes, and some characters have more than one. */
static void put_right(tc_buf *b, int width, const char *s) {
    tc_buf_printf(b, "%*s%s", width - tc_report_characters(s, width), "", s);
}

static void add_line(tc_buf *b, const tc_report_model *m) {
    const tc_model_record *f = m->record;
    tc_report_number name, n;
    tc_buf_printf(b, "%-8s %-12s", m->stage ? stage_name(m->stage, &name) : m->name,
                  m->stage ? m->run->name : "");
    put_right(b, 12, tc_report_whole(f->params_without_tokens, &n));
    put_right(b, 8, tc_report_amount(f->macs_image + f->macs_text, &n));
    if (isnan(f->top1)) put_right(b, 8, TC_REPORT_DASH);
    else tc_buf_printf(b, " %7.2f", 100 * f->top1);
    put_right(b, 9, tc_report_rate(m->images_per_second, &n));
    if (m->stage) {
        tc_report_effort e = tc_report_effort_of(m->run, m->stage);
        tc_buf_printf(b, " %5lld", (long long)e.steps);
        put_right(b, 13, tc_report_duration(e.seconds, &n));
    }
    tc_buf_puts(b, "\n");
}

tc_status tc_report_table(const char *dir, char **text, tc_error *err) {
    tc_report r = {0};
    tc_buf b = {0};
    tc_status status = tc_report_read(&r, dir, err);
    if (status != TC_OK) return status;
    tc_buf_printf(&b, "%-8s %-12s %11s %7s %7s %8s %5s %12s\n", "", "inheritance", "parameters*", "MACs",
                  "top-1 %", "images/s", "steps", "time");
    for (int i = 0; i < r.model_count; i++) add_line(&b, &r.models[i]);
    tc_buf_puts(&b, "* without the token table; MACs of an image and a full-length text; steps\n"
                    "  and time from the teacher on\n");
    *text = tc_buf_take(&b);
    tc_report_free(&r);
    return *text ? TC_OK : tc_fail_memory(err, 1);
}
