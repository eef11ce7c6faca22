/* test_graph.c - what must not change a result: where the plan puts things, fusion, rows that nobody reads,
 * padding, the rest of the batch, threads.
 *
 * Bit-equality is asked for where the same kernels run on the same rows. Where a matrix product has another
 * number of rows or another epilogue, sums may be taken in another order: then the difference must be at most
 * CLOSE of the largest value, 2^-24 (half a unit of float) times 250 for the sums of at most a hundred terms
 * in each of some ten layers, most of whose errors cancel. */
#include "graph_rig.h"
#include "net/builder.h"

#include <pthread.h>

#define CLOSE (250 * 0x1p-24)

static void expect_close(const char *what, const float *a, const float *b, int64_t n) {
    double most = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)b[i]));
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    if (!(most > 0) || !(worst <= CLOSE * most))
        fail_msg("%s: largest difference %.3g of %.3g", what, worst, most);
}

/* Parameter by parameter, each measured by its own size. */
static void expect_close_grads(const char *what, const net *n, int tower, const float *a, const float *b) {
    for (size_t i = 0; i < n->model->params.count; i++) {
        const tc_param *p = &n->model->params.items[i];
        char label[200];
        snprintf(label, sizeof label, "%s: gradient of %s", what, p->name);
        const tc_tower_config *t =
            tower == TC_TOWER_VISION ? &n->model->config.vision : &n->model->config.text;
        /* Nothing depends on the norm before an FFN without channels. */
        bool idle =
            p->layer >= 0 && t->block[p->layer].ffn == 0 && (p->numel == 0 || strstr(p->name, ".ln_2."));
        if (p->tower == tower && !idle) expect_close(label, a + p->offset, b + p->offset, p->numel);
        for (int64_t k = 0; p->tower == tower && idle && k < p->numel; k++)
            assert_true(a[p->offset + k] == 0 && b[p->offset + k] == 0);
    }
}

static void compare_plans(net *n, bool text) {
    for (unsigned flags = 0; flags <= TC_NET_WHOLE; flags += TC_NET_WHOLE) {
        tc_graph *g = graph_of(n, text, flags);
        tc_runner *planned = runner_of(n, g, true, NULL, false), *kept = runner_of(n, g, true, NULL, true);
        static const int batches[] = {3, MAX_BATCH, 1, 5};
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            tc_feed feed = feed_of(n, text, batches[i], i);
            free(forward(planned, &feed)); /* a first time, so that there is memory to be spoilt */
            free(forward(kept, &feed));
            float *y = forward(planned, &feed), *dy = backward(n, planned), *z = forward(kept, &feed),
                  *dz = backward(n, kept);
            expect_bits("output", y, z, batches[i] * n->model->config.embed_dim);
            expect_bits("gradients", dy, dz, n->model->params.total);
            assert_true(planned->arena_bytes < kept->arena_bytes || n->model->config.vision.layers == 1);
            free(y), free(z), free(dy), free(dz);
        }
        tc_runner_free(&planned);
        tc_runner_free(&kept);
        tc_graph_free(&g);
    }
}

static void memory_plan(void **state) {
    (void)state;
    each(compare_plans);
}

static void compare_fused(net *n, bool text) {
    for (unsigned flags = 0; flags <= TC_NET_WHOLE; flags += TC_NET_WHOLE) {
        tc_graph *plain = graph_of(n, text, flags), *fused = graph_of(n, text, flags);
        tc_prepared packed = {0};
        tc_error err;
        size_t before = fused->node_count;
        tc_graph_fuse(fused, false);
        assert_true(fused->node_count < before);
        if (tc_prepare(&packed, fused, NULL, "f32", n->value, NULL, &err) != TC_OK)
            fail_msg("%s", err.message);
        tc_runner *a = runner_of(n, plain, false, NULL, false),
                  *b = runner_of(n, fused, false, &packed, false),
                  *c = runner_of(n, fused, false, &packed, true);
        for (int batch = 1; batch <= MAX_BATCH; batch += 4) {
            tc_feed feed = feed_of(n, text, batch, 9);
            int64_t count = batch * n->model->config.embed_dim;
            float *x = forward(a, &feed), *first = forward(b, &feed), *y = forward(b, &feed),
                  *kept = forward(c, &feed);
            expect_close("fused", y, x, count);
            expect_bits("fused, again", y, first, count);
            expect_bits("fused, every value kept", y, kept, count);
            free(x), free(y), free(first), free(kept);
        }
        tc_runner_free(&a);
        tc_runner_free(&b);
        tc_runner_free(&c);
        tc_prepared_free(&packed);
        tc_graph_free(&plain);
        tc_graph_free(&fused);
    }
}

