/* kern_tokens.h - the checks of kernels that make, move and pick rows. They move numbers or round once, so
 * that most are compared bit for bit with loops in float written here. */
#ifndef KERN_TOKENS_H
#define KERN_TOKENS_H

#include "kern/kern_check.h"

static void check_patchify(run *r) {
    int size = (int)pick(r, 1, 40), patch = (int)pick(r, 1, size < 9 ? size : 9), grid = size / patch;
    int64_t batch = pick(r, 1, 4), patches = batch * grid * grid, width = 3 * patch * patch;
    float *x = filled(r, matrix(r, batch, 3 * size * size, 3 * size * size), 1),
          *y = matrix(r, patches, width, width);
    r->k->patchify(batch, size, patch, x, y);
    for (int64_t i = 0; i < patches * width; i++) {
        int64_t p = i / width, c = i % width / (patch * patch), v = i % (patch * patch) / patch,
                u = i % patch;
        int64_t row = p % (grid * grid) / grid * patch + v, column = p % grid * patch + u;
        near(r, (double)y[i], (double)x[((p / (grid * grid) * 3 + c) * size + row) * size + column], 0);
    }
}

static void check_tokens(run *r) {
    int64_t batch = pick(r, 1, 5), rows = pick(r, 2, 60), n = pick_size(r, 1, 600);
    float *x = filled(r, matrix(r, batch * (rows - 1), n, n), 1), *first = filled(r, vector(r, n), 1),
          *positions = filled(r, matrix(r, rows, n, n), 1), *y = matrix(r, batch * rows, n, n);
    bool mean = pick(r, 0, 1);
    r->k->tokens(batch, rows, n, x, mean ? NULL : first, positions, y);
    for (int64_t i = 0; i < batch * rows * n; i++) {
        int64_t s = i / n / rows, t = i / n % rows, j = i % n;
        double sum = 0, size = 0, position = (double)positions[t * n + j];
        for (int64_t p = 0; p < rows - 1; p++) {
            double term = (double)x[(s * (rows - 1) + p) * n + j] / (double)(rows - 1);
            sum += term;
            size += fabs(term);
        }
        if (t || !mean) {
            sum = t ? (double)x[(s * (rows - 1) + t - 1) * n + j] : (double)first[j];
            size = fabs(sum) / (double)(rows + 1);
        }
        near(r, (double)y[i], sum + position, (double)(rows + 1) * EPS * size + EPS * fabs(sum + position));
    }
}

static void check_tokens_backward(run *r) {
    int64_t batch = pick(r, 1, 5), rows = pick(r, 2, 60), n = pick_size(r, 1, 600);
    float *dy = filled(r, matrix(r, batch * rows, n, n), 1), *dx = matrix(r, batch * (rows - 1), n, n),
          *dfirst = vector(r, n), *dpositions = matrix(r, rows, n, n);
    bool mean = pick(r, 0, 1);
    r->k->tokens_backward(batch, rows, n, dy, dx, mean ? NULL : dfirst, dpositions);
    for (int64_t i = 0; i < batch * (rows - 1) * n; i++) {
        int64_t s = i / n / (rows - 1), t = i / n % (rows - 1), j = i % n;
        double own = (double)dy[(s * rows + t + 1) * n + j],
               of_mean = mean ? (double)dy[s * rows * n + j] / (double)(rows - 1) : 0;
        near(r, (double)dx[i], own + of_mean, 3 * EPS * (fabs(own) + fabs(of_mean)));
    }
    for (int64_t i = 0; i < rows * n; i++) {
        double sum = 0, size = 0;
        for (int64_t s = 0; s < batch; s++) {
            sum += (double)dy[s * rows * n + i];
            size += fabs((double)dy[s * rows * n + i]);
        }
        near(r, (double)dpositions[i], sum, (double)batch * EPS * size);
        if (i < n && !mean) near(r, (double)dfirst[i], (double)dpositions[i], 0);
    }
    if (mean)
        for (int64_t j = 0; j < n; j++) near(r, (double)dfirst[j], (double)CANARY, 0);
}

/* Sequences of 0 to 6 rows; [nseq+1] offsets. */
static int32_t some_sequences(run *r, int nseq, int32_t *seq) {
    seq[0] = 0;
    for (int s = 0; s < nseq; s++) seq[s + 1] = seq[s] + (int32_t)pick(r, 0, 6);
    return seq[nseq];
}

enum { MOST_SEQUENCES = 20, MOST_TOKENS = 6 * MOST_SEQUENCES, VOCABULARY = 9 };

