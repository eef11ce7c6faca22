/* linear.c - the life of a prepared weight, the same at every level.
 *
 * Packed weights lie one behind the other in chunks, so that all of them are on large pages: one of less than
 * 2 MB, as pruned models have them, would not get one, and an image that is alone then waits for translations
 * of addresses. A chunk is freed with the last weight in it. */
#include "kern/kern_priv.h"

#include <stdlib.h>
#include <string.h>

typedef struct tc_chunk {
    tc_real *data;
    size_t size, used; /* numbers */
    int users;
} tc_chunk;

enum { CHUNK = (32 << 20) / sizeof(tc_real), LINE = 64 / sizeof(tc_real) };

static pthread_mutex_t chunks_lock = PTHREAD_MUTEX_INITIALIZER;
static tc_chunk *newest; /* which has room left; in use */

static tc_chunk *chunk_new(size_t size) {
    tc_chunk *c = tc_new(1, sizeof *c);
    if (c) *c = (tc_chunk){.data = tc_alloc_aligned(size, sizeof *c->data), .size = size};
    if (c && c->data) return c;
    free(c);
    return NULL;
}

tc_real *tc_linear_room(tc_linear *l, size_t n) {
    tc_real *room = NULL;
    if (!tc_round_up(n ? n : 1, LINE, &n)) return NULL;
    pthread_mutex_lock(&chunks_lock);
    tc_chunk *c = newest && newest->size - newest->used >= n ? newest : chunk_new(n > CHUNK ? n : CHUNK);
    if (c) {
        room = c->data + c->used;
        c->used += n;
        c->users++;
        newest = l->chunk = c;
    }
    pthread_mutex_unlock(&chunks_lock);
    return room;
}

static void chunk_release(tc_chunk *c) {
    pthread_mutex_lock(&chunks_lock);
    bool last = --c->users == 0;
    if (last && newest == c) newest = NULL;
    pthread_mutex_unlock(&chunks_lock);
    if (!last) return;
    free(c->data);
    free(c);
}

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
    if (l->chunk) chunk_release(l->chunk);
    free(l->bias);
    free(l);
}

const tc_real *tc_linear_packed(tc_linear *l, tc_real *(*pack)(tc_linear *l)) {
    tc_real *packed = atomic_load_explicit(&l->packed, memory_order_acquire);
    if (packed || atomic_fetch_add(&l->runs, 1) == 0) return packed;
    pthread_mutex_lock(&l->lock);
    packed = atomic_load_explicit(&l->packed, memory_order_relaxed);
    if (!packed && (packed = pack(l))) {
        atomic_store_explicit(&l->packed, packed, memory_order_release);
        const tc_weight *w = &l->weight;
        for (int i = 0; i < 3 && w->mapped && w->part[i]; i++)
            tc_pages_let_go(w->part[i],
                            (size_t)((w->transposed ? l->k : w->part_rows) * w->ld) * tc_weight_size(w));
    }
    pthread_mutex_unlock(&l->lock);
    return packed;
}
