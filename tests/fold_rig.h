/* fold_rig.h - masked models beside folded ones: random models of every kind, masks of zeros, ones and
 * fractions with whole heads, FFNs, blocks and channels gone, and passes through both. For test_fold.c
 * (float) and test_fold_exact.c (double).
 *
 * Both compute the same sums, only the factors are multiplied at another place: their outputs differ by
 * rounding. */
#ifndef TC_FOLD_RIG_H
#define TC_FOLD_RIG_H

#include "model/model.h"
#include "net/resnet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLD_LAYERS = 4, FOLD_IMAGES = 3, FOLD_TEXTS = 4, FOLD_CONTEXT = 9, FOLD_IDS = 30, FOLD_EMBED = 7 };

/* What is taken away from each block of a tower: A and F stand for its attention and its FFN, - for one whose
 * members are all 0. */
typedef struct fold_case {
    const char *name, *blocks[FOLD_LAYERS];
} fold_case;
static const fold_case fold_cases[] = {
    {"some of everything", {"AF", "AF", "AF", "AF"}},
    {"the first block without attention", {"-F", "AF", "AF", "AF"}},
    {"the first block without FFN", {"A-", "AF", "AF", "AF"}},
    {"the first block gone", {"--", "AF", "AF", "AF"}},
    {"a block without attention", {"AF", "-F", "AF", "AF"}},
    {"a block without FFN", {"AF", "A-", "AF", "AF"}},
    {"two blocks in a row gone", {"AF", "--", "--", "AF"}},
    {"the first three blocks gone", {"--", "--", "--", "AF"}},
    {"the last block without attention", {"AF", "AF", "AF", "-F"}},
    {"the last block without FFN", {"AF", "AF", "AF", "A-"}},
    {"the last two blocks gone", {"AF", "AF", "--", "--"}},
    {"no attention anywhere", {"-F", "-F", "-F", "-F"}},
    {"no FFN anywhere", {"A-", "A-", "A-", "A-"}},
    {"one of each", {"A-", "-F", "--", "AF"}},
    {"every block gone", {"--", "--", "--", "--"}},
};
enum { FOLD_CASES = sizeof fold_cases / sizeof *fold_cases };

