"""What `convert` writes opens in transformers, open_clip and ONNX Runtime, and gives the same results there.

Models with random weights that transformers and open_clip make in this run are converted from their own files to each form. The judge is the model
itself in float64; a result is good if it is at most twice as far from that as the model's own in f32, or within 1e-5 of the largest value. Weights of
16 bits are compared with the model running those very weights. The peer of a pruned model is the whole one with zeros in it. One of pruned width and
a pruned ResNet, which no peer has, come from tests/unit/test_convert; there the judge is the ONNX graph run in float64 by ONNX's reference evaluator.
"""
import copy
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
import open_clip
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPProcessor

import hf_side
import openclip_side
from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, spread_weights, tinyclip

HF_SPECS = [
    {"name": "hf tiny", "image": 32, "patch": 8, "embed": 24, "vision": (2, 36, 3, 112), "text": (2, 20, 2, 80), "act": "quick_gelu", "eos": 2},
    {"name": "hf narrow", "image": 50, "patch": 16, "embed": 40, "vision": (3, 80, 5, 200), "text": (1, 48, 3, 96), "act": "gelu", "eos": 49407},
    {"name": "hf ViT-8M/16", "image": 224, "patch": 16, "embed": 512, "vision": (10, 256, 4, 1024), "text": (3, 256, 4, 1024), "act": "gelu",
     "eos": 49407},
]
OPENCLIP_CONFIGS = {
    "open_clip tiny": {"embed_dim": 32, "quick_gelu": True,
                       "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "head_width": 16, "patch_size": 8, "mlp_ratio": 3.1},
                       "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 40, "heads": 4, "layers": 3}},
    "open_clip 28 pixels": {"embed_dim": 64, "vision_cfg": {"image_size": 28, "layers": 4, "width": 128, "patch_size": 7},
                            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2}},
    "open_clip ResNet": {"embed_dim": 40, "vision_cfg": {"image_size": 64, "layers": [2, 1, 2, 1], "width": 8, "head_width": 16, "patch_size": None},
                         "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2}},
    "open_clip RN50": {"embed_dim": 64, "quick_gelu": True,
                       "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 24, "patch_size": None},
                       "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}},
}
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
BATCH = 5


# ---- the two peers behind one face: results as CLIPModel names them, and embeddings before they are normalised

class Transformers:
    def __init__(self, model):
        self.model = model

    def results(self, pixel_values, ids):
        dtype = next(self.model.parameters()).dtype
        out = hf_side.results(self.model, pixel_values, {"input_ids": ids})
        with torch.no_grad():
            image = self.model.visual_projection(self.model.vision_model(pixel_values=pixel_values.to(dtype)).pooler_output)
            text = self.model.text_projection(self.model.text_model(input_ids=ids).pooler_output)
        return out, {"image_embeds": image.double().numpy(), "text_embeds": text.double().numpy()}


class OpenClip:
    def __init__(self, model):
        self.model = model

    def results(self, pixel_values, ids):
        out = openclip_side.results(self.model, pixel_values, ids)
        with torch.no_grad():
            image, text = self.model.encode_image(pixel_values.to(self.model.logit_scale.dtype)), self.model.encode_text(ids)
        return out, {"image_embeds": image.double().numpy(), "text_embeds": text.double().numpy()}


class Source:
    """A model of a peer with weights of one type, its inputs, and its own results in f32 and float64."""

    def __init__(self, name, side, pixel_values, ids):
        self.name, self.side, self.pixel_values, self.ids = name, side, pixel_values, ids
        self.single = self.exact = None

    def rounded_to(self, dtype):
        model = copy.deepcopy(self.side.model).to(DTYPES[dtype]).float()
        with torch.no_grad():
            other = Source(f"{self.name} {dtype}", type(self.side)(model), self.pixel_values, self.ids)
            other.single = other.side.results(self.pixel_values, self.ids)
            other.exact = type(self.side)(copy.deepcopy(model).double()).results(self.pixel_values, self.ids)
        return other


def judge_whole(tally, name, source, ours):
    judge(tally, name, ours, source.single[0], source.exact[0])


# ---- the forms

def check_hf(tally, source, folder, dtype, processor):
    model, info = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {kind: sorted(map(str, info[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if info.get(kind)}
    tally.check(not wrong, f"{source.name} to hf opens in CLIPModel.from_pretrained", str(wrong or ""))
    stored = CLIPModel.from_pretrained(folder, dtype="auto").dtype
    tally.check(stored == DTYPES[dtype], f"{source.name} to hf: config.json names the type", str(stored))
    judge_whole(tally, f"{source.name} to hf", source, Transformers(model.eval()).results(source.pixel_values, source.ids)[0])
    if dtype == "f32":
        check_processor(tally, source, folder, processor)


def check_processor(tally, source, folder, processor):
    opened = CLIPProcessor.from_pretrained(folder)
    ids = hf_side.encode_texts(opened.tokenizer, TEXTS)["input_ids"]
    tally.check(torch.equal(ids, hf_side.encode_texts(hf_side.hf_tokenizer(), TEXTS)["input_ids"]), f"{source.name} to hf: CLIPProcessor's ids")
    if processor:
        image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 61, 3), np.uint8))
        wanted = processor(image, return_tensors="np")["pixel_values"]
        kind = type(processor).from_pretrained(folder)
        tally.check(np.array_equal(wanted, kind(image, return_tensors="np")["pixel_values"]), f"{source.name} to hf: pixel_values")


def check_openclip(tally, source, folder, dtype):
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    judge_whole(tally, f"{source.name} to openclip", source, OpenClip(model.eval()).results(source.pixel_values, source.ids)[0])
    if dtype != "f32":
        return
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    tally.check(torch.equal(tokenizer(TEXTS), open_clip.tokenize(TEXTS)), f"{source.name} to openclip: ids")
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 61, 3), np.uint8))
    wanted = open_clip.image_transform(source.pixel_values.shape[-1], is_train=False)(image)
    tally.check(torch.equal(preprocess(image), wanted), f"{source.name} to openclip: pixel_values")


