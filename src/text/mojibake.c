/* mojibake.c - undoes mojibake as ftfy 6.3's fix_encoding does, step by step until nothing changes.
 *
 * A step is only taken where the text looks garbled (badness.c). It encodes the text with each legacy
 * encoding that could have produced it and keeps the first whose bytes are UTF-8; failing that, it repairs
 * the places that look like UTF-8 on their own; failing that, it reads C1 control characters as windows-1252.
 */
#include "text/repair.h"

#include <string.h>

/* How deep repaired places may hold places to repair. Each level is shorter than the one around it; real text
 * never goes past 3. */
enum { MOST_LEVELS = 16 };

bool tc_spend(size_t *work, size_t n) {
    if (*work < n) return false;
    *work -= n;
    return true;
}

static bool is_sloppy(int encoding) { return encoding >= TC_WINDOWS_1252 && encoding <= TC_WINDOWS_1257; }

/* The text's bytes in the encoding; false if it has a character that the encoding has not. */
static bool encode_legacy(const tc_points *text, int encoding, tc_buf *out) {
    for (size_t i = 0; i < text->n; i++) {
        uint32_t c = text->at[i];
        if (c >= 0x80) {
            const tc_legacy_char *legacy = tc_legacy_find(c);
            c = legacy ? legacy->byte[encoding] : 0;
            if (c == 0) return false;
        } else if (c == 0x1A && is_sloppy(encoding)) {
            return false;
        }
        uint8_t byte = (uint8_t)c;
        tc_buf_add(out, &byte, 1);
    }
    return true;
}

static void replace_bytes(tc_buf *bytes, void (*repair)(const tc_buf *, tc_buf *)) {
    tc_buf repaired = {0};
    repair(bytes, &repaired);
    tc_buf_free(bytes);
    *bytes = repaired;
}

/* Reads the text back through one encoding as UTF-8 into out; false if it cannot have come from there.
 * *possible gets whether every character has a byte in the encoding. */
static bool read_back(const tc_points *text, int encoding, bool *possible, tc_points *out) {
    tc_buf bytes = {0};
    *possible = encode_legacy(text, encoding, &bytes);
    if (*possible) {
        /* In MacRoman the byte pattern is an en dash and a space, which real text has. */
        if (encoding != TC_MACROMAN) replace_bytes(&bytes, tc_restore_a0);
        if (is_sloppy(encoding)) replace_bytes(&bytes, tc_replace_lossy);
    }
    out->failed |= bytes.failed;
    bool ok = *possible && !bytes.failed;
    if (ok) {
        bool variants = memchr(bytes.data, 0xED, bytes.size) || memchr(bytes.data, 0xC0, bytes.size);
        ok = tc_decode_strict((const uint8_t *)bytes.data, bytes.size, variants, out);
    }
    tc_buf_free(&bytes);
    return ok;
}

static void fix_encoding(tc_points *text, size_t *work, int level);

/* Length of one character's worth of garbled UTF-8 at c, 0 if there is none. */
static size_t garbled_character(const uint32_t *c, size_t n) {
    uint32_t first = tc_point_classes(c[0]);
    size_t continued = 0;
    while (continued < 3 && continued + 1 < n && (tc_point_classes(c[continued + 1]) & TC_CHAR_CONTINUATION))
        continued++;
    if ((first & TC_CHAR_FIRST_OF_2) && continued >= 1) return 2;
    if ((first & TC_CHAR_FIRST_OF_3) && continued >= 2) return 3;
    if ((first & TC_CHAR_FIRST_OF_4) && continued >= 3) return 4;
    return 0;
}

/* Repairs each run that looks like garbled UTF-8 by itself; returns whether anything changed. */
static bool fix_places(const tc_points *text, size_t *work, int level, tc_points *out) {
    bool changed = false;
    for (size_t i = 0; i < text->n;) {
        size_t end = i;
        if (i == 0 || !(tc_point_classes(text->at[i - 1]) & TC_CHAR_CONTINUATION_STRICT)) {
            for (size_t step; end < text->n && (step = garbled_character(text->at + end, text->n - end)) > 0;)
                end += step;
        }
        if (end == i) {
            tc_points_add(out, text->at[i++]);
            continue;
        }
        tc_points place = {0};
        tc_points_append(&place, text->at + i, end - i);
        if (place.n < text->n && level < MOST_LEVELS && tc_is_garbled(place.at, place.n))
            fix_encoding(&place, work, level + 1);
        changed =
            changed || place.n != end - i || memcmp(place.at, text->at + i, place.n * sizeof *place.at) != 0;
        tc_points_append(out, place.at, place.n);
        out->failed |= place.failed;
        tc_points_free(&place);
        i = end;
    }
    return changed;
}

/* C1 control characters as windows-1252, all or none: false if one has no meaning there, or if there is none
 * to change. */
static bool fix_all_c1(const tc_points *text, tc_points *out) {
    bool changed = false;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t c = text->at[i];
        bool control = c >= 0x80 && c <= 0x9F;
        if (control && tc_windows_1252[c - 0x80] == c) return false;
        tc_points_add(out, control ? tc_windows_1252[c - 0x80] : c);
        changed = changed || control;
    }
    return changed;
}

/* One by one, those without a meaning staying as they are. */
static void fix_each_c1(const tc_points *text, tc_points *out) {
    for (size_t i = 0; i < text->n; i++) {
        uint32_t c = text->at[i];
        tc_points_add(out, c >= 0x80 && c <= 0x9F ? tc_windows_1252[c - 0x80] : c);
    }
}

/* One step, into out. */
static void fix_step(const tc_points *text, size_t *work, int level, tc_points *out) {
    bool latin_1 = false;
    for (int encoding = 0; encoding < TC_LEGACY_ENCODINGS; encoding++) {
        bool possible;
        out->n = 0;
        if (read_back(text, encoding, &possible, out)) return;
        if (possible && encoding == TC_LATIN_1) latin_1 = true;
    }
    out->n = 0;
    if (fix_places(text, work, level, out)) return;
    out->n = 0;
    if (latin_1 && fix_all_c1(text, out)) return;
    out->n = 0;
    fix_each_c1(text, out);
}

static bool is_ascii(const tc_points *text) {
    size_t i = 0;
    while (i < text->n && text->at[i] < 0x80) i++;
    return i == text->n;
}

static void fix_encoding(tc_points *text, size_t *work, int level) {
    tc_points out = {0};
    while (!text->failed && tc_spend(work, text->n) && !is_ascii(text) && tc_is_garbled(text->at, text->n)) {
        fix_step(text, work, level, &out);
        bool same = tc_points_equal(text, &out);
        tc_points_swap(text, &out);
        if (same) break;
    }
    tc_points_free(&out);
}

void tc_fix_encoding(tc_points *text, size_t *work) { fix_encoding(text, work, 0); }
