/* ref_tokens.c - where rows come from: patches of images, class tokens, token tables, picked rows. Plain C at
 * every level: they move memory and hardly compute. */
#include "kern/ref.h"

#include <string.h>

void ref_patchify(int64_t batch, int size, int patch, const tc_real *x, tc_real *y) {
    int grid = size / patch;
    int64_t patches = batch * grid * grid, width = 3 * patch * patch;
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (patches * width > TC_PARALLEL_WORK)
    for (int64_t i = 0; i < patches; i++) {
        if (patch == 1) { /* a row a pixel, for convolutions: too short to be copied by a call */
            const tc_real *pixel = x + i / (grid * grid) * 3 * size * size + i % (grid * grid);
            for (int c = 0; c < 3; c++) y[3 * i + c] = pixel[(int64_t)c * size * size];
            continue;
        }
        int64_t image = i / (grid * grid), row = i / grid % grid, column = i % grid;
        const tc_real *from = x + image * 3 * size * size + row * patch * size + column * patch;
        tc_real *to = y + i * width;
        for (int c = 0; c < 3; c++)
            for (int h = 0; h < patch; h++, to += patch)
                memcpy(to, from + ((int64_t)c * size + h) * size, (size_t)patch * sizeof *to);
    }
}

/* y = mean of the rows of x + the first position */
static void mean_token(int64_t rows, int64_t n, const tc_real *x, const tc_real *position, tc_real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) y[i] += x[r * n + i];
    for (int64_t i = 0; i < n; i++) y[i] = y[i] / (tc_real)rows + position[i];
}

void ref_tokens(int64_t batch, int64_t rows, int64_t n, const tc_real *x, const tc_real *first,
                const tc_real *positions, tc_real *y) {
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (batch * rows * n > TC_PARALLEL_WORK)
    for (int64_t row = 0; row < batch * rows; row++) {
        int64_t s = row / rows, t = row % rows;
        const tc_real *from = t ? x + (s * (rows - 1) + t - 1) * n : first;
        if (from)
            for (int64_t i = 0; i < n; i++) y[row * n + i] = from[i] + positions[t * n + i];
        else mean_token(rows - 1, n, x + s * (rows - 1) * n, positions, y + row * n);
    }
}

void ref_tokens_backward(int64_t batch, int64_t rows, int64_t n, const tc_real *dy, tc_real *dx,
                         tc_real *dfirst, tc_real *dpositions) {
    tc_real share = dfirst ? 0 : 1 / (tc_real)(rows - 1); /* of each row in the mean */
    ref_zero(rows * n, dpositions);
#pragma omp parallel for schedule(static) num_threads(tc_threads()) if (batch * rows * n > TC_PARALLEL_WORK)
    for (int64_t t = 0; t < rows; t++)
        for (int64_t s = 0; s < batch; s++) {
            const tc_real *from = dy + (s * rows + t) * n, *mean = dy + s * rows * n;
            for (int64_t i = 0; i < n; i++) dpositions[t * n + i] += from[i];
            for (int64_t i = 0; t && i < n; i++)
                dx[(s * (rows - 1) + t - 1) * n + i] = from[i] + share * mean[i];
        }
    if (dfirst) ref_copy(n, dpositions, dfirst);
}

void ref_embed(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *table,
               const tc_real *positions, tc_real *y) {
    for (int s = 0; s < nseq; s++)
        for (int64_t row = seq[s]; row < seq[s + 1]; row++) {
            const tc_real *token = table + ids[row] * n, *position = positions + (row - seq[s]) * n;
            for (int64_t i = 0; i < n; i++) y[row * n + i] = token[i] + position[i];
        }
}

void ref_embed_backward(int nseq, const int32_t *seq, int64_t n, const int32_t *ids, const tc_real *dy,
                        tc_real *dtable, tc_real *dpositions) {
    for (int s = 0; s < nseq; s++)
        for (int64_t row = seq[s]; row < seq[s + 1]; row++) {
            ref_add(n, dtable + ids[row] * n, dy + row * n, dtable + ids[row] * n);
            ref_add(n, dpositions + (row - seq[s]) * n, dy + row * n, dpositions + (row - seq[s]) * n);
        }
}

void ref_clear_rows(int64_t count, const int32_t *at, int64_t n, tc_real *x) {
    for (int64_t i = 0; i < count; i++) ref_zero(n, x + at[i] * n);
}

void ref_pick_rows(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *x,
                   tc_real *y) {
    for (int s = 0; s < nseq; s++) ref_copy(n, x + (int64_t)(seq[s] + row[s]) * n, y + s * n);
}

void ref_pick_rows_backward(int nseq, const int32_t *seq, const int32_t *row, int64_t n, const tc_real *dy,
                            tc_real *dx) {
    for (int s = 0; s < nseq; s++) {
        tc_real *to = dx + (int64_t)(seq[s] + row[s]) * n;
        ref_add(n, to, dy + s * n, to);
    }
}
