/* repair.c - ftfy's fix_text with default settings: line by line, all repairs in a fixed order, again until
 * nothing changes.
 *
 * Surrogates need no repair here: a tc_points has none. */
#include "text/repair.h"

#include <string.h>
#include <utf8proc.h>

/* Longer lines are cut here. */
enum { LONGEST_SEGMENT = 1000000 };

/* A hostile text can need as many rounds as it has characters. What the rounds may look at together is
 * bounded by this much for each character and this much for any text: no real text comes near, and a megabyte
 * takes seconds at worst. */
enum { WORK_PER_CHARACTER = 64, WORK_AT_LEAST = 50000000 };

typedef struct ligature {
    uint32_t code, parts[3]; /* 0: none */
} ligature;

static const ligature ligatures[] = {
    {0x132, {'I', 'J', 0}},    {0x133, {'i', 'j', 0}},   {0x149, {0x2BC, 'n', 0}},  {0x1C4, {'D', 0x17D, 0}},
    {0x1C5, {'D', 0x17E, 0}},  {0x1C6, {'d', 0x17E, 0}}, {0x1C7, {'L', 'J', 0}},    {0x1C8, {'L', 'j', 0}},
    {0x1C9, {'l', 'j', 0}},    {0x1CA, {'N', 'J', 0}},   {0x1CB, {'N', 'j', 0}},    {0x1CC, {'n', 'j', 0}},
    {0x1F1, {'D', 'Z', 0}},    {0x1F2, {'D', 'z', 0}},   {0x1F3, {'d', 'z', 0}},    {0xFB00, {'f', 'f', 0}},
    {0xFB01, {'f', 'i', 0}},   {0xFB02, {'f', 'l', 0}},  {0xFB03, {'f', 'f', 'i'}}, {0xFB04, {'f', 'f', 'l'}},
    {0xFB05, {0x17F, 't', 0}}, {0xFB06, {'s', 't', 0}},
};

static uint32_t straight_quote(uint32_t c) {
    if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return '\'';
    return c >= 0x201C && c <= 0x201F ? '"' : c;
}

/* Half- and fullwidth forms as their ordinary character. */
static void add_with_width(uint32_t c, tc_points *out) {
    utf8proc_int32_t parts[8];
    int boundary = 0;
    utf8proc_ssize_t n = 0;
    if (c >= 0xFF01 && c <= 0xFFEF) {
        n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, 8, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
                                    &boundary);
    }
    if (n < 1 || n > 8) tc_points_add(out, c == 0x3000 ? ' ' : c);
    for (utf8proc_ssize_t i = 0; i < n && n <= 8; i++) tc_points_add(out, straight_quote((uint32_t)parts[i]));
}

/* Ligatures, widths and quotes in one pass, each of which can only produce what the ones behind it still see.
 */
static void simplify(const tc_points *text, tc_points *out) {
    for (size_t i = 0; i < text->n; i++) {
        uint32_t c = text->at[i];
        /* C1 controls that the mojibake repair did not reach */
        if (c >= 0x80 && c <= 0x9F) c = tc_windows_1252[c - 0x80];
        size_t k = 0, count = sizeof ligatures / sizeof *ligatures;
        if (c >= 0x132) {
            while (k < count && ligatures[k].code != c) k++;
        } else {
            k = count;
        }
        if (k == count) {
            add_with_width(straight_quote(c), out);
        } else {
            for (size_t part = 0; part < 3 && ligatures[k].parts[part]; part++)
                tc_points_add(out, straight_quote(ligatures[k].parts[part]));
        }
    }
}

/* All line breaks as \n; \r\n is one. */
static void unify_lines(tc_points *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        uint32_t c = text->at[i];
        if (c == '\r' && i + 1 < text->n && text->at[i + 1] == '\n') continue;
        text->at[n++] = c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85 ? '\n' : c;
    }
    text->n = n;
}

/* Length of a terminal's escape sequence at c: ESC [ digits and semicolons, a letter; 0 if there is none. */
static size_t terminal_escape(const uint32_t *c, size_t n) {
    size_t i = 2;
    if (n < 3 || c[0] != 0x1B || c[1] != '[') return 0;
    while (i < n && (c[i] == ';' || utf8proc_category((utf8proc_int32_t)c[i]) == UTF8PROC_CATEGORY_ND)) i++;
    return i < n && ((c[i] >= 'A' && c[i] <= 'Z') || (c[i] >= 'a' && c[i] <= 'z')) ? i + 1 : 0;
}

static bool is_unwanted_control(uint32_t c) {
    if (c < 0x20) return c != '\t' && c != '\n' && c != '\f' && c != '\r';
    return c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

static void remove_controls(tc_points *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->n;) {
        size_t escape = terminal_escape(text->at + i, text->n - i);
        if (escape == 0 && !is_unwanted_control(text->at[i])) text->at[n++] = text->at[i];
        i += escape ? escape : 1;
    }
    text->n = n;
}

/* All repairs of one line, until they change nothing. */
static void repair_segment(tc_points *text, bool unescape, size_t *work) {
    tc_points before = {0}, next = {0};
    bool changed = true;
    while (changed && !text->failed && tc_spend(work, text->n)) {
        before.n = 0;
        tc_points_append(&before, text->at, text->n);
        if (unescape) {
            next.n = 0;
            tc_html_unescape_strict(text->at, text->n, &next);
            tc_points_swap(text, &next);
        }
        tc_fix_encoding(text, work);
        next.n = 0;
        simplify(text, &next);
        unify_lines(&next);
        remove_controls(&next);
        text->n = 0;
        tc_points_nfc(next.at, next.n, TC_TOKENIZER_OPENCLIP, text);
        text->failed |= next.failed || before.failed;
        changed = !tc_points_equal(text, &before);
    }
    tc_points_free(&before);
    tc_points_free(&next);
}

/* Where the segment that starts at `start` ends: behind its line break, or after the longest length. */
static size_t segment_end(const tc_points *text, size_t start) {
    size_t end = start;
    while (end < text->n && end - start < LONGEST_SEGMENT && text->at[end] != '\n') end++;
    return end < text->n && end - start < LONGEST_SEGMENT ? end + 1 : end;
}

void tc_repair_text(tc_points *text) {
    tc_points out = {0}, segment = {0};
    size_t work = text->n * WORK_PER_CHARACTER + WORK_AT_LEAST;
    /* until a line holds "<": then the text is likely to be HTML itself, and its entities are meant */
    bool unescape = true;
    for (size_t start = 0; start < text->n && !text->failed;) {
        size_t end = segment_end(text, start);
        for (size_t i = start; i < end; i++) unescape = unescape && text->at[i] != '<';
        segment.n = 0;
        tc_points_append(&segment, text->at + start, end - start);
        repair_segment(&segment, unescape, &work);
        tc_points_append(&out, segment.at, segment.n);
        out.failed |= segment.failed;
        start = end;
    }
    tc_points_swap(text, &out);
    tc_points_free(&out);
    tc_points_free(&segment);
}
