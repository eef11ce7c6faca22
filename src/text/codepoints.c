/* codepoints.c - arrays of code points: UTF-8 both ways, composition, lower case, and what kind of character
 * each is.
 *
 * Unicode properties come from utf8proc; char_tables.c adds what the reference tokenizers know beyond it. */
#include "text/codepoints.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void tc_points_free(tc_points *p) {
    free(p->at);
    memset(p, 0, sizeof *p);
}

static bool points_reserve(tc_points *p, size_t more) {
    size_t n;
    if (p->failed || !tc_add(p->n, more, &n) ||
        (n > p->capacity && !tc_grow(&p->at, &p->capacity, n, sizeof *p->at))) {
        p->failed = true;
        return false;
    }
    return true;
}

void tc_points_add(tc_points *p, uint32_t c) {
    if (p->n < p->capacity || points_reserve(p, 1)) p->at[p->n++] = c;
}

void tc_points_append(tc_points *p, const uint32_t *c, size_t n) {
    if (n == 0 || !points_reserve(p, n)) return;
    memcpy(p->at + p->n, c, n * sizeof *c);
    p->n += n;
}

void tc_points_swap(tc_points *a, tc_points *b) {
    bool failed = a->failed || b->failed;
    tc_points t = *a;
    *a = *b;
    *b = t;
    a->failed = b->failed = failed;
}

bool tc_points_equal(const tc_points *a, const tc_points *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n * sizeof *a->at) == 0);
}

/* ---- UTF-8 */

/* The first continuation byte is what excludes overlong forms, surrogates and numbers past U+10FFFF. */
static void second_byte_range(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xBF;
    if (lead == 0xE0) *low = 0xA0;
    if (lead == 0xED) *high = 0x9F;
    if (lead == 0xF0) *low = 0x90;
    if (lead == 0xF4) *high = 0x8F;
}

/* Bytes of a sequence by its first one; 0: none begins so. */
static size_t sequence_length(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead >= 0xF5) return 0;
    return 2 + (lead >= 0xE0) + (lead >= 0xF0);
}

size_t tc_point_decode(const uint8_t *s, size_t size, uint32_t *c, size_t *skip) {
    size_t length = sequence_length(s[0]), i = 1;
    uint8_t low, high;
    second_byte_range(s[0], &low, &high);
    uint32_t value = length == 1 ? s[0] : s[0] & (0xFFu >> (length + 1));
    for (; i < length && i < size && s[i] >= low && s[i] <= high; i++) {
        value = value << 6 | (s[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    if (skip) *skip = i;
    if (length == 0 || i < length) return 0;
    *c = value;
    return length;
}

void tc_points_decode(tc_points *p, const char *utf8, size_t size) {
    const uint8_t *s = (const uint8_t *)utf8;
    if (!points_reserve(p, size)) return;
    for (size_t i = 0; i < size;) {
        uint32_t c = 0xFFFD;
        size_t skip;
        size_t length = tc_point_decode(s + i, size - i, &c, &skip);
        p->at[p->n++] = c;
        i += length ? length : skip;
    }
}

size_t tc_point_encode(uint32_t c, uint8_t out[4]) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t length = 2 + (c >= 0x800) + (c >= 0x10000);
    for (size_t i = length - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)((0xF00u >> length) | c);
    return length;
}

void tc_points_encode(const uint32_t *c, size_t n, tc_buf *out) {
    uint8_t bytes[4];
    for (size_t i = 0; i < n; i++) tc_buf_add(out, bytes, tc_point_encode(c[i], bytes));
}

/* ---- tables */

static int32_t range_value(const tc_point_range *ranges, size_t count, uint32_t c) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > ranges[mid].last) {
            low = mid + 1;
        } else if (c < ranges[mid].first) {
            high = mid;
        } else {
            return ranges[mid].value;
        }
    }
    return 0;
}

static int32_t properties(uint32_t c) { return range_value(tc_point_ranges, tc_point_range_count, c); }

/* ---- composition */

static unsigned combining_class(uint32_t c) {
    return (unsigned)utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

/* Sorts a run of combining marks by class, keeping the order within one class: by counting, because
 * utf8proc's own exchange sort takes quadratic time on the long runs that hostile text has. */
static bool sort_marks(uint32_t *c, size_t n) {
    size_t start[257] = {0};
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        start[combining_class(c[i]) + 1]++;
        sorted = sorted && (i == 0 || combining_class(c[i - 1]) <= combining_class(c[i]));
    }
    if (sorted) return true;
    uint32_t *copy = tc_new(n, sizeof *copy);
    if (!copy) return false;
    memcpy(copy, c, n * sizeof *c);
    for (size_t k = 1; k < 257; k++) start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++) c[start[combining_class(copy[i])]++] = copy[i];
    free(copy);
    return true;
}

static void decompose(const uint32_t *c, size_t n, tc_points *out) {
    for (size_t i = 0; i < n; i++) {
        utf8proc_int32_t parts[16];
        int boundary = 0;
        utf8proc_ssize_t count =
            utf8proc_decompose_char((utf8proc_int32_t)c[i], parts, 16, UTF8PROC_DECOMPOSE, &boundary);
        if (count < 1 || count > 16) tc_points_add(out, c[i]);
        for (utf8proc_ssize_t k = 0; k < count && count <= 16; k++) tc_points_add(out, (uint32_t)parts[k]);
    }
    for (size_t i = 0; i < out->n && !out->failed;) {
        size_t start = i;
        while (i < out->n && combining_class(out->at[i]) != 0) i++;
        if (i - start > 1 && !sort_marks(out->at + start, i - start)) out->failed = true;
        i += i == start;
    }
}

