/* test_ops_grad.c - the gradient of every operation against central differences, in double with the plain-C
 * kernels.
 *
 * A case is a small graph whose leaves are all parameters: a leaf is the product of an identity matrix with a
 * parameter, so the gradient of that parameter is the gradient of the operation's input. The loss is the
 * inner product of the output with fixed random numbers. Before a backward pass the gradients hold rubbish,
 * because they must be written, not added to. */
#include "ops/grad_check.h"

#include "graph/op.h"

enum { MAX_PARAMS = 128, MAX_SEQ = 8 };

/* ---- a graph with everything that it needs to run */

typedef struct rig {
    tc_params params;
    double *value[MAX_PARAMS], *grad[MAX_PARAMS];
    tc_graph *g;
    tc_runner *r;
    tc_rng rng;
    tc_feed feed;
    int32_t seq[MAX_SEQ + 1], ids[64];
    double *pixels, *weights; /* weights: of the output in the loss */
    int space, rows;          /* of the leaves */
} rig;

static double draw(rig *t) { return tc_rng_normal(&t->rng); }

static double *draw_many(rig *t, int64_t n) {
    double *x = tc_new((size_t)n, sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = draw(t);
    return x;
}

static int param(rig *t, const char *name, int ndim, int64_t a, int64_t b) {
    tc_axis axis[2] = {{TC_GROUP_NONE, -1, 1, 1}, {TC_GROUP_NONE, -1, 1, 1}};
    int id = tc_params_add(&t->params, name, TC_TOWER_JOINT, -1, ndim, (int64_t[]){a, b}, axis, 0, 1);
    assert_in_range(id, 0, MAX_PARAMS - 1);
    t->value[id] = draw_many(t, t->params.items[id].numel);
    t->grad[id] = draw_many(t, t->params.items[id].numel);
    return id;
}

static int node(rig *t, tc_node n, int p0, int p1) {
    n.param[0] = p0;
    n.param[1] = p1;
    return tc_graph_add_node(t->g, n);
}

/* Sequences of these lengths (0 ends the list). per_seq: they lie in a space of that many rows each; 0: in a
 * ragged one. */
static void set_up(rig *t, const int *lengths, int per_seq) {
    *t = (rig){.rng = tc_rng_make(7, 0, 0)};
    for (; lengths[t->feed.batch]; t->feed.batch++)
        t->seq[t->feed.batch + 1] = t->seq[t->feed.batch] + lengths[t->feed.batch];
    t->g = tc_graph_create(&t->params);
    assert_non_null(t->g);
    tc_graph_space(t->g, 1);
    t->space = tc_graph_space(t->g, per_seq);
    t->rows = t->seq[t->feed.batch];
    if (!per_seq) t->feed.seq = t->seq;
}

/* The identity matrix as the graph's input. */
static void identity(rig *t) {
    tc_graph_input(t->g, t->space, t->rows);
    t->pixels = tc_new((size_t)t->rows * (size_t)t->rows, sizeof *t->pixels);
    assert_non_null(t->pixels);
    for (int i = 0; i < t->rows; i++) t->pixels[i * t->rows + i] = 1;
    t->feed.pixels = t->pixels;
}

/* A value [rows, width] that is a parameter. */
static int leaf(rig *t, const char *name, int width) {
    if (!t->pixels) identity(t);
    return node(t, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {t->g->input}, .transposed = true},
                param(t, name, 2, t->rows, width), -1);
}

static int linear(rig *t, int x, const char *name, int width, bool bias) {
    char b[96];
    snprintf(b, sizeof b, "%s.bias", name);
    int w = param(t, name, 2, width, t->g->values[x].width);
    return node(t, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}}, w,
                bias ? param(t, b, 1, width, 0) : -1);
}

static int add(rig *t, int x, int y) {
    return node(t, (tc_node){.op = &tc_op_add, .nin = 2, .in = {x, y}}, -1, -1);
}

static int select_rows(rig *t, int x, tc_pick pick) {
    return node(t, (tc_node){.op = &tc_op_select, .nin = 1, .in = {x}, .pick = pick}, -1, -1);
}

