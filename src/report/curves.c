/* curves.c - what happened over the steps: accuracy and loss of every compression on one axis that
 * counts the steps of its stages together, and the sparsity of each automatic stage beside its target. And
 * accuracy and speed of every model over its size. */
#include "report/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 80 }; /* points of a loss curve at most: each is the mean of as many steps */

static int colour_of(int run) { return run % TC_REPORT_COLOURS + 1; }
static bool dashed(int run) { return run >= TC_REPORT_COLOURS; }

typedef struct curve {
    double *x, *y;
    size_t n, capacity_x, capacity_y;
    bool failed; /* memory ran out */
} curve;

static void add(curve *c, double x, double y) {
    if (!tc_grow(&c->x, &c->capacity_x, c->n + 1, sizeof *c->x) ||
        !tc_grow(&c->y, &c->capacity_y, c->n + 1, sizeof *c->y)) {
        c->failed = true;
        return;
    }
    c->x[c->n] = x;
    c->y[c->n++] = y;
}

static void release(tc_buf *b, curve *c, int n) {
    for (int i = 0; i < n; i++) {
        b->failed = b->failed || c[i].failed;
        free(c[i].x);
        free(c[i].y);
    }
}

/* Widens a range to the values from..to-1. */
static void widen(const curve *c, size_t from, size_t to, double *least, double *most) {
    for (size_t k = from; k < to; k++) {
        *least = fmin(*least, c->y[k]);
        *most = fmax(*most, c->y[k]);
    }
}

/* The range of all values. */
static void range(const curve *c, int n, double *least, double *most) {
    *least = INFINITY;
    *most = -INFINITY;
    for (int i = 0; i < n; i++) widen(&c[i], 0, c[i].n, least, most);
}

static double most_steps(const tc_report *r) {
    double most = 1;
    for (int i = 0; i < r->count; i++) {
        const tc_compress_record *run = &r->runs[i];
        most = fmax(most, (double)tc_report_effort_of(run, &run->stages[run->stage_count - 1]).planned);
    }
    return most;
}

/* ---- curves of a run */

/* Between stages a line is broken: a student begins anew there. */
static void break_line(curve *c) {
    if (c->n && !isnan(c->y[c->n - 1])) add(c, c->x[c->n - 1], NAN);
}

/* A break at the end is none. */
static void end_line(curve *c) {
    if (c->n && isnan(c->y[c->n - 1])) c->n--;
}

/* Evaluations where the log has any, else what was measured when the stages ended. */
static curve accuracy(const tc_report *r, const tc_compress_record *run) {
    curve c = {0};
    bool top1 = r->metric == TC_REPORT_TOP1;
    for (int i = 0; i < run->stage_count; i++) {
        const tc_stage_record *s = &run->stages[i];
        for (size_t k = 0; top1 && k < s->log.eval_count; k++)
            add(&c, (double)(s->before + s->log.evals[k].step), s->log.evals[k].top1);
        double value = tc_report_accuracy(r, &s->model);
        if (s->done && !isnan(value) && (!top1 || s->log.eval_count == 0))
            add(&c, (double)(s->before + s->steps), value);
        if (s->log.eval_count > 1) break_line(&c);
    }
    end_line(&c);
    return c;
}

/* The mean of the steps from..to-1 that have a loss. */
static void add_mean(curve *c, const tc_stage_record *s, size_t from, size_t to) {
    double sum = 0, steps = 0;
    size_t n = 0;
    for (size_t at = from; at < to; at++) {
        const tc_logged_step *step = &s->log.steps[at];
        if (isnan(step->loss)) continue;
        sum += step->loss;
        steps += (double)step->step;
        n++;
    }
    if (n) add(c, (double)s->before + steps / (double)n, sum / (double)n);
}

static curve loss(const tc_compress_record *run) {
    curve c = {0};
    for (int i = 0; i < run->stage_count; i++) {
        const tc_stage_record *s = &run->stages[i];
        size_t n = s->log.step_count, bins = n < BINS ? n : BINS;
        for (size_t bin = 0; bin < bins; bin++) add_mean(&c, s, n * bin / bins, n * (bin + 1) / bins);
        break_line(&c);
    }
    end_line(&c);
    return c;
}

