/* masked.c - training with masks: what a step has beside an ordinary one. The order within a step is that of
 * the l0 goldens, section 5. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

tc_status tc_trainer_make_gates(tc_trainer *t, tc_error *err) {
    tc_mask_sites sites;
    t->masks = *t->hyper.masks;
    tc_status status = tc_mask_sites_create(&sites, &t->student->params, err);
    if (status == TC_OK) status = tc_gates_create(&t->gates, &sites, t->masks.start, t->masks.start, err);
    if (status == TC_OK)
        status = tc_budget_make(&t->budget, t->masks.budget, t->student, &t->gates->sites, err);
    if (status == TC_OK && t->budget.whole[0] + t->budget.whole[1] <= 0)
        status = tc_fail(err, TC_EARG, "the model has nothing that can be masked");
    return status;
}

void tc_trainer_draw_mask(tc_trainer *t) {
    if (t->uniforms) memcpy(t->gates->u, t->uniforms, (size_t)t->gates->sites.total * sizeof *t->gates->u);
    else tc_gates_draw(t->gates, t->masks.seed, t->step);
    tc_gates_sample(t->gates);
}

double tc_trainer_gate_gradients(tc_trainer *t, tc_step_log *log) {
    log->lr_gates = tc_schedule_lr(&t->masks.lr, (double)t->step, t->masks.lr.base);
    tc_gates_backward(t->gates);
    tc_gates_lagrangian(t->gates, &t->budget, &t->masks.target, t->step, &log->sparsity);
    return tc_gates_square(t->gates);
}
