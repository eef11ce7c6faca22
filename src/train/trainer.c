/* trainer.c - one training step: the teacher's features, the student's features, the loss, its gradients
 * through both towers, one clip over all of them, AdamW. Order and formulas are those of the train goldens.
 */
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE, TEXT };

static tc_status make_graphs(tc_trainer *t, tc_error *err) {
    const tc_model *s = t->student;
    tc_status status = TC_OK;
    for (int i = 0; i < 2 && status == TC_OK; i++) {
        status = tc_net_graph(&t->graph[i], i, &s->config, &s->params, 0, err);
        if (status != TC_OK) return status;
        if (t->gates) tc_graph_mask(t->graph[i], &t->gates->sites);
        tc_graph_fuse(t->graph[i], true);
        if (t->graph[i]->failed) return tc_fail(err, TC_ENOMEM, "masks: %s", t->graph[i]->message);
        status = tc_runner_create(&t->runner[i], t->graph[i], t->param, t->param_grad, NULL, false, err);
        if (status != TC_OK || !t->gates) continue;
        t->runner[i]->mask = t->gates->mask;
        t->runner[i]->mask_grad = t->gates->mask_grad;
    }
    return status;
}

static tc_status allocate(tc_trainer *t, tc_error *err) {
    const tc_params *p = &t->student->params;
    t->grad = tc_new_aligned((size_t)p->total, sizeof *t->grad);
    t->m = tc_new_aligned((size_t)p->total, sizeof *t->m);
    t->v = tc_new_aligned((size_t)p->total, sizeof *t->v);
    t->param = tc_new(p->count, sizeof *t->param);
    t->param_grad = tc_new(p->count, sizeof *t->param_grad);
    t->decay = tc_new(p->count, sizeof *t->decay);
    if (!t->grad || !t->m || !t->v || !t->param || !t->param_grad || !t->decay)
        return tc_fail_memory(err, (size_t)p->total * 3 * sizeof(tc_real));
    for (size_t i = 0; i < p->count; i++) {
        t->param[i] = t->student->flat + p->items[i].offset;
        t->param_grad[i] = t->grad + p->items[i].offset;
        t->decay[i] = tc_param_is(&p->items[i], TC_ROLE_DECAYS);
    }
    return tc_token_rows_create(&t->tokens, p, err);
}

tc_status tc_trainer_create(tc_trainer **out, tc_model **student, const tc_model *teacher,
                            const tc_hyper *hyper, tc_error *err) {
    tc_trainer *t = tc_new(1, sizeof *t);
    *out = NULL;
    if (!t) {
        tc_model_close(student);
        return tc_fail_memory(err, sizeof *t);
    }
    t->hyper = *hyper;
    t->student = *student;
    t->teacher = teacher;
    t->kern = tc_kern_get();
    *student = NULL;
    tc_status status = allocate(t, err);
    if (status == TC_OK && hyper->masks) status = tc_trainer_make_gates(t, err);
    if (status == TC_OK) status = make_graphs(t, err);
    if (status == TC_OK && teacher && teacher->config.image_size != t->student->config.image_size)
        status = tc_fail(err, TC_EARG, "the teacher's image_size is %d, the student's %d; they must be equal",
                         teacher->config.image_size, t->student->config.image_size);
    if (status == TC_OK && teacher) status = tc_session_create(&t->teacher_session, teacher, err);
    if (status != TC_OK) {
        tc_trainer_free(&t);
        return status;
    }
    *out = t;
    return TC_OK;
}

static void free_buffers(tc_trainer *t) {
    for (int i = 0; i < 2; i++) {
        tc_real **all[] = {&t->features[i], &t->inv_norm[i], &t->feature_grad[i], &t->teacher_features[i]};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            free(*all[k]);
            *all[k] = NULL;
        }
    }
    free(t->work);
    free(t->teacher_out);
    free(t->pixels);
    t->work = NULL;
    t->teacher_out = NULL;
    t->pixels = NULL;
    t->capacity = 0;
}

void tc_trainer_free(tc_trainer **out) {
    tc_trainer *t = *out;
    if (!t) return;
    free_buffers(t);
    tc_session_close(&t->teacher_session);
    for (int i = 0; i < 2; i++) {
        tc_runner_free(&t->runner[i]);
        tc_graph_free(&t->graph[i]);
    }
    tc_model_close(&t->student);
    tc_captions_free(&t->captions);
    tc_token_rows_free(&t->tokens);
    tc_gates_free(&t->gates);
    tc_budget_free(&t->budget);
    free(t->grad);
    free(t->m);
    free(t->v);
    free(t->param);
    free(t->param_grad);
    free(t->decay);
    free(t);
    *out = NULL;
}

