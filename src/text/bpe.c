/* bpe.c - merges the adjacent pair with the lowest rank, leftmost first, until no pair merges.
 *
 * The symbols are a linked list; a heap holds (rank, place) of every pair that merges. An entry whose pair
 * has changed since it was pushed is recognised by its rank and dropped. This is n log n where searching the
 * list for the best pair again and again is quadratic, which a single word of a megabyte would turn into
 * minutes. */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { NO_RANK = UINT32_MAX };

typedef struct node {
    int32_t symbol;
    uint32_t previous, next; /* places; the list's ends are n */
    uint32_t rank;           /* of the pair (this, next); NO_RANK if it does not merge or the node is gone */
} node;

struct tc_bpe {
    node *nodes;
    size_t node_capacity;
    uint64_t *heap; /* rank << 32 | place: the smallest is the next merge */
    size_t heap_size, heap_capacity;
};

void tc_ids_add(tc_ids *ids, int32_t id) {
    if (ids->failed || !tc_grow(&ids->at, &ids->capacity, ids->n + 1, sizeof *ids->at)) {
        ids->failed = true;
        return;
    }
    ids->at[ids->n++] = id;
}

tc_bpe *tc_bpe_create(void) { return tc_new(1, sizeof(tc_bpe)); }

void tc_bpe_close(tc_bpe **b) {
    if (!*b) return;
    free((*b)->nodes);
    free((*b)->heap);
    free(*b);
    *b = NULL;
}

static void push(tc_bpe *b, uint64_t entry) {
    size_t i = b->heap_size++;
    for (; i > 0 && b->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = entry;
}

static uint64_t pop(tc_bpe *b) {
    uint64_t top = b->heap[0], last = b->heap[--b->heap_size];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < b->heap_size; i = child) {
        if (child + 1 < b->heap_size && b->heap[child + 1] < b->heap[child]) child++;
        if (last <= b->heap[child]) break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = last;
    return top;
}

/* Looks up the pair that starts at place and queues it if it merges. */
static void rate(tc_bpe *b, const tc_vocab *v, uint32_t place, size_t n) {
    node *s = &b->nodes[place];
    s->rank = s->next < n ? tc_vocab_rank(v, s->symbol, b->nodes[s->next].symbol) : NO_RANK;
    if (s->rank != NO_RANK) push(b, (uint64_t)s->rank << 32 | place);
}

static void merge(tc_bpe *b, const tc_vocab *v, uint32_t place, size_t n) {
    node *s = &b->nodes[place], *gone = &b->nodes[s->next];
    s->symbol = v->merges[s->rank].product;
    s->next = gone->next;
    gone->rank = NO_RANK;
    if (s->next < n) b->nodes[s->next].previous = place;
    rate(b, v, place, n);
    if (s->previous < n) rate(b, v, s->previous, n);
}

void tc_bpe_encode(tc_bpe *b, const tc_vocab *v, const uint8_t *bytes, size_t n, tc_ids *ids) {
    /* A pair is pushed once at the start, and each of the n - 1 merges at most makes two new ones. */
    if (!tc_grow(&b->nodes, &b->node_capacity, n, sizeof *b->nodes) ||
        !tc_grow(&b->heap, &b->heap_capacity, 3 * n, sizeof *b->heap)) {
        ids->failed = true;
        return;
    }
    b->heap_size = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t *symbols = i + 1 < n ? v->byte : v->last_byte;
        b->nodes[i] = (node){symbols[bytes[i]], (uint32_t)(i > 0 ? i - 1 : n), (uint32_t)(i + 1), NO_RANK};
    }
    for (size_t i = 0; i + 1 < n; i++) rate(b, v, (uint32_t)i, n);
    while (b->heap_size > 0) {
        uint64_t entry = pop(b);
        uint32_t place = (uint32_t)entry;
        if (b->nodes[place].rank == (uint32_t)(entry >> 32)) merge(b, v, place, n);
    }
    for (size_t i = 0; i < n; i = b->nodes[i].next) tc_ids_add(ids, b->nodes[i].symbol);
}
