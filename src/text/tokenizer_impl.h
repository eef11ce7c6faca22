/* tokenizer_impl.h - what is inside a tokenizer; only for this folder. */
#ifndef TC_TOKENIZER_IMPL_H
#define TC_TOKENIZER_IMPL_H

#include "text/vocab.h"

struct tc_tokenizer {
    tc_tokenizer_kind kind;
    tc_vocab *vocab;
};

#endif
