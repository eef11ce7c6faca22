/* page.c - the page: what happened, in a sentence and in figures; the table of models; then the other
 * parts. One file that needs no other: the style is in it, nothing runs, nothing is fetched, and its own
 * policy tells the browser so. */
#include "report/report.h"

#include <math.h>
#include <string.h>

extern const char tc_file_data_report_css[], tc_file_data_report_css_end[];

/* ---- head */

static void head(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\" "
                   "xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                   "'unsafe-inline'; img-src data:\"/>\n"
                   "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>");
    tc_buf_puts(b, "Compression report");
    if (r->count == 1) {
        tc_buf_puts(b, ": ");
        tc_report_text(b, r->runs[0].name);
    }
    tc_buf_puts(b, "</title>\n<style>\n");
    tc_buf_add(b, tc_file_data_report_css, (size_t)(tc_file_data_report_css_end - tc_file_data_report_css));
    tc_buf_puts(b, "</style>\n</head>\n<body>\n");
}

/* ---- the sentence */

static double kept(const tc_compress_record *run, tc_report_metric m) {
    const tc_stage_record *s = tc_report_last(run);
    double of = tc_report_metric_value(&run->teacher, m);
    return s && of > 0 ? tc_report_metric_value(&s->model, m) / of : NAN;
}

static void headline_of_one(tc_buf *b, const tc_compress_record *run, tc_report_metric m) {
    const tc_stage_record *s = tc_report_last(run);
    tc_report_number n;
    int64_t made = tc_report_steps_made(run), planned = tc_report_steps_planned(run);
    if (!run->finished || !s) {
        tc_buf_printf(b, "A compression under way: %s of its steps are done",
                      tc_report_percent((double)made / (double)planned, &n));
        return;
    }
    tc_buf_printf(b, "A teacher of %s parameters became ",
                  tc_report_amount((double)run->teacher.params_without_tokens, &n));
    tc_buf_printf(b, "a student of %s", tc_report_amount((double)s->model.params_without_tokens, &n));
    if (!isnan(kept(run, m)))
        tc_buf_printf(b, " that keeps %s of its accuracy", tc_report_percent(kept(run, m), &n));
}

static void headline_of_many(tc_buf *b, const tc_report *r, tc_report_metric m) {
    double small = INFINITY, large = 0, low = INFINITY, high = 0;
    int students = 0, unfinished = 0;
    for (int i = 0; i < r->count; i++) {
        const tc_stage_record *s = tc_report_last(&r->runs[i]);
        unfinished += !r->runs[i].finished;
        if (!s || !r->runs[i].finished) continue;
        students++;
        small = fmin(small, (double)s->model.params_without_tokens),
        large = fmax(large, (double)s->model.params_without_tokens);
        double k = kept(&r->runs[i], m);
        if (!isnan(k)) low = fmin(low, k), high = fmax(high, k);
    }
    tc_report_number a, c;
    tc_buf_printf(b, "One teacher of %s parameters, ",
                  tc_report_amount((double)tc_report_teacher(r)->params_without_tokens, &a));
    if (students == 0) {
        tc_buf_printf(b, "%d compressions under way", unfinished);
        return;
    }
    tc_buf_printf(b, "%d student%s of %s", students, students > 1 ? "s" : "", tc_report_amount(small, &a));
    if (large > small) tc_buf_printf(b, " to %s", tc_report_amount(large, &c));
    if (high > 0) tc_buf_printf(b, " that keep%s %s", students > 1 ? "" : "s", tc_report_percent(low, &a));
    if (high > low) tc_buf_printf(b, " to %s", tc_report_percent(high, &c));
    if (high > 0) tc_buf_puts(b, " of its accuracy");
}

/* `used`: how many of its samples were looked at; -1: all. */
static void put_data(tc_buf *b, const tc_data_record *d, int64_t used) {
    tc_report_number n;
    tc_buf_puts(b, "<bdi>");
    tc_report_short(b, d->spec, 60);
    tc_buf_puts(b, "</bdi>");
    bool open = d->split || d->samples >= 0;
    tc_buf_puts(b, open ? " (" : "");
    if (d->split) tc_report_short(b, d->split, 20);
    if (d->samples >= 0 && d->split) tc_buf_puts(b, ", ");
    if (d->samples >= 0 && used > 0 && used < d->samples)
        tc_buf_printf(b, "%s of ", tc_report_whole(used, &n));
    if (d->samples >= 0) tc_buf_printf(b, "%s samples", tc_report_whole(d->samples, &n));
    tc_buf_puts(b, open ? ")" : "");
}

