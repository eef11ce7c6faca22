/* onnx_ops.c - the operations of a graph as ONNX operators of set 17: one entry of the table an operation.
 *
 * A value [rows, width] becomes [batch, rows a sequence, width], or [batch, width] where a sequence has one
 * row. Ragged rows become L rows a caption. Between convolutions a value is a map [batch, width, side, side],
 * as they want it; other operations get it as rows. Batch normalisation stays an operator of its own: so the
 * file holds the model's own tensors, in 16 bits too, and runtimes fold it when they open the file. A value
 * of width 0 (the FFN of a pruned block) has no ONNX value; what a linear node makes of it is its bias, the
 * same for every row, which broadcasts. */
#include "graph/onnx.h"
#include "graph/op.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct walk {
    tc_onnx *o;
    const tc_graph *g;
    int input, last;
    int positions; /* 0 .. L-1 of a caption, int64 [L]; made when it is first needed, -1 before */
    int *value;    /* [values] ONNX value, or -1 */
    bool *uniform; /* [values] one row [width] stands for all */
    int *side;     /* [values] > 0: a map of that side; 0: rows */
} walk;

static int width_of(const walk *w, int value) { return w->g->values[value].width; }
/* 0: ragged */
static int rows_of(const walk *w, int value) { return w->g->spaces[w->g->values[value].space].per_seq; }

static int positions(walk *w) {
    if (w->positions >= 0) return w->positions;
    tc_onnx *o = w->o;
    int length = tc_onnx_binary(o, "Gather", tc_onnx_unary(o, "Shape", w->input), tc_onnx_int(o, 1));
    return w->positions =
               tc_onnx_node(o, "Range", 3, (int[]){tc_onnx_int(o, 0), length, tc_onnx_int(o, 1)}, 0, NULL);
}

/* ---- where tokens come from */

/* [b,3,S,S] -> [b,3,G,P,G,P] -> [b,G,G,3,P,P] -> [b,G*G,3*P*P]; pixels that fill no patch are cut off first.
 */
static int emit_patchify(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int64_t patch = n->patch_size, grid = n->image_size / patch;
    int x = w->value[n->in[0]];
    if (patch == 1) {
        w->side[n->out] = n->image_size;
        return x;
    }
    if (grid * patch != n->image_size) {
        int end = tc_onnx_ints(o, 2, (int64_t[]){grid * patch, grid * patch});
        int in[4] = {x, tc_onnx_ints(o, 2, (int64_t[]){0, 0}), end, tc_onnx_ints(o, 2, (int64_t[]){2, 3})};
        x = tc_onnx_node(o, "Slice", 4, in, 0, NULL);
    }
    x = tc_onnx_reshape(o, x, 6, (int64_t[]){0, 3, grid, patch, grid, patch});
    x = tc_onnx_transpose(o, x, 6, (int64_t[]){0, 2, 4, 1, 3, 5});
    return tc_onnx_reshape(o, x, 3, (int64_t[]){0, grid * grid, 3 * patch * patch});
}

/* The class token in front of each image's rows; without one, their mean. */
static int first_token(walk *w, const tc_node *n, int x) {
    tc_onnx *o = w->o;
    int64_t width = width_of(w, n->out), rows = 1;
    tc_onnx_attr axes = {.name = "axes", .kind = TC_ONNX_INTS_ATTR, .ints = &rows, .n = 1};
    if (n->param[0] < 0) return tc_onnx_node(o, "ReduceMean", 1, &x, 1, &axes);
    tc_onnx_attr end = tc_onnx_int_attr("end", 1), axis = tc_onnx_int_attr("axis", 0);
    int batch = tc_onnx_node(o, "Shape", 1, &x, 1, &end);
    int shape =
        tc_onnx_node(o, "Concat", 2, (int[]){batch, tc_onnx_ints(o, 2, (int64_t[]){1, width})}, 1, &axis);
    return tc_onnx_binary(o, "Expand", tc_onnx_param(o, n->param[0]), shape);
}

static int emit_tokens(walk *w, const tc_node *n) {
    tc_onnx_attr axis = tc_onnx_int_attr("axis", 1);
    int x = w->value[n->in[0]];
    x = tc_onnx_node(w->o, "Concat", 2, (int[]){first_token(w, n, x), x}, 1, &axis);
    return tc_onnx_binary(w->o, "Add", x, tc_onnx_param(w->o, n->param[1]));
}

/* Rows are taken from the tables as they are stored, and only those are widened. */
static int table_rows(walk *w, int param, int index) {
    return tc_onnx_widen(w->o, tc_onnx_binary(w->o, "Gather", tc_onnx_param_stored(w->o, param), index));
}

