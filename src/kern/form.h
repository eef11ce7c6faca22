/* form.h - the forms that a weight may be packed in: one table entry a form, all that another kind of numbers
 * takes.
 *
 * A weight that stays is laid out once in the way in which its products run fastest. What the way is, and in
 * which numbers it computes, is the form's alone: x and y are tc_real rows whatever it is. A level lists its
 * forms in tc_kern.forms; tc_form_choose takes the first that can do a product in the numbers asked for. */
#ifndef TC_FORM_H
#define TC_FORM_H

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>

/* GELU is the exact one, x/2 (1 + erf(x / sqrt 2)); QuickGELU x / (1 + exp(-1.702 x)); ReLU max(x, 0), its
 * slope at 0 is 0 */
enum { TC_ACT_NONE, TC_ACT_GELU, TC_ACT_QUICK_GELU, TC_ACT_RELU };

/* Where a matrix lies: rows first .. of `parts` pieces of part_rows rows each, one piece after the other; its
 * rows are ld apart. If `transposed` there is one piece, whose rows are the matrix's columns, `first` the
 * first of its columns. */
typedef struct tc_weight {
    const void *part[3]; /* tc_real, or what `widen` reads, numbers of `size` bytes at any alignment */
    void (*widen)(const void *from, int64_t n, tc_real *to);
    size_t size;
    int64_t part_rows, first, ld;
    bool transposed;
    bool stays; /* it stays there unchanged as long as what is made of it */
    /* it lies in the read-only mapping of a file, whose pages are given back once it is packed */
    bool mapped;
} tc_weight;
static inline size_t tc_weight_size(const tc_weight *w) { return w->widen ? w->size : sizeof(tc_real); }
/* n numbers that lie together, from (row, column) of the matrix on: along the row, or along the column if it
 * is transposed; where they are, or in `room`. */
static inline const tc_real *tc_weight_get(const tc_weight *w, int64_t row, int64_t column, int64_t n,
                                           tc_real *room) {
    row += w->first;
    int64_t piece = w->transposed ? 0 : row / w->part_rows;
    int64_t at = w->transposed ? column * w->ld + row : row % w->part_rows * w->ld + column;
    const void *from = (const char *)w->part[piece] + at * (int64_t)tc_weight_size(w);
    if (!w->widen) return (const tc_real *)from;
    w->widen(from, n, room);
    return room;
}
static inline tc_real tc_weight_at(const tc_weight *w, int64_t row, int64_t column) {
    tc_real room;
    return *tc_weight_get(w, row, column, 1, &room);
}

/* W [n,k] as tc_real -> to [n,k]. */
void tc_weight_copy(const tc_weight *w, int64_t n, int64_t k, tc_real *to);

/* A convolution of square maps: x [batch, side*side, in] -> y [batch, out_side*out_side, out], pixels row by
 * row, channels innermost; weight [out, in, kernel, kernel]; zeros lie around the map. y[o](v,u) = sum over
 * i,a,b of w[o][i][a][b] x[i](v*stride-pad+a, u*stride-pad+b). */
typedef struct tc_conv_shape {
    int side, in, out, kernel, stride, pad;
} tc_conv_shape;
static inline int tc_conv_out_side(const tc_conv_shape *s) {
    return (s->side + 2 * s->pad - s->kernel) / s->stride + 1;
}

/* A product with a weight that stays, W [n,k]: y = act(x W^T + b), with `add` y = act(x W^T + b + y). Of
 * maps, kernel > 0: y = act(conv(x) + b + y), W [out, in*kernel*kernel]. */
typedef struct tc_product {
    int64_t n, k;
    tc_conv_shape map; /* kernel 0: none, the product is one of rows */
    int act;
    bool add;
} tc_product;

struct tc_form;

/* A weight in one of the forms; shared between threads. */
typedef struct tc_packed {
    const struct tc_form *form;
    tc_product product;
    tc_real *bias;          /* [n], zeros behind it for whole panels */
    tc_weight weight;       /* only while not packed */
    void *own;              /* what the form's open made, or NULL */
    _Atomic(void *) data;   /* the packed weight, or NULL: not yet */
    struct tc_chunk *chunk; /* where that lies */
    atomic_int runs;        /* before it was packed */
    pthread_mutex_t lock;   /* of packing */
} tc_packed;

typedef struct tc_form {
    const char *name;
    const char *numbers; /* what it multiplies in: "f32" */
    /* Whether it can do the product on this CPU. NULL: any. */
    bool (*can)(const tc_product *p);
    /* Makes what the product needs beside the weight; NULL if that failed. Without these two: nothing. */
    void *(*open)(const tc_product *p);
    void (*close)(void *own);
    size_t (*bytes)(const tc_packed *p); /* of the packed weight; 0 if the size overflows */
    /* p->weight -> to, 64-byte aligned. False if memory ran out. */
    bool (*pack)(const tc_packed *p, void *to);
    /* x [rows,k] -> y [rows,n], their rows ldx and ldy apart; of maps: x [rows,in], whole images without
     * gaps. A row's bits depend neither on the other rows nor on how often it ran nor, but for maps, on the
     * number of threads. `packed` NULL: from p->weight. Thread-safe. */
    void (*run)(const tc_packed *p, const void *packed, int64_t rows, const tc_real *x, int64_t ldx,
                tc_real *y, int64_t ldy);
    bool at_once; /* run wants the packed weight */
} tc_form;

/* The first of `forms` that does the product in these numbers, or else in f32; NULL: none. */
const tc_form *tc_form_choose(const tc_form *const *forms, const tc_product *p, const char *numbers);
/* Makes W ready; bias [n] or NULL is copied. It is packed at once or, if it stays where it lies, used from
 * there in the first run and packed in the second: who runs a model once does not wait for its weights. NULL
 * if memory ran out. */
tc_packed *tc_pack(const tc_form *form, const tc_product *p, const tc_weight *w, const tc_real *bias);
void tc_packed_run(tc_packed *p, int64_t rows, const tc_real *x, int64_t ldx, tc_real *y, int64_t ldy);
/* What it takes of memory: the packed weight, if it is there. */
size_t tc_packed_bytes(const tc_packed *p);
void tc_packed_free(tc_packed *p);

#endif
