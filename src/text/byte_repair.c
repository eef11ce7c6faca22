/* byte_repair.c - bytes that are almost UTF-8: ftfy's two repairs of them, and the decoders they are for.
 *
 * The repairs are tables of byte patterns: a pattern is a row of sets of bytes, tried in order, the first
 * that fits wins. */
#include "text/repair.h"

#include <string.h>

/* Sets of bytes; a unit of a pattern is a union of them, 0 ends the pattern. */
enum {
    SPACE = 1 << 0,
    SUBSTITUTE = 1 << 1, /* 1A: a byte that was lost */
    QUESTION = 1 << 2,   /* "?": the same, done by other programs */
    CONT = 1 << 3,       /* 80-BF */
    CONT_SAFE = 1 << 4,  /* 80-BF without 85 and A0 */
    HIGH_HALF = 1 << 5,  /* A0-AF: behind ED, a high surrogate */
    LOW_HALF = 1 << 6,   /* B0-BF */
    LEAD_ED = 1 << 7,
    LEAD_2 = 1 << 8, /* C2-DF */
    LEAD_C2_C3 = 1 << 9,
    LEAD_3 = 1 << 10,           /* E0-EF */
    LEAD_4 = 1 << 11,           /* F0-F4 */
    LEAD_2_BEFORE_A0 = 1 << 12, /* C2 C3 C5 CE D0 D9: those that A0 makes a likely character with */
    LEAD_E2_E3 = 1 << 13,
    LEAD_E0_E3 = 1 << 14,
    LEAD_F0 = 1 << 15,
    LOST = SUBSTITUTE | QUESTION,
    CONT_OR_SUB = CONT | SUBSTITUTE,
    LONGEST = 6
};

typedef uint16_t pattern[LONGEST];

static const pattern altered[] = {
    {LEAD_2_BEFORE_A0, SPACE},    {LEAD_E2_E3, SPACE, CONT_SAFE}, {LEAD_E0_E3, CONT_SAFE, SPACE},
    {LEAD_F0, SPACE, CONT, CONT}, {LEAD_F0, CONT, SPACE, CONT},   {LEAD_F0, CONT, CONT, SPACE},
};

static const pattern lossy[] = {
    {LEAD_2, SUBSTITUTE},
    {LEAD_C2_C3, QUESTION},
    {LEAD_ED, HIGH_HALF, LOST, LEAD_ED, LOW_HALF, LOST | CONT},
    {LEAD_ED, HIGH_HALF, LOST | CONT, LEAD_ED, LOW_HALF, LOST},
    {LEAD_3, LOST, CONT_OR_SUB},
    {LEAD_3, CONT_OR_SUB, LOST},
    {LEAD_4, LOST, CONT_OR_SUB, CONT_OR_SUB},
    {LEAD_4, CONT_OR_SUB, LOST, CONT_OR_SUB},
    {LEAD_4, CONT_OR_SUB, CONT_OR_SUB, LOST},
    {SUBSTITUTE},
};

static unsigned lead_sets(uint8_t b) {
    unsigned sets = 0;
    if (b >= 0xC2 && b <= 0xDF) sets |= LEAD_2;
    if (b == 0xC2 || b == 0xC3) sets |= LEAD_C2_C3;
    if (b == 0xC2 || b == 0xC3 || b == 0xC5 || b == 0xCE || b == 0xD0 || b == 0xD9) sets |= LEAD_2_BEFORE_A0;
    if (b >= 0xE0 && b <= 0xEF) sets |= LEAD_3;
    if (b == 0xE2 || b == 0xE3) sets |= LEAD_E2_E3;
    if (b >= 0xE0 && b <= 0xE3) sets |= LEAD_E0_E3;
    if (b == 0xED) sets |= LEAD_ED;
    if (b >= 0xF0 && b <= 0xF4) sets |= LEAD_4;
    if (b == 0xF0) sets |= LEAD_F0;
    return sets;
}

static unsigned byte_sets(uint8_t b) {
    if (b >= 0xC0) return lead_sets(b);
    if (b == ' ') return SPACE;
    if (b == 0x1A) return SUBSTITUTE;
    if (b == '?') return QUESTION;
    if (b < 0x80) return 0;
    unsigned sets = CONT;
    if (b != 0x85 && b != 0xA0) sets |= CONT_SAFE;
    if (b >= 0xA0) sets |= b <= 0xAF ? HIGH_HALF : LOW_HALF;
    return sets;
}