static int emit_embed(walk *w, const tc_node *n) {
    int tokens = table_rows(w, n->param[0], w->input);
    return tc_onnx_binary(w->o, "Add", tokens, table_rows(w, n->param[1], positions(w)));
}

/* ---- rows */

static int emit_layernorm(walk *w, const tc_node *n) {
    tc_onnx_attr attr[2] = {tc_onnx_int_attr("axis", -1),
                            {.name = "epsilon", .kind = TC_ONNX_FLOAT_ATTR, .f = 1e-5f}};
    int in[3] = {w->value[n->in[0]], tc_onnx_param(w->o, n->param[0]), tc_onnx_param(w->o, n->param[1])};
    return tc_onnx_node(w->o, "LayerNormalization", 3, in, 2, attr);
}

/* ---- maps */

static void make_rows(walk *w, int value) {
    int side = w->side[value];
    if (side == 0) return;
    int x = tc_onnx_transpose(w->o, w->value[value], 4, (int64_t[]){0, 2, 3, 1});
    w->value[value] = tc_onnx_reshape(w->o, x, 3, (int64_t[]){0, (int64_t)side * side, width_of(w, value)});
    w->side[value] = 0;
}

static void make_map(walk *w, int value, int side) {
    if (w->side[value]) return;
    int x = tc_onnx_reshape(w->o, w->value[value], 4, (int64_t[]){0, side, side, width_of(w, value)});
    w->value[value] = tc_onnx_transpose(w->o, x, 4, (int64_t[]){0, 3, 1, 2});
    w->side[value] = side;
}

/* Convolution of the map in[0] with the weight [out, in, kernel, kernel]. */
static int convolve(walk *w, const tc_node *n, int64_t kernel, int64_t stride, int64_t pad) {
    tc_onnx *o = w->o;
    int in[3] = {w->value[n->in[0]], tc_onnx_param(o, n->param[0]),
                 n->param[1] >= 0 ? tc_onnx_param(o, n->param[1]) : -1};
    int64_t pads[4] = {pad, pad, pad, pad}, strides[2] = {stride, stride}, shape[2] = {kernel, kernel};
    tc_onnx_attr attr[3] = {{.name = "kernel_shape", .kind = TC_ONNX_INTS_ATTR, .ints = shape, .n = 2},
                            {.name = "strides", .kind = TC_ONNX_INTS_ATTR, .ints = strides, .n = 2},
                            {.name = "pads", .kind = TC_ONNX_INTS_ATTR, .ints = pads, .n = 4}};
    if (n->act != TC_ACT_NONE || n->add || n->param[2] >= 0) tc_onnx_fail(o, "the graph is fused");
    w->side[n->out] = (int)((w->side[n->in[0]] + 2 * pad - kernel) / stride) + 1;
    return tc_onnx_node(o, "Conv", n->param[1] >= 0 ? 3 : 2, in, 3, attr);
}

static int emit_conv(walk *w, const tc_node *n) {
    make_map(w, n->in[0], n->side);
    return convolve(w, n, w->g->params->items[n->param[0]].shape[2], n->stride, n->pad);
}

static int emit_avgpool(walk *w, const tc_node *n) {
    make_map(w, n->in[0], n->side);
    int x = w->value[n->in[0]];
    int64_t window[2] = {n->stride, n->stride};
    tc_onnx_attr attr[2] = {{.name = "kernel_shape", .kind = TC_ONNX_INTS_ATTR, .ints = window, .n = 2},
                            {.name = "strides", .kind = TC_ONNX_INTS_ATTR, .ints = window, .n = 2}};
    w->side[n->out] = n->side / n->stride;
    return tc_onnx_node(w->o, "AveragePool", 1, &x, 2, attr);
}

/* With the running statistics, as in inference. */
static int emit_batchnorm(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    tc_onnx_attr eps = {.name = "epsilon", .kind = TC_ONNX_FLOAT_ATTR, .f = (float)TC_BATCHNORM_EPS};
    int in[5] = {w->value[n->in[0]]};
    for (int i = 0; i < 4; i++) in[1 + i] = tc_onnx_param(o, n->param[i]);
    if (w->side[n->in[0]] == 0) tc_onnx_fail(o, "batch normalisation of what is no map");
    if (n->act != TC_ACT_NONE) tc_onnx_fail(o, "the graph is fused");
    w->side[n->out] = w->side[n->in[0]];
    return tc_onnx_node(o, "BatchNormalization", 5, in, 1, &eps);
}

/* ---- products and what is done to each number */

