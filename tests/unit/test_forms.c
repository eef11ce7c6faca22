/* test_forms.c - whole towers in another form of weights, which exists in this test alone: the upper halves
 * of floats. No pass knows it. */
#include "graph_rig.h"

static size_t half_bytes(const tc_packed *p) { return (size_t)(p->product.n * p->product.k) * 2; }

static float *room_for(const tc_packed *p) {
    float *w = tc_new((size_t)(p->product.n * p->product.k) + 1, sizeof *w);
    assert_non_null(w);
    return w;
}

static bool half_pack(const tc_packed *p, void *to) {
    int64_t count = p->product.n * p->product.k;
    float *w = room_for(p);
    tc_weight_copy(&p->weight, p->product.n, p->product.k, w);
    for (int64_t i = 0; i < count; i++) memcpy((char *)to + 2 * i, (const char *)(w + i) + 2, 2);
    free(w);
    return true;
}

static void half_run(const tc_packed *p, const void *packed, int64_t rows, const float *x, int64_t ldx,
                     float *y, int64_t ldy) {
    int64_t count = p->product.n * p->product.k;
    float *w = room_for(p);
    for (int64_t i = 0; i < count; i++) memcpy((char *)(w + i) + 2, (const char *)packed + 2 * i, 2);
    tc_kern_level(0)->forms[0]->run(p, w, rows, x, ldx, y, ldy);
    free(w);
}

static int asked;

/* All but the first product of a graph. */
static bool half_can(const tc_product *p) {
    (void)p;
    return asked++ > 0;
}

static const tc_form half_form = {.name = "upper halves",
                                  .numbers = "half",
                                  .can = half_can,
                                  .bytes = half_bytes,
                                  .pack = half_pack,
                                  .run = half_run,
                                  .at_once = true};

static tc_graph *fused_graph(const net *n, bool text) {
    tc_graph *g = graph_of(n, text, 0);
    tc_graph_fuse(g, false);
    return g;
}

/* The tower's output with weights in these numbers, and what they take of memory. */
static float *output_in(const net *n, const tc_kern *kern, const char *numbers, const tc_feed *feed,
                        size_t *bytes) {
    tc_graph *g = fused_graph(n, feed->ids != NULL);
    tc_prepared packed = {0};
    tc_error err;
    asked = 0;
    if (tc_prepare(&packed, g, kern, numbers, n->value, NULL, &err) != TC_OK) fail_msg("%s", err.message);
    tc_runner *r = runner_of(n, g, false, &packed, false);
    float *y = forward(r, feed);
    *bytes = tc_prepared_bytes(&packed);
    tc_runner_free(&r);
    tc_prepared_free(&packed);
    tc_graph_free(&g);
    return y;
}

/* Leaves upper halves of the weights of all products but the first, and returns how many bytes those were. */
static size_t round_weights(const net *n, bool text) {
    tc_graph *g = fused_graph(n, text);
    size_t bytes = 0;
    for (size_t i = 0, products = 0; i < g->node_count; i++) {
        const tc_node *node = &g->nodes[i];
        tc_product p;
        if (!node->op->product || products++ == 0) continue;
        node->op->product(g, node, &p);
        float *w = n->model->flat + g->params->items[node->param[0]].offset + node->row0 * p.k;
        for (int64_t k = 0; k < p.n * p.k; k++) memset(w + k, 0, 2);
        bytes += (size_t)(p.n * p.k) * sizeof *w;
    }
    tc_graph_free(&g);
    return bytes;
}

/* Weights in halves give the bits that the same weights give in f32, and the product that the form cannot do
 * is done in f32. */
static void compare_halves(net *n, bool text) {
    const tc_form *const forms[] = {tc_kern_level(0)->forms[0], &half_form, NULL};
    tc_kern kern = *tc_kern_level(0);
    size_t bytes, half, again;
    tc_feed feed = feed_of(n, text, 3, 4);
    int64_t count = 3 * n->model->config.embed_dim;
    kern.forms = forms;
    float *exact = output_in(n, &kern, "f32", &feed, &bytes),
          *halves = output_in(n, &kern, "half", &feed, &half);
    size_t rounded = round_weights(n, text);
    float *want = output_in(n, &kern, "f32", &feed, &again);
    assert_int_equal(half, bytes - rounded / 2);
    assert_int_equal(again, bytes);
    assert_true(memcmp(exact, halves, (size_t)count * sizeof *exact) != 0);
    expect_bits("weights in halves", halves, want, count);
    free(exact), free(halves), free(want);
}

static void another_form(void **state) {
    (void)state;
    each(compare_halves);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(another_form)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("forms", tests, NULL, NULL);
}
