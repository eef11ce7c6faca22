/* vocab.h - a byte-pair vocabulary: which symbol each byte starts as, which pairs merge, and what the special
 * ids are.
 *
 * A symbol is an id. A vocabulary is immutable once it is built. */
#ifndef TC_VOCAB_H
#define TC_VOCAB_H

#include "base/base.h"

typedef struct tc_merge {
    int32_t left, right, product;
} tc_merge;

typedef struct tc_vocab {
    int32_t size;           /* ids are 0 .. size - 1 */
    int32_t start, end;     /* ids that open and close every text */
    int32_t byte[256];      /* id of each byte as a symbol; `end` (the unknown token) if there is none */
    int32_t last_byte[256]; /* the same for the last byte of a word */
    tc_merge *merges;       /* [merge_count], by rank */
    size_t merge_count;
    uint32_t *slots; /* hash table of ranks by (left, right), open addressing; UINT32_MAX: empty */
    size_t slot_mask;
    /* [size] text of each id, in the block `texts`; NULL for the built-in vocabulary */
    char **symbols, *texts;
    const char *start_text, *end_text; /* the special ids' symbols */
} tc_vocab;

/* CLIP's own vocabulary, from the table that the library carries (scripts/make_vocab.py). */
tc_status tc_vocab_create(tc_vocab **out, tc_error *err);
/* The vocabulary of a folder: vocab.json and merges.txt, or tokenizer.json if there is no vocab.json. */
tc_status tc_vocab_open(tc_vocab **out, const char *dir, tc_error *err);
/* The same from the files' contents; `name` is for messages. merges NULL: `vocab` is a tokenizer.json. */
tc_status tc_vocab_parse(tc_vocab **out, const char *vocab, size_t vocab_size, const char *merges,
                         size_t merges_size, const char *name, tc_error *err);
void tc_vocab_close(tc_vocab **v);

/* Builds the hash table over merges[merge_count]. TC_EFORMAT if a pair is there twice. */
tc_status tc_vocab_index(tc_vocab *v, const char *name, tc_error *err);
/* Rank of the pair, UINT32_MAX if it does not merge. */
uint32_t tc_vocab_rank(const tc_vocab *v, int32_t left, int32_t right);
/* Appends the code point that stands for a byte in vocabulary files. */
void tc_byte_symbol(uint8_t byte, tc_buf *out);
/* Text of every id, NUL-terminated, one behind the other; NULL if memory ran out. The caller frees the block
 * and *texts. */
char *tc_vocab_texts(const tc_vocab *v, char ***texts);

#endif
