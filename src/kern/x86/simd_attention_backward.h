/* simd_attention_backward.h - the gradient of attention, by the tile too.
 *
 * With p = exp(scale s - lse), dp = dout v^T and d = dout . out: ds = p (dp - d) scale; dq = ds k, dk = ds^T
 * q, dv = p^T dout (Dao et al. 2022, appendix B). Blocks of keys outside, groups of queries inside: dk and dv
 * of the block gather in the cache, dq gathers in memory if there is more than one block. */
#ifndef TC_SIMD_ATTENTION_BACKWARD_H
#define TC_SIMD_ATTENTION_BACKWARD_H

enum { SQUARE = (GROUP + VL - 1) / VL * VL }; /* rows of a group, whole vectors */

typedef struct backward_room {
    float *q, *dout;                    /* left operands of a group */
    float *kt, *vt;                     /* panels of a block */
    float *p, *ds;                      /* [SQUARE][A_STRIDE] */
    float *turned;                      /* transpose of p or ds, a left operand of BLOCK rows */
    float *q_rows, *dout_rows, *k_rows; /* padded copies, only if dim is not whole panels */
    float *dq, *dk, *dv;                /* [GROUP or BLOCK][ld] */
    int64_t ld;
} backward_room;

static size_t backward_layout(backward_room *r, float *base, int64_t dim) {
    int64_t used = 0, ld = r->ld = whole(dim, COLS), copies = dim % COLS ? 1 : 0;
    r->q = take(base, &used, left_size(GROUP, dim));
    r->dout = take(base, &used, left_size(GROUP, dim));
    r->kt = take(base, &used, panels_size(BLOCK, dim));
    r->vt = take(base, &used, panels_size(BLOCK, dim));
    r->p = take(base, &used, SQUARE * A_STRIDE);
    r->ds = take(base, &used, SQUARE * A_STRIDE);
    r->turned = take(base, &used, BLOCK * A_STRIDE);
    r->q_rows = take(base, &used, copies * GROUP * ld);
    r->dout_rows = take(base, &used, copies * GROUP * ld);
    r->k_rows = take(base, &used, copies * BLOCK * ld);
    r->dq = take(base, &used, GROUP * ld);
    r->dk = take(base, &used, BLOCK * ld);
    r->dv = take(base, &used, BLOCK * ld);
    return (size_t)used * sizeof *base;
}

/* out [left's rows, dim] (+)= left . right, tile by tile */
static void product_rows(const left_blocks *left, const float *right, int64_t ld_right, int64_t panel_step,
                         int64_t width, float *out, int64_t ld_out, bool add_out) {
    int64_t tiles = (left->rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t row = left->rows * t / tiles, end = left->rows * (t + 1) / tiles;
        product(left, row, (int)(end - row), right, ld_right, panel_step, width, out + row * ld_out, ld_out,
                add_out);
    }
}

/* p and ds of one query from scores and dp, which they replace */
static void backward_scores(const tc_attention *a, int64_t seen, int64_t count, float lse, float d, float *p,
                            float *ds) {
    row_exp(seen, p, (float)a->scale, lse, p);
    memset(p + seen, 0, (size_t)(count - seen) * sizeof *p);
    for (int64_t j = 0; j < count; j += VL)
        v_store_part(ds + j,
                     v_load_part(p + j, count - j) * (v_load_part(ds + j, count - j) - v_set1(d)) *
                         v_set1((float)a->scale),
                     count - j);
}

/* What one group needs from outside its head. */
typedef struct backward_rows {
    const float *out, *dout, *lse; /* of the head's first query */
    float *dq;
    int64_t ldo, lddo;
} backward_rows;

