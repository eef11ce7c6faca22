/* report_curves.c - what happened over the steps: accuracy and loss of every compression on one axis that counts the steps of its stages together, and
 * the sparsity of each automatic stage beside its target. And the accuracy of every model over its size. */
#include "report_chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 200 }; /* points of a loss curve at most: each is the mean of as many steps */

static int colour_of(int run) { return run % REPORT_COLOURS + 1; }
static bool dashed(int run) { return run >= REPORT_COLOURS; }

typedef struct curve {
    double *x, *y;
    size_t n, capacity_x, capacity_y;
} curve;

static void add(curve *c, double x, double y) {
    if (isnan(y)) return;
    if (!tc_grow(&c->x, &c->capacity_x, c->n + 1, sizeof *c->x) || !tc_grow(&c->y, &c->capacity_y, c->n + 1, sizeof *c->y)) {
        cli_say("out of memory");
        exit(CLI_FAILED);
    }
    c->x[c->n] = x;
    c->y[c->n++] = y;
}

static void release(curve *c, int n) {
    for (int i = 0; i < n; i++) {
        free(c[i].x);
        free(c[i].y);
    }
    free(c);
}

/* The range of all values, and the last step. */
static void range(const curve *c, int n, double *least, double *most) {
    *least = INFINITY, *most = -INFINITY;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < c[i].n; k++) *least = fmin(*least, c[i].y[k]), *most = fmax(*most, c[i].y[k]);
}

static double most_steps(const report *r) {
    double most = 1;
    for (int i = 0; i < r->count; i++) most = fmax(most, (double)report_steps_planned(&r->runs[i]));
    return most;
}

/* ---- curves of a run */

/* Evaluations where the log has any, else what was measured when the stages ended. */
static curve accuracy(const report_run *run, report_metric m) {
    curve c = {0};
    for (int i = 0; i < run->stage_count; i++) {
        const report_stage *s = &run->stages[i];
        for (size_t k = 0; m == REPORT_TOP1 && k < s->log.evals; k++) add(&c, (double)(s->before + s->log.eval[k].step), s->log.eval[k].top1);
        if (s->done && (m != REPORT_TOP1 || s->log.evals == 0)) add(&c, (double)(s->before + s->steps), report_metric_value(&s->facts, m));
    }
    return c;
}

static curve loss(const report_run *run) {
    curve c = {0};
    for (int i = 0; i < run->stage_count; i++) {
        const report_stage *s = &run->stages[i];
        size_t bins = s->log.steps < BINS ? s->log.steps : BINS, at = 0;
        for (size_t bin = 0; bin < bins; bin++) {
            double sum = 0, steps = 0;
            size_t n = 0;
            for (size_t end = s->log.steps * (bin + 1) / bins; at < end; at++)
                if (!isnan(s->log.step[at].loss)) sum += s->log.step[at].loss, steps += (double)s->log.step[at].step, n++;
            if (n) add(&c, (double)s->before + steps / (double)n, sum / (double)n);
        }
    }
    return c;
}

static double value_at(const curve *c, double x) {
    size_t i = 0;
    if (c->n == 0) return NAN;
    while (i < c->n && c->x[i] < x) i++;
    if (i == 0 || i == c->n) return c->y[i ? i - 1 : 0];
    double part = c->x[i] > c->x[i - 1] ? (x - c->x[i - 1]) / (c->x[i] - c->x[i - 1]) : 0;
    return c->y[i - 1] + part * (c->y[i] - c->y[i - 1]);
}

