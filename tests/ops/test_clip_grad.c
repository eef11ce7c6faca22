/* test_clip_grad.c - the gradients of all parameters of a small CLIP, and of masks over it, through both
 * towers and the losses against central differences. */
#include "ops/grad_check.h"

#include "graph/run.h"
#include "net/resnet.h"

enum { MAX_PARAMS = 256 };

/* ---- both towers and the losses: all parameters of a small CLIP, logit_scale too */

typedef struct clip {
    tc_config config;
    tc_params params;
    double *value[MAX_PARAMS], *grad[MAX_PARAMS];
    tc_graph *graph[2];
    tc_runner *run[2];
    tc_feed feed[2];
    double *pixels;
    tc_mask_sites sites;
    double *mask, *mask_grad; /* NULL: without masks */
    int scale;                /* the parameter logit_scale */
    double *unit[2], *inverse[2], *teacher[2], *work, *dunit[2];
    tc_loss_input loss;
    double grad_log_scale; /* of the last pass */
} clip;

enum { PAIRS = 4, TEACHER_DIM = 6 };

static tc_config clip_config(tc_activation act) {
    tc_config c = {
        .embed_dim = 5,
        .image_size = 8,
        .context_length = 7,
        .vocab_size = 13,
        .eos_id = -1,
        .vision =
            {.family = &tc_vit, .patch_size = 4, .width = 8, .layers = 3, .head_dim = 4, .activation = act},
        .text = {.family = &tc_text_transformer, .width = 6, .layers = 2, .head_dim = 3, .activation = act}};
    for (int i = 0; i < 3; i++) c.vision.block[i].heads = 2, c.vision.block[i].ffn = 9;
    for (int i = 0; i < 2; i++) c.text.block[i].heads = 2, c.text.block[i].ffn = 11;
    /* As after pruning: other counts in each block, one without heads. */
    c.vision.block[1].heads = 0;
    c.text.block[0].heads = 1;
    return c;
}

/* A pruned model: no width is a multiple of the heads' size; blocks without heads, with an FFN of which only
 * the bias is left, without any, with nothing at all; `last` is what the last block of each tower has lost.
 */
static tc_config pruned_config(tc_activation act, int last) {
    static const int image[5][2] = {{2, 9}, {0, 9}, {2, 0}, {1, -1}, {2, 5}},
                     text[5][2] = {{1, 11}, {2, 0}, {0, -1}, {0, 4}, {2, 5}};
    tc_config c = clip_config(act);
    c.vision = (tc_tower_config){
        .family = &tc_vit, .patch_size = 4, .width = 9, .layers = 5, .head_dim = 4, .activation = act};
    c.text = (tc_tower_config){
        .family = &tc_text_transformer, .width = 7, .layers = 5, .head_dim = 3, .activation = act};
    for (int l = 0; l < 5; l++) {
        c.vision.block[l].heads = image[l][0], c.vision.block[l].ffn = image[l][1];
        c.text.block[l].heads = text[l][0], c.text.block[l].ffn = text[l][1];
    }
    if (last == 1) c.vision.block[4].heads = c.text.block[4].heads = 0;
    if (last == 2) c.vision.block[4].ffn = c.text.block[4].ffn = 0;
    if (last == 3) c.vision.block[4].ffn = c.text.block[4].ffn = -1;
    if (last == 4)
        c.vision.block[4].heads = 0, c.vision.block[4].ffn = -1, c.text.block[4].heads = 0,
        c.text.block[4].ffn = -1;
    return c;
}

/* ---- masks */

/* Of each width the first two channels, of the heads of block 0 the first, of those of block 1 all, of the
 * FFN channels of block 0 all are dropped; of a ResNet's channels the first where there are more. The rest
 * are fractions, some of them 1. */
enum { DROPPED_WIDTH = 2 };

static bool drops_all(const tc_mask_site *s) {
    return (s->group == TC_GROUP_HEADS && s->layer == 1) || (s->group == TC_GROUP_FFN && s->layer == 0);
}

