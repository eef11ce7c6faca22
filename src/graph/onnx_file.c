/* onnx_file.c - the file format of ONNX: nested protobuf messages, of which a model needs two kinds of field,
 * varints and length-delimited bytes, and one 32-bit float.
 *
 * A length stands before its message, so all sizes must be known before the first byte is written. Nodes are
 * small and kept encoded; of weights only the descriptions are, their sizes follow from the shapes, and their
 * bytes are made one parameter at a time while the file is written. */
#include "graph/onnx.h"

#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_INTS = 8,
    ATTR_TYPE = 20,
    ATTR_TYPE_FLOAT = 1,
    ATTR_TYPE_INT = 2,
    ATTR_TYPE_INTS = 7
};
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum {
    VALUE_NAME = 1,
    VALUE_TYPE = 2,
    TYPE_TENSOR = 1,
    TENSOR_TYPE_ELEM = 1,
    TENSOR_TYPE_SHAPE = 2,
    SHAPE_DIM = 1,
    DIM_VALUE = 1,
    DIM_PARAM = 2
};
enum { VARINT = 0, BYTES = 2, FIXED32 = 5 };

/* ---- protobuf */

static void put_varint(tc_buf *b, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
    tc_buf_add(b, bytes, n);
}

static void put_tag(tc_buf *b, int field, int kind) { put_varint(b, (uint64_t)field << 3 | (uint64_t)kind); }

static void put_int(tc_buf *b, int field, int64_t v) {
    put_tag(b, field, VARINT);
    put_varint(b, (uint64_t)v);
}

static void put_bytes(tc_buf *b, int field, const void *data, size_t size) {
    put_tag(b, field, BYTES);
    put_varint(b, size);
    if (size) tc_buf_add(b, data, size);
}

static void put_text(tc_buf *b, int field, const char *s) { put_bytes(b, field, s, strlen(s)); }

/* A message that is complete; empties it. */
static void put_message(tc_buf *b, int field, tc_buf *message) {
    if (message->failed) b->failed = true;
    put_bytes(b, field, message->data, message->size);
    tc_buf_free(message);
}

/* ---- one file being put together */

/* A tensor of the file: constant bytes, or rows of a parameter. */
typedef struct initializer {
    int value;   /* its name */
    int widened; /* the same after a Cast to f32, once there is one; or -1 */
    tc_buf head; /* TensorProto up to the length of raw_data */
    size_t bytes;
    uint8_t constant[8 * 8];
    int param; /* -1: a constant */
    int64_t row0, rows, row;
    bool turned;
} initializer;

typedef char value_name[128];

struct tc_onnx {
    const tc_params *params;
    tc_dtype weights;
    char name[64], prefix[32];
    value_name *names; /* of values */
    size_t name_count, name_capacity;
    initializer *initializers;
    size_t count, capacity;
    tc_buf nodes, inputs, outputs; /* encoded fields of the GraphProto */
    int node_count;
    bool failed;
    char message[256];
};

tc_onnx *tc_onnx_create(const char *name, const tc_params *params, tc_dtype weights) {
    tc_onnx *o = tc_new(1, sizeof *o);
    if (!o) return NULL;
    o->params = params;
    o->weights = weights;
    snprintf(o->name, sizeof o->name, "%s", name);
    return o;
}

void tc_onnx_free(tc_onnx **out) {
    tc_onnx *o = *out;
    if (!o) return;
    for (size_t i = 0; i < o->count; i++) tc_buf_free(&o->initializers[i].head);
    free(o->initializers);
    free(o->names);
    tc_buf_free(&o->nodes);
    tc_buf_free(&o->inputs);
    tc_buf_free(&o->outputs);
    free(o);
    *out = NULL;
}

void tc_onnx_fail(tc_onnx *o, const char *format, ...) {
    if (o->failed) return;
    va_list args;
    va_start(args, format);
    vsnprintf(o->message, sizeof o->message, format, args);
    va_end(args);
    o->failed = true;
}

bool tc_onnx_failed(const tc_onnx *o) { return o->failed; }