static void fusion(void **state) {
    (void)state;
    each(compare_fused);
}

/* A residual that is read again later, or that is the graph's input, must not be overwritten; two readers of
 * a product forbid joining it. */
static void no_fusion(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        net n;
        net_open(&n, 1);
        float y[2][3 * 15], x[3 * 15];
        tc_rng rng = tc_rng_make(2, 2, 2);
        for (int i = 0; i < 3 * 15; i++) x[i] = (float)tc_rng_normal(&rng);
        for (int fused = 0; fused < 2; fused++) {
            tc_graph *g = tc_graph_create(&n.model->params);
            const char *block = "visual.transformer.resblocks.0.";
            int space = tc_graph_space(g, 1), in = tc_graph_input(g, space, 15);
            int r = kind == 1 ? in
                              : tc_net_layer(g, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {in}},
                                             block, "ln_1.weight", "ln_1.bias");
            int a = tc_net_layer(g, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {r}}, block,
                                 "attn.out_proj.weight", "attn.out_proj.bias");
            g->output = tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {r, a}}, "", NULL, NULL);
            if (kind == 0)
                g->output = tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {g->output, r}}, "",
                                         NULL, NULL);
            if (kind == 2)
                g->output = tc_net_layer(g, (tc_node){.op = &tc_op_add, .nin = 2, .in = {g->output, a}}, "",
                                         NULL, NULL);
            size_t nodes = g->node_count;
            tc_prepared packed = {0};
            if (fused) tc_graph_fuse(g, false);
            assert_int_equal(g->node_count, nodes);
            assert_int_equal(tc_prepare(&packed, g, NULL, "f32", n.value, NULL, NULL), TC_OK);
            tc_runner *run = runner_of(&n, g, false, &packed, false);
            assert_int_equal(tc_runner_forward(run, &(tc_feed){.batch = 3, .pixels = x}, NULL), TC_OK);
            memcpy(y[fused], tc_runner_output(run), sizeof *y);
            tc_runner_free(&run);
            tc_prepared_free(&packed);
            tc_graph_free(&g);
        }
        expect_bits("not fused", y[1], y[0], 3 * 15);
        net_close(&n);
    }
}

/* ---- masks */

typedef struct masks {
    tc_mask_sites sites;
    float *mask, *grad;
} masks;

/* ones: every member as it is; else a third of the members dropped, a third left, a third scaled. */
static void masks_open(masks *m, const net *n, bool ones) {
    tc_error err;
    tc_rng rng = tc_rng_make(8, 1, 0);
    if (tc_mask_sites_create(&m->sites, &n->model->params, &err) != TC_OK) fail_msg("%s", err.message);
    m->mask = tc_new((size_t)m->sites.total, sizeof *m->mask);
    m->grad = tc_new((size_t)m->sites.total, sizeof *m->grad);
    assert_true(m->mask && m->grad);
    for (int64_t i = 0; i < m->sites.total; i++) m->mask[i] = ones ? 1 : (float)tc_rng_below(&rng, 3) / 2;
}

static void masks_close(masks *m) {
    tc_mask_sites_free(&m->sites);
    free(m->mask);
    free(m->grad);
}

static tc_graph *masked_graph(const net *n, const masks *m, bool text, unsigned flags) {
    tc_graph *g = graph_of(n, text, flags);
    tc_graph_mask(g, &m->sites);
    if (g->failed) fail_msg("%s", g->message);
    return g;
}

