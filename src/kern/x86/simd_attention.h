/* simd_attention.h - softmax(scale q k^T) v over ragged sequences, without ever holding all scores.
 *
 * One sequence and head at a time: keys come in blocks of BLOCK, their transpose packed into panels; queries
 * in groups that meet one block of keys after the other, with a running maximum and sum (Milakov & Gimelshein
 * 2018), in tiles of TILE_ROWS rows: scores, exponentials and the product with v stay in the first caches.
 * Almost every sequence is one block; then the panels are packed once for all groups. */
#ifndef TC_SIMD_ATTENTION_H
#define TC_SIMD_ATTENTION_H

enum { GROUP = 64 / TILE_ROWS * TILE_ROWS }; /* queries of a group */

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t whole(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* One sequence and head. */
typedef struct head {
    const float *q, *k, *v; /* first query row, first key row, at the head's columns */
    int64_t queries, keys;
    int64_t position; /* of the first query within the sequence */
} head;

static head head_of(const tc_attention *a, int s, int h) {
    int64_t first = a->seq[s], at = (int64_t)h * a->dim, row = a->q_row ? s : first;
    int64_t length = a->seq[s + 1] - first;
    return (head){a->q + row * a->ldq + at,
                  a->k + first * a->ldk + at,
                  a->v + first * a->ldv + at,
                  a->q_row ? 1 : length,
                  length,
                  a->q_row ? a->q_row[s] : 0};
}

/* How many of `count` keys from `first` on the query at `position` sees. */
static int64_t visible(const tc_attention *a, int64_t position, int64_t first, int64_t count) {
    int64_t seen = a->causal ? position + 1 - first : count;
    return seen < 0 ? 0 : at_most(seen, count);
}

/* x itself if its rows hold whole panels, else a copy padded with zeros. *ld is its row distance. */
static const float *right_rows(const float *x, int64_t ldx, int64_t rows, int64_t dim, float *copy,
                               int64_t *ld) {
    *ld = ldx;
    if (dim % COLS == 0) return x;
    *ld = whole(dim, COLS);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(copy + i * *ld, x + i * ldx, (size_t)dim * sizeof *x);
        memset(copy + i * *ld + dim, 0, (size_t)(*ld - dim) * sizeof *x);
    }
    return copy;
}

/* out [rows,width] (+)= rows `row`.. of the left operand times right [k, whole panels of width] */
static void product(const left_blocks *left, int64_t row, int rows, const float *right, int64_t ld_right,
                    int64_t panel_step, int64_t width, float *out, int64_t ld_out, bool add_out) {
    for (int64_t c = 0; c < width; c += COLS)
        left_multiply(left, row, rows, width - c, right + c / COLS * panel_step, ld_right, out + c, ld_out,
                      add_out);
}

typedef struct attention_room {
    float *q, *kt, *v, *scores, *out, *most, *sum;
    int64_t ld_out; /* dim, whole panels */
} attention_room;

/* The next n floats of `base`, NULL if only the size is counted. */
static float *take(float *base, int64_t *used, int64_t n) {
    float *p = base ? base + *used : NULL;
    *used += whole(n, 16);
    return p;
}

/* Lays the buffers out from `base` on (NULL: only counts) and returns their size in bytes. */
static size_t attention_layout(attention_room *r, float *base, int64_t dim) {
    int64_t used = 0;
    r->ld_out = whole(dim, COLS);
    r->q = take(base, &used, left_size(GROUP, dim));
    r->kt = take(base, &used, panels_size(BLOCK, dim));
    r->v = take(base, &used, dim % COLS ? BLOCK * r->ld_out : 0);
    r->scores = take(base, &used, TILE_ROWS * A_STRIDE);
    r->out = take(base, &used, GROUP * r->ld_out);
    r->most = take(base, &used, GROUP);
    r->sum = take(base, &used, GROUP);
    return (size_t)used * sizeof *base;
}

/* Scores of one query become exponentials; the row's earlier sum and output shrink if the maximum grew. */
static void absorb_scores(const tc_attention *a, attention_room *r, int64_t row, int64_t seen, int64_t count,
                          float *scores) {
    if (seen > 0) {
        float most = row_largest(seen, scores) * (float)a->scale, old = r->most[row];
        most = most > old ? most : old;
        /* Nothing has gathered yet if the old maximum is -infinity. */
        float keep = old == most || old == -INFINITY ? 1 : expf(old - most);
        r->sum[row] = r->sum[row] * keep + row_exp(seen, scores, (float)a->scale, most, scores);
        r->most[row] = most;
        if (keep != 1) row_multiply(r->ld_out, r->out + row * r->ld_out, keep, r->out + row * r->ld_out);
    }
    memset(scores + seen, 0, (size_t)(count - seen) * sizeof *scores);
}

