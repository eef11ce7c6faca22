/* onnx.h - graphs as ONNX models: a pass that walks the nodes of a graph and writes the operators that do the
 * same (onnx_graph.c), over a writer of the file format (onnx_file.c).
 *
 * Format: https://github.com/onnx/onnx/blob/main/docs/IR.md, messages of onnx.proto; operators of set 17. */
#ifndef TC_ONNX_H
#define TC_ONNX_H

#include "graph/graph.h"
#include "store/store.h"

enum { TC_ONNX_IR = 8, TC_ONNX_OPSET = 17 };
/* TensorProto.DataType */
enum { TC_ONNX_FLOAT = 1, TC_ONNX_INT32 = 6, TC_ONNX_INT64 = 7, TC_ONNX_FLOAT16 = 10, TC_ONNX_BFLOAT16 = 16 };

/* ---- one file. Values are numbers; -1 where there is none. Failures stick, as while a graph is built:
 * tc_onnx_write tells. */

typedef struct tc_onnx tc_onnx;

typedef struct tc_onnx_attr {
    const char *name;
    enum { TC_ONNX_INT_ATTR, TC_ONNX_FLOAT_ATTR, TC_ONNX_INTS_ATTR } kind;
    int64_t i;
    float f;
    const int64_t *ints;
    int n;
} tc_onnx_attr;
static inline tc_onnx_attr tc_onnx_int_attr(const char *name, int64_t i) {
    return (tc_onnx_attr){.name = name, .kind = TC_ONNX_INT_ATTR, .i = i};
}

/* `weights`: TC_F32, TC_F16 or TC_BF16, what the parameters are stored as. NULL if memory ran out. params
 * must outlive it. */
tc_onnx *tc_onnx_create(const char *name, const tc_params *params, tc_dtype weights);
void tc_onnx_free(tc_onnx **o);
void tc_onnx_fail(tc_onnx *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool tc_onnx_failed(const tc_onnx *o);

/* dims: numbers ("3") or names of free sizes ("batch"). */
int tc_onnx_input(tc_onnx *o, const char *name, int type, int ndim, const char *const *dims);
/* `value` under a name of its own. */
void tc_onnx_output(tc_onnx *o, const char *name, int type, int ndim, const char *const *dims, int value);
/* One operator; its first result. Nodes made from now on are named after `prefix`. */
void tc_onnx_prefix(tc_onnx *o, const char *prefix);
int tc_onnx_node(tc_onnx *o, const char *op, int nin, const int *in, int nattr, const tc_onnx_attr *attr);
int tc_onnx_unary(tc_onnx *o, const char *op, int x);
int tc_onnx_binary(tc_onnx *o, const char *op, int x, int y);
/* Equal parts of the last axis. */
void tc_onnx_split(tc_onnx *o, int x, int parts, int *out);
int tc_onnx_reshape(tc_onnx *o, int x, int ndim, const int64_t *shape /* 0: as before, -1: the rest */);
int tc_onnx_transpose(tc_onnx *o, int x, int ndim, const int64_t *perm);
int tc_onnx_cast(tc_onnx *o, int x, int type);

/* Constants; equal ones are one. */
int tc_onnx_ints(tc_onnx *o, int n, const int64_t *values); /* int64 [n] */
int tc_onnx_int(tc_onnx *o, int64_t value);                 /* int64 [] */
int tc_onnx_float(tc_onnx *o, float value);                 /* f32 [] */

/* A parameter as it is stored; numbers of the stored type widened to f32, by a Cast if need be; a parameter
 * as f32. */
int tc_onnx_param_stored(tc_onnx *o, int param);
int tc_onnx_widen(tc_onnx *o, int x);
int tc_onnx_param(tc_onnx *o, int param);
/* Rows row0 .. row0+rows-1 along the first axis of a parameter, the axes behind it taken as one; `turned`:
 * that matrix transposed. */
int tc_onnx_param_rows(tc_onnx *o, int param, int64_t row0, int64_t rows, bool turned);

/* Where the weights come from while the file is written: parameter -> values [numel]; and n of them as the
 * stored type. */
typedef struct tc_onnx_weights {
    tc_status (*read)(void *user, size_t param, tc_real *values, tc_error *err);
    tc_status (*narrow)(void *user, size_t param, const tc_real *values, int64_t n, void *out, tc_error *err);
    void *user;
} tc_onnx_weights;
/* Writes the file, atomically, one parameter at a time. TC_EUNSUPPORTED if it would be larger than 2 GiB, the
 * most that a protobuf message may be. */
tc_status tc_onnx_write(const tc_onnx *o, const char *path, const tc_onnx_weights *weights, tc_error *err);

/* ---- graphs */

/* Adds a graph that was not fused. `input`: pixel_values [batch,3,S,S], or input_ids [batch,L] int64. `last`:
 * [batch] int64, which position TC_PICK_LAST takes; -1 if nothing does. Returns the graph's output [batch,
 * width]. Ragged rows are padded ones here: every sequence has L rows, and with the causal mask those behind
 * the picked one change nothing. */
int tc_onnx_graph(tc_onnx *o, const tc_graph *g, int input, int last);

#endif
