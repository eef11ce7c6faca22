/* metrics.c - zero-shot classifier weights and retrieval ranks.
 *
 * classifier: w_c = m / |m|, m = mean over templates of f / |f| (lengths at least 1e-12).
 * ranks: L = scale * image text^T; rank0[r] = #{c : L[r,c] > L[r,r]} + #{c < r : L[r,c] == L[r,r]}, and the
 * same of L^T.
 *
 * The matrix product of the kernels tells most comparisons. It may sum columns at an edge in another order,
 * so that equal captions would no longer tie: what is nearer to the match than its rounding error is summed
 * again in double, in the order of the elements. */
#include "eval/metrics.h"

#include "kern/kern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 512 };

int64_t tc_rank_of(const float *x, int64_t n, int64_t target) {
    int64_t rank = 0;
    for (int64_t c = 0; c < n; c++) rank += x[c] > x[target] || (c < target && x[c] == x[target]);
    return rank;
}

/* What is not a number is less than any. */
static bool larger(float a, float b) { return a > b || (isnan(b) && !isnan(a)); }

void tc_top_k(const float *x, int n, int k, int *best) {
    int have = 0;
    for (int i = 0; i < k; i++) best[i] = -1;
    for (int c = 0; c < n; c++) {
        int at = have;
        while (at > 0 && larger(x[c], x[best[at - 1]])) at--;
        if (at == k) continue;
        if (have < k) have++;
        for (int i = have - 1; i > at; i--) best[i] = best[i - 1];
        best[at] = c;
    }
}

static double length(const float *x, int dim) {
    double sum = 0;
    for (int i = 0; i < dim; i++) sum += (double)x[i] * x[i];
    double root = sqrt(sum);
    return root < 1e-12 ? 1e-12 : root; /* NaN stays NaN */
}

void tc_zeroshot_classifier(const float *text_embeds, int classes, int templates, int dim,
                            float *classifier) {
    for (int c = 0; c < classes; c++) {
        const float *f = text_embeds + (size_t)c * (size_t)templates * (size_t)dim;
        float *w = classifier + c; /* column c */
        for (int i = 0; i < dim; i++) w[(size_t)i * (size_t)classes] = 0;
        for (int t = 0; t < templates; t++) {
            double inverse = 1 / (length(f + (size_t)t * (size_t)dim, dim) * templates);
            for (int i = 0; i < dim; i++)
                w[(size_t)i * (size_t)classes] += (float)(f[(size_t)t * (size_t)dim + (size_t)i] * inverse);
        }
        double sum = 0;
        for (int i = 0; i < dim; i++)
            sum += (double)w[(size_t)i * (size_t)classes] * w[(size_t)i * (size_t)classes];
        double inverse = sum > 0 ? 1 / sqrt(sum) : 0;
        for (int i = 0; i < dim; i++)
            w[(size_t)i * (size_t)classes] = (float)(w[(size_t)i * (size_t)classes] * inverse);
    }
}

/* ---- ranks */

typedef struct ranking {
    const float *image, *text; /* [n,dim] */
    int n, dim;
    double *diagonal; /* [n] dot products of the true matches */
    double *image_length, *text_length;
    int64_t *by_row, *by_column;
} ranking;

static double dot(const float *x, const float *y, int dim) {
    double sum = 0;
    for (int k = 0; k < dim; k++) sum += (double)x[k] * y[k];
    return sum;
}

static const float *row_of(const float *x, int64_t r, int dim) { return x + (size_t)r * (size_t)dim; }

/* out [rows,dim] = rows first.. of x, as numbers of the kernels. */
static void copy_rows(const float *x, int first, int rows, int dim, tc_real *out) {
    const float *from = row_of(x, first, dim);
    for (size_t i = 0; i < (size_t)rows * (size_t)dim; i++) out[i] = (tc_real)from[i];
}

/* Column c against the match of row r and against its own match. `approximate` is the kernels' product; where
 * it is too near to a match to tell, the product is summed again, always in the same order. */
static void compare(ranking *k, int r, int c, double approximate) {
    double bound = (k->dim + 2) * 0x1p-23 * k->image_length[r] * k->text_length[c], exact = approximate;
    double to_row = fabs(approximate - k->diagonal[r]), to_column = fabs(approximate - k->diagonal[c]);
    if (to_row <= bound || to_column <= bound)
        exact = dot(row_of(k->image, r, k->dim), row_of(k->text, c, k->dim), k->dim);
    k->by_row[r] += exact > k->diagonal[r] || (c < r && exact == k->diagonal[r]);
    k->by_column[c] += exact > k->diagonal[c] || (r < c && exact == k->diagonal[c]);
}

