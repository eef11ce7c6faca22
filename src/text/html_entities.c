/* html_entities.c - HTML character references, in the two strengths that cleaning uses.
 *
 * data/html-entities.txt holds the names, one a line in byte order: name, flag, code points in hexadecimal.
 * It is searched where it lies, because a table built at start-up would cost more than the few references
 * that captions have. */
#include "text/repair.h"

#include <string.h>

extern const char tc_file_data_html_entities_txt[], tc_file_data_html_entities_txt_end[];

enum { NAME_MAX_LENGTH = 32 };

/* <0, 0, >0 as name[n] sorts against the name that starts at line. */
static int compare_name(const char *name, size_t n, const char *line) {
    size_t i = 0;
    while (i < n && line[i] != ' ' && line[i] == name[i]) i++;
    if (i == n) return line[i] == ' ' ? 0 : -1;
    return line[i] == ' ' ? 1 : (unsigned char)name[i] - (unsigned char)line[i];
}

/* The line of the table with this name, just behind the name: " FLAG HEX..."; NULL if there is none. */
static const char *find_name(const char *name, size_t n) {
    const char *low = tc_file_data_html_entities_txt, *high = tc_file_data_html_entities_txt_end;
    while (low < high) {
        const char *line = low + (high - low) / 2;
        while (line > low && line[-1] != '\n') line--;
        int order = compare_name(name, n, line);
        if (order == 0) return line + n;
        if (order < 0) {
            high = line;
        } else {
            low = (const char *)memchr(line, '\n', (size_t)(high - line)) + 1;
        }
    }
    return NULL;
}

/* Appends the characters of the reference if the table has the name with one of these flags. */
static bool add_named(const char *name, size_t n, const char *flags, tc_points *out) {
    const char *entry = n > 0 && n <= NAME_MAX_LENGTH ? find_name(name, n) : NULL;
    if (!entry || !strchr(flags, entry[1])) return false;
    for (const char *s = entry + 2; *s == ' ';) {
        uint32_t c = 0;
        for (s++; *s != ' ' && *s != '\n'; s++) c = c * 16 + (uint32_t)(*s <= '9' ? *s - '0' : *s - 'A' + 10);
        tc_points_add(out, c);
    }
    return true;
}

/* HTML5's rules for the number of a reference: what it stands for, or nothing at all. */
static void add_numbered(uint32_t number, tc_points *out) {
    bool control = number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r';
    if (number >= 0x80 && number <= 0x9F) {
        tc_points_add(out, tc_windows_1252[number - 0x80]);
    } else if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF) {
        tc_points_add(out, 0xFFFD);
    } else if (!control && number != 0x7F && !(number >= 0xFDD0 && number <= 0xFDEF) &&
               (number & 0xFFFE) != 0xFFFE) {
        tc_points_add(out, number);
    }
}

static int digit_value(uint32_t c, uint32_t base) {
    if (c >= '0' && c <= '9') return (int)(c - '0');
    if (base == 16 && c >= 'a' && c <= 'f') return (int)(c - 'a') + 10;
    if (base == 16 && c >= 'A' && c <= 'F') return (int)(c - 'A') + 10;
    return -1;
}

/* The number behind "&#" at c: returns its length without a semicolon, 0 if there is no number. Large ones
 * stay above U+10FFFF. */
static size_t read_number(const uint32_t *c, size_t n, uint32_t *number) {
    bool hex = n > 0 && (c[0] == 'x' || c[0] == 'X');
    uint32_t base = hex ? 16 : 10;
    size_t i = hex;
    *number = 0;
    for (; i < n && digit_value(c[i], base) >= 0; i++) {
        *number = *number * base + (uint32_t)digit_value(c[i], base);
        if (*number > 0x110000) *number = 0x110000;
    }
    return i > hex ? i : 0;
}

/* Copies the ASCII characters at c to name, up to the first other one; returns their number. */
static size_t read_ascii(const uint32_t *c, size_t n, char name[NAME_MAX_LENGTH]) {
    size_t i = 0;
    for (; i < n && i < NAME_MAX_LENGTH && c[i] < 0x80; i++) name[i] = (char)c[i];
    return i;
}

static bool ends_name(uint32_t c) {
    return c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';';
}

/* Resolves a name behind "&"; returns how many characters of c are used up, 0 if it is no reference. */
static size_t unescape_name(const uint32_t *c, size_t n, tc_points *out) {
    size_t length = 0;
    while (length < n && length < NAME_MAX_LENGTH && !ends_name(c[length])) length++;
    char name[NAME_MAX_LENGTH];
    size_t ascii = read_ascii(c, length, name);
    if (ascii == length && length < n && c[length] == ';' && add_named(name, length, "hb", out))
        return length + 1;
    for (size_t k = ascii; k >= 2; k--) {
        if (add_named(name, k, "b", out)) return k;
    }
    return 0;
}

void tc_html_unescape(const uint32_t *c, size_t n, tc_points *out) {
    for (size_t i = 0; i < n;) {
        size_t used = 0;
        if (c[i] == '&' && i + 1 < n && c[i + 1] == '#') {
            uint32_t number;
            used = read_number(c + i + 2, n - i - 2, &number);
            if (used > 0) {
                add_numbered(number, out);
                used += 1;
                if (i + 1 + used < n && c[i + 1 + used] == ';') used++;
            }
        } else if (c[i] == '&') {
            used = unescape_name(c + i + 1, n - i - 1, out);
        }
        if (used == 0) tc_points_add(out, c[i]);
        i += used + 1;
    }
}

/* Resolves "&#?[0-9A-Za-z]{1,24};" at c; returns how many characters are used up, 0 if it is no reference
 * that ftfy knows. */
static size_t unescape_strict_at(const uint32_t *c, size_t n, tc_points *out) {
    enum { MOST = 24 };
    char name[NAME_MAX_LENGTH];
    size_t start = n > 1 && c[1] == '#' ? 2 : 1, length = 0;
    while (start + length < n && length < MOST && (tc_point_classes(c[start + length]) & TC_CHAR_WORD) &&
           c[start + length] < 0x80 && c[start + length] != '_') {
        name[length] = (char)c[start + length];
        length++;
    }
    if (length == 0 || start + length >= n || c[start + length] != ';') return 0;
    if (start == 1) return add_named(name, length, "hbu", out) ? length + 2 : 0;
    uint32_t number;
    /* A reference to the semicolon itself stays: ftfy takes a semicolon in the result for an unfinished one.
     */
    if (read_number(c + 2, length, &number) != length || number == ';') return 0;
    add_numbered(number, out);
    return length + 3;
}

void tc_html_unescape_strict(const uint32_t *c, size_t n, tc_points *out) {
    for (size_t i = 0; i < n;) {
        size_t used = c[i] == '&' ? unescape_strict_at(c + i, n - i, out) : 0;
        if (used == 0) tc_points_add(out, c[i]);
        i += used ? used : 1;
    }
}
