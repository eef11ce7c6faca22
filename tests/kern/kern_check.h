/* kern_check.h - buffers and comparisons for the kernel tests.
 *
 * A buffer ends where a page without access begins, so one element read or written too far ends the program;
 * its start has whatever alignment that gives. Before it, and between the rows of a matrix, lie canaries,
 * checked when the buffer goes. */
#ifndef KERN_CHECK_H
#define KERN_CHECK_H

#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_BUFFERS = 64, CANARIES = 16 };
static const float CANARY = 12345.671875f;
static const double EPS = 5.9604644775390625e-08; /* half a unit in the last place of 1 */

typedef struct buffer {
    void *map;
    size_t size;
    float *data;
    int64_t rows, width, ld;
} buffer;

typedef struct run {
    const tc_kern *k;
    const char *name;
    tc_rng rng;
    buffer buffers[MOST_BUFFERS];
    int buffer_count;
    double worst; /* largest error over its bound */
} run;

static inline int64_t pick(run *r, int64_t low, int64_t high) {
    return low + (int64_t)tc_rng_below(&r->rng, (uint64_t)(high - low + 1));
}

/* Mostly sizes round the widths of vectors, tiles and blocks. */
static inline int64_t pick_size(run *r, int64_t low, int64_t high) {
    static const int edges[] = {0,  1,  2,  3,   7,   8,   9,   14,  15,  16,  17,  31,  32,  33, 50,
                                63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 300, 511, 512, 513};
    for (int tries = 0; tries < 8; tries++) {
        int64_t n = edges[tc_rng_below(&r->rng, sizeof edges / sizeof *edges)];
        if (n >= low && n <= high) return n;
    }
    return pick(r, low, high);
}

/* rows x width, rows ld apart, all canaries. */
static inline float *matrix(run *r, int64_t rows, int64_t width, int64_t ld) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = rows > 0 ? (size_t)((rows - 1) * ld + width) : 0;
    size_t bytes = (count + CANARIES) * sizeof(float), whole = (bytes + page - 1) / page * page;
    buffer *b = &r->buffers[r->buffer_count++];
    assert_true(r->buffer_count <= MOST_BUFFERS);
    b->size = whole + page;
    b->map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b->map != MAP_FAILED);
    assert_int_equal(mprotect((char *)b->map + whole, page, PROT_NONE), 0);
    b->data = (float *)((char *)b->map + whole) - count;
    b->rows = rows, b->width = width, b->ld = ld;
    for (float *p = b->data - CANARIES; p < b->data + count; p++) *p = CANARY;
    return b->data;
}

static inline float *vector(run *r, int64_t n) { return matrix(r, 1, n, n); }

/* Normal numbers times `spread` in every element of the last buffer made (not in the canaries). */
static inline float *filled(run *r, float *data, double spread) {
    buffer *b = &r->buffers[r->buffer_count - 1];
    for (int64_t i = 0; i < b->rows; i++)
        for (int64_t j = 0; j < b->width; j++) data[i * b->ld + j] = (float)(tc_rng_normal(&r->rng) * spread);
    return data;
}

static inline float *same(run *r, const float *x, int64_t rows, int64_t width, int64_t ld) {
    float *copy = matrix(r, rows, width, ld);
    for (int64_t i = 0; i < rows; i++) memcpy(copy + i * ld, x + i * ld, (size_t)width * sizeof *x);
    return copy;
}

static inline void release_all(run *r) {
    for (int n = 0; n < r->buffer_count; n++) {
        buffer *b = &r->buffers[n];
        for (int i = 1; i <= CANARIES; i++)
            if (b->data[-i] != CANARY) fail_msg("%s: wrote before a buffer", r->name);
        for (int64_t i = 0; i + 1 < b->rows; i++)
            for (int64_t j = b->width; j < b->ld; j++)
                if (b->data[i * b->ld + j] != CANARY) fail_msg("%s: wrote between rows", r->name);
        munmap(b->map, b->size);
    }
    r->buffer_count = 0;
}

static inline void near(run *r, double got, double want, double bound) {
    double error = fabs(got - want);
    if (!(error <= bound))
        fail_msg("%s at level %s: got %.9g, expected %.9g, error %.3g, bound %.3g", r->name, r->k->name, got,
                 want, error, bound);
    if (bound > 0 && error / bound > r->worst) r->worst = error / bound;
}

/* ---- weights that stay */

enum { MOST_FORMS = 16 };
static const tc_form *forms_that_ran[MOST_FORMS];

/* The weight in the form that the level prefers for this product, which is noted. */
static inline tc_packed *packed_of(run *r, const tc_product *p, const tc_weight *w, const float *bias) {
    const tc_form *form = tc_form_choose(r->k->forms, p, "f32");
    int i = 0;
    assert_non_null(form);
    while (i < MOST_FORMS - 1 && forms_that_ran[i] && forms_that_ran[i] != form) i++;
    forms_that_ran[i] = form;
    tc_packed *packed = tc_pack(form, p, w, bias);
    assert_non_null(packed);
    return packed;
}

static double act_double(int kind, double x) {
    return kind == TC_ACT_GELU         ? 0.5 * x * erfc(-x * sqrt(0.5))
           : kind == TC_ACT_QUICK_GELU ? x / (1 + exp(-1.702 * x))
           : kind == TC_ACT_RELU       ? fmax(x, 0)
                                       : x;
}

#endif
