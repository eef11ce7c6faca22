"""`tinyclip preprocess` gives what transformers' PIL processor and open_clip's transform give, and by how much torchvision's differs.

Compared are the normalised values (tolerance 1e-6: the last rounding of the normalisation) and the bytes that they stand for, which must be
equal. The torchvision processor, transformers' default, deviates from Pillow by itself; its distance is printed, not judged.
"""
import os
import tempfile

import numpy as np
import open_clip
from PIL import Image
from transformers import CLIPImageProcessor

from common import ProgramFailed, Tally, arguments, make_images, preprocess
from hf_side import image_processor, make_model, save

SIZES = (224, 96, 28)
MEAN = np.array(open_clip.OPENAI_DATASET_MEAN).reshape(3, 1, 1)
STD = np.array(open_clip.OPENAI_DATASET_STD).reshape(3, 1, 1)


def to_bytes(pixel_values):
    return np.rint((pixel_values.astype(np.float64) * STD + MEAN) * 255)


def processors(size):
    """name -> function from an opened image to [3,S,S]"""
    pil = image_processor(size)
    torchvision = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    openclip = open_clip.image_transform(size, is_train=False)
    return {"hf": lambda image: pil(image, return_tensors="np")["pixel_values"][0],
            "torchvision": lambda image: torchvision(image, return_tensors="np")["pixel_values"][0],
            "openclip": lambda image: openclip(image).numpy()}


def deviation(ours, peer):
    """(largest difference of the values, largest difference in levels of 255, share of bytes that differ)"""
    levels = np.abs(to_bytes(ours) - to_bytes(peer))
    return np.abs(ours - peer).max(), levels.max(), (levels > 0).mean()


def compare_size(tally, program, folder, size, images):
    spec = {"image": size, "patch": size // 4, "embed": 8, "vision": (1, 16, 1, 16), "text": (1, 16, 1, 16), "act": "gelu", "eos": 2}
    model = save(make_model(spec, 1), os.path.join(folder, f"model{size}"))
    peers, torchvision = processors(size), []
    for path in images:
        name = os.path.basename(path)
        reference = {key: process(Image.open(path)) for key, process in peers.items()}
        torchvision.append((*deviation(reference["torchvision"], reference["hf"]), name))
        for order in ("hf", "openclip"):
            try:
                ours = preprocess(program, path, folder, model, "--preprocess", order)
            except ProgramFailed as failure:
                tally.check(False, f"{order} {size} {name}", str(failure))
                continue
            values, levels, share = deviation(ours, reference[order])
            tally.check(values <= 1e-6 and levels == 0, f"{order} {size} {name}", f"largest {values:.1e}, levels {levels:.0f}, share {share:.4f}")
    worst = max(torchvision)
    tally.say(f"torchvision processor against the PIL one at {size} pixels: up to {worst[0]:.3f} ({worst[1]:.0f} levels of 255, in {worst[3]}); "
              f"{100 * np.mean([t[2] for t in torchvision]):.2f} % of the bytes differ over {len(images)} files")


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        for size in SIZES:
            compare_size(tally, program, folder, size, images)
    tally.close()


main()
