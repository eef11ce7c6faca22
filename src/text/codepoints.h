/* codepoints.h - text as an array of Unicode code points, which cleaning works on, and the properties of
 * single characters.
 *
 * A tc_points never holds surrogates: decoding turns anything that is not valid UTF-8 into U+FFFD. */
#ifndef TC_CODEPOINTS_H
#define TC_CODEPOINTS_H

#include "base/base.h"
#include "text/char_tables.h"

typedef struct tc_points {
    uint32_t *at;
    size_t n, capacity;
    bool failed; /* memory ran out; stays set, and the contents are then incomplete */
} tc_points;

void tc_points_free(tc_points *p);
void tc_points_add(tc_points *p, uint32_t c);
void tc_points_append(tc_points *p, const uint32_t *c, size_t n);
/* Exchanges the contents; `failed` of either becomes set in both. */
void tc_points_swap(tc_points *a, tc_points *b);
bool tc_points_equal(const tc_points *a, const tc_points *b);
/* Appends size bytes of UTF-8; each longest invalid part becomes one U+FFFD. */
void tc_points_decode(tc_points *p, const char *utf8, size_t size);
/* Appends n code points as UTF-8. */
void tc_points_encode(const uint32_t *c, size_t n, tc_buf *out);
/* One code point as UTF-8, up to 4 bytes; returns their number. */
size_t tc_point_encode(uint32_t c, uint8_t out[4]);
/* Reads one strictly valid UTF-8 sequence at s (size > 0). Returns its length, or 0 if it is invalid; then
 * *skip (may be NULL) is the length of the longest part that starts a valid sequence, at least 1. */
size_t tc_point_decode(const uint8_t *s, size_t size, uint32_t *c, size_t *skip);

/* Appends the canonical composition (NFC) of c[n], as far as the reference of this kind knows Unicode.
 * Linear, whatever the number of combining marks in a row. */
void tc_points_nfc(const uint32_t *c, size_t n, tc_tokenizer_kind kind, tc_points *out);
/* Appends the lower case of c[n]: whole-text rules (final sigma) for OPENCLIP, character by character for HF.
 */
void tc_points_lower(const uint32_t *c, size_t n, tc_tokenizer_kind kind, tc_points *out);

/* Unicode white space (without U+001C to U+001F). */
bool tc_point_is_space(uint32_t c);
typedef enum tc_point_kind { TC_POINT_SPACE, TC_POINT_LETTER, TC_POINT_NUMBER, TC_POINT_OTHER } tc_point_kind;
/* As the tokenizer's split pattern sees it. */
tc_point_kind tc_point_classify(uint32_t c, tc_tokenizer_kind kind);
/* Bits of tc_char_class. */
uint32_t tc_point_classes(uint32_t c);
/* NULL if c is ASCII or of no legacy encoding and class. */
const tc_legacy_char *tc_legacy_find(uint32_t c);

#endif
