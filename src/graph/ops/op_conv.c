/* op_conv.c - convolution of square maps, weight [out, in, k, k]; for k = 1 a linear node does the same.
 *
 * A map is a space of side * side rows with its channels innermost, so that a convolution's neighbours
 * (linear, normalisation, activation) know nothing of maps. For inference the batch normalisation behind it
 * is folded into its weight, and the residual and ReLU into its epilogue. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

tc_conv_shape tc_graph_conv_shape(const tc_graph *g, const tc_node *n) {
    const tc_param *w = &g->params->items[n->param[0]];
    return (tc_conv_shape){n->side, g->values[n->in[0]].width, (int)w->shape[0], (int)w->shape[2], n->stride,
                           n->pad};
}

static void conv_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_param *w = &g->params->items[n->param[0]];
    const tc_value *x = &g->values[n->in[0]];
    bool fits = w->ndim == 4 && w->shape[2] == w->shape[3] && w->shape[1] == x->width && n->stride >= 1 &&
                n->pad >= 0 && g->spaces[x->space].per_seq == n->side * n->side && w->shape[2] >= 1 &&
                n->side + 2 * n->pad >= w->shape[2];
    if (!fits) {
        tc_graph_fail(g, "%s does not fit a map of side %d and %d channels", w->name, n->side, x->width);
        return;
    }
    tc_conv_shape s = tc_graph_conv_shape(g, n);
    out->space = tc_graph_space_of(g, tc_conv_out_side(&s) * tc_conv_out_side(&s));
    out->width = s.out;
}

static void conv_forward(const tc_runner *r, const tc_node *n) {
    tc_real *y = r->value[n->out];
    if (tc_run_prepared(r, n)) return;
    r->kern->conv_run(r->state[tc_node_index(r, n)], r->batch, r->value[n->in[0]], r->param[n->param[0]], y);
    if (n->param[1] >= 0)
        r->kern->bias_act(TC_ACT_NONE, tc_rows_of(r, n->out), tc_width_of(r, n->out), y,
                          r->param[n->param[1]], y);
}

static void conv_backward(const tc_runner *r, const tc_node *n) {
    const tc_real *dy = r->grad[n->out];
    r->kern->conv_backward(r->state[tc_node_index(r, n)], r->batch, r->value[n->in[0]], r->param[n->param[0]],
                           dy, r->grad[n->in[0]], r->param_grad[n->param[0]]);
    if (n->param[1] >= 0)
        r->kern->bias_backward(tc_rows_of(r, n->out), tc_width_of(r, n->out), dy, r->param_grad[n->param[1]]);
}

static double conv_macs(const tc_graph *g, const tc_node *n, int64_t rows_in, int64_t rows_out,
                        double pairs) {
    (void)rows_in, (void)pairs;
    const tc_param *w = &g->params->items[n->param[0]];
    return (double)rows_out * (double)w->numel;
}

/* What oneDNN sets up for the shapes of a convolution. */
static void *conv_setup(const tc_runner *r, const tc_node *n) {
    tc_conv_shape s = tc_graph_conv_shape(r->graph, n);
    return r->kern->conv_create(&s);
}

static void conv_release(const tc_runner *r, void *state) { r->kern->conv_free(state); }

static void conv_product(const tc_graph *g, const tc_node *n, tc_product *out) {
    tc_conv_shape s = tc_graph_conv_shape(g, n);
    *out = (tc_product){
        .n = s.out, .k = (int64_t)s.in * s.kernel * s.kernel, .map = s, .act = n->act, .add = n->add};
}

/* In training the statistics are those of the batch, and the residual is still needed. */
static bool conv_takes(const tc_node *behind, bool training) {
    (void)behind;
    return !training;
}

static int conv_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx_map(w, n->in[0], n->side);
    return tc_onnx_conv(w, n, w->g->params->items[n->param[0]].shape[2], n->stride, n->pad);
}

const tc_op tc_op_conv = {.name = "conv",
                          .shape = conv_shape,
                          .forward = conv_forward,
                          .backward = conv_backward,
                          .setup = conv_setup,
                          .release = conv_release,
                          .keep = TC_KEEP_IN0,
                          .macs = conv_macs,
                          .product = conv_product,
                          .takes_constant = true,
                          .takes = conv_takes,
                          .onnx = conv_onnx,
                          .onnx_takes_maps = true};