def session(path):
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(opened, feed):
    outputs = [x.name for x in opened.get_outputs()]
    return dict(zip(outputs, opened.run(outputs, {x.name: feed[x.name] for x in opened.get_inputs()})))


def shapes(opened):
    return {x.name: x.shape for x in [*opened.get_inputs(), *opened.get_outputs()]}


def in_pieces(opened, pixel_values, ids, images, texts):
    """All results of a batch, run with so many images and texts at a time."""
    found = {}
    for i in range(0, len(pixel_values), images):
        for t in range(0, len(ids), texts):
            rows = {"image_embeds": np.s_[i:i + images], "text_embeds": np.s_[t:t + texts], "logits_per_image": np.s_[i:i + images, t:t + texts],
                    "logits_per_text": np.s_[t:t + texts, i:i + images]}
            for key, value in run(opened, {"pixel_values": pixel_values[i:i + images], "input_ids": ids[t:t + texts]}).items():
                sizes = {"image_embeds": (len(pixel_values), value.shape[1]), "text_embeds": (len(ids), value.shape[1]),
                         "logits_per_image": (len(pixel_values), len(ids)), "logits_per_text": (len(ids), len(pixel_values))}
                found.setdefault(key, np.full(sizes[key], np.nan, np.float32))[rows[key]] = value
    return found


def paddings(ids):
    """The same captions padded to the context, to the longest one, and with zeros behind the first end-of-text id."""
    length = int((ids == 49407).int().argmax(1).max()) + 1
    zeros = ids.clone()
    for row, end in zip(zeros, (ids == 49407).int().argmax(1)):
        row[end + 1:] = 0
    return {"full": ids, "longest": ids[:, :length], "zeros": zeros}


def check_onnx(tally, source, folder, dtype):
    towers = {name: session(os.path.join(folder, f"{name}.onnx")) for name in ("vision_model", "text_model", "model")}
    side, width = source.pixel_values.shape[-1], source.single[1]["image_embeds"].shape[1]
    wanted = {"pixel_values": ["image_batch_size", 3, side, side], "input_ids": ["text_batch_size", "sequence_length"],
              "logits_per_image": ["image_batch_size", "text_batch_size"], "logits_per_text": ["text_batch_size", "image_batch_size"],
              "image_embeds": ["image_batch_size", width], "text_embeds": ["text_batch_size", width]}
    tally.check(shapes(towers["model"]) == wanted, f"{source.name} to onnx passes onnx.checker, names and free sizes")
    pixel_values, exact = source.pixel_values.numpy(), source.exact[0]
    exact = {key: value for key, value in exact.items() if key != "probs"}
    for way, ids in (paddings(source.ids) if dtype == "f32" else {"full": source.ids}).items():
        for images, texts in ((BATCH, BATCH), (1, BATCH), (1, 1)):
            if way != "full" and images == 1:
                continue
            name = f"{source.name} to onnx, padding {way}, {images} images and {texts} texts at once"
            judge(tally, name, in_pieces(towers["model"], pixel_values, ids.numpy(), images, texts), source.single[0], exact)
            alone = {key: value for tower in ("vision_model", "text_model")
                     for key, value in in_pieces(towers[tower], pixel_values, ids.numpy(), images, texts).items()}
            judge(tally, f"{name}, towers alone", alone, source.single[1], source.exact[1])


def same_file(a, b):
    with open(a, "rb") as f, open(b, "rb") as g:
        return f.read() == g.read()


