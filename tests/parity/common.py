"""What the parity scripts share: the tally, calls of the program, weights with spread, self-drawn images and the judge.

The judge is the peer in float64. An f32 result of ours passes if it is at most twice as far from that as the peer's own f32
result, or within 1e-5 of the largest value, whichever is more.
"""
import argparse
import json
import os
import subprocess
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()

TEXTS = [
    "a photo of a cat", "two dogs on a red sofa", "Ein Bär läuft über die Brücke", "日本の猫 🐈 on a roof", "", "naïve café, déjà-vu!",
    "a  picture\tof\n something   with odd    spaces ", "it's 2024: we've got 100% of what they'd want; don't you?",
    "a very long sentence that never ends because it goes on and on about nothing in particular " * 6,
    "СТОЛИЦА і Ω ὈΔΥΣΣΕΎΣ", "x", "<|endoftext|> in the middle",
]


class Tally:
    """Prints one line a check and the sum at the end."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, name, detail=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(f"{'ok' if good else 'not ok'} {self.passed + self.failed} - {name}{'  # ' if detail else ''}{detail}", flush=True)
        return good

    @staticmethod
    def say(text):
        print(f"# {text}", flush=True)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def arguments(doc):
    p = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    p.add_argument("build", nargs="?", default="build", help="the build folder")
    args = p.parse_args()
    program = os.path.join(args.build, "tinyclip")
    if not os.path.exists(program):
        sys.exit(f"{program}: not there; run make first")
    return program


class ProgramFailed(Exception):
    pass


def tinyclip(program, *args):
    """Runs the program; what it prints on stdout."""
    done = subprocess.run([program, *map(str, args)], capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ProgramFailed(f"tinyclip {args[0]} ended with {done.returncode}: {' '.join(last)}")
    return done.stdout.decode()


# Times a run and takes its memory from a small process: the largest resident set that the kernel reports for a program starts with that
# of the process it was started from.
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(json.dumps([time.perf_counter() - start, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]))
"""


