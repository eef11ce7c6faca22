/* sparsity.h - budgets: what a mask is expected to leave, as a sum of factors times the sums of scores of up
 * to three sites; and the Lagrangian that drives the gates to it (Wang et al. 2020; l0 goldens, sections 2
 * and 3). */
#ifndef TC_SPARSITY_H
#define TC_SPARSITY_H

#include "train/gates.h"

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

tc_status tc_budget_make(tc_budget *out, tc_budget_kind kind, const tc_model *m, const tc_mask_sites *sites,
                         tc_error *err);
void tc_budget_free(tc_budget *b);
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

#endif
