/* golden_train.c - whole training steps: losses, gradients, rates and parameters after each step;
 * learning-rate tables. */
#include "golden/golden_run.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- schedules */

static double or_zero(const json_t *o, const char *key) {
    double d = golden_number(o, key);
    return isnan(d) ? 0 : d;
}

static void check_table(const json_t *table, double relative) {
    static const char *const kinds[] = {"cosine_lr", "cosine_lr_start", "cosine_lr_start_nowarmup", "step_lr",
                                        "exponential_lr"};
    const char *kind = json_string_value(json_object_get(table, "schedule"));
    tc_schedule s = {.base = or_zero(table, "base_lr"),
                     .warmup = or_zero(table, "warmup_length"),
                     .steps = or_zero(table, "steps"),
                     .start = or_zero(table, "start_steps"),
                     .gamma = or_zero(table, "gamma"),
                     .w = or_zero(table, "w")};
    int k = 0;
    while (k < 5 && (!kind || strcmp(kind, kinds[k]) != 0)) k++;
    s.kind = (tc_schedule_kind)k;
    double worst = k < 5 ? 0 : INFINITY;
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(table, "table"), i, row) {
        const json_t *want = json_array_get(row, 1);
        double unchanged = 0.123, expected = json_is_null(want) ? unchanged : json_number_value(want);
        double got = tc_schedule_lr(&s, json_number_value(json_array_get(row, 0)), unchanged);
        double error = fabs(got - expected) / fmax(fabs(expected), s.base ? s.base : 1);
        if (!(error <= worst)) worst = error;
    }
    char name[128];
    snprintf(name, sizeof name, "train/lr_tables %s base %g warmup %g steps %g", kind ? kind : "?", s.base,
             s.warmup, s.steps);
    golden_report(worst <= relative, name, "relative error %.3g", worst);
}

/* ---- training steps */

tc_status golden_run_model(tc_model **out, const golden_run *r, const char *prefix, const char *config_key,
                           tc_error *err) {
    tc_config c;
    tc_status status = tc_config_parse(&c, json_object_get(r->json, config_key), config_key, err);
    if (status == TC_OK) status = tc_model_new_flat(out, &c, err);
    for (size_t i = 0; status == TC_OK && i < (*out)->params.count; i++) {
        const tc_param *p = &(*out)->params.items[i];
        char name[160];
        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const tc_tensor *t = tc_store_find(r->input, name);
        if (!t || tc_tensor_numel(t) != p->numel || !tc_tensor_read(t, 0, p->numel, (*out)->flat + p->offset))
            status = tc_fail(err, TC_EFORMAT, "%s is missing or has another shape", name);
    }
    if (status == TC_OK) (*out)->source = tc_strdup("golden");
    if (status == TC_OK) status = tc_model_finish(*out, err);
    return status;
}

static tc_status start(golden_run *r, tc_model **teacher, tc_error *err) {
    const json_t *h = json_object_get(r->json, "hyper");
    tc_hyper hyper = {.schedule = {TC_SCHEDULE_COSINE, golden_number(h, "lr"), golden_number(h, "warmup"),
                                   golden_number(h, "total_steps"), 0, 0, 0},
                      .weight_decay = golden_number(h, "wd"),
                      .beta1 = golden_number(h, "beta1"),
                      .beta2 = golden_number(h, "beta2"),
                      .eps = golden_number(h, "eps"),
                      .clip = golden_number(h, "clip"),
                      .alpha = golden_number(h, "alpha"),
                      .weight = golden_number(h, "weight"),
                      .logit_scale = or_zero(h, "logit_scale")};
    tc_model *student = NULL;
    tc_status status = golden_run_model(&student, r, "student.", "student_config", err);
    if (status == TC_OK)
        student->flat[student->params.items[student->params.count - 1].offset] =
            (tc_real)golden_number(r->json, "student_log_scale_init");
    if (status == TC_OK) status = golden_run_model(teacher, r, "teacher.", "teacher_config", err);
    if (status != TC_OK) {
        tc_model_close(&student);
        return status;
    }
    return tc_trainer_create(&r->trainer, &student, *teacher, &hyper, err);
}