static int layernorm(rig *t, int x, const char *name) {
    char b[96];
    snprintf(b, sizeof b, "%s.bias", name);
    int64_t width = t->g->values[x].width;
    return node(t, (tc_node){.op = &tc_op_layernorm, .nin = 1, .in = {x}}, param(t, name, 1, width, 0),
                param(t, b, 1, width, 0));
}

static void tear_down(rig *t) {
    tc_runner_free(&t->r);
    tc_graph_free(&t->g);
    for (size_t i = 0; i < t->params.count; i++) {
        free(t->value[i]);
        free(t->grad[i]);
    }
    tc_params_free(&t->params);
    free(t->pixels);
    free(t->weights);
}

/* ---- the check */

static double rig_loss(void *context) {
    rig *t = context;
    tc_error err;
    if (tc_runner_forward(t->r, &t->feed, &err) != TC_OK) fail_msg("%s", err.message);
    const double *y = tc_runner_output(t->r);
    int64_t n = tc_rows_of(t->r, t->g->output) * tc_width_of(t->r, t->g->output);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += y[i] * t->weights[i];
    return sum;
}

static void run_backward(rig *t) {
    rig_loss(t);
    size_t n = (size_t)(tc_rows_of(t->r, t->g->output) * tc_width_of(t->r, t->g->output));
    memcpy(tc_runner_output_grad(t->r), t->weights, n * sizeof *t->weights);
    tc_runner_backward(t->r);
}

static void start(rig *t, int output) {
    tc_error err;
    t->g->output = output;
    if (t->g->failed) fail_msg("%s", t->g->message);
    t->weights = draw_many(t, (int64_t)(t->rows + 64) * t->g->values[output].width);
    if (tc_runner_create(&t->r, t->g, (const tc_real *const *)t->value, t->grad, NULL, false, &err) != TC_OK)
        fail_msg("%s", err.message);
}

static void check(rig *t, const char *what) {
    run_backward(t);
    for (size_t i = 0; i < t->params.count; i++)
        if (!tc_param_is(&t->params.items[i], TC_ROLE_STATE))
            check_gradient(what, t->params.items[i].name, t->value[i], t->grad[i], t->params.items[i].numel,
                           rig_loss, t);
}

static void finish(rig *t, int output, const char *what) {
    start(t, output);
    check(t, what);
    tear_down(t);
}

/* ---- cases; each covers one entry of tc_ops */

static const int one[] = {1, 0}, equal[] = {5, 5, 5, 0}, ragged[] = {4, 1, 7, 2, 0};
static const struct {
    const char *name;
    const int *lengths;
    int per_seq;
} layouts[] = {{"one row", one, 1}, {"three of 5", equal, 5}, {"ragged", ragged, 0}};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void case_patchify(void) {
    static const int sizes[][2] = {{4, 2}, {6, 3}, {7, 2}, {5, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rig t;
        int size = sizes[i][0], batch = 3;
        set_up(&t, (const int[]){1, 1, 1, 0}, 1);
        int x = tc_graph_input(t.g, 0, 3 * size * size);
        t.pixels = draw_many(&t, batch * 3 * size * size);
        t.feed.pixels = t.pixels;
        x = node(
            &t,
            (tc_node){
                .op = &tc_op_patchify, .nin = 1, .in = {x}, .image_size = size, .patch_size = sizes[i][1]},
            -1, -1);
        /* Pixels get no gradient: the operation says so, and the first linear node computes none. */
        assert_false(t.g->values[x].needs_grad);
        assert_null(tc_op_patchify.backward);
        finish(&t, linear(&t, x, "conv", 4, false), "patchify");
    }
}

static void case_tokens(void) {
    for (int per_seq = 1; per_seq <= 4; per_seq += 3) {
        rig t;
        set_up(&t, (const int[]){per_seq, per_seq, per_seq, 0}, per_seq);
        int x = leaf(&t, "patches", 6), first = param(&t, "class", 1, 6, 0),
            positions = param(&t, "positions", 2, 1 + per_seq, 6);
        finish(&t, node(&t, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {x}}, first, positions), "tokens");
    }
}

