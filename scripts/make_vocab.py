#!/usr/bin/env python3
"""make_vocab.py OUT - writes the vocabulary of CLIP's tokenizer as the table of merges that the library embeds.

Source: the merge list bpe_simple_vocab_16e6.txt.gz in the PyPI package open_clip_torch (OpenAI CLIP, MIT licence).
The list's line 1 is a header; the 48,894 lines after it are the merges, the rest is not used.

Output: one record a merge, in order: the ids of its left and of its right part, 16 bits each, little-endian. The ids
follow from the order alone: 0-255 the bytes (the printable ones of Latin-1 first, then the others), 256-511 the same at the end of
a word, 512 + r the product of merge r. The script stops if that is not one id for each symbol.
"""
import gzip
import importlib.util
import os
import struct
import sys

MERGES = 49152 - 256 - 2


def byte_symbols():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def main():
    package = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    with gzip.open(os.path.join(package, "bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as f:
        lines = f.read().split("\n")[1:MERGES + 1]
    symbols = byte_symbols()
    symbols += [s + "</w>" for s in symbols]
    ids = {s: i for i, s in enumerate(symbols)}
    records = []
    for line in lines:
        left, right = line.split(" ")
        records.append((ids[left], ids[right]))
        product = left + right
        if product in ids or left.endswith("</w>"):
            sys.exit(f"merge {line!r} does not make a new symbol")
        ids[product] = len(ids)
    if len(records) != MERGES or len(set(records)) != MERGES:
        sys.exit("the merge list is not complete")
    with open(sys.argv[1], "wb") as f:
        f.write(b"".join(struct.pack("<HH", *r) for r in records))


main()
