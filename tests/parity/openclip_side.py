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
