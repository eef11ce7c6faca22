"""Models that the peers make in this run, a ViT and a ResNet of each sort, in every form in which their users hold them.

open_clip: checkpoints of training (names with "module.", the state of the optimizer beside them), with and without a configuration, also as
PyTorch wrote them before 1.6; folders with open_clip_pytorch_model.bin or open_clip_model.safetensors; half precision of both kinds; TorchScript
archives traced in half precision, as OpenAI's are. TinyCLIP: pruned ViTs, whose peer is the whole model with zeros in it. transformers: one file,
shards, pytorch_model.bin, shards of it. The judge is the peer in float64; of weights in 16 bits, the peer running those very weights. The way back:
what `convert` writes for open_clip holds the same tensors.
"""
import copy
import json
import os
import tempfile

import open_clip
import torch
from open_clip.model import convert_weights_to_fp16
from safetensors.torch import load_file, save_file

import hf_side
import openclip_side
from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, score, spread_weights, tinyclip
from openclip_side import PRUNED, prune, state

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 3}
# Heads of 64 channels and GELU: what shapes alone tell.
PLAIN = {"ViT": {"embed_dim": 48, "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16, "mlp_ratio": 3.0}, "text_cfg": TEXT},
         "ResNet": {"embed_dim": 48, "vision_cfg": {"image_size": 64, "layers": [2, 1, 2, 1], "width": 8, "patch_size": None}, "text_cfg": TEXT}}
# What only a configuration tells: heads of other sizes, QuickGELU.
NARROW = dict(TEXT, width=40, heads=4, layers=2)
ODD = {"ViT": {"embed_dim": 32, "quick_gelu": True, "text_cfg": NARROW,
               "vision_cfg": {"image_size": 32, "layers": 3, "width": 48, "head_width": 16, "patch_size": 8}},
       "ResNet": {"embed_dim": 32, "quick_gelu": True, "text_cfg": NARROW,
                  "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 2], "width": 6, "head_width": 24, "patch_size": None}}}
HF_SPEC = {"image": 48, "patch": 16, "embed": 40, "vision": (3, 80, 5, 200), "text": (2, 48, 3, 96), "act": "quick_gelu", "eos": 49407}


def rounded(model, dtype):
    """A copy whose floating-point tensors are of this type."""
    return copy.deepcopy(model).to(dtype)


# ---- forms of open_clip: each writes a model at `path` (a folder or the beginning of a name) and returns what the program is given

def training(model, path, new=True):
    trained = copy.deepcopy(model)  # its step leaves the model as it is
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-3)
    for p in trained.parameters():
        p.grad = torch.full_like(p, 1e-3)
    optimizer.step()
    saved = {"epoch": 3, "name": "run", "state_dict": {"module." + k: v for k, v in state(model).items()}, "optimizer": optimizer.state_dict()}
    torch.save(saved, path + ".pt", _use_new_zipfile_serialization=new)
    return path + ".pt"


def before_1_6(model, path):
    return training(model, path, new=False)


def bare(model, path):
    torch.save(state(model), path + ".pt")
    return path + ".pt"


def with_settings(config, path):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)


def binary_folder(model, path):
    os.makedirs(path)
    torch.save(state(model), os.path.join(path, "open_clip_pytorch_model.bin"))
    return path


def safetensors_folder(model, path):
    os.makedirs(path)
    save_file(state(model), os.path.join(path, "open_clip_model.safetensors"))
    return path


def openai_archive(config, model, path):
    """The model with half weights where OpenAI's have them, traced; and the model that runs them in f32."""
    half = open_clip.CLIP(**copy.deepcopy(config), cast_dtype=torch.float16).eval()
    half.load_state_dict(model.state_dict())
    convert_weights_to_fp16(half)
    size = config["vision_cfg"]["image_size"]
    for name, value in (("input_resolution", size), ("context_length", 77), ("vocab_size", 49408)):
        if hasattr(half, name):
            delattr(half, name)
        half.register_buffer(name, torch.tensor(value))
    inputs = {"encode_image": torch.randn(2, 3, size, size).half(), "encode_text": open_clip.tokenize(TEXTS[:2])}
    torch.jit.trace_module(half, inputs, check_trace=False).save(path + ".pt")
    peer = copy.deepcopy(model)
    peer.load_state_dict({k: v.float() for k, v in half.state_dict().items() if k in model.state_dict()})
    return path + ".pt", peer


# ---- comparisons

def compare(tally, program, name, given, peer, images, *options):
    """The program's results beside those of the peer, whose weights are made f32."""
    peer = copy.deepcopy(peer).float()
    try:
        ours = score(program, given, images, TEXTS, *options)
    except ProgramFailed as failure:
        tally.check(False, name, str(failure))
        return
    size = peer.visual.image_size
    pixels = openclip_side.open_image_list(size[0] if isinstance(size, tuple) else size, images)
    judge(tally, name, ours, *openclip_side.both_precisions(peer, pixels, open_clip.tokenize(TEXTS)))


def check_way_back(tally, program, name, given, model, folder, *options):
    """convert --to openclip gives the tensors back, each with its type: whole numbers as such, all others as --dtype says."""
    for dtype, kind in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        out = os.path.join(folder, "back " + dtype)
        try:
            tinyclip(program, "convert", given, out, "--to", "openclip", "--dtype", dtype, "--force", *options)
        except ProgramFailed as failure:
            tally.check(False, f"{name} back to openclip {dtype}", str(failure))
            continue
        found = load_file(os.path.join(out, "open_clip_model.safetensors"))
        wanted = {k: v.to(kind) if v.is_floating_point() else v for k, v in state(model).items()}
        wrong = sorted(set(found) ^ set(wanted)) or [k for k, v in wanted.items() if found[k].dtype != v.dtype or not torch.equal(found[k], v)]
        tally.check(not wrong, f"{name} back to openclip {dtype}", f"{len(wanted)} tensors" if not wrong else f"differ: {wrong[:4]}")
        opened = open_clip.create_model(f"local-dir:{out}").state_dict()
        tally.check(all(torch.equal(opened[k], v.to(opened[k].dtype)) for k, v in wanted.items()), f"{name} back to openclip {dtype} opens there")


def openclip_forms(tally, program, folder, images):
    number = 0

    def path():
        nonlocal number
        number += 1
        return os.path.join(folder, f"model{number}")
    for family, config in PLAIN.items():
        model = spread_weights(open_clip.CLIP(**copy.deepcopy(config)), seed=20)
        for form in (training, before_1_6, bare):
            compare(tally, program, f"{family} {form.__name__}, no configuration", form(model, path()), model, images)
        for dtype in (torch.float16, torch.bfloat16):
            narrow = rounded(model, dtype)
            compare(tally, program, f"{family} bare {str(dtype)[6:]}, no configuration", bare(narrow, path()), narrow, images)
        check_way_back(tally, program, f"{family} training", training(model, path()), model, folder)
    for family, config in ODD.items():
        model = spread_weights(open_clip.CLIP(**copy.deepcopy(config)), seed=21)
        given = training(model, path())
        with_settings(config, given[:-3] + ".config.json")
        compare(tally, program, f"{family} training, NAME.config.json", given, model, images)
        for form in (binary_folder, safetensors_folder):
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                narrow = rounded(model, dtype)
                given = form(narrow, path())
                with_settings({"model_cfg": config, "preprocess_cfg": {}}, os.path.join(given, "open_clip_config.json"))
                compare(tally, program, f"{family} {form.__name__} {str(dtype)[6:]}", given, narrow, images)
        check_way_back(tally, program, f"{family} folder", given, narrow, folder)
    for family, config in PLAIN.items():
        config = dict(config, quick_gelu=True)
        model = spread_weights(open_clip.CLIP(**copy.deepcopy(config)), seed=22)
        given, peer = openai_archive(config, model, path())
        compare(tally, program, f"{family} TorchScript in half precision", given, peer, images)
        check_way_back(tally, program, f"{family} TorchScript", given, peer, folder)


# ---- pruned models

def pruned_forms(tally, program, folder, images):
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        name, given = f"pruned ViT {str(dtype)[6:]}", os.path.join(folder, f"pruned {dtype}.pt")
        model = rounded(spread_weights(open_clip.CLIP(**copy.deepcopy(PRUNED)), seed=25), dtype)
        torch.save({"epoch": 1, "name": "run", "state_dict": prune(model, seed=26)}, given)
        with_settings(PRUNED, given[:-3] + ".config.json")
        compare(tally, program, name, given, model, images)
        for to in ("hf", "openclip"):
            try:
                tinyclip(program, "convert", given, os.path.join(folder, "refused"), "--to", to)
                tally.check(False, f"{name} to {to} is refused")
            except ProgramFailed as failure:
                tally.check("cannot hold a pruned model" in str(failure), f"{name} to {to} is refused", str(failure)[:60])
        single = os.path.join(folder, f"pruned {dtype}.safetensors")
        kind = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]
        tinyclip(program, "convert", given, single, "--dtype", kind)
        compare(tally, program, f"{name} in the single file", single, model, images)