/* On what, for how long. */
static void lede(tc_buf *b, const tc_report *r, tc_report_metric m) {
    const tc_compress_record *run = &r->runs[0];
    tc_report_number n;
    tc_buf_puts(b, "<p class=\"lede\">");
    if (r->count == 1) {
        tc_buf_printf(b, "%d stage%s, %s steps", run->stage_count, run->stage_count > 1 ? "s" : "",
                      tc_report_whole(tc_report_steps_planned(run), &n));
        if (!run->finished) tc_buf_puts(b, " planned");
        else if (tc_report_seconds(run) > 0)
            tc_buf_printf(b, " in %s", tc_report_duration(tc_report_seconds(run), &n));
        tc_buf_puts(b, ". ");
    }
    if (run->data.given) {
        tc_buf_puts(b, "Trained on ");
        put_data(b, &run->data, -1);
        tc_buf_puts(b, run->eval.given ? ", " : ". ");
    }
    if (run->eval.given) {
        tc_buf_puts(b, run->data.given ? "measured on " : "Measured on ");
        put_data(b, &run->eval,
                 m == TC_REPORT_R1 ? tc_report_teacher(r)->pairs : tc_report_teacher(r)->images);
        tc_buf_puts(b, ". ");
    }
    if (m != TC_REPORT_NONE) tc_buf_printf(b, "Accuracy is %s.", tc_report_metric_name(m));
    else tc_buf_puts(b, "No accuracy was measured.");
    tc_buf_puts(b, "</p>\n");
}

/* How far a compression is that is not finished. */
static void progress(tc_buf *b, const tc_report *r) {
    for (int i = 0; i < r->count; i++) {
        const tc_compress_record *run = &r->runs[i];
        if (run->finished) continue;
        const tc_stage_record *now = NULL;
        for (int k = 0; k < run->stage_count && !now; k++)
            if (!run->stages[k].done) now = &run->stages[k];
        tc_report_number n, of;
        int64_t made = tc_report_steps_made(run), planned = tc_report_steps_planned(run);
        tc_buf_puts(b, "<div class=\"banner\"><p><strong>Unfinished</strong>: ");
        if (r->count > 1) {
            tc_report_text(b, run->name);
            tc_buf_puts(b, " is ");
        }
        if (now) {
            tc_buf_printf(b, "in stage %d of %d (", (int)(now - run->stages) + 1, run->stage_count);
            tc_report_text(b, now->name);
            tc_buf_printf(b, "), step %s of %s. ", tc_report_whole(now->log.last, &n),
                          tc_report_whole(now->steps, &of));
        } else {
            tc_buf_puts(b, "after its last stage. ");
        }
        tc_buf_printf(b,
                      "The command under <a href=\"#origin\">How it was made</a> goes on with it, given "
                      "--resume too.</p><progress max=\"%lld\" "
                      "value=\"%lld\">%s</progress></div>\n",
                      (long long)planned, (long long)made,
                      tc_report_percent((double)made / (double)planned, &n));
    }
}

/* ---- figures of one compression */

static void figure(tc_buf *b, const char *name, const char *value, const char *beside) {
    tc_buf_printf(b, "<div><dt>%s</dt><dd>%s <small>%s</small></dd></div>\n", name, value, beside);
}

static double macs(const tc_model_record *f) { return f->macs_image + f->macs_text; }