/* The line's height at x; where it is broken, that of the part before. */
static double value_at(const curve *c, double x) {
    size_t i = 0;
    while (i < c->n && (isnan(c->y[i]) || c->x[i] < x)) i++;
    if (c->n == 0) return NAN;
    if (i == c->n) return c->y[c->n - 1];
    if (i == 0) return c->y[0];
    if (isnan(c->y[i - 1])) return c->y[i - 2];
    double part = c->x[i] > c->x[i - 1] ? (x - c->x[i - 1]) / (c->x[i] - c->x[i - 1]) : 0;
    return c->y[i - 1] + part * (c->y[i] - c->y[i - 1]);
}

/* The folds, and where stages begin: upright lines if the page is about one compression, rings on the curves
 * else. */
static void draw_marks(tc_chart *c, const tc_report *r, int run, const curve *line) {
    const tc_compress_record *one = &r->runs[run];
    char text[160], brief[24];
    for (int i = 0; i < one->stage_count && line->n; i++) {
        const tc_stage_record *s = &one->stages[i];
        double first = (double)s->before, fold = (double)(s->before + s->log.fold);
        snprintf(text, sizeof text, "stage %d (%.100s)", i + 1, s->name);
        snprintf(brief, sizeof brief, "stage %d", i + 1);
        if (r->count == 1 && one->stage_count > 1)
            tc_chart_upright(c, first, first + (double)s->steps, text, brief);
        if (r->count > 1 && i > 0 && line->x[line->n - 1] >= first)
            tc_chart_mark(c, first, value_at(line, first), TC_CHART_RING, colour_of(run), text);
        snprintf(text, sizeof text, "masks folded after step %lld", (long long)s->log.fold);
        if (s->log.fold >= 0 && line->x[line->n - 1] >= fold)
            tc_chart_mark(c, fold, value_at(line, fold), TC_CHART_DIAMOND, colour_of(run), text);
    }
}

static void key_of_marks(tc_buf *b, const tc_report *r) {
    bool folds = false, stages = false;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            folds = folds || r->runs[i].stages[k].log.fold >= 0;
            stages = stages || (r->count > 1 && k > 0);
        }
    if (folds) tc_buf_puts(b, " \xe2\x97\x87 masks folded.");
    if (stages) tc_buf_puts(b, " \xe2\x97\x8b next stage begins.");
}

static int margin(const tc_chart_label *labels, int n) {
    int most = 0;
    for (int i = 0; i < n; i++) {
        int count = tc_report_characters(labels[i].text, TC_CHART_LABEL);
        if (count > most) most = count;
    }
    return most;
}

/* What stands at the end of each curve: "85.3 % name"; of a page about one compression "85.3 % student". */
static void end_text(const tc_report *r, int run, const char *value, tc_chart_label *l) {
    snprintf(l->text, sizeof l->text, "%s%s%.80s", value, *value ? " " : "",
             r->count > 1 ? r->runs[run].name : "student");
}

/* Training begins far from where it ends, and students end close together. So the first quarter of each stage
 * does not count for the scale, and what it has beyond is cut off. True if something is cut. */
static bool narrow(const curve *c, int n, double teacher, bool percent, double *least, double *most) {
    double all_low, all_high;
    range(c, n, &all_low, &all_high);
    *least = percent ? INFINITY : all_low;
    *most = percent ? all_high : -INFINITY;
    for (int i = 0; i < n; i++)
        for (size_t from = 0, to; from < c[i].n; from = to + 1) {
            for (to = from; to < c[i].n && !isnan(c[i].y[to]);) to++;
            widen(&c[i], from + (to - from) / 4, to, least, most);
        }
    bool cut = *least > all_low || *most < all_high;
    *least = fmin(*least, teacher); /* which leaves a NAN out */
    *most = fmax(*most, teacher);
    return cut;
}

