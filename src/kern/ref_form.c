/* ref_form.c - the reference form of a weight, tc_real rows [n,k], and its products in plain C. */
#include "kern/ref.h"

#include <math.h>
#include <string.h>

static size_t ref_bytes(const tc_packed *p) {
    size_t bytes;
    bool fits =
        tc_mul((size_t)p->product.n, (size_t)p->product.k, &bytes) && tc_mul(bytes, sizeof(tc_real), &bytes);
    return fits ? bytes : 0;
}

static bool ref_pack(const tc_packed *p, void *to) {
    tc_weight_copy(&p->weight, p->product.n, p->product.k, to);
    return true;
}

/* y = act(y + bias + old); old NULL: nothing */
typedef struct finish_work {
    const tc_packed *p;
    const tc_real *old;
    tc_real *y;
    int64_t ldy;
} finish_work;

static void finish_range(void *user, int64_t first, int64_t end) {
    const finish_work *k = user;
    int64_t n = k->p->product.n;
    for (int64_t r = first; r < end; r++) {
        tc_real *to = k->y + r * k->ldy;
        for (int64_t j = 0; j < n; j++) to[j] += k->p->bias[j];
        for (int64_t j = 0; k->old && j < n; j++) to[j] += k->old[r * n + j];
        ref_act(k->p->product.act, n, to, to);
    }
}

static void ref_run(const tc_packed *p, const void *packed, int64_t rows, const tc_real *x, int64_t ldx,
                    tc_real *y, int64_t ldy) {
    const tc_conv_shape *s = &p->product.map;
    int64_t n = p->product.n, k = p->product.k, out = rows;
    if (s->kernel) out = rows / s->side / s->side * tc_conv_out_side(s) * tc_conv_out_side(s);
    tc_real *old = p->product.add ? tc_scratch((size_t)(out * n) * sizeof *old) : NULL;
    if (p->product.add && !old) { /* no residual, no result: numbers that are none say so */
        for (int64_t i = 0; i < out * n; i++) y[i / n * ldy + i % n] = NAN;
        return;
    }
    for (int64_t r = 0; old && r < out; r++) memcpy(old + r * n, y + r * ldy, (size_t)n * sizeof *old);
    if (s->kernel) ref_conv_forward(s, rows / s->side / s->side, x, packed, y);
    else ref_gemm(false, true, rows, n, k, 1, x, ldx, packed, k, 0, y, ldy);
    tc_parallel(out, out * n * 32, finish_range, &(finish_work){p, old, y, ldy});
}

const tc_form ref_form = {
    .name = "ref", .numbers = "f32", .bytes = ref_bytes, .pack = ref_pack, .run = ref_run, .at_once = true};