static tc_runner *masked_runner(const net *n, masks *m, const tc_graph *g, bool train,
                                const tc_prepared *prepared, bool keep_all) {
    tc_runner *r = runner_of(n, g, train, prepared, keep_all);
    r->mask = m->mask;
    r->mask_grad = m->grad;
    return r;
}

/* Equal numbers; 0 has two signs. */
static void expect_equal(const char *what, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == b[i]))
            fail_msg("%s: element %lld of %lld: %.9g and %.9g", what, (long long)i, (long long)n,
                     (double)a[i], (double)b[i]);
}

/* The gradients of the masks of one tower; those of the other are left alone. */
static float *mask_grads(net *n, masks *m, tc_runner *r, bool text, float **weights) {
    for (int64_t i = 0; i < m->sites.total; i++) m->grad[i] = 77;
    *weights = backward(n, r);
    for (size_t i = 0; i < m->sites.count; i++)
        for (int k = 0; k < m->sites.items[i].size; k++)
            assert_true((m->sites.items[i].tower == TC_TOWER_TEXT) == text ||
                        m->grad[m->sites.items[i].offset + k] == 77);
    return copy_of(m->grad, m->sites.total);
}

static void compare_masked_plans(net *n, bool text) {
    for (int fused = 0; fused < 2; fused++) {
        masks m;
        masks_open(&m, n, false);
        tc_graph *g = masked_graph(n, &m, text, fused ? 0 : TC_NET_WHOLE);
        if (fused) tc_graph_fuse(g, true);
        tc_runner *planned = masked_runner(n, &m, g, true, NULL, false),
                  *kept = masked_runner(n, &m, g, true, NULL, true);
        for (int batch = 5; batch > 0; batch -= 2) {
            tc_feed feed = feed_of(n, text, batch, (uint64_t)batch);
            free(forward(planned, &feed)); /* a first time, so that there is memory to be spoilt */
            free(forward(kept, &feed));
            float *dy, *dz, *y = forward(planned, &feed), *dm = mask_grads(n, &m, planned, text, &dy);
            float *z = forward(kept, &feed), *dk = mask_grads(n, &m, kept, text, &dz);
            expect_bits("output", y, z, batch * n->model->config.embed_dim);
            expect_bits("gradients", dy, dz, n->model->params.total);
            expect_bits("gradients of the masks", dm, dk, m.sites.total);
            free(y), free(z), free(dy), free(dz), free(dm), free(dk);
        }
        tc_runner_free(&planned);
        tc_runner_free(&kept);
        tc_graph_free(&g);
        masks_close(&m);
    }
}

static void masked_memory_plan(void **state) {
    (void)state;
    each(compare_masked_plans);
}

/* Masks of 1 change no number. */
static void compare_ones(net *n, bool text) {
    masks m;
    masks_open(&m, n, true);
    tc_graph *plain = graph_of(n, text, 0), *masked = masked_graph(n, &m, text, 0);
    tc_graph_fuse(plain, true);
    tc_graph_fuse(masked, true);
    tc_runner *a = runner_of(n, plain, true, NULL, false),
              *b = masked_runner(n, &m, masked, true, NULL, false);
    tc_feed feed = feed_of(n, text, 5, 4);
    free(forward(a, &feed));
    free(forward(b, &feed));
    float *x = forward(a, &feed), *dx = backward(n, a), *y = forward(b, &feed), *dy = backward(n, b);
    expect_equal("output", y, x, 5 * n->model->config.embed_dim);
    expect_equal("gradients", dy, dx, n->model->params.total);
    free(x), free(dx), free(y), free(dy);
    tc_runner_free(&a);
    tc_runner_free(&b);
    tc_graph_free(&plain);
    tc_graph_free(&masked);
    masks_close(&m);
}

static void masks_of_one(void **state) {
    (void)state;
    each(compare_ones);
}