/* Repeated ids, and a second pass with other ids: rows that only the first pass used must be cleared. */
static void case_embed(void) {
    rig t;
    set_up(&t, ragged, 0);
    int table = param(&t, "table", 2, 9, 5), positions = param(&t, "positions", 2, 8, 5);
    t.feed.ids = t.ids;
    start(&t, node(&t, (tc_node){.op = &tc_op_embed}, table, positions));
    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < t.rows; i++) t.ids[i] = (int32_t)tc_rng_below(&t.rng, pass ? 4 : 9);
        if (pass == 2) t.feed.batch = 2; /* fewer captions than before */
        check(&t, "embed");
    }
    tear_down(&t);
}

static void case_layernorm(void) {
    static const int widths[] = {2, 7, 16};
    for (int l = 0; l < LAYOUTS; l++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            rig t;
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            int x = leaf(&t, "x", widths[w]);
            /* two values alone would give +-1 whatever they are: make them so small that eps counts */
            if (w == 0) {
                x = linear(&t, x, "small", 2, false);
                for (int i = 0; i < 4; i++) t.value[1][i] *= 0.01;
            }
            finish(&t, layernorm(&t, x, "norm"), "layernorm");
        }
}

static void case_layernorm_adds(void) {
    for (int l = 0; l < LAYOUTS; l++) {
        rig t;
        set_up(&t, layouts[l].lengths, layouts[l].per_seq);
        int x = leaf(&t, "x", 6), y = layernorm(&t, x, "norm");
        finish(&t, add(&t, x, linear(&t, y, "w", 6, true)), "layernorm that adds to its input's gradient");
    }
}

static void case_linear(void) {
    static const int shapes[][2] = {{1, 2}, {5, 3}, {4, 9}};
    for (int l = 0; l < LAYOUTS; l++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int bias = 0; bias < 2; bias++) {
                rig t;
                set_up(&t, layouts[l].lengths, layouts[l].per_seq);
                finish(&t, linear(&t, leaf(&t, "x", shapes[s][0]), "w", shapes[s][1], bias), "linear");
            }
}

static void case_linear_transposed(void) {
    for (int bias = 0; bias < 2; bias++) {
        rig t;
        set_up(&t, ragged, 0);
        int x = leaf(&t, "x", 5), w = param(&t, "w", 2, 5, 3), b = bias ? param(&t, "b", 1, 3, 0) : -1;
        finish(&t, node(&t, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .transposed = true}, w, b),
               "transposed linear");
    }
}

/* One weight read in slices by several nodes, which also add up in their common input's gradient. */
static void case_linear_sliced(void) {
    rig t;
    set_up(&t, ragged, 0);
    int x = leaf(&t, "x", 5), w = param(&t, "w", 2, 9, 5), b = param(&t, "b", 1, 9, 0), sum = -1;
    for (int i = 0; i < 3; i++) {
        int y = node(&t, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .row0 = 3 * i, .rows = 3}, w, b);
        y = linear(&t, y, i == 0 ? "u0" : i == 1 ? "u1" : "u2", 4, false);
        sum = i ? add(&t, sum, y) : y;
    }
    finish(&t, sum, "sliced linear");
}

static void case_linear_transposed_adds(void) {
    rig t;
    set_up(&t, equal, 5);
    int x = leaf(&t, "x", 5);
    int y = node(&t, (tc_node){.op = &tc_op_linear, .nin = 1, .in = {x}, .transposed = true},
                 param(&t, "w", 2, 5, 5), param(&t, "b", 1, 5, 0));
    finish(&t, add(&t, x, y), "transposed linear that adds to its input's gradient");
}

static void case_attention(void) {
    static const int heads_dim[][2] = {{1, 1}, {1, 5}, {3, 4}};
    for (int l = 1; l < LAYOUTS; l++)
        for (int causal = 0; causal < 2; causal++)
            for (size_t s = 0; s < sizeof heads_dim / sizeof *heads_dim; s++) {
                rig t;
                int heads = heads_dim[s][0], dim = heads_dim[s][1];
                set_up(&t, layouts[l].lengths, layouts[l].per_seq);
                int qkv = leaf(&t, "qkv", 3 * heads * dim);
                finish(&t,
                       node(&t,
                            (tc_node){.op = &tc_op_attention,
                                      .nin = 1,
                                      .in = {qkv},
                                      .heads = heads,
                                      .dim = dim,
                                      .causal = causal},
                            -1, -1),
                       causal ? "causal attention" : "attention");
            }
}