static int new_value(tc_onnx *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int new_value(tc_onnx *o, const char *format, ...) {
    if (!tc_grow(&o->names, &o->name_capacity, o->name_count + 1, sizeof *o->names)) {
        tc_onnx_fail(o, "out of memory");
        return -1;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(o->names[o->name_count], sizeof *o->names, format, args);
    va_end(args);
    return (int)o->name_count++;
}

/* ---- nodes */

void tc_onnx_prefix(tc_onnx *o, const char *prefix) { snprintf(o->prefix, sizeof o->prefix, "%s", prefix); }

static void put_attr(tc_buf *node, const tc_onnx_attr *a) {
    static const int types[] = {[TC_ONNX_INT_ATTR] = ATTR_TYPE_INT,
                                [TC_ONNX_FLOAT_ATTR] = ATTR_TYPE_FLOAT,
                                [TC_ONNX_INTS_ATTR] = ATTR_TYPE_INTS};
    tc_buf b = {0};
    put_text(&b, ATTR_NAME, a->name);
    if (a->kind == TC_ONNX_FLOAT_ATTR) {
        put_tag(&b, ATTR_F, FIXED32);
        tc_buf_add(&b, &a->f, 4);
    } else if (a->kind == TC_ONNX_INT_ATTR) {
        put_int(&b, ATTR_I, a->i);
    } else {
        for (int k = 0; k < a->n; k++) put_int(&b, ATTR_INTS, a->ints[k]);
    }
    put_int(&b, ATTR_TYPE, types[a->kind]);
    put_message(node, NODE_ATTRIBUTE, &b);
}

/* A node whose results have their names already. */
static void put_node(tc_onnx *o, const char *op, int nin, const int *in, int nout, const int *out, int nattr,
                     const tc_onnx_attr *attr) {
    tc_buf b = {0};
    char name[128];
    for (int k = 0; k < nin; k++)
        if (in[k] < 0) tc_onnx_fail(o, "%s: an input is missing", op);
    if (o->failed) return;
    for (int k = 0; k < nin; k++) put_text(&b, NODE_INPUT, o->names[in[k]]);
    for (int k = 0; k < nout; k++) put_text(&b, NODE_OUTPUT, o->names[out[k]]);
    snprintf(name, sizeof name, "%s%d_%s", o->prefix, o->node_count++, op);
    put_text(&b, NODE_NAME, name);
    put_text(&b, NODE_OP, op);
    for (int k = 0; k < nattr; k++) put_attr(&b, &attr[k]);
    put_message(&o->nodes, GRAPH_NODE, &b);
}

int tc_onnx_node(tc_onnx *o, const char *op, int nin, const int *in, int nattr, const tc_onnx_attr *attr) {
    if (o->failed) return -1;
    int out = new_value(o, "%s%d_%s:0", o->prefix, o->node_count, op);
    put_node(o, op, nin, in, 1, &out, nattr, attr);
    return o->failed ? -1 : out;
}

int tc_onnx_unary(tc_onnx *o, const char *op, int x) { return tc_onnx_node(o, op, 1, &x, 0, NULL); }

int tc_onnx_binary(tc_onnx *o, const char *op, int x, int y) {
    return tc_onnx_node(o, op, 2, (int[]){x, y}, 0, NULL);
}

void tc_onnx_split(tc_onnx *o, int x, int parts, int *out) {
    for (int k = 0; k < parts; k++) out[k] = -1;
    if (o->failed) return;
    for (int k = 0; k < parts; k++) out[k] = new_value(o, "%s%d_Split:%d", o->prefix, o->node_count, k);
    tc_onnx_attr axis = tc_onnx_int_attr("axis", -1);
    put_node(o, "Split", 1, &x, parts, out, 1, &axis);
}

int tc_onnx_reshape(tc_onnx *o, int x, int ndim, const int64_t *shape) {
    return tc_onnx_binary(o, "Reshape", x, tc_onnx_ints(o, ndim, shape));
}

int tc_onnx_transpose(tc_onnx *o, int x, int ndim, const int64_t *perm) {
    tc_onnx_attr attr = {.name = "perm", .kind = TC_ONNX_INTS_ATTR, .ints = perm, .n = ndim};
    return tc_onnx_node(o, "Transpose", 1, &x, 1, &attr);
}

int tc_onnx_cast(tc_onnx *o, int x, int type) {
    tc_onnx_attr attr = tc_onnx_int_attr("to", type);
    return tc_onnx_node(o, "Cast", 1, &x, 1, &attr);
}

/* ---- inputs and outputs */

static void put_value_info(tc_buf *to, int field, const char *name, int type, int ndim,
                           const char *const *dims) {
    tc_buf shape = {0}, tensor = {0}, kind = {0}, value = {0};
    for (int k = 0; k < ndim; k++) {
        tc_buf dim = {0};
        if (dims[k][0] >= '0' && dims[k][0] <= '9') put_int(&dim, DIM_VALUE, atoll(dims[k]));
        else put_text(&dim, DIM_PARAM, dims[k]);
        put_message(&shape, SHAPE_DIM, &dim);
    }
    put_int(&tensor, TENSOR_TYPE_ELEM, type);
    put_message(&tensor, TENSOR_TYPE_SHAPE, &shape);
    put_message(&kind, TYPE_TENSOR, &tensor);
    put_text(&value, VALUE_NAME, name);
    put_message(&value, VALUE_TYPE, &kind);
    put_message(to, field, &value);
}

int tc_onnx_input(tc_onnx *o, const char *name, int type, int ndim, const char *const *dims) {
    put_value_info(&o->inputs, GRAPH_INPUT, name, type, ndim, dims);
    return new_value(o, "%s", name);
}

void tc_onnx_output(tc_onnx *o, const char *name, int type, int ndim, const char *const *dims, int value) {
    int out = new_value(o, "%s", name);
    put_node(o, "Identity", 1, &value, 1, &out, 0, NULL);
    put_value_info(&o->outputs, GRAPH_OUTPUT, name, type, ndim, dims);
}

/* ---- constants and weights */

/* The initializer of this name, or NULL. */
static initializer *find(tc_onnx *o, const char *name) {
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->names[o->initializers[i].value], name) == 0) return &o->initializers[i];
    return NULL;
}

