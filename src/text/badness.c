/* badness.c - does a text look like mojibake? A table of short sequences of character classes that hardly
 * occur in real text.
 *
 * The sequences are ftfy 6.3's heuristic (Apache-2.0), written as data: a rule is a row of units, a unit is a
 * set of classes and single characters. */
#include "text/repair.h"

#include <uchar.h>

enum { LONGEST_RULE = 7 };

typedef struct rule_unit {
    uint32_t classes;
    /* more characters that fit, or NULL; a unit without classes and characters ends the rule */
    const char32_t *also;
} rule_unit;

typedef struct rule {
    bool at_start; /* only at the very beginning of the text */
    rule_unit units[LONGEST_RULE];
} rule;

enum {
    COMMON = TC_CHAR_COMMON,
    C1 = TC_CHAR_C1,
    BAD = TC_CHAR_BAD,
    LAW = TC_CHAR_LAW,
    CURRENCY = TC_CHAR_CURRENCY,
    START = TC_CHAR_START_PUNCT,
    END = TC_CHAR_END_PUNCT,
    NUMERIC = TC_CHAR_NUMERIC,
    UPPER = TC_CHAR_UPPER_ACCENTED,
    LOWER = TC_CHAR_LOWER_ACCENTED,
    BOX = TC_CHAR_BOX,
    COMMON_LETTER = TC_CHAR_UPPER_COMMON | TC_CHAR_LOWER_COMMON,
    LATIN = TC_CHAR_LATIN_UPPER | TC_CHAR_LATIN_LOWER,
    SUSPECT = LOWER | UPPER | BOX | START | END | CURRENCY | NUMERIC | LAW,
    ARABIC_SECOND = COMMON | CURRENCY | BAD | NUMERIC | START
};

