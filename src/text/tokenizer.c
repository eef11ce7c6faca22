/* tokenizer.c - text to ids: clean, split, byte-pair encode, cut, pad.
 *
 * The two kinds differ in what cleaning is. OpenCLIP repairs the text, resolves HTML, and lower-cases it as a
 * whole; its special tokens are found in the cleaned text. Transformers takes its special tokens out of the
 * raw text and only composes (NFC) and lower-cases the rest. */
#include "text/tokenizer.h"
#include "text/bpe.h"
#include "text/repair.h"
#include "text/split.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_TEXT = 64 << 20 }; /* bytes */

static tc_status finish(tc_tokenizer **out, tc_tokenizer_kind kind, tc_vocab *vocab, tc_error *err) {
    tc_tokenizer *t = tc_new(1, sizeof *t);
    if (!t) {
        tc_vocab_close(&vocab);
        return tc_fail_memory(err, sizeof *t);
    }
    *t = (tc_tokenizer){kind, vocab};
    *out = t;
    return TC_OK;
}

tc_status tc_tokenizer_create(tc_tokenizer **out, tc_tokenizer_kind kind, tc_error *err) {
    tc_vocab *vocab;
    *out = NULL;
    tc_status status = tc_vocab_create(&vocab, err);
    return status == TC_OK ? finish(out, kind, vocab, err) : status;
}

tc_status tc_tokenizer_open(tc_tokenizer **out, const char *dir, tc_tokenizer_kind kind, tc_error *err) {
    tc_vocab *vocab;
    *out = NULL;
    tc_status status = tc_vocab_open(&vocab, dir, err);
    return status == TC_OK ? finish(out, kind, vocab, err) : status;
}

tc_status tc_tokenizer_parse(tc_tokenizer **out, const char *vocab, const char *merges,
                             tc_tokenizer_kind kind, const char *name, tc_error *err) {
    tc_vocab *v;
    *out = NULL;
    tc_status status = tc_vocab_parse(&v, vocab, strlen(vocab), merges, strlen(merges), name, err);
    return status == TC_OK ? finish(out, kind, v, err) : status;
}

bool tc_tokenizer_is_builtin(const tc_tokenizer *t) {
    tc_vocab *own = NULL;
    const tc_vocab *v = t->vocab;
    if (tc_vocab_create(&own, NULL) != TC_OK) return false;
    bool same = v->size == own->size && v->start == own->start && v->end == own->end &&
                v->merge_count == own->merge_count && memcmp(v->byte, own->byte, sizeof v->byte) == 0 &&
                memcmp(v->last_byte, own->last_byte, sizeof v->last_byte) == 0 &&
                memcmp(v->merges, own->merges, v->merge_count * sizeof *v->merges) == 0;
    tc_vocab_close(&own);
    return same;
}

void tc_tokenizer_close(tc_tokenizer **t) {
    if (!*t) return;
    tc_vocab_close(&(*t)->vocab);
    free(*t);
    *t = NULL;
}

int tc_tokenizer_size(const tc_tokenizer *t) { return t->vocab->size; }

int32_t tc_tokenizer_start(const tc_tokenizer *t) { return t->vocab->start; }

int32_t tc_tokenizer_end(const tc_tokenizer *t) { return t->vocab->end; }

int32_t tc_tokenizer_pad(const tc_tokenizer *t) { return t->kind == TC_TOKENIZER_HF ? t->vocab->end : 0; }

/* ---- cleaning */

/* Python's str.split knows U+001C to U+001F as white space, which Unicode does not. */
static bool is_python_space(uint32_t c) { return tc_point_is_space(c) || (c >= 0x1C && c <= 0x1F); }

/* Every run of white space to one space; none at either end. */
static void collapse_spaces(tc_points *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (!is_python_space(text->at[i])) {
            text->at[n++] = text->at[i];
        } else if (n > 0 && text->at[n - 1] != ' ') {
            text->at[n++] = ' ';
        }
    }
    text->n = n > 0 && text->at[n - 1] == ' ' ? n - 1 : n;
}

