/* ref_attention.c - softmax(scale q k^T) v over ragged sequences, and its gradient, in plain C.
 *
 * Scores are computed twice rather than stored, so that a sequence may have any length. The backward pass
 * recovers the probabilities from the log-sum-exp: p = exp(s - lse), ds = p (dp - sum_j p_j dp_j), and sum_j
 * p_j dp_j = dout . out. */
#include "kern/ref.h"

#include <math.h>
#include <string.h>

/* Query row i of sequence s: its row in q and out, and how many keys it sees. */
static int64_t query_row(const tc_attention *a, int64_t s, int64_t i, int64_t *keys) {
    int64_t length = a->seq[s + 1] - a->seq[s];
    int64_t position = a->q_row ? a->q_row[s] : i;
    *keys = a->causal && position + 1 < length ? position + 1 : length;
    return a->q_row ? s : a->seq[s] + i;
}

static int64_t queries(const tc_attention *a, int64_t s) { return a->q_row ? 1 : a->seq[s + 1] - a->seq[s]; }

static double inner(int64_t n, const tc_real *x, const tc_real *y) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

static void forward_row(const tc_attention *a, const tc_real *q, const tc_real *k, const tc_real *v,
                        int64_t keys, tc_real *out, tc_real *lse) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) most = fmax(most, (double)a->scale * inner(a->dim, q, k + j * a->ldk));
    for (int64_t j = 0; j < keys; j++) sum += exp((double)a->scale * inner(a->dim, q, k + j * a->ldk) - most);
    memset(out, 0, (size_t)a->dim * sizeof *out);
    for (int64_t j = 0; j < keys; j++) {
        tc_real p = (tc_real)(exp((double)a->scale * inner(a->dim, q, k + j * a->ldk) - most) / sum);
        for (int i = 0; i < a->dim; i++) out[i] += p * v[j * a->ldv + i];
    }
    if (lse) *lse = (tc_real)(most + log(sum));
}

void ref_attention_head(const tc_attention *a, int s, int h, tc_real *out, int64_t ldo, tc_real *lse) {
    int64_t first = a->seq[s], at = (int64_t)h * a->dim;
    for (int64_t i = 0; i < queries(a, s); i++) {
        int64_t keys, r = query_row(a, s, i, &keys);
        forward_row(a, a->q + r * a->ldq + at, a->k + first * a->ldk + at, a->v + first * a->ldv + at, keys,
                    out + r * ldo + at, lse ? &lse[r * a->heads + h] : NULL);
    }
}

/* The arguments of a pass, either way, for its ranges of pairs of a sequence and a head. */
typedef struct pass {
    const tc_attention *a;
    int64_t ldo, lddo;
    tc_real *out, *lse, *dq, *dk, *dv;
    const tc_real *result, *kept, *dout; /* backwards: out and lse */
} pass;

static void share_pairs(pass *p, void (*range)(void *user, int64_t first, int64_t end)) {
    const tc_attention *a = p->a;
    int64_t work = a->nseq > 0 ? (int64_t)a->seq[a->nseq] * a->heads * a->dim * 64 : 0;
    tc_parallel((int64_t)a->nseq * a->heads, work, range, p);
}

static void forward_range(void *user, int64_t first, int64_t end) {
    const pass *p = user;
    for (int64_t i = first; i < end; i++)
        ref_attention_head(p->a, (int)(i / p->a->heads), (int)(i % p->a->heads), p->out, p->ldo, p->lse);
}

void ref_attention(const tc_attention *a, tc_real *out, int64_t ldo, tc_real *lse) {
    share_pairs(&(pass){.a = a, .out = out, .ldo = ldo, .lse = lse}, forward_range);
}

typedef struct backward_row {
    const tc_real *q, *k, *v, *out, *dout;
    tc_real *dq, *dk, *dv;
    double lse;
} backward_row;

static void run_backward_row(const tc_attention *a, const backward_row *b, int64_t keys) {
    double total = inner(a->dim, b->dout, b->out);
    memset(b->dq, 0, (size_t)a->dim * sizeof *b->dq);
    for (int64_t j = 0; j < keys; j++) {
        const tc_real *k = b->k + j * a->ldk, *v = b->v + j * a->ldv;
        tc_real *dk = b->dk + j * a->ldk, *dv = b->dv + j * a->ldv;
        double p = exp((double)a->scale * inner(a->dim, b->q, k) - b->lse);
        double ds = p * (inner(a->dim, b->dout, v) - total) * (double)a->scale;
        for (int i = 0; i < a->dim; i++) {
            b->dq[i] += (tc_real)ds * k[i];
            dk[i] += (tc_real)ds * b->q[i];
            dv[i] += (tc_real)p * b->dout[i];
        }
    }
}

void ref_attention_backward_head(const tc_attention *a, int s, int h, const tc_real *out, int64_t ldo,
                                 const tc_real *lse, const tc_real *dout, int64_t lddo, tc_real *dq,
                                 tc_real *dk, tc_real *dv) {
    int64_t first = a->seq[s], length = a->seq[s + 1] - first, at = (int64_t)h * a->dim;
    backward_row b = {.k = a->k + first * a->ldk + at, .v = a->v + first * a->ldv + at};
    b.dk = dk + first * a->ldk + at, b.dv = dv + first * a->ldv + at;
    for (int64_t j = 0; j < length; j++) {
        memset(b.dk + j * a->ldk, 0, (size_t)a->dim * sizeof *dk);
        memset(b.dv + j * a->ldv, 0, (size_t)a->dim * sizeof *dv);
    }
    for (int64_t i = 0; i < queries(a, s); i++) {
        int64_t keys, r = query_row(a, s, i, &keys);
        b.q = a->q + r * a->ldq + at, b.dq = dq + r * a->ldq + at;
        b.out = out + r * ldo + at, b.dout = dout + r * lddo + at;
        b.lse = (double)lse[r * a->heads + h];
        run_backward_row(a, &b, keys);
    }
}

static void backward_range(void *user, int64_t first, int64_t end) {
    const pass *p = user;
    for (int64_t i = first; i < end; i++)
        ref_attention_backward_head(p->a, (int)(i / p->a->heads), (int)(i % p->a->heads), p->result, p->ldo,
                                    p->kept, p->dout, p->lddo, p->dq, p->dk, p->dv);
}

void ref_attention_backward(const tc_attention *a, const tc_real *out, int64_t ldo, const tc_real *lse,
                            const tc_real *dout, int64_t lddo, tc_real *dq, tc_real *dk, tc_real *dv) {
    pass p = {.a = a, .ldo = ldo, .lddo = lddo, .dq = dq, .dk = dk, .dv = dv};
    p.result = out, p.kept = lse, p.dout = dout;
    share_pairs(&p, backward_range);
}
