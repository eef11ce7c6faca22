/* compression.c - what the stages of a compression are: the models that they start from and leave, their
 * steps and their training. All mistakes that can be known beforehand are found here, before anything is
 * computed.
 *
 * What an automatic stage leaves is decided by its masks. Here a model stands for it whose blocks all keep
 * the same part of their heads and channels; only if the goal lies below what is left with one of each, the
 * widths shrink too. One number s tells how much is kept: from 2, everything, to 1, one head and one channel
 * in each block, to 0, a width of one too. Counts fall with s, so the largest s that meets the goal is found
 * by bisection. */
#include "train/compress.h"
#include "train/fit.h"
#include "train/settings.h"
#include "train/teacher_cache.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An estimate of what masks leave may be off by this much before a stage after it is told to grow. */
static const double SLACK = 1.1;
enum { BISECTIONS = 24 };

/* ---- counting */

/* The counts of a configuration; what would point into a model is left out. */
static tc_status count(const tc_config *c, tc_model_info *out, tc_error *err) {
    tc_model *m = NULL;
    tc_status status = tc_model_new(&m, c, err);
    if (status == TC_OK) status = tc_model_count(m, err);
    if (status == TC_OK) {
        const tc_model_info *i = &m->info;
        *out = (tc_model_info){.params = i->params,
                               .params_without_tokens = i->params_without_tokens,
                               .params_prunable = i->params_prunable,
                               .macs_image = i->macs_image,
                               .macs_text = i->macs_text,
                               .macs_image_used = i->macs_image_used,
                               .macs_text_used = i->macs_text_used};
    }
    tc_model_close(&m);
    return status;
}

double tc_macs_used(const tc_model_info *i) { return i->macs_image_used + i->macs_text_used; }

/* A part of n members, but at least one. */
static int part_of(int n, double part) {
    int kept = (int)lround(n * part);
    return kept < 1 ? 1 : kept;
}

static tc_status shrink(const tc_config *c, double s, tc_config *out, tc_error *err) {
    tc_mask_sites sites = {0};
    tc_params params = {0};
    tc_status status = tc_net_params(&params, c, err);
    if (status == TC_OK) status = tc_mask_sites_create(&sites, &params, err);
    int *kept = tc_new(sites.count + 1, sizeof *kept);
    if (status == TC_OK && !kept) status = tc_fail_memory(err, sites.count * sizeof *kept);
    for (size_t i = 0; i < sites.count && status == TC_OK; i++) {
        const tc_mask_site *site = &sites.items[i];
        kept[i] = site->group == TC_GROUP_WIDTH ? part_of(site->size, fmin(s, 1))
                                                : part_of(site->size, fmax(s - 1, 0));
    }
    if (status == TC_OK) status = tc_config_fold(out, c, &sites, kept, err);
    free(kept);
    tc_mask_sites_free(&sites);
    tc_params_free(&params);
    return status;
}

/* ---- a stage's goal */

static const char *const goal_keys[] = {
    [TC_BUDGET_KEEP] = "keep", [TC_BUDGET_PARAMS] = "params", [TC_BUDGET_MACS] = "macs"};

static tc_status refuse(const tc_compression *c, int k, const char *key, tc_error *err, const char *format,
                        ...) __attribute__((format(printf, 5, 6)));
static tc_status refuse(const tc_compression *c, int k, const char *key, tc_error *err, const char *format,
                        ...) {
    char what[800];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tc_fail(err, TC_EARG, "%s: stages[%d].%s: %s", c->recipe->path, k, key, what);
}

/* Whether the goal can be one: what the stage starts with is more, what cannot be taken away is less. */
static tc_status check_goal(const tc_compression *c, int k, double goal, double least, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    tc_budget_kind kind = tc_budget_kind_of(&s->masks);
    double start = tc_budget_of(kind, &c->legs[k].start_info);
    bool estimated = k > 0 && s[-1].automatic;
    bool compared = estimated && tc_budget_kind_of(&s[-1].masks) == kind;
    if (!compared && goal > start * (estimated ? SLACK : 1 + 1e-9))
        return refuse(c, k, goal_keys[kind], err,
                      "the goal is %.15g %s, but the stage starts with %s%.15g; stages must not grow", goal,
                      tc_budget_name(kind), estimated ? "about " : "only ", start);
    if (goal < least)
        return refuse(c, k, goal_keys[kind], err,
                      "the goal of %.15g %s is impossible: one head and one channel in each block and a "
                      "width of 1 already have %.15g",
                      goal, tc_budget_name(kind), least);
    return TC_OK;
}

