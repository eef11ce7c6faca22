/* split.h - cuts cleaned text into the pieces that byte-pair encoding works on. */
#ifndef TC_SPLIT_H
#define TC_SPLIT_H

#include "text/codepoints.h"

typedef enum tc_piece_kind { TC_PIECE_TEXT, TC_PIECE_START, TC_PIECE_END } tc_piece_kind;

typedef struct tc_splitter {
    const uint32_t *c;
    size_t n, at;
    size_t limit; /* a piece may not reach past it */
    tc_tokenizer_kind kind;
} tc_splitter;

tc_splitter tc_splitter_make(const uint32_t *c, size_t n, tc_tokenizer_kind kind);
/* Finds the next piece c[*start .. *end); false if there is none. TC_PIECE_START and _END are OpenCLIP's
 * literal special tokens. */
bool tc_splitter_next(tc_splitter *s, size_t *start, size_t *end, tc_piece_kind *kind);

#endif
