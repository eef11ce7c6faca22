/* token_rows.c - the token table in training. A step's captions hold few of its rows, and many never occur in
 * the data at all: of a row that has not occurred yet, gradient and moments are zero, and the optimizer only
 * decays its weights. Such rows are neither summed nor read. The results are the same bit for bit: each row
 * has a sum of its own, and zero adds nothing. */
#include "base/threads.h"
#include "train/token_rows.h"

#include <stdlib.h>

tc_status tc_token_rows_create(tc_token_rows *t, const tc_params *params, tc_error *err) {
    int i = tc_params_with(params, TC_ROLE_TOKENS);
    const tc_param *p = &params->items[i];
    *t = (tc_token_rows){.param = i,
                         .count = p->shape[0],
                         .width = p->shape[1],
                         .first = p->offset,
                         .end = p->offset + p->numel};
    t->occurred = tc_new((size_t)t->count, sizeof *t->occurred);
    t->square = tc_new((size_t)t->count, sizeof *t->square);
    return t->occurred && t->square ? TC_OK : tc_fail_memory(err, (size_t)t->count * sizeof *t->square);
}

void tc_token_rows_free(tc_token_rows *t) {
    free(t->occurred);
    free(t->square);
    *t = (tc_token_rows){0};
}

void tc_token_rows_add(tc_token_rows *t, const int32_t *ids, int64_t n) {
    for (int64_t i = 0; i < n; i++) t->occurred[ids[i]] = true;
}

static bool any(const tc_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0) return true;
    return false;
}

typedef struct table_work {
    tc_token_rows *t;
    const tc_kern *k;
    const tc_real *m, *v, *grad;
} table_work;

static void find_rows(void *user, int64_t first, int64_t end) {
    const table_work *w = user;
    const tc_token_rows *t = w->t;
    for (int64_t r = first; r < end; r++) {
        int64_t at = t->first + r * t->width;
        t->occurred[r] = any(w->m + at, t->width) || any(w->v + at, t->width);
    }
}

void tc_token_rows_find(tc_token_rows *t, const tc_real *m, const tc_real *v) {
    tc_parallel(t->count, t->count * t->width, find_rows, &(table_work){.t = t, .m = m, .v = v});
}

static void square_rows(void *user, int64_t first, int64_t end) {
    const table_work *w = user;
    const tc_token_rows *t = w->t;
    for (int64_t r = first; r < end; r++) {
        const tc_real *row = w->grad + t->first + r * t->width;
        t->square[r] = t->occurred[r] ? w->k->dot(t->width, row, row) : 0;
    }
}

double tc_token_rows_square(tc_token_rows *t, const tc_kern *k, const tc_real *grad) {
    double sum = 0;
    tc_parallel(t->count, t->count * t->width, square_rows, &(table_work){.t = t, .k = k, .grad = grad});
    for (int64_t r = 0; r < t->count; r++) sum += t->square[r];
    return sum;
}

int64_t tc_token_rows_run(const tc_token_rows *t, int64_t row) {
    int64_t end = row;
    while (end < t->count && t->occurred[end] == t->occurred[row]) end++;
    return end;
}
