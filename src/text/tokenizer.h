/* tokenizer.h - what the rest of the library needs of a tokenizer beyond the public interface. */
#ifndef TC_TOKENIZER_H
#define TC_TOKENIZER_H

#include "base/base.h"

/* Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json into an existing folder,
 * so that transformers' CLIPTokenizer.from_pretrained(dir) opens it and gives the ids of a TC_TOKENIZER_HF
 * tokenizer with this vocabulary, cut at `context`. */
tc_status tc_tokenizer_write_hf(const tc_tokenizer *t, const char *dir, int context, tc_error *err);

/* The texts of vocab.json and merges.txt, added to the buffers; and back. */
tc_status tc_tokenizer_texts(const tc_tokenizer *t, tc_buf *vocab, tc_buf *merges, tc_error *err);
tc_status tc_tokenizer_parse(tc_tokenizer **out, const char *vocab, const char *merges,
                             tc_tokenizer_kind kind, const char *name, tc_error *err);
/* A 64-bit hash of everything that the ids of a text depend on. */
tc_status tc_tokenizer_hash(const tc_tokenizer *t, uint64_t *hash, tc_error *err);
/* Whether the vocabulary is the one that the library carries. */
bool tc_tokenizer_is_builtin(const tc_tokenizer *t);

/* The ids of a text of `size` bytes before they are cut and padded: start, pieces, end. The caller frees
 * *ids. */
tc_status tc_tokenizer_ids(const tc_tokenizer *t, const char *text, size_t size, int32_t **ids, size_t *n,
                           tc_error *err);
int32_t tc_tokenizer_start(const tc_tokenizer *t);
int32_t tc_tokenizer_end(const tc_tokenizer *t);
/* What follows the end up to the context length: 0 for OPENCLIP, the end again for HF. */
int32_t tc_tokenizer_pad(const tc_tokenizer *t);

#endif