/* What is joined for inference is not what a mask stands between. */
static void compare_masked_fused(net *n, bool text) {
    masks m;
    masks_open(&m, n, false);
    tc_graph *plain = masked_graph(n, &m, text, 0), *fused = masked_graph(n, &m, text, 0);
    tc_prepared packed = {0};
    tc_error err;
    tc_graph_fuse(fused, false);
    if (tc_prepare(&packed, fused, NULL, "f32", n->value, NULL, &err) != TC_OK) fail_msg("%s", err.message);
    tc_runner *a = masked_runner(n, &m, plain, false, NULL, false),
              *b = masked_runner(n, &m, fused, false, &packed, false);
    tc_feed feed = feed_of(n, text, 5, 9);
    free(forward(b, &feed));
    float *x = forward(a, &feed), *y = forward(b, &feed);
    expect_close("masked and fused", y, x, 5 * n->model->config.embed_dim);
    free(x), free(y);
    tc_runner_free(&a);
    tc_runner_free(&b);
    tc_prepared_free(&packed);
    tc_graph_free(&plain);
    tc_graph_free(&fused);
    masks_close(&m);
}

static void masked_fusion(void **state) {
    (void)state;
    each(compare_masked_fused);
}

/* Masks that are missing, or those of another model. */
static void wrong_masks(void **state) {
    (void)state;
    net n, other;
    masks m, others;
    tc_error err;
    net_open(&n, 0);
    net_open(&other, 1);
    masks_open(&m, &n, true);
    masks_open(&others, &other, true);
    for (int text = 0; text < 2; text++) {
        tc_graph *g = graph_of(&n, text, 0);
        tc_graph_mask(g, &others.sites);
        assert_true(g->failed);
        if (!strstr(g->message, "does not fit")) fail_msg("%s", g->message);
        tc_graph_free(&g);
        g = masked_graph(&n, &m, text, 0);
        for (int train = 0; train < 2; train++) {
            tc_runner *r = runner_of(&n, g, train, NULL, false);
            tc_feed feed = feed_of(&n, text, 1, 1);
            if (train) r->mask = m.mask;
            assert_int_equal(tc_runner_forward(r, &feed, &err), TC_EARG);
            assert_string_equal(err.message, "a graph with masks is run without them");
            tc_runner_free(&r);
        }
        tc_graph_free(&g);
    }
    masks_close(&m);
    masks_close(&others);
    net_close(&n);
    net_close(&other);
}

static void compare_whole(net *n, bool text) {
    tc_graph *last = graph_of(n, text, 0), *whole = graph_of(n, text, TC_NET_WHOLE);
    tc_runner *a = runner_of(n, last, true, NULL, false), *b = runner_of(n, whole, true, NULL, false);
    for (int batch = 1; batch <= 5; batch += 2) {
        tc_feed feed = feed_of(n, text, batch, 4);
        float *y = forward(a, &feed), *dy = backward(n, a), *z = forward(b, &feed), *dz = backward(n, b);
        expect_close("last row only", y, z, batch * n->model->config.embed_dim);
        expect_close_grads("last row only", n, text ? TC_TOWER_TEXT : TC_TOWER_VISION, dy, dz);
        free(y), free(z), free(dy), free(dz);
    }
    assert_true(tc_graph_macs(last, 10) < tc_graph_macs(whole, 10) || n->model->config.text.layers == 1);
    tc_runner_free(&a);
    tc_runner_free(&b);
    tc_graph_free(&last);
    tc_graph_free(&whole);
}

static void last_row_only(void **state) {
    (void)state;
    each(compare_whole);
}

static void compare_batches(net *n, bool text) {
    tc_graph *g = graph_of(n, text, 0);
    tc_runner *together = runner_of(n, g, false, NULL, false), *alone = runner_of(n, g, false, NULL, false);
    tc_feed feed = feed_of(n, text, MAX_BATCH, 6);
    int e = n->model->config.embed_dim;
    int64_t size = 3 * (int64_t)n->model->config.image_size * n->model->config.image_size;
    float *all = forward(together, &feed);
    for (int s = 0; s < MAX_BATCH; s++) {
        const int32_t seq[2] = {0, n->seq[s + 1] - n->seq[s]};
        tc_feed single = text ? (tc_feed){.batch = 1, .ids = n->ids + n->seq[s], .seq = seq}
                              : (tc_feed){.batch = 1, .pixels = n->pixels + s * size};
        float *one = forward(alone, &single);
        expect_close("alone", one, all + s * e, e);
        free(one);
    }
    free(all);
    tc_runner_free(&together);
    tc_runner_free(&alone);
    tc_graph_free(&g);
}

