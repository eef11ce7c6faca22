#!/usr/bin/env python3
"""make_text_tables.py TABLES.c ENTITIES.txt - writes the facts about characters that text cleaning needs.

Sources: the character classes and the list of encodings of the PyPI package ftfy (Apache-2.0), Python's codecs,
html.entities and str.lower (PSF licence), and the Unicode properties that the packages regex and tokenizers use. Run it
with the Python whose behaviour is wanted: the reference is Python 3.11.
"""
import html
import html.entities
import re
import sys
import unicodedata

import ftfy.chardata
import regex
from ftfy.badness import MOJIBAKE_CATEGORIES
from tokenizers import Regex, normalizers, pre_tokenizers

# In the order of the bits of tc_char_class (char_tables.h).
CLASSES = ["common", "c1", "bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "kaomoji",
           "upper_accented", "lower_accented", "upper_common", "lower_common", "box"]
CLUES = ["utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation", "utf8_continuation_strict"]
CASED, IGNORABLE, LETTER_OPENCLIP, NUMBER_OPENCLIP, LETTER_HF, NUMBER_HF = 1, 2, 4, 8, 16, 32
MARK_OPENCLIP, MARK_HF = 64, 128


def characters():
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            yield c, chr(c)


def legacy_characters():
    """(code, classes, byte in each encoding or 0) of every character above ASCII that mojibake is made of."""
    patterns = [re.compile("[" + MOJIBAKE_CATEGORIES[n] + "]") for n in CLASSES]
    patterns += [re.compile("[" + ftfy.chardata.UTF8_CLUES[n] + "]") for n in CLUES]
    for c in range(0x80, 0x10000):
        classes = sum(1 << i for i, p in enumerate(patterns) if p.match(chr(c)))
        encoded = []
        for name in ftfy.chardata.CHARMAP_ENCODINGS:
            possible = not 0xD800 <= c < 0xE000 and ftfy.chardata.possible_encoding(chr(c), name)
            encoded.append(chr(c).encode(name)[0] if possible else 0)
        if classes or any(encoded):
            yield c, classes, encoded


def hf_class(pattern, ch):
    if len(pattern.pre_tokenize_str("a" + ch + "a")) == 1:
        return LETTER_HF
    return 0 if len(pattern.pre_tokenize_str("!" + ch + "!")) == 1 else NUMBER_HF


def is_reordered(ch, normalize):
    """Whether the normaliser knows that ch is a combining mark: it moves before the highest class or behind the lowest one."""
    return normalize("\u0345" + ch) != "\u0345" + ch or normalize(ch + "\u0334") != ch + "\u0334"


def point_properties():
    """Property bits of each code point: what decides the final sigma, letters and numbers newer than Unicode 14, and marks that the
    normaliser of either reference does not know, or not to compose."""
    mark, nfc = regex.compile(r"\p{M}"), normalizers.NFC()
    decomposed = [unicodedata.normalize("NFD", ch) for _, ch in characters()]
    loose = {d[-1] for d in decomposed if unicodedata.normalize("NFC", d) != nfc.normalize_str(d)}
    letter, number = regex.compile(r"\p{L}"), regex.compile(r"\p{N}")
    split = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True)
    for c, ch in characters():
        bits = 0
        after = (ch + "\u03a3").lower().endswith("\u03c2")
        if after:
            bits |= CASED
        elif ("A" + ch + "\u03a3").lower().endswith("\u03c2"):
            bits |= IGNORABLE
        if unicodedata.category(ch)[0] not in "LN" and not ch.isspace():
            bits |= LETTER_OPENCLIP if letter.match(ch) else NUMBER_OPENCLIP if number.match(ch) else 0
            if unicodedata.category(ch) == "Cn":
                bits |= hf_class(split, ch)
        if mark.match(ch) and unicodedata.category(ch) == "Cn":
            bits |= MARK_OPENCLIP | MARK_HF
        elif ch in loose or (unicodedata.combining(ch) and not is_reordered(ch, nfc.normalize_str)):
            bits |= MARK_HF
        yield c, bits


def lower_pairs():
    """(code, lower case) where transformers' Unicode has a pair and Python's has none."""
    lower = normalizers.Lowercase()
    for c, ch in characters():
        low = lower.normalize_str(ch)
        if low != ch and ch.lower() == ch:
            yield c, ord(low) - c


def ranges(items):
    out = []
    for c, value in items:
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        elif value:
            out.append([c, c, value])
    return out


def entities():
    """name (without & and ;) -> [flags, value]. h: HTML5's, with a semicolon; b: also without one; u: ftfy's upper-case form."""
    known = {}
    for name, value in html.entities.html5.items():
        if name.endswith(";"):
            known.setdefault(name[:-1], ["h", value])
    for name, value in html.entities.html5.items():
        if not name.endswith(";"):
            assert known[name][1] == value
            known[name][0] = "b"
    for name, value in ftfy.chardata.HTML_ENTITIES.items():
        known.setdefault(name[1:-1], ["u", value])
    return known


def rows(items, per_line):
    items = list(items)
    for i in range(0, len(items), per_line):
        yield "    " + " ".join(items[i:i + per_line])


def main():
    print(f"Python's Unicode is {unicodedata.unidata_version}, ftfy {ftfy.__version__}, regex {regex.__version__}")
    out = ["/* char_tables.c - made by scripts/make_text_tables.py; do not edit. Facts about characters, from ftfy 6.3's character classes",
           " * (Apache-2.0), from Python's codecs and str.lower, and from the Unicode properties of regex and tokenizers. */",
           '#include "text/char_tables.h"', "", "const tc_legacy_char tc_legacy_chars[] = {"]
    legacy = list(legacy_characters())
    out += rows((f"{{0x{c:04x}, 0x{m:05x}, {{{', '.join(str(b) for b in e)}}}}}," for c, m, e in legacy), 2)
    out += ["};", f"const size_t tc_legacy_char_count = {len(legacy)};", "", "const uint16_t tc_windows_1252[32] = {"]
    out += rows((f"0x{ord(bytes([b]).decode('sloppy-windows-1252')):04x}," for b in range(0x80, 0xA0)), 16)
    points = ranges(point_properties())
    out += ["};", "", "const tc_point_range tc_point_ranges[] = {"]
    out += rows((f"{{0x{a:x}, 0x{b:x}, {v}}}," for a, b, v in points), 5)
    out += ["};", f"const size_t tc_point_range_count = {len(points)};", ""]
    lower = ranges(lower_pairs())
    out += ["const tc_point_range tc_newer_lower_case[] = {"]
    out += rows((f"{{0x{a:x}, 0x{b:x}, {v}}}," for a, b, v in lower), 6)
    out += ["};", f"const size_t tc_newer_lower_case_count = {len(lower)};", ""]
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write("\n".join(out))
    with open(sys.argv[2], "w", encoding="ascii") as f:
        for name, (flag, value) in sorted(entities().items()):
            f.write(f"{name} {flag} {' '.join(f'{ord(v):X}' for v in value)}\n")


main()
