/* dnnl_conv.c - convolutions by oneDNN, forwards and backwards.
 *
 * Maps keep their channels innermost, the layout of all values here: oneDNN's kernels take it as well as
 * blocked ones, at every number of channels (docs/PERF.md). Weights take the layout that oneDNN chooses, once
 * for inference, at each call in training. A forward primitive and that of the data's gradient are made for
 * one image and called for each, so that nothing depends on the size of a batch; the weights' gradient is
 * summed by the primitive over GROUP images, since adding up large weights for each image would cost more
 * than their products.
 *
 * A primitive is made for a number of threads. What belongs to one number is a `tools`; a convolution keeps
 * those that it has made. */
#include "kern/products.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kern/dnnl_api.h"

enum { GROUP = 8 };

/* A primitive, the reorder of its weights from or to [out,in,k,k], and the sizes of what they need. */
typedef struct tool {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive, reorder;
    size_t weight_bytes, scratch_bytes;
} tool;

typedef struct tools {
    struct tools *next;
    int threads;
    tool forward, data, weights[2]; /* weights: for one image, for GROUP */
} tools;

struct tc_conv {
    tc_product product;
    bool inference; /* with an epilogue, and weights in the layout that the first tools chose */
    pthread_mutex_t lock;
    _Atomic(tools *) made;
};

static dnnl_engine_t engine;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

/* ---- making */

static dnnl_geometry geometry(const tc_conv_shape *s, int64_t batch) {
    int side = tc_conv_out_side(s);
    return (dnnl_geometry){.src = {batch, s->in, s->side, s->side},
                           .weights = {s->out, s->in, s->kernel, s->kernel},
                           .dst = {batch, s->out, side, side},
                           .bias = {s->out},
                           .strides = {s->stride, s->stride},
                           .pad = {s->pad, s->pad}};
}

static dnnl_primitive_attr_t make_attributes(const tc_conv *c) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success) return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (dnnl_post_ops_create(&ops) != dnnl_success) return attr;
    if (c->product.add) dnnl_add_sum(ops);
    if (c->product.act == TC_ACT_RELU) dnnl_add_eltwise(ops, dnnl_eltwise_relu, 0);
    if (c->product.act == TC_ACT_GELU) dnnl_add_eltwise(ops, dnnl_eltwise_gelu_erf, 0);
    if (c->product.act == TC_ACT_QUICK_GELU) dnnl_add_eltwise(ops, dnnl_eltwise_swish, 1.702f);
    dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return attr;
}

