/* page.c - the page: what it is about, what happened, in a sentence and in figures; then the other parts. One
 * file that needs no other: the style is in it, nothing runs, nothing is fetched, and its own policy tells
 * the browser so. */
#include "report/report.h"
#include "data/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const char tc_file_data_report_css[], tc_file_data_report_css_end[];

/* ---- what it is about */

void tc_report_data_name(tc_buf *b, const tc_data_record *d) {
    const char *title = tc_data_title(d->spec), *last = strrchr(d->spec, '/');
    if (!title) title = last && last[1] ? last + 1 : d->spec;
    tc_report_short(b, title, 40);
}

/* "Fashion-MNIST, from a ViT of 1.95 M parameters" */
static void title(tc_buf *b, const tc_report *r) {
    const tc_model_record *t = r->models[0].record;
    const tc_data_record *d = r->runs[0].data.given ? &r->runs[0].data : &r->runs[0].eval;
    tc_report_number n;
    if (d->given) tc_report_data_name(b, d);
    tc_buf_printf(b, "%s a" TC_REPORT_SPACE "%s", d->given ? ", from" : "From",
                  t->vision.given ? t->vision.kind : "teacher");
    if (t->given)
        tc_buf_printf(b, " of %s parameters", tc_report_amount((double)t->params_without_tokens, &n));
}

static void head(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\" "
                   "xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                   "'unsafe-inline'; img-src data:\"/>\n"
                   "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>");
    title(b, r);
    tc_buf_puts(b, "</title>\n<style>\n");
    tc_buf_add(b, tc_file_data_report_css, (size_t)(tc_file_data_report_css_end - tc_file_data_report_css));
    tc_buf_puts(b, "</style>\n</head>\n<body id=\"top\">\n");
}

/* ---- what happened */

static double kept(const tc_report *r, const tc_report_model *m) {
    double of = r->models[0].accuracy;
    return of > 0 ? m->accuracy / of : NAN;
}

static double macs(const tc_model_record *m) { return m->macs_image + m->macs_text; }

/* The student of the only compression; NULL: none is finished. */
static const tc_report_model *only_student(const tc_report *r) {
    const tc_report_model *m = &r->models[r->model_count - 1];
    return r->count == 1 && m->run->finished ? m : NULL;
}

static void sentence_of_one(tc_buf *b, const tc_report *r, const tc_report_model *m) {
    const tc_report_model *t = &r->models[0];
    tc_report_number n, of;
    tc_buf_printf(b, "A student of %s parameters",
                  tc_report_amount((double)m->record->params_without_tokens, &n));
    if (!isnan(kept(r, m)))
        tc_buf_printf(b, " that keeps %s of its accuracy: %s where the teacher has %s",
                      tc_report_percent(kept(r, m), &n), tc_report_accurate(m->accuracy, &of),
                      tc_report_accurate(t->accuracy, &(tc_report_number){{0}}));
    tc_buf_puts(b, ".");
}

static void sentence_of_many(tc_buf *b, const tc_report *r) {
    double small = INFINITY, large = 0, low = INFINITY, high = 0;
    int students = 0;
    for (int i = 0; i < r->model_count; i++) {
        const tc_report_model *m = &r->models[i];
        if (!m->stage || !m->last || !m->run->finished) continue;
        students++;
        small = fmin(small, (double)m->record->params_without_tokens);
        large = fmax(large, (double)m->record->params_without_tokens);
        low = isnan(kept(r, m)) ? low : fmin(low, kept(r, m));
        high = isnan(kept(r, m)) ? high : fmax(high, kept(r, m));
    }
    tc_report_number n, to;
    if (students == 0) {
        tc_buf_printf(b, "%d compressions under way.", r->count);
        return;
    }
    tc_buf_printf(b, "%d student%s of %s", students, students > 1 ? "s" : "", tc_report_amount(small, &n));
    if (large > small) tc_buf_printf(b, " to %s", tc_report_amount(large, &to));
    tc_buf_puts(b, " parameters");
    if (high > 0) tc_buf_printf(b, " that keep%s %s", students > 1 ? "" : "s", tc_report_percent(low, &n));
    if (high > low) tc_buf_printf(b, " to %s", tc_report_percent(high, &to));
    tc_buf_puts(b, high > 0 ? " of its accuracy." : ".");
}