static size_t element_size(int type) {
    if (type == TC_ONNX_INT64) return 8;
    return type == TC_ONNX_FLOAT || type == TC_ONNX_INT32 ? 4 : 2;
}

/* An initializer of `bytes` bytes; NULL after a failure. */
static initializer *add_initializer(tc_onnx *o, const char *name, int type, int ndim, const int64_t *shape) {
    if (o->failed || !tc_grow(&o->initializers, &o->capacity, o->count + 1, sizeof *o->initializers)) {
        tc_onnx_fail(o, "out of memory");
        return NULL;
    }
    initializer *t = &o->initializers[o->count];
    *t = (initializer){
        .value = new_value(o, "%s", name), .widened = -1, .param = -1, .bytes = element_size(type)};
    if (t->value < 0) return NULL;
    for (int k = 0; k < ndim; k++) {
        t->bytes *= (size_t)shape[k];
        put_int(&t->head, TENSOR_DIMS, shape[k]);
    }
    put_int(&t->head, TENSOR_TYPE, type);
    put_text(&t->head, TENSOR_NAME, name);
    put_tag(&t->head, TENSOR_RAW, BYTES);
    put_varint(&t->head, t->bytes);
    if (t->head.failed) tc_onnx_fail(o, "out of memory");
    o->count++;
    return t;
}

static int constant(tc_onnx *o, const char *name, int type, int ndim, const int64_t *shape,
                    const void *data) {
    initializer *t = find(o, name);
    if (t) return t->value;
    t = add_initializer(o, name, type, ndim, shape);
    if (!t) return -1;
    if (t->bytes > sizeof t->constant) tc_onnx_fail(o, "%s: constant too large", name);
    else memcpy(t->constant, data, t->bytes);
    return t->value;
}

int tc_onnx_ints(tc_onnx *o, int n, const int64_t *values) {
    char name[sizeof(value_name)];
    size_t used = (size_t)snprintf(name, sizeof name, "ints");
    for (int k = 0; k < n && used < sizeof name; k++)
        used += (size_t)snprintf(name + used, sizeof name - used, "_%lld", (long long)values[k]);
    return constant(o, name, TC_ONNX_INT64, 1, (int64_t[]){n}, values);
}

