/* fit.c - a deterministic mask that meets its budget. Training drives the expected count to the target, but
 * only nearly, and the members of a mask are counted in whole numbers, site by site. What is measured here is
 * the configuration that the fold would give, not an expectation. */
#include "train/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- measuring */

tc_budget_kind tc_budget_kind_of(const tc_mask_options *m) {
    if (m->keep > 0) return TC_BUDGET_KEEP;
    return m->params > 0 ? TC_BUDGET_PARAMS : TC_BUDGET_MACS;
}

double tc_budget_goal(const tc_mask_options *m, double whole) {
    if (m->keep > 0) return m->keep * whole;
    return m->params > 0 ? (double)m->params : m->macs;
}

double tc_budget_of(tc_budget_kind kind, const tc_model_info *i) {
    if (kind == TC_BUDGET_KEEP) return (double)i->params_prunable;
    return kind == TC_BUDGET_PARAMS ? (double)i->params_without_tokens : i->macs_image + i->macs_text;
}

tc_status tc_budget_measure(tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites,
                            const int *kept, double *out, tc_error *err) {
    tc_config c;
    tc_model *folded = NULL;
    tc_status status = tc_config_fold(&c, &m->config, sites, kept, err);
    if (status == TC_OK) status = tc_model_new(&folded, &c, err);
    if (status == TC_OK) status = tc_model_count(folded, err);
    if (status == TC_OK) *out = tc_budget_of(kind, &folded->info);
    tc_model_close(&folded);
    return status;
}

const char *tc_budget_name(tc_budget_kind kind) {
    static const char *const names[] = {[TC_BUDGET_KEEP] = "prunable parameters",
                                        [TC_BUDGET_PARAMS] = "parameters without the token table",
                                        [TC_BUDGET_MACS] = "multiply-accumulates"};
    return names[kind];
}

tc_status tc_budget_check(tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites, double goal,
                          tc_error *err) {
    double most = tc_budget_of(kind, &m->info), least = 0;
    int *ones = tc_new(sites->count + 1, sizeof *ones);
    if (!ones) return tc_fail_memory(err, sites->count * sizeof *ones);
    for (size_t i = 0; i < sites->count; i++) ones[i] = 1;
    tc_status status = tc_budget_measure(kind, m, sites, ones, &least, err);
    free(ones);
    if (status != TC_OK) return status;
    if (goal > most)
        return tc_fail(err, TC_EARG, "a goal of %.6g %s is more than the model's %.6g", goal,
                       tc_budget_name(kind), most);
    if (goal < least)
        return tc_fail(
            err, TC_EARG,
            "a goal of %.6g %s is less than the %.6g of the model with one head and one channel everywhere",
            goal, tc_budget_name(kind), least);
    return TC_OK;
}

/* ---- fitting */

typedef struct fit {
    const tc_gates *g;
    tc_budget_kind kind;
    const tc_model *m;
    double goal;
    int *kept, *trial; /* [sites] */
    struct channel {
        double loga;
        int site, number;
    } * channels; /* those that can still be dropped or added, in this order */
    int64_t channel_count;
    tc_error *err;
} fit;

/* Without any there would be no model. */
static int fewest(const tc_mask_site *s) {
    return s->group == TC_GROUP_WIDTH || s->group == TC_GROUP_CHANNELS;
}

void tc_gates_kept_least(const tc_gates *g, double shift, int *kept) {
    tc_gates_kept(g, shift, kept);
    for (size_t i = 0; i < g->sites.count; i++)
        if (kept[i] < fewest(&g->sites.items[i])) kept[i] = fewest(&g->sites.items[i]);
}

static tc_status measure_shift(const fit *f, double shift, int *kept, double *out) {
    tc_gates_kept_least(f->g, shift, kept);
    return tc_budget_measure(f->kind, f->m, &f->g->sites, kept, out, f->err);
}

/* Counts by the rule of the deterministic mask; if they are far from the goal, with the smallest shift of all
 * gates that is not below it. */