static void sentence(tc_buf *b, const tc_report *r) {
    const tc_report_model *m = only_student(r);
    const tc_compress_record *run = &r->runs[0];
    tc_report_effort e = tc_report_effort_of(run, &run->stages[run->stage_count - 1]);
    tc_report_number n;
    tc_buf_puts(b, "<p class=\"sentence\">");
    if (m) sentence_of_one(b, r, m);
    else if (r->count > 1) sentence_of_many(b, r);
    else
        tc_buf_printf(b, "A compression under way: %s of its steps are done.",
                      tc_report_percent((double)e.steps / (double)e.planned, &n));
    tc_buf_puts(b, "</p>\n");
}

/* `used`: how many of its samples were looked at; -1: all. */
static void put_data(tc_buf *b, const char *what, const tc_data_record *d, int64_t used) {
    tc_report_number n;
    if (!d->given) return;
    tc_buf_printf(b, "%s <bdi>", what);
    tc_report_data_name(b, d);
    tc_buf_puts(b, "</bdi>");
    bool open = d->split || d->samples >= 0;
    tc_buf_puts(b, open ? " (" : "");
    if (d->split) tc_report_short(b, d->split, 20);
    if (d->samples >= 0 && d->split) tc_buf_puts(b, ", ");
    if (d->samples >= 0 && used > 0 && used < d->samples)
        tc_buf_printf(b, "%s of ", tc_report_whole(used, &n));
    if (d->samples >= 0) tc_buf_printf(b, "%s samples", tc_report_whole(d->samples, &n));
    tc_buf_puts(b, open ? "). " : ". ");
}

/* On what, for how long. */
static void lede(tc_buf *b, const tc_report *r) {
    const tc_compress_record *run = &r->runs[0];
    const tc_model_record *t = r->models[0].record;
    tc_report_number n;
    tc_buf_puts(b, "<p class=\"lede\">");
    if (r->count == 1) {
        tc_report_effort e = tc_report_effort_of(run, &run->stages[run->stage_count - 1]);
        tc_buf_printf(b, "%d stage%s, %s steps", run->stage_count, run->stage_count > 1 ? "s" : "",
                      tc_report_whole(e.planned, &n));
        if (!run->finished) tc_buf_puts(b, " planned");
        else if (e.seconds > 0) tc_buf_printf(b, " in %s", tc_report_duration(e.seconds, &n));
        tc_buf_puts(b, ". ");
    }
    put_data(b, "Trained on", &run->data, -1);
    put_data(b, "Measured on", &run->eval, r->metric == TC_REPORT_R1 ? t->pairs : t->images);
    if (r->metric == TC_REPORT_NONE) tc_buf_puts(b, "No accuracy was measured.");
    else tc_buf_printf(b, "Accuracy is %s.", tc_report_metric_name(r->metric));
    tc_buf_puts(b, "</p>\n");
}

/* A compression that kept its options needs nothing else to go on. */
static void put_resume(tc_buf *b, const tc_compress_record *run) {
    char *kept = tc_path_join(run->dir, "run.json");
    if (kept && tc_path_exists(kept)) {
        tc_buf_puts(b, "<code>tinyclip compress --resume ");
        tc_report_argument(b, run->dir);
        tc_buf_puts(b, "</code> goes on with it.");
    } else {
        tc_buf_puts(b, "The command under <a href=\"#origin\">How it was made</a> goes on with it, given "
                       "--resume too.");
    }
    b->failed = b->failed || !kept;
    free(kept);
}

/* How far the compressions are that are not finished. */
static void progress(tc_buf *b, const tc_report *r) {
    for (int i = 0; i < r->count; i++) {
        const tc_compress_record *run = &r->runs[i];
        const tc_stage_record *now = run->stages, *end = run->stages + run->stage_count;
        tc_report_effort e = tc_report_effort_of(run, end - 1);
        tc_report_number n, of;
        if (run->finished) continue;
        while (now < end && now->done) now++;
        tc_buf_puts(b, "<div class=\"banner\"><p><strong>Unfinished</strong>: ");
        if (r->count > 1) {
            tc_report_text(b, run->name);
            tc_buf_puts(b, " is ");
        }
        if (now < end) {
            tc_buf_printf(b, "in stage %d of %d (", (int)(now - run->stages) + 1, run->stage_count);
            tc_report_text(b, now->name);
            tc_buf_printf(b, "), step %s of %s. ", tc_report_whole(now->log.last, &n),
                          tc_report_whole(now->steps, &of));
        } else {
            tc_buf_puts(b, "after its last stage. ");
        }
        put_resume(b, run);
        tc_buf_printf(b, "</p><progress max=\"%lld\" value=\"%lld\">%s</progress></div>\n",
                      (long long)e.planned, (long long)e.steps,
                      tc_report_percent((double)e.steps / (double)e.planned, &n));
    }
}

