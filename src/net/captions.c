/* captions.c - captions made ragged. */
#include "net/captions.h"

#include <stdlib.h>
#include <string.h>

int tc_caption_length(const tc_config *c, const int32_t *ids, int context) {
    int at = 0;
    if (c->eos_id >= 0) {
        while (at < context && ids[at] != c->eos_id) at++;
        return at < context ? at + 1 : 1;
    }
    for (int i = 1; i < context; i++)
        if (ids[i] > ids[at]) at = i;
    return at + 1;
}

static tc_status check_ids(const tc_config *c, const int32_t *ids, int caption, int context, tc_error *err) {
    for (int i = 0; i < context; i++)
        if (ids[i] < 0 || ids[i] >= c->vocab_size)
            return tc_fail(err, TC_EARG, "text %d: id %d at position %d is outside the vocabulary of %d",
                           caption, ids[i], i, c->vocab_size);
    return TC_OK;
}

tc_status tc_captions_gather(tc_captions *t, const tc_config *c, const int32_t *input_ids, int n, int context,
                             int64_t most, int *batch, tc_error *err) {
    int64_t rows = 0;
    *batch = 0;
    if (context > c->context_length)
        return tc_fail(err, TC_EARG, "texts of %d ids are longer than the model's context of %d", context,
                       c->context_length);
    while (*batch < n && rows < most) {
        const int32_t *ids = input_ids + (int64_t)*batch * context;
        tc_status status = check_ids(c, ids, *batch, context, err);
        if (status != TC_OK) return status;
        int length = tc_caption_length(c, ids, context);
        if (!tc_grow(&t->ids, &t->ids_capacity, (size_t)(rows + length), sizeof *t->ids) ||
            !tc_grow(&t->seq, &t->seq_capacity, (size_t)*batch + 2, sizeof *t->seq))
            return tc_fail_memory(err, (size_t)(rows + length) * sizeof *t->ids);
        memcpy(t->ids + rows, ids, (size_t)length * sizeof *ids);
        t->seq[*batch] = (int32_t)rows;
        rows += length;
        t->seq[++*batch] = (int32_t)rows;
    }
    return TC_OK;
}

void tc_captions_free(tc_captions *t) {
    free(t->ids);
    free(t->seq);
    *t = (tc_captions){0};
}
