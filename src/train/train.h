/* train.h - one training step and what it is made of. Definitions: the loss and train goldens; TinyCLIP
 * section 3.1 and its recipe. */
#ifndef TC_TRAIN_H
#define TC_TRAIN_H

#include "train/gates.h"
#include "train/teacher_cache.h"

/* ---- schedules of the learning rate; steps count from 0 (definitions: train goldens) */

typedef enum tc_schedule_kind {
    TC_SCHEDULE_COSINE,                /* linear warm-up, then half a cosine to the end */
    TC_SCHEDULE_COSINE_START,          /* the same after `start` steps at 5e-5 */
    TC_SCHEDULE_COSINE_START_NOWARMUP, /* half a cosine after `start` steps at 1e-4: after masks are folded */
    TC_SCHEDULE_STEP,                  /* 0 after step `start`, before it what it was: of masks */
    TC_SCHEDULE_EXPONENTIAL            /* warm-up, then base * gamma^(w * part done) */
} tc_schedule_kind;

typedef struct tc_schedule {
    tc_schedule_kind kind;
    double base, warmup, steps, start, gamma, w;
} tc_schedule;

/* The rate for this step; `current` is the rate before it. */
double tc_schedule_lr(const tc_schedule *s, double step, double current);

/* ---- losses on normalised features */

typedef struct tc_loss_input {
    int n, dim, teacher_dim;
    const tc_real *image, *text;                 /* student, [n,dim], rows of length 1 */
    const tc_real *teacher_image, *teacher_text; /* [n,teacher_dim] or NULL: no affinity term */
    double scale, teacher_scale;                 /* already exponentiated */
    double soft_weight, hard_weight;             /* of the affinity and of the contrastive loss */
    tc_real *work;                               /* tc_loss_work(n) numbers */
} tc_loss_input;

typedef struct tc_loss_result {
    double loss, soft_img2text, soft_text2img, hard; /* as weighted; loss is their sum */
    double grad_log_scale;
} tc_loss_result;

int64_t tc_loss_work(int n);
/* grad_image, grad_text [n,dim] are written. */
void tc_loss(const tc_kern *k, const tc_loss_input *in, tc_real *grad_image, tc_real *grad_text,
             tc_loss_result *out);

/* ---- token table: its rows that have occurred in a caption since training began. Of the others gradient and
 * moments are zero. */

typedef struct tc_token_rows {
    int param;
    int64_t count, width, first, end; /* rows and their length; where the table lies in a flat block */
    bool *occurred;                   /* [count] */
    double *square;                   /* [count], room */
} tc_token_rows;
tc_status tc_token_rows_create(tc_token_rows *t, const tc_params *params, tc_error *err);
void tc_token_rows_free(tc_token_rows *t);
void tc_token_rows_add(tc_token_rows *t, const int32_t *ids, int64_t n);
/* From the moments (flat blocks): after a checkpoint was loaded. */
void tc_token_rows_find(tc_token_rows *t, const tc_real *m, const tc_real *v);
/* Sum of the squares of the table's part of a flat block of gradients. */
double tc_token_rows_square(tc_token_rows *t, const tc_kern *k, const tc_real *grad);
/* End of the run of rows from `row` on that all have occurred, or all have not. */
int64_t tc_token_rows_run(const tc_token_rows *t, int64_t row);

/* ---- trainer */

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

/* ---- checkpoints: OUT/checkpoint-STEP.safetensors, each complete in itself and with its own checksum */

/* `settings`: JSON text of everything that must be the same on resuming; compared key by key. */
tc_status tc_checkpoint_save(const tc_trainer *t, const char *dir, const char *settings, tc_error *err);
/* Loads the newest valid checkpoint of the folder into the trainer, which becomes one of the folded student
 * if the checkpoint is. A damaged one is passed over and told to the log. TC_ESTATE if there is none; TC_EARG
 * if the settings differ, naming the first difference. On failure the trainer is what it was. */
tc_status tc_checkpoint_load(tc_trainer *t, const char *dir, const char *settings, const tc_log *log,
                             tc_error *err);
/* Whether the folder has any checkpoint file, valid or not. */
bool tc_checkpoint_exists(const char *dir);
/* The first setting that differs: "KEY was A and is now B" is added to out, KEY with the names of the objects
 * and the places in the lists around it. */
bool tc_settings_differ(const char *key, json_t *old, json_t *now, tc_buf *out);

/* ---- runs: what those need that make several (compress.c) */

/* What tc_train finds wrong with its options before it does anything. Of the models only the configurations
 * are looked at. */
tc_status tc_train_check(const tc_train_options *o, tc_error *err);
/* Steps for so many epochs, rounded up. */
int64_t tc_train_steps(double epochs, int64_t samples, int batch);
/* Bytes that a run takes with captions of 12 tokens, and at most. */
tc_status tc_train_memory(const tc_train_options *o, size_t *usual, size_t *most, tc_error *err);
/* Makes the folder, and takes its lock, which close(*lock) or the end of the process gives back. TC_ESTATE if
 * another process has it: "another WHAT". */
tc_status tc_lock_folder(const char *dir, const char *what, int *lock, tc_error *err);

/* ---- measuring (measure.c) */

/* Random pixel_values [batch,3,S,S] and captions [batch,context] of `caption` ids, padded with 0; the end is
 * the largest id, as in CLIP's vocabulary. */
void tc_random_batch(const tc_config *c, int batch, int caption, float *pixels, int32_t *ids);
/* For qsort of doubles. */
int tc_by_size(const void *a, const void *b);

#endif
