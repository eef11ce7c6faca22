/* captions.h - captions as a text tower runs them: only up to their end. With the causal mask nothing behind
 * it can change the result. */
#ifndef TC_CAPTIONS_H
#define TC_CAPTIONS_H

#include "net/config.h"

/* Number of ids up to and with the one that the text feature is taken at; at least 1. */
int tc_caption_length(const tc_config *c, const int32_t *ids, int context);

/* Captions made ragged: the ids of each up to its end of text, one after the other. Buffers grow and stay. */
typedef struct tc_captions {
    int32_t *ids, *seq; /* seq [batch+1] */
    size_t ids_capacity, seq_capacity;
} tc_captions;
/* Takes captions of input_ids [n,context] until there are `most` rows or none is left; *batch gets their
 * number. Checks every id. */
tc_status tc_captions_gather(tc_captions *t, const tc_config *c, const int32_t *input_ids, int n, int context,
                             int64_t most, int *batch, tc_error *err);
void tc_captions_free(tc_captions *t);

#endif
