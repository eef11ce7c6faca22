/* test_train_grad.c - the gradients that a training step computes, of every parameter and of the logit scale,
 * against central differences of its loss: the trainer as it is, from pixels and ids to the loss, in double
 * with the plain-C kernels. Error and tolerance are those of test_ops_grad.c.
 *
 * Keys have no gradient through their bias: it adds the same to every score of a row. That third of each
 * attention bias must be 0, up to the rounding of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-5
#define TOLERANCE 1e-6

enum { PAIRS = 4, SIDE = 8, CONTEXT = 7, IDS = 13 };

typedef struct batch {
    float pixels[PAIRS * 3 * SIDE * SIDE];
    int32_t ids[PAIRS * CONTEXT];
} batch;

/* Captions of 2, 4, 7 and 3 ids, with repetitions, some ids never used; the end is the largest id. */
static void make_batch(batch *b) {
    static const int32_t ids[PAIRS * CONTEXT] = {11, 12, 0, 0, 0, 0, 0,  11, 4, 4,  12, 0, 0, 0,
                                                 11, 1,  2, 3, 4, 5, 12, 11, 9, 12, 0,  0, 0, 0};
    tc_rng rng = tc_rng_make(5, 0, 0);
    for (size_t i = 0; i < sizeof b->pixels / sizeof *b->pixels; i++)
        b->pixels[i] = (float)tc_rng_normal(&rng);
    memcpy(b->ids, ids, sizeof ids);
}

/* Weights larger than CLIP's initial ones, so that no gradient is small. */
static tc_model *make_model(int layers, int width, int embed, tc_activation act, uint64_t seed) {
    tc_config c = {
        .embed_dim = embed, .image_size = SIDE, .context_length = CONTEXT, .vocab_size = IDS, .eos_id = -1};
    c.vision = c.text = (tc_tower_config){.family = &tc_vit,
                                          .patch_size = 4,
                                          .width = width,
                                          .layers = layers,
                                          .head_dim = 4,
                                          .activation = act};
    c.text.family = &tc_text_transformer;
    for (int i = 0; i < layers; i++) {
        c.vision.block[i].heads = c.text.block[i].heads = width / 4;
        c.vision.block[i].ffn = c.text.block[i].ffn = 10 + i;
    }
    tc_model *m = NULL;
    assert_int_equal(tc_model_random(&m, &c, seed, NULL), TC_OK);
    tc_rng rng = tc_rng_make(seed, 1, 1);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        double size = p->ndim > 1 ? 1 / sqrt((double)p->shape[1]) : 0.3;
        for (int64_t k = 0; k < p->numel; k++)
            m->flat[p->offset + k] =
                (p->ndim ? p->init_mean : 1.1) + (p->ndim ? size * tc_rng_normal(&rng) : 0);
    }
    m->logit_scale = m->info.logit_scale = 1.3f;
    return m;
}

static double loss_of(tc_trainer *t, const batch *b) {
    tc_step_log log;
    tc_error err;
    if (tc_trainer_gradients(t, b->pixels, b->ids, PAIRS, CONTEXT, &log, &err) != TC_OK)
        fail_msg("%s", err.message);
    return log.loss.loss;
}

static double norm(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static void check_param(tc_trainer *t, const batch *b, const tc_param *p, const double *g, const char *what) {
    double *x = t->student->flat + p->offset, *d = tc_new((size_t)p->numel, sizeof *d),
           *off = tc_new((size_t)p->numel, sizeof *off);
    assert_non_null(d);
    assert_non_null(off);
    for (int64_t i = 0; i < p->numel; i++) {
        double at = x[i], up = at + STEP, down = at - STEP;
        x[i] = up;
        double high = loss_of(t, b);
        x[i] = down;
        d[i] = (high - loss_of(t, b)) / (up - down);
        x[i] = at;
        off[i] = d[i] - g[i];
    }
    double size = fmax(norm(g, p->numel), norm(d, p->numel)), error = norm(off, p->numel) / size;
    if (!(size > 1e-4))
        fail_msg("%s: the gradient of %s vanishes (%.3g): the case tests nothing", what, p->name, size);
    if (!(error <= TOLERANCE)) fail_msg("%s: gradient of %s: relative error %.3g", what, p->name, error);
    if (strstr(p->name, "in_proj_bias")) assert_true(norm(g + p->numel / 3, p->numel / 3) <= 1e-12 * size);
    free(d);
    free(off);
}

static void check(const tc_hyper *h, bool with_teacher, tc_activation act, const char *what) {
    tc_model *student = make_model(2, 8, 5, act, 1),
             *teacher = with_teacher ? make_model(1, 12, 6, TC_GELU, 2) : NULL;
    tc_trainer *t = NULL;
    batch b;
    tc_error err;
    make_batch(&b);
    if (tc_trainer_create(&t, &student, teacher, h, &err) != TC_OK) fail_msg("%s", err.message);
    const tc_params *p = &t->student->params;
    assert_true(loss_of(t, &b) > 0.1);
    double *g = tc_new((size_t)p->total, sizeof *g);
    assert_non_null(g);
    memcpy(g, t->grad, (size_t)p->total * sizeof *g);
    for (size_t i = 0; i < p->count; i++) check_param(t, &b, &p->items[i], g + p->items[i].offset, what);
    assert_string_equal(p->items[p->count - 1].name, "logit_scale");
    free(g);
    tc_trainer_free(&t);
    tc_model_close(&teacher);
}

/* Gates and multipliers, and weights under a mask. Where a sample is clamped to 0 or 1 the gradient of its
 * gate is that of the Lagrangian alone. */
static double masked_loss(tc_trainer *t, const batch *b) {
    tc_step_log log;
    tc_error err;
    if (tc_trainer_gradients(t, b->pixels, b->ids, PAIRS, CONTEXT, &log, &err) != TC_OK)
        fail_msg("%s", err.message);
    assert_true(log.sparsity.loss[0] > 0.01);
    return log.loss.loss + log.sparsity.loss[0] + log.sparsity.loss[1];
}

static void check_block(tc_trainer *t, const batch *b, double *x, const double *g, int64_t n,
                        const char *what) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double at = x[i], up = at + STEP, down = at - STEP;
        x[i] = up;
        double high = masked_loss(t, b);
        x[i] = down;
        double d = (high - masked_loss(t, b)) / (up - down);
        x[i] = at;
        off += (d - g[i]) * (d - g[i]);
        size += d * d;
    }
    if (!(size > 1e-8) || !(sqrt(off / size) <= TOLERANCE))
        fail_msg("gradient of %s: relative error %.3g of %.3g", what, sqrt(off / size), sqrt(size));
}

