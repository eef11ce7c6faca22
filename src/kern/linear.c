/* linear.c - the life of a prepared weight, the same at every level. */
#include "kern/kern_priv.h"

#include <stdlib.h>
#include <string.h>

tc_linear *tc_linear_new(const tc_real *bias, int64_t n, int64_t k, int act, bool add) {
    tc_linear *l = tc_new(1, sizeof *l);
    if (!l) return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->n = n, l->k = k, l->act = act, l->add = add;
    l->bias = tc_new_aligned((size_t)n + TC_BIAS_PADDING, sizeof *bias);
    if (!l->bias) {
        tc_linear_free(l);
        return NULL;
    }
    if (bias) memcpy(l->bias, bias, (size_t)n * sizeof *bias);
    return l;
}

void tc_linear_free(tc_linear *l) {
    if (!l) return;
    pthread_mutex_destroy(&l->lock);
    free(l->packed);
    free(l->bias);
    free(l);
}

const tc_real *tc_linear_packed(tc_linear *l, tc_real *(*pack)(const tc_linear *l)) {
    tc_real *packed = atomic_load_explicit(&l->packed, memory_order_acquire);
    if (packed || atomic_fetch_add(&l->runs, 1) == 0) return packed;
    pthread_mutex_lock(&l->lock);
    packed = atomic_load_explicit(&l->packed, memory_order_relaxed);
    if (!packed && (packed = pack(l))) {
        atomic_store_explicit(&l->packed, packed, memory_order_release);
        const tc_weight *w = &l->weight;
        for (int i = 0; i < 3 && w->mapped && w->part[i]; i++)
            tc_pages_let_go(w->part[i], (size_t)((w->transposed ? l->k : w->part_rows) * w->ld) * tc_weight_size(w));
    }
    pthread_mutex_unlock(&l->lock);
    return packed;
}
