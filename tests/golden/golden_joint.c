/* golden_joint.c - training of weights and masks together: losses, gradients, gates, multipliers and weights
 * after each step, with one Lagrangian for both towers and with one for each. */
#include "golden/golden_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const towers[] = {"image", "text"};

/* The name under which the gates of a site are stored, without "_loga". */
static const char *type_of(const tc_mask_site *s) {
    return s->group == TC_GROUP_WIDTH ? "hidden" : s->group == TC_GROUP_HEADS ? "heads" : "intermediate";
}

/* Reads PREFIX + tower + "." + type + SUFFIX of every site, of heads and FFN channels the row of the block ->
 * out [sites.total]. */
static bool read_sites(const tc_store *s, const tc_mask_sites *sites, const char *prefix, const char *suffix,
                       double *out) {
    bool ok = true;
    for (size_t i = 0; i < sites->count && ok; i++) {
        const tc_mask_site *site = &sites->items[i];
        char name[160];
        int64_t n, from = site->group == TC_GROUP_WIDTH ? 0 : (int64_t)site->layer * site->size;
        snprintf(name, sizeof name, "%s%s.%s%s", prefix, towers[site->tower == TC_TOWER_TEXT], type_of(site),
                 suffix);
        tc_real *values = golden_tensor(s, name, &n);
        ok = values && from + site->size <= n;
        for (int k = 0; k < site->size && ok; k++) out[site->offset + k] = (double)values[from + k];
        free(values);
    }
    return ok;
}

static bool read_lambda(const tc_store *s, const char *prefix, double *lambda) {
    bool ok = true;
    for (int i = 0; i < TC_GATES_LAMBDA && ok; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s.lambda_%d", prefix, towers[i / 2], 1 + i % 2);
        tc_real *value = golden_tensor(s, name, NULL);
        ok = value != NULL;
        if (ok) lambda[i] = (double)*value;
        free(value);
    }
    return ok;
}

static tc_mask_hyper mask_hyper(const json_t *h, bool per_tower) {
    double start = golden_number(h, "start_sparsity"), end = golden_number(h, "target_sparsity");
    return (tc_mask_hyper){
        .lr = {.kind = TC_SCHEDULE_STEP,
               .base = -golden_number(h, "l0lr"),
               .start = golden_number(h, "prune_step")},
        .start = 10,
        .budget = TC_BUDGET_KEEP,
        .target = {{start, start}, {end, end}, golden_number(h, "sparsity_warmup"), per_tower}};
}

static tc_status start(golden_run *r, tc_model **teacher, bool per_tower, tc_error *err) {
    const json_t *h = json_object_get(r->json, "hyper");
    tc_mask_hyper masks = mask_hyper(h, per_tower);
    tc_hyper hyper = {.schedule = {TC_SCHEDULE_COSINE, golden_number(h, "lr"), golden_number(h, "prune_step"),
                                   golden_number(h, "total_steps"), 0, 0, 0},
                      .weight_decay = golden_number(h, "wd"),
                      .beta1 = golden_number(h, "beta1"),
                      .beta2 = golden_number(h, "beta2"),
                      .eps = golden_number(h, "eps"),
                      .clip = golden_number(h, "clip"),
                      .alpha = 1,
                      .weight = 1,
                      .logit_scale = golden_number(h, "logit_scale"),
                      .masks = &masks};
    tc_model *student = NULL;
    tc_status status = golden_run_model(&student, r, "student.", "student_config", err);
    if (status == TC_OK) status = golden_run_model(teacher, r, "teacher.", "teacher_config", err);
    if (status != TC_OK) {
        tc_model_close(&student);
        return status;
    }
    status = tc_trainer_create(&r->trainer, &student, *teacher, &hyper, err);
    if (status != TC_OK) return status;
    tc_gates *g = r->trainer->gates;
    if (!read_sites(r->input, &g->sites, "student.l0.", "_loga", g->value) ||
        !read_lambda(r->input, "student.l0.", g->value + g->sites.total))
        return tc_fail(err, TC_EFORMAT, "gates are missing in the input");
    return TC_OK;
}

/* Gates and multipliers (or their gradients) against what is stored under PREFIX, each type by its tolerance.
 */