static void case_attention_picked(void) {
    static const struct {
        tc_pick pick;
        bool causal;
        int layout;
    } kinds[] = {{TC_PICK_FIRST, false, 1},
                 {TC_PICK_FIRST, false, 2},
                 {TC_PICK_LAST, true, 2},
                 {TC_PICK_LAST, false, 2}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        rig t;
        set_up(&t, layouts[kinds[k].layout].lengths, layouts[kinds[k].layout].per_seq);
        int q = select_rows(&t, leaf(&t, "q", 8), kinds[k].pick), kv = leaf(&t, "kv", 16);
        tc_node n = {.op = &tc_op_attention,
                     .nin = 2,
                     .in = {q, kv},
                     .heads = 2,
                     .dim = 4,
                     .causal = kinds[k].causal,
                     .pick = kinds[k].pick};
        finish(&t, node(&t, n, -1, -1), "attention of picked rows");
    }
}

/* Maps: `batch` images of side x side pixels. */
static void set_up_maps(rig *t, int batch, int side) {
    int lengths[MAX_SEQ + 1] = {0};
    for (int i = 0; i < batch; i++) lengths[i] = side * side;
    set_up(t, lengths, side * side);
}

static int conv(rig *t, int x, const char *name, int out, int kernel, int side, int stride, int pad,
                bool bias) {
    char b[96];
    snprintf(b, sizeof b, "%s.bias", name);
    tc_axis axis[4] = {{TC_GROUP_NONE, -1, 1, 1},
                       {TC_GROUP_NONE, -1, 1, 1},
                       {TC_GROUP_NONE, -1, 1, 1},
                       {TC_GROUP_NONE, -1, 1, 1}};
    int64_t shape[4] = {out, t->g->values[x].width, kernel, kernel};
    int id = tc_params_add(&t->params, name, TC_TOWER_JOINT, -1, 4, shape, axis, 0, 1);
    assert_in_range(id, 0, MAX_PARAMS - 1);
    t->value[id] = draw_many(t, t->params.items[id].numel);
    t->grad[id] = draw_many(t, t->params.items[id].numel);
    return node(t,
                (tc_node){.op = &tc_op_conv, .nin = 1, .in = {x}, .side = side, .stride = stride, .pad = pad},
                id, bias ? param(t, b, 1, out, 0) : -1);
}

static void case_conv(void) {
    static const struct {
        int side, kernel, stride, pad;
    } kinds[] = {{4, 3, 1, 1}, {5, 3, 2, 1}, {4, 3, 2, 1}, {3, 1, 1, 0}, {5, 2, 1, 0}, {1, 3, 1, 1}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int bias = 0; bias < 2; bias++) {
            rig t;
            set_up_maps(&t, 2, kinds[k].side);
            finish(&t,
                   conv(&t, leaf(&t, "x", 3), "w", 2, kinds[k].kernel, kinds[k].side, kinds[k].stride,
                        kinds[k].pad, bias),
                   "conv");
        }
}

static int batchnorm(rig *t, int x, const char *name) {
    static const char *const kinds[] = {"weight", "bias", "mean", "var", "count"};
    int64_t width = t->g->values[x].width;
    tc_node n = {.op = &tc_op_batchnorm, .nin = 1, .in = {x}};
    for (int i = 0; i < 5; i++) {
        char full[96];
        snprintf(full, sizeof full, "%s.%s", name, kinds[i]);
        n.param[i] = param(t, full, i < 4, width, 0);
        t->params.items[n.param[i]].roles = i >= 2 ? TC_ROLE_STATE : 0;
    }
    return tc_graph_add_node(t->g, n);
}

/* Joined with ReLU too, as training joins it; no value here lies within a step of 0. */
static void case_batchnorm(void) {
    for (int l = 1; l < LAYOUTS; l++)
        for (int fused = 0; fused < 3; fused++) {
            rig t;
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            int y = batchnorm(&t, leaf(&t, "x", 3), "norm");
            if (fused)
                y = node(&t, (tc_node){.op = &tc_op_act, .nin = 1, .in = {y}, .act = TC_ACT_RELU}, -1, -1);
            t.g->output = y;
            if (fused == 2) tc_graph_fuse(t.g, true);
            if (fused == 2) assert_int_equal(t.g->nodes[t.g->node_count - 1].op == &tc_op_batchnorm, true);
            finish(&t, y, fused ? "batchnorm and ReLU" : "batchnorm");
        }
}