static void compose(const uint32_t *c, size_t n, tc_points *out) {
    tc_points parts = {0};
    decompose(c, n, &parts);
    if (parts.failed) {
        out->failed = true;
    } else if (parts.n > 0) {
        utf8proc_int32_t *at = (utf8proc_int32_t *)parts.at;
        utf8proc_ssize_t count =
            utf8proc_normalize_utf32(at, (utf8proc_ssize_t)parts.n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        tc_points_append(out, parts.at, count > 0 ? (size_t)count : 0);
    }
    tc_points_free(&parts);
}

void tc_points_nfc(const uint32_t *c, size_t n, tc_tokenizer_kind kind, tc_points *out) {
    int32_t unknown = kind == TC_TOKENIZER_HF ? TC_POINT_MARK_HF : TC_POINT_MARK_OPENCLIP;
    bool plain = true; /* below the first combining mark nothing composes */
    for (size_t i = 0; i < n && plain; i++) plain = c[i] < 0x300;
    if (plain) {
        tc_points_append(out, c, n);
        return;
    }
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        /* A mark that the reference does not know is a character of its own to it: nothing moves or composes
         * across. */
        if (c[i] < 0x300 || !(properties(c[i]) & unknown)) continue;
        compose(c + start, i - start, out);
        tc_points_add(out, c[i]);
        start = i + 1;
    }
    compose(c + start, n - start, out);
}

/* ---- properties */

bool tc_point_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static tc_point_kind kind_of_category(uint32_t c) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return TC_POINT_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return TC_POINT_NUMBER;
    return TC_POINT_OTHER;
}

tc_point_kind tc_point_classify(uint32_t c, tc_tokenizer_kind kind) {
    if (tc_point_is_space(c)) return TC_POINT_SPACE;
    /* Case-insensitive matching knows U+0345 as a form of iota, and so it is in no class of OpenCLIP's
     * pattern: it disappears. */
    if (c == 0x345 && kind == TC_TOKENIZER_OPENCLIP) return TC_POINT_SPACE;
    tc_point_kind k = kind_of_category(c);
    if (k != TC_POINT_OTHER || c < 0x80) return k;
    int32_t bits = properties(c);
    bool hf = kind == TC_TOKENIZER_HF;
    if (bits & (hf ? TC_POINT_LETTER_HF : TC_POINT_LETTER_OPENCLIP)) return TC_POINT_LETTER;
    if (bits & (hf ? TC_POINT_NUMBER_HF : TC_POINT_NUMBER_OPENCLIP)) return TC_POINT_NUMBER;
    return TC_POINT_OTHER;
}

const tc_legacy_char *tc_legacy_find(uint32_t c) {
    size_t low = 0, high = tc_legacy_char_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (tc_legacy_chars[mid].code == c) return &tc_legacy_chars[mid];
        if (tc_legacy_chars[mid].code < c) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

uint32_t tc_point_classes(uint32_t c) {
    uint32_t classes = c == '\n' ? 0 : TC_CHAR_NOT_NEWLINE;
    bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
    if (upper) classes |= TC_CHAR_LATIN_UPPER;
    if (lower) classes |= TC_CHAR_LATIN_LOWER;
    if (!upper && !lower) classes |= TC_CHAR_NOT_LATIN;
    /* U+001C to U+001F are white space to Python's re, but not to Unicode. */
    if (tc_point_is_space(c) || (c >= 0x1C && c <= 0x1F)) classes |= TC_CHAR_SPACE;
    if (upper || lower || c == '_' || (c >= '0' && c <= '9')) classes |= TC_CHAR_WORD;
    if (c == ' ') classes |= TC_CHAR_CONTINUATION; /* it may have been U+00A0 */
    if (c < 0x80) return classes;
    if (kind_of_category(c) != TC_POINT_OTHER) classes |= TC_CHAR_WORD;
    const tc_legacy_char *legacy = tc_legacy_find(c);
    return legacy ? classes | legacy->classes : classes;
}

/* ---- lower case */

/* Unicode's Final_Sigma: a cased letter before it and none after it, ignorable characters between them left
 * aside. */
static bool is_final_sigma(const uint32_t *c, size_t n, size_t i) {
    size_t before = i, after = i + 1;
    while (before > 0 && (properties(c[before - 1]) & TC_POINT_IGNORABLE)) before--;
    if (before == 0 || !(properties(c[before - 1]) & TC_POINT_CASED)) return false;
    while (after < n && (properties(c[after]) & TC_POINT_IGNORABLE)) after++;
    return after == n || !(properties(c[after]) & TC_POINT_CASED);
}

void tc_points_lower(const uint32_t *c, size_t n, tc_tokenizer_kind kind, tc_points *out) {
    bool hf = kind == TC_TOKENIZER_HF;
    for (size_t i = 0; i < n; i++) {
        uint32_t low = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c[i]);
        if (hf && low == c[i] && c[i] >= 0x80) {
            low =
                (uint32_t)((int32_t)c[i] + range_value(tc_newer_lower_case, tc_newer_lower_case_count, c[i]));
        }
        if (c[i] == 0x3A3 && !hf && is_final_sigma(c, n, i)) low = 0x3C2;
        tc_points_add(out, low);
        if (c[i] == 0x130) tc_points_add(out, 0x307); /* the one letter whose lower case is two characters */
    }
}
