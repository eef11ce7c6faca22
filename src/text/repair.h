/* repair.h - repairs of broken text, as the models' training data had them: what ftfy.fix_text and
 * html.unescape do.
 *
 * Everything here works on code points and appends to or replaces a tc_points, whose `failed` says that
 * memory ran out. */
#ifndef TC_REPAIR_H
#define TC_REPAIR_H

#include "text/codepoints.h"

/* Replaces *text by what ftfy.fix_text makes of it with its default settings. */
void tc_repair_text(tc_points *text);

/* Appends c[n] to out with HTML5's character references resolved: named ones (some also without semicolon),
 * decimal and hexadecimal numbers, as html.unescape does. */
void tc_html_unescape(const uint32_t *c, size_t n, tc_points *out);
/* The stricter form that ftfy uses: only references that end in a semicolon, and also those with an all-caps
 * name (&EACUTE;). */
void tc_html_unescape_strict(const uint32_t *c, size_t n, tc_points *out);

/* Whether c[n] holds a sequence that hardly ever occurs but in mojibake. */
bool tc_is_garbled(const uint32_t *c, size_t n);

/* Undoes mojibake: UTF-8 that was decoded with a one-byte encoding, several times over, whole or in places.
 * `work` is the number of characters that may still be looked at; when it is used up the text stays as it is
 * by then. */
void tc_fix_encoding(tc_points *text, size_t *work);
/* Takes n from *work; false if that is too much. */
bool tc_spend(size_t *work, size_t n);

/* Bytes to code points by the two decoders that mojibake needs; false (and *out unspecified) if any byte is
 * wrong. `variants` accepts CESU-8 surrogate pairs and the two-byte NUL too. */
bool tc_decode_strict(const uint8_t *bytes, size_t n, bool variants, tc_points *out);
/* What ftfy does to bytes before it decodes them: a space that was byte A0 becomes A0 again; UTF-8 sequences
 * with lost bytes become U+FFFD. Both append to out. */
void tc_restore_a0(const tc_buf *bytes, tc_buf *out);
void tc_replace_lossy(const tc_buf *bytes, tc_buf *out);

#endif