static void batch_composition(void **state) {
    (void)state;
    each(compare_batches);
}

/* Rows behind the end-of-text token change nothing before them. */
static void cut_captions(void **state) {
    (void)state;
    net n;
    net_open(&n, 2);
    const tc_config *c = &n.model->config;
    tc_graph *g = graph_of(&n, true, TC_NET_WHOLE | TC_NET_NAMED);
    tc_runner *cut = runner_of(&n, g, false, NULL, true), *padded = runner_of(&n, g, false, NULL, true);
    char last[32];
    snprintf(last, sizeof last, "text_hidden_%d", c->text.layers);
    int v = tc_graph_find(g, last);
    assert_true(v >= 0);
    for (int length = 1; length < c->context_length; length += 5) {
        feed_of(&n, true, 1, (uint64_t)length);
        const int32_t short_seq[2] = {0, length}, long_seq[2] = {0, c->context_length};
        for (int i = 0; i < c->context_length; i++)
            n.ids[i] = i < length ? (int32_t)((i * 37 + 11) % c->vocab_size) : 0;
        free(forward(cut, &(tc_feed){.batch = 1, .ids = n.ids, .seq = short_seq}));
        free(forward(padded, &(tc_feed){.batch = 1, .ids = n.ids, .seq = long_seq}));
        expect_close("cut caption", cut->value[v], padded->value[v], (int64_t)length * c->text.width);
    }
    tc_runner_free(&cut);
    tc_runner_free(&padded);
    tc_graph_free(&g);
    net_close(&n);
}

/* ---- sessions */

enum { TEXTS = 7, IMAGES = 5 };

typedef struct job {
    const tc_model *model;
    const float *pixels;
    const int32_t *ids;
    int context;
    float image[IMAGES * 16], text[TEXTS * 16];
    bool ok;
} job;

static void *work(void *arg) {
    job *j = arg;
    tc_session *s = NULL;
    j->ok = tc_session_create(&s, j->model, NULL) == TC_OK;
    for (int i = 0; i < 20 && j->ok; i++) {
        j->ok = tc_session_encode_image(s, j->pixels, IMAGES, j->image, NULL) == TC_OK &&
                tc_session_encode_text(s, j->ids, TEXTS, j->context, j->text, NULL) == TC_OK;
    }
    tc_session_close(&s);
    return NULL;
}

static void fill_texts(const tc_config *c, int32_t *ids, int context, int32_t padding) {
    tc_rng rng = tc_rng_make(8, 0, 0);
    for (int t = 0; t < TEXTS; t++) {
        int length = 1 + (int)tc_rng_below(&rng, (uint64_t)(context < 12 ? context : 12));
        for (int i = 0; i < context; i++) ids[t * context + i] = padding;
        for (int i = 0; i + 1 < length; i++)
            ids[t * context + i] = 1 + (int32_t)tc_rng_below(&rng, (uint64_t)c->vocab_size - 2);
        ids[t * context + length - 1] = c->vocab_size - 1;
    }
}

/* Two threads make their sessions of one model at the same time and run them; a third result comes from this
 * thread alone. */
