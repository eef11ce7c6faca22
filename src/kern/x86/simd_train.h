/* simd_train.h - cross-entropy between distributions, inner product, the AdamW step. */
#ifndef TC_SIMD_TRAIN_H
#define TC_SIMD_TRAIN_H

/* One row: returns -sum_c q log_softmax(x), replaces x by (softmax(x) - q) * grad_scale. The sums are kept in
 * double: a row may be as long as the batch of all ranks. */
static double xent_row(int64_t n, float *x, const float *q, int64_t target, float grad_scale) {
    vd2 sum = vd_zero(), loss = vd_zero();
    vf most = v_set1(row_largest(n, x)), one = v_set1(1);
    for (int64_t i = 0; i < n; i += VL)
        sum = vd_add_product(sum, v_keep(v_exp(v_load_part(x + i, n - i) - most), v_zero(), n - i), one);
    double total = vd_sum(sum);
    vf log_sum = v_set1((float)log(total)), inverse = v_set1((float)(1 / total)), scale = v_set1(grad_scale);
    double hard = 0;
    if (!q && target >= 0 && target < n) hard = log(total) - ((double)x[target] - (double)v_largest(most));
    for (int64_t i = 0; i < n; i += VL) {
        vf shifted = v_load_part(x + i, n - i) - most, p = v_exp(shifted) * inverse;
        vf want = q ? v_load_part(q + i, n - i) : v_zero();
        if (q) loss = vd_add_product(loss, want, log_sum - shifted);
        v_store_part(x + i, (p - want) * scale, n - i);
    }
    if (!q && target >= 0 && target < n) x[target] -= grad_scale;
    return q ? vd_sum(loss) : hard;
}

typedef struct xent_work {
    int64_t n, ldx, ldq, target, block;
    float *x, grad_scale;
    const float *q;
    double *of_row;
} xent_work;

static void xent_range(void *user, int64_t first, int64_t end) {
    const xent_work k = *(const xent_work *)user;
    for (int64_t i = first; i < end; i++) {
        int64_t r = k.block + i;
        k.of_row[i] =
            xent_row(k.n, k.x + r * k.ldx, k.q ? k.q + r * k.ldq : NULL, r + k.target, k.grad_scale);
    }
}

static double softmax_xent(int64_t rows, int64_t n, float *x, int64_t ldx, const float *q, int64_t ldq,
                           int64_t first_target, float grad_scale) {
    double loss = 0;
    for (int64_t block = 0; block < rows; block += TC_REDUCE_ROWS) {
        double of_row[TC_REDUCE_ROWS];
        int64_t count = rows - block < TC_REDUCE_ROWS ? rows - block : TC_REDUCE_ROWS;
        xent_work k = {n, ldx, ldq, first_target, block, x, grad_scale, q, of_row};
        tc_parallel(count, count * n * 8, xent_range, &k);
        for (int64_t i = 0; i < count; i++) loss += of_row[i];
    }
    return loss;
}

static double dot_part(int64_t n, const float *x, const float *y) {
    vd2 even = vd_zero(), odd = vd_zero();
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        even = vd_add_product(even, v_load(x + i), v_load(y + i));
        odd = vd_add_product(odd, v_load(x + i + VL), v_load(y + i + VL));
    }
    for (; i < n; i += VL) even = vd_add_product(even, v_load_part(x + i, n - i), v_load_part(y + i, n - i));
    return vd_sum(even) + vd_sum(odd);
}

enum { PART = 1 << 15, PARTS = 256 }; /* of a long inner product */

typedef struct dot_work {
    int64_t n;
    const float *x, *y;
    double *part;
} dot_work;

static void dot_range(void *user, int64_t first, int64_t end) {
    const dot_work k = *(const dot_work *)user;
    for (int64_t i = first; i < end; i++) {
        int64_t at = i * PART;
        k.part[i] = dot_part(k.n - at < PART ? k.n - at : PART, k.x + at, k.y + at);
    }
}

static double dot(int64_t n, const float *x, const float *y) {
    double sum = 0;
    for (int64_t first = 0; first < n; first += (int64_t)PART * PARTS) {
        double part[PARTS];
        int64_t left = (n - first + PART - 1) / PART, count = left < PARTS ? left : PARTS;
        dot_work k = {n - first, x + first, y + first, part};
        tc_parallel(count, n, dot_range, &k);
        for (int64_t i = 0; i < count; i++) sum += part[i];
    }
    return sum;
}

typedef struct adamw_step {
    float gscale, b1, rest1, b2, rest2, decay, rate, root, eps;
} adamw_step;

static void decay_part(const adamw_step *s, int64_t n, float *p) {
    for (int64_t i = 0; i < n; i += VL) {
        vf param = v_load_part(p + i, n - i);
        v_store_part(p + i, v_fnma(param, v_set1(s->decay), param), n - i);
    }
}

/* The update is lr/c1 m / (sqrt(v) / sqrt(c2) + eps). */
static void adamw_part(const adamw_step *s, int64_t n, float *p, const float *g, float *m, float *v) {
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        vf grad = v_load_part(g + i, left) * v_set1(s->gscale), param = v_load_part(p + i, left);
        vf first = v_fma(v_load_part(m + i, left), v_set1(s->b1), grad * v_set1(s->rest1));
        vf second = v_fma(v_load_part(v + i, left), v_set1(s->b2), grad * grad * v_set1(s->rest2));
        param = v_fnma(param, v_set1(s->decay), param);
        vf below = v_fma(v_sqrt(second), v_set1(s->root), v_set1(s->eps));
        v_store_part(m + i, first, left);
        v_store_part(v + i, second, left);
        v_store_part(p + i, param - v_set1(s->rate) * first / below, left);
    }
}

typedef struct adamw_work {
    adamw_step step;
    int64_t n;
    float *p, *m, *v;
    const float *g;
} adamw_work;

static void adamw_range(void *user, int64_t first, int64_t end) {
    const adamw_work *k = user;
    int64_t at = first * CHUNK, count = (end * CHUNK < k->n ? end * CHUNK : k->n) - at;
    if (k->g) adamw_part(&k->step, count, k->p + at, k->g + at, k->m + at, k->v + at);
    else decay_part(&k->step, count, k->p + at);
}

static void adamw(int64_t n, float *p, const float *g, float *m, float *v, double gscale, double lr,
                  double wd, double b1, double b2, double eps, double c1, double c2) {
    adamw_work k = {.n = n, .p = p, .m = m, .v = v, .g = g};
    k.step = (adamw_step){.gscale = (float)gscale,
                          .b1 = (float)b1,
                          .rest1 = (float)(1 - b1),
                          .b2 = (float)b2,
                          .rest2 = (float)(1 - b2),
                          .decay = (float)(lr * wd),
                          .rate = (float)(lr / c1),
                          .root = (float)(1 / sqrt(c2)),
                          .eps = (float)eps};
    tc_parallel((n + CHUNK - 1) / CHUNK, n * 4, adamw_range, &k);
}

#endif
