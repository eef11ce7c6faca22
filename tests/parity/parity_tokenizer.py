#!/usr/bin/env python3
"""parity_tokenizer.py [BUILD] [--library LIBRARY] [--count N] [--seed S] [--points]

Compares the tokenizers with open_clip's SimpleTokenizer and transformers' CLIPTokenizer on generated texts: mojibake of several
scripts through several encodings, HTML entities, emoji, control characters, right-to-left and combining text, and mixtures. --points adds
every code point of Unicode by itself and between letters. One line a tokenizer and kind of text with the number of differences; exit code
1 if there are any. The folder that the library writes must give transformers the same tokenizer. Needs open_clip_torch and transformers.
"""
import argparse
import ctypes
import html.entities
import json
import os
import random
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
CONTEXT, LONG_CONTEXT = 77, 4096


class Library:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        text = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self.lib.tc_tokenizer_encode_n.argtypes = text + [ctypes.c_int] + [ctypes.c_void_p] * 4
        self.lib.tc_tokenizer_clean_n.argtypes = text + [ctypes.c_void_p] * 3
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

    def write_hf(self, folder):
        """The files of the tokenizer, as they are saved with a model."""
        config, error, model = os.path.join(folder, "small.json"), ctypes.create_string_buffer(2048), ctypes.c_void_p()
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"embed_dim": 8, "vision_cfg": {"image_size": 8, "layers": 1, "width": 64, "patch_size": 8},
                       "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}, f)
        hf = 1  # TC_FORMAT_HF
        if (self.lib.tc_model_create(ctypes.byref(model), config.encode(), ctypes.c_uint64(1), error)
                or self.lib.tc_model_save(model, folder.encode(), hf, error)):
            sys.exit(error.raw[4:].split(b"\0")[0].decode())
        self.lib.tc_model_close(ctypes.byref(model))

    def encode(self, t, text, context=CONTEXT):
        ids, data = (ctypes.c_int32 * context)(), text.encode()
        assert self.lib.tc_tokenizer_encode_n(t, data, len(data), context, ids, None, None, None) == 0
        return list(ids)

    def clean(self, t, text):
        out, size, data = ctypes.c_void_p(), ctypes.c_size_t(), text.encode()
        assert self.lib.tc_tokenizer_clean_n(t, data, len(data), ctypes.byref(out), ctypes.byref(size), None) == 0
        cleaned = ctypes.string_at(out, size.value).decode()
        self.free(out)
        return cleaned


class References:
    def __init__(self, library):
        from common import hf_tokenizer
        from open_clip.tokenizer import SimpleTokenizer
        from transformers import CLIPTokenizer
        self.openclip = SimpleTokenizer()
        self.hf = hf_tokenizer()
        with tempfile.TemporaryDirectory() as folder:
            library.write_hf(folder)
            self.written = CLIPTokenizer.from_pretrained(folder)
            self.saved = library.open(self.save(folder), 1)

    def save(self, folder):
        """The tokenizer as transformers itself saves it."""
        sub = os.path.join(folder, "saved")
        self.hf.save_pretrained(sub)
        return sub

    def openclip_ids(self, text, context=CONTEXT):
        return self.openclip([text], context)[0].tolist()

    @staticmethod
    def ids(tokenizer, text, context=CONTEXT):
        return tokenizer(text, padding="max_length", truncation=True, max_length=context)["input_ids"]

    def cleaned(self, name, text):
        return self.openclip.clean_fn(text) if name == "openclip" else self.hf.backend_tokenizer.normalizer.normalize_str(text)


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
    "controls": "".join(map(chr, [*range(1, 32), *range(0x7f, 0xa1)])) + "\u200b\u200d\u2028\u2029\u202e\u206a\ufeff\ufff9\ufffc\ufffd",
    "numbers": "0123456789٠١٢٣४५६Ⅷⅷ①②½¾²³৳༠",
    "ascii": "".join(map(chr, range(32, 127))),
}
ENCODINGS = ["latin-1", "windows-1252", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253",
             "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]
ENTITIES = sorted(html.entities.html5)
PIECES = ["'s", "'S", "'re", "'ſ", "’s", "<start_of_text>", "<end_of_text>", "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "</w>",
          "<b>", "&", "\r\n", "\n", "\r", "\t", "\x1b[31;1m", "\x1b[0m", "Ã ", "Â ", "â€™", "â€œ", "Ã©", "ï»¿", "\u00a0", "ΟΔΟΣ", "ΣΑΣ",
          "İ", "ĲSS", "Ã la ", "&amp;lt;", "&#", "&#x", "\ud55c\uae00", "í\u00a0½í¸\u008d", "À\u0080"]


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
    points = [r.randrange(r.choice([0x3000, 0x10000, 0x20000, 0x110000])) for _ in range(r.randint(1, 12))]
    return "".join(chr(c) for c in points if not 0xD800 <= c < 0xE000)


def generate(r):
    kind = r.randrange(9)
    if kind == 0:
        return "mojibake", garble(r, phrase(r))
    if kind == 1:
        return "mojibake twice", garble(r, garble(r, phrase(r)))
    if kind == 2:
        words = [garble(r, word(r)) if r.random() < 0.5 else word(r, r.choice(["ascii", None])) for _ in range(5)]
        return "mojibake in text", " ".join(words)
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
        yield from every_point()


def every_point():
    """The first plane one by one, the others in groups of 64, which would take hours one by one."""
    def around(ch):
        return f"a{ch}b{ch}!{ch}3\u03a3{ch} "
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for ch in points[:0xF800]:
        yield "single", ch
        yield "between", around(ch)
    for i in range(0xF800, len(points), 64):
        yield "groups", "".join(map(around, points[i:i + 64]))


def compare(library, references, args):
    """Counts and differences by tokenizer and kind of text."""
    ours = {"openclip": library.create(0), "hf": library.create(1)}
    counts, wrong, shown = {}, {}, 0
    for i, (kind, text) in enumerate(texts(args)):
        context = LONG_CONTEXT if kind == "groups" else CONTEXT
        hf_ids = references.ids(references.hf, text, context)
        pairs = [("openclip", kind, library.encode(ours["openclip"], text, context), references.openclip_ids(text, context)),
                 ("hf", kind, library.encode(ours["hf"], text, context), hf_ids)]
        if i < 2000 and context == CONTEXT:
            pairs.append(("hf", "folder written here", references.ids(references.written, text), hf_ids))
            pairs.append(("hf", "folder saved by transformers", library.encode(references.saved, text), hf_ids))
        for name, what, a, b in pairs:
            key = f"{name}: {what}"
            counts[key] = counts.get(key, 0) + 1
            wrong[key] = wrong.get(key, 0) + (a != b)
            if a != b and shown < args.show:
                shown += 1
                print(f"# {key}: {ascii(text)}\n#   ours {ascii(library.clean(ours[name], text))}\n#   want {ascii(references.cleaned(name, text))}")
    return counts, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build", help="the build folder")
    parser.add_argument("--library")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--show", type=int, default=20)
    args = parser.parse_args()
    library = Library(os.path.abspath(args.library or os.path.join(args.build, "libtinyclip.so")))
    counts, wrong = compare(library, References(library), args)
    for i, key in enumerate(sorted(counts), 1):
        print(f"{'not ok' if wrong[key] else 'ok'} {i} - tokenizer {key}  # {wrong[key]} of {counts[key]} differ")
    return 1 if any(wrong.values()) or not counts else 0


sys.exit(main())
