/* bpe.h - byte-pair encoding of one piece of text. */
#ifndef TC_BPE_H
#define TC_BPE_H

#include "text/vocab.h"

typedef struct tc_ids {
    int32_t *at;
    size_t n, capacity;
    bool failed; /* memory ran out */
} tc_ids;
void tc_ids_add(tc_ids *ids, int32_t id);

/* Working memory, reused from piece to piece. */
typedef struct tc_bpe tc_bpe;
tc_bpe *tc_bpe_create(void);
void tc_bpe_close(tc_bpe **b);
/* Appends the ids of a piece of n > 0 bytes, n < 2^31. n log n, whatever the bytes are. */
void tc_bpe_encode(tc_bpe *b, const tc_vocab *v, const uint8_t *bytes, size_t n, tc_ids *ids);

#endif
