"""`info` answers on a model of 600 MB in under 0.1 s, with little memory; what `score` takes is printed beside it.

The model is a ViT-B/32 folder that transformers saves. Times are medians of 5 runs, the memory is the largest resident set, in which the
pages of the mapped file count that were touched.
"""
import json
import os
import statistics
import tempfile

from common import TEXTS, Tally, arguments, make_images, timed, tinyclip
from hf_side import folder_bytes, make_model, save

VIT_B_32 = {"image": 224, "patch": 32, "embed": 512, "vision": (12, 768, 12, 3072), "text": (12, 512, 8, 2048), "act": "quick_gelu", "eos": 2}
RUNS = 5


def repeat(program, *args):
    """(median seconds, largest resident MB, whether all runs succeeded)"""
    runs = [timed(program, *args) for _ in range(RUNS)]
    return statistics.median(r[0] for r in runs), max(r[1] for r in runs) / 1e6, all(r[2] == 0 for r in runs)


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        image = make_images(folder)[0]
        model = os.path.join(folder, "model")
        peer = make_model(VIT_B_32, 1)
        save(peer, model)
        size = folder_bytes(model) / 1e6
        for extra in ([], ["--json"]):
            seconds, resident, good = repeat(program, "info", model, *extra)
            label = " ".join(["info", *extra])
            tally.check(good and seconds < 0.1, f"{label} in under 0.1 s", f"{1e3 * seconds:.1f} ms, file {size:.0f} MB")
            tally.check(good and resident < size / 10, f"{label} touches less than a tenth of the file", f"{resident:.1f} MB resident")
        answer = json.loads(tinyclip(program, "info", model, "--json"))
        count = sum(p.numel() for p in peer.parameters())
        tally.check(answer["params"] == count, "info counts the parameters as transformers does", f"{answer['params']}, {count}")
        seconds, resident, good = repeat(program, "score", model, "--image", image, "--text", TEXTS[0], "--json")
        tally.check(good, "score of one image and one text", f"{1e3 * seconds:.0f} ms, {resident:.0f} MB resident, {resident / size:.2f} of the file")
    tally.close()


main()