static dnnl_layout weight_layout(const tool *t, dnnl_direction d) {
    return dnnl_primitive_desc_query_md(
        t->desc, d == DNNL_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

/* `like`: of a gradient, the forward tool that it belongs to; of a forward tool, another one whose layout of
 * weights it takes, or NULL. */
static bool make_tool(tool *t, const tc_conv *c, dnnl_direction d, int64_t batch, const tool *like) {
    dnnl_geometry g = geometry(&c->product.map, batch);
    dnnl_memory_desc_t md[4], plain;
    dnnl_primitive_attr_t attr = make_attributes(c);
    dnnl_primitive_desc_t reorder = NULL;
    memset(md, 0, sizeof md);
    memset(&plain, 0, sizeof plain);
    bool ok = engine && attr && dnnl_layout_make(&md[0], 4, g.src, dnnl_nhwc) &&
              dnnl_layout_make(&md[2], 4, g.dst, dnnl_nhwc) && dnnl_layout_make(&md[3], 1, g.bias, dnnl_a) &&
              dnnl_layout_make(&plain, 4, g.weights, dnnl_oihw);
    if (ok && d == DNNL_FORWARD && like) ok = dnnl_layout_copy(&md[1], weight_layout(like, d));
    else if (ok) ok = dnnl_layout_make(&md[1], 4, g.weights, dnnl_format_tag_any);
    ok = ok && dnnl_describe(&t->desc, engine, d, md, &g, attr, c->inference,
                             d == DNNL_FORWARD ? NULL : like->desc);
    ok = ok && dnnl_primitive_create(&t->primitive, t->desc) == dnnl_success;
    if (ok) {
        dnnl_layout own = weight_layout(t, d);
        dnnl_layout from = d == DNNL_WEIGHTS ? own : dnnl_layout_of(&plain);
        dnnl_layout to = d == DNNL_WEIGHTS ? dnnl_layout_of(&plain) : own;
        t->weight_bytes = dnnl_memory_desc_get_size(own);
        t->scratch_bytes =
            dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(t->desc, dnnl_query_scratchpad_md, 0));
        ok = dnnl_reorder_primitive_desc_create(&reorder, from, engine, to, engine, NULL) == dnnl_success &&
             dnnl_primitive_create(&t->reorder, reorder) == dnnl_success;
    }
    if (reorder) dnnl_primitive_desc_destroy(reorder);
    for (int i = 0; i < 4; i++) dnnl_layout_free(&md[i]);
    dnnl_layout_free(&plain);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return ok;
}

static void free_tool(tool *t) {
    if (t->primitive) dnnl_primitive_destroy(t->primitive);
    if (t->reorder) dnnl_primitive_destroy(t->reorder);
    if (t->desc) dnnl_primitive_desc_destroy(t->desc);
}

static void free_tools(tools *t) {
    if (!t) return;
    free_tool(&t->forward);
    free_tool(&t->data);
    for (int i = 0; i < 2; i++) free_tool(&t->weights[i]);
    free(t);
}

static tools *make_tools(const tc_conv *c) {
    tools *t = tc_new(1, sizeof *t);
    if (!t) return NULL;
    t->threads = tc_threads();
    const tools *before = atomic_load_explicit(&c->made, memory_order_relaxed);
    bool ok = make_tool(&t->forward, c, DNNL_FORWARD, 1, c->inference && before ? &before->forward : NULL);
    if (!c->inference) {
        tool group = {0};
        ok = ok && make_tool(&t->data, c, DNNL_DATA, 1, &t->forward) &&
             make_tool(&t->weights[0], c, DNNL_WEIGHTS, 1, &t->forward);
        ok = ok && make_tool(&group, c, DNNL_FORWARD, GROUP, NULL) &&
             make_tool(&t->weights[1], c, DNNL_WEIGHTS, GROUP, &group);
        free_tool(&group);
    }
    if (ok) return t;
    free_tools(t);
    return NULL;
}

/* Those for the number of threads that is in force; NULL if oneDNN cannot make them. */
static tools *tools_of(tc_conv *c) {
    int threads = tc_threads();
    for (tools *t = atomic_load_explicit(&c->made, memory_order_acquire); t; t = t->next)
        if (t->threads == threads) return t;
    pthread_mutex_lock(&c->lock);
    tools *t = atomic_load_explicit(&c->made, memory_order_acquire);
    while (t && t->threads != threads) t = t->next;
    if (!t && (t = make_tools(c))) {
        t->next = atomic_load_explicit(&c->made, memory_order_relaxed);
        atomic_store_explicit(&c->made, t, memory_order_release);
    }
    pthread_mutex_unlock(&c->lock);
    return t;
}

/* The same, and oneDNN takes that number until tc_dnnl_threads(*before). */
static tools *enter(tc_conv *c, int *before) {
    *before = tc_dnnl_threads(tc_threads());
    return tools_of(c);
}

/* ---- running */

typedef struct argument {
    int name;
    dnnl_layout layout;
    const void *data;
} argument;

/* Memory objects are made for each call: shared ones would have to be told the pointers of each thread. */
static bool execute(dnnl_primitive_t primitive, const argument *arguments, int count) {
    dnnl_exec_arg_t exec[6];
    dnnl_stream_t stream = NULL;
    int made = 0;
    bool ok = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
    for (; made < count && ok; made += ok) {
        exec[made].arg = arguments[made].name;
        ok = dnnl_memory_create(&exec[made].memory, arguments[made].layout, engine,
                                (void *)(uintptr_t)arguments[made].data) == dnnl_success;
    }
    ok = ok && dnnl_primitive_execute(primitive, stream, count, exec) == dnnl_success &&
         dnnl_stream_wait(stream) == dnnl_success;
    for (int i = 0; i < made; i++) dnnl_memory_destroy(exec[i].memory);
    if (stream) dnnl_stream_destroy(stream);
    return ok;
}

/* The reorder of a tool's weights: [out,in,k,k] -> its own layout, or back for a gradient. */
static bool reorder(const tool *t, const float *from, float *to) {
    const_dnnl_primitive_desc_t pd;
    if (dnnl_primitive_get_primitive_desc(t->reorder, &pd) != dnnl_success) return false;
    argument arguments[] = {{DNNL_ARG_FROM, dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), from},
                            {DNNL_ARG_TO, dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), to}};
    return execute(t->reorder, arguments, 2);
}

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* `packed` and bias: of inference; w: of training, [out,in,k,k]. */
static bool run_forward(const tc_conv *c, const tools *t, int64_t batch, const float *x, const float *w,
                        const float *packed, const float *bias, float *y) {
    const tool *f = &t->forward;
    const tc_conv_shape *s = &c->product.map;
    int side = tc_conv_out_side(s);
    char *scratch = tc_scratch(aligned(f->weight_bytes) + f->scratch_bytes + 1);
    if (!scratch) return false;
    if (w && !reorder(f, w, (float *)(void *)scratch)) return false;
    if (w) packed = (const float *)(void *)scratch;
    for (int64_t i = 0; i < batch; i++) {
        argument arguments[] = {
            {DNNL_ARG_SRC, dnnl_primitive_desc_query_md(f->desc, dnnl_query_src_md, 0),
             x + i * s->side * s->side * s->in},
            {DNNL_ARG_WEIGHTS, weight_layout(f, DNNL_FORWARD), packed},
            {DNNL_ARG_DST, dnnl_primitive_desc_query_md(f->desc, dnnl_query_dst_md, 0),
             y + i * side * side * s->out},
            {DNNL_ARG_SCRATCHPAD, dnnl_primitive_desc_query_md(f->desc, dnnl_query_scratchpad_md, 0),
             scratch + aligned(f->weight_bytes)},
            {DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(f->desc, dnnl_query_weights_md, 1), bias}};
        if (!execute(f->primitive, arguments, c->inference ? 5 : 4)) return false;
    }
    return true;
}