static tc_status plan_automatic(tc_compression *c, int k, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    tc_leg *leg = &c->legs[k];
    tc_budget_kind kind = tc_budget_kind_of(&s->masks);
    double goal = tc_budget_goal(&s->masks, (double)c->teacher.params_prunable);
    double low = 0, high = 2;
    tc_config *trial = tc_new(1, sizeof *trial);
    tc_model_info info = {0};
    if (!trial) return tc_fail_memory(err, sizeof *trial);
    tc_status status = shrink(&leg->start, low, trial, err);
    if (status == TC_OK) status = count(trial, &info, err);
    if (status == TC_OK) status = check_goal(c, k, goal, tc_budget_of(kind, &info), err);
    leg->result = *trial;
    leg->result_info = info;
    if (status == TC_OK && goal >= tc_budget_of(kind, &leg->start_info)) {
        leg->result = leg->start;
        leg->result_info = leg->start_info;
        low = high;
    }
    for (int i = 0; i < BISECTIONS && status == TC_OK && low < high; i++) {
        double middle = (low + high) / 2;
        status = shrink(&leg->start, middle, trial, err);
        if (status == TC_OK) status = count(trial, &info, err);
        bool met = status == TC_OK && tc_budget_of(kind, &info) <= goal;
        if (met) {
            leg->result = *trial;
            leg->result_info = info;
        }
        *(met ? &low : &high) = middle;
    }
    free(trial);
    return status;
}

static tc_status plan_manual(tc_compression *c, int k, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    tc_leg *leg = &c->legs[k];
    tc_error why = {0};
    /* After an automatic stage only what it starts from is known for certain. */
    const tc_config *above = k > 0 && s[-1].automatic ? &c->legs[k - 1].start : &leg->start;
    double before = (double)leg->start_info.params_prunable;
    tc_status status = tc_inherit_check(above, &s->config, &why);
    if (status == TC_EARG) return refuse(c, k, "student", err, "%s; stages must not grow", why.message);
    if (status != TC_OK) return tc_fail(err, status, "%s", why.message);
    leg->start = leg->result = s->config;
    status = count(&leg->result, &leg->result_info, err);
    leg->start_info = leg->result_info;
    if (status == TC_OK && k > 0 && s[-1].automatic &&
        (double)leg->result_info.params_prunable > before * SLACK)
        return refuse(c, k, "student", err,
                      "it has %lld parameters in attention and FFN, but the stage before leaves about %.15g; "
                      "stages must not grow",
                      (long long)leg->result_info.params_prunable, before);
    return status;
}

/* ---- settings of a stage */

tc_train_options tc_compression_train(const tc_compression *c, int k, const tc_model_info *start,
                                      tc_mask_options *masks) {
    const tc_compress_options *o = c->o;
    const tc_stage *s = &c->recipe->stages[k];
    tc_train_options t = s->train;
    t.teacher = o->teacher;
    t.data = o->data;
    /* On the way only: at its end each stage is measured for the record. */
    t.eval_data =
        o->eval_every > 0 && o->eval_data && tc_data_classes(o->eval_data) > 0 ? o->eval_data : NULL;
    t.tokenizer = o->tokenizer;
    t.preprocess = o->preprocess;
    t.steps = c->legs[k].steps;
    t.teacher_cache = c->cache;
    t.seed = o->seed;
    t.workers = o->workers;
    t.eval_every = o->eval_every;
    t.eval_limit = o->eval_limit;
    t.stop = o->stop;
    if (!s->automatic) return t;
    /* What the stage starts from may lie a little below the goal of the stage before, and so below this
     * one's. */
    *masks = s->masks;
    if (masks->keep > 0)
        masks->keep = fmin(1, masks->keep * (double)c->teacher.params_prunable /
                                  (double)(start->params_prunable + 1e-9));
    if (masks->params > start->params_without_tokens) masks->params = start->params_without_tokens;
    masks->macs = fmin(masks->macs, start->macs_image + start->macs_text);
    t.masks = masks;
    return t;
}

static tc_status check_stage(const tc_compression *c, int k, tc_error *err) {
    int context = c->legs[k].start.context_length, first = c->legs[0].start.context_length;
    if (c->cache && context != first)
        return refuse(
            c, k, "student", err,
            "its context_length is %d, that of stages[0] %d; with a teacher cache they must be the same",
            context, first);
    tc_model *start = NULL;
    tc_mask_options masks;
    tc_status status = tc_model_new(&start, &c->legs[k].start, err);
    if (status == TC_OK) status = tc_model_count(start, err);
    if (status == TC_OK) {
        tc_train_options t = tc_compression_train(c, k, &start->info, &masks);
        t.init = start;
        t.out = c->o->out;
        status = tc_train_check(&t, err);
    }
    tc_model_close(&start);
    return status == TC_OK ? TC_OK : tc_fail_in(err, status, "%s: stages[%d]", c->recipe->path, k);
}

static tc_status plan_steps(tc_compression *c, int k, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    int64_t samples = tc_data_count(c->o->data);
    tc_leg *leg = &c->legs[k];
    leg->steps =
        s->train.steps > 0 ? s->train.steps : tc_train_steps(s->train.epochs, samples, s->train.batch);
    if (s->automatic && s->masks.fold_step >= leg->steps)
        return refuse(c, k, "fold_step", err,
                      "%lld is not before the end of the stage's %lld steps (%.15g epochs of %lld samples)",
                      (long long)s->masks.fold_step, (long long)leg->steps, s->train.epochs,
                      (long long)samples);
    return TC_OK;
}