def check_source(tally, program, source, path, processor=None, forms=("hf", "openclip", "onnx")):
    for dtype in DTYPES:
        rounded = source.rounded_to(dtype)
        with tempfile.TemporaryDirectory() as folder:
            def out(name):
                return os.path.join(folder, name)
            try:
                for form in forms:
                    tinyclip(program, "convert", path, out(form), "--to", form, "--dtype", dtype)
                tinyclip(program, "convert", path, out("file.safetensors"), "--dtype", dtype)
                for form in forms:
                    tinyclip(program, "convert", out("file.safetensors"), out(form + " again"), "--to", form, "--dtype", dtype)
            except ProgramFailed as failure:
                tally.check(False, rounded.name, str(failure))
                continue
            if "hf" in forms:
                check_hf(tally, rounded, out("hf"), dtype, processor)
            if "openclip" in forms:
                check_openclip(tally, rounded, out("openclip"), dtype)
            check_onnx(tally, rounded, out("onnx"), dtype)
            for form in forms:
                same = all(same_file(os.path.join(out(form), name), os.path.join(out(form + " again"), name)) for name in os.listdir(out(form))
                           if name.endswith((".onnx", ".safetensors")))
                tally.check(same, f"{rounded.name} to safetensors and on to {form} is the same")


# ---- models of pruned width and of pruned channels

def doubled(path):
    """The ONNX model with every f32 tensor as float64."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return model


def check_pruned(tally, build, option, label):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(build, "tests/unit/test_convert"), option, folder], check=True)
        arrays = {name: np.load(os.path.join(folder, f"{name}.npy")) for name in ("pixel_values", "input_ids", "image_embeds", "text_embeds")}
        exact, runtime, ours = {}, {}, {}
        for tower, output in (("vision_model", "image_embeds"), ("text_model", "text_embeds")):
            path = os.path.join(folder, f"{tower}.onnx")
            inputs = [x.name for x in session(path).get_inputs()]
            feed = {key: arrays[key] for key in inputs}
            runtime.update(run(session(path), feed))
            double = {key: x.astype(np.float64) if x.dtype == np.float32 else x for key, x in feed.items()}
            exact[output] = ReferenceEvaluator(doubled(path)).run([output], double)[0]
            ours[output] = arrays[output]
        tally.check(all(x.dtype == np.float64 for x in exact.values()), f"{label}: the judge runs in float64")
        judge(tally, f"{label} in ONNX Runtime", runtime, ours, exact)
        judge(tally, f"{label} here", ours, runtime, exact)
        whole = run(session(os.path.join(folder, "model.onnx")), arrays)
        unit = {key: x / np.linalg.norm(x, axis=1, keepdims=True) for key, x in exact.items()}
        normalized = {key: x / np.linalg.norm(x, axis=1, keepdims=True) for key, x in ours.items()}
        judge(tally, f"{label}, model.onnx", whole, normalized, unit)


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)[:BATCH]
        ids = hf_side.encode_texts(hf_side.hf_tokenizer(), TEXTS[:BATCH])["input_ids"]
        for number, spec in enumerate(HF_SPECS):
            model, path = hf_side.make_model(spec, seed=300 + number), os.path.join(folder, f"hf{number}")
            hf_side.save(model, path)
            processor = hf_side.image_processor(spec["image"])
            source = Source(spec["name"], Transformers(model), hf_side.open_image_list(processor, images), ids)
            check_source(tally, program, source, path, processor)
        for number, (name, config) in enumerate(OPENCLIP_CONFIGS.items()):
            model, path = spread_weights(open_clip.CLIP(**copy.deepcopy(config)), seed=400 + number), os.path.join(folder, f"open_clip{number}")
            write_openclip(model, config, path)
            pixel_values = openclip_side.open_image_list(config["vision_cfg"]["image_size"], images)
            source = Source(name, OpenClip(model), pixel_values, open_clip.tokenize(TEXTS[:BATCH]))
            resnet = isinstance(config["vision_cfg"]["layers"], list)
            check_source(tally, program, source, path, forms=("openclip", "onnx") if resnet else ("hf", "openclip", "onnx"))
        model, path = spread_weights(open_clip.CLIP(**copy.deepcopy(openclip_side.PRUNED)), seed=600), os.path.join(folder, "pruned.pt")
        torch.save(openclip_side.prune(model, seed=601), path)
        with open(os.path.join(folder, "pruned.config.json"), "w", encoding="utf-8") as f:
            json.dump(openclip_side.PRUNED, f)
        pixel_values = openclip_side.open_image_list(openclip_side.PRUNED["vision_cfg"]["image_size"], images)
        check_source(tally, program, Source("pruned ViT", OpenClip(model), pixel_values, open_clip.tokenize(TEXTS[:BATCH])), path, forms=("onnx",))
    check_pruned(tally, os.path.dirname(program), "--pruned", "pruned")
    check_pruned(tally, os.path.dirname(program), "--pruned-resnet", "pruned ResNet")
    tally.close()


def write_openclip(model, config, path):
    """A folder as open_clip's own hub tool writes it."""
    os.makedirs(path)
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}, os.path.join(path, "open_clip_model.safetensors"))
    with open(os.path.join(path, "open_clip_config.json"), "w", encoding="utf-8") as f:
        json.dump({"model_cfg": config, "preprocess_cfg": {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}}, f)


main()