static int emit_linear(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    const tc_param *p = &w->g->params->items[n->param[0]];
    if (p->ndim == 4 && w->side[n->in[0]]) return convolve(w, n, 1, 1, 0);
    make_rows(w, n->in[0]);
    int bias = n->param[1] >= 0 ? tc_onnx_param_rows(o, n->param[1], n->row0, n->rows, false) : -1;
    if (n->act != TC_ACT_NONE || n->add) tc_onnx_fail(o, "the graph is fused");
    if (width_of(w, n->in[0]) == 0) {
        if (bias < 0)
            tc_onnx_fail(o, "%s: a linear node without inputs and bias",
                         w->g->params->items[n->param[0]].name);
        w->uniform[n->out] = true;
        return bias;
    }
    int weight = n->transposed ? tc_onnx_param(o, n->param[0])
                               : tc_onnx_param_rows(o, n->param[0], n->row0, n->rows, true);
    int y = tc_onnx_binary(o, "MatMul", w->value[n->in[0]], weight);
    return bias < 0 ? y : tc_onnx_binary(o, "Add", y, bias);
}

/* In the order of factors that ONNX Runtime knows as its Gelu and QuickGelu. */
static int emit_act(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int x = w->value[n->in[0]];
    w->side[n->out] = w->side[n->in[0]];
    if (n->act == TC_ACT_RELU) return tc_onnx_unary(o, "Relu", x);
    if (n->act == TC_ACT_QUICK_GELU)
        return tc_onnx_binary(
            o, "Mul", x, tc_onnx_unary(o, "Sigmoid", tc_onnx_binary(o, "Mul", x, tc_onnx_float(o, 1.702f))));
    if (n->act != TC_ACT_GELU) tc_onnx_fail(o, "activation %d has no ONNX form", n->act);
    int y = tc_onnx_unary(o, "Erf", tc_onnx_binary(o, "Div", x, tc_onnx_float(o, (float)sqrt(2.0))));
    y = tc_onnx_binary(o, "Mul", x, tc_onnx_binary(o, "Add", y, tc_onnx_float(o, 1)));
    return tc_onnx_binary(o, "Mul", y, tc_onnx_float(o, 0.5f));
}

static int emit_add(walk *w, const tc_node *n) {
    w->uniform[n->out] = w->uniform[n->in[0]] && w->uniform[n->in[1]];
    if (w->side[n->in[0]] != w->side[n->in[1]])
        for (int i = 0; i < 2; i++) make_rows(w, n->in[i]);
    w->side[n->out] = w->side[n->in[0]];
    return tc_onnx_binary(w->o, "Add", w->value[n->in[0]], w->value[n->in[1]]);
}

/* Rows of x [batch,L,width] -> [batch,width]. */
static int emit_select(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int x = w->value[n->in[0]];
    tc_onnx_attr axis = tc_onnx_int_attr("axis", 1), dims = tc_onnx_int_attr("batch_dims", 1);
    if (rows_of(w, n->in[0]) == 1) return x;
    if (n->pick == TC_PICK_FIRST)
        return tc_onnx_node(o, "Gather", 2, (int[]){x, tc_onnx_int(o, 0)}, 1, &axis);
    int at = tc_onnx_reshape(o, w->last, 2, (int64_t[]){-1, 1});
    return tc_onnx_node(o, "GatherND", 2, (int[]){x, at}, 1, &dims);
}

/* ---- attention */

/* Keys behind the query become the lowest number there is. The queries are all positions, or the picked one
 * of each caption. */
static int mask_scores(walk *w, const tc_node *n, int scores) {
    tc_onnx *o = w->o;
    if (n->pick == TC_PICK_FIRST) tc_onnx_fail(o, "attention of the first row alone is not causal");
    int query = n->pick == TC_PICK_ALL ? tc_onnx_reshape(o, positions(w), 2, (int64_t[]){-1, 1})
                                       : tc_onnx_reshape(o, w->last, 4, (int64_t[]){-1, 1, 1, 1});
    int hidden = tc_onnx_binary(o, "Greater", positions(w), query);
    return tc_onnx_node(o, "Where", 3, (int[]){hidden, tc_onnx_float(o, -FLT_MAX), scores}, 0, NULL);
}

