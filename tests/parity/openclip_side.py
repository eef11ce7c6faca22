"""open_clip's side of the parity scripts: its results in f32 and float64."""
import open_clip
import torch
from PIL import Image


def results(model, pixel_values, ids):
    with torch.no_grad():
        image = model.encode_image(pixel_values.to(model.logit_scale.dtype), normalize=True)
        text = model.encode_text(ids, normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
    out = {"image_embeds": image, "text_embeds": text, "logits_per_image": logits, "logits_per_text": logits.T, "probs": logits.softmax(-1)}
    return {key: value.double().numpy() for key, value in out.items()}


def both_precisions(model, pixel_values, ids):
    """(f32, float64) results; leaves the model in float64."""
    single = results(model, pixel_values, ids)
    return single, results(model.double(), pixel_values, ids)


def open_image_list(size, images):
    transform = open_clip.image_transform(size, is_train=False)
    return torch.stack([transform(Image.open(path)) for path in images])


def state(model):
    """The tensors of a checkpoint."""
    return {k: v.detach().contiguous().clone() for k, v in model.state_dict().items() if k != "attn_mask"}


# ---- pruned models: heads and FFN channels of each block are taken away, in `model` by zeros, so that it computes what is left of it

PRUNED = {"embed_dim": 48, "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "head_width": 16, "patch_size": 16, "mlp_ratio": 3.0},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 60, "heads": 5, "layers": 3}}
# How many heads and channels each block keeps; without channels, the bias of the FFN is left.
KEPT = {"visual.transformer": [(3, 101), (0, 384), (8, 0), (1, 33)], "transformer": [(5, 7), (2, 240), (0, 99)]}


def prune(model, seed):
    """The tensors of the pruned model, as the official TinyCLIP code stores them: each tower under two names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = state(model)
    for prefix, blocks in KEPT.items():
        for number, (heads, channels) in enumerate(blocks):
            block = model.get_submodule(f"{prefix}.resblocks.{number}")
            prune_block(block, f"{prefix}.resblocks.{number}.", tensors, heads, channels, generator)
    out = {}
    for name, tensor in tensors.items():
        tower = "image_encoder" if name.startswith("visual.") else "logit_scale" if name == "logit_scale" else "text_encoder"
        out[f"_{tower}.module.{name}"] = tensor
        if tower != "logit_scale":
            out[f"{tower}_without_ddp.{name}"] = tensor
    return out


def prune_block(block, name, tensors, heads, channels, generator):
    width, dim, ffn = block.attn.embed_dim, block.attn.head_dim, block.mlp.c_fc.out_features
    kept_heads = torch.randperm(width // dim, generator=generator)[:heads].sort().values
    kept = (kept_heads[:, None] * dim + torch.arange(dim)).flatten()
    rows = torch.cat([part * width + kept for part in range(3)])
    kept_channels = torch.randperm(ffn, generator=generator)[:channels].sort().values
    for key, index, axis in (("attn.in_proj_weight", rows, 0), ("attn.in_proj_bias", rows, 0), ("attn.out_proj.weight", kept, 1),
                             ("mlp.c_fc.weight", kept_channels, 0), ("mlp.c_fc.bias", kept_channels, 0), ("mlp.c_proj.weight", kept_channels, 1)):
        tensors[name + key] = tensors[name + key].index_select(axis, index).contiguous()
    if not heads:
        for key in [key for key in tensors if key.startswith((name + "attn.", name + "ln_1."))]:
            del tensors[key]
    with torch.no_grad():
        for layer, index in ((block.attn.out_proj, kept), (block.mlp.c_proj, kept_channels)):
            mask = torch.zeros(layer.in_features, dtype=layer.weight.dtype)
            mask[index] = 1
            layer.weight.mul_(mask)
        if not heads:
            block.attn.out_proj.bias.zero_()
