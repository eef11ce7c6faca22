/* fit.h - the mask that is folded: one that meets its budget exactly, whatever the gates came to. */
#ifndef TC_FIT_H
#define TC_FIT_H

#include "train/sparsity.h"

/* What the options of masks count, and the goal in it; `whole`: all that there is of it, of which keep is a
 * part. */
tc_budget_kind tc_budget_kind_of(const tc_mask_options *m);
double tc_budget_goal(const tc_mask_options *m, double whole);
/* How much of it a model has, and what it is called. */
double tc_budget_of(tc_budget_kind kind, const tc_model_info *i);
const char *tc_budget_name(tc_budget_kind kind);
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
