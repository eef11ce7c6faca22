/* trainer.h - one training step: weights, gradients, moments and what a step does to them. Definitions: the
 * train goldens; the recipe of TinyCLIP. */
#ifndef TC_TRAINER_H
#define TC_TRAINER_H

#include "train/sparsity.h"
#include "train/loss.h"
#include "train/schedule.h"
#include "train/teacher_cache.h"
#include "train/token_rows.h"

typedef struct tc_hyper {
    tc_schedule schedule;
    double weight_decay, beta1, beta2, eps, clip;
    /* loss = alpha * weight * affinity + (1 - alpha) * weight * contrastive; without a teacher contrastive
     * alone */
    double alpha, weight;
    double logit_scale;                /* fixed; 0: learnt, kept in 1..100 */
    const struct tc_mask_hyper *masks; /* masks are trained too; NULL: none. Read by tc_trainer_create */
} tc_hyper;

typedef struct tc_mask_hyper {
    tc_schedule lr; /* of the gates; the multipliers ascend at it */
    double start;   /* of log alpha and of the multipliers */
    tc_budget_kind budget;
    tc_sparsity_target target;
    uint64_t seed;      /* of what the masks are drawn with */
    tc_schedule folded; /* of the learning rate, once the masks are folded */
} tc_mask_hyper;

typedef struct tc_step_log {
    double lr, grad_norm, scale_used, log_scale_before_clamp, log_scale_after;
    tc_loss_result loss;
    /* with masks; then grad_norm is over weights, gates and multipliers, and the Lagrangian comes to the loss
     */
    double lr_gates;
    tc_sparsity sparsity; /* as the step found it */
    bool skipped;         /* loss or gradient not finite: nothing was changed */
} tc_step_log;

typedef struct tc_trainer {
    tc_hyper hyper;
    tc_model *student; /* flat; the weights being trained */
    const tc_model *teacher;
    /* skipped: steps without an update; they do not count for the moments */
    int64_t step, skipped, skipped_in_a_row;
    int64_t bad_samples; /* counted by the caller; kept in checkpoints */
    /* the caller's: where the teacher's features are taken from and put; NULL: none */
    tc_teacher_cache *cache;
    /* [n] with a cache, set before each step: the rows of its pairs */
    const int64_t *cache_rows;
    tc_real *grad, *m, *v; /* flat, as student->flat */
    tc_gates *gates;       /* while there are masks; else NULL */
    tc_mask_hyper masks;
    bool folded;          /* there were masks, and they are folded */
    int64_t folded_after; /* steps with an update before that */
    /* [gates->sites.total] the next mask is drawn with these; NULL: with numbers of its own */
    const double *uniforms;
    /* private */
    tc_budget budget;
    const tc_kern *kern;
    tc_graph *graph[2];
    tc_runner *runner[2];
    tc_session *teacher_session;
    const tc_real **param;
    tc_real **param_grad;
    bool *decay;
    tc_token_rows tokens;
    int capacity; /* pairs that the buffers hold */
    tc_real *features[2], *inv_norm[2], *feature_grad[2], *teacher_features[2], *work;
    float *teacher_out; /* [2,capacity,teacher's dim] */
    tc_captions captions;
    tc_real *pixels; /* only where tc_real is not float */
} tc_trainer;

/* Takes the student (flat) over, also on failure. The teacher's weights are prepared when it first computes,
 * or by tc_model_prepare. TC_EARG if there are to be masks and nothing can be masked. */
tc_status tc_trainer_create(tc_trainer **out, tc_model **student, const tc_model *teacher,
                            const tc_hyper *hyper, tc_error *err);
void tc_trainer_free(tc_trainer **t);
/* One step on pixel_values [n,3,S,S] and input_ids [n,context]. */
tc_status tc_trainer_step(tc_trainer *t, const float *pixel_values, const int32_t *input_ids, int n,
                          int context, tc_step_log *log, tc_error *err);
/* The first half of a step: features, loss and all gradients; nothing is updated. */
tc_status tc_trainer_gradients(tc_trainer *t, const float *pixel_values, const int32_t *input_ids, int n,
                               int context, tc_step_log *log, tc_error *err);
/* To be called when something else has written student->flat, or the moments. */
void tc_trainer_weights_changed(tc_trainer *t);
void tc_trainer_moments_changed(tc_trainer *t);
/* Ends the masks: the student becomes the folded one, `student` (flat; taken over, also on failure), with a
 * fresh optimizer and the rate of `folded`. Counters go on. On failure the trainer is what it was. */
tc_status tc_trainer_become(tc_trainer *t, tc_model **student, tc_error *err);
/* Parts of a step, for trainers with masks. The mask of this step: */
void tc_trainer_draw_mask(tc_trainer *t);
/* The gradients of gates and multipliers, once the mask's is there. Returns the sum of their squares. */
double tc_trainer_gate_gradients(tc_trainer *t, tc_step_log *log);
/* Gates for the student's sites, at their start. */
tc_status tc_trainer_make_gates(tc_trainer *t, tc_error *err);

/* Bytes that a step on n pairs with captions of `caption` tokens needs, beside the file of the teacher. */
size_t tc_trainer_memory(const tc_trainer *t, int n, int caption);

#endif
