/* train_auto.c - automatic inheritance within a training run: the options of the masks, the fold, and what is
 * told, logged and kept of both.
 *
 * The fold belongs to the step that it follows: whoever stops or is killed before the checkpoint of that step
 * makes the step and the fold again, with the same result. So no checkpoint has to say that a fold is due,
 * and each holds either masks or a folded student. */
#include "train/fit.h"
#include "train/settings.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plan */

static tc_status check_options(const tc_training *t, const tc_mask_options *m, tc_error *err) {
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {(m->keep != 0) + (m->params != 0) + (m->macs != 0) == 1,
         "one of keep, params and macs must be given"},
        {m->fold_step <= t->steps, "the masks must be folded after at least one step and at most all"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) return tc_fail(err, TC_EARG, "masks: %s", rules[i].what);
    return tc_settings_check(tc_mask_setting, m, "masks", err);
}

static double whole(const tc_training *t) { return tc_budget_of(t->budget, &t->o->init->info); }

tc_status tc_auto_plan(tc_training *t, tc_error *err) {
    if (!t->o->masks) return TC_OK;
    tc_mask_sites sites;
    tc_mask_options *m = &t->masks;
    *m = *t->o->masks;
    tc_status status = check_options(t, m, err);
    if (status != TC_OK) return status;
    if (m->fold_step == 0) m->fold_step = t->steps > 1 ? t->steps / 2 : 1;
    if (m->target_warmup < 0) m->target_warmup = floor((double)m->fold_step / 3);
    t->budget = tc_budget_kind_of(m);
    t->goal = tc_budget_goal(m, whole(t));
    status = tc_mask_sites_create(&sites, &t->o->init->params, err);
    if (status != TC_OK) return status;
    status = tc_budget_check(t->budget, t->o->init, &sites, t->goal, err);
    tc_mask_sites_free(&sites);
    return status == TC_OK ? TC_OK : tc_fail_in(err, status, "masks");
}

tc_mask_hyper tc_auto_hyper(const tc_training *t, const tc_hyper *h) {
    double sparsity = 1 - t->goal / whole(t);
    return (tc_mask_hyper){
        .lr = {.kind = TC_SCHEDULE_STEP, .base = t->masks.lr, .start = (double)t->masks.fold_step},
        .start = t->masks.start,
        .budget = t->budget,
        .target = {.end = {sparsity, sparsity}, .warmup = t->masks.target_warmup},
        .seed = t->o->seed,
        .folded = {.kind = TC_SCHEDULE_COSINE_START_NOWARMUP,
                   .base = h->schedule.base,
                   .start = (double)t->masks.fold_step,
                   .steps = h->schedule.steps}};
}

void tc_auto_settings(const tc_training *t, json_t *settings) {
    if (!t->o->masks) return;
    json_t *masks = json_object();
    tc_settings_note(tc_mask_setting, &t->masks, 0, false, masks);
    json_object_set_new(settings, "masks", masks);
}

/* ---- what is told and logged */

static double kept_part(const tc_training *t) {
    return (double)t->trainer->student->info.params_prunable / (double)t->o->init->info.params_prunable;
}

void tc_auto_tell(const tc_training *t) {
    const tc_gates *g = t->trainer->gates;
    if (!t->o->masks) return;
    if (g)
        tc_log_line(&t->log, 1,
                    "masks: %lld gates; of %.0f %s %.0f are to be left (%.1f %%); folded after step %lld",
                    (long long)g->sites.total, whole(t), tc_budget_name(t->budget), t->goal,
                    100 * t->goal / whole(t), (long long)t->masks.fold_step);
    else
        tc_log_line(&t->log, 1, "masks: folded after step %lld; %.1f %% of the prunable parameters are left",
                    (long long)t->masks.fold_step, 100 * kept_part(t));
}

void tc_auto_log(const tc_training *t, const tc_step_log *s, tc_step_line *line) {
    const tc_gates *g = t->trainer->gates;
    if (!g) return;
    line->masked = true;
    line->sparsity = s->sparsity.expected[0];
    line->target = s->sparsity.target[0];
    line->lagrangian = s->sparsity.loss[0];
    memcpy(line->lambda, g->value + g->sites.total, sizeof line->lambda);
}

/* ---- folding */

tc_status tc_auto_model(const tc_training *t, tc_model **out, tc_error *err) {
    const tc_gates *g = t->trainer->gates;
    *out = NULL;
    if (!g) return TC_OK;
    int *kept = tc_new(g->sites.count, sizeof *kept);
    tc_real *mask = tc_new((size_t)g->sites.total, sizeof *mask);
    tc_status status = kept && mask ? TC_OK : tc_fail_memory(err, (size_t)g->sites.total * sizeof *mask);
    if (status == TC_OK) {
        tc_gates_kept_least(g, 0, kept);
        status = tc_gates_mask(g, kept, mask, err);
    }
    if (status == TC_OK) status = tc_model_fold(out, t->trainer->student, &g->sites, mask, err);
    free(kept);
    free(mask);
    return status;
}

static tc_status fold(tc_training *t, tc_error *err) {
    tc_trainer *r = t->trainer;
    tc_model *small = NULL;
    tc_real *mask = tc_new((size_t)r->gates->sites.total, sizeof *mask);
    tc_status status = mask ? TC_OK : tc_fail_memory(err, (size_t)r->gates->sites.total * sizeof *mask);
    if (status == TC_OK) status = tc_gates_fit(r->gates, t->budget, r->student, t->goal, mask, err);
    if (status == TC_OK) status = tc_model_fold(&small, r->student, &r->gates->sites, mask, err);
    if (status == TC_OK) status = tc_trainer_become(r, &small, err);
    free(mask);
    return status;
}

tc_status tc_auto_fold(tc_training *t, bool *folded, tc_error *err) {
    *folded = false;
    if (!t->trainer->gates || t->trainer->step < t->masks.fold_step) return TC_OK;
    tc_status status = fold(t, err);
    if (status != TC_OK) return status;
    *folded = true;
    const tc_model_info *i = &t->trainer->student->info;
    tc_log_line(&t->log, 1,
                "step %lld: masks folded; %lld parameters are left (%lld without the token table), %.1f %% "
                "of the prunable ones",
                (long long)t->trainer->step, (long long)i->params, (long long)i->params_without_tokens,
                100 * kept_part(t));
    return tc_log_file_fold(&t->file, t->trainer->step, kept_part(t), i, err);
}

/* ---- the card */

void tc_auto_card(const tc_training *t, json_t *card) {
    const tc_config *c = &t->trainer->student->config;
    if (!t->o->masks || !t->trainer->folded) return;
    json_object_set_new(card, "masks",
                        json_pack("{s:I, s:f, s:I, s:I, s:o, s:o}", "fold_step",
                                  (json_int_t)t->masks.fold_step, "kept", kept_part(t), "prunable_before",
                                  (json_int_t)t->o->init->info.params_prunable, "prunable_after",
                                  (json_int_t)t->trainer->student->info.params_prunable, "vision",
                                  tc_tower_json(&c->vision), "text", tc_tower_json(&c->text)));
}