static bool run_data(const tc_conv *c, const tools *t, int64_t batch, const float *w, const float *dy,
                     float *dx) {
    const tool *d = &t->data;
    const tc_conv_shape *s = &c->product.map;
    int side = tc_conv_out_side(s);
    char *scratch = tc_scratch(aligned(d->weight_bytes) + d->scratch_bytes + 1);
    if (!scratch || !reorder(d, w, (float *)(void *)scratch)) return false;
    for (int64_t i = 0; i < batch; i++) {
        argument arguments[] = {
            {DNNL_ARG_DIFF_SRC, dnnl_primitive_desc_query_md(d->desc, dnnl_query_diff_src_md, 0),
             dx + i * s->side * s->side * s->in},
            {DNNL_ARG_WEIGHTS, weight_layout(d, DNNL_DATA), scratch},
            {DNNL_ARG_DIFF_DST, dnnl_primitive_desc_query_md(d->desc, dnnl_query_diff_dst_md, 0),
             dy + i * side * side * s->out},
            {DNNL_ARG_SCRATCHPAD, dnnl_primitive_desc_query_md(d->desc, dnnl_query_scratchpad_md, 0),
             scratch + aligned(d->weight_bytes)}};
        if (!execute(d->primitive, arguments, 4)) return false;
    }
    return true;
}

typedef struct add_work {
    const float *x;
    float *y;
} add_work;

static void add_range(void *user, int64_t first, int64_t end) {
    const add_work *k = user;
    for (int64_t i = first; i < end; i++) k->y[i] += k->x[i];
}

/* Groups first, then single images; each gives a gradient of its own, and they are added in order. */
static bool run_weights(const tc_conv *c, const tools *t, int64_t batch, const float *x, const float *dy,
                        float *dw) {
    const tc_conv_shape *s = &c->product.map;
    int side = tc_conv_out_side(s);
    int64_t count = (int64_t)s->out * s->in * s->kernel * s->kernel;
    for (int64_t i = 0; i < batch;) {
        bool group = batch - i >= GROUP;
        const tool *g = &t->weights[group];
        size_t plain = aligned((size_t)count * sizeof *dw), own = aligned(g->weight_bytes);
        char *scratch = tc_scratch(plain + own + g->scratch_bytes + 1);
        if (!scratch) return false;
        float *sum = i ? (float *)(void *)scratch : dw;
        argument arguments[] = {
            {DNNL_ARG_SRC, dnnl_primitive_desc_query_md(g->desc, dnnl_query_src_md, 0),
             x + i * s->side * s->side * s->in},
            {DNNL_ARG_DIFF_WEIGHTS, weight_layout(g, DNNL_WEIGHTS), scratch + plain},
            {DNNL_ARG_DIFF_DST, dnnl_primitive_desc_query_md(g->desc, dnnl_query_diff_dst_md, 0),
             dy + i * side * side * s->out},
            {DNNL_ARG_SCRATCHPAD, dnnl_primitive_desc_query_md(g->desc, dnnl_query_scratchpad_md, 0),
             scratch + plain + own}};
        if (!execute(g->primitive, arguments, 4) ||
            !reorder(g, (const float *)(void *)(scratch + plain), sum))
            return false;
        if (i) tc_parallel(count, count, add_range, &(add_work){sum, dw});
        i += group ? GROUP : 1;
    }
    return true;
}