/* The folds, and where stages begin: upright lines if the page is about one compression, rings on the curves else. */
static void draw_marks(chart *c, const report *r, int run, const curve *line) {
    const report_run *one = &r->runs[run];
    char text[160];
    for (int i = 0; i < one->stage_count && line->n; i++) {
        const report_stage *s = &one->stages[i];
        double first = (double)s->before, fold = (double)(s->before + s->log.fold);
        snprintf(text, sizeof text, "stage %d (%.100s)", i + 1, s->name);
        if (r->count == 1 && one->stage_count > 1) chart_upright(c, first, text);
        if (r->count > 1 && i > 0 && line->x[line->n - 1] >= first) chart_mark(c, first, value_at(line, first), CHART_RING, colour_of(run), text);
        snprintf(text, sizeof text, "masks folded after step %lld", (long long)s->log.fold);
        if (s->log.fold >= 0 && line->x[line->n - 1] >= fold) chart_mark(c, fold, value_at(line, fold), CHART_DIAMOND, colour_of(run), text);
    }
}

static void key_of_marks(tc_buf *b, const report *r) {
    bool folds = false, stages = false;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            folds = folds || r->runs[i].stages[k].log.fold >= 0;
            stages = stages || (r->count > 1 && k > 0);
        }
    if (folds) tc_buf_puts(b, " \xe2\x97\x87 masks folded.");
    if (stages) tc_buf_puts(b, " \xe2\x97\x8b next stage begins.");
}

static int margin(const chart_label *labels, int n) {
    int most = 0;
    for (int i = 0; i < n; i++) {
        int count = report_characters(labels[i].text, CHART_LABEL);
        if (count > most) most = count;
    }
    return most;
}

/* What stands at the end of each curve: "85.3 % name"; of a page about one compression "85.3 % student". */
static void end_text(const report *r, int run, const char *value, chart_label *l) {
    snprintf(l->text, sizeof l->text, "%s%s%.80s", value, *value ? " " : "", r->count > 1 ? r->runs[run].name : "student");
}

static void draw_curves(tc_buf *b, const report *r, const curve *c, const char *title, bool percent, double teacher, const chart_label *names) {
    chart to;
    double least, most;
    range(c, r->count, &least, &most);
    if (!isnan(teacher)) least = fmin(least, teacher), most = fmax(most, teacher);
    chart_open(&to, b, title, "steps", most_steps(r), least, most, percent, margin(names, r->count + 1));
    if (!isnan(teacher)) {
        chart_level(&to, teacher, 0);
        chart_name(&to, to.x_most, teacher, 0, false, names[r->count].text);
    }
    for (int i = 0; i < r->count; i++) {
        if (c[i].n == 0) continue;
        chart_line(&to, c[i].x, c[i].y, c[i].n, colour_of(i), dashed(i));
        if (c[i].n == 1) chart_mark(&to, c[i].x[0], c[i].y[0], CHART_DOT, colour_of(i), names[i].text);
    }
    for (int i = 0; i < r->count; i++) {
        draw_marks(&to, r, i, &c[i]);
        if (c[i].n) chart_name(&to, c[i].x[c[i].n - 1], c[i].y[c[i].n - 1], colour_of(i), false, names[i].text);
    }
    chart_close(&to);
}

static void accuracy_chart(tc_buf *b, const report *r) {
    report_metric m = report_metric_of(r);
    curve *c = cli_new((size_t)r->count, sizeof *c);
    chart_label *names = cli_new((size_t)r->count + 1, sizeof *names);
    double teacher = report_metric_value(&r->runs[0].teacher, m);
    report_number n;
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        c[i] = accuracy(&r->runs[i], m);
        any = any || c[i].n;
        end_text(r, i, c[i].n ? report_percent(c[i].y[c[i].n - 1], &n) : "", &names[i]);
    }
    if (!isnan(teacher)) snprintf(names[r->count].text, sizeof names->text, "%s teacher", report_percent(teacher, &n));
    tc_buf_printf(b, "<figure>\n<h3>Accuracy over steps</h3>\n");
    if (any) {
        draw_curves(b, r, c, "Accuracy over steps", true, teacher, names);
        tc_buf_printf(b, "<figcaption>Held-out %s%s.", report_metric_name(m), m == REPORT_R1 ? ", measured at the end of each stage" : "");
        key_of_marks(b, r);
        tc_buf_puts(b, "</figcaption>\n");
    } else {
        tc_buf_puts(b, "<p class=\"missing\">No accuracy was measured while training.</p>\n");
    }
    tc_buf_puts(b, "</figure>\n");
    release(c, r->count);
    free(names);
}

