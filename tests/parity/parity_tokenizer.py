#!/usr/bin/env python3
"""parity_tokenizer.py [--library build/libtinyclip.so] [--count N] [--seed S] [--points] [--write-hf DIR]

Compares the tokenizers with open_clip's SimpleTokenizer and transformers' CLIPTokenizer on generated texts: mojibake of several
scripts through several encodings, HTML entities, emoji, control characters, right-to-left and combining text, and mixtures. --points adds
every code point of Unicode by itself and between letters. Prints the differences found and their rate; exit code 1 if there are any.
Needs open_clip_torch, ftfy and transformers from PyPI.
"""
import argparse
import ctypes
import html.entities
import json
import os
import random
import sys
import tempfile
import unicodedata

os.environ.setdefault("HF_HUB_OFFLINE", "1")
CONTEXT = 77


class Library:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.tc_tokenizer_encode_n.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int] + [ctypes.c_void_p] * 4
        self.lib.tc_tokenizer_clean_n.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t] + [ctypes.c_void_p] * 3
        self.free = ctypes.CDLL(None).free
        self.free.argtypes = [ctypes.c_void_p]

    def _object(self, function, *args):
        t, error = ctypes.c_void_p(), ctypes.create_string_buffer(2048)
        if function(ctypes.byref(t), *args, error) != 0:
            sys.exit(error.raw[4:].split(b"\0")[0].decode())
        return t

    def create(self, kind):
        return self._object(self.lib.tc_tokenizer_create, kind)

    def open(self, folder, kind):
        return self._object(self.lib.tc_tokenizer_open, folder.encode(), kind)

    def encode(self, t, text):
        ids, data = (ctypes.c_int32 * CONTEXT)(), text.encode()
        assert self.lib.tc_tokenizer_encode_n(t, data, len(data), CONTEXT, ids, None, None, None) == 0
        return list(ids)

    def clean(self, t, text):
        out, size, data = ctypes.c_void_p(), ctypes.c_size_t(), text.encode()
        assert self.lib.tc_tokenizer_clean_n(t, data, len(data), ctypes.byref(out), ctypes.byref(size), None) == 0
        cleaned = ctypes.string_at(out, size.value).decode()
        self.free(out)
        return cleaned


class References:
    def __init__(self, library):
        from open_clip.tokenizer import SimpleTokenizer
        from transformers import CLIPTokenizer
        self.openclip = SimpleTokenizer()
        with tempfile.TemporaryDirectory() as folder:
            write_hf(library, folder)
            self.hf = CLIPTokenizer.from_pretrained(folder)

    def openclip_ids(self, text):
        return self.openclip([text], CONTEXT)[0].tolist()

    def hf_ids(self, text):
        return self.hf(text, padding="max_length", truncation=True, max_length=CONTEXT)["input_ids"]


def write_hf(library, folder):
    error = ctypes.create_string_buffer(2048)
    if library.lib.tc_tokenizer_write_hf(library.create(1), folder.encode(), error) != 0:
        sys.exit(error.raw[4:].split(b"\0")[0].decode())


# ---- texts

