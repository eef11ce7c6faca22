/* layout.h - the tensors of a checkpoint by their canonical names, whatever it calls them, and what they say
 * about the model. */
#ifndef TC_LAYOUT_H
#define TC_LAYOUT_H

#include "format/names.h"
#include "net/net.h"

typedef struct tc_named {
    const tc_tensor *tensor;
    tc_canonical is;
    bool used;
} tc_named;

typedef struct tc_layout {
    const char *path; /* for messages; the caller's */
    tc_named *items;  /* sorted by name and part; a tensor that is stored twice is there once */
    size_t count;
    unsigned written_by; /* TC_NAMED_ of all its names */
} tc_layout;

/* Error if two tensors are one parameter and differ. The store must outlive it. */
tc_status tc_layout_read(tc_layout *out, const tc_store *s, const char *path, tc_error *err);
void tc_layout_free(tc_layout *l);
tc_named *tc_layout_find(const tc_layout *l, const char *canonical, int part); /* NULL: none */
/* What such a checkpoint is called: "openclip", "huggingface", "tinyclip", "tinyclip, automatically pruned"
 * or "openai". */
const char *tc_layout_name(const tc_layout *l);
/* The checkpoint's own name for part `part` of a parameter, for messages. */
const char *tc_layout_spelling(const tc_layout *l, const char *canonical, int part, char *out, size_t size);

/* The configuration of a checkpoint, from its tensors alone (given NULL) or from its configuration `given`.
 *
 * Alone: sizes from the shapes, 64 channels a head (CLIP's; for the large models of other head sizes those),
 * the largest id as the end of text. A tower of which the size of the heads cannot be known is an error. The
 * activation is left as GELU. With one: of a pruned tower the tensors say what is left and the configuration,
 * which describes the tower before pruning, the size of its heads. A tower that is not pruned must be as
 * configured; binding its tensors will tell. A ResNet is pruned if it has fewer inner channels. */
tc_status tc_layout_config(tc_config *out, const tc_layout *l, const tc_config *given, tc_error *err);

#endif