/* After a step: r = 0.9 r + 0.1 of the batch's, the variance unbiased, and one more batch counted. */
static void case_batchnorm_update(void) {
    rig t;
    set_up(&t, equal, 5);
    int y = batchnorm(&t, leaf(&t, "x", 2), "norm"), first = t.g->nodes[t.g->node_count - 1].param[2];
    start(&t, y);
    rig_loss(&t);
    double *flat = tc_new((size_t)t.params.total, sizeof *flat), before[2][2];
    assert_non_null(flat);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < (k < 2 ? 2 : 1); i++)
            flat[t.params.items[first + k].offset + i] = k < 2 ? (before[k][i] = 1.5 + k + i) : 41;
    tc_runner_update_state(t.r, flat);
    for (int i = 0; i < 2; i++) {
        double mean = 0, var = 0;
        const double *x = t.r->value[t.g->nodes[t.g->node_count - 1].in[0]];
        for (int r = 0; r < t.rows; r++) mean += x[2 * r + i] / t.rows;
        for (int r = 0; r < t.rows; r++) var += (x[2 * r + i] - mean) * (x[2 * r + i] - mean) / (t.rows - 1);
        assert_true(fabs(flat[t.params.items[first].offset + i] - (0.9 * before[0][i] + 0.1 * mean)) < 1e-12);
        assert_true(fabs(flat[t.params.items[first + 1].offset + i] - (0.9 * before[1][i] + 0.1 * var)) <
                    1e-12);
    }
    assert_true(flat[t.params.items[first + 2].offset] == 42);
    free(flat);
    tear_down(&t);
}

static void case_avgpool(void) {
    static const int kinds[][2] = {{4, 2}, {5, 2}, {6, 3}, {2, 2}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int adds = 0; adds < 2; adds++) {
            rig t;
            set_up_maps(&t, 2, kinds[k][0]);
            int x = leaf(&t, "x", 3), p = node(&t,
                                               (tc_node){.op = &tc_op_avgpool,
                                                         .nin = 1,
                                                         .in = {x},
                                                         .side = kinds[k][0],
                                                         .stride = kinds[k][1]},
                                               -1, -1);
            /* A second reader behind it writes the gradient of x first. */
            if (adds)
                p = add(&t, p,
                        node(&t,
                             (tc_node){.op = &tc_op_avgpool,
                                       .nin = 1,
                                       .in = {x},
                                       .side = kinds[k][0],
                                       .stride = kinds[k][1]},
                             -1, -1));
            finish(&t, p, "avgpool");
        }
}

/* Tokens with their mean in front, separate projections, the query of the mean alone or of all. */
static void case_attention_pool(void) {
    for (int whole = 0; whole < 2; whole++) {
        rig t;
        set_up_maps(&t, 3, 2);
        int x = node(&t, (tc_node){.op = &tc_op_tokens, .nin = 1, .in = {leaf(&t, "x", 6)}}, -1,
                     param(&t, "positions", 2, 5, 6));
        int k = linear(&t, x, "k", 6, true), v = linear(&t, x, "v", 6, true);
        int q = linear(&t, whole ? x : select_rows(&t, x, TC_PICK_FIRST), "q", 6, true);
        /* No gradient reaches a bias of keys: the softmax does not see it. */
        t.params.items[tc_params_find(&t.params, "k.bias")].roles = TC_ROLE_STATE;
        tc_node n = {.op = &tc_op_attention,
                     .nin = 3,
                     .in = {q, k, v},
                     .heads = 2,
                     .dim = 3,
                     .pick = whole ? TC_PICK_ALL : TC_PICK_FIRST};
        finish(&t, linear(&t, node(&t, n, -1, -1), "c", 4, true), "attention pooling");
    }
}