static inline void fold_or_die(tc_status status, const tc_error *err, const char *what) {
    if (status == TC_OK) return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

/* `left`: blocks of which some lack attention, an FFN or all but its last bias already. */
static inline tc_config fold_vit(bool left) {
    tc_config c = {.embed_dim = FOLD_EMBED,
                   .image_size = 9, /* two patches a side, one pixel over */
                   .context_length = FOLD_CONTEXT,
                   .vocab_size = FOLD_IDS,
                   .eos_id = -1};
    c.vision = (tc_tower_config){
        .family = &tc_vit, .patch_size = 4, .width = 16, .layers = FOLD_LAYERS, .head_dim = 4};
    c.text = (tc_tower_config){.family = &tc_text_transformer,
                               .width = 20,
                               .layers = FOLD_LAYERS,
                               .head_dim = 5,
                               .activation = TC_QUICK_GELU};
    for (int l = 0; l < FOLD_LAYERS; l++) {
        c.vision.block[l].heads = c.text.block[l].heads = 4;
        c.vision.block[l].ffn = 24;
        c.text.block[l].ffn = 17;
    }
    if (left) {
        c.vision.block[0].ffn = 0, c.vision.block[1].heads = 3, c.vision.block[2].heads = 0,
        c.vision.block[3].ffn = -1;
        c.text.block[0].heads = 0, c.text.block[1].ffn = -1, c.text.block[2].heads = 0,
        c.text.block[2].ffn = -1, c.text.block[3].ffn = 0;
    }
    return c;
}

static inline tc_config fold_resnet(void) {
    tc_config c = fold_vit(false);
    c.image_size = 32;
    c.vision = (tc_tower_config){
        .family = &tc_modified_resnet, .width = 8, .layers = 5, .head_dim = 16, .activation = TC_QUICK_GELU};
    c.vision.block[0].heads = 16;
    c.vision.stages[0] = c.vision.stages[2] = c.vision.stages[3] = 1;
    c.vision.stages[1] = 2;
    tc_resnet_fill(&c.vision);
    return c;
}

/* Weights of some size everywhere, biases and norms too; variances are positive. */
static inline void fold_values(tc_model *m, uint64_t seed) {
    tc_rng rng = tc_rng_make(seed, 7, 7);
    for (size_t i = 0; i < m->params.count; i++) {
        const tc_param *p = &m->params.items[i];
        int64_t inputs = 1;
        for (int k = 1; k < p->ndim; k++) inputs *= p->shape[k];
        double size = p->ndim > 2 ? 1 / sqrt((double)inputs) : 0.3;
        for (int64_t k = 0; k < p->numel; k++) {
            double x = p->init_mean + (p->ndim ? size * tc_rng_normal(&rng) : 0);
            m->flat[p->offset + k] =
                (tc_real)(float)(tc_param_is(p, TC_ROLE_STATE) ? fabs(x) + (p->ndim ? 0.1 : 0) : x);
        }
    }
}

static inline tc_model *fold_model(const tc_config *c, uint64_t seed) {
    tc_model *m = NULL;
    tc_error err;
    fold_or_die(tc_model_random(&m, c, seed, &err), &err, "model");
    fold_values(m, seed);
    fold_or_die(tc_model_finish(m, &err), &err, "model");
    return m;
}

/* Which inner channels of a ResNet are all gone; without those of the stem nothing of an image is left. */
typedef enum fold_gone { FOLD_NONE_GONE, FOLD_BLOCKS_GONE, FOLD_STEM_GONE } fold_gone;

static inline bool fold_is_gone(const tc_mask_site *s, const fold_case *c, fold_gone channels) {
    if (s->group == TC_GROUP_HEADS) return c->blocks[s->layer][0] == '-';
    if (s->group == TC_GROUP_FFN) return c->blocks[s->layer][1] == '-';
    return s->group == TC_GROUP_CHANNELS &&
           (channels == FOLD_BLOCKS_GONE ? s->layer % 3 == 2 : channels == FOLD_STEM_GONE && s->layer < 2);
}

/* A fifth of the members is 0, a fifth 1; of the width the first stays. */
static inline tc_real *fold_mask(const tc_mask_sites *sites, const fold_case *image, const fold_case *text,
                                 fold_gone channels, uint64_t seed) {
    tc_real *mask = tc_new((size_t)sites->total, sizeof *mask);
    tc_rng rng = tc_rng_make(seed, 8, 8);
    for (size_t i = 0; i < sites->count && mask; i++) {
        const tc_mask_site *s = &sites->items[i];
        bool gone = fold_is_gone(s, s->tower == TC_TOWER_TEXT ? text : image, channels);
        for (int k = 0; k < s->size; k++) {
            double u = tc_rng_uniform(&rng);
            bool dropped = gone || (u < 0.2 && !(s->group == TC_GROUP_WIDTH && k == 0));
            mask[s->offset + k] = (tc_real)(dropped ? 0 : u < 0.4 ? 1 : (double)(float)(1.2 - u));
        }
    }
    return mask;
}

/* A model on its way through one tower. */
typedef struct fold_pass {
    tc_graph *g;
    tc_runner *r;
    tc_real **grad; /* [params] */
    tc_real *mask_grad;
    const tc_real **param;
    size_t params;
    tc_real *pixels;
    int32_t ids[FOLD_TEXTS * FOLD_CONTEXT], seq[FOLD_TEXTS + 1];
    int rows;
} fold_pass;

static inline void fold_feed(fold_pass *p, const tc_config *c, bool text, tc_feed *feed) {
    tc_rng rng = tc_rng_make(5, 9, (uint64_t)text);
    if (text) {
        for (int i = 0; i < FOLD_TEXTS; i++) {
            int length = 2 + 2 * i > FOLD_CONTEXT ? FOLD_CONTEXT : 2 + 2 * i;
            for (int k = 0; k < length; k++)
                p->ids[p->seq[i] + k] =
                    k + 1 == length ? FOLD_IDS - 1 : (int32_t)tc_rng_below(&rng, FOLD_IDS - 1);
            p->seq[i + 1] = p->seq[i] + length;
        }
        *feed = (tc_feed){.batch = FOLD_TEXTS, .ids = p->ids, .seq = p->seq};
        return;
    }
    int64_t n = (int64_t)FOLD_IMAGES * 3 * c->image_size * c->image_size;
    p->pixels = tc_new((size_t)n, sizeof *p->pixels);
    for (int64_t i = 0; i < n && p->pixels; i++) p->pixels[i] = (tc_real)tc_rng_normal(&rng);
    *feed = (tc_feed){.batch = FOLD_IMAGES, .pixels = p->pixels};
}

/* Runs a tower forwards; with mask NULL as it is. */
static inline void fold_forward(fold_pass *p, const tc_model *m, const tc_mask_sites *sites,
                                const tc_real *mask, bool text, unsigned flags, bool train) {
    tc_error err;
    tc_feed feed;
    *p = (fold_pass){.params = m->params.count, .rows = text ? FOLD_TEXTS : FOLD_IMAGES};
    p->param = tc_new(p->params, sizeof *p->param);
    p->grad = tc_new(p->params, sizeof *p->grad);
    for (size_t i = 0; i < p->params; i++) {
        p->param[i] = m->flat + m->params.items[i].offset;
        p->grad[i] = tc_new((size_t)m->params.items[i].numel, sizeof **p->grad);
    }
    p->mask_grad = sites ? tc_new((size_t)sites->total, sizeof *p->mask_grad) : NULL;
    fold_or_die(
        tc_net_graph(&p->g, text ? TC_TOWER_TEXT : TC_TOWER_VISION, &m->config, &m->params, flags, &err),
        &err, "graph");
    if (mask) tc_graph_mask(p->g, sites);
    if (train) tc_graph_fuse(p->g, true); /* fused for inference it would want prepared weights */
    fold_or_die(tc_runner_create(&p->r, p->g, p->param, train ? p->grad : NULL, NULL, false, &err), &err,
                "runner");
    p->r->mask = mask;
    p->r->mask_grad = p->mask_grad;
    fold_feed(p, &m->config, text, &feed);
    fold_or_die(tc_runner_forward(p->r, &feed, &err), &err, "forward");
}

static inline void fold_pass_free(fold_pass *p) {
    tc_runner_free(&p->r);
    tc_graph_free(&p->g);
    for (size_t i = 0; i < p->params; i++) free(p->grad[i]);
    free(p->grad);
    free(p->mask_grad);
    free(p->param);
    free(p->pixels);
}

/* Largest difference of the outputs of the masked and of the folded model, over the largest output; of
 * training passes with `train`. */
static inline double fold_distance(const tc_model *masked, const tc_mask_sites *sites, const tc_real *mask,
                                   const tc_model *folded, bool text, unsigned flags, bool train) {
    fold_pass a, b;
    double most = 0, size = 0;
    fold_forward(&a, masked, sites, mask, text, flags, train);
    fold_forward(&b, folded, NULL, NULL, text, flags, train);
    const tc_real *x = tc_runner_output(a.r), *y = tc_runner_output(b.r);
    for (int i = 0; i < a.rows * FOLD_EMBED; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
        size = fmax(size, fabs((double)x[i]));
    }
    fold_pass_free(&a);
    fold_pass_free(&b);
    return size > 0 ? most / size : INFINITY;
}

static inline tc_model *fold_folded(const tc_model *m, const tc_mask_sites *sites, const tc_real *mask) {
    tc_model *folded = NULL;
    tc_error err;
    fold_or_die(tc_model_fold(&folded, m, sites, mask, &err), &err, "fold");
    return folded;
}

static inline tc_mask_sites fold_sites(const tc_model *m) {
    tc_mask_sites sites;
    tc_error err;
    fold_or_die(tc_mask_sites_create(&sites, &m->params, &err), &err, "sites");
    return sites;
}

/* Compares a masked model with the folded one; `name` is what is taken away from its image tower. */
typedef void (*fold_compare)(const tc_model *masked, const tc_mask_sites *sites, const tc_real *mask,
                             const tc_model *folded, const char *what, const char *name);

/* Masked against folded, then the folded model against itself folded once more. */
static inline void fold_check_twice(const tc_config *c, const fold_case *image, const fold_case *text,
                                    fold_gone channels, uint64_t seed, const char *what,
                                    fold_compare compare) {
    tc_model *m = fold_model(c, seed);
    for (int again = 0; again < 2; again++) {
        tc_mask_sites sites = fold_sites(m);
        tc_real *mask = fold_mask(&sites, image, text, channels, seed + (uint64_t)again);
        tc_model *folded = fold_folded(m, &sites, mask);
        compare(m, &sites, mask, folded, what, image->name);
        free(mask);
        tc_mask_sites_free(&sites);
        tc_model_close(&m);
        m = folded;
    }
    tc_model_close(&m);
}

/* Every case, for transformers as they are made and as they are once pruned, and for ResNets. */
static inline void fold_check_all(fold_compare compare) {
    tc_config whole = fold_vit(false), left = fold_vit(true), resnet = fold_resnet();
    for (int i = 0; i < FOLD_CASES; i++) {
        const fold_case *text = &fold_cases[(i + 4) % FOLD_CASES];
        fold_check_twice(&whole, &fold_cases[i], text, FOLD_NONE_GONE, (uint64_t)i, "transformers", compare);
        fold_check_twice(&left, &fold_cases[i], text, FOLD_NONE_GONE, (uint64_t)i, "pruned transformers",
                         compare);
    }
    for (int i = 0; i < 6; i++)
        fold_check_twice(&resnet, &fold_cases[0], &fold_cases[i], (fold_gone)(i % 3), (uint64_t)i, "ResNet",
                         compare);
}

#endif
