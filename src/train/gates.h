/* gates.h - learnt masks: a hard-concrete gate for every member of every site, and the budget that they are
 * driven to.
 *
 * Definitions: the l0 goldens, sections 1 to 3; Louizos et al. 2018 (the gates), Wang et al. 2020 (the
 * Lagrangian). All of it is double: there are few gates, and their mathematics is a small part of a step. */
#ifndef TC_GATES_H
#define TC_GATES_H

#include "graph/mask.h"
#include "model/model.h"

/* ---- one gate; loga is the logarithm of its alpha */

/* Probability of not being 0, and its derivative by loga. */
double tc_gate_score(double loga, double *slope);
/* A sample in [0,1] for u in (0,1), and its derivative by loga. */
double tc_gate_sample(double loga, double u, double *slope);
/* The value of an open gate when nothing is drawn. */
double tc_gate_soft(double loga);

/* ---- the gates of a model */

/* multipliers: the first and the second of the image tower, then those of the text tower */
enum { TC_GATES_LAMBDA = 4 };

typedef struct tc_gates {
    tc_mask_sites sites;
    int64_t count; /* sites.total gates and the multipliers behind them: length of the four blocks */
    double *value; /* [count] loga, then lambda */
    double *grad, *m, *v;
    double *u;                 /* [sites.total] what the last sample was drawn with */
    double *slope;             /* [sites.total] derivatives of that sample */
    double *sum;               /* [sites.count] room for sums of scores */
    tc_real *mask, *mask_grad; /* [sites.total] the sample, and the gradient of the loss by it */
} tc_gates;

/* Gates that all start at `loga`, the multipliers at `lambda`. Takes the sites over, also on failure. */
tc_status tc_gates_create(tc_gates **out, tc_mask_sites *sites, double loga, double lambda, tc_error *err);
void tc_gates_free(tc_gates **g);
/* Draws g->u: a pure function of (seed, step, site, member). */
void tc_gates_draw(tc_gates *g, uint64_t seed, int64_t step);
/* g->mask from g->value and g->u. */
void tc_gates_sample(tc_gates *g);
/* g->grad from g->mask_grad; of the multipliers 0. */
void tc_gates_backward(tc_gates *g);
/* Members that each site keeps in the deterministic mask, if `shift` is added to every loga -> kept
 * [sites.count]. */
void tc_gates_kept(const tc_gates *g, double shift, int *kept);
/* The deterministic mask [sites.total] with so many members left in each site: those with the largest loga
 * have their soft value, the others are 0. Of equal ones those with the smaller number go first. */
tc_status tc_gates_mask(const tc_gates *g, const int *kept, tc_real *mask, tc_error *err);
/* Sum of the squares of g->grad. */
double tc_gates_square(const tc_gates *g);
/* AdamW without decay: gates descend and multipliers ascend at the rate `lr`, with gradients times `scale`;
 * `count` is the number of this update, from 1. Then the gates are clamped to alphas from 0.01 to 100. */
void tc_gates_update(tc_gates *g, double scale, double lr, double count);

/* ---- budgets: what a mask is expected to leave, as a sum of factors times the sums of scores of up to three
 * sites */

typedef struct tc_budget_term {
    int tower; /* TC_TOWER_VISION or TC_TOWER_TEXT */
    int sites, site[3];
    double factor;
} tc_budget_term;

typedef struct tc_budget {
    tc_budget_term *items;
    size_t count, capacity;
    double whole[2]; /* what the model has without a mask, by tower */
} tc_budget;

typedef enum tc_budget_kind {
    TC_BUDGET_KEEP,   /* prunable parameters, by the goldens' rule */
    TC_BUDGET_PARAMS, /* parameters without the token table */
    TC_BUDGET_MACS    /* nominal multiply-accumulates of an image and a full-length text */
} tc_budget_kind;

/* How much of it a model has, and what it is called. */
double tc_budget_of(tc_budget_kind kind, const tc_model_info *i);
const char *tc_budget_name(tc_budget_kind kind);
tc_status tc_budget_make(tc_budget *out, tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites,
                         tc_error *err);
void tc_budget_free(tc_budget *b);
/* Adds a term; false if memory ran out. */
bool tc_budget_add(tc_budget *b, int tower, double factor, int sites, const int *site);
/* n[tower] = the expected count, for the sums of scores of the sites. */
void tc_budget_expect(const tc_budget *b, const double *sum, double n[2]);

/* ---- the Lagrangian */

typedef struct tc_sparsity_target {
    double start[2], end[2]; /* of the sparsity, by tower */
    double warmup;           /* steps from the one to the other */
    bool per_tower;          /* each tower has a target of its own; else one for both together */
} tc_sparsity_target;

/* By tower; of both together in [0]. */
typedef struct tc_sparsity {
    double loss[2], expected[2], target[2];
} tc_sparsity;

/* The Lagrangian at a step; its gradients are added to g->grad. */
void tc_gates_lagrangian(tc_gates *g, const tc_budget *b, const tc_sparsity_target *t, int64_t step,
                         tc_sparsity *out);

/* ---- a mask that meets its budget */

/* What the model `m` has of `kind` once it is folded with so many members left in each site. */
tc_status tc_budget_measure(tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites,
                            const int *kept, double *out, tc_error *err);
/* Of `goal` (a number of what `kind` counts) whether it can be met: at most what m has, at least what it has
 * with one member in every site. */
tc_status tc_budget_check(tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites, double goal,
                          tc_error *err);
/* tc_gates_kept, but of each tower's width and of convolutions' channels at least one: so the model can be
 * folded. */
void tc_gates_kept_least(const tc_gates *g, double shift, int *kept);
/* The deterministic mask, corrected so that the folded model has `goal` as nearly as one channel allows. If
 * the gates themselves are off by more than a twentieth, all are shifted by one number; then FFN channels (of
 * a ResNet inner channels too), nearest to being kept or dropped, over both towers, make up the rest. Of a
 * tower's width and of convolutions' channels at least one stays. mask: [sites.total]. */
tc_status tc_gates_fit(const tc_gates *g, tc_budget_kind kind, const tc_model *m, double goal, tc_real *mask,
                       tc_error *err);

#endif