/* A bottleneck block: two paths from one map, which meet in a sum before ReLU. */
static void case_bottleneck(void) {
    rig t;
    set_up_maps(&t, 3, 4);
    int x = leaf(&t, "x", 3), y;
    y = batchnorm(
        &t,
        linear(&t,
               node(&t, (tc_node){.op = &tc_op_avgpool, .nin = 1, .in = {x}, .side = 4, .stride = 2}, -1, -1),
               "d", 4, false),
        "dn");
    x = node(&t,
             (tc_node){.op = &tc_op_act,
                       .nin = 1,
                       .in = {batchnorm(&t, linear(&t, x, "a", 2, false), "an")},
                       .act = TC_ACT_RELU},
             -1, -1);
    x = node(&t,
             (tc_node){.op = &tc_op_act,
                       .nin = 1,
                       .in = {batchnorm(&t, conv(&t, x, "b", 2, 3, 4, 1, 1, false), "bn")},
                       .act = TC_ACT_RELU},
             -1, -1);
    x = node(&t, (tc_node){.op = &tc_op_avgpool, .nin = 1, .in = {x}, .side = 4, .stride = 2}, -1, -1);
    x = add(&t, y, batchnorm(&t, linear(&t, x, "c", 4, false), "cn"));
    x = node(&t, (tc_node){.op = &tc_op_act, .nin = 1, .in = {x}, .act = TC_ACT_RELU}, -1, -1);
    t.g->output = x;
    tc_graph_fuse(t.g, true);
    finish(&t, x, "bottleneck");
}

static void case_act(void) {
    for (int l = 0; l < LAYOUTS; l++)
        for (int kind = TC_ACT_GELU; kind <= TC_ACT_RELU; kind++) {
            rig t;
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            finish(&t,
                   node(&t, (tc_node){.op = &tc_op_act, .nin = 1, .in = {leaf(&t, "x", 7)}, .act = kind}, -1,
                        -1),
                   "act");
        }
}

/* The gradient of an activation's input may lie over that of its result only if nobody else needs the latter.
 */
static void case_act_beside_add(void) {
    for (int side = 0; side < 2; side++) {
        rig t;
        set_up(&t, equal, 5);
        int x = leaf(&t, "x", 4),
            y = node(&t,
                     (tc_node){
                         .op = &tc_op_act, .nin = 1, .in = {linear(&t, x, "w", 4, true)}, .act = TC_ACT_GELU},
                     -1, -1);
        finish(&t, side ? add(&t, y, x) : add(&t, x, y), "act added to its own input");
    }
}

static void case_act_twice_read(void) {
    rig t;
    set_up(&t, equal, 5);
    int x = leaf(&t, "x", 4),
        y = node(&t, (tc_node){.op = &tc_op_act, .nin = 1, .in = {x}, .act = TC_ACT_QUICK_GELU}, -1, -1);
    int a = linear(&t, y, "a", 4, false), b = linear(&t, y, "b", 4, false);
    finish(&t, add(&t, a, b), "act read twice");
}

/* Graphs in which the residual's gradient cannot lie in the memory of the sum's. */
static void case_add_unshared(void) {
    for (int kind = 0; kind < 4; kind++) {
        rig t;
        set_up(&t, ragged, 0);
        int x = leaf(&t, "x", 4), y = kind ? linear(&t, x, "y", 4, true) : -1,
            w = kind == 2 ? linear(&t, x, "w", 4, true) : -1, z = -1;
        if (kind == 0) z = add(&t, x, x); /* twice the same */
        if (kind == 1)
            z = add(&t, add(&t, x, y), linear(&t, x, "v", 4, true)); /* the residual is read again behind */
        if (kind == 2)
            z = add(&t, add(&t, layernorm(&t, y, "n"), y),
                    w); /* a branch that was made before the residual is read */
        if (kind == 3) z = add(&t, add(&t, x, y), add(&t, x, y)); /* sums of the same things */
        finish(&t, kind == 0 || kind == 2 ? z : linear(&t, z, "last", 3, true),
               "add without shared gradients");
    }
}

static void case_add(void) {
    for (int l = 0; l < LAYOUTS; l++) {
        rig t;
        set_up(&t, layouts[l].lengths, layouts[l].per_seq);
        int x = leaf(&t, "x", 3), y = leaf(&t, "y", 3);
        finish(&t, add(&t, x, y), "add");
    }
}

