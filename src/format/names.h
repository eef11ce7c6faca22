/* names.h - what the parameters are called in other layouts. The canonical names are OpenCLIP's. */
#ifndef TC_NAMES_H
#define TC_NAMES_H

#include "base/base.h"

/* Hugging Face's name for a parameter. A fused query-key-value parameter has three, part 0 to 2; others one.
 * False past the last part. *transposed: the matrix is stored the other way round there. */
bool tc_names_hf(const char *canonical, int part, char *out, size_t size, bool *transposed);

/* Which program wrote a checkpoint, as its names tell. */
enum {
    TC_NAMED_OPENCLIP = 1,
    TC_NAMED_HF = 2,
    TC_NAMED_TINYCLIP = 4, /* _image_encoder, _text_encoder, _logit_scale */
    /* image_encoder_without_ddp, text_encoder_without_ddp: automatically pruned ones */
    TC_NAMED_ALIAS = 8,
    TC_NAMED_OPENAI = 16 /* the scalars of OpenAI's archives */
};
typedef struct tc_canonical {
    char name[96]; /* OpenCLIP's */
    int part, parts;
    bool transposed;
    unsigned written_by; /* one or more of TC_NAMED_ */
} tc_canonical;
/* The parameter that a tensor of any layout is: the prefixes of wrappers taken off, Hugging Face's names
 * translated. False if no layout calls a tensor so; a true result need not be a parameter of any model. */
bool tc_names_canonical(const char *stored, tc_canonical *out);
/* Tensors that hold nothing learnt: masks, position numbers, counters. By canonical name. */
bool tc_names_ignored(const char *canonical);

#endif