def timed(program, *args):
    """(seconds of wall time, largest resident bytes, exit code) of one run with its output thrown away."""
    command = [sys.executable, "-S", "-E", "-c", LAUNCHER, program, *map(str, args)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def score(program, model, images, texts, *extra):
    """What `score` answers, as arrays."""
    args = [x for path in images for x in ("--image", path)] + [x for text in texts for x in ("--text", text)]
    answer = json.loads(tinyclip(program, "score", model, *args, *extra, "--json"))
    return {k: np.array(v) for k, v in answer.items() if k in ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text", "probs")}


def preprocess(program, image, folder, *args):
    out = os.path.join(folder, "pixels.npy")
    tinyclip(program, "preprocess", *args, image, "-o", out)
    return np.load(out)


# ---- the judge ----------------------------------------------------------------------------------------------------------------

def judge(tally, name, ours, peer32, peer64):
    """One check for each output; peer32 and peer64 are dictionaries of arrays."""
    for key, exact in peer64.items():
        if key not in ours or ours[key].shape != exact.shape:
            tally.check(False, f"{name} {key}", f"ours {ours[key].shape if key in ours else 'missing'}, peer {exact.shape}")
            continue
        distance, peer = np.abs(ours[key] - exact).max(), np.abs(peer32[key] - exact).max()
        floor = 1e-5 * np.abs(exact).max()
        tally.check(distance <= max(2 * peer, floor), f"{name} {key}",
                    f"ours {distance:.2e}, peer {peer:.2e}, floor {floor:.2e}, spread {np.ptp(exact, axis=0).mean():.3g}")


# ---- weights ------------------------------------------------------------------------------------------------------------------

def deviation(name, parameter):
    """Standard deviation with which a tensor keeps the size of what passes through it, so that features differ from input to input."""
    if parameter.ndim == 4:
        return np.prod(parameter.shape[1:]) ** -0.5
    if "token_embedding" in name or "class_embedding" in name:
        return 0.5
    if "position" in name:
        return 0.3
    inputs = parameter.shape[0] if name.endswith(("visual.proj", "text_projection")) else parameter.shape[-1]
    return inputs ** -0.5


def spread_weights(model, seed):
    """Random weights everywhere, biases, norms and running statistics included: initialisers leave those at 0 and 1, which hides mistakes.
    Features get spread and logits the range of trained models."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "logit_scale" in name:
                p.fill_(4.6052)
            elif name.endswith("class_embedding") or p.ndim > 1:
                p.copy_(noise * float(deviation(name, p)))
            elif name.endswith("bias"):
                p.copy_(0.1 * noise)
            else:
                p.copy_(1 + 0.1 * noise)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.2 * torch.randn(buffer.shape, generator=generator))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
        elif name.endswith("num_batches_tracked"):
            buffer.fill_(123456)
    return model.eval()


# ---- tokenizer files ------------------------------------------------------------------------------------------------------------

def hf_tokenizer():
    """transformers' CLIPTokenizer with the vocabulary that comes with open_clip."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer
    source = SimpleTokenizer()
    vocab = {("<|startoftext|>" if k == "<start_of_text>" else "<|endoftext|>" if k == "<end_of_text>" else k): v
             for k, v in source.encoder.items()}
    merges = [pair for pair, _ in sorted(source.bpe_ranks.items(), key=lambda item: item[1])]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


# ---- images -------------------------------------------------------------------------------------------------------------------

def picture(rng, width, height):
    """Smooth colours, shapes with edges, and fine noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (7, 6, 3), np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(1, width + 1), rng.integers(1, height + 1)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)([x, y, x + w // 2, y + h // 2], fill=tuple(map(int, rng.integers(0, 256, 3))))
    noisy = np.asarray(image, np.int16) + rng.integers(-12, 13, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def alpha_plane(rng, width, height):
    return Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((width, height)).filter(ImageFilter.GaussianBlur(3))


def make_images(folder, seed=7):
    """Files of several modes, sizes and formats; their paths."""
    rng = np.random.default_rng(seed)
    def rgb(w, h):
        return picture(rng, w, h)
    def with_alpha(mode, w, h):
        image = rgb(w, h).convert(mode)
        image.putalpha(alpha_plane(rng, w, h))
        return image
    exif = Image.Exif()
    exif[0x112] = 6
    palette = rgb(180, 140).quantize(50)
    sixteen = Image.fromarray((np.asarray(rgb(170, 160).convert("L"), np.uint16) * 3))
    files = [
        ("jpeg_420.jpg", rgb(640, 427), {"quality": 80}), ("jpeg_444_odd.jpg", rgb(251, 189), {"quality": 95, "subsampling": 0}),
        ("jpeg_422.jpg", rgb(301, 333), {"subsampling": 1}), ("jpeg_gray.jpg", rgb(300, 400).convert("L"), {}),
        ("jpeg_progressive.jpg", rgb(500, 375), {"progressive": True}), ("jpeg_cmyk.jpg", rgb(320, 240).convert("CMYK"), {"quality": 90}),
        ("jpeg_exif.jpg", rgb(320, 240), {"exif": exif}), ("png_rgb.png", rgb(333, 500), {}), ("png_gray.png", rgb(260, 230).convert("L"), {}),
        ("png_la.png", with_alpha("L", 256, 300), {}), ("png_rgba.png", with_alpha("RGB", 400, 300), {}), ("png_palette.png", palette, {}),
        ("png_palette_transparent.png", palette, {"transparency": 7}), ("png_bit.png", rgb(310, 290).convert("1"), {}),
        ("png_16.png", sixteen, {}), ("png_key.png", rgb(230, 250), {"transparency": (10, 20, 30)}),
        ("webp_lossy.webp", rgb(400, 301), {"quality": 80}), ("webp_lossless.webp", rgb(275, 310), {"lossless": True}),
        ("webp_alpha.webp", with_alpha("RGB", 300, 280), {"quality": 70}), ("gif.gif", palette, {}), ("bmp.bmp", rgb(290, 310), {}),
        ("small.png", rgb(20, 31), {}), ("tall.png", rgb(90, 700), {}), ("wide.png", rgb(900, 70), {}), ("square.png", rgb(224, 224), {}),
        ("one.png", rgb(1, 1), {}),
    ]
    paths = []
    for name, image, options in files:
        paths.append(os.path.join(folder, name))
        image.save(paths[-1], **options)
    return paths