static tc_status count_members(fit *f) {
    double got, low = -40, high = 40; /* beyond, every gate is closed or open */
    tc_status status = measure_shift(f, 0, f->kept, &got);
    if (status != TC_OK || fabs(got - f->goal) <= f->goal / 20) return status;
    if (got < f->goal) low = 0;
    else high = 0;
    for (int i = 0; i < 40 && status == TC_OK; i++) {
        double middle = (low + high) / 2;
        status = measure_shift(f, middle, f->trial, &got);
        if (got < f->goal) low = middle;
        else high = middle;
    }
    return status == TC_OK ? measure_shift(f, high, f->kept, &got) : status;
}

static int weakest_first(const void *a, const void *b) {
    const struct channel *x = a, *y = b;
    if (x->loga != y->loga) return (x->loga > y->loga) - (x->loga < y->loga);
    return x->site != y->site ? x->site - y->site : x->number - y->number;
}

static int strongest_first(const void *a, const void *b) { return weakest_first(b, a); }

/* Lists the channels that `drop` or its opposite may still change, the nearest to the threshold first. */
static void list_channels(fit *f, bool drop) {
    const tc_mask_sites *sites = &f->g->sites;
    f->channel_count = 0;
    for (size_t i = 0; i < sites->count; i++) {
        const tc_mask_site *s = &sites->items[i];
        if (s->group != TC_GROUP_FFN && s->group != TC_GROUP_CHANNELS) continue;
        struct channel *own = f->channels + f->channel_count;
        for (int k = 0; k < s->size; k++) own[k] = (struct channel){f->g->value[s->offset + k], (int)i, k};
        qsort(own, (size_t)s->size, sizeof *own, weakest_first);
        int dropped = s->size - f->kept[i];
        int first = drop ? dropped : 0;
        int n = drop ? f->kept[i] - fewest(s) : dropped;
        memmove(own, own + first, (size_t)n * sizeof *own);
        f->channel_count += n;
    }
    if (f->channel_count)
        qsort(f->channels, (size_t)f->channel_count, sizeof *f->channels,
              drop ? weakest_first : strongest_first);
}

/* f->kept with the first n channels of the list dropped or added -> f->trial. */
static tc_status measure_changed(fit *f, bool drop, int64_t n, double *out) {
    memcpy(f->trial, f->kept, f->g->sites.count * sizeof *f->trial);
    for (int64_t i = 0; i < n; i++) f->trial[f->channels[i].site] += drop ? -1 : 1;
    return tc_budget_measure(f->kind, f->m, &f->g->sites, f->trial, out, f->err);
}

/* The number of channels with which the measure is nearest to the goal: it changes in one direction with
 * every one. */
static tc_status fit_channels(fit *f) {
    double at, got, other;
    tc_status status = tc_budget_measure(f->kind, f->m, &f->g->sites, f->kept, &at, f->err);
    bool drop = at > f->goal;
    if (status == TC_OK) list_channels(f, drop);
    int64_t low = 0, high = f->channel_count;
    /* low: not yet past the goal; high: past it, or all. */
    while (status == TC_OK && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        status = measure_changed(f, drop, middle, &got);
        if (drop ? got > f->goal : got < f->goal) low = middle;
        else high = middle;
    }
    if (status == TC_OK) status = measure_changed(f, drop, low, &got);
    if (status == TC_OK) status = measure_changed(f, drop, high, &other);
    if (status == TC_OK && fabs(got - f->goal) <= fabs(other - f->goal))
        status = measure_changed(f, drop, low, &got);
    if (status == TC_OK) memcpy(f->kept, f->trial, f->g->sites.count * sizeof *f->kept);
    return status;
}

tc_status tc_gates_fit(const tc_gates *g, tc_budget_kind kind, const tc_model *m, double goal, tc_real *mask,
                       tc_error *err) {
    fit f = {.g = g, .kind = kind, .m = m, .goal = goal, .err = err};
    f.kept = tc_new(g->sites.count + 1, sizeof *f.kept);
    f.trial = tc_new(g->sites.count + 1, sizeof *f.trial);
    f.channels = tc_new((size_t)g->sites.total + 1, sizeof *f.channels);
    tc_status status = f.kept && f.trial && f.channels
                           ? TC_OK
                           : tc_fail_memory(err, (size_t)g->sites.total * sizeof *f.channels);
    if (status == TC_OK) status = count_members(&f);
    if (status == TC_OK) status = fit_channels(&f);
    if (status == TC_OK) status = tc_gates_mask(g, f.kept, mask, err);
    free(f.kept);
    free(f.trial);
    free(f.channels);
    return status;
}
