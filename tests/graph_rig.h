/* graph_rig.h - small models of several shapes, pruned ones too, and passes over their graphs. */
#ifndef TC_GRAPH_RIG_H
#define TC_GRAPH_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/op.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIGS = 3, MAX_BATCH = 9 };

/* ---- a model, a batch, and what comes out */

static inline tc_config config(int kind) {
    static const tc_config base[CONFIGS] = {
        {.embed_dim = 12,
         .image_size = 16,
         .context_length = 20,
         .vocab_size = 50,
         .eos_id = -1,
         .vision = {.family = &tc_vit, .patch_size = 4, .width = 24, .layers = 3, .head_dim = 8},
         .text = {.family = &tc_text_transformer, .width = 20, .layers = 2, .head_dim = 10}},
        {.embed_dim = 7,
         .image_size = 9,
         .context_length = 5,
         .vocab_size = 11,
         .eos_id = 10,
         .vision = {.family = &tc_vit, .patch_size = 4, .width = 15, .layers = 1, .head_dim = 5},
         .text = {.family = &tc_text_transformer, .width = 9, .layers = 1, .head_dim = 3}},
        {.embed_dim = 16,
         .image_size = 32,
         .context_length = 33,
         .vocab_size = 300,
         .eos_id = -1,
         .vision = {.family = &tc_vit, .patch_size = 8, .width = 64, .layers = 4, .head_dim = 16},
         .text = {.family = &tc_text_transformer, .width = 32, .layers = 5, .head_dim = 16}}};
    tc_config c = base[kind];
    tc_tower_config *towers[] = {&c.vision, &c.text};
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < towers[t]->layers; i++) {
            towers[t]->block[i].heads = towers[t]->width / towers[t]->head_dim;
            towers[t]->block[i].ffn = 3 * towers[t]->width + i;
            towers[t]->activation = (kind + t) % 2 ? TC_QUICK_GELU : TC_GELU;
        }
    /* As after pruning: a block without heads, a block with fewer, in the middle and at the end. */
    if (kind == 0) c.vision.block[1].heads = 0, c.text.block[1].heads = 0;
    if (kind == 2) c.vision.block[3].heads = 1, c.text.block[2].heads = 0;
    /* An FFN of which only the bias is left, and none at all, likewise. */
    if (kind == 2)
        c.vision.block[1].ffn = 0, c.vision.block[2].ffn = -1, c.text.block[1].ffn = 0,
        c.text.block[2].ffn = -1, c.text.block[4].ffn = 0;
    return c;
}

typedef struct net {
    tc_model *model;
    const float **value;
    float **grad, *flat_grad;
    float *pixels;
    int32_t ids[MAX_BATCH * 40], seq[MAX_BATCH + 1];
} net;

/* Fills the feed of a tower with `batch` random samples. */
static inline tc_feed feed_of(net *n, bool text, int batch, uint64_t seed) {
    const tc_config *c = &n->model->config;
    tc_rng rng = tc_rng_make(seed, 17, 0);
    int64_t size = 3 * (int64_t)c->image_size * c->image_size;
    for (int64_t i = 0; i < batch * size; i++) n->pixels[i] = (float)tc_rng_normal(&rng);
    for (int s = 0; s < batch; s++) {
        int length = 1 + (int)tc_rng_below(&rng, (uint64_t)c->context_length);
        for (int i = 0; i < length; i++)
            n->ids[n->seq[s] + i] = (int32_t)tc_rng_below(&rng, (uint64_t)c->vocab_size);
        n->seq[s + 1] = n->seq[s] + length;
    }
    return text ? (tc_feed){.batch = batch, .ids = n->ids, .seq = n->seq}
                : (tc_feed){.batch = batch, .pixels = n->pixels};
}

