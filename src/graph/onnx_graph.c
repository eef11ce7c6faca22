/* onnx_graph.c - writes a graph as ONNX operators of set 17: walks its nodes, of which each operation writes
 * its own (tc_op.onnx). */
#include "graph/onnx_walk.h"
#include "graph/op.h"

#include <stdlib.h>

static int width_of(const tc_onnx_walk *w, int value) { return w->g->values[value].width; }

int tc_onnx_positions(tc_onnx_walk *w) {
    if (w->positions >= 0) return w->positions;
    tc_onnx *o = w->o;
    int length = tc_onnx_binary(o, "Gather", tc_onnx_unary(o, "Shape", w->input), tc_onnx_int(o, 1));
    return w->positions =
               tc_onnx_node(o, "Range", 3, (int[]){tc_onnx_int(o, 0), length, tc_onnx_int(o, 1)}, 0, NULL);
}

void tc_onnx_rows(tc_onnx_walk *w, int value) {
    int side = w->side[value];
    if (side == 0) return;
    int x = tc_onnx_transpose(w->o, w->value[value], 4, (int64_t[]){0, 2, 3, 1});
    w->value[value] = tc_onnx_reshape(w->o, x, 3, (int64_t[]){0, (int64_t)side * side, width_of(w, value)});
    w->side[value] = 0;
}

void tc_onnx_map(tc_onnx_walk *w, int value, int side) {
    if (w->side[value]) return;
    int x = tc_onnx_reshape(w->o, w->value[value], 4, (int64_t[]){0, side, side, width_of(w, value)});
    w->value[value] = tc_onnx_transpose(w->o, x, 4, (int64_t[]){0, 3, 1, 2});
    w->side[value] = side;
}

int tc_onnx_conv(tc_onnx_walk *w, const tc_node *n, int64_t kernel, int64_t stride, int64_t pad) {
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

static void emit_node(tc_onnx_walk *w, const tc_node *n) {
    if (!n->op->onnx) {
        tc_onnx_fail(w->o, "operation %s has no ONNX form", n->op->name);
        return;
    }
    if (width_of(w, n->out) == 0) return;
    for (int i = 0; i < n->nin && !n->op->onnx_takes_maps; i++) tc_onnx_rows(w, n->in[i]);
    for (int i = 0; i < n->nin; i++)
        if (w->uniform[n->in[i]] && !n->op->onnx_takes_uniform)
            tc_onnx_fail(w->o, "%s of rows that are all the same", n->op->name);
    w->value[n->out] = n->op->onnx(w, n);
}

int tc_onnx_graph(tc_onnx *o, const tc_graph *g, int input, int last) {
    if (g->sites)
        tc_onnx_fail(o, "a graph with masks has no ONNX form: they are folded into the weights first");
    tc_onnx_walk w = {.o = o, .g = g, .input = input, .last = last, .positions = -1};
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
