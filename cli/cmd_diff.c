/* cmd_diff.c - in what two models differ. Exit codes as those of diff(1): 0 the same, 1 different, 2 it could
 * not be told. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct diff {
    cli_common common;
    double tolerance;
    bool all;
} diff;

enum { DIFF_SAME = 0, DIFF_DIFFERENT = 1, DIFF_TROUBLE = 2, ROWS = 20 };

static const diff defaults = {0};
static const cli_option options[] = {
    {"--tolerance", "X", CLI_REAL, offsetof(diff, tolerance),
     "tensors whose values differ by no more than this are the same", 0, 1e30, NULL},
    {"--all", NULL, CLI_FLAG, offsetof(diff, all),
     "print every tensor, equal ones too, not only the 20 that differ most", 0, 0, NULL},
    {NULL, NULL, CLI_FLAG, 0, NULL, 0, 0, NULL}};

static const char *const kinds[] = {"only in A", "only in B", "shape", "values", "same"};
static const char *const json_kinds[] = {"only_a", "only_b", "shape", "values", "same"};

static json_t *shape_or_null(int ndim, const int64_t *shape) {
    if (ndim < 0) return json_null();
    json_t *axes = json_array();
    for (int k = 0; k < ndim; k++) json_array_append_new(axes, json_integer((json_int_t)shape[k]));
    return axes;
}

static int print_json(const tc_diff *d, size_t rows) {
    json_t *all = json_object(), *settings = json_array(), *tensors = json_array();
    for (size_t i = 0; i < d->setting_count; i++) {
        const tc_diff_setting *s = &d->settings[i];
        json_array_append_new(settings,
                              json_pack("{s:s, s:s, s:s}", "setting", s->what, "a", s->a, "b", s->b));
    }
    for (size_t i = 0; i < rows; i++) {
        const tc_diff_tensor *t = &d->tensors[i];
        json_t *o = json_object();
        json_object_set_new(o, "name", cli_json_text(t->name));
        json_object_set_new(o, "kind", json_string(json_kinds[t->kind]));
        json_object_set_new(o, "shape_a", shape_or_null(t->ndim_a, t->shape_a));
        json_object_set_new(o, "shape_b", shape_or_null(t->ndim_b, t->shape_b));
        json_object_set_new(o, "max_difference", cli_json_real(t->max_abs));
        json_object_set_new(o, "relative_l2", cli_json_real(t->relative_l2));
        json_object_set_new(o, "cosine", cli_json_real(t->cosine));
        json_array_append_new(tensors, o);
    }
    json_object_set_new(all, "equal", json_boolean(d->equal));
    json_object_set_new(all, "tensors_compared", json_integer((json_int_t)d->tensor_count));
    json_object_set_new(all, "tensors_different", json_integer((json_int_t)d->different));
    json_object_set_new(all, "settings", settings);
    json_object_set_new(all, "tensors", tensors);
    return cli_print_json(all);
}

static void print_tensor(const tc_diff_tensor *t) {
    char a[64], b[64];
    if (t->ndim_a >= 0) cli_shape(t->ndim_a, t->shape_a, a, sizeof a);
    if (t->ndim_b >= 0) cli_shape(t->ndim_b, t->shape_b, b, sizeof b);
    printf("%-48s %-9s ", t->name, kinds[t->kind]);
    if (t->kind == TC_DIFF_VALUES || t->kind == TC_DIFF_NONE)
        printf("%11.4g %11.4g %10.7f\n", t->max_abs, t->relative_l2, t->cosine);
    else if (t->kind == TC_DIFF_SHAPE) printf("%s and %s\n", a, b);
    else printf("%s\n", t->kind == TC_DIFF_ONLY_A ? a : b);
}

static void print_table(const tc_diff *d, size_t rows) {
    for (size_t i = 0; i < d->setting_count; i++)
        printf("%s: %s and %s\n", d->settings[i].what, d->settings[i].a, d->settings[i].b);
    if (d->setting_count && rows) printf("\n");
    if (rows) printf("%-48s %-9s %11s %11s %10s\n", "tensor", "", "max |a-b|", "relative L2", "cosine");
    for (size_t i = 0; i < rows; i++) print_tensor(&d->tensors[i]);
    if (rows < d->different) printf("... and %zu more; --all prints them\n", d->different - rows);
    if (d->equal) printf("the same: %zu tensors and all settings\n", d->tensor_count);
    else
        printf("%zu of %zu tensors and %zu settings differ\n", d->different, d->tensor_count,
               d->setting_count);
}

static int compare(const diff *o, const char *const path[2]) {
    tc_error err = {0};
    cli_model m[2] = {{0}, {0}};
    tc_diff *d = NULL;
    tc_status status = cli_model_open(&m[0], path[0], &o->common, 0, &err);
    if (status == TC_OK) status = cli_model_open(&m[1], path[1], &o->common, 0, &err);
    if (status == TC_OK) status = tc_model_diff(&d, m[0].model, m[1].model, o->tolerance, &err);
    int code = status == TC_OK ? DIFF_SAME : DIFF_TROUBLE;
    if (status != TC_OK) cli_failed(&err);
    if (d) {
        size_t rows = d->different < ROWS ? d->different : ROWS;
        if (o->all) rows = d->tensor_count;
        if (!o->common.json) print_table(d, rows);
        else if (print_json(d, rows) != CLI_DONE) code = DIFF_TROUBLE;
        if (code == DIFF_SAME && !d->equal) code = DIFF_DIFFERENT;
    }
    tc_diff_free(&d);
    cli_model_close(&m[0]);
    cli_model_close(&m[1]);
    return code;
}

static int run(const cli_verb *verb, int argc, char **argv) {
    diff o = defaults;
    cli_list args = {0};
    int code;
    if (!cli_parse(verb, argc, argv, &o, &args, &code)) return code;
    code = compare(&o, (const char *const[2]){args.items[0], args.items[1]});
    cli_release(verb, &o, &args);
    return code;
}

const cli_verb cmd_diff = {.name = "diff",
                           .summary = "tell in what two models differ",
                           .usage = "A B [--tolerance X] [--all] [--json]",
                           .description =
                               "Settings (architecture, activation, end of text, preprocessing, tokenizer) "
                               "and tensors of two models, whatever layouts their files "
                               "have: tensors of one model only, of other shapes, and of other values, with "
                               "the largest absolute difference, the length of the "
                               "difference relative to the longer of the two, and the cosine between them; "
                               "the largest difference comes first. Card, layout and "
                               "dtype of the files are not compared.\n"
                               "Exit codes are those of diff: 0 the models are the same (within "
                               "--tolerance), 1 they differ, 2 they could not be compared, or wrong "
                               "usage.",
                           .examples = "tinyclip diff model model.safetensors\ntinyclip diff teacher student "
                                       "--all\ntinyclip diff run1/model run2/model --tolerance 1e-6 --json",
                           .options = options,
                           .common = CLI_WITH_JSON | CLI_WITH_MODEL,
                           .defaults = &defaults,
                           .least_args = 2,
                           .most_args = 2,
                           .run = run};