int tc_onnx_int(tc_onnx *o, int64_t value) {
    char name[64];
    snprintf(name, sizeof name, "int_%lld", (long long)value);
    return constant(o, name, TC_ONNX_INT64, 0, NULL, &value);
}

int tc_onnx_float(tc_onnx *o, float value) {
    char name[64];
    snprintf(name, sizeof name, "float_%.9g", (double)value);
    return constant(o, name, TC_ONNX_FLOAT, 0, NULL, &value);
}

static initializer *param_initializer(tc_onnx *o, const char *name, int param, int ndim, const int64_t *shape,
                                      int64_t row0, int64_t rows, bool turned) {
    int type = TC_ONNX_FLOAT;
    if (o->weights == TC_F16) type = TC_ONNX_FLOAT16;
    if (o->weights == TC_BF16) type = TC_ONNX_BFLOAT16;
    initializer *t = find(o, name);
    if (t) return t;
    t = add_initializer(o, name, type, ndim, shape);
    if (!t) return NULL;
    t->param = param;
    t->row0 = row0;
    t->rows = rows;
    t->row = (int64_t)(t->bytes / element_size(type)) / (rows ? rows : 1);
    t->turned = turned;
    return t;
}

static initializer *whole_param(tc_onnx *o, int param) {
    if (o->failed || param < 0) return NULL;
    const tc_param *p = &o->params->items[param];
    return param_initializer(o, p->name, param, p->ndim, p->shape, 0, p->ndim ? p->shape[0] : 1, false);
}

int tc_onnx_param_stored(tc_onnx *o, int param) {
    const initializer *t = whole_param(o, param);
    return t ? t->value : -1;
}

int tc_onnx_widen(tc_onnx *o, int x) { return o->weights == TC_F32 ? x : tc_onnx_cast(o, x, TC_ONNX_FLOAT); }

/* As f32; the Cast that widens it is made once. */
static int widened(tc_onnx *o, initializer *t) {
    if (t && t->widened < 0) t->widened = tc_onnx_widen(o, t->value);
    return t ? t->widened : -1;
}

int tc_onnx_param(tc_onnx *o, int param) { return widened(o, whole_param(o, param)); }

int tc_onnx_param_rows(tc_onnx *o, int param, int64_t row0, int64_t rows, bool turned) {
    if (o->failed || param < 0) return -1;
    const tc_param *p = &o->params->items[param];
    int64_t all = p->shape[0], row = 1;
    if (row0 == 0 && rows == all && !turned) return tc_onnx_param(o, param);
    for (int k = 1; k < p->ndim; k++) row *= p->shape[k];
    char name[160], part[48] = "";
    if (row0 || rows != all)
        snprintf(part, sizeof part, "[%lld:%lld]", (long long)row0, (long long)(row0 + rows));
    snprintf(name, sizeof name, "%s%s%s", p->name, part, turned ? ".T" : "");
    int64_t shape[2] = {turned ? row : rows, turned ? rows : row};
    return widened(o, param_initializer(o, name, param, p->ndim == 1 ? 1 : 2, shape, row0, rows, turned));
}

/* ---- writing */

static tc_status write_weights(const tc_onnx *o, const initializer *t, tc_writer *w,
                               const tc_onnx_weights *from, tc_error *err) {
    const tc_param *p = &o->params->items[t->param];
    int64_t n = t->rows * t->row;
    tc_real *values = tc_new_aligned((size_t)p->numel, sizeof *values), *turned = NULL;
    void *bytes = tc_new_aligned(t->bytes, 1);
    tc_status status = values && bytes ? from->read(from->user, (size_t)t->param, values, err)
                                       : tc_fail_memory(err, t->bytes);
    const tc_real *first = values ? values + t->row0 * t->row : NULL;
    if (status == TC_OK && t->turned) {
        turned = tc_new_aligned((size_t)n, sizeof *turned);
        if (!turned) status = tc_fail_memory(err, (size_t)n * sizeof *turned);
        for (int64_t i = 0; turned && i < t->rows; i++)
            for (int64_t j = 0; j < t->row; j++) turned[j * t->rows + i] = first[i * t->row + j];
    }
    if (status == TC_OK)
        status = from->narrow(from->user, (size_t)t->param, turned ? turned : first, n, bytes, err);
    if (status == TC_OK) tc_writer_add(w, bytes, t->bytes);
    free(bytes);
    free(turned);
    free(values);
    return status;
}