static inline void net_open(net *n, int kind) {
    tc_config c = config(kind);
    tc_error err;
    memset(n, 0, sizeof *n);
    if (tc_model_random(&n->model, &c, 5 + (uint64_t)kind, &err) != TC_OK) fail_msg("%s", err.message);
    size_t count = n->model->params.count;
    n->value = tc_new(count, sizeof *n->value);
    n->grad = tc_new(count, sizeof *n->grad);
    n->flat_grad = tc_new((size_t)n->model->params.total, sizeof(float));
    n->pixels = tc_new((size_t)(MAX_BATCH * 3 * c.image_size * c.image_size), sizeof(float));
    assert_true(n->value && n->grad && n->flat_grad && n->pixels);
    tc_rng rng = tc_rng_make(1, 2, 3);
    for (size_t i = 0; i < count; i++) {
        const tc_param *p = &n->model->params.items[i];
        n->value[i] = n->model->flat + p->offset;
        n->grad[i] = n->flat_grad + p->offset;
        /* No parameter at exactly 0 or 1, so that leaving one out shows. */
        for (int64_t k = 0; k < p->numel; k++)
            n->model->flat[p->offset + k] += 0.05f * (float)tc_rng_normal(&rng);
    }
}

static inline void net_close(net *n) {
    tc_model_close(&n->model);
    free(n->value);
    free(n->grad);
    free(n->flat_grad);
    free(n->pixels);
}

static inline tc_graph *graph_of(const net *n, bool text, unsigned flags) {
    tc_graph *g = NULL;
    tc_error err;
    if (tc_net_graph(&g, text ? TC_TOWER_TEXT : TC_TOWER_VISION, &n->model->config, &n->model->params, flags,
                     &err) != TC_OK)
        fail_msg("%s", err.message);
    return g;
}

static inline tc_runner *runner_of(const net *n, const tc_graph *g, bool train, const tc_prepared *prepared,
                                   bool keep_all) {
    tc_runner *r = NULL;
    tc_error err;
    if (tc_runner_create(&r, g, n->value, train ? n->grad : NULL, prepared, keep_all, &err) != TC_OK)
        fail_msg("%s", err.message);
    return r;
}

static inline float *copy_of(const float *x, int64_t n) {
    float *y = tc_new((size_t)n, sizeof *y);
    assert_non_null(y);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* One forward pass on memory full of NaNs: whatever is read before it was written spoils the result. */
static inline float *forward(tc_runner *r, const tc_feed *feed) {
    tc_error err;
    if (r->arena) memset(r->arena, 0xff, r->arena_bytes);
    if (tc_runner_forward(r, feed, &err) != TC_OK) fail_msg("%s", err.message);
    return copy_of(tc_runner_output(r), (int64_t)feed->batch * r->graph->values[r->graph->output].width);
}

/* Gradients of sum(output * weights), for fixed pseudo-random weights; the gradient of parameters that the
 * tower has not is left alone. */
static inline float *backward(net *n, tc_runner *r) {
    float *dy = tc_runner_output_grad(r);
    int64_t count = (int64_t)r->batch * r->graph->values[r->graph->output].width;
    for (int64_t i = 0; i < count; i++) dy[i] = (float)sin(1.7 * (double)i + 0.3);
    for (int64_t i = 0; i < n->model->params.total; i++) n->flat_grad[i] = 77;
    r->touched_count = -1; /* the table's gradient was just spoilt: it must be cleared as a whole */
    tc_runner_backward(r);
    return copy_of(n->flat_grad, n->model->params.total);
}

static inline void expect_bits(const char *what, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 || isnan(a[i]))
            fail_msg("%s: element %lld of %lld: %.9g and %.9g", what, (long long)i, (long long)n,
                     (double)a[i], (double)b[i]);
}

/* ---- tests over both towers of every configuration */

static inline void each(void (*test)(net *n, bool text)) {
    for (int kind = 0; kind < CONFIGS; kind++)
        for (int text = 0; text < 2; text++) {
            net n;
            net_open(&n, kind);
            test(&n, text);
            net_close(&n);
        }
}

#endif