/* [from,to) of a parameter whose gradient is mathematically zero. */
static bool zero_slice(const json_t *json, const char *key, int64_t *from, int64_t *to) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(json, "zero_gradient_slices"), i, item) {
        if (strcmp(json_string_value(json_array_get(item, 0)), key) != 0) continue;
        *from = (int64_t)json_integer_value(json_array_get(item, 1));
        *to = (int64_t)json_integer_value(json_array_get(item, 2));
        return true;
    }
    return false;
}

void golden_run_compare(const golden_run *r, const char *prefix, const tc_real *flat, const json_t *tolerance,
                        double slice_tolerance) {
    const tc_params *p = &r->trainer->student->params;
    const char *worst_name = "";
    double worst = 0;
    int compared = 0;
    for (size_t i = 0; i < p->count; i++) {
        char name[160];
        int64_t n, from = 0, to = 0;
        snprintf(name, sizeof name, "%s.%s", prefix, p->items[i].name);
        if (!tc_store_find(r->expected, name)) continue;
        tc_real *want = golden_tensor(r->expected, name, &n);
        if (!want) continue;
        const tc_real *got = flat + p->items[i].offset;
        zero_slice(r->json, p->items[i].name, &from, &to);
        /* Counters are exact. */
        double bound =
                   tc_param_is_counter(&p->items[i]) ? 1e-300 : golden_number(tolerance, p->items[i].name),
               part = golden_distance(got, want, from) / bound;
        double slice = golden_distance(got + from, want + from, to - from) / slice_tolerance,
               rest = golden_distance(got + to, want + to, n - to) / bound;
        double ratio = fmax(part, fmax(slice, rest));
        if (!(ratio <= worst)) worst = isnan(ratio) ? INFINITY : ratio, worst_name = p->items[i].name;
        compared++;
        free(want);
    }
    char title[160];
    snprintf(title, sizeof title, "%s %s (%d tensors)", r->title, prefix, compared);
    golden_report(compared > 0 && worst <= 1, title, "%s: %.3g times its tolerance", worst_name, worst);
}

static void compare_log(const golden_run *r, const tc_step_log *log, const json_t *want, int step) {
    const json_t *tolerance = json_object_get(r->json, "log_tolerance");
    const struct {
        const char *key;
        double got;
    } items[] = {{"loss", log->loss.loss},
                 {"grad_norm", log->grad_norm},
                 {"student_scale_used", log->scale_used},
                 {"logit_scale_before_clamp", log->log_scale_before_clamp},
                 {"logit_scale_after", log->log_scale_after},
                 {"soft_img2text", log->loss.soft_img2text},
                 {"soft_text2img", log->loss.soft_text2img},
                 {"hard", log->loss.hard}};
    double worst = fabs(log->lr / golden_number(want, "lr") - 1) / 1e-12;
    const char *worst_key = "lr";
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (!json_object_get(want, items[i].key)) continue;
        double ratio =
            fabs(items[i].got - golden_number(want, items[i].key)) / golden_number(tolerance, items[i].key);
        if (!(ratio <= worst)) worst = isnan(ratio) ? INFINITY : ratio, worst_key = items[i].key;
    }
    char title[160];
    snprintf(title, sizeof title, "%s log of step %d", r->title, step);
    golden_report(worst <= 1, title, "%s: %.3g times its tolerance", worst_key, worst);
}

/* The first gradients are stored for some runs only. */
static bool has_grad1(const tc_store *s) {
    for (size_t i = 0; i < tc_store_count(s); i++)
        if (tc_starts_with(tc_store_at(s, i)->name, "grad1.")) return true;
    return false;
}

tc_status golden_run_step(golden_run *r, int step, tc_step_log *log, tc_error *err) {
    const tc_tensor *pixels = tc_store_find(r->input, "pixels"), *ids = tc_store_find(r->input, "ids");
    if (!pixels || !ids || step >= pixels->shape[0] || step >= ids->shape[0])
        return tc_fail(err, TC_EFORMAT, "pixels or ids are missing");
    int64_t batch = pixels->shape[1], image = tc_tensor_numel(pixels) / pixels->shape[0],
            text = tc_tensor_numel(ids) / ids->shape[0];
    tc_real *values = tc_new((size_t)image, sizeof *values);
    float *px = tc_new((size_t)image, sizeof *px);
    int64_t *wide = tc_new((size_t)text, sizeof *wide);
    int32_t *id = tc_new((size_t)text, sizeof *id);
    tc_tensor_read(pixels, step * image, image, values);
    tc_tensor_read_i64(ids, step * text, text, wide);
    for (int64_t i = 0; i < image; i++) px[i] = (float)values[i];
    for (int64_t i = 0; i < text; i++) id[i] = (int32_t)wide[i];
    tc_status status = tc_trainer_step(r->trainer, px, id, (int)batch, (int)(text / batch), log, err);
    free(values);
    free(px);
    free(wide);
    free(id);
    return status;
}

