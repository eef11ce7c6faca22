/* onnx_walk.h - what the operations have at hand while a graph is written as ONNX (onnx_graph.c).
 *
 * A value [rows, width] becomes [batch, rows a sequence, width], or [batch, width] where a sequence has one
 * row. Ragged rows become L rows a caption. Between convolutions a value is a map [batch, width, side, side],
 * as they want it; other operations get it as rows. Batch normalisation stays an operator of its own: so the
 * file holds the model's own tensors, in 16 bits too, and runtimes fold it when they open the file. A value
 * of width 0 (the FFN of a pruned block) has no ONNX value; what a linear node makes of it is its bias, the
 * same for every row, which broadcasts. */
#ifndef TC_ONNX_WALK_H
#define TC_ONNX_WALK_H

#include "graph/onnx.h"

typedef struct tc_onnx_walk {
    tc_onnx *o;
    const tc_graph *g;
    int input, last; /* ONNX values, see tc_onnx_graph */
    int positions;   /* of tc_onnx_positions; -1: not made yet */
    int *value;      /* [values] ONNX value, or -1 */
    bool *uniform;   /* [values] one row [width] stands for all */
    int *side;       /* [values] > 0: a map of that side; 0: rows */
} tc_onnx_walk;

/* 0 .. L-1 of a caption, int64 [L]. */
int tc_onnx_positions(tc_onnx_walk *w);
/* Brings a value of the graph into rows, or into a map of that side. */
void tc_onnx_rows(tc_onnx_walk *w, int value);
void tc_onnx_map(tc_onnx_walk *w, int value, int side);
/* Convolution of the map in[0] with the weight [out, in, kernel, kernel]. */
int tc_onnx_conv(tc_onnx_walk *w, const tc_node *n, int64_t kernel, int64_t stride, int64_t pad);

#endif