/* A residual stream of three branches, each read behind a LayerNorm. */
static void case_add_chain(void) {
    rig t;
    set_up(&t, ragged, 0);
    int x = leaf(&t, "x", 4);
    static const char *const names[] = {"0", "1", "2"};
    for (int i = 0; i < 3; i++) {
        char norm[8];
        snprintf(norm, sizeof norm, "n%d", i);
        int y = linear(&t, layernorm(&t, x, norm), names[i], 4, true);
        x = i == 1 ? add(&t, y, x) : add(&t, x, y);
    }
    finish(&t, x, "chain of residuals");
}

static void case_select(void) {
    for (int l = 0; l < LAYOUTS; l++)
        for (int pick = TC_PICK_FIRST; pick <= (layouts[l].per_seq ? TC_PICK_FIRST : TC_PICK_LAST); pick++) {
            rig t;
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            finish(&t, select_rows(&t, leaf(&t, "x", 5), (tc_pick)pick), "select");
        }
}

/* The last block: one row goes on, and every row is read for keys and values. */
static void case_select_adds(void) {
    for (int pick = TC_PICK_FIRST; pick <= TC_PICK_LAST; pick++) {
        rig t;
        set_up(&t, ragged, 0);
        int x = leaf(&t, "x", 8), y = layernorm(&t, x, "norm");
        int q = linear(&t, select_rows(&t, y, (tc_pick)pick), "q", 8, true),
            kv = linear(&t, y, "kv", 16, true);
        tc_node n = {
            .op = &tc_op_attention, .nin = 2, .in = {q, kv}, .heads = 2, .dim = 4, .pick = (tc_pick)pick};
        int a = linear(&t, node(&t, n, -1, -1), "out", 8, true);
        finish(&t, add(&t, select_rows(&t, x, (tc_pick)pick), a), "select that adds to its input's gradient");
    }
}

/* ---- masks */

static tc_mask_site mask_site(int size, int unit, int64_t offset) {
    return (tc_mask_site){
        .tower = TC_TOWER_VISION, .group = TC_GROUP_HEADS, .size = size, .unit = unit, .offset = offset};
}

static int scale(rig *t, int x, int site) {
    return node(t, (tc_node){.op = &tc_op_scale, .nin = 1, .in = {x}, .site = 1 + site}, -1, -1);
}

/* Checks the masks of the graph's sites too. Members that are 0 have a gradient as well. */
static void finish_masked(rig *t, int output, const tc_mask_sites *sites, const char *what) {
    double *mask = draw_many(t, sites->total), *grad = draw_many(t, sites->total);
    mask[0] = 0;
    start(t, output);
    t->r->mask = mask;
    t->r->mask_grad = grad;
    check(t, what);
    run_backward(t);
    check_gradient(what, "the mask", mask, grad, sites->total, rig_loss, t);
    tear_down(t);
    free(mask);
    free(grad);
}

static void case_scale(void) {
    for (int l = 0; l < LAYOUTS; l++)
        for (int unit = 1; unit <= 4; unit += 3) {
            rig t;
            tc_mask_site site = mask_site(3, unit, 0);
            tc_mask_sites sites = {.items = &site, .count = 1, .total = 3};
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            t.g->sites = &sites;
            finish_masked(&t, scale(&t, leaf(&t, "x", 3 * unit), 0), &sites, "scale");
        }
}

/* What shares its memory with what: a residual whose branch is scaled, one that is scaled itself, a value
 * that is scaled twice by one mask and read beside it. */
static void case_scale_beside_add(void) {
    for (int kind = 0; kind < 4; kind++) {
        rig t;
        tc_mask_site site[2] = {mask_site(4, 1, 0), mask_site(2, 2, 4)};
        tc_mask_sites sites = {.items = site, .count = 2, .total = 6};
        set_up(&t, ragged, 0);
        t.g->sites = &sites;
        int x = leaf(&t, "x", 4), y = kind == 1 ? -1 : linear(&t, x, "y", 4, true), z = -1;
        if (kind == 0) z = add(&t, scale(&t, x, 1), scale(&t, y, 0));
        if (kind == 1) z = add(&t, scale(&t, scale(&t, x, 0), 1), x);
        if (kind == 2) z = add(&t, add(&t, x, scale(&t, y, 0)), scale(&t, x, 1));
        if (kind == 3) z = add(&t, scale(&t, y, 0), add(&t, y, linear(&t, scale(&t, y, 1), "w", 4, true)));
        finish_masked(&t, linear(&t, add(&t, z, scale(&t, z, 0)), "last", 3, true), &sites,
                      "scale beside add");
    }
}