static void check_embed(run *r) {
    int nseq = (int)pick(r, 1, MOST_SEQUENCES);
    int32_t seq[MOST_SEQUENCES + 1], ids[MOST_TOKENS], rows = some_sequences(r, nseq, seq);
    int64_t n = pick_size(r, 1, 300);
    float *table = filled(r, matrix(r, VOCABULARY, n, n), 1), *positions = filled(r, matrix(r, 6, n, n), 1),
          *y = matrix(r, rows, n, n), *dtable = filled(r, matrix(r, VOCABULARY, n, n), 1),
          *dpositions = filled(r, matrix(r, 6, n, n), 1), *to_table = same(r, dtable, VOCABULARY, n, n),
          *to_positions = same(r, dpositions, 6, n, n);
    for (int32_t i = 0; i < rows; i++) ids[i] = (int32_t)pick(r, 0, VOCABULARY - 1);
    r->k->embed(nseq, seq, n, ids, table, positions, y);
    r->k->embed_backward(nseq, seq, n, ids, y, dtable, dpositions);
    for (int s = 0; s < nseq; s++)
        for (int64_t i = seq[s] * n; i < seq[s + 1] * n; i++) {
            int64_t token = ids[i / n] * n + i % n, position = i - seq[s] * n;
            near(r, (double)y[i], (double)(table[token] + positions[position]), 0);
            to_table[token] += y[i];
            to_positions[position] += y[i];
        }
    assert_memory_equal(dtable, to_table, (size_t)(VOCABULARY * n) * sizeof *dtable);
    assert_memory_equal(dpositions, to_positions, (size_t)(6 * n) * sizeof *dpositions);
    r->k->clear_rows(rows, ids, n, dtable);
    for (int64_t i = 0; i < VOCABULARY * n; i++) {
        bool cleared = false;
        for (int32_t k = 0; k < rows; k++) cleared = cleared || ids[k] == i / n;
        near(r, (double)dtable[i], cleared ? 0 : (double)to_table[i], 0);
    }
}

static void check_pick_rows(run *r) {
    int nseq = (int)pick(r, 1, MOST_SEQUENCES);
    int32_t seq[MOST_SEQUENCES + 1], row[MOST_SEQUENCES];
    seq[0] = 0;
    for (int s = 0; s < nseq; s++) {
        seq[s + 1] = seq[s] + (int32_t)pick(r, 1, 6);
        row[s] = (int32_t)pick(r, 0, seq[s + 1] - seq[s] - 1);
    }
    int64_t n = pick_size(r, 1, 300), count = seq[nseq] * n;
    float *x = filled(r, matrix(r, seq[nseq], n, n), 1), *y = matrix(r, nseq, n, n),
          *dx = filled(r, matrix(r, seq[nseq], n, n), 1), *want = same(r, dx, seq[nseq], n, n);
    r->k->pick_rows(nseq, seq, row, n, x, y);
    r->k->pick_rows_backward(nseq, seq, row, n, y, dx);
    for (int64_t i = 0; i < nseq * n; i++) {
        int64_t at = (seq[i / n] + row[i / n]) * n + i % n;
        near(r, (double)y[i], (double)x[at], 0);
        want[at] += y[i];
    }
    assert_memory_equal(dx, want, (size_t)count * sizeof *dx);
}

static void check_copies(run *r) {
    int64_t n = pick_size(r, 0, 600);
    float *x = filled(r, vector(r, n), 1), *copy = vector(r, n), *from = vector(r, n), *to = vector(r, n),
          *zeros = vector(r, n);
    r->k->copy(n, x, copy);
    r->k->from_float(n, x, from);
    r->k->to_float(n, x, to);
    r->k->zero(n, zeros);
    for (int64_t i = 0; i < n; i++) {
        assert_true(copy[i] == x[i] && from[i] == x[i] && to[i] == x[i]);
        assert_true(zeros[i] == 0 && !signbit(zeros[i]));
    }
}

static void check_running_stats(run *r) {
    int64_t n = pick_size(r, 1, 300), rows = pick(r, 1, 40);
    float *mean = filled(r, vector(r, n), 1), *var = filled(r, vector(r, n), 1), *counter = vector(r, 1);
    double *kept = tc_new((size_t)n, 4 * sizeof *kept), *kept_var = kept + n, *rstd = kept + 2 * n,
           *batch_mean = kept + 3 * n;
    assert_non_null(kept);
    for (int64_t i = 0; i < n; i++) var[i] = fabsf(var[i]), batch_mean[i] = tc_rng_normal(&r->rng);
    *counter = 41;
    r->k->running_stats(n, mean, var, kept, kept_var);
    r->k->batch_rstd(n, kept_var, 1e-5, rstd);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)var[i] + 1e-5;
        near(r, kept[i], (double)mean[i], 0);
        near(r, kept_var[i], (double)var[i], 0);
        near(r, rstd[i] * rstd[i] * v, 1, 8 * 0x1p-53);
    }
    r->k->running_update(rows, n, 0.25, batch_mean, rstd, mean, var, counter);
    for (int64_t i = 0; i < n; i++) {
        double m = 0.75 * kept[i] + 0.25 * batch_mean[i], unbiased = rows > 1 ? rows / (double)(rows - 1) : 1,
               v = 0.75 * kept_var[i] + 0.25 * rstd[i] * unbiased;
        near(r, (double)mean[i], m, EPS * (fabs(kept[i]) + fabs(batch_mean[i])));
        near(r, (double)var[i], v, 1.01 * EPS * v);
    }
    assert_true(*counter == 42);
    free(kept);
}

#endif
