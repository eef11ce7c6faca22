/* origin.c - how the compressions were made, in one table: what it was made of, with checksums, how, and the
 * commands as they can be typed again. What is the same of all is said once, the rest for each. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

/* Writes what a row says of one compression; nothing if that is not known. */
typedef void put_fn(tc_buf *b, const tc_compress_record *run);

static void put_hash(tc_buf *b, const char *hash) {
    if (!hash) return;
    tc_buf_puts(b, " <code>");
    tc_report_text(b, hash);
    tc_buf_puts(b, "</code>");
}

static void put_data(tc_buf *b, const tc_data_record *d) {
    tc_report_number n;
    if (!d->given) return;
    tc_buf_puts(b, "<bdi>");
    tc_report_text(b, d->spec);
    tc_buf_puts(b, "</bdi>");
    if (d->split) {
        tc_buf_puts(b, ", ");
        tc_report_text(b, d->split);
    }
    if (d->samples >= 0) tc_buf_printf(b, ", %s samples", tc_report_whole(d->samples, &n));
    put_hash(b, d->hash);
}

static void put_training_data(tc_buf *b, const tc_compress_record *run) { put_data(b, &run->data); }

static void put_eval_data(tc_buf *b, const tc_compress_record *run) { put_data(b, &run->eval); }

static void put_templates(tc_buf *b, const tc_compress_record *run) {
    const tc_data_record *d = run->eval.given ? &run->eval : &run->data;
    if (d->templates < 1 || !d->template) return;
    tc_buf_printf(b, "%lld, the first: \xe2\x80\x9c", (long long)d->templates);
    tc_report_short(b, d->template, 80);
    tc_buf_puts(b, "\xe2\x80\x9d");
}

static void put_teacher(tc_buf *b, const tc_compress_record *run) {
    if (run->teacher.path) tc_report_text(b, run->teacher.path);
    put_hash(b, run->teacher.hash);
}

static void put_students(tc_buf *b, const tc_compress_record *run) {
    for (int i = 0; i < run->stage_count && run->stages[i].done; i++) {
        const tc_stage_record *s = &run->stages[i];
        tc_buf_puts(b, i ? "<br/>" : "");
        tc_report_text(b, s->model.path ? s->model.path : s->folder);
        put_hash(b, s->model.hash);
    }
}

static void put_seed(tc_buf *b, const tc_compress_record *run) {
    if (run->seed >= 0) tc_buf_printf(b, "%lld", (long long)run->seed);
}

static void put_machine(tc_buf *b, const tc_compress_record *run) {
    if (run->cpu) {
        tc_report_short(b, run->cpu, 60);
        tc_buf_puts(b, " instructions");
    }
    if (run->threads > 0)
        tc_buf_printf(b, "%s%lld thread%s", run->cpu ? ", " : "", (long long)run->threads,
                      run->threads > 1 ? "s" : "");
}

static void put_version(tc_buf *b, const tc_compress_record *run) {
    tc_buf_puts(b, "tinyclip ");
    tc_report_text(b, run->version);
}

static void put_command(tc_buf *b, const tc_compress_record *run) {
    size_t n = json_array_size(run->command);
    if (n == 0) {
        tc_buf_puts(b, "<span class=\"missing\">The command is not in compress.json.</span>");
        return;
    }
    tc_buf_puts(b, "<pre class=\"command\" tabindex=\"0\"><code>");
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(run->command, i));
        tc_buf_puts(b, i ? " " : "");
        tc_report_argument(b, s ? s : "\xef\xbf\xbd"); /* what was not UTF-8 */
    }
    tc_buf_puts(b, "</code></pre>");
}

/* ---- the recipe */

/* "lr 0.002" of each of the keys that is there, in the words of the recipe; its lengths and rates, not all.
 */
static void put_settings(tc_buf *b, const json_t *object, const char *const *keys) {
    for (; *keys; keys++) {
        const json_t *v = json_object_get(object, *keys);
        if (!json_is_number(v)) continue;
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        tc_buf_printf(b, ", %s" TC_REPORT_SPACE "%s", *keys, text ? text : "");
        b->failed = b->failed || !text;
        free(text);
    }
}