/* Bytes of the GraphProto; false if there are more than fit. */
static bool graph_size(const tc_onnx *o, const tc_buf *name, size_t *size) {
    bool ok = tc_add(o->nodes.size + name->size, o->inputs.size + o->outputs.size, size);
    for (size_t i = 0; i < o->count && ok; i++) {
        const initializer *t = &o->initializers[i];
        tc_buf length = {0};
        put_tag(&length, GRAPH_INITIALIZER, BYTES);
        put_varint(&length, t->head.size + t->bytes);
        ok = tc_add(*size, length.size + t->head.size, size) && tc_add(*size, t->bytes, size);
        tc_buf_free(&length);
    }
    return ok;
}

static void put_head(tc_buf *head, size_t graph) {
    tc_buf opset = {0};
    put_int(head, MODEL_IR, TC_ONNX_IR);
    put_text(head, MODEL_PRODUCER, "tinyclip");
    put_text(head, MODEL_PRODUCER_VERSION, TC_VERSION);
    put_int(&opset, OPSET_VERSION, TC_ONNX_OPSET);
    put_message(head, MODEL_OPSET, &opset);
    put_tag(head, MODEL_GRAPH, BYTES);
    put_varint(head, graph);
}

static tc_status write_all(const tc_onnx *o, const tc_buf *head, const char *path,
                           const tc_onnx_weights *weights, tc_error *err) {
    tc_writer *w;
    tc_status status = tc_writer_open(&w, path, err);
    if (status != TC_OK) return status;
    tc_writer_add(w, head->data, head->size);
    tc_writer_add(w, o->nodes.data, o->nodes.size);
    for (size_t i = 0; i < o->count && status == TC_OK; i++) {
        const initializer *t = &o->initializers[i];
        tc_buf length = {0};
        put_tag(&length, GRAPH_INITIALIZER, BYTES);
        put_varint(&length, t->head.size + t->bytes);
        tc_writer_add(w, length.data, length.size);
        tc_writer_add(w, t->head.data, t->head.size);
        if (t->param < 0) tc_writer_add(w, t->constant, t->bytes);
        else status = write_weights(o, t, w, weights, err);
        if (length.failed) status = tc_fail_memory(err, 16);
        tc_buf_free(&length);
    }
    tc_writer_add(w, o->inputs.data, o->inputs.size);
    tc_writer_add(w, o->outputs.data, o->outputs.size);
    if (status == TC_OK) return tc_writer_commit(&w, err);
    tc_writer_abort(&w);
    return status;
}

tc_status tc_onnx_write(const tc_onnx *o, const char *path, const tc_onnx_weights *weights, tc_error *err) {
    size_t graph = 0, all = 0;
    tc_buf name = {0}, head = {0};
    tc_status status = TC_OK;
    if (o->failed) return tc_fail(err, TC_EUNSUPPORTED, "%s: %s", path, o->message);
    put_text(&name, GRAPH_NAME, o->name);
    bool fits = graph_size(o, &name, &graph);
    put_head(&head, graph);
    tc_buf_add(&head, name.data, name.size);
    if (name.failed || head.failed || o->nodes.failed || o->inputs.failed || o->outputs.failed)
        status = tc_fail_memory(err, o->nodes.size);
    else if (!fits || !tc_add(graph, head.size, &all) || all > INT32_MAX)
        status = tc_fail(err, TC_EUNSUPPORTED,
                         "%s: %.2f GiB, and an ONNX file is at most 2 GiB; weights of 16 bits halve that, a "
                         ".safetensors file has no such limit",
                         path, (double)graph / (1 << 30));
    else status = write_all(o, &head, path, weights, err);
    tc_buf_free(&name);
    tc_buf_free(&head);
    return status;
}