static void compare_gates(const golden_run *r, const char *prefix, const double *got,
                          const json_t *tolerance) {
    const tc_mask_sites *sites = &r->trainer->gates->sites;
    double *want = tc_new((size_t)r->trainer->gates->count, sizeof *want), worst = 0,
           *lambda = want + sites->total;
    char name[160], key[64], worst_key[64] = "";
    snprintf(name, sizeof name, "%s.l0.", prefix);
    bool ok = read_sites(r->expected, sites, name, "_loga", want) && read_lambda(r->expected, name, lambda);
    for (size_t i = 0; i < sites->count + TC_GATES_LAMBDA && ok; i++) {
        bool gate = i < sites->count;
        int number = gate ? 0 : (int)(i - sites->count);
        int64_t at = gate ? sites->items[i].offset : sites->total + number,
                n = gate ? sites->items[i].size : 1;
        if (gate)
            snprintf(key, sizeof key, "l0.%s.%s_loga", towers[sites->items[i].tower == TC_TOWER_TEXT],
                     type_of(&sites->items[i]));
        else snprintf(key, sizeof key, "l0.%s.lambda_%d", towers[number / 2], 1 + number % 2);
        for (int64_t k = 0; k < n; k++) {
            double ratio = fabs(got[at + k] - want[at + k]) / golden_number(tolerance, key);
            if (ratio <= worst) continue;
            worst = isnan(ratio) ? INFINITY : ratio;
            snprintf(worst_key, sizeof worst_key, "%s", key);
        }
    }
    snprintf(name, sizeof name, "%s gates of %s", r->title, prefix);
    golden_report(ok && worst <= 1, name, "%s: %.3g times its tolerance", worst_key, worst);
    free(want);
}

/* Keys of the log that both runs have, and those of one Lagrangian or of two. */
static void compare_log(const golden_run *r, const tc_step_log *log, const json_t *run, int step,
                        bool per_tower) {
    const json_t *want = json_array_get(json_object_get(run, "log"), (size_t)step),
                 *tolerance = json_object_get(run, "log_tolerance");
    const double *lambda = r->trainer->gates->value + r->trainer->gates->sites.total;
    double total = log->loss.loss + log->sparsity.loss[0] + log->sparsity.loss[1], worst = 0;
    char name[160], worst_key[64] = "?";
    struct {
        char key[64];
        double got;
    } items[16] = {{"lr", log->lr},       {"lr_loga", log->lr_gates},    {"lr_lambda", -log->lr_gates},
                   {"total_loss", total}, {"grad_norm", log->grad_norm}, {"soft_loss", log->loss.loss}};
    size_t count = 6;
    for (int i = 0; i < (per_tower ? 2 : 1); i++) {
        const struct {
            const char *key;
            double got;
        } own[] = {{"lagrangian", log->sparsity.loss[i]},
                   {"expected_sparsity", log->sparsity.expected[i]},
                   {"target_sparsity", log->sparsity.target[i]}};
        for (size_t k = 0; k < 3; k++, count++) {
            snprintf(items[count].key, sizeof items[count].key, "%s%s%s", own[k].key, per_tower ? "_" : "",
                     per_tower ? towers[i] : "");
            items[count].got = own[k].got;
        }
    }
    for (size_t i = 0; i < count; i++) {
        double ratio =
            fabs(items[i].got - golden_number(want, items[i].key)) / golden_number(tolerance, items[i].key);
        if (ratio <= worst) continue;
        worst = isnan(ratio) ? INFINITY : ratio;
        snprintf(worst_key, sizeof worst_key, "%.60s", items[i].key);
    }
    for (int i = 0; i < TC_GATES_LAMBDA; i++) {
        snprintf(name, sizeof name, "lambda_%s", towers[i / 2]);
        double ratio = fabs(lambda[i] -
                            json_number_value(json_array_get(json_object_get(want, name), (size_t)(i % 2)))) /
                       5e-5;
        if (ratio <= worst) continue;
        worst = isnan(ratio) ? INFINITY : ratio;
        snprintf(worst_key, sizeof worst_key, "%.40s", name);
    }
    snprintf(name, sizeof name, "%s log of step %d", r->title, step);
    golden_report(worst <= 1, name, "%s: %.3g times its tolerance", worst_key, worst);
}