/* ---- the table's functions */

void tc_dnnl_conv_free(tc_conv *c) {
    for (tools *t = atomic_load(&c->made), *next; t; t = next) {
        next = t->next;
        free_tools(t);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static tc_conv *conv_new(const tc_product *p, bool inference) {
    pthread_once(&engine_once, make_engine);
    tc_conv *c = tc_new(1, sizeof *c);
    if (!c) return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->product = *p;
    c->inference = inference;
    int before;
    bool ok = enter(c, &before) != NULL;
    tc_dnnl_threads(before);
    if (ok) return c;
    tc_dnnl_conv_free(c);
    return NULL;
}

tc_conv *tc_dnnl_conv_create(const tc_conv_shape *s) { return conv_new(&(tc_product){.map = *s}, false); }

/* Where oneDNN or memory fails, training goes on in plain C. */
void tc_dnnl_conv_run(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, tc_real *y) {
    int before;
    const tools *t = enter(c, &before);
    bool ok = t && run_forward(c, t, batch, x, w, NULL, NULL, y);
    tc_dnnl_threads(before);
    if (!ok) ref_conv_forward(&c->product.map, batch, x, w, y);
}

void tc_dnnl_conv_backward(tc_conv *c, int64_t batch, const tc_real *x, const tc_real *w, const tc_real *dy,
                           tc_real *dx, tc_real *dw) {
    int before;
    const tools *t = enter(c, &before);
    bool ok = t && (!dx || run_data(c, t, batch, w, dy, dx)) && run_weights(c, t, batch, x, dy, dw);
    tc_dnnl_threads(before);
    if (!ok) ref_conv_gradients(&c->product.map, batch, x, w, dy, dx, dw);
}

/* ---- the form of a weight that stays */

static bool form_can(const tc_product *p) { return p->map.kernel > 0; }
static void *form_open(const tc_product *p) { return conv_new(p, true); }
static void form_close(void *own) { tc_dnnl_conv_free(own); }

static size_t form_bytes(const tc_packed *p) {
    tc_conv *c = p->own;
    return atomic_load_explicit(&c->made, memory_order_acquire)->forward.weight_bytes;
}

static bool form_pack(const tc_packed *p, void *to) {
    int before;
    const tools *t = enter(p->own, &before);
    float *plain = tc_alloc_aligned((size_t)(p->product.n * p->product.k), sizeof *plain);
    if (plain) tc_weight_copy(&p->weight, p->product.n, p->product.k, plain);
    bool ok = plain && t && reorder(&t->forward, plain, to);
    tc_dnnl_threads(before);
    free(plain);
    return ok;
}

/* There are only the packed weights: where oneDNN or memory fails, the numbers are none. */
static void form_run(const tc_packed *p, const void *packed, int64_t rows, const tc_real *x, int64_t ldx,
                     tc_real *y, int64_t ldy) {
    (void)ldx, (void)ldy;
    const tc_conv_shape *s = &p->product.map;
    int64_t batch = rows / s->side / s->side, side = tc_conv_out_side(s);
    int before;
    const tools *t = enter(p->own, &before);
    bool ok = t && run_forward(p->own, t, batch, x, NULL, packed, p->bias, y);
    tc_dnnl_threads(before);
    for (int64_t i = 0; !ok && i < batch * side * side * s->out; i++) y[i] = NAN;
}

const tc_form tc_form_dnnl_conv = {.name = "dnnl_conv",
                                   .numbers = "f32",
                                   .can = form_can,
                                   .open = form_open,
                                   .close = form_close,
                                   .bytes = form_bytes,
                                   .pack = form_pack,
                                   .run = form_run,
                                   .at_once = true};