static const rule rules[] = {
    {false, {{C1, NULL}}},
    {false, {{SUSPECT | BAD, NULL}, {BAD, NULL}}},
    {false, {{LATIN, NULL}, {COMMON_LETTER, NULL}, {BAD, NULL}}},
    {false, {{BAD, NULL}, {SUSPECT, NULL}}},
    {false, {{LOWER | TC_CHAR_LOWER_COMMON | BOX | END | CURRENCY | NUMERIC, NULL}, {UPPER, NULL}}},
    {false, {{BOX | END | CURRENCY | NUMERIC, NULL}, {LOWER, NULL}}},
    {false, {{LOWER | BOX | END, NULL}, {CURRENCY, NULL}}},
    {false, {{TC_CHAR_SPACE, NULL}, {UPPER, NULL}, {CURRENCY, NULL}}},
    {false, {{UPPER | BOX, NULL}, {NUMERIC | LAW, NULL}}},
    {false, {{LOWER | UPPER | BOX | CURRENCY | END, NULL}, {START, NULL}, {NUMERIC, NULL}}},
    {false, {{LOWER | UPPER | CURRENCY | NUMERIC | BOX | LAW, NULL}, {END, NULL}, {START, NULL}}},
    {false, {{CURRENCY | NUMERIC | BOX, NULL}, {START, NULL}}},
    {false, {{TC_CHAR_LATIN_LOWER, NULL}, {UPPER, NULL}, {START | CURRENCY, NULL}}},
    {false, {{BOX, NULL}, {TC_CHAR_KAOMOJI, NULL}}},
    {false, {{LOWER | UPPER | CURRENCY | NUMERIC | START | END | LAW, NULL}, {BOX, NULL}}},
    {false, {{BOX, NULL}, {END, NULL}}},
    {false, {{LOWER | UPPER, NULL}, {START | END, NULL}, {TC_CHAR_WORD, NULL}}},
    /* the ligature, but for the French words */
    {false, {{0, U"Œœ"}, {TC_CHAR_NOT_LATIN, NULL}}},
    {false, {{UPPER, NULL}, {0, U"°"}}},
    /* windows-1252, two characters */
    {false, {{0, U"ÂÃÎÐ"}, {START | END, U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´"}}},
    {false, {{0, U"×"}, {0, U"²³"}}},
    /* windows-1252 of Arabic: common characters, therefore two letters of it */
    {false, {{0, U"ØÙ"}, {ARABIC_SECOND, U"ŸŠ®°µ»"}, {0, U"ØÙ"}, {ARABIC_SECOND, U"ŸŠ®°µ»"}}},
    /* windows-1252 of South Asian scripts */
    {false, {{0, U"à"}, {0, U"²µ¹¼½¾"}}},
    /* MacRoman */
    {false, {{0, U"√"}, {0, U"±∂†≠®™´≤≥¥µø"}}},
    {false, {{0, U"≈"}, {0, U"°¢"}}},
    {false, {{0, U"‚"}, {0, U"Ä"}, {0, U"ìîïòôúùû†°¢π"}}},
    {false, {{0, U"‚"}, {0, U"âó"}, {0, U"àä°ê"}}},
    /* windows-1251: of punctuation, of Latin-1 or Cyrillic, twice over */
    {false, {{0, U"в"}, {0, U"Ђ"}}},
    {false, {{0, U"ВГРС"}, {C1 | BAD | START | END | CURRENCY, U"°µ"}, {0, U"ВГРС"}}},
    {false,
     {{0, U"Г"}, {0, U"ў"}, {0, U"В"}, {0, U"Ђ"}, {0, U"В"}, {TC_CHAR_NOT_NEWLINE, NULL}, {LATIN, U" "}}},
    /* windows-1252 of "à", "á" and the no-break space */
    {false, {{0, U"Ã"}, {0, U"\u00a0¡"}}},
    {false, {{TC_CHAR_LATIN_LOWER, NULL}, {0, U"ÃÂ"}, {0, U" "}}},
    {false, {{TC_CHAR_LATIN_LOWER, NULL}, {TC_CHAR_SPACE, NULL}, {0, U"ÃÂ"}, {0, U" "}}},
    {true, {{0, U"ÃÂ"}, {0, U" "}}},
    /* "Â" before a character that is itself its second half */
    {false, {{TC_CHAR_LATIN_LOWER | END, U".,?!"}, {0, U"Â"}, {START | END, U" "}}},
    /* windows-1253: of punctuation, of Latin-1 or Greek */
    {false, {{0, U"β"}, {0, U"€"}, {0, U"™\u00a0Ά\u00ad®°"}}},
    {false, {{0, U"ΒΓΞΟ"}, {C1 | BAD | START | END | CURRENCY, U"°"}, {0, U"ΒΓΞΟ"}}},
    /* windows-1257 of punctuation */
    {false, {{0, U"ā"}, {0, U"€"}}},
};

typedef struct seen {
    uint32_t c, classes;
} seen;

static bool unit_fits(const rule_unit *u, const seen *s) {
    if (u->classes & s->classes) return true;
    for (const char32_t *also = u->also; also && *also; also++) {
        if (*also == s->c) return true;
    }
    return false;
}

static bool rule_fits(const rule *r, const seen window[LONGEST_RULE]) {
    for (size_t k = 0; k < LONGEST_RULE && (r->units[k].classes || r->units[k].also); k++) {
        if (!unit_fits(&r->units[k], &window[k])) return false;
    }
    return true;
}

bool tc_is_garbled(const uint32_t *c, size_t n) {
    /* what lies past the end has no class and is character 0, which no rule names */
    seen window[LONGEST_RULE] = {{0, 0}};
    for (size_t i = 0; i < n + LONGEST_RULE - 1; i++) {
        for (size_t k = 1; k < LONGEST_RULE; k++) window[k - 1] = window[k];
        window[LONGEST_RULE - 1] = i < n ? (seen){c[i], tc_point_classes(c[i])} : (seen){0, 0};
        if (i + 1 < LONGEST_RULE) continue;
        size_t start = i + 1 - LONGEST_RULE;
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
            if ((!rules[r].at_start || start == 0) && rule_fits(&rules[r], window)) return true;
        }
    }
    return false;
}
