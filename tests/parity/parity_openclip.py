"""Models that open_clip makes, ViT and ResNet, saved under its own names with its own configuration, give the same results here.

GELU and QuickGELU (a ResNet's text tower), own head widths, open_clip's order of image steps and its tokenizer.
"""
import json
import os
import tempfile

import open_clip
from safetensors.torch import save_file

from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, score, spread_weights, tinyclip
from openclip_side import both_precisions, open_image_list

CONFIGS = {
    "tiny": {"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "head_width": 16, "patch_size": 8},
             "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 40, "heads": 4, "layers": 3}},
    "28 pixels": {"embed_dim": 64, "vision_cfg": {"image_size": 28, "layers": 4, "width": 128, "patch_size": 7},
                  "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2}},
    "ViT-40M/32": {"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 512, "patch_size": 32},
                   "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 6}},
    "ResNet of 64 pixels": {"embed_dim": 40, "vision_cfg": {"image_size": 64, "layers": [2, 1, 2, 1], "width": 8, "head_width": 16,
                                                            "patch_size": None},
                            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2}},
    "ResNet of 160 pixels": {"embed_dim": 72, "vision_cfg": {"image_size": 160, "layers": [1, 2, 1, 2], "width": 18, "head_width": 96,
                                                             "patch_size": None},
                             "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 36, "heads": 3, "layers": 3}},
    "ResNet-19M": {"embed_dim": 1024, "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 44, "patch_size": None},
                   "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 6}},
}


def compare(tally, program, folder, name, config, images):
    model = spread_weights(open_clip.CLIP(**config), seed=len(name))
    weights, settings = os.path.join(folder, "model.safetensors"), os.path.join(folder, "settings.json")
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}, weights)
    with open(settings, "w", encoding="utf-8") as f:
        json.dump(config, f)
    ids = open_clip.tokenize(TEXTS)
    pixel_values = open_image_list(config["vision_cfg"]["image_size"], images)
    try:
        ours = score(program, weights, images, TEXTS, "--model-config", settings)
        texts = [x for text in TEXTS for x in ("--text", text)]
        found = json.loads(tinyclip(program, "tokenize", *texts, "--json"))["input_ids"]
    except ProgramFailed as failure:
        tally.check(False, name, str(failure))
        return
    tally.check(found == ids.tolist(), f"{name} input_ids", f"{len(TEXTS)} texts")
    judge(tally, name, ours, *both_precisions(model, pixel_values, ids))


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        for name, config in CONFIGS.items():
            for quick in (False, True):
                label = f"{name} {'QuickGELU' if quick else 'GELU'}"
                compare(tally, program, folder, label, dict(config, **({"quick_gelu": True} if quick else {})), images)
    tally.close()


main()