static void check_masks(bool per_tower) {
    tc_mask_hyper masks = {.lr = {.kind = TC_SCHEDULE_STEP, .base = 0.02, .start = 9},
                           .start = 1.5,
                           .seed = 4,
                           .target = {.end = {0.9, 0.8}, .per_tower = per_tower}};
    tc_hyper h = {.schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-3, .steps = 10},
                  .eps = 1e-6,
                  .weight = 1,
                  .alpha = 1,
                  .masks = &masks};
    tc_model *student = make_model(2, 8, 5, TC_GELU, 1), *teacher = make_model(1, 12, 6, TC_GELU, 2);
    tc_trainer *t = NULL;
    batch b;
    tc_error err;
    make_batch(&b);
    if (tc_trainer_create(&t, &student, teacher, &h, &err) != TC_OK) fail_msg("%s", err.message);
    tc_gates *gates = t->gates;
    const tc_params *p = &t->student->params;
    tc_rng rng = tc_rng_make(7, 0, 0);
    for (int64_t i = 0; i < gates->sites.total; i++) gates->value[i] = 1 + tc_rng_normal(&rng);
    masked_loss(t, &b);
    int zeros = 0, between = 0;
    for (int64_t i = 0; i < gates->sites.total; i++) {
        zeros += gates->mask[i] == 0;
        between += gates->mask[i] > 0 && gates->mask[i] < 1;
    }
    assert_true(zeros > 3 && between > 10);
    double *g = tc_new((size_t)gates->count, sizeof *g), *w = tc_new((size_t)p->total, sizeof *w);
    assert_non_null(g);
    assert_non_null(w);
    memcpy(g, gates->grad, (size_t)gates->count * sizeof *g);
    memcpy(w, t->grad, (size_t)p->total * sizeof *w);
    check_block(t, &b, gates->value, g, gates->sites.total, "gates");
    check_block(t, &b, gates->value + gates->sites.total, g + gates->sites.total, TC_GATES_LAMBDA,
                "multipliers");
    static const char *const some[] = {
        "visual.class_embedding", "visual.transformer.resblocks.0.attn.out_proj.weight",
        "transformer.resblocks.1.mlp.c_proj.weight", "transformer.resblocks.0.ln_1.weight"};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        const tc_param *q = &p->items[tc_params_find(p, some[i])];
        check_block(t, &b, t->student->flat + q->offset, w + q->offset, q->numel, some[i]);
    }
    free(g);
    free(w);
    tc_trainer_free(&t);
    tc_model_close(&teacher);
}

static void masks_of_both_towers(void **state) {
    (void)state;
    check_masks(false);
    check_masks(true);
}

static const tc_hyper hyper = {
    .schedule = {.kind = TC_SCHEDULE_COSINE, .base = 1e-3, .steps = 10}, .eps = 1e-6, .weight = 1};

static void contrastive(void **state) {
    (void)state;
    tc_hyper h = hyper;
    check(&h, false, TC_GELU, "contrastive");
}

static void affinity(void **state) {
    (void)state;
    tc_hyper h = hyper;
    h.alpha = 1;
    check(&h, true, TC_QUICK_GELU, "affinity");
}

/* A fixed scale is the teacher's; the student's comes from its parameter. */
static void both(void **state) {
    (void)state;
    tc_hyper h = hyper;
    h.alpha = 0.6;
    h.weight = 2.5;
    h.logit_scale = 6;
    check(&h, true, TC_GELU, "affinity and contrastive");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(contrastive), cmocka_unit_test(affinity),
                                       cmocka_unit_test(both), cmocka_unit_test(masks_of_both_towers)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    tc_set_threads(1); /* thousands of passes, each too small to be shared */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