static void make_masks(clip *t, tc_rng *rng) {
    tc_error err;
    assert_int_equal(tc_mask_sites_create(&t->sites, &t->params, &err), TC_OK);
    t->mask = tc_new((size_t)t->sites.total, sizeof *t->mask);
    t->mask_grad = tc_new((size_t)t->sites.total, sizeof *t->mask_grad);
    assert_true(t->mask && t->mask_grad);
    for (size_t i = 0; i < t->sites.count; i++) {
        const tc_mask_site *s = &t->sites.items[i];
        int dropped = s->group == TC_GROUP_WIDTH ? DROPPED_WIDTH : drops_all(s) ? s->size : s->size > 1;
        for (int k = 0; k < s->size; k++) {
            t->mask[s->offset + k] = k < dropped ? 0 : tc_rng_below(rng, 3) ? 0.3 + tc_rng_uniform(rng) : 1;
            t->mask_grad[s->offset + k] = tc_rng_normal(rng);
        }
    }
}

static bool all_dropped(const clip *t, const tc_param *p, tc_group group) {
    int site = t->mask ? tc_mask_sites_find(&t->sites, p->tower, group, p->layer) : -1;
    return site >= 0 && drops_all(&t->sites.items[site]);
}

/* Parameters that nothing depends on: before an FFN without channels, or a mask that drops all heads or
 * channels of a block. */
static bool is_idle(const clip *t, const tc_param *p) {
    const tc_tower_config *tower = p->tower == TC_TOWER_VISION ? &t->config.vision : &t->config.text;
    bool vit = p->tower == TC_TOWER_TEXT || t->config.vision.family == &tc_vit;
    if (p->numel == 0 || tc_param_is(p, TC_ROLE_STATE)) return true;
    if (p->layer < 0 || !vit) return false;
    if (strstr(p->name, ".ln_2.") || strstr(p->name, ".c_fc."))
        return all_dropped(t, p, TC_GROUP_FFN) ||
               (tower->block[p->layer].ffn == 0 && strstr(p->name, ".ln_2."));
    if (strstr(p->name, "c_proj.weight")) return all_dropped(t, p, TC_GROUP_FFN);
    return (strstr(p->name, ".ln_1.") || strstr(p->name, ".in_proj_") ||
            strstr(p->name, "out_proj.weight")) &&
           all_dropped(t, p, TC_GROUP_HEADS);
}

static double clip_loss(void *context) {
    clip *t = context;
    tc_loss_result result;
    for (int i = 0; i < 2; i++) {
        tc_error err;
        if (tc_runner_forward(t->run[i], &t->feed[i], &err) != TC_OK) fail_msg("%s", err.message);
        tc_kern_get()->l2norm(PAIRS, t->config.embed_dim, tc_runner_output(t->run[i]), t->unit[i],
                              t->inverse[i]);
    }
    t->loss.scale = exp(t->value[t->scale][0]);
    tc_loss(tc_kern_get(), &t->loss, t->dunit[0], t->dunit[1], &result);
    t->grad_log_scale = result.grad_log_scale;
    return result.loss;
}

static void clip_backward(clip *t) {
    clip_loss(t);
    t->grad[t->scale][0] = t->grad_log_scale;
    for (int i = 0; i < 2; i++) {
        tc_kern_get()->l2norm_backward(PAIRS, t->config.embed_dim, t->unit[i], t->inverse[i], t->dunit[i],
                                       tc_runner_output_grad(t->run[i]));
        tc_runner_backward(t->run[i]);
    }
}