/* Ranks in the products of all rows and columns, tile by tile. */
static bool rank_tiles(ranking *k) {
    int n = k->n, dim = k->dim;
    tc_real *a = tc_new_aligned((size_t)TILE * (size_t)dim, sizeof *a);
    tc_real *b = tc_new_aligned((size_t)TILE * (size_t)dim, sizeof *b);
    tc_real *l = tc_new_aligned((size_t)TILE * TILE, sizeof *l);
    bool ok = a && b && l;
    for (int r0 = 0; r0 < n && ok; r0 += TILE) {
        int rows = n - r0 < TILE ? n - r0 : TILE;
        copy_rows(k->image, r0, rows, dim, a);
        for (int c0 = 0; c0 < n; c0 += TILE) {
            int columns = n - c0 < TILE ? n - c0 : TILE;
            copy_rows(k->text, c0, columns, dim, b);
            tc_kern_get()->gemm(false, true, rows, columns, dim, 1, a, dim, b, dim, 0, l, TILE);
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++) compare(k, r0 + r, c0 + c, (double)l[r * TILE + c]);
        }
    }
    free(a);
    free(b);
    free(l);
    return ok;
}

static int by_value(const void *pa, const void *pb) {
    int64_t a, b;
    memcpy(&a, pa, sizeof a);
    memcpy(&b, pb, sizeof b);
    return (a > b) - (a < b);
}

/* rank0 is sorted on the way. */
static void summarise(int64_t *rank0, int n, tc_retrieval_direction *d) {
    int64_t sum = 0, within[3] = {0, 0, 0};
    for (int i = 0; i < n; i++) {
        sum += rank0[i];
        within[0] += rank0[i] < 1;
        within[1] += rank0[i] < 5;
        within[2] += rank0[i] < 10;
    }
    qsort(rank0, (size_t)n, sizeof *rank0, by_value);
    d->r1 = (double)within[0] / n;
    d->r5 = (double)within[1] / n;
    d->r10 = (double)within[2] / n;
    d->mean_rank = (double)sum / n + 1;
    d->median_rank = (double)((rank0[(n - 1) / 2] + rank0[n / 2]) / 2) + 1;
}

static tc_status prepare(ranking *k, tc_error *err) {
    size_t n = (size_t)k->n;
    k->diagonal = tc_new(n, sizeof *k->diagonal);
    k->image_length = tc_new(n, sizeof *k->image_length);
    k->text_length = tc_new(n, sizeof *k->text_length);
    k->by_row = tc_new(n, sizeof *k->by_row);
    k->by_column = tc_new(n, sizeof *k->by_column);
    if (!k->diagonal || !k->image_length || !k->text_length || !k->by_row || !k->by_column)
        return tc_fail_memory(err, n * 5 * sizeof(double));
    for (int i = 0; i < k->n; i++) {
        const float *x = row_of(k->image, i, k->dim), *y = row_of(k->text, i, k->dim);
        k->diagonal[i] = dot(x, y, k->dim);
        k->image_length[i] = length(x, k->dim);
        k->text_length[i] = length(y, k->dim);
        /* A comparison with NaN is never true and would look like rank 0. */
        if (!isfinite(k->image_length[i]) || !isfinite(k->text_length[i]))
            return tc_fail(err, TC_EARG, "retrieval: the embeddings of pair %d are not finite", i);
    }
    return TC_OK;
}

/* The scale is positive, so it changes no rank. */
tc_status tc_retrieval_ranks(const float *image, const float *text, int n, int dim, float scale,
                             int64_t *rank0_image_to_text, int64_t *rank0_text_to_image,
                             tc_retrieval_result *result, tc_error *err) {
    ranking k = {.image = image, .text = text, .n = n, .dim = dim};
    if (n < 1 || dim < 1) return tc_fail(err, TC_EARG, "retrieval: %d pairs of %d dimensions", n, dim);
    if (!(scale > 0) || isinf(scale))
        return tc_fail(err, TC_EARG, "retrieval: the scale is %g, expected a positive number", (double)scale);
    tc_status status = prepare(&k, err);
    if (status == TC_OK && !rank_tiles(&k))
        status = tc_fail_memory(err, (size_t)TILE * (size_t)dim * 2 * sizeof(tc_real));
    if (status == TC_OK) {
        if (rank0_image_to_text) memcpy(rank0_image_to_text, k.by_row, (size_t)n * sizeof *k.by_row);
        if (rank0_text_to_image) memcpy(rank0_text_to_image, k.by_column, (size_t)n * sizeof *k.by_column);
        *result = (tc_retrieval_result){.pairs = n};
        summarise(k.by_row, n, &result->image_to_text);
        summarise(k.by_column, n, &result->text_to_image);
    }
    free(k.diagonal);
    free(k.image_length);
    free(k.text_length);
    free(k.by_row);
    free(k.by_column);
    return status;
}
