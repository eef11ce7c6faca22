/* gates.h - learnt masks: a hard-concrete gate for every member of every site.
 *
 * Definitions: the l0 goldens, sections 1 to 3; Louizos et al. 2018. All of it is double: there are few
 * gates, and their mathematics is a small part of a step. */
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

#endif