/* True if not everything found room. */
static bool draw_curves(tc_buf *b, const tc_report *r, const curve *c, const char *title, bool percent,
                        double teacher, const tc_chart_label *names) {
    tc_chart to;
    double least, most;
    bool cut = narrow(c, r->count, teacher, percent, &least, &most);
    tc_chart_open(&to, b, title, "steps", most_steps(r), least, most, percent, margin(names, r->count + 1));
    if (!isnan(teacher)) {
        tc_chart_level(&to, teacher, 0);
        tc_chart_name_outside(&to, to.x_most, teacher, 0, names[r->count].text);
    }
    for (int i = 0; i < r->count; i++) {
        if (c[i].n == 0) continue;
        tc_chart_line(&to, c[i].x, c[i].y, c[i].n, colour_of(i), dashed(i));
        if (c[i].n == 1) tc_chart_mark(&to, c[i].x[0], c[i].y[0], TC_CHART_DOT, colour_of(i), names[i].text);
    }
    for (int i = 0; i < r->count; i++) {
        draw_marks(&to, r, i, &c[i]);
        if (c[i].n)
            tc_chart_name_outside(&to, c[i].x[c[i].n - 1], c[i].y[c[i].n - 1], colour_of(i), names[i].text);
    }
    tc_chart_close(&to);
    return cut;
}

#define CUT " What lies outside the scale is cut off."

static bool has_masks(const tc_stage_record *s) {
    for (size_t i = 0; i < s->log.step_count; i++)
        if (!isnan(s->log.steps[i].sparsity)) return true;
    return false;
}

/* Who sees accuracy fall wants to know that nothing broke. */
static void explain_dip(tc_buf *b, const tc_report *r) {
    bool masks = false;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) masks = masks || has_masks(&r->runs[i].stages[k]);
    if (masks)
        tc_buf_puts(b,
                    " While masks are learnt (until \xe2\x97\x87), what is measured is the student with all "
                    "that they would remove at that moment taken away at once, so accuracy dips; it comes "
                    "back as the small model learns to do without.");
}

static void accuracy_chart(tc_buf *b, const tc_report *r) {
    curve c[TC_REPORT_RUNS] = {0};
    tc_chart_label names[TC_REPORT_RUNS + 1] = {0};
    double teacher = r->models[0].accuracy;
    tc_report_number n;
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        c[i] = accuracy(r, &r->runs[i]);
        any = any || c[i].n > 1;
        end_text(r, i, c[i].n ? tc_report_percent(c[i].y[c[i].n - 1], &n) : "", &names[i]);
    }
    if (!isnan(teacher))
        snprintf(names[r->count].text, sizeof names[0].text, "%s teacher", tc_report_percent(teacher, &n));
    tc_buf_printf(b, "<figure>\n<h3>Accuracy over steps</h3>\n");
    if (any) {
        bool cut = draw_curves(b, r, c, "Accuracy over steps", true, teacher, names);
        tc_buf_printf(b, "<figcaption>Held-out %s%s.", tc_report_metric_name(r->metric),
                      r->metric == TC_REPORT_R1 ? ", measured at the end of each stage" : "");
        tc_buf_puts(b, cut ? CUT : "");
        key_of_marks(b, r);
        if (r->metric == TC_REPORT_TOP1) explain_dip(b, r);
        tc_buf_puts(b, "</figcaption>\n");
    } else {
        tc_buf_puts(b, "<p class=\"missing\">No accuracy was measured while training; what models have at "
                       "the end is in the table.</p>\n");
    }
    tc_buf_puts(b, "</figure>\n");
    release(b, c, r->count);
}

