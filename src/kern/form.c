/* form.c - the life of a packed weight, the same for every form.
 *
 * Packed weights lie one behind the other in chunks, so that all of them are on large pages: one of less than
 * 2 MB, as pruned models have them, would not get one, and an image that is alone then waits for translations
 * of addresses. A chunk is freed with the last weight in it. */
#include "kern/form.h"

#include <stdlib.h>
#include <string.h>

void tc_weight_copy(const tc_weight *w, int64_t n, int64_t k, tc_real *to) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; w->transposed && p < k; p++) to[i * k + p] = tc_weight_at(w, i, p);
    for (int64_t i = 0; i < n && !w->transposed && k > 0; i++) {
        const tc_real *from = tc_weight_get(w, i, 0, k, to + i * k);
        if (from != to + i * k) memcpy(to + i * k, from, (size_t)k * sizeof *to);
    }
}

const tc_form *tc_form_choose(const tc_form *const *forms, const tc_product *p, const char *numbers) {
    const tc_form *plain = NULL;
    for (; *forms; forms++) {
        if ((*forms)->can && !(*forms)->can(p)) continue;
        if (strcmp((*forms)->numbers, numbers) == 0) return *forms;
        if (!plain && strcmp((*forms)->numbers, "f32") == 0) plain = *forms;
    }
    return plain;
}

/* ---- chunks */

typedef struct tc_chunk {
    char *data;
    size_t size, used;
    int users;
} tc_chunk;

enum { CHUNK = 32 << 20, LINE = 64, BIAS_PADDING = 64 };

static pthread_mutex_t chunks_lock = PTHREAD_MUTEX_INITIALIZER;
static tc_chunk *newest; /* which has room left; in use */

static tc_chunk *chunk_new(size_t size) {
    tc_chunk *c = tc_new(1, sizeof *c);
    if (c) *c = (tc_chunk){.data = tc_alloc_aligned(size, 1), .size = size};
    if (c && c->data) return c;
    free(c);
    return NULL;
}

/* Room for the packed weight, which goes with it. */
static void *chunk_room(tc_packed *p, size_t bytes) {
    void *room = NULL;
    if (!tc_round_up(bytes ? bytes : 1, LINE, &bytes)) return NULL;
    pthread_mutex_lock(&chunks_lock);
    tc_chunk *c =
        newest && newest->size - newest->used >= bytes ? newest : chunk_new(bytes > CHUNK ? bytes : CHUNK);
    if (c) {
        room = c->data + c->used;
        c->used += bytes;
        c->users++;
        newest = p->chunk = c;
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

/* ---- weights */

static bool pack(tc_packed *p) {
    size_t bytes = p->form->bytes(p);
    bool empty = p->product.n == 0 || p->product.k == 0;
    void *room = bytes || empty ? chunk_room(p, bytes) : NULL;
    if (!room) return false;
    if (!p->form->pack(p, room)) {
        chunk_release(p->chunk);
        p->chunk = NULL;
        return false;
    }
    atomic_store_explicit(&p->data, room, memory_order_release);
    const tc_weight *w = &p->weight;
    for (int i = 0; i < 3 && w->mapped && w->part[i]; i++)
        tc_pages_let_go(w->part[i],
                        (size_t)((w->transposed ? p->product.k : w->part_rows) * w->ld) * tc_weight_size(w));
    return true;
}

/* NULL in the first run of one that may wait, and if memory ran out: then the weight is to be used where it
 * lies. */
static const void *packed_data(tc_packed *p) {
    void *data = atomic_load_explicit(&p->data, memory_order_acquire);
    if (data || atomic_fetch_add(&p->runs, 1) == 0) return data;
    pthread_mutex_lock(&p->lock);
    if (!atomic_load_explicit(&p->data, memory_order_relaxed)) pack(p);
    pthread_mutex_unlock(&p->lock);
    return atomic_load_explicit(&p->data, memory_order_acquire);
}

tc_packed *tc_pack(const tc_form *form, const tc_product *product, const tc_weight *w, const tc_real *bias) {
    size_t n = (size_t)product->n;
    tc_packed *p = tc_new(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    p->form = form;
    p->product = *product;
    p->weight = *w;
    p->bias = tc_new_aligned(n + BIAS_PADDING, sizeof *bias);
    if (p->bias && bias) memcpy(p->bias, bias, n * sizeof *bias);
    if (p->bias && form->open) p->own = form->open(product);
    bool ok = p->bias && (p->own || !form->open) && ((w->stays && !form->at_once) || pack(p));
    if (!ok) {
        tc_packed_free(p);
        return NULL;
    }
    return p;
}

void tc_packed_run(tc_packed *p, int64_t rows, const tc_real *x, int64_t ldx, tc_real *y, int64_t ldy) {
    p->form->run(p, packed_data(p), rows, x, ldx, y, ldy);
}

size_t tc_packed_bytes(const tc_packed *p) { return atomic_load(&p->data) ? p->form->bytes(p) : 0; }

void tc_packed_free(tc_packed *p) {
    if (!p) return;
    pthread_mutex_destroy(&p->lock);
    if (p->own) p->form->close(p->own);
    if (p->chunk) chunk_release(p->chunk);
    free(p->bias);
    free(p);
}