static void two_threads(void **state) {
    (void)state;
    net n;
    net_open(&n, 2);
    static int32_t ids[TEXTS * 33];
    fill_texts(&n.model->config, ids, 33, 0);
    feed_of(&n, false, IMAGES, 1);
    job jobs[3];
    pthread_t threads[2];
    for (int i = 0; i < 3; i++) {
        memset(&jobs[i], 0, sizeof jobs[i]);
        jobs[i].model = n.model, jobs[i].pixels = n.pixels, jobs[i].ids = ids, jobs[i].context = 33;
    }
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    work(&jobs[2]);
    for (int i = 0; i < 3; i++) {
        assert_true(jobs[i].ok);
        expect_bits("images of a thread", jobs[i].image, jobs[2].image, IMAGES * 16);
        expect_bits("texts of a thread", jobs[i].text, jobs[2].text, TEXTS * 16);
    }
    net_close(&n);
}

/* The padding and its length do not matter; nor does the way in which texts are cut into calls, but for
 * rounding. */
static void padding(void **state) {
    (void)state;
    net n;
    net_open(&n, 2);
    static int32_t ids[TEXTS * 33];
    float text[4][TEXTS * 16];
    tc_session *s = NULL;
    assert_int_equal(tc_session_create(&s, n.model, NULL), TC_OK);
    fill_texts(&n.model->config, ids, 33, 0);
    assert_int_equal(tc_session_encode_text(s, ids, TEXTS, 33, text[0], NULL), TC_OK);
    for (int t = 0; t < TEXTS; t++)
        assert_int_equal(tc_session_encode_text(s, ids + t * 33, 1, 33, text[3] + t * 16, NULL), TC_OK);
    fill_texts(&n.model->config, ids, 33, n.model->config.vocab_size - 1); /* padded with the end itself */
    assert_int_equal(tc_session_encode_text(s, ids, TEXTS, 33, text[1], NULL), TC_OK);
    fill_texts(&n.model->config, ids, 12, 0);
    assert_int_equal(tc_session_encode_text(s, ids, TEXTS, 12, text[2], NULL), TC_OK);
    expect_bits("other padding", text[1], text[0], TEXTS * 16);
    expect_bits("shorter padding", text[2], text[0], TEXTS * 16);
    expect_close("one by one", text[3], text[0], TEXTS * 16);
    tc_session_close(&s);
    net_close(&n);
}

/* More than fits into one pass: the pieces together give what single calls give. */
static void large_batches(void **state) {
    (void)state;
    enum { MANY = 150 };
    net n;
    net_open(&n, 1);
    tc_rng rng = tc_rng_make(9, 9, 9);
    const tc_config *c = &n.model->config;
    int size = 3 * c->image_size * c->image_size, e = c->embed_dim;
    float *pixels = tc_new((size_t)(MANY * size), sizeof *pixels),
          *all = tc_new((size_t)(MANY * e), sizeof *all), one[16];
    tc_session *s = NULL;
    assert_true(pixels && all && tc_session_create(&s, n.model, NULL) == TC_OK);
    for (int i = 0; i < MANY * size; i++) pixels[i] = (float)tc_rng_normal(&rng);
    assert_int_equal(tc_session_encode_image(s, pixels, MANY, all, NULL), TC_OK);
    for (int i = 0; i < MANY; i += 7) {
        assert_int_equal(tc_session_encode_image(s, pixels + i * size, 1, one, NULL), TC_OK);
        expect_close("one of many images", one, all + i * e, e);
    }
    free(pixels);
    free(all);
    tc_session_close(&s);
    net_close(&n);
}

static void wrong_input(void **state) {
    (void)state;
    net n;
    net_open(&n, 1);
    tc_session *s = NULL;
    tc_error err;
    float out[16];
    int32_t ids[6] = {1, 10, 0, 0, 0, 0};
    assert_int_equal(tc_session_create(&s, n.model, NULL), TC_OK);
    ids[3] = 11;
    assert_int_equal(tc_session_encode_text(s, ids, 1, 5, out, &err), TC_EARG);
    assert_string_equal(err.message, "text 0: id 11 at position 3 is outside the vocabulary of 11");
    ids[3] = -1;
    assert_int_equal(tc_session_encode_text(s, ids, 1, 5, out, &err), TC_EARG);
    assert_string_equal(err.message, "text 0: id -1 at position 3 is outside the vocabulary of 11");
    assert_int_equal(tc_session_encode_text(s, ids, 1, 6, out, &err), TC_EARG);
    assert_string_equal(err.message, "texts of 6 ids are longer than the model's context of 5");
    assert_int_equal(tc_session_encode_text(s, ids, 1, 0, out, &err), TC_EARG);
    assert_int_equal(tc_session_encode_text(s, ids, -1, 5, out, &err), TC_EARG);
    assert_int_equal(tc_session_encode_image(s, n.pixels, -1, out, &err), TC_EARG);
    assert_int_equal(tc_session_encode_image(s, n.pixels, 0, out, &err), TC_OK);
    assert_int_equal(tc_session_encode_text(s, ids, 0, 5, out, &err), TC_OK);
    tc_session_close(&s);
    net_close(&n);
}

