/* metrics.c - zero-shot classifier weights and retrieval ranks.
 *
 * classifier: w_c = m / |m|, m = mean over templates of f / |f| (lengths at least 1e-12).
 * ranks: L = scale * image text^T; rank0[r] = #{c : L[r,c] > L[r,r]} + #{c < r : L[r,c] == L[r,r]}, and the same of L^T.
 *
 * Every logit is summed in double in the order of the elements, not by the matrix product of the kernels: that one may sum the columns at an edge in
 * another order, and equal captions would no longer tie. */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PANEL = 16 };

int64_t tc_rank_of(const float *x, int64_t n, int64_t target) {
    int64_t rank = 0;
    for (int64_t c = 0; c < n; c++) rank += x[c] > x[target] || (c < target && x[c] == x[target]);
    return rank;
}

void tc_top_k(const float *x, int n, int k, int *best) {
    int have = 0;
    for (int i = 0; i < k; i++) best[i] = -1;
    for (int c = 0; c < n; c++) {
        int at = have;
        while (at > 0 && x[c] > x[best[at - 1]]) at--;
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
    return root > 1e-12 ? root : 1e-12;
}

void tc_zeroshot_classifier(const float *text_embeds, int classes, int templates, int dim, float *classifier) {
    for (int c = 0; c < classes; c++) {
        const float *f = text_embeds + (size_t)c * (size_t)templates * (size_t)dim;
        float *w = classifier + c; /* column c */
        for (int i = 0; i < dim; i++) w[(size_t)i * (size_t)classes] = 0;
        for (int t = 0; t < templates; t++) {
            double inverse = 1 / (length(f + (size_t)t * (size_t)dim, dim) * templates);
            for (int i = 0; i < dim; i++) w[(size_t)i * (size_t)classes] += (float)(f[(size_t)t * (size_t)dim + (size_t)i] * inverse);
        }
        double sum = 0;
        for (int i = 0; i < dim; i++) sum += (double)w[(size_t)i * (size_t)classes] * w[(size_t)i * (size_t)classes];
        double inverse = sum > 0 ? 1 / sqrt(sum) : 0;
        for (int i = 0; i < dim; i++) w[(size_t)i * (size_t)classes] = (float)(w[(size_t)i * (size_t)classes] * inverse);
    }
}

/* panel [dim,PANEL] = rows first..first+PANEL-1 of text [n,dim], transposed; rows past the end are 0. */
static void fill_panel(const float *text, int n, int dim, int first, double *panel) {
    int width = n - first < PANEL ? n - first : PANEL;
    memset(panel, 0, (size_t)dim * PANEL * sizeof *panel);
    for (int j = 0; j < width; j++)
        for (int k = 0; k < dim; k++) panel[(size_t)k * PANEL + (size_t)j] = text[(size_t)(first + j) * (size_t)dim + (size_t)k];
}

/* One row of logits, PANEL columns. Each column is summed in the order of k. */
static void row_logits(const float *image, const double *panel, int dim, double scale, double *out) {
    double sum[PANEL] = {0};
    for (int k = 0; k < dim; k++) {
        double x = image[k];
        for (int j = 0; j < PANEL; j++) sum[j] += x * panel[(size_t)k * PANEL + (size_t)j];
    }
    for (int j = 0; j < PANEL; j++) out[j] = scale * sum[j];
}

static double diagonal_logit(const float *image, const float *text, int dim, double scale) {
    double sum = 0;
    for (int k = 0; k < dim; k++) sum += (double)image[k] * (double)text[k];
    return scale * sum;
}

/* Adds what the columns first..first+PANEL-1 contribute to the ranks of all rows, and sets the ranks of these columns. */
static void rank_panel(const float *image, const double *panel, int n, int dim, int first, double scale, const double *diagonal, int64_t *by_row, int64_t *by_column) {
    int width = n - first < PANEL ? n - first : PANEL;
    for (int r = 0; r < n; r++) {
        double l[PANEL];
        int64_t before = 0;
        row_logits(image + (size_t)r * (size_t)dim, panel, dim, scale, l);
        for (int j = 0; j < width; j++) {
            int c = first + j;
            before += l[j] > diagonal[r] || (c < r && l[j] == diagonal[r]);
            by_column[c] += l[j] > diagonal[c] || (r < c && l[j] == diagonal[c]);
        }
#pragma omp atomic
        by_row[r] += before;
    }
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

tc_status tc_retrieval_ranks(const float *image, const float *text, int n, int dim, float scale, int64_t *rank0_image_to_text,
                             int64_t *rank0_text_to_image, tc_retrieval_result *result, tc_error *err) {
    if (n < 1 || dim < 1) return tc_fail(err, TC_EARG, "retrieval: %d pairs of %d dimensions", n, dim);
    double *diagonal = tc_new((size_t)n, sizeof *diagonal);
    int64_t *by_row = tc_new((size_t)n, sizeof *by_row), *by_column = tc_new((size_t)n, sizeof *by_column);
    tc_status status = diagonal && by_row && by_column ? TC_OK : tc_fail_memory(err, (size_t)n * 24);
    bool failed = false;
    for (int i = 0; i < n && status == TC_OK; i++) {
        diagonal[i] = diagonal_logit(image + (size_t)i * (size_t)dim, text + (size_t)i * (size_t)dim, dim, scale);
        if (!isfinite(diagonal[i])) status = tc_fail(err, TC_EARG, "retrieval: the embeddings of pair %d are not finite", i);
    }
    if (status != TC_OK) goto out;
#pragma omp parallel
    {
        double *panel = tc_new_aligned((size_t)dim * PANEL, sizeof *panel);
        if (!panel) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic)
        for (int first = 0; first < n; first += PANEL) {
            if (!panel) continue;
            fill_panel(text, n, dim, first, panel);
            rank_panel(image, panel, n, dim, first, scale, diagonal, by_row, by_column);
        }
        free(panel);
    }
    if (failed) {
        status = tc_fail_memory(err, (size_t)dim * PANEL * sizeof(double));
        goto out;
    }
    if (rank0_image_to_text) memcpy(rank0_image_to_text, by_row, (size_t)n * sizeof *by_row);
    if (rank0_text_to_image) memcpy(rank0_text_to_image, by_column, (size_t)n * sizeof *by_column);
    *result = (tc_retrieval_result){.pairs = n};
    summarise(by_row, n, &result->image_to_text);
    summarise(by_column, n, &result->text_to_image);
out:
    free(diagonal);
    free(by_row);
    free(by_column);
    return status;
}