static void figures(tc_buf *b, const tc_compress_record *run, tc_report_metric m) {
    const tc_stage_record *s = tc_report_last(run);
    if (!s) return;
    const tc_model_record *t = &run->teacher, *f = &s->model;
    tc_report_number n, of, part;
    char beside[160];
    if (!run->finished)
        tc_buf_printf(b, "<h2 class=\"so-far\">After stage %d of %d</h2>\n", (int)(s - run->stages) + 1,
                      run->stage_count);
    tc_buf_puts(b, "<dl class=\"figures\">\n");
    snprintf(beside, sizeof beside, "%s of %s",
             tc_report_percent((double)f->params_without_tokens / (double)t->params_without_tokens, &part),
             tc_report_amount((double)t->params_without_tokens, &of));
    figure(b, "Parameters", tc_report_amount((double)f->params_without_tokens, &n), beside);
    if (macs(f) > 0 && macs(t) > 0) {
        snprintf(beside, sizeof beside, "%s of %s", tc_report_percent(macs(f) / macs(t), &part),
                 tc_report_amount(macs(t), &of));
        figure(b, "MACs, image and text", tc_report_amount(macs(f), &n), beside);
    }
    double x = tc_report_metric_value(f, m), y = tc_report_metric_value(t, m);
    if (!isnan(x)) {
        snprintf(beside, sizeof beside, "teacher %s", tc_report_percent(y, &of));
        figure(b, m == TC_REPORT_TOP1 ? "Zero-shot top-1" : "R@1, caption of an image",
               tc_report_percent(x, &n), beside);
    }
    const struct {
        const char *name;
        double is, was;
    } rates[] = {{"Images a second", f->images_per_second, t->images_per_second},
                 {"Texts a second", f->texts_per_second, t->texts_per_second}};
    for (int i = 0; i < 2; i++) {
        if (!(rates[i].is > 0)) continue;
        beside[0] = '\0';
        if (rates[i].was > 0)
            snprintf(beside, sizeof beside, "%.2f times %s", rates[i].is / rates[i].was,
                     tc_report_rate(rates[i].was, &of));
        figure(b, rates[i].name, tc_report_rate(rates[i].is, &n), beside);
    }
    tc_buf_puts(b, "</dl>\n");
}

/* ---- table */

typedef enum column {
    PARAMS,
    ALL_PARAMS,
    MACS_IMAGE,
    MACS_TEXT,
    TOP1,
    TOP5,
    R1_TEXT,
    R5_TEXT,
    R1_IMAGE,
    R5_IMAGE,
    IMAGES,
    TEXTS,
    COLUMNS
} column;
static const struct {
    const char *name, *unit;
} columns[COLUMNS] = {{"Parameters", "no token table"},
                      {"Parameters", "all"},
                      {"MACs", "an image"},
                      {"MACs", "a text"},
                      {"Top-1", "zero-shot"},
                      {"Top-5", "zero-shot"},
                      {"R@1", "image to text"},
                      {"R@5", "image to text"},
                      {"R@1", "text to image"},
                      {"R@5", "text to image"},
                      {"Images/s", "measured"},
                      {"Texts/s", "measured"}};

static double cell(const tc_model_record *f, column c) {
    bool pairs = f->pairs > 0;
    switch (c) {
    case PARAMS:
        return (double)f->params_without_tokens;
    case ALL_PARAMS:
        return (double)f->params;
    case MACS_IMAGE:
        return f->macs_image;
    case MACS_TEXT:
        return f->macs_text;
    case TOP1:
        return f->top1;
    case TOP5:
        return f->top5;
    case R1_TEXT:
        return pairs ? f->image_to_text.r1 : NAN;
    case R5_TEXT:
        return pairs ? f->image_to_text.r5 : NAN;
    case R1_IMAGE:
        return pairs ? f->text_to_image.r1 : NAN;
    case R5_IMAGE:
        return pairs ? f->text_to_image.r5 : NAN;
    case IMAGES:
        return f->images_per_second;
    case TEXTS:
        return f->texts_per_second;
    case COLUMNS:
        break;
    }
    return NAN;
}

/* A column that no model has a number for is left out. */
static bool wanted(const tc_report *r, column c) {
    for (int i = 0; i < r->count; i++) {
        if (cell(&r->runs[i].teacher, c) >= 0) return true;
        for (int k = 0; k < r->runs[i].stage_count; k++)
            if (cell(&r->runs[i].stages[k].model, c) >= 0) return true;
    }
    return false;
}

static void table_cells(tc_buf *b, const tc_report *r, const tc_model_record *f, const tc_model_record *t) {
    tc_report_number n;
    for (column c = 0; c < COLUMNS; c++) {
        if (!wanted(r, c)) continue;
        double x = f->given ? cell(f, c) : NAN, of = cell(t, c);
        bool fraction = c >= TOP1 && c <= R5_IMAGE, rate = c == IMAGES || c == TEXTS;
        tc_buf_printf(b, "<td>%s",
                      fraction ? tc_report_percent(x, &n)
                      : rate   ? tc_report_rate(x, &n)
                               : tc_report_amount(x, &n));
        if (f != t && x >= 0 && of > 0) {
            if (rate) tc_buf_printf(b, "<small>%.2f" TC_REPORT_SPACE "\xc3\x97</small>", x / of);
            else tc_buf_printf(b, "<small>%.*f" TC_REPORT_SPACE "%%</small>", fraction ? 1 : 0, 100 * x / of);
        }
        tc_buf_puts(b, "</td>");
    }
}