static tc_status plan_stage(tc_compression *c, int k, tc_error *err) {
    const tc_stage *s = &c->recipe->stages[k];
    tc_leg *leg = &c->legs[k];
    leg->start = k > 0 ? c->legs[k - 1].result : c->o->teacher->config;
    leg->start_info = k > 0 ? c->legs[k - 1].result_info : c->teacher;
    tc_status status = plan_steps(c, k, err);
    if (status == TC_OK) status = s->automatic ? plan_automatic(c, k, err) : plan_manual(c, k, err);
    if (status == TC_OK) status = check_stage(c, k, err);
    if (status != TC_OK) return status;
    /* Backwards costs twice what forwards does. */
    double masked = s->automatic ? (double)s->masks.fold_step / (double)leg->steps : 0;
    double student = masked * tc_macs_used(&leg->start_info) + (1 - masked) * tc_macs_used(&leg->result_info);
    leg->cost = (double)s->train.batch * ((c->cache ? 0 : tc_macs_used(&c->teacher)) + 3 * student);
    return TC_OK;
}

static tc_status check_inputs(const tc_compress_options *o, tc_error *err) {
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {o->out && o->out[0], "an output folder is needed"},
        {o->recipe != NULL, "a recipe is needed"},
        {o->teacher != NULL, "a teacher is needed"},
        {o->data != NULL, "data is needed"},
        {o->tokenizer != NULL, "a tokenizer is needed"},
        {!o->teacher_cache || o->teacher_cache[0], "a cache of the teacher's features needs a folder"},
        {(o->keep != 0) + (o->params != 0) + (o->macs != 0) <= 1, "give one of keep, params and macs"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) return tc_fail(err, TC_EARG, "compression: %s", rules[i].what);
    tc_status status = tc_settings_check(tc_compress_setting, o, "compression", err);
    if (status != TC_OK) return status;
    if (tc_data_count(o->data) < 1) return tc_fail(err, TC_EARG, "compression: the data has no samples");
    return TC_OK;
}

/* A cache that is there already must be this teacher's: opening it compares all that its features depend on.
 */
static tc_status check_cache(const tc_compression *c, tc_error *err) {
    const tc_compress_options *o = c->o;
    const tc_train_options *h = &c->recipe->stages[0].train;
    tc_teacher_key key;
    tc_teacher_cache *cache = NULL;
    tc_teacher_use use = {.teacher = o->teacher,
                          .data = o->data,
                          .tokenizer = o->tokenizer,
                          .preprocess = &o->preprocess,
                          .context = c->legs[0].start.context_length,
                          .crop_scale_min = h->crop_scale_min,
                          .flip = h->flip,
                          .seed = o->seed,
                          .augmentations = c->recipe->cache_augmentations};
    char *path = tc_path_join(c->cache, "teacher.cache");
    tc_status status = path ? TC_OK : tc_fail_memory(err, 1);
    if (status == TC_OK && tc_path_exists(path)) {
        status = tc_model_hash(o->teacher, &use.weights, err);
        if (status == TC_OK) status = tc_teacher_key_make(&key, &use, err);
        if (status == TC_OK) status = tc_teacher_cache_open(&cache, c->cache, &key, err);
        tc_teacher_cache_close(&cache);
    }
    free(path);
    return status;
}

tc_status tc_compression_prepare(tc_compression *c, const tc_compress_options *o, tc_error *err) {
    *c = (tc_compression){.o = o, .log = {o->log, o->log_user}, .lock = -1, .current = -1};
    tc_status status = tc_check_reserved(o->reserved, sizeof o->reserved, "tc_compress_options", err);
    if (status == TC_OK) status = check_inputs(o, err);
    if (status == TC_OK) status = tc_recipe_open(&c->recipe, o->recipe, err);
    if (status == TC_OK && (o->keep != 0 || o->params != 0 || o->macs != 0))
        status = tc_recipe_set_goal(c->recipe, o->keep, o->params, o->macs, err);
    if (status != TC_OK) return status;
    tc_recipe_resolve(c->recipe, o->teacher->config.vision.family);
    if (o->teacher_cache && !c->recipe->cache_augmentations)
        return tc_fail(err, TC_EARG, "%s: cache_augmentations: it must be set for a teacher cache to be used",
                       c->recipe->path);
    if (c->recipe->cache_augmentations &&
        !(c->cache = o->teacher_cache ? tc_strdup(o->teacher_cache) : tc_path_join(o->out, "teacher-cache")))
        return tc_fail_memory(err, 1);
    status = count(&o->teacher->config, &c->teacher, err);
    for (int k = 0; k < c->recipe->count && status == TC_OK; k++) status = plan_stage(c, k, err);
    return status == TC_OK && c->cache ? check_cache(c, err) : status;
}

void tc_compression_release(tc_compression *c) {
    tc_recipe_free(&c->recipe);
    json_decref(c->record);
    free(c->record_path);
    free(c->cache);
    if (c->lock >= 0) close(c->lock);
    c->lock = -1;
}