static void put_stages(tc_buf *b, const tc_compress_record *run) {
    static const char *const of_stage[] = {"keep",    "params", "macs",   "fold_step",
                                           "mask_lr", "steps",  "epochs", NULL};
    static const char *const of_training[] = {"batch", "lr", "weight_decay", NULL};
    const json_t *stages = json_object_get(run->recipe, "stages");
    for (int i = 0; i < run->stage_count; i++) {
        const json_t *s = json_array_get(stages, (size_t)i);
        tc_buf_printf(b, "%sstage %d (", i ? "<br/>" : "", i + 1);
        tc_report_text(b, run->stages[i].name);
        tc_buf_puts(b, "): ");
        tc_report_text(b, run->stages[i].inheritance);
        put_settings(b, s, of_stage);
        put_settings(b, json_object_get(s, "train"), of_training);
    }
}

static void put_recipe(tc_buf *b, const tc_compress_record *run) {
    if (run->recipe_name) tc_report_text(b, run->recipe_name);
    char *text = run->recipe ? json_dumps(run->recipe, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return;
    tc_buf_puts(b, "<details><summary>all of it, with everything that was left to it</summary>\n<pre "
                   "tabindex=\"0\"><code>");
    tc_report_text(b, text);
    tc_buf_puts(b, "</code></pre></details>");
    free(text);
}

/* ---- the table */

/* One line for all compressions that say the same. */
static void put_values(tc_buf *b, const tc_report *r, const tc_buf *values) {
    bool equal = true;
    for (int i = 1; i < r->count; i++)
        equal = equal && values[i].size == values[0].size &&
                (values[0].size == 0 || memcmp(values[i].data, values[0].data, values[0].size) == 0);
    for (int i = 0; i < (equal ? 1 : r->count); i++) {
        if (!values[i].size) continue;
        if (!equal) {
            tc_buf_printf(b, "<div class=\"of-run\"><strong><span class=\"key c%d\"></span>",
                          i % TC_REPORT_COLOURS + 1);
            tc_report_text(b, r->runs[i].name);
            tc_buf_puts(b, "</strong> ");
        }
        tc_buf_puts(b, values[i].data);
        tc_buf_puts(b, equal ? "" : "</div>");
    }
}

static void put_row(tc_buf *b, const tc_report *r, const char *name, put_fn *put) {
    tc_buf values[TC_REPORT_RUNS] = {{0}};
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        put(&values[i], &r->runs[i]);
        any = any || values[i].size;
        b->failed = b->failed || values[i].failed;
    }
    if (any && !b->failed) {
        tc_buf_printf(b, "<tr><th scope=\"row\">%s</th><td>", name);
        put_values(b, r, values);
        tc_buf_puts(b, "</td></tr>\n");
    }
    for (int i = 0; i < r->count; i++) tc_buf_free(&values[i]);
}

void tc_report_origin(tc_buf *b, const tc_report *r) {
    static const struct {
        const char *name;
        put_fn *put;
    } rows[] = {{"Trained on", put_training_data},
                {"Measured on", put_eval_data},
                {"Prompt templates", put_templates},
                {"Teacher", put_teacher},
                {"Students", put_students},
                {"Recipe", put_recipe},
                {"Stages", put_stages},
                {"Seed", put_seed},
                {"Machine", put_machine},
                {"Made by", put_version},
                {"Command", put_command}};
    tc_buf_puts(b, "<section id=\"origin\">\n<h2>How it was made</h2>\n<table class=\"origin\">\n<tbody>\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) put_row(b, r, rows[i].name, rows[i].put);
    tc_buf_puts(
        b, "</tbody>\n</table>\n<p class=\"note\">Hexadecimal numbers are checksums of the weights or the "
           "data. A click on a command selects it. This page: tinyclip " TC_VERSION ".</p>\n</section>\n");
}