static tc_status reserve(tc_trainer *t, int n, tc_error *err) {
    if (n <= t->capacity) return TC_OK;
    free_buffers(t);
    size_t rows = (size_t)n;
    size_t dim = (size_t)t->student->config.embed_dim;
    size_t teacher_dim = t->teacher ? (size_t)t->teacher->config.embed_dim : 0;
    size_t image = 3 * (size_t)t->student->config.image_size * (size_t)t->student->config.image_size;
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        ok = (t->features[i] = tc_new_aligned(rows * dim, sizeof(tc_real))) && ok;
        ok = (t->feature_grad[i] = tc_new_aligned(rows * dim, sizeof(tc_real))) && ok;
        ok = (t->inv_norm[i] = tc_new_aligned(rows, sizeof(tc_real))) && ok;
        ok = (t->teacher_features[i] = tc_new_aligned(rows * teacher_dim, sizeof(tc_real))) && ok;
    }
    ok = (t->work = tc_new_aligned((size_t)tc_loss_work(n), sizeof(tc_real))) && ok;
    ok = (t->teacher_out = tc_new_aligned(2 * rows * teacher_dim, sizeof(float))) && ok;
    if (sizeof(tc_real) != sizeof(float))
        ok = (t->pixels = tc_new_aligned(rows * image, sizeof(tc_real))) && ok;
    if (!ok) {
        free_buffers(t);
        return tc_fail(err, TC_ENOMEM, "out of memory for a batch of %d pairs", n);
    }
    t->capacity = n;
    return TC_OK;
}

/* ---- features */

static tc_status teacher_features(tc_trainer *t, const float *pixels, const int32_t *ids, int n, int context,
                                  tc_error *err) {
    int dim = t->teacher->config.embed_dim, missing = n;
    float *out[2] = {t->teacher_out, t->teacher_out + (size_t)n * (size_t)dim};
    tc_status status =
        t->cache ? tc_teacher_cache_read(t->cache, t->cache_rows, n, out[IMAGE], out[TEXT], &missing, err)
                 : TC_OK;
    if (missing) {
        if (status == TC_OK) status = tc_session_encode_image(t->teacher_session, pixels, n, out[IMAGE], err);
        if (status == TC_OK)
            status = tc_session_encode_text(t->teacher_session, ids, n, context, out[TEXT], err);
        if (status == TC_OK && t->cache)
            status = tc_teacher_cache_fill(t->cache, t->cache_rows, n, out[IMAGE], out[TEXT], err);
    }
    for (int i = 0; i < 2 && status == TC_OK; i++) {
        t->kern->from_float((int64_t)n * dim, out[i], t->teacher_features[i]);
        t->kern->l2norm(n, dim, t->teacher_features[i], t->teacher_features[i], NULL);
    }
    return status;
}

static const tc_real *as_real(tc_trainer *t, const float *pixels, int n) {
    if (sizeof(tc_real) == sizeof(float)) return (const tc_real *)(const void *)pixels;
    int64_t size = (int64_t)n * 3 * t->student->config.image_size * t->student->config.image_size;
    t->kern->from_float(size, pixels, t->pixels);
    return t->pixels;
}

static tc_status student_features(tc_trainer *t, const float *pixels, const int32_t *ids, int n, int context,
                                  tc_error *err) {
    int batch;
    tc_status status =
        tc_captions_gather(&t->captions, &t->student->config, ids, n, context, INT32_MAX / 2, &batch, err);
    if (status == TC_OK && batch != n)
        status = tc_fail(err, TC_EARG, "a batch of %d captions is too large", n);
    if (status != TC_OK) return status;
    tc_token_rows_add(&t->tokens, t->captions.ids, t->captions.seq[n]);
    tc_feed feed[2] = {{.batch = n, .pixels = as_real(t, pixels, n)},
                       {.batch = n, .ids = t->captions.ids, .seq = t->captions.seq}};
    for (int i = 0; i < 2 && status == TC_OK; i++) {
        status = tc_runner_forward(t->runner[i], &feed[i], err);
        if (status == TC_OK)
            t->kern->l2norm(n, t->student->config.embed_dim, tc_runner_output(t->runner[i]), t->features[i],
                            t->inv_norm[i]);
    }
    return status;
}