static size_t pattern_fits(const uint16_t *units, const uint8_t *s, size_t n) {
    size_t k = 0;
    for (; k < LONGEST && units[k]; k++) {
        if (k == n || !(byte_sets(s[k]) & units[k])) return 0;
    }
    return k;
}

/* Length of the first pattern that fits at s, 0 if none does. */
static size_t find_pattern(const pattern *patterns, size_t count, const uint8_t *s, size_t n) {
    for (size_t p = 0; p < count; p++) {
        size_t length = pattern_fits(patterns[p], s, n);
        if (length) return length;
    }
    return 0;
}

/* "Ã " is a word of its own, "à" with a space behind it, unless the two begin one of a few Portuguese words.
 */
static bool is_a_grave_word(const uint8_t *s, size_t n) {
    static const char *const words[] = {" ", "quele", "quela", "quilo", "s "};
    if (n < 2 || s[0] != 0xC3 || s[1] != ' ') return false;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        size_t length = strlen(words[k]);
        if (n - 2 >= length && memcmp(s + 2, words[k], length) == 0) return false;
    }
    return true;
}

void tc_restore_a0(const tc_buf *bytes, tc_buf *out) {
    const uint8_t *s = (const uint8_t *)bytes->data;
    for (size_t i = 0; i < bytes->size;) {
        if (is_a_grave_word(s + i, bytes->size - i)) {
            tc_buf_add(out, "\xC3\xA0 ", 3);
            i += 2;
            continue;
        }
        size_t length = find_pattern(altered, sizeof altered / sizeof *altered, s + i, bytes->size - i);
        if (length == 0) tc_buf_add(out, s + i++, 1);
        for (size_t end = i + length; i < end; i++)
            tc_buf_add(out, s[i] == ' ' ? "\xA0" : (const char *)s + i, 1);
    }
}

void tc_replace_lossy(const tc_buf *bytes, tc_buf *out) {
    const uint8_t *s = (const uint8_t *)bytes->data;
    for (size_t i = 0; i < bytes->size;) {
        size_t length = find_pattern(lossy, sizeof lossy / sizeof *lossy, s + i, bytes->size - i);
        if (length) {
            tc_buf_add(out, "\xEF\xBF\xBD", 3);
        } else {
            tc_buf_add(out, s + i, 1);
        }
        i += length ? length : 1;
    }
}

/* ---- decoding */

/* ftfy's patterns for the variants end in "or the end of the text", which in Python's re includes the place
 * before a last newline. */
static bool at_end(const uint8_t *s, size_t n) { return n == 0 || (n == 1 && s[0] == '\n'); }

static bool in(const uint8_t *s, size_t n, size_t k, uint8_t low, uint8_t high) {
    return k < n && s[k] >= low && s[k] <= high;
}

/* A sequence that only the variants have: returns its length, or 0. */
static size_t decode_variant(const uint8_t *s, size_t n, uint32_t *c) {
    if (s[0] == 0xC0 && n > 1 && (s[1] == 0x80 || at_end(s + 1, n - 1))) {
        *c = 0;
        return 2;
    }
    if (s[0] != 0xED || n < 6 || !in(s, n, 1, 0xA0, 0xAF) || !in(s, n, 2, 0x80, 0xBF) || s[3] != 0xED ||
        !in(s, n, 4, 0xB0, 0xBF))
        return 0;
    if (!in(s, n, 5, 0x80, 0xBF) && !at_end(s + 5, n - 5)) return 0;
    *c = ((s[1] & 0x0Fu) << 16) + ((s[2] & 0x3Fu) << 10) + ((s[4] & 0x0Fu) << 6) + (s[5] & 0x3Fu) + 0x10000;
    return 6;
}

bool tc_decode_strict(const uint8_t *bytes, size_t n, bool variants, tc_points *out) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t length = variants ? decode_variant(bytes + i, n - i, &c) : 0;
        if (length == 0) length = tc_point_decode(bytes + i, n - i, &c, NULL);
        if (length == 0) return false;
        tc_points_add(out, c);
        i += length;
    }
    return true;
}