static void loss_chart(tc_buf *b, const tc_report *r) {
    curve c[TC_REPORT_RUNS] = {0};
    tc_chart_label names[TC_REPORT_RUNS + 1] = {0};
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        char value[32] = "";
        c[i] = loss(&r->runs[i]);
        double last = c[i].n ? c[i].y[c[i].n - 1] : 0;
        if (c[i].n && fabs(last) < 1e4) snprintf(value, sizeof value, "%.*f", fabs(last) < 1 ? 3 : 2, last);
        else if (c[i].n) snprintf(value, sizeof value, "%.3g", last);
        any = any || c[i].n;
        end_text(r, i, value, &names[i]);
    }
    tc_buf_puts(b, "<figure>\n<h3>Loss over steps</h3>\n");
    if (any) {
        bool cut = draw_curves(b, r, c, "Loss over steps", false, NAN, names);
        tc_buf_printf(b,
                      "<figcaption>Training loss; each point is the mean of the steps around it, %d points a "
                      "stage at most.",
                      BINS);
        tc_buf_puts(b, cut ? CUT : "");
        key_of_marks(b, r);
        tc_buf_puts(b, "</figcaption>\n");
    } else {
        tc_buf_puts(b, "<p class=\"missing\">There is no log of training steps.</p>\n");
    }
    tc_buf_puts(b, "</figure>\n");
    release(b, c, r->count);
}

/* ---- sparsity */

static void sparsity_chart(tc_buf *b, const tc_report_model *m) {
    const tc_stage_record *s = m->stage;
    curve c[2] = {0}; /* sparsity, target */
    tc_chart to;
    tc_report_number n;
    char text[160];
    size_t stride = s->log.step_count / (2 * BINS) + 1;
    for (size_t i = 0; i < s->log.step_count; i++) {
        const tc_logged_step *p = &s->log.steps[i];
        if (isnan(p->sparsity) || (i % stride && i + 1 < s->log.step_count && !isnan(p[1].sparsity)))
            continue;
        add(&c[0], (double)p->step, p->sparsity);
        add(&c[1], (double)p->step, p->target);
    }
    double least, most, ends = c[0].n ? c[0].x[c[0].n - 1] : 0;
    range(c, 2, &least, &most);
    if (!isnan(s->log.kept)) most = fmax(most, 1 - s->log.kept);
    tc_buf_puts(b, "<figure>\n<h4>");
    tc_report_text(b, m->name);
    snprintf(text, sizeof text, "Sparsity and its target, %.100s", m->name);
    tc_buf_puts(b, "</h4>\n");
    tc_chart_open(&to, b, text, "steps", (double)s->steps, fmin(least, 0), fmax(most, 0), true,
                  ends < 0.6 * (double)s->steps ? 0 : 15);
    if (c[1].n) {
        tc_chart_line(&to, c[1].x, c[1].y, c[1].n, 0, true);
        snprintf(text, sizeof text, "%s target", tc_report_percent(c[1].y[c[1].n - 1], &n));
        tc_chart_name(&to, c[1].x[c[1].n - 1], c[1].y[c[1].n - 1], 0, false, text);
    }
    tc_chart_line(&to, c[0].x, c[0].y, c[0].n, m->colour, false);
    snprintf(text, sizeof text, "%s expected", tc_report_percent(fmax(c[0].y[c[0].n - 1], 0), &n));
    tc_chart_name(&to, c[0].x[c[0].n - 1], c[0].y[c[0].n - 1], m->colour, false, text);
    if (s->log.fold >= 0 && !isnan(s->log.kept)) {
        snprintf(text, sizeof text, "%s folded", tc_report_percent(1 - s->log.kept, &n));
        tc_chart_mark(&to, (double)s->log.fold, 1 - s->log.kept, TC_CHART_DIAMOND, m->colour, text);
        tc_chart_name(&to, (double)s->log.fold, 1 - s->log.kept, m->colour, false, text);
    }
    tc_chart_close(&to);
    tc_buf_puts(b, "</figure>\n");
    release(b, c, 2);
}

static void sparsity(tc_buf *b, const tc_report *r) {
    bool any = false, automatic = false;
    for (int i = 1; i < r->model_count; i++) {
        const tc_stage_record *s = r->models[i].stage;
        automatic = automatic || strcmp(s->inheritance, "auto") == 0;
        if (!has_masks(s)) continue;
        if (!any) tc_buf_puts(b, "<h3>Sparsity and its target</h3>\n<div class=\"charts\">\n");
        any = true;
        sparsity_chart(b, &r->models[i]);
    }
    if (any)
        tc_buf_puts(b, "</div>\n<p class=\"note\">Of the weights that masks can remove: the part that they "
                       "are expected to remove (line), the part that they shall remove (dashed), and "
                       "\xe2\x97\x87 what folding them removed. Then training goes on with the small "
                       "model.</p>\n");
    else if (automatic)
        tc_buf_puts(b, "<p class=\"missing\">The logs of the automatic stages hold no sparsity yet.</p>\n");
}