/* ---- building graphs that do not fit */

static void shapes_that_do_not_fit(void **state) {
    (void)state;
    tc_params params = {0};
    tc_axis axis[2] = {{TC_GROUP_NONE, -1, 1, 1}, {TC_GROUP_NONE, -1, 1, 1}};
    int w = tc_params_add(&params, "w", 0, -1, 2, (int64_t[]){4, 6}, axis, 0, 1);
    const struct {
        tc_node node;
        int width;
        const char *message;
    } bad[] = {
        {{.op = &tc_op_linear, .nin = 1, .param = {w, -1}}, 5, "w does not fit an input of width 5"},
        {{.op = &tc_op_linear, .nin = 1, .param = {w, -1}, .row0 = 2, .rows = 3},
         6,
         "w does not fit an input of width 6"},
        {{.op = &tc_op_attention, .nin = 1, .param = {-1, -1}, .heads = 2, .dim = 2},
         6,
         "attention: 2 heads of 2 do not fit the input"},
        {{.op = &tc_op_attention, .nin = 1, .param = {-1, -1}, .heads = 1, .dim = 2, .pick = TC_PICK_FIRST},
         6,
         "attention: 1 heads of 2 do not fit the input"},
        {{.op = &tc_op_patchify, .nin = 1, .param = {-1, -1}, .image_size = 4, .patch_size = 5},
         48,
         "patchify: image of 4 in patches of 5"},
        {{.op = &tc_op_patchify, .nin = 1, .param = {-1, -1}, .image_size = 4, .patch_size = 2},
         47,
         "patchify: image of 4 in patches of 2"},
        {{.op = &tc_op_select, .nin = 1, .param = {-1, -1}, .pick = TC_PICK_FIRST},
         6,
         "select: there is no space of one row a sequence"},
        {{.op = &tc_op_attention,
          .nin = 2,
          .in = {0, 0},
          .param = {-1, -1},
          .heads = 1,
          .dim = 2,
          .pick = TC_PICK_LAST},
         4,
         "attention: 1 heads of 2 do not fit the input"},
        {{.op = &tc_op_layernorm, .nin = 1, .param = {w, w}}, 6, "w does not fit an input of width 6"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tc_graph *g = tc_graph_create(&params);
        tc_node n = bad[i].node;
        n.in[0] = tc_graph_input(g, tc_graph_space(g, 3), bad[i].width);
        tc_graph_add_node(g, n);
        assert_true(g->failed);
        assert_string_equal(g->message, bad[i].message);
        tc_graph_free(&g);
    }
    tc_params_free(&params);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_plan),
                                       cmocka_unit_test(fusion),

                                       cmocka_unit_test(no_fusion),
                                       cmocka_unit_test(masked_memory_plan),
                                       cmocka_unit_test(masks_of_one),
                                       cmocka_unit_test(masked_fusion),
                                       cmocka_unit_test(wrong_masks),
                                       cmocka_unit_test(last_row_only),
                                       cmocka_unit_test(batch_composition),
                                       cmocka_unit_test(cut_captions),
                                       cmocka_unit_test(two_threads),
                                       cmocka_unit_test(padding),
                                       cmocka_unit_test(large_batches),
                                       cmocka_unit_test(wrong_input),
                                       cmocka_unit_test(shapes_that_do_not_fit)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
