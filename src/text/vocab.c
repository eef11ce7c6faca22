/* vocab.c - the built-in vocabulary and the table of merges.
 *
 * data/clip-vocab.bin holds the ids of both parts of each merge, in order. All else follows: 256 bytes, 256
 * bytes at the end of a word, one new id a merge, then start and end. */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#define WORD_END "</w>"

extern const uint8_t tc_file_data_clip_vocab_bin[], tc_file_data_clip_vocab_bin_end[];

static bool is_printable(unsigned byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* Bytes that stand for themselves come first, the other ones behind them: the place of each in that order. */
static void order_bytes(int32_t place[256]) {
    int32_t next = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned b = 0; b < 256; b++) {
            if (is_printable(b) == (pass == 0)) place[b] = next++;
        }
    }
}

void tc_byte_symbol(uint8_t byte, tc_buf *out) {
    unsigned code = byte;
    if (!is_printable(byte)) {
        code = 256;
        for (unsigned b = 0; b < byte; b++) code += !is_printable(b);
    }
    char utf8[2] = {(char)(0xC0 | code >> 6), (char)(0x80 | (code & 0x3F))};
    if (code < 0x80) {
        utf8[0] = (char)code;
        tc_buf_add(out, utf8, 1);
    } else {
        tc_buf_add(out, utf8, 2);
    }
}

/* ---- merges by pair */

static size_t slot_of(const tc_vocab *v, int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h >> 32) & v->slot_mask;
}

/* The slot that holds the pair, or the empty one where it belongs. */
static size_t find_slot(const tc_vocab *v, int32_t left, int32_t right) {
    size_t slot = slot_of(v, left, right);
    while (v->slots[slot] != UINT32_MAX) {
        const tc_merge *m = &v->merges[v->slots[slot]];
        if (m->left == left && m->right == right) break;
        slot = (slot + 1) & v->slot_mask;
    }
    return slot;
}

uint32_t tc_vocab_rank(const tc_vocab *v, int32_t left, int32_t right) {
    return v->slots[find_slot(v, left, right)];
}

tc_status tc_vocab_index(tc_vocab *v, const char *name, tc_error *err) {
    size_t count = 16;
    while (count < v->merge_count * 2 + 2) count *= 2;
    v->slots = tc_new(count, sizeof *v->slots);
    if (!v->slots) return tc_fail_memory(err, count * sizeof *v->slots);
    memset(v->slots, 0xFF, count * sizeof *v->slots);
    v->slot_mask = count - 1;
    for (size_t rank = 0; rank < v->merge_count; rank++) {
        size_t slot = find_slot(v, v->merges[rank].left, v->merges[rank].right);
        if (v->slots[slot] != UINT32_MAX) {
            return tc_fail(err, TC_EFORMAT, "%s: merge %zu repeats merge %u", name, rank + 1,
                           (unsigned)v->slots[slot] + 1);
        }
        v->slots[slot] = (uint32_t)rank;
    }
    return TC_OK;
}

tc_status tc_vocab_create(tc_vocab **out, tc_error *err) {
    const uint8_t *table = tc_file_data_clip_vocab_bin;
    size_t count = (size_t)(tc_file_data_clip_vocab_bin_end - table) / 4;
    tc_vocab *v = tc_new(1, sizeof *v);
    tc_merge *merges = tc_new(count, sizeof *merges);
    if (!v || !merges) {
        free(v);
        free(merges);
        return tc_fail_memory(err, count * sizeof *merges);
    }
    order_bytes(v->byte);
    for (unsigned b = 0; b < 256; b++) v->last_byte[b] = v->byte[b] + 256;
    for (size_t r = 0; r < count; r++, table += 4) {
        merges[r] = (tc_merge){table[0] | table[1] << 8, table[2] | table[3] << 8, (int32_t)(512 + r)};
    }
    v->merges = merges;
    v->merge_count = count;
    v->start = (int32_t)(512 + count);
    v->end = v->start + 1;
    v->size = v->end + 1;
    v->start_text = "<|startoftext|>";
    v->end_text = "<|endoftext|>";
    tc_status status = tc_vocab_index(v, "built-in vocabulary", err);
    if (status != TC_OK) tc_vocab_close(&v);
    *out = v;
    return status;
}

void tc_vocab_close(tc_vocab **v) {
    if (!*v) return;
    free((*v)->symbols);
    free((*v)->texts);
    free((*v)->merges);
    free((*v)->slots);
    free(*v);
    *v = NULL;
}

/* ---- the ids' texts */

/* Texts of the built-in vocabulary one behind the other; at[id] is where each starts. A merge's parts always
 * come before it. */
static void build_texts(const tc_vocab *v, size_t *at, tc_buf *texts) {
    int32_t place[256];
    uint8_t byte_at[256];
    order_bytes(place);
    for (unsigned b = 0; b < 256; b++) byte_at[place[b]] = (uint8_t)b;
    for (size_t id = 0; id < (size_t)v->size && !texts->failed; id++) {
        at[id] = texts->size;
        if (id < 512) {
            tc_byte_symbol(byte_at[id % 256], texts);
            if (id >= 256) tc_buf_puts(texts, WORD_END);
        } else if (id < 512 + v->merge_count) {
            /* the longest is far shorter; copied because the buffer may move while it grows */
            char product[256];
            const tc_merge *m = &v->merges[id - 512];
            snprintf(product, sizeof product, "%s%s", texts->data + at[m->left], texts->data + at[m->right]);
            tc_buf_puts(texts, product);
        } else {
            tc_buf_puts(texts, (int32_t)id == v->start ? v->start_text : v->end_text);
        }
        tc_buf_add(texts, "", 1);
    }
}

char *tc_vocab_texts(const tc_vocab *v, char ***texts) {
    tc_buf block = {0};
    size_t *at = tc_new((size_t)v->size, sizeof *at);
    char **list = tc_new((size_t)v->size, sizeof *list);
    if (at && list && v->symbols) {
        for (int32_t id = 0; id < v->size; id++) {
            at[id] = block.size;
            tc_buf_add(&block, v->symbols[id], strlen(v->symbols[id]) + 1);
        }
    } else if (at && list) {
        build_texts(v, at, &block);
    }
    if (!at || !list || block.failed) {
        tc_buf_free(&block);
        free(list);
        free(at);
        return NULL;
    }
    for (int32_t id = 0; id < v->size; id++) list[id] = block.data + at[id];
    free(at);
    *texts = list;
    return block.data;
}