/* The columns of members that are 0 take no part. Their own gradients are 0: the case checks the other
 * columns' mask. */
static void case_layernorm_kept(void) {
    for (int l = 0; l < LAYOUTS; l++)
        for (int adds = 0; adds < 2; adds++) {
            rig t;
            tc_mask_site site = mask_site(7, 1, 0);
            tc_mask_sites sites = {.items = &site, .count = 1, .total = 7};
            double mask[7] = {0, 0, 0.3, 1, -2, 1, 0.5}, grad[7];
            set_up(&t, layouts[l].lengths, layouts[l].per_seq);
            t.g->sites = &sites;
            int x = scale(&t, leaf(&t, "x", 7), 0), y = layernorm(&t, x, "norm");
            t.g->nodes[t.g->values[y].producer].site = 1;
            start(&t, adds ? add(&t, linear(&t, y, "w", 7, true), scale(&t, x, 0)) : y);
            t.r->mask = mask;
            t.r->mask_grad = grad;
            check(&t, "layernorm of kept columns");
            run_backward(&t);
            check_gradient("layernorm of kept columns", "the mask", mask + 2, grad + 2, 5, rig_loss, &t);
            for (int i = 0; i < 2 && !adds; i++) assert_true(grad[i] == 0);
            tear_down(&t);
        }
}

static const struct {
    const tc_op *op;
    void (*run)(void);
} cases[] = {{&tc_op_patchify, case_patchify},
             {&tc_op_tokens, case_tokens},
             {&tc_op_embed, case_embed},
             {&tc_op_layernorm, case_layernorm},
             {&tc_op_layernorm, case_layernorm_adds},
             {&tc_op_linear, case_linear},
             {&tc_op_linear, case_linear_transposed},
             {&tc_op_linear, case_linear_sliced},
             {&tc_op_linear, case_linear_transposed_adds},
             {&tc_op_attention, case_attention},
             {&tc_op_attention, case_attention_picked},
             {&tc_op_act, case_act},
             {&tc_op_act, case_act_beside_add},
             {&tc_op_act, case_act_twice_read},
             {&tc_op_add, case_add},
             {&tc_op_add, case_add_chain},
             {&tc_op_add, case_add_unshared},
             {&tc_op_select, case_select},
             {&tc_op_select, case_select_adds},
             {&tc_op_conv, case_conv},
             {&tc_op_conv, case_bottleneck},
             {&tc_op_batchnorm, case_batchnorm},
             {&tc_op_batchnorm, case_batchnorm_update},
             {&tc_op_avgpool, case_avgpool},
             {&tc_op_attention, case_attention_pool},
             {&tc_op_scale, case_scale},
             {&tc_op_scale, case_scale_beside_add},
             {&tc_op_layernorm, case_layernorm_kept}};
enum { CASES = sizeof cases / sizeof *cases };

static void run_case(void **state) { cases[*(const size_t *)*state].run(); }

static void every_operation_has_a_case(void **state) {
    (void)state;
    for (int i = 0; tc_ops[i]; i++) {
        int found = 0;
        for (int c = 0; c < CASES; c++) found += cases[c].op == tc_ops[i];
        if (!found) fail_msg("operation %s has no case", tc_ops[i]->name);
    }
}

int main(void) {
    static size_t index[CASES];
    static char names[CASES][64];
    struct CMUnitTest tests[CASES + 1];
    int per_op[16] = {0};
    for (size_t i = 0; i < CASES; i++) {
        int op = 0;
        while (tc_ops[op] != cases[i].op) op++;
        index[i] = i;
        snprintf(names[i], sizeof names[i], "gradient of %s, %d", cases[i].op->name, ++per_op[op]);
        tests[i] = (struct CMUnitTest){.name = names[i], .test_func = run_case, .initial_state = &index[i]};
    }
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(every_operation_has_a_case);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
