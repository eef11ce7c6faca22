/* split.c - the tokenizers' split pattern: special tokens, contractions, runs of letters, single numbers,
 * runs of anything else but white space. The first that fits wins.
 *
 * OpenCLIP matches without regard to case, by Unicode's folding. As the text is lower case already, that only
 * concerns the long s (U+017F), which folds to "s". Transformers splits a second time, which cuts its special
 * tokens, typed in capitals, in three. */
#include "text/split.h"

static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

tc_splitter tc_splitter_make(const uint32_t *c, size_t n, tc_tokenizer_kind kind) {
    return (tc_splitter){c, n, 0, n, kind};
}

/* Length of the literal if it stands at the current place, else 0. *exact: without folding. */
static size_t literal(const tc_splitter *s, const char *text, bool *exact) {
    size_t k = 0;
    *exact = true;
    for (; text[k]; k++) {
        if (s->at + k >= s->n) return 0;
        uint32_t c = s->c[s->at + k];
        if (c == (unsigned char)text[k]) continue;
        if (c != 0x17F || text[k] != 's' || s->kind != TC_TOKENIZER_OPENCLIP) return 0;
        *exact = false;
    }
    return k;
}

static size_t special(tc_splitter *s, tc_piece_kind *kind) {
    static const char *const texts[2][2] = {{"<start_of_text>", "<end_of_text>"},
                                            {"<|startoftext|>", "<|endoftext|>"}};
    bool hf = s->kind == TC_TOKENIZER_HF;
    for (int k = 0; k < 2; k++) {
        bool exact;
        size_t length = literal(s, texts[hf][k], &exact);
        if (length == 0) continue;
        if (hf) {
            s->limit = s->at + length;
            return 2; /* "<|"; the letters and "|>" follow by themselves, but not past the limit */
        }
        if (exact) *kind = k == 0 ? TC_PIECE_START : TC_PIECE_END;
        return length;
    }
    return 0;
}

static size_t contraction(const tc_splitter *s) {
    for (size_t k = 0; k < sizeof contractions / sizeof *contractions; k++) {
        bool exact;
        size_t length = literal(s, contractions[k], &exact);
        if (length) return length;
    }
    return 0;
}

static size_t run(const tc_splitter *s, tc_point_kind kind) {
    size_t k = 1;
    while (kind != TC_POINT_NUMBER && s->at + k < s->limit &&
           tc_point_classify(s->c[s->at + k], s->kind) == kind)
        k++;
    return k;
}

bool tc_splitter_next(tc_splitter *s, size_t *start, size_t *end, tc_piece_kind *kind) {
    while (s->at < s->n && tc_point_classify(s->c[s->at], s->kind) == TC_POINT_SPACE) s->at++;
    if (s->at >= s->n) return false;
    if (s->at >= s->limit) s->limit = s->n;
    uint32_t c = s->c[s->at];
    *kind = TC_PIECE_TEXT;
    size_t length = 0;
    if (c == '<' && s->limit == s->n) length = special(s, kind);
    else if (c == '\'') length = contraction(s);
    if (length == 0) length = run(s, tc_point_classify(c, s->kind));
    *start = s->at;
    *end = s->at += length;
    return true;
}