static void one_step(golden_run *r, int step, tc_error *err) {
    tc_step_log log;
    char name[64];
    snprintf(name, sizeof name, "%s step %d", r->title, step);
    if (!golden_ok(golden_run_step(r, step, &log, err), err, name)) return;
    compare_log(r, &log, json_array_get(json_object_get(r->json, "log"), (size_t)step), step);
    if (step == 0 && has_grad1(r->expected))
        golden_run_compare(r, "grad1", r->trainer->grad, json_object_get(r->json, "grad1_tolerance"), 1e-5);
    snprintf(name, sizeof name, "step%d", step);
    const json_t *tolerance = json_object_get(json_object_get(r->json, "param_tolerance_after_step"), name);
    const json_t *slices =
        json_array_get(json_object_get(r->json, "zero_gradient_slice_tolerance_after_step"), (size_t)step);
    if (tolerance)
        golden_run_compare(r, name, r->trainer->student->flat, tolerance, json_number_value(slices));
}

static void check_decay(const golden_run *r) {
    static const char *const groups[] = {"image", "text", "joint"};
    const tc_params *p = &r->trainer->student->params;
    size_t wrong = 0, listed = 0, trained = 0;
    for (size_t i = 0; i < p->count; i++) trained += !tc_param_is(&p->items[i], TC_ROLE_STATE);
    for (int g = 0; g < 3; g++)
        for (int d = 0; d < 2; d++) {
            size_t i;
            const json_t *key;
            const json_t *group = json_object_get(json_object_get(r->json, "param_groups"), groups[g]);
            json_array_foreach(json_object_get(group, d ? "decay" : "no_decay"), i, key) {
                int at = tc_params_find(p, json_string_value(key));
                wrong += at < 0 || r->trainer->decay[at] != d || p->items[at].tower != g;
                listed++;
            }
        }
    char title[96];
    snprintf(title, sizeof title, "%s parameter groups", r->title);
    golden_report(wrong == 0 && listed == trained, title,
                  "%zu of %zu parameters in another group, %zu expected", wrong, trained, listed);
}

static void check_run(const char *dir, const json_t *json) {
    tc_error err;
    char file[160], title[128];
    const char *name = json_string_value(json_object_get(json, "name"));
    golden_run r = {.title = title, .json = json};
    tc_model *teacher = NULL;
    snprintf(title, sizeof title, "train/%s", name ? name : "?");
    snprintf(file, sizeof file, "%s_expected.safetensors", name ? name : "?");
    r.expected = golden_store(dir, file);
    r.input = golden_store(dir, json_string_value(json_object_get(json, "input_file")));
    if (r.expected && r.input && golden_ok(start(&r, &teacher, &err), &err, title)) {
        check_decay(&r);
        int steps = (int)golden_number(json, "steps");
        for (int step = 0; step < steps; step++) one_step(&r, step, &err);
        if (steps < 1) golden_report(false, title, "no steps");
    }
    tc_trainer_free(&r.trainer);
    tc_model_close(&teacher);
    tc_store_close(&r.input);
    tc_store_close(&r.expected);
}

void golden_train(const char *dir) {
    json_t *tables = golden_json(dir, "lr_tables.json");
    size_t i;
    const json_t *table;
    json_array_foreach(json_object_get(tables, "tables"), i, table)
        check_table(table, golden_number(tables, "tolerance_relative"));
    json_decref(tables);
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    for (int k = 0; k < n; k++) {
        if (tc_ends_with(names[k]->d_name, "_expected.json")) {
            json_t *json = golden_json(dir, names[k]->d_name);
            if (json) check_run(dir, json);
            json_decref(json);
        }
        free(names[k]);
    }
    if (n >= 0) free(names);
}