/* Queries first .. first+count-1 of the head meet keys k0 .. k0+kn-1. */
static void attention_block(const tc_attention *a, const head *h, attention_room *r, const float *v,
                            int64_t ldv, int64_t first, int64_t count, int64_t k0, int64_t kn) {
    left_blocks q = {r->q, count, a->dim}, p = {r->scores, TILE_ROWS, kn};
    int64_t tiles = (count + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t row = count * t / tiles, rows = count * (t + 1) / tiles - row;
        product(&q, row, (int)rows, r->kt, COLS, (int64_t)COLS * a->dim, kn, r->scores, A_STRIDE, false);
        for (int64_t i = 0; i < rows; i++)
            absorb_scores(a, r, row + i, visible(a, h->position + first + row + i, k0, kn), kn,
                          r->scores + i * A_STRIDE);
        product(&p, 0, (int)rows, v, ldv, COLS, a->dim, r->out + row * r->ld_out, r->ld_out, true);
    }
}

static void attention_group(const tc_attention *a, const head *h, attention_room *r, int64_t first,
                            int64_t count, float *out, int64_t ldo, float *lse) {
    left_blocks q;
    left_pack(&q, r->q, h->q + first * a->ldq, a->ldq, count, a->dim);
    memset(r->out, 0, (size_t)(count * r->ld_out) * sizeof *r->out);
    for (int64_t i = 0; i < count; i++) {
        r->most[i] = -INFINITY;
        r->sum[i] = 0;
    }
    for (int64_t k0 = 0; k0 < h->keys; k0 += BLOCK) {
        int64_t kn = at_most(BLOCK, h->keys - k0), ldv;
        if (first == 0 || h->keys > BLOCK) panels_pack(h->k + k0 * a->ldk, a->ldk, kn, a->dim, r->kt);
        const float *v = h->v + k0 * a->ldv;
        if (a->dim % COLS == 0) ldv = a->ldv;
        else if (first == 0 || h->keys > BLOCK) v = right_rows(v, a->ldv, kn, a->dim, r->v, &ldv);
        else v = r->v, ldv = r->ld_out;
        attention_block(a, h, r, v, ldv, first, count, k0, kn);
    }
    for (int64_t i = 0; i < count; i++) {
        row_multiply(a->dim, r->out + i * r->ld_out, r->sum[i] > 0 ? 1 / r->sum[i] : 0,
                     out + (first + i) * ldo);
        if (lse) lse[(first + i) * a->heads] = r->most[i] + logf(r->sum[i]);
    }
}

/* The arguments of a pass, either way, for its ranges of pairs of a sequence and a head. */
typedef struct attention_work {
    const tc_attention *a;
    int64_t ldo, lddo;
    float *out, *lse, *dq, *dk, *dv;
    const float *result, *kept, *dout; /* backwards: out and lse */
} attention_work;

static void attention_range(void *user, int64_t first_pair, int64_t end) {
    const attention_work *k = user;
    const tc_attention *a = k->a;
    float *out = k->out, *lse = k->lse;
    int64_t ldo = k->ldo;
    for (int64_t pair = first_pair; pair < end; pair++) {
        int s = (int)(pair / a->heads), n = (int)(pair % a->heads);
        int64_t row = a->q_row ? s : a->seq[s];
        head h = head_of(a, s, n);
        attention_room r;
        float *room = tc_scratch(attention_layout(&r, NULL, a->dim));
        if (!room) {
            ref_attention_head(a, s, n, out, ldo, lse);
            continue;
        }
        attention_layout(&r, room, a->dim);
        for (int64_t first = 0; first < h.queries; first += GROUP)
            attention_group(a, &h, &r, first, at_most(GROUP, h.queries - first),
                            out + row * ldo + (int64_t)n * a->dim, ldo,
                            lse ? lse + row * a->heads + n : NULL);
    }
}

static void share_pairs(attention_work *k, void (*range)(void *user, int64_t first, int64_t end)) {
    const tc_attention *a = k->a;
    int64_t work = a->nseq > 0 ? (int64_t)a->seq[a->nseq] * a->heads * a->dim * 16 : 0;
    tc_parallel((int64_t)a->nseq * a->heads, work, range, k);
}

static void attention(const tc_attention *a, float *out, int64_t ldo, float *lse) {
    share_pairs(&(attention_work){.a = a, .out = out, .ldo = ldo, .lse = lse}, attention_range);
}

#endif