static double *random_rows(tc_rng *rng, int64_t n, double scale) {
    double *x = tc_new((size_t)n, sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = scale * tc_rng_normal(rng);
    return x;
}

static void clip_buffers(clip *t, tc_rng *rng, double soft_weight) {
    const tc_config *c = &t->config;
    t->pixels = random_rows(rng, (int64_t)PAIRS * 3 * c->image_size * c->image_size, 1);
    for (size_t i = 0; i < t->params.count; i++) {
        const tc_param *p = &t->params.items[i];
        /* Larger than CLIP's initial values, so that no gradient is small. */
        t->value[i] = random_rows(rng, p->numel, 0.4);
        t->grad[i] = random_rows(rng, p->numel, 1);
        for (int64_t k = 0; k < p->numel; k++) t->value[i][k] += p->init_mean;
    }
    for (int i = 0; i < 2; i++) {
        t->unit[i] = random_rows(rng, PAIRS * c->embed_dim, 1);
        t->dunit[i] = random_rows(rng, PAIRS * c->embed_dim, 1);
        t->inverse[i] = random_rows(rng, PAIRS, 1);
        t->teacher[i] = random_rows(rng, PAIRS * TEACHER_DIM, 1);
        tc_kern_get()->l2norm(PAIRS, TEACHER_DIM, t->teacher[i], t->teacher[i], NULL);
    }
    t->work = random_rows(rng, tc_loss_work(PAIRS), 1);
    t->loss = (tc_loss_input){.n = PAIRS,
                              .dim = c->embed_dim,
                              .teacher_dim = TEACHER_DIM,
                              .image = t->unit[0],
                              .text = t->unit[1],
                              .teacher_image = t->teacher[0],
                              .teacher_text = t->teacher[1],
                              .teacher_scale = 3,
                              .soft_weight = soft_weight,
                              .hard_weight = 1 - soft_weight,
                              .work = t->work};
    t->value[t->scale][0] = 1.1;
}

static void clip_free(clip *t) {
    for (size_t i = 0; i < t->params.count; i++) {
        free(t->value[i]);
        free(t->grad[i]);
    }
    for (int i = 0; i < 2; i++) {
        tc_runner_free(&t->run[i]);
        tc_graph_free(&t->graph[i]);
        free(t->unit[i]);
        free(t->dunit[i]);
        free(t->inverse[i]);
        free(t->teacher[i]);
    }
    tc_mask_sites_free(&t->sites);
    free(t->mask);
    free(t->mask_grad);
    tc_params_free(&t->params);
    free(t->pixels);
    free(t->work);
}

/* Softmax does not see the bias of the keys: its gradient is rounding. */
static bool is_key_bias(const tc_param *p) { return strstr(p->name, "k_proj.bias") != NULL; }

static void check_key_bias(const double *g, int64_t n) {
    for (int64_t i = 0; i < n; i++) assert_true(fabs(g[i]) < 1e-14);
}

/* ReLU has a kink that the steps of the differences cross here and there; GELU has none. */
static void make_smooth(tc_graph *g) {
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].act == TC_ACT_RELU) g->nodes[i].act = TC_ACT_GELU;
}

enum { SMOOTH = 1, FUSED = 2 };

static void open_graphs(clip *t, unsigned flags, unsigned how) {
    tc_error err;
    assert_int_equal(tc_net_graph(&t->graph[0], TC_TOWER_VISION, &t->config, &t->params, flags, &err), TC_OK);
    assert_int_equal(tc_net_graph(&t->graph[1], TC_TOWER_TEXT, &t->config, &t->params, flags, &err), TC_OK);
    for (int i = 0; i < 2; i++) {
        if (t->mask) tc_graph_mask(t->graph[i], &t->sites);
        if (how & SMOOTH) make_smooth(t->graph[i]);
        if (how & FUSED) tc_graph_fuse(t->graph[i], true);
        if (t->graph[i]->failed) fail_msg("%s", t->graph[i]->message);
        assert_int_equal(tc_runner_create(&t->run[i], t->graph[i], (const tc_real *const *)t->value, t->grad,
                                          NULL, false, &err),
                         TC_OK);
        t->run[i]->mask = t->mask;
        t->run[i]->mask_grad = t->mask_grad;
    }
}

static void check_masks(clip *t) {
    for (size_t i = 0; i < t->sites.count; i++) {
        const tc_mask_site *s = &t->sites.items[i];
        /* A channel of the width that is dropped reaches nothing; what it would be worth is not asked. */
        int first = s->group == TC_GROUP_WIDTH ? DROPPED_WIDTH : 0;
        char name[64];
        snprintf(name, sizeof name, "the mask of group %d in block %d of tower %d", (int)s->group, s->layer,
                 s->tower);
        check_gradient("masked clip", name, t->mask + s->offset + first, t->mask_grad + s->offset + first,
                       s->size - first, clip_loss, t);
        for (int k = 0; k < first; k++) assert_true(t->mask_grad[s->offset + k] == 0);
    }
}

/* One pass forwards and backwards. */
static void clip_run(clip *t, const tc_config *config, unsigned flags, double soft_weight, bool masked,
                     unsigned how) {
    static const int32_t seq[] = {0, 3, 4, 11, 13}, ids[] = {11, 4, 12, 12, 11, 5, 4, 4, 0, 7, 12, 11, 12};
    tc_rng rng = tc_rng_make(3, config->vision.activation, flags);
    tc_error err;
    *t = (clip){.config = *config};
    assert_int_equal(tc_net_params(&t->params, &t->config, &err), TC_OK);
    assert_in_range(t->params.count, 1, MAX_PARAMS);
    t->scale = tc_params_find(&t->params, "logit_scale");
    clip_buffers(t, &rng, soft_weight);
    if (masked) make_masks(t, &rng);
    t->feed[0] = (tc_feed){.batch = PAIRS, .pixels = t->pixels};
    t->feed[1] = (tc_feed){.batch = PAIRS, .ids = ids, .seq = seq};
    open_graphs(t, flags, how);
    clip_backward(t);
}

