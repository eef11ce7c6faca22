"""What `train`, `distill` and `inherit` write opens in transformers and open_clip, strictly, and gives the same results there.

A small teacher is trained for a few steps on pictures with captions that this run draws; a student inherits from it and is distilled. The same with
ResNets, for open_clip.
"""
import json
import os
import tempfile

import numpy as np
import open_clip
from safetensors.torch import load_file
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPProcessor

import hf_side
import openclip_side
from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, picture, score, tinyclip

TEACHER = {"embed_dim": 64, "vision_cfg": {"image_size": 32, "layers": 4, "width": 128, "patch_size": 8},
           "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 4}}
STUDENT = {"embed_dim": 64, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
           "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}}
RESNETS = {"teacher": dict(TEACHER, vision_cfg={"image_size": 64, "layers": [2, 2, 2, 2], "width": 16, "head_width": 64, "patch_size": None}),
           "student": dict(STUDENT, vision_cfg={"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64, "patch_size": None})}
RUN = ["--steps", 5, "--batch", 16, "--lr", "1e-3"]


def make_pairs(folder, count=48):
    """Pictures with captions beside them."""
    rng = np.random.default_rng(3)
    os.makedirs(folder)
    for i in range(count):
        picture(rng, 40 + i % 7, 44).save(os.path.join(folder, f"{i:03}.png"))
        with open(os.path.join(folder, f"{i:03}.txt"), "w", encoding="utf-8") as f:
            f.write(f"drawing number {i} of {count}\n")
    return folder


def check_transformers(tally, program, name, folder, images):
    model, info = CLIPModel.from_pretrained(folder, output_loading_info=True)
    wrong = {kind: sorted(map(str, info[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if info.get(kind)}
    tally.check(not wrong, f"{name} opens in CLIPModel.from_pretrained", str(wrong or ""))
    processor = CLIPProcessor.from_pretrained(folder)
    encoding = hf_side.encode_texts(processor.tokenizer, TEXTS)
    texts = [x for text in TEXTS for x in ("--text", text)]
    ids = json.loads(tinyclip(program, "tokenize", folder, *texts, "--json"))["input_ids"]
    tally.check(ids == encoding["input_ids"].tolist(), f"{name} input_ids by CLIPProcessor")
    pixel_values = hf_side.open_image_list(CLIPImageProcessorPil.from_pretrained(folder), images)
    judge(tally, f"{name} transformers", score(program, folder, images, TEXTS), *hf_side.both_precisions(model.eval(), pixel_values, encoding))


def check_openclip(tally, program, name, weights, config, images):
    with open(config, encoding="utf-8") as f:
        settings = json.load(f)
    settings = settings.get("model_cfg", settings)
    model = open_clip.CLIP(**{k: v for k, v in settings.items() if k in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")}).eval()
    missing, unexpected = model.load_state_dict(load_file(weights), strict=False)
    wrong = {"missing": missing, "unexpected": unexpected} if missing or unexpected else ""
    tally.check(not wrong, f"{name} opens in open_clip", str(wrong))
    pixel_values = openclip_side.open_image_list(settings["vision_cfg"]["image_size"], images)
    ours = score(program, weights, images, TEXTS, "--model-config", config)
    judge(tally, f"{name} open_clip", ours, *openclip_side.both_precisions(model, pixel_values, open_clip.tokenize(TEXTS)))


def make_all(program, folder):
    """Trains, inherits and distils; name -> model folder, and the student under open_clip's names."""
    def path(name):
        return os.path.join(folder, name)
    for name, config in (("teacher.json", TEACHER), ("student.json", STUDENT)):
        with open(path(name), "w", encoding="utf-8") as f:
            json.dump(config, f)
    data = make_pairs(path("pairs"))
    run = ["--data", data, *RUN]
    tinyclip(program, "train", "--config", path("teacher.json"), *run, "--out", path("teacher"))
    teacher = os.path.join(path("teacher"), "model")
    tinyclip(program, "inherit", teacher, "--config", path("student.json"), "-o", path("inherited"))
    tinyclip(program, "inherit", teacher, "--config", path("student.json"), "--names", "openclip", "-o", path("inherited.safetensors"))
    tinyclip(program, "distill", "--teacher", teacher, "--student", path("inherited"), *run, "--out", path("distilled"))
    return {"trained": teacher, "inherited": path("inherited"), "distilled": os.path.join(path("distilled"), "model")}


def check_resnets(tally, program, folder, images):
    def path(name):
        return os.path.join(folder, name)
    for name, config in RESNETS.items():
        with open(path(f"rn_{name}.json"), "w", encoding="utf-8") as f:
            json.dump(config, f)
    run = ["--data", path("pairs"), *RUN]
    tinyclip(program, "train", "--config", path("rn_teacher.json"), *run, "--out", path("rn_teacher"))
    teacher, inherited = os.path.join(path("rn_teacher"), "model.safetensors"), path("rn_inherited.safetensors")
    tinyclip(program, "inherit", teacher, "--config", path("rn_student.json"), "-o", inherited)
    tinyclip(program, "distill", "--teacher", teacher, "--student", inherited, *run, "--out", path("rn_distilled"))
    for name, model in (("trained", teacher), ("inherited", inherited), ("distilled", os.path.join(path("rn_distilled"), "model.safetensors"))):
        out = path(f"rn_{name}_openclip")
        tinyclip(program, "convert", model, out, "--to", "openclip")
        files = [os.path.join(out, f"open_clip_{file}") for file in ("model.safetensors", "config.json")]
        check_openclip(tally, program, f"{name} ResNet", *files, images)
        counters = {int(v) for k, v in load_file(files[0]).items() if k.endswith("num_batches_tracked")}
        tally.check(counters == {10 if name == "distilled" else 5}, f"{name} ResNet num_batches_tracked", str(counters))


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        try:
            for name, model in make_all(program, folder).items():
                check_transformers(tally, program, name, model, images)
            check_resnets(tally, program, folder, images)
            check_openclip(tally, program, "inherited", os.path.join(folder, "inherited.safetensors"), os.path.join(folder, "inherited.json"), images)
        except ProgramFailed as failure:
            tally.check(False, "the program's own verbs", str(failure))
    tally.close()


main()