static void backward_group(const tc_attention *a, const head *h, const backward_rows *rows, backward_room *r,
                           int64_t first, int64_t count, int64_t k0, int64_t kn) {
    left_blocks q, dout, turned = {r->turned, kn, count}, ds = {r->ds, SQUARE, kn};
    const float *q_from = h->q + first * a->ldq, *dout_from = rows->dout + first * rows->lddo;
    float *dq = rows->dq + first * a->ldq;
    int64_t panel = (int64_t)COLS * a->dim, ld;
    left_pack(&q, r->q, q_from, a->ldq, count, a->dim);
    left_pack(&dout, r->dout, dout_from, rows->lddo, count, a->dim);
    product_rows(&q, r->kt, COLS, panel, kn, r->p, A_STRIDE, false);
    product_rows(&dout, r->vt, COLS, panel, kn, r->ds, A_STRIDE, false);
    for (int64_t i = 0; i < count; i++) {
        const float *out = rows->out + (first + i) * rows->ldo;
        float d = row_dot(a->dim, dout_from + i * rows->lddo, out);
        backward_scores(a, visible(a, h->position + first + i, k0, kn), kn, rows->lse[(first + i) * a->heads],
                        d, r->p + i * A_STRIDE, r->ds + i * A_STRIDE);
    }
    const float *right = right_rows(h->k + k0 * a->ldk, a->ldk, kn, a->dim, r->k_rows, &ld);
    ds.rows = count;
    product_rows(&ds, right, ld, COLS, a->dim, r->dq, r->ld, false);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < a->dim; j += VL) {
            vf x = v_load(r->dq + i * r->ld + j);
            v_store_part(dq + i * a->ldq + j, k0 ? (vf)(x + v_load_part(dq + i * a->ldq + j, a->dim - j)) : x,
                         a->dim - j);
        }
    transpose_padded(r->ds, A_STRIDE, count, kn, r->turned, A_STRIDE);
    right = right_rows(q_from, a->ldq, count, a->dim, r->q_rows, &ld);
    product_rows(&turned, right, ld, COLS, a->dim, r->dk, r->ld, first > 0);
    transpose_padded(r->p, A_STRIDE, count, kn, r->turned, A_STRIDE);
    right = right_rows(dout_from, rows->lddo, count, a->dim, r->dout_rows, &ld);
    product_rows(&turned, right, ld, COLS, a->dim, r->dv, r->ld, first > 0);
}

static void backward_head(const tc_attention *a, const head *h, const backward_rows *rows, backward_room *r,
                          float *dk, float *dv) {
    for (int64_t k0 = 0; k0 < h->keys; k0 += BLOCK) {
        int64_t kn = at_most(BLOCK, h->keys - k0);
        panels_pack(h->k + k0 * a->ldk, a->ldk, kn, a->dim, r->kt);
        panels_pack(h->v + k0 * a->ldv, a->ldv, kn, a->dim, r->vt);
        for (int64_t first = 0; first < h->queries; first += GROUP)
            backward_group(a, h, rows, r, first, at_most(GROUP, h->queries - first), k0, kn);
        for (int64_t j = 0; j < kn; j++) {
            memcpy(dk + (k0 + j) * a->ldk, r->dk + j * r->ld, (size_t)a->dim * sizeof *dk);
            memcpy(dv + (k0 + j) * a->ldv, r->dv + j * r->ld, (size_t)a->dim * sizeof *dv);
        }
    }
    if (h->keys == 0)
        for (int64_t i = 0; i < h->queries; i++)
            memset(rows->dq + i * a->ldq, 0, (size_t)a->dim * sizeof *dk);
}

static void attention_backward_range(void *user, int64_t first, int64_t end) {
    const attention_work *k = user;
    const tc_attention *a = k->a;
    for (int64_t pair = first; pair < end; pair++) {
        int s = (int)(pair / a->heads), n = (int)(pair % a->heads);
        int64_t at = (int64_t)n * a->dim, row = a->q_row ? s : a->seq[s], key = a->seq[s];
        head h = head_of(a, s, n);
        backward_rows rows = {k->result + row * k->ldo + at,
                              k->dout + row * k->lddo + at,
                              k->kept + row * a->heads + n,
                              k->dq + row * a->ldq + at,
                              k->ldo,
                              k->lddo};
        backward_room r;
        float *room = tc_scratch(backward_layout(&r, NULL, a->dim));
        if (!room) {
            ref_attention_backward_head(a, s, n, k->result, k->ldo, k->kept, k->dout, k->lddo, k->dq, k->dk,
                                        k->dv);
            continue;
        }
        backward_layout(&r, room, a->dim);
        backward_head(a, &h, &rows, &r, k->dk + key * a->ldk + at, k->dv + key * a->ldv + at);
    }
}

static void attention_backward(const tc_attention *a, const float *out, int64_t ldo, const float *lse,
                               const float *dout, int64_t lddo, float *dq, float *dk, float *dv) {
    attention_work k = {.a = a, .ldo = ldo, .lddo = lddo, .dq = dq, .dk = dk, .dv = dv};
    k.result = out, k.kept = lse, k.dout = dout;
    share_pairs(&k, attention_backward_range);
}

#endif