static void loss_chart(tc_buf *b, const report *r) {
    curve *c = cli_new((size_t)r->count, sizeof *c);
    chart_label *names = cli_new((size_t)r->count + 1, sizeof *names);
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        char value[32] = "";
        c[i] = loss(&r->runs[i]);
        if (c[i].n) snprintf(value, sizeof value, "%.3g", c[i].y[c[i].n - 1]);
        any = any || c[i].n;
        end_text(r, i, value, &names[i]);
    }
    tc_buf_puts(b, "<figure>\n<h3>Loss over steps</h3>\n");
    if (any) {
        draw_curves(b, r, c, "Loss over steps", false, NAN, names);
        tc_buf_printf(b, "<figcaption>Training loss; each point is the mean of the steps around it, %d points a stage at most.", BINS);
        key_of_marks(b, r);
        tc_buf_puts(b, "</figcaption>\n");
    } else {
        tc_buf_puts(b, "<p class=\"missing\">There is no log of training steps.</p>\n");
    }
    tc_buf_puts(b, "</figure>\n");
    release(c, r->count);
    free(names);
}

/* ---- sparsity */

static bool has_masks(const report_stage *s) {
    for (size_t i = 0; i < s->log.steps; i++)
        if (!isnan(s->log.step[i].sparsity)) return true;
    return false;
}

static void sparsity_chart(tc_buf *b, const report *r, int run, const report_stage *s) {
    curve *c = cli_new(2, sizeof *c); /* sparsity, target */
    chart to;
    report_number n;
    char text[160], *name = report_model_name(r, &r->runs[run], s);
    size_t stride = s->log.steps / (2 * BINS) + 1;
    for (size_t i = 0; i < s->log.steps; i++) {
        const struct report_step *p = &s->log.step[i];
        if (i % stride && i + 1 < s->log.steps && !isnan(p[1].sparsity)) continue;
        add(&c[0], (double)p->step, p->sparsity);
        add(&c[1], (double)p->step, p->target);
    }
    double least, most;
    range(c, 2, &least, &most);
    if (!isnan(s->log.kept)) most = fmax(most, 1 - s->log.kept);
    tc_buf_puts(b, "<figure>\n<h4>");
    report_text(b, name);
    snprintf(text, sizeof text, "Sparsity and its target, %.100s", name);
    tc_buf_puts(b, "</h4>\n");
    chart_open(&to, b, text, "steps", (double)s->steps, fmin(least, 0), fmax(most, 0), true, 15);
    if (c[1].n) {
        chart_line(&to, c[1].x, c[1].y, c[1].n, 0, true);
        snprintf(text, sizeof text, "%s target", report_percent(c[1].y[c[1].n - 1], &n));
        chart_name(&to, c[1].x[c[1].n - 1], c[1].y[c[1].n - 1], 0, false, text);
    }
    chart_line(&to, c[0].x, c[0].y, c[0].n, colour_of(run), false);
    snprintf(text, sizeof text, "%s expected", report_percent(fmax(c[0].y[c[0].n - 1], 0), &n));
    chart_name(&to, c[0].x[c[0].n - 1], c[0].y[c[0].n - 1], colour_of(run), false, text);
    if (s->log.fold >= 0 && !isnan(s->log.kept)) {
        snprintf(text, sizeof text, "%s folded", report_percent(1 - s->log.kept, &n));
        chart_mark(&to, (double)s->log.fold, 1 - s->log.kept, CHART_DIAMOND, colour_of(run), text);
        chart_name(&to, (double)s->log.fold, 1 - s->log.kept, colour_of(run), false, text);
    }
    chart_close(&to);
    tc_buf_puts(b, "</figure>\n");
    release(c, 2);
    free(name);
}