static void clean_openclip(tc_points *text, tc_points *out) {
    tc_points next = {0};
    tc_repair_text(text);
    for (int twice = 0; twice < 2; twice++) {
        next.n = 0;
        tc_html_unescape(text->at, text->n, &next);
        tc_points_swap(text, &next);
    }
    collapse_spaces(text);
    tc_points_lower(text->at, text->n, TC_TOKENIZER_OPENCLIP, out);
    out->failed |= text->failed;
    tc_points_free(&next);
}

/* Appends the normal form of one stretch between special tokens. */
static void clean_hf(const uint32_t *c, size_t n, tc_points *out) {
    tc_points text = {0};
    tc_points_nfc(c, n, TC_TOKENIZER_HF, &text);
    size_t kept = 0;
    for (size_t i = 0; i < text.n; i++) {
        bool space = tc_point_is_space(text.at[i]);
        if (space && i > 0 && tc_point_is_space(text.at[i - 1])) continue;
        text.at[kept++] = space ? ' ' : text.at[i];
    }
    tc_points_lower(text.at, kept, TC_TOKENIZER_HF, out);
    out->failed |= text.failed;
    tc_points_free(&text);
}

/* ---- pieces to ids */

typedef struct encoder {
    const tc_vocab *vocab;
    tc_tokenizer_kind kind;
    tc_bpe *bpe;
    tc_buf bytes;
    tc_ids ids;
} encoder;

static void encode_pieces(encoder *e, const tc_points *text) {
    tc_splitter s = tc_splitter_make(text->at, text->n, e->kind);
    tc_piece_kind kind;
    for (size_t start, end; tc_splitter_next(&s, &start, &end, &kind);) {
        if (kind != TC_PIECE_TEXT) {
            tc_ids_add(&e->ids, kind == TC_PIECE_START ? e->vocab->start : e->vocab->end);
            continue;
        }
        e->bytes.size = 0;
        tc_points_encode(text->at + start, end - start, &e->bytes);
        if (e->bytes.failed) {
            e->ids.failed = true;
            return;
        }
        tc_bpe_encode(e->bpe, e->vocab, (const uint8_t *)e->bytes.data, e->bytes.size, &e->ids);
    }
}

/* Length of the ASCII word if it stands at c, else 0. */
static size_t word_at(const uint32_t *c, size_t n, const char *word) {
    size_t k = 0;
    for (; word[k]; k++) {
        if (k >= n || c[k] != (unsigned char)word[k]) return 0;
    }
    return k;
}

/* Where the next special token of the raw text is, text->n if there is none; *length is its length. */
static size_t find_special(const tc_vocab *v, const tc_points *text, size_t from, size_t *length,
                           int32_t *id) {
    for (size_t i = from; i < text->n; i++) {
        if (text->at[i] != '<') continue;
        if ((*length = word_at(text->at + i, text->n - i, v->start_text)) > 0) {
            *id = v->start;
            return i;
        }
        if ((*length = word_at(text->at + i, text->n - i, v->end_text)) > 0) {
            *id = v->end;
            return i;
        }
    }
    *length = 0;
    return text->n;
}

/* Cleans the raw text into *cleaned, and encodes it if e is not NULL. */
static void process(const tc_tokenizer *t, tc_points *raw, tc_points *cleaned, encoder *e) {
    if (t->kind == TC_TOKENIZER_OPENCLIP) {
        clean_openclip(raw, cleaned);
        if (e && !cleaned->failed) encode_pieces(e, cleaned);
        return;
    }
    for (size_t from = 0; from < raw->n && !cleaned->failed;) {
        size_t length = 0;
        int32_t id = 0;
        size_t at = find_special(t->vocab, raw, from, &length, &id);
        tc_points part = {0};
        clean_hf(raw->at + from, at - from, &part);
        if (e && !part.failed) encode_pieces(e, &part);
        if (e && length > 0) tc_ids_add(&e->ids, id);
        tc_points_append(cleaned, part.at, part.n);
        tc_points_append(cleaned, raw->at + at, length);
        cleaned->failed |= part.failed;
        tc_points_free(&part);
        from = at + length;
    }
}

