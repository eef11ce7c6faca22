/* op_batchnorm.c - y = act((x - mean) / sqrt(var + 1e-5) * w + b) with statistics of each column (Ioffe &
 * Szegedy 2015).
 *
 * In training mean and biased variance are those of the batch, and gradients pass through them; they are kept
 * aside, also for the running statistics: r = 0.9 r + 0.1 of the batch's, the variance unbiased. These change
 * only when a step counts (update), so a step that is left out leaves nothing behind. Otherwise the running
 * statistics are used; where weights are prepared they are folded into the layer before. Parameters: weight,
 * bias, running mean, running variance, counter. */
#include "graph/onnx_walk.h"
#include "graph/op.h"

static const double MOMENTUM = 0.1;

enum { WEIGHT, BIAS, MEAN, VAR, COUNTER };
enum { BATCH_MEAN, BATCH_RSTD, BATCH_VAR, KEPT };

static void batchnorm_shape(tc_graph *g, tc_node *n, tc_value *out) {
    const tc_value *x = &g->values[n->in[0]];
    for (int i = WEIGHT; i <= VAR; i++)
        if (g->params->items[n->param[i]].numel != x->width)
            tc_graph_fail(g, "%s does not fit an input of width %d", g->params->items[n->param[i]].name,
                          x->width);
    out->space = x->space;
    out->width = x->width;
}

/* In double, whatever the numbers of the values are: a mean far from 0 would leave too little of the
 * differences from it. */
static int64_t batchnorm_aux(const tc_graph *g, const tc_node *n) {
    return (int64_t)KEPT * g->values[n->in[0]].width * (int64_t)(sizeof(double) / sizeof(tc_real));
}

static double *kept_of(const tc_runner *r, const tc_node *n) {
    return (double *)(void *)r->aux[tc_node_index(r, n)];
}

static void batchnorm_forward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out), rows = tc_rows_of(r, n->out);
    const tc_real *x = r->value[n->in[0]];
    double *mean = kept_of(r, n) + BATCH_MEAN * width;
    double *rstd = kept_of(r, n) + BATCH_RSTD * width;
    double *var = kept_of(r, n) + BATCH_VAR * width;
    if (r->train) r->kern->batch_stats(rows, width, x, mean, var);
    else r->kern->running_stats(width, r->param[n->param[MEAN]], r->param[n->param[VAR]], mean, var);
    r->kern->batch_rstd(width, var, TC_BATCHNORM_EPS, rstd);
    r->kern->batchnorm(rows, width, x, mean, rstd, r->param[n->param[WEIGHT]], r->param[n->param[BIAS]],
                       n->act, r->value[n->out]);
}

static void batchnorm_backward(const tc_runner *r, const tc_node *n) {
    int64_t width = tc_width_of(r, n->out);
    const double *kept = kept_of(r, n);
    r->kern->batchnorm_backward(tc_rows_of(r, n->out), width, r->value[n->in[0]], kept + BATCH_MEAN * width,
                                kept + BATCH_RSTD * width, r->param[n->param[WEIGHT]],
                                r->param[n->param[BIAS]], n->act, r->grad[n->out], r->grad[n->in[0]],
                                r->param_grad[n->param[WEIGHT]], r->param_grad[n->param[BIAS]]);
}

static void batchnorm_update(const tc_runner *r, const tc_node *n, tc_real *flat) {
    const tc_param *p = r->graph->params->items;
    int64_t width = tc_width_of(r, n->out);
    const double *kept = kept_of(r, n);
    r->kern->running_update(tc_rows_of(r, n->out), width, MOMENTUM, kept + BATCH_MEAN * width,
                            kept + BATCH_VAR * width, flat + p[n->param[MEAN]].offset,
                            flat + p[n->param[VAR]].offset, flat + p[n->param[COUNTER]].offset);
}

static bool batchnorm_takes(const tc_node *behind, bool training) {
    (void)training;
    return behind->op->kind == TC_OP_ACT && behind->act == TC_ACT_RELU;
}

/* With the running statistics, as in inference. */
static int batchnorm_onnx(tc_onnx_walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    tc_onnx_attr eps = {.name = "epsilon", .kind = TC_ONNX_FLOAT_ATTR, .f = (float)TC_BATCHNORM_EPS};
    int in[5] = {w->value[n->in[0]]};
    for (int i = 0; i < 4; i++) in[1 + i] = tc_onnx_param(o, n->param[i]);
    if (w->side[n->in[0]] == 0) tc_onnx_fail(o, "batch normalisation of what is no map");
    if (n->act != TC_ACT_NONE) tc_onnx_fail(o, "the graph is fused");
    w->side[n->out] = w->side[n->in[0]];
    return tc_onnx_node(o, "BatchNormalization", 5, in, 1, &eps);
}

const tc_op tc_op_batchnorm = {.name = "batchnorm",
                               .kind = TC_OP_NORM,
                               .takes = batchnorm_takes,
                               .shape = batchnorm_shape,
                               .forward = batchnorm_forward,
                               .backward = batchnorm_backward,
                               .aux_fixed = batchnorm_aux,
                               .update = batchnorm_update,
                               .state_params = 3,
                               .keep = TC_KEEP_IN0,
                               .grad_in_place = true,
                               .onnx = batchnorm_onnx,
                               .onnx_takes_maps = true};