/* Where the logit scale lies in a flat block. */
static int64_t scale_at(const tc_trainer *t) {
    const tc_params *p = &t->student->params;
    return p->items[tc_params_with(p, TC_ROLE_LOGIT_SCALE)].offset;
}

static double log_scale(const tc_trainer *t) { return (double)t->student->flat[scale_at(t)]; }

void tc_trainer_weights_changed(tc_trainer *t) {
    t->student->logit_scale = t->student->info.logit_scale = (float)log_scale(t);
}

void tc_trainer_moments_changed(tc_trainer *t) { tc_token_rows_find(&t->tokens, t->m, t->v); }

static void set_log_scale(tc_trainer *t, double value) {
    t->student->flat[scale_at(t)] = (tc_real)value;
    tc_trainer_weights_changed(t);
}

/* Of the weights. */
static double grad_square(tc_trainer *t) {
    int64_t first = t->tokens.first, end = t->tokens.end, total = t->student->params.total;
    double before = t->kern->dot(first, t->grad, t->grad);
    double after = t->kern->dot(total - end, t->grad + end, t->grad + end);
    return before + tc_token_rows_square(&t->tokens, t->kern, t->grad) + after;
}

/* The fixed scale of both, or the teacher's own. */
static double teacher_scale(const tc_trainer *t) {
    if (t->hyper.logit_scale > 0) return t->hyper.logit_scale;
    return t->teacher ? exp((double)t->teacher->logit_scale) : 1;
}

tc_status tc_trainer_gradients(tc_trainer *t, const float *pixels, const int32_t *ids, int n, int context,
                               tc_step_log *log, tc_error *err) {
    const tc_hyper *h = &t->hyper;
    int dim = t->student->config.embed_dim;
    *log = (tc_step_log){.lr = tc_schedule_lr(&h->schedule, (double)t->step, h->schedule.base)};
    if (n < 1) return tc_fail(err, TC_EARG, "an empty batch");
    tc_status status = reserve(t, n, err);
    if (status == TC_OK && t->teacher) status = teacher_features(t, pixels, ids, n, context, err);
    if (status == TC_OK && t->gates) tc_trainer_draw_mask(t);
    if (status == TC_OK) status = student_features(t, pixels, ids, n, context, err);
    if (status != TC_OK) return status;
    log->scale_used = exp(log_scale(t));
    double alpha = t->teacher ? h->alpha : 0;
    tc_loss_input in = {.n = n,
                        .dim = dim,
                        .teacher_dim = t->teacher ? t->teacher->config.embed_dim : 0,
                        .image = t->features[IMAGE],
                        .text = t->features[TEXT],
                        .teacher_image = t->teacher ? t->teacher_features[IMAGE] : NULL,
                        .teacher_text = t->teacher ? t->teacher_features[TEXT] : NULL,
                        .scale = log->scale_used,
                        .teacher_scale = teacher_scale(t),
                        .soft_weight = alpha * h->weight,
                        .hard_weight = (1 - alpha) * h->weight,
                        .work = t->work};
    tc_loss(t->kern, &in, t->feature_grad[IMAGE], t->feature_grad[TEXT], &log->loss);
    for (int i = 0; i < 2; i++) {
        t->kern->l2norm_backward(n, dim, t->features[i], t->inv_norm[i], t->feature_grad[i],
                                 tc_runner_output_grad(t->runner[i]));
        tc_runner_backward(t->runner[i]);
    }
    t->grad[scale_at(t)] = (tc_real)log->loss.grad_log_scale;
    double square = grad_square(t);
    if (t->gates) square += tc_trainer_gate_gradients(t, log);
    log->grad_norm = sqrt(square);
    return TC_OK;
}

/* ---- update */

static double clip_scale(const tc_trainer *t, const tc_step_log *log) {
    return t->hyper.clip > 0 ? fmin(1, t->hyper.clip / (log->grad_norm + 1e-6)) : 1;
}

/* The number of this update of the optimizer, from 1. */
static double update_number(const tc_trainer *t) {
    return (double)(t->step - t->skipped - t->folded_after + 1);
}