static void sparsity(tc_buf *b, const report *r) {
    bool any = false, automatic = false;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            const report_stage *s = &r->runs[i].stages[k];
            automatic = automatic || strcmp(s->inheritance, "auto") == 0;
            if (!has_masks(s)) continue;
            if (!any) tc_buf_puts(b, "<h3>Sparsity and its target</h3>\n<div class=\"charts\">\n");
            any = true;
            sparsity_chart(b, r, i, s);
        }
    if (any)
        tc_buf_puts(b,
                    "</div>\n<p class=\"note\">Of the weights that masks can remove: the part that they are expected to remove (line), the part that "
                    "they shall remove (dashed), and \xe2\x97\x87 what folding them removed. Then training goes on with the small model.</p>\n");
    else if (automatic) tc_buf_puts(b, "<p class=\"missing\">The logs of the automatic stages hold no sparsity yet.</p>\n");
}

void report_curves(tc_buf *b, const report *r) {
    tc_buf_puts(b, "<section id=\"curves\">\n<h2>Training</h2>\n<div class=\"charts\">\n");
    accuracy_chart(b, r);
    loss_chart(b, r);
    tc_buf_puts(b, "</div>\n");
    sparsity(b, r);
    tc_buf_puts(b, "</section>\n");
}

/* ---- size */

static void name_model(chart *c, double x, double y, int colour, const char *text) {
    chart_name(c, x, y, colour, chart_x(c, x) > c->left + c->width / 2, text);
}

void report_size_chart(tc_buf *b, const report *r) {
    report_metric m = report_metric_of(r);
    curve *c = cli_new((size_t)r->count + 1, sizeof *c); /* of each run: its stages; of the last: the teacher */
    const report_facts *t = &r->runs[0].teacher;
    double least, most, largest = (double)t->params_without_tokens;
    int models = 0;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            const report_stage *s = &r->runs[i].stages[k];
            if (s->done) add(&c[i], (double)s->facts.params_without_tokens, report_metric_value(&s->facts, m));
            if (s->done && !isnan(report_metric_value(&s->facts, m))) models++, largest = fmax(largest, (double)s->facts.params_without_tokens);
        }
    add(&c[r->count], (double)t->params_without_tokens, report_metric_value(t, m));
    range(c, r->count + 1, &least, &most);
    if (models < 2) {
        release(c, r->count + 1);
        return;
    }
    chart to;
    tc_buf_puts(b, "<figure class=\"size\">\n<h3>Accuracy and size</h3>\n");
    chart_open(&to, b, "Accuracy of each model over its parameters", "parameters without the token table", largest * 1.04, least, most, true, 0);
    for (int i = 0; i < r->count; i++) {
        size_t at = 0;
        for (int k = 0; k < r->runs[i].stage_count; k++) {
            const report_stage *s = &r->runs[i].stages[k];
            if (!s->done || isnan(report_metric_value(&s->facts, m))) continue;
            char *name = report_model_name(r, &r->runs[i], s);
            chart_mark(&to, c[i].x[at], c[i].y[at], CHART_DOT, colour_of(i), name);
            name_model(&to, c[i].x[at], c[i].y[at], colour_of(i), name);
            at++;
            free(name);
        }
        if (at > 1) chart_line(&to, c[i].x, c[i].y, c[i].n, colour_of(i), true);
    }
    if (c[r->count].n) {
        chart_mark(&to, c[r->count].x[0], c[r->count].y[0], CHART_RING, 0, "teacher");
        name_model(&to, c[r->count].x[0], c[r->count].y[0], 0, "teacher");
    }
    chart_close(&to);
    tc_buf_printf(b, "<figcaption>%s%s; up and to the left is better.</figcaption>\n</figure>\n", m == REPORT_TOP1 ? "Held-out " : "",
                  report_metric_name(m));
    release(c, r->count + 1);
}