/* `most`: numbers at the end of each parameter that are checked; 0: all */
static void check_clip(const tc_config *config, unsigned flags, double soft_weight, bool masked, unsigned how,
                       int most) {
    clip t;
    clip_run(&t, config, flags, soft_weight, masked, how);
    for (size_t i = 0; i < t.params.count; i++) {
        const tc_param *p = &t.params.items[i];
        int64_t n = most && p->numel > most ? most : p->numel, from = p->numel - n;
        if (is_key_bias(p)) check_key_bias(t.grad[i], p->numel);
        else if (!is_idle(&t, p))
            check_gradient(masked ? "masked clip" : "clip", p->name, t.value[i] + from, t.grad[i] + from, n,
                           clip_loss, &t);
        for (int64_t k = 0; k < p->numel && is_idle(&t, p) && !tc_param_is(p, TC_ROLE_STATE); k++)
            assert_true(t.grad[i][k] == 0);
    }
    check_masks(&t);
    clip_free(&t);
}

static void whole_clip(void **state) {
    (void)state;
    tc_config gelu = clip_config(TC_GELU), quick_gelu = clip_config(TC_QUICK_GELU);
    check_clip(&gelu, 0, 1, false, 0, 0);
    check_clip(&quick_gelu, 0, 0.3, false, 0, 0);
    check_clip(&gelu, TC_NET_WHOLE, 0, false, 0, 0);
}

static void pruned_clip(void **state) {
    (void)state;
    for (int last = 0; last < 5; last++) {
        tc_config c = pruned_config(last % 2 ? TC_QUICK_GELU : TC_GELU, last);
        check_clip(&c, 0, 0.5, false, 0, 0);
        if (last == 0) check_clip(&c, TC_NET_WHOLE, 0.5, false, 0, 0);
    }
}

static void masked_clip(void **state) {
    (void)state;
    tc_config whole = clip_config(TC_GELU);
    check_clip(&whole, 0, 0.5, true, FUSED, 0);
    check_clip(&whole, TC_NET_WHOLE, 0.5, true, FUSED, 0);
    for (int last = 0; last < 5; last += 2) {
        tc_config c = pruned_config(last == 2 ? TC_QUICK_GELU : TC_GELU, last);
        check_clip(&c, 0, 0.5, true, FUSED, 0);
    }
}

static tc_config resnet_config(void) {
    tc_config c = clip_config(TC_QUICK_GELU);
    c.image_size = TC_RESNET_STRIDE;
    c.vision = (tc_tower_config){
        .family = &tc_modified_resnet, .width = 4, .layers = 4, .head_dim = 32, .activation = TC_QUICK_GELU};
    for (int i = 0; i < TC_STAGES; i++) c.vision.stages[i] = 1;
    c.vision.block[0].heads = 4;
    tc_resnet_fill(&c.vision);
    return c;
}

/* A few numbers of each parameter, and all masks. */
static void masked_resnet(void **state) {
    (void)state;
    tc_config c = resnet_config();
    check_clip(&c, 0, 0.5, true, SMOOTH, 2);
}

/* With its own ReLU: what fusing joins changes nothing. */
static void masked_resnet_fused(void **state) {
    (void)state;
    tc_config c = resnet_config();
    clip t[2];
    for (int k = 0; k < 2; k++) clip_run(&t[k], &c, 0, 0.5, true, k ? FUSED : 0);
    assert_true(t[1].graph[0]->node_count < t[0].graph[0]->node_count);
    for (size_t i = 0; i < t[0].params.count; i++)
        for (int64_t k = 0;
             k < t[0].params.items[i].numel && !tc_param_is(&t[0].params.items[i], TC_ROLE_STATE); k++)
            assert_true(fabs(t[0].grad[i][k] - t[1].grad[i][k]) <= 1e-12);
    for (int64_t k = 0; k < t[0].sites.total; k++)
        assert_true(fabs(t[0].mask_grad[k] - t[1].mask_grad[k]) <= 1e-12);
    for (int k = 0; k < 2; k++) clip_free(&t[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_clip), cmocka_unit_test(pruned_clip),
                                       cmocka_unit_test(masked_clip), cmocka_unit_test(masked_resnet),
                                       cmocka_unit_test(masked_resnet_fused)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