static tc_status decode(const char *text, size_t size, tc_points *raw, tc_error *err) {
    if (size > LONGEST_TEXT)
        return tc_fail(err, TC_ENOMEM, "text: %zu bytes, expected at most %d", size, LONGEST_TEXT);
    tc_points_decode(raw, text, size);
    return raw->failed ? tc_fail_memory(err, size * sizeof *raw->at) : TC_OK;
}

tc_status tc_tokenizer_clean_n(const tc_tokenizer *t, const char *text, size_t size, char **out,
                               size_t *out_size, tc_error *err) {
    tc_points raw = {0}, cleaned = {0};
    tc_buf utf8 = {0};
    *out = NULL;
    tc_status status = decode(text, size, &raw, err);
    if (status == TC_OK) {
        process(t, &raw, &cleaned, NULL);
        tc_buf_puts(&utf8, "");
        tc_points_encode(cleaned.at, cleaned.n, &utf8);
        if (out_size) *out_size = utf8.size;
        if (!cleaned.failed && !utf8.failed) *out = tc_buf_take(&utf8);
        if (!*out) status = tc_fail_memory(err, cleaned.n);
    }
    tc_buf_free(&utf8);
    tc_points_free(&cleaned);
    tc_points_free(&raw);
    return status;
}

tc_status tc_tokenizer_clean(const tc_tokenizer *t, const char *text, char **out, tc_error *err) {
    return tc_tokenizer_clean_n(t, text, strlen(text), out, NULL, err);
}

tc_status tc_tokenizer_ids(const tc_tokenizer *t, const char *text, size_t size, int32_t **ids, size_t *n,
                           tc_error *err) {
    tc_points raw = {0}, cleaned = {0};
    encoder e = {.vocab = t->vocab, .kind = t->kind, .bpe = tc_bpe_create()};
    *ids = NULL;
    *n = 0;
    tc_status status = e.bpe ? decode(text, size, &raw, err) : tc_fail_memory(err, sizeof e);
    if (status == TC_OK) {
        tc_ids_add(&e.ids, t->vocab->start);
        process(t, &raw, &cleaned, &e);
        tc_ids_add(&e.ids, t->vocab->end);
        if (cleaned.failed || e.ids.failed) status = tc_fail_memory(err, raw.n * sizeof *raw.at);
    }
    if (status == TC_OK) {
        *ids = e.ids.at;
        *n = e.ids.n;
    } else {
        free(e.ids.at);
    }
    tc_bpe_close(&e.bpe);
    tc_buf_free(&e.bytes);
    tc_points_free(&cleaned);
    tc_points_free(&raw);
    return status;
}

tc_status tc_tokenizer_encode_n(const tc_tokenizer *t, const char *text, size_t size, int context,
                                int32_t *ids, int *length, int *truncated, tc_error *err) {
    int32_t *all;
    size_t n;
    if (context < 1) return tc_fail(err, TC_EARG, "context length %d, expected at least 1", context);
    tc_status status = tc_tokenizer_ids(t, text, size, &all, &n, err);
    if (status != TC_OK) return status;
    size_t kept = n < (size_t)context ? n : (size_t)context;
    memcpy(ids, all, kept * sizeof *ids);
    if (kept < n) ids[kept - 1] = t->vocab->end;
    for (size_t i = kept; i < (size_t)context; i++) ids[i] = tc_tokenizer_pad(t);
    if (length) *length = (int)kept;
    if (truncated) *truncated = (int)(n - kept);
    free(all);
    return TC_OK;
}

tc_status tc_tokenizer_encode(const tc_tokenizer *t, const char *text, int context, int32_t *ids, int *length,
                              int *truncated, tc_error *err) {
    return tc_tokenizer_encode_n(t, text, strlen(text), context, ids, length, truncated, err);
}