static void one_step(golden_run *r, const char *run_name, const json_t *run, int step, bool per_tower,
                     tc_error *err) {
    char prefix[96], key[32];
    tc_step_log log;
    tc_gates *g = r->trainer->gates;
    double *u = tc_new((size_t)g->sites.total, sizeof *u);
    snprintf(prefix, sizeof prefix, "u.step%d.", step);
    if (!read_sites(r->input, &g->sites, prefix, "", u)) {
        free(u);
        return;
    }
    r->trainer->uniforms = u;
    bool ok = golden_ok(golden_run_step(r, step, &log, err), err, r->title);
    r->trainer->uniforms = NULL;
    free(u);
    if (!ok) return;
    compare_log(r, &log, run, step, per_tower);
    const json_t *grad1 = json_object_get(run, "grad1_tolerance");
    if (step == 0 && json_is_object(grad1)) {
        snprintf(prefix, sizeof prefix, "%.32s.grad1", run_name);
        golden_run_compare(r, prefix, r->trainer->grad, grad1, 1e-5);
        compare_gates(r, prefix, g->grad, grad1);
    }
    snprintf(key, sizeof key, "step%d", step);
    snprintf(prefix, sizeof prefix, "%.32s.%s", run_name, key);
    const json_t *tolerance = json_object_get(json_object_get(run, "param_tolerance_after_step"), key);
    const json_t *slices =
        json_array_get(json_object_get(r->json, "zero_gradient_slice_tolerance_after_step"), (size_t)step);
    if (json_object_get(tolerance, "visual.proj"))
        golden_run_compare(r, prefix, r->trainer->student->flat, tolerance, json_number_value(slices));
    if (json_object_get(tolerance, "l0.image.lambda_1")) compare_gates(r, prefix, g->value, tolerance);
}

/* Counts, weight decay and constants of the groups of optimizers. */
static void check_groups(const golden_run *r, const json_t *run) {
    const json_t *all = json_object_get(run, "optimizer_groups_count_lr_wd_betas_eps");
    const tc_params *p = &r->trainer->student->params;
    bool same = json_array_size(all) == 4;
    for (size_t o = 0; o < 3 && same; o++)
        for (size_t d = 0; d < 2; d++) {
            const json_t *group = json_array_get(json_array_get(all, o), d);
            json_int_t n = 0;
            for (size_t i = 0; i < p->count; i++)
                n += p->items[i].tower == (int)o && r->trainer->decay[i] == (d == 1);
            same = same && n == json_integer_value(json_array_get(group, 0));
            if (n > 0)
                same = same && json_number_value(json_array_get(group, 2)) ==
                                   (d ? r->trainer->hyper.weight_decay : 0);
        }
    char title[160];
    snprintf(title, sizeof title, "%s groups of the optimizers", r->title);
    golden_report(same, title, "other counts or decays");
}

static void check_run(const char *dir, const json_t *joint, const char *name, const json_t *run) {
    tc_error err;
    char title[96];
    bool per_tower = strcmp(name, "per_tower") == 0;
    golden_run r = {.title = title, .json = joint};
    tc_model *teacher = NULL;
    snprintf(title, sizeof title, "l0/joint %.64s", name);
    r.input = golden_store(dir, "joint_input.safetensors");
    r.expected = golden_store(dir, "joint_expected.safetensors");
    if (r.input && r.expected && golden_ok(start(&r, &teacher, per_tower, &err), &err, title)) {
        int steps = (int)json_array_size(json_object_get(run, "log"));
        for (int step = 0; step < steps; step++) one_step(&r, name, run, step, per_tower, &err);
        if (steps < 1) golden_report(false, title, "no steps");
        check_groups(&r, run);
    }
    tc_trainer_free(&r.trainer);
    tc_model_close(&teacher);
    tc_store_close(&r.input);
    tc_store_close(&r.expected);
}

void golden_joint(const char *dir, const json_t *joint) {
    const char *name;
    json_t *run;
    json_object_foreach(json_object_get(joint, "runs"), name, run) check_run(dir, joint, name, run);
}