/* softmax(q k^T / sqrt d) v over [batch,heads,rows,dim]. */
static int emit_attention(walk *w, const tc_node *n) {
    tc_onnx *o = w->o;
    int part[3], *q = &part[0], *k = &part[1], *v = &part[2];
    int64_t heads = n->heads, dim = n->dim;
    bool all = n->pick == TC_PICK_ALL;
    if (n->nin == 1) tc_onnx_split(o, w->value[n->in[0]], 3, part);
    else *q = w->value[n->in[0]];
    if (n->nin == 2) tc_onnx_split(o, w->value[n->in[1]], 2, part + 1);
    for (int i = 1; n->nin == 3 && i < 3; i++) part[i] = w->value[n->in[i]];
    if (all)
        *q = tc_onnx_transpose(o, tc_onnx_reshape(o, *q, 4, (int64_t[]){0, 0, heads, dim}), 4,
                               (int64_t[]){0, 2, 1, 3});
    else *q = tc_onnx_reshape(o, *q, 4, (int64_t[]){0, heads, 1, dim});
    *q = tc_onnx_binary(o, "Mul", *q, tc_onnx_float(o, (float)(1 / sqrt((double)dim))));
    *k = tc_onnx_transpose(o, tc_onnx_reshape(o, *k, 4, (int64_t[]){0, 0, heads, dim}), 4,
                           (int64_t[]){0, 2, 3, 1});
    *v = tc_onnx_transpose(o, tc_onnx_reshape(o, *v, 4, (int64_t[]){0, 0, heads, dim}), 4,
                           (int64_t[]){0, 2, 1, 3});
    int scores = tc_onnx_binary(o, "MatMul", *q, *k);
    if (n->causal) scores = mask_scores(w, n, scores);
    tc_onnx_attr axis = tc_onnx_int_attr("axis", -1);
    int y = tc_onnx_binary(o, "MatMul", tc_onnx_node(o, "Softmax", 1, &scores, 1, &axis), *v);
    if (!all) return tc_onnx_reshape(o, y, 2, (int64_t[]){0, heads * dim});
    return tc_onnx_reshape(o, tc_onnx_transpose(o, y, 4, (int64_t[]){0, 2, 1, 3}), 3,
                           (int64_t[]){0, 0, heads * dim});
}

/* ---- the walk */

static const struct {
    const tc_op *op;
    int (*emit)(walk *w, const tc_node *n); /* the ONNX value of the result */
    bool takes_uniform;                     /* its inputs may be one row for all */
    bool takes_maps;                        /* its inputs may be maps; others get them as rows */
} forms[] = {
    {&tc_op_patchify, emit_patchify, false, false},
    {&tc_op_tokens, emit_tokens, false, false},
    {&tc_op_embed, emit_embed, false, false},
    {&tc_op_layernorm, emit_layernorm, false, false},
    {&tc_op_linear, emit_linear, false, true},
    {&tc_op_attention, emit_attention, false, false},
    {&tc_op_act, emit_act, false, true},
    {&tc_op_add, emit_add, true, true},
    {&tc_op_select, emit_select, false, false},
    {&tc_op_conv, emit_conv, false, true},
    {&tc_op_batchnorm, emit_batchnorm, false, true},
    {&tc_op_avgpool, emit_avgpool, false, true},
};
enum { FORMS = sizeof forms / sizeof *forms };

static int form_of(const tc_op *op) {
    int i = 0;
    while (i < FORMS && forms[i].op != op) i++;
    return i;
}

bool tc_onnx_knows(const tc_op *op) { return form_of(op) < FORMS; }

static void emit_node(walk *w, const tc_node *n) {
    int form = form_of(n->op);
    if (form == FORMS) {
        tc_onnx_fail(w->o, "operation %s has no ONNX form", n->op->name);
        return;
    }
    if (width_of(w, n->out) == 0) return;
    for (int i = 0; i < n->nin && !forms[form].takes_maps; i++) make_rows(w, n->in[i]);
    for (int i = 0; i < n->nin; i++)
        if (w->uniform[n->in[i]] && !forms[form].takes_uniform)
            tc_onnx_fail(w->o, "%s of rows that are all the same", n->op->name);
    w->value[n->out] = forms[form].emit(w, n);
}

int tc_onnx_graph(tc_onnx *o, const tc_graph *g, int input, int last) {
    if (g->sites)
        tc_onnx_fail(o, "a graph with masks has no ONNX form: they are folded into the weights first");
    walk w = {.o = o, .g = g, .input = input, .last = last, .positions = -1};
    w.value = tc_new(g->value_count, sizeof *w.value);
    w.uniform = tc_new(g->value_count, sizeof *w.uniform);
    w.side = tc_new(g->value_count, sizeof *w.side);
    if (!w.value || !w.uniform || !w.side) tc_onnx_fail(o, "out of memory");
    else {
        for (size_t i = 0; i < g->value_count; i++) w.value[i] = -1;
        if (g->input >= 0) w.value[g->input] = input;
        for (size_t i = 0; i < g->node_count && !tc_onnx_failed(o); i++) emit_node(&w, &g->nodes[i]);
    }
    int output = w.value && w.uniform && w.side && !w.uniform[g->output] ? w.value[g->output] : -1;
    if (output < 0) tc_onnx_fail(o, "the output does not depend on the input");
    free(w.value);
    free(w.uniform);
    free(w.side);
    return output;
}