# ---- forms of transformers

def hf_shards(model, folder, _):
    model.save_pretrained(folder, max_shard_size="4MB")


def hf_binary(model, folder, tensors):
    torch.save(tensors, os.path.join(folder, "pytorch_model.bin"))


def hf_binary_shards(model, folder, tensors):
    names, files = sorted(tensors), 3
    where = {name: f"pytorch_model-{i % files + 1:05}-of-{files:05}.bin" for i, name in enumerate(names)}
    for file in set(where.values()):
        torch.save({name: tensors[name] for name in names if where[name] == file}, os.path.join(folder, file))
    with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": sum(v.nbytes for v in tensors.values())}, "weight_map": where}, f)


def hf_forms(tally, program, images):
    pixels = hf_side.open_image_list(hf_side.image_processor(HF_SPEC["image"]), images)
    encoding = hf_side.encode_texts(hf_side.hf_tokenizer(), TEXTS)
    for form in (None, hf_shards, hf_binary, hf_binary_shards):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            name = f"transformers {form.__name__[3:] if form else 'one file'} {str(dtype)[6:]}"
            model = rounded(hf_side.make_model(HF_SPEC, seed=23), dtype)
            with tempfile.TemporaryDirectory() as folder:
                hf_side.save(model, folder)
                if form:
                    os.remove(os.path.join(folder, "model.safetensors"))
                    form(model, folder, state(model))
                written = sorted(x for x in os.listdir(folder) if x.endswith((".bin", ".safetensors")))
                tally.check(len(written) == (1 if form in (None, hf_binary) else 3) or form == hf_shards and len(written) > 1, f"{name}: files",
                            str(written))
                try:
                    ours = score(program, folder, images, TEXTS)
                except ProgramFailed as failure:
                    tally.check(False, name, str(failure))
                    continue
                judge(tally, name, ours, *hf_side.both_precisions(model.float(), pixels, encoding))


def main():
    program, tally = arguments(__doc__), Tally()
    torch.manual_seed(24)
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)[:8]
        openclip_forms(tally, program, folder, images)
        pruned_forms(tally, program, folder, images)
        hf_forms(tally, program, images)
    tally.close()


main()