SCRIPTS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœŠšŽžÀÉÈÜÖÄÑÇ",
    "central": "ąćęłńóśźżĄĆĘŁŃÓŚŹŻčďěňřšťůžőűăâîșțğışİ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИІЇЄҐ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωΑΒΓΔΕΖΗΘΣΩάέήίόύώΆϊΐ",
    "baltic": "āčēģīķļņšūžĀČĒĢĪĶĻŅŠŪŽėįųąę",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويءةىآ",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשתםןץףך\u05b0\u05b4\u05bc",
    "thai": "กขคงจฉชซฌญดตถทธนบปผฝพฟภมยรลวศษสหฬอฮะาำิีึืุูเแโใไ่้๊๋",
    "devanagari": "अआइईउऊएऐओऔकखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुूेैोौ्ं",
    "cjk": "日本語中文字漢國한국어조선글ひらがなカタカナー、。「」",
    "emoji": "😀😍🎉🐱🏳️‍🌈👩‍👩‍👧👍🏽❤️🇩🇪☀️⚡✨",
    "punctuation": "“”‘’–—…•«»¡¿€£¥©®™°±²³½×÷§¶†‡‰‹›",
    "box": "│┌┐└┘├┤┬┴┼═║╒╓╔▀▄█▌▐░▒▓■∙√ⁿ",
    "width": "ＡＢＣａｂｃ１２３！？　ｱｲｳｴｵｶﾞﾊﾟﾡﾢ￠￡￥",
    "ligatures": "ﬁﬂﬀﬃﬄﬅﬆĲĳŉǄǅǆǇǈǉǊǋǌǱǲǳ",
    "marks": "\u0300\u0301\u0302\u0303\u0308\u030a\u0323\u0327\u0328\u0345\u0591\u064b\u0670\u093c\u3099\u309a",
    "controls": "".join(map(chr, range(1, 32))) + "".join(map(chr, range(0x7f, 0xa1))) + "\u200b\u200d\u2028\u2029\u202e\u206a\ufeff\ufff9\ufffc\ufffd",
    "numbers": "0123456789٠١٢٣४५६Ⅷⅷ①②½¾²³৳༠",
    "ascii": "".join(map(chr, range(32, 127))),
}
ENCODINGS = ["latin-1", "windows-1252", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253",
             "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]
ENTITIES = sorted(html.entities.html5)
PIECES = ["'s", "'S", "'re", "'ſ", "’s", "<start_of_text>", "<end_of_text>", "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "</w>", "<b>", "&",
          "\r\n", "\n", "\r", "\t", "\x1b[31;1m", "\x1b[0m", "Ã ", "Â ", "â€™", "â€œ", "Ã©", "ï»¿", "\u00a0", "ΟΔΟΣ", "ΣΑΣ", "İ", "ĲSS", "Ã la ", "&amp;lt;", "&#",
          "&#x", "\ud55c\uae00", "í\u00a0½í¸\u008d", "À\u0080"]


def word(r, script=None):
    alphabet = SCRIPTS[script or r.choice(list(SCRIPTS))]
    return "".join(r.choice(alphabet) for _ in range(r.randint(1, 8)))


def phrase(r, script=None):
    return " ".join(word(r, script) for _ in range(r.randint(1, 5)))


def garble(r, text):
    encoding = r.choice(ENCODINGS)
    out = text.encode("utf-8").decode(encoding, errors=r.choice(["replace", "ignore"]))
    if r.random() < 0.2:
        out = out.replace("\u00a0", " ")
    if r.random() < 0.1:
        out = out.replace("\u00ad", "")
    return out


def entity(r):
    k = r.random()
    if k < 0.4:
        name = r.choice(ENTITIES)
        name = name.upper() if r.random() < 0.2 else name
        return "&" + (name if r.random() < 0.8 else name.rstrip(";"))
    number = r.choice([r.randrange(0, 0x100), r.randrange(0x110100), r.choice([0xd800, 0xfffe, 0x10ffff, 0xfdd0, 10**20])])
    form = r.choice(["&#%d", "&#x%x", "&#X%X"])
    return form % number + (";" if r.random() < 0.8 else "")


def code_points(r):
    def one():
        while True:
            c = r.choice([r.randrange(0x3000), r.randrange(0x10000), r.randrange(0x20000), r.randrange(0x110000)])
            if not 0xD800 <= c < 0xE000:
                return chr(c)
    return "".join(one() for _ in range(r.randint(1, 12)))


def generate(r):
    kind = r.randrange(9)
    if kind == 0:
        return "mojibake", garble(r, phrase(r))
    if kind == 1:
        return "mojibake twice", garble(r, garble(r, phrase(r)))
    if kind == 2:
        return "mojibake in text", " ".join(garble(r, word(r)) if r.random() < 0.5 else word(r, "ascii" if r.random() < 0.5 else None) for _ in range(5))
    if kind == 3:
        return "entities", "".join(r.choice([entity(r), word(r, "latin"), " "]) for _ in range(r.randint(1, 8)))
    if kind == 4:
        return "scripts", phrase(r) + r.choice(["", " ", "\n"]) + phrase(r)
    if kind == 5:
        return "pieces", "".join(r.choice([r.choice(PIECES), word(r), " "]) for _ in range(r.randint(1, 8)))
    if kind == 6:
        return "marks", "".join(r.choice(SCRIPTS["latin"]) + word(r, "marks") for _ in range(r.randint(1, 5)))
    if kind == 7:
        return "code points", code_points(r)
    soup = "".join(SCRIPTS.values())
    return "soup", "".join(r.choice(soup) for _ in range(r.randint(1, 30)))


def texts(args):
    for i in range(args.count):
        yield generate(random.Random(f"{args.seed}:{i}"))
    if args.points:
        for c in range(0x110000):
            if not 0xD800 <= c < 0xE000:
                yield "single", chr(c)
                yield "between", "a" + chr(c) + "b" + chr(c) + "!" + chr(c) + "3\u03a3" + chr(c)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="build/libtinyclip.so")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--write-hf", metavar="DIR", help="only write the built-in tokenizer as a Hugging Face folder")
    parser.add_argument("--show", type=int, default=20)
    args = parser.parse_args()
    library = Library(args.library)
    if args.write_hf:
        return write_hf(library, args.write_hf)
    references = References(library)
    openclip, hf = library.create(0), library.create(1)
    counts, wrong, shown = {}, {}, 0
    for kind, text in texts(args):
        ours = (library.encode(openclip, text), library.encode(hf, text))
        theirs = (references.openclip_ids(text), references.hf_ids(text))
        for name, a, b in zip(("openclip", "hf"), ours, theirs):
            key = f"{name}: {kind}"
            counts[key] = counts.get(key, 0) + 1
            if a != b:
                wrong[key] = wrong.get(key, 0) + 1
                shown += 1
                if shown <= args.show:
                    cleaned = references.openclip.clean_fn(text) if name == "openclip" else references.hf.backend_tokenizer.normalizer.normalize_str(text)
                    print(f"# {key}: {ascii(text)}\n#   ours {ascii(library.clean(openclip if name == 'openclip' else hf, text))}\n#   want {ascii(cleaned)}")
    for key in sorted(counts):
        print(f"{key}: {wrong.get(key, 0)} of {counts[key]} differ")
    print(json.dumps({"texts": sum(counts.values()), "differ": sum(wrong.values()), "unicode": unicodedata.unidata_version}))
    return 1 if wrong else 0


sys.exit(main())
