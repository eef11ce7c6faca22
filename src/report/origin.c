/* origin.c - how the compression was made: its command as it can be typed again, what its data and
 * models are known by, the machine, the recipe. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

/* One argument as a shell reads it back. */
static void put_argument(tc_buf *b, const char *s) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    if (*s && s[strspn(s, plain)] == '\0') {
        tc_report_text(b, s);
        return;
    }
    tc_buf quoted = {0};
    tc_buf_puts(&quoted, "'");
    for (; *s; s++) {
        if (*s == '\'') tc_buf_puts(&quoted, "'\\''");
        else tc_buf_add(&quoted, s, 1);
    }
    tc_buf_puts(&quoted, "'");
    if (quoted.data) tc_report_text(b, quoted.data);
    b->failed = b->failed || quoted.failed;
    tc_buf_free(&quoted);
}

static void command(tc_buf *b, const tc_compress_record *run) {
    size_t n = json_array_size(run->command);
    if (n == 0) {
        tc_buf_puts(b, "<p class=\"missing\">The command is not in compress.json.</p>\n");
        return;
    }
    tc_buf_puts(b, "<pre class=\"command\" tabindex=\"0\"><code>");
    for (size_t i = 0; i < n; i++) {
        if (i) tc_buf_puts(b, " ");
        const char *s = json_string_value(json_array_get(run->command, i));
        put_argument(b, s ? s : "\xef\xbf\xbd"); /* what was not UTF-8 */
    }
    tc_buf_puts(b, "</code></pre>\n");
}

static void fact(tc_buf *b, const char *name, const char *text, const char *hash) {
    if (!text && !hash) return;
    tc_buf_printf(b, "<tr><th scope=\"row\">%s</th><td><bdi>", name);
    tc_report_text(b, text ? text : "");
    tc_buf_puts(b, "</bdi></td><td><code>");
    tc_report_text(b, hash ? hash : "");
    tc_buf_puts(b, "</code></td></tr>\n");
}

static void data_fact(tc_buf *b, const char *name, const tc_data_record *d) {
    if (!d->given) return;
    tc_report_number n;
    tc_buf text = {0};
    tc_buf_puts(&text, d->spec);
    if (d->split) tc_buf_printf(&text, ", %s", d->split);
    if (d->samples >= 0) tc_buf_printf(&text, ", %s samples", tc_report_whole(d->samples, &n));
    fact(b, name, text.data, d->hash);
    tc_buf_free(&text);
}

static void facts(tc_buf *b, const tc_compress_record *run) {
    char text[96], name[64];
    tc_buf_puts(b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Origin\"><table "
                   "class=\"origin\">\n"
                   "<thead><tr><th scope=\"col\"></th><th scope=\"col\">What</th><th "
                   "scope=\"col\">Checksum</th></tr></thead>\n<tbody>\n");
    fact(b, "Teacher", run->teacher.path ? run->teacher.path : "", run->teacher.hash);
    for (int i = 0; i < run->stage_count; i++) {
        if (!run->stages[i].done) continue;
        snprintf(name, sizeof name, "Stage %d", i + 1);
        fact(b, name, run->stages[i].model.path ? run->stages[i].model.path : run->stages[i].folder,
             run->stages[i].model.hash);
    }
    data_fact(b, "Trained on", &run->data);
    data_fact(b, "Measured on", &run->eval);
    fact(b, "Recipe", run->recipe_name, NULL);
    snprintf(text, sizeof text, "%lld", (long long)run->seed);
    fact(b, "Seed", run->seed >= 0 ? text : NULL, NULL);
    tc_buf machine = {0};
    if (run->cpu) tc_buf_printf(&machine, "instructions: %.60s", run->cpu);
    if (run->threads > 0)
        tc_buf_printf(&machine, "%s%lld thread%s", run->cpu ? ", " : "", (long long)run->threads,
                      run->threads > 1 ? "s" : "");
    fact(b, "Machine", machine.data, NULL);
    tc_buf_free(&machine);
    tc_buf_printf(b, "<tr><th scope=\"row\">Made by</th><td>tinyclip ");
    tc_report_text(b, run->version);
    tc_buf_puts(b, "</td><td></td></tr>\n</tbody>\n</table></div>\n");
}

static void recipe(tc_buf *b, const tc_compress_record *run) {
    char *text = run->recipe ? json_dumps(run->recipe, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return;
    tc_buf_puts(b, "<details><summary>The recipe, with everything that was left to it</summary>\n<pre "
                   "tabindex=\"0\"><code>");
    tc_report_text(b, text);
    tc_buf_puts(b, "</code></pre></details>\n");
    free(text);
}

void tc_report_origin(tc_buf *b, const tc_report *r) {
    tc_buf_puts(b, "<section id=\"origin\">\n<h2>How it was made</h2>\n");
    for (int i = 0; i < r->count; i++) {
        const tc_compress_record *run = &r->runs[i];
        if (r->count > 1) {
            tc_buf_printf(b, "<h3><span class=\"key c%d\"></span>", i % TC_REPORT_COLOURS + 1);
            tc_report_text(b, run->name);
            tc_buf_puts(b, "</h3>\n");
        }
        command(b, run);
        facts(b, run);
        recipe(b, run);
    }
    tc_buf_puts(b, "<p class=\"note\">This page: tinyclip " TC_VERSION
                   ". A click on a command selects it.</p>\n</section>\n");
}
