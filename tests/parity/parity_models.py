"""Models that transformers makes and saves in this run give the same embeddings, logits and probabilities here.

Several sizes up to ViT-B/32, both activations, both conventions for eos_token_id (2 stands for "the largest id", as the files of
OpenAI's models have it), random weights with spread, files of many image modes, texts plain, odd, empty and too long.
"""
import json
import tempfile

from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, score, tinyclip
from hf_side import both_precisions, encode_texts, hf_tokenizer, image_processor, make_model, open_image_list, save

SPECS = [
    {"name": "tiny", "image": 32, "resize": 40, "patch": 8, "embed": 24, "vision": (2, 36, 3, 112), "text": (2, 20, 2, 80), "act": "quick_gelu",
     "eos": 2},
    {"name": "narrow", "image": 48, "resize": 56, "patch": 16, "embed": 40, "vision": (3, 80, 5, 200), "text": (1, 48, 3, 96), "act": "gelu",
     "eos": 49407},
    {"name": "28 pixels", "image": 28, "patch": 7, "embed": 64, "vision": (4, 128, 2, 512), "text": (3, 96, 4, 384), "act": "gelu", "eos": 2},
    {"name": "ViT-8M/16", "image": 224, "patch": 16, "embed": 512, "vision": (10, 256, 4, 1024), "text": (3, 256, 4, 1024), "act": "gelu",
     "eos": 2},
    {"name": "ViT-40M/32", "image": 224, "patch": 32, "embed": 512, "vision": (12, 512, 8, 2048), "text": (6, 512, 8, 2048), "act": "gelu",
     "eos": 49407},
    {"name": "ViT-39M/16", "image": 224, "patch": 16, "embed": 512, "vision": (12, 512, 8, 2048), "text": (6, 512, 8, 2048),
     "act": "quick_gelu", "eos": 49407},
    {"name": "ViT-B/32", "image": 224, "patch": 32, "embed": 512, "vision": (12, 768, 12, 3072), "text": (12, 512, 8, 2048),
     "act": "quick_gelu", "eos": 2},
    {"name": "ViT-B/32", "image": 224, "patch": 32, "embed": 512, "vision": (12, 768, 12, 3072), "text": (12, 512, 8, 2048), "act": "gelu",
     "eos": 49407},
]


def compare_ids(tally, program, folder, name, encoding):
    texts = [x for text in TEXTS for x in ("--text", text)]
    ours = json.loads(tinyclip(program, "tokenize", folder, *texts, "--json"))["input_ids"]
    tally.check(ours == encoding["input_ids"].tolist(), f"{name} input_ids", f"{len(TEXTS)} texts")


def compare(tally, program, spec, number, images):
    name = f"{spec['name']} {spec['act']} eos {spec['eos']}"
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(spec, seed=100 + number)
        save(model, folder, spec.get("resize"), old_layout=number % 2 == 0)
        encoding = encode_texts(hf_tokenizer(), TEXTS)
        try:
            compare_ids(tally, program, folder, name, encoding)
            ours = score(program, folder, images, TEXTS)
        except ProgramFailed as failure:
            tally.check(False, name, str(failure))
            return
        pixel_values = open_image_list(image_processor(spec["image"], spec.get("resize")), images)
        judge(tally, name, ours, *both_precisions(model, pixel_values, encoding))


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        for number, spec in enumerate(SPECS):
            compare(tally, program, spec, number, images)
    tally.close()


main()
