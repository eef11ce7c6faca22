"""transformers' side of the parity scripts: models, processors, and their results in f32 and float64."""
import os

import numpy as np
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

from common import hf_tokenizer, spread_weights


def make_model(spec, seed):
    """spec: image and, if other than the crop, resize; patch, vision (layers, width, heads, ffn), text likewise, embed, act, eos."""
    layers, width, heads, ffn = spec["vision"]
    vision = {"image_size": spec["image"], "patch_size": spec["patch"], "num_hidden_layers": layers, "hidden_size": width,
              "num_attention_heads": heads, "intermediate_size": ffn, "hidden_act": spec["act"]}
    layers, width, heads, ffn = spec["text"]
    text = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ffn, "hidden_act": spec["act"],
            "vocab_size": 49408, "max_position_embeddings": 77, "bos_token_id": 49406, "eos_token_id": spec["eos"], "pad_token_id": 1}
    return spread_weights(CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=spec["embed"])), seed)


def image_processor(size, resize=None):
    return CLIPImageProcessorPil(size={"shortest_edge": resize or size}, crop_size={"height": size, "width": size})


def save(model, folder, resize=None, old_layout=True):
    """The folder as transformers 5 writes it, or with the files that older versions wrote: preprocessor_config.json, vocab.json, merges.txt."""
    model.save_pretrained(folder)
    processor, tokenizer = image_processor(model.config.vision_config.image_size, resize), hf_tokenizer()
    if old_layout:
        processor.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        os.remove(os.path.join(folder, "tokenizer.json"))
        tokenizer.backend_tokenizer.model.save(str(folder))
    else:
        CLIPProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def encode_texts(tokenizer, texts):
    return tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")


def open_image_list(processor, images):
    from PIL import Image
    return torch.from_numpy(np.concatenate([processor(Image.open(path), return_tensors="np")["pixel_values"] for path in images]))


def results(model, pixel_values, encoding):
    """CLIPModel's outputs as float64 arrays; the model's own precision decides how they are computed."""
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        out = model(pixel_values=pixel_values.to(dtype), **encoding)
    found = {key: getattr(out, key).double().numpy() for key in ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text")}
    found["probs"] = out.logits_per_image.softmax(-1).double().numpy()
    return found


def both_precisions(model, pixel_values, encoding):
    """(f32, float64) results; leaves the model in float64."""
    single = results(model, pixel_values, encoding)
    return single, results(model.double(), pixel_values, encoding)


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".safetensors"))