/* ---- figures of one compression */

static void figure(tc_buf *b, const char *name, const char *value, const char *beside) {
    tc_buf_printf(b, "<div><dt>%s</dt><dd>%s <small>%s</small></dd></div>\n", name, value, beside);
}

static void rate_figure(tc_buf *b, const char *name, double is, double was) {
    tc_report_number n, of;
    char beside[80] = "";
    if (!(is > 0)) return;
    if (was > 0)
        snprintf(beside, sizeof beside, "%.2f times %s", tc_report_digits(is) / tc_report_digits(was),
                 tc_report_rate(was, &of));
    figure(b, name, tc_report_rate(is, &n), beside);
}

static void part_figure(tc_buf *b, const char *name, double is, double was) {
    tc_report_number n, of, part;
    char beside[80] = "";
    if (!(is > 0)) return;
    if (was > 0)
        snprintf(beside, sizeof beside, "%s of %s",
                 tc_report_percent(tc_report_digits(is) / tc_report_digits(was), &part),
                 tc_report_amount(was, &of));
    figure(b, name, tc_report_amount(is, &n), beside);
}

static void figures(tc_buf *b, const tc_report *r) {
    const tc_report_model *t = &r->models[0], *m = NULL;
    for (int i = 1; i < r->model_count; i++)
        if (r->models[i].last) m = &r->models[i];
    if (r->count > 1 || !m) return;
    tc_report_number n, of;
    char beside[80];
    if (!m->run->finished)
        tc_buf_printf(b, "<h2 class=\"so-far\">After stage %d of %d</h2>\n",
                      (int)(m->stage - m->run->stages) + 1, m->run->stage_count);
    tc_buf_puts(b, "<dl class=\"figures\">\n");
    if (!isnan(m->accuracy)) {
        snprintf(beside, sizeof beside, "teacher %s", tc_report_accurate(t->accuracy, &of));
        figure(b, r->metric == TC_REPORT_TOP1 ? "Zero-shot top-1" : "R@1, caption of an image",
               tc_report_accurate(m->accuracy, &n), beside);
    }
    part_figure(b, "Parameters", (double)m->record->params_without_tokens,
                (double)t->record->params_without_tokens);
    part_figure(b, "MACs, image and text", macs(m->record), macs(t->record));
    rate_figure(b, "Images a second", m->images_per_second, t->images_per_second);
    rate_figure(b, "Texts a second", m->texts_per_second, t->texts_per_second);
    tc_buf_puts(b, "</dl>\n");
}

/* ---- the page */

static void contents(tc_buf *b, const tc_report *r, bool examples) {
    const struct {
        const char *id, *name;
        bool there;
    } parts[] = {{"models", "Models", true},
                 {"use", "Use", true},
                 {"classes", "Classes", tc_report_has_classes(r)},
                 {"examples", "Examples", examples},
                 {"structure", "Structure", true},
                 {"curves", "Training", true},
                 {"origin", "How it was made", true}};
    tc_buf_puts(b, "<nav class=\"contents\" aria-label=\"Contents\">\n");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].there) tc_buf_printf(b, "<a href=\"#%s\">%s</a>\n", parts[i].id, parts[i].name);
    tc_buf_puts(b, "</nav>\n");
}

tc_status tc_report_page(tc_buf *b, const tc_report *r, int examples, const tc_log *log, tc_error *err) {
    head(b, r);
    tc_buf_puts(b, "<header>\n<p class=\"eyebrow\">TinyCLIP compression report</p>\n<h1>");
    title(b, r);
    tc_buf_puts(b, "</h1>\n");
    sentence(b, r);
    lede(b, r);
    tc_buf_puts(b, "</header>\n");
    contents(b, r, examples > 0);
    tc_buf_puts(b, "<main>\n");
    progress(b, r);
    figures(b, r);
    tc_report_models(b, r);
    tc_report_use(b, r);
    if (tc_report_has_classes(r)) tc_report_classes(b, r);
    tc_status status = tc_report_examples(b, r, examples, log, err);
    tc_report_structure(b, r);
    tc_report_curves(b, r);
    tc_report_origin(b, r);
    tc_buf_puts(b, "</main>\n</body>\n</html>\n");
    if (status == TC_OK && b->failed) status = tc_fail_memory(err, b->size);
    return status;
}
