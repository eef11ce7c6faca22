"""Checkpoints without a configuration, under the names of each layout, and models for images of another size, beside open_clip and transformers.

Positions are resized beside torch's own bicubic interpolation, in what `convert --image-size` writes, to float precision.
"""
import json
import os
import tempfile

import numpy as np
import open_clip
import torch
from open_clip.model import convert_weights_to_fp16, resize_pos_embed
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from common import TEXTS, ProgramFailed, Tally, arguments, judge, make_images, score, spread_weights, tinyclip
from openclip_side import both_precisions, open_image_list

# Heads of 64 channels, so that the shapes tell everything.
CONFIG = {"embed_dim": 48, "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16, "mlp_ratio": 3.0},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 3}}

LAYOUTS = {
    "plain": lambda k: k,
    "module.": lambda k: "module." + k,
    "TinyCLIP": lambda k: ("_image_encoder." if k.startswith("visual.") else "_logit_scale." if k == "logit_scale" else "_text_encoder.") + k,
    "TinyCLIP .module": lambda k: ("_image_encoder.module." if k.startswith("visual.") else "_logit_scale.module." if k == "logit_scale"
                                   else "_text_encoder.module.") + k,
}


def state(model):
    return {k: v.detach().contiguous().clone() for k, v in model.state_dict().items() if k != "attn_mask"}


def compare(tally, program, name, weights, images, size, peer, *options):
    try:
        ours = score(program, weights, images, TEXTS, *options)
    except ProgramFailed as failure:
        tally.check(False, name, str(failure))
        return
    judge(tally, name, ours, *both_precisions(peer, open_image_list(size, images), open_clip.tokenize(TEXTS)))


def layouts(tally, program, folder, images):
    for name, rename in LAYOUTS.items():
        model = spread_weights(open_clip.CLIP(**CONFIG), seed=3)
        weights = os.path.join(folder, "layout.safetensors")
        save_file({rename(k): v for k, v in state(model).items()}, weights)
        compare(tally, program, f"{name} without a configuration", weights, images, 64, model)


def openai(tally, program, folder, images):
    """Half weights, the scalars of OpenAI's archives, QuickGELU; the peer runs the same weights in f32."""
    model = spread_weights(open_clip.CLIP(**CONFIG, quick_gelu=True), seed=4)
    convert_weights_to_fp16(model)
    tensors = state(model)
    half = sum(v.dtype == torch.float16 for v in tensors.values())
    tally.check(half > 10, "openai: half weights", f"{half} of {len(tensors)} tensors")
    tensors.update(input_resolution=torch.tensor(64), context_length=torch.tensor(77), vocab_size=torch.tensor(49408))
    weights = os.path.join(folder, "openai.safetensors")
    save_file(tensors, weights)
    compare(tally, program, "openai", weights, images, 64, model.float())


def huggingface(tally, program, folder, images):
    """A lone file with transformers' names, whose activation has to be said."""
    tower = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 128, "intermediate_size": 320, "hidden_act": "quick_gelu"}
    model = CLIPModel(CLIPConfig(projection_dim=48, vision_config=dict(tower, image_size=64, patch_size=16),
                                 text_config=dict(tower, vocab_size=49408, eos_token_id=49407)))
    spread_weights(model, seed=5)
    weights = os.path.join(folder, "hf.safetensors")
    save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()}, weights)
    ids, pixels = open_clip.tokenize(TEXTS), open_image_list(64, images)

    def results(m):
        with torch.no_grad():
            out = m(input_ids=ids, pixel_values=pixels.to(m.logit_scale.dtype))
        return {"image_embeds": out.image_embeds.double().numpy(), "text_embeds": out.text_embeds.double().numpy(),
                "logits_per_image": out.logits_per_image.double().numpy()}
    try:
        ours = score(program, weights, images, TEXTS, "--activation", "quick_gelu", "--tokenizer", "openclip", "--preprocess", "openclip")
    except ProgramFailed as failure:
        tally.check(False, "huggingface names", str(failure))
        return
    judge(tally, "huggingface names", ours, results(model), results(model.double()))


def other_sizes(tally, program, folder, images):
    model = spread_weights(open_clip.CLIP(**CONFIG), seed=6)
    weights, settings = os.path.join(folder, "size.safetensors"), os.path.join(folder, "settings.json")
    save_file(state(model), weights)
    with open(settings, "w", encoding="utf-8") as f:
        json.dump(CONFIG, f)
    for size in (16, 32, 48, 80, 112, 224):
        tensors = state(model)
        peer = open_clip.CLIP(CONFIG["embed_dim"], dict(CONFIG["vision_cfg"], image_size=size), CONFIG["text_cfg"])
        resize_pos_embed(tensors, peer)
        peer.load_state_dict(tensors, strict=False)
        compare(tally, program, f"image size {size}", weights, images, size, peer.eval(), "--model-config", settings, "--image-size", size)


def positions(tally, program, folder):
    """What the program makes of a grid of positions, beside torch's interpolation of the same numbers."""
    rng = np.random.default_rng(1)
    weights, settings, out = (os.path.join(folder, name) for name in ("grid.safetensors", "grid.json", "resized.safetensors"))
    for before in (1, 2, 7, 14, 16, 24):
        config = {"embed_dim": 8, "vision_cfg": {"image_size": 4 * before, "layers": 1, "width": 64, "patch_size": 4},
                  "text_cfg": {"context_length": 4, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}
        tensors = state(open_clip.CLIP(**config))
        grid = rng.standard_normal((1 + before * before, 64)).astype(np.float32)
        tensors["visual.positional_embedding"] = torch.from_numpy(grid)
        save_file(tensors, weights)
        with open(settings, "w", encoding="utf-8") as f:
            json.dump(config, f)
        for after in (1, 2, 3, 7, 8, 14, 16, 21, 24):
            tinyclip(program, "convert", weights, out, "--model-config", settings, "--image-size", 4 * after, "--force")
            ours = load_file(out)["visual.positional_embedding"].numpy()
            planes = torch.from_numpy(grid[1:].reshape(1, before, before, 64)).permute(0, 3, 1, 2)
            single, exact = (torch.nn.functional.interpolate(planes.to(t), size=(after, after), mode="bicubic", antialias=True, align_corners=False)
                             .permute(0, 2, 3, 1).reshape(-1, 64).double().numpy() for t in (torch.float32, torch.float64))
            distance, peer, most = np.abs(ours[1:] - exact).max(), np.abs(single - exact).max(), np.abs(exact).max()
            tally.check(ours.shape == (1 + after * after, 64) and distance <= max(2 * peer, 2.0 ** -23 * most) and (ours[0] == grid[0]).all(),
                        f"positions {before} -> {after}", f"ours {distance:.2e}, peer {peer:.2e}, largest {most:.3g}")


def main():
    program, tally = arguments(__doc__), Tally()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        positions(tally, program, folder)
        for part in (layouts, openai, huggingface, other_sizes):
            part(tally, program, folder, images)
    tally.close()


main()