/* AdamW on `n` weights from `at` on; `moved`: gradient or moments may be other than zero. */
static void update_part(tc_trainer *t, const tc_step_log *log, int64_t at, int64_t n, bool decays,
                        bool moved) {
    const tc_hyper *h = &t->hyper;
    double scale = clip_scale(t, log), count = update_number(t);
    double c1 = 1 - pow(h->beta1, count), c2 = 1 - pow(h->beta2, count);
    t->kern->adamw(n, t->student->flat + at, moved ? t->grad + at : NULL, t->m + at, t->v + at, scale,
                   log->lr, decays ? h->weight_decay : 0, h->beta1, h->beta2, h->eps, c1, c2);
}

static void update(tc_trainer *t, const tc_step_log *log) {
    const tc_params *p = &t->student->params;
    const tc_token_rows *tokens = &t->tokens;
    tc_runner_update_state(t->runner[IMAGE], t->student->flat);
    for (int i = 0; i < (int)p->count; i++) {
        if (i != tokens->param && !tc_param_is(&p->items[i], TC_ROLE_STATE))
            update_part(t, log, p->items[i].offset, p->items[i].numel, t->decay[i], true);
        for (int64_t row = 0, end; i == tokens->param && row < tokens->count; row = end) {
            end = tc_token_rows_run(tokens, row);
            update_part(t, log, tokens->first + row * tokens->width, (end - row) * tokens->width, t->decay[i],
                        tokens->occurred[row]);
        }
    }
}

tc_status tc_trainer_step(tc_trainer *t, const float *pixels, const int32_t *ids, int n, int context,
                          tc_step_log *out, tc_error *err) {
    tc_status status = tc_trainer_gradients(t, pixels, ids, n, context, out, err);
    if (status != TC_OK) return status;
    /* the Lagrangian's terms are in the norm */
    out->skipped = !isfinite(out->loss.loss) || !isfinite(out->grad_norm);
    if (out->skipped) {
        t->step++;
        t->skipped++;
        t->skipped_in_a_row++;
        return TC_OK;
    }
    update(t, out);
    if (t->gates) tc_gates_update(t->gates, clip_scale(t, out), out->lr_gates, update_number(t));
    t->step++;
    t->skipped_in_a_row = 0;
    out->log_scale_before_clamp = log_scale(t);
    double k = t->hyper.logit_scale;
    set_log_scale(t, k > 0 ? log(k) : fmin(fmax(log_scale(t), 0), log(100)));
    out->log_scale_after = log_scale(t);
    return TC_OK;
}

/* Sums of sizes stop at the largest. */
static size_t plus(size_t a, size_t b) { return tc_add(a, b, &a) ? a : SIZE_MAX; }

/* Of a model that may not be prepared yet. */
static size_t pass_memory(const tc_model *m, int tower, int n, int64_t rows) {
    tc_graph *g = NULL;
    tc_status status = tc_net_graph(&g, tower, &m->config, &m->params, 0, NULL);
    if (status != TC_OK) return SIZE_MAX;
    tc_graph_fuse(g, false);
    size_t bytes = tc_runner_memory(g, false, n, rows);
    tc_graph_free(&g);
    return bytes;
}

size_t tc_trainer_memory(const tc_trainer *t, int n, int caption) {
    const tc_model *s = t->student, *teacher = t->teacher;
    /* weights, gradients, moments */
    size_t rows = (size_t)n, block = (size_t)s->params.total * sizeof(tc_real), total = 4 * block;
    total = plus(total, tc_runner_memory(t->graph[IMAGE], true, n, 0));
    total = plus(total, tc_runner_memory(t->graph[TEXT], true, n, (int64_t)n * caption));
    if (t->gates) total = plus(total, (size_t)t->gates->count * (6 * sizeof(double) + 2 * sizeof(tc_real)));
    total = plus(total, (size_t)tc_loss_work(n) * sizeof(tc_real) +
                            rows * (size_t)s->config.embed_dim * 4 * sizeof(tc_real));
    if (!teacher) return total;
    /* Packed weights without the token table, and the activations of one pass. */
    total = plus(total, (size_t)teacher->info.params_without_tokens * sizeof(tc_real) +
                            rows * (size_t)teacher->config.embed_dim * 4 * sizeof(tc_real));
    total = plus(total, pass_memory(teacher, TC_TOWER_VISION, n < 64 ? n : 64, 0));
    return plus(total, pass_memory(teacher, TC_TOWER_TEXT, n, (int64_t)n * caption));
}
