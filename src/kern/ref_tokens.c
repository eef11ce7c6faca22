/* ref_tokens.c - where rows come from: patches of images, class tokens, token tables, picked rows. Plain C at
 * every level: they move memory and hardly compute. */
#include "kern/ref.h"

#include <string.h>

/* The arguments of a kernel, for its ranges of patches or rows. */
typedef struct work {
    int size, patch;
    int64_t batch, rows, n;
    const tc_real *x, *first, *positions, *dy;
    tc_real *y, *dx, *dpositions, share;
} work;

static void patch_range(void *user, int64_t first, int64_t end) {
    const work *k = user;
    int size = k->size, patch = k->patch, grid = size / patch;
    int64_t width = 3 * patch * patch;
    for (int64_t i = first; i < end; i++) {
        if (patch == 1) { /* a row a pixel, for convolutions: too short to be copied by a call */
            const tc_real *pixel = k->x + i / (grid * grid) * 3 * size * size + i % (grid * grid);
            for (int c = 0; c < 3; c++) k->y[3 * i + c] = pixel[(int64_t)c * size * size];
            continue;
        }
        int64_t image = i / (grid * grid), row = i / grid % grid, column = i % grid;
        const tc_real *from = k->x + image * 3 * size * size + row * patch * size + column * patch;
        tc_real *to = k->y + i * width;
        for (int c = 0; c < 3; c++)
            for (int h = 0; h < patch; h++, to += patch)
                memcpy(to, from + ((int64_t)c * size + h) * size, (size_t)patch * sizeof *to);
    }
}

void ref_patchify(int64_t batch, int size, int patch, const tc_real *x, tc_real *y) {
    int grid = size / patch;
    work k = {.size = size, .patch = patch, .x = x, .y = y};
    tc_parallel(batch * grid * grid, batch * grid * grid * 3 * patch * patch, patch_range, &k);
}

/* y = mean of the rows of x + the first position */
static void mean_token(int64_t rows, int64_t n, const tc_real *x, const tc_real *position, tc_real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) y[i] += x[r * n + i];
    for (int64_t i = 0; i < n; i++) y[i] = y[i] / (tc_real)rows + position[i];
}

static void token_range(void *user, int64_t first, int64_t end) {
    const work *k = user;
    int64_t rows = k->rows, n = k->n;
    for (int64_t row = first; row < end; row++) {
        int64_t s = row / rows, t = row % rows;
        const tc_real *from = t ? k->x + (s * (rows - 1) + t - 1) * n : k->first;
        if (from)
            for (int64_t i = 0; i < n; i++) k->y[row * n + i] = from[i] + k->positions[t * n + i];
        else mean_token(rows - 1, n, k->x + s * (rows - 1) * n, k->positions, k->y + row * n);
    }
}

void ref_tokens(int64_t batch, int64_t rows, int64_t n, const tc_real *x, const tc_real *first,
                const tc_real *positions, tc_real *y) {
    work k = {.rows = rows, .n = n, .x = x, .first = first, .positions = positions, .y = y};
    tc_parallel(batch * rows, batch * rows * n, token_range, &k);
}

static void token_gradients(void *user, int64_t first, int64_t end) {
    const work *k = user;
    int64_t rows = k->rows, n = k->n;
    for (int64_t t = first; t < end; t++)
        for (int64_t s = 0; s < k->batch; s++) {
            const tc_real *from = k->dy + (s * rows + t) * n, *mean = k->dy + s * rows * n;
            for (int64_t i = 0; i < n; i++) k->dpositions[t * n + i] += from[i];
            for (int64_t i = 0; t && i < n; i++)
                k->dx[(s * (rows - 1) + t - 1) * n + i] = from[i] + k->share * mean[i];
        }
}

void ref_tokens_backward(int64_t batch, int64_t rows, int64_t n, const tc_real *dy, tc_real *dx,
                         tc_real *dfirst, tc_real *dpositions) {
    work k = {.batch = batch, .rows = rows, .n = n, .dy = dy, .dx = dx, .dpositions = dpositions};
    k.share = dfirst ? 0 : 1 / (tc_real)(rows - 1); /* of each row in the mean */
    ref_zero(rows * n, dpositions);
    tc_parallel(rows, batch * rows * n, token_gradients, &k);
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