void tc_report_curves(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b, "<section id=\"curves\">\n<h2>Training</h2>\n<div class=\"charts\">\n");
    accuracy_chart(b, r);
    loss_chart(b, r);
    tc_buf_puts(b, "</div>\n");
    sparsity(b, r);
    tc_buf_puts(b, "</section>\n");
}

/* ---- size */

/* What a chart of models over their size shows. */
typedef struct size_view {
    const char *title, *caption;
    bool speed; /* else accuracy */
} size_view;

/* NAN: it is not known, or there is no model yet. */
static double figure_of(const size_view *v, const tc_report_model *m) {
    if (!m->record->given) return NAN;
    return v->speed ? m->images_per_second : m->accuracy;
}

static void point(tc_chart *c, const tc_report_model *m, double y, const char *name) {
    double x = (double)m->record->params_without_tokens;
    tc_chart_mark(c, x, y, m->stage ? TC_CHART_DOT : TC_CHART_RING, m->colour, name);
    tc_chart_name(c, x, y, m->colour, tc_chart_x(c, x) > c->left + c->width / 2, name);
}

/* The stages of a run, joined. */
static void stages_by_size(tc_chart *c, const tc_report *r, const tc_compress_record *run,
                           const size_view *v) {
    curve line = {0};
    for (int i = 1; i < r->model_count; i++) {
        const tc_report_model *m = &r->models[i];
        double y = m->run == run ? figure_of(v, m) : NAN;
        if (isnan(y)) continue;
        char brief[24];
        snprintf(brief, sizeof brief, "stage %d", (int)(m->stage - run->stages) + 1);
        add(&line, (double)m->record->params_without_tokens, y);
        point(c, m, y, r->count > 1 && !m->last ? brief : m->name);
    }
    if (line.n > 1) tc_chart_line(c, line.x, line.y, line.n, colour_of((int)(run - r->runs)), true);
    release(c->b, &line, 1);
}

static bool size_chart(tc_buf *b, const tc_report *r, const size_view *v) {
    double least = INFINITY, most = -INFINITY, largest = 0;
    int models = 0;
    for (int i = 0; i < r->model_count; i++) {
        const tc_report_model *m = &r->models[i];
        double y = figure_of(v, m);
        if (isnan(y)) continue;
        models += m->stage != NULL;
        least = fmin(least, y);
        most = fmax(most, y);
        largest = fmax(largest, (double)m->record->params_without_tokens);
    }
    if (models < 2) return false;
    tc_chart c;
    tc_buf_printf(b, "<figure>\n<h3>%s</h3>\n", v->title);
    tc_chart_open(&c, b, v->title, "parameters without the token table", largest * 1.04, v->speed ? 0 : least,
                  most, !v->speed, 0);
    for (int i = 0; i < r->count; i++) stages_by_size(&c, r, &r->runs[i], v);
    double teacher = figure_of(v, &r->models[0]);
    if (!isnan(teacher)) point(&c, &r->models[0], teacher, "teacher");
    tc_chart_close(&c);
    tc_buf_printf(b, "<figcaption>%s</figcaption>\n</figure>\n", v->caption);
    return true;
}

void tc_report_size_charts(tc_buf *b, const tc_report *r) {
    char caption[128];
    snprintf(caption, sizeof caption, "Held-out %s; up and to the left is better.",
             tc_report_metric_name(r->metric));
    const size_view views[] = {{"Accuracy and size", caption, false},
                               {"Speed and size", "Images a second; up and to the left is better.", true}};
    tc_buf charts = {0};
    bool any = false;
    for (int i = 0; i < 2; i++) any = size_chart(&charts, r, &views[i]) || any;
    if (any) tc_buf_printf(b, "<div class=\"charts\">\n%s</div>\n", charts.data);
    b->failed = b->failed || charts.failed;
    tc_buf_free(&charts);
}