static void table_row(tc_buf *b, const tc_report *r, const tc_compress_record *run,
                      const tc_stage_record *s) {
    tc_report_number n, of;
    tc_report_name name;
    tc_buf_printf(b, "<tr%s><th scope=\"row\"><span class=\"key c%d\"></span>",
                  s->done && s == &run->stages[run->stage_count - 1] ? "" : " class=\"step\"",
                  (int)(run - r->runs) % TC_REPORT_COLOURS + 1);
    tc_report_text(b, tc_report_model_name(r, run, s, &name));
    tc_buf_puts(b, "<small>");
    const char *way = s->inheritance;
    tc_report_text(b, strcmp(way, "auto") == 0 ? "automatic" : way);
    if (s->teacher_loss) {
        tc_buf_puts(b, ", ");
        tc_report_text(b, strcmp(s->teacher_loss, "none") == 0 ? "no teacher" : s->teacher_loss);
    }
    tc_buf_puts(b, "</small></th>");
    table_cells(b, r, &s->model, &run->teacher);
    if (s->done)
        tc_buf_printf(b, "<td>%s</td><td>%s</td></tr>\n", tc_report_whole(s->steps, &n),
                      tc_report_duration(s->seconds, &of));
    else
        tc_buf_printf(b, "<td>%s<small>of %s</small></td><td>%s</td></tr>\n",
                      tc_report_whole(s->log.last, &n), tc_report_whole(s->steps, &of), TC_REPORT_DASH);
}

static void table(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b, "<section id=\"models\">\n<h2>Teacher and students</h2>\n<div class=\"scroll\" "
                   "tabindex=\"0\" role=\"region\" aria-label=\"Table "
                   "of models\">\n"
                   "<table>\n<thead><tr><th scope=\"col\">Model</th>");
    for (column c = 0; c < COLUMNS; c++)
        if (wanted(r, c))
            tc_buf_printf(b, "<th scope=\"col\">%s<small>%s</small></th>", columns[c].name, columns[c].unit);
    tc_buf_puts(b, "<th scope=\"col\">Steps</th><th scope=\"col\">Time</th></tr></thead>\n<tbody>\n<tr "
                   "class=\"teacher\"><th scope=\"row\"><span "
                   "class=\"key c0\"></span>teacher</th>");
    table_cells(b, r, tc_report_teacher(r), tc_report_teacher(r));
    tc_buf_printf(b, "<td>%s</td><td>%s</td></tr>\n", TC_REPORT_DASH, TC_REPORT_DASH);
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) table_row(b, r, &r->runs[i], &r->runs[i].stages[k]);
    tc_buf_puts(b, "</tbody>\n</table>\n</div>\n<p class=\"note\">Small figures are relative to the teacher. "
                   "MACs: multiply-accumulates of one image, and of "
                   "one text of "
                   "full length. Images and texts a second: measured on this machine when the stage ended, "
                   "32 at a time, 32-bit floats.</p>\n");
    tc_report_size_charts(b, r);
    tc_buf_puts(b, "</section>\n");
}

/* ---- the page */

tc_status tc_report_page(tc_buf *b, const tc_report *r, int examples, const tc_log *log, tc_error *err) {
    tc_report_metric m = tc_report_metric_of(r);
    head(b, r);
    tc_buf_puts(b, "<header>\n<p class=\"eyebrow\">TinyCLIP compression report</p>\n<h1>");
    if (r->count == 1) headline_of_one(b, &r->runs[0], m);
    else headline_of_many(b, r, m);
    tc_buf_puts(b, "</h1>\n");
    lede(b, r, m);
    tc_buf_puts(b, "</header>\n<main>\n");
    progress(b, r);
    if (r->count == 1) figures(b, &r->runs[0], m);
    table(b, r);
    tc_report_structure(b, r);
    tc_report_curves(b, r);
    tc_status status = tc_report_examples(b, r, examples, log, err);
    tc_report_origin(b, r);
    tc_buf_puts(b, "</main>\n</body>\n</html>\n");
    if (status == TC_OK && b->failed) status = tc_fail_memory(err, b->size);
    return status;
}
