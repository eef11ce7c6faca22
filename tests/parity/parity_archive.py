"""Saves state dicts with torch in every form that it has and compares what our reader finds in them with what torch loads, byte for byte.

usage: parity_archive.py [BUILD]      BUILD: the build folder that holds tests/unit/test_archive (default: build)
"""
import argparse
import collections
import os
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")

import torch
from safetensors.torch import load_file

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
FAILED = 0


def check(good, name, detail=""):
    global FAILED
    FAILED += not good
    print(f"{'ok' if good else 'not ok'} - {name}{'  # ' if detail else ''}{detail}", flush=True)


def same(a, b):
    """Equal in dtype, shape and every byte."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.contiguous().reshape(-1).view(torch.uint8).equal(b.contiguous().reshape(-1).view(torch.uint8))


def convert(build, path):
    out = path + ".safetensors"
    done = subprocess.run([os.path.join(build, "tests/unit/test_archive"), "--convert", path, out], capture_output=True, text=True, check=False)
    return (load_file(out) if done.returncode == 0 else None), done.stderr.strip()


def compare(build, path, name, expected):
    ours, message = convert(build, path)
    if ours is None:
        check(False, name, message)
        return
    wrong = sorted(set(ours) ^ set(expected)) + sorted(k for k in set(ours) & set(expected) if not same(ours[k], expected[k].detach()))
    check(not wrong and expected, name, f"{len(expected)} tensors" if not wrong else f"differ: {wrong[:4]}")


def random_tensor(dtype, shape, generator):
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return torch.randint(max(low, -2 ** 40), min(high, 2 ** 40), shape, generator=generator).to(dtype)


def flat(value, prefix=""):
    """Tensors of nested dicts by their joined names."""
    out = {}
    for k, v in value.items():
        out.update(flat(v, f"{prefix}{k}.") if isinstance(v, dict) else {prefix + k: v})
    return out


def state_dicts(g):
    """name -> (what is saved, the tensors that are expected)"""
    every = {f"{str(d)[6:]}.{i}": random_tensor(d, s, g) for d in DTYPES for i, s in enumerate([(3, 5), (), (0, 4), (1,), (2, 3, 1, 5), (70, 33)])}
    base = torch.randn(12, 20, generator=g)
    views = {"base": base, "alias": base, "transposed": base.t(), "rows": base[3:7], "columns": base[:, 5:11], "strided": base[1::3, ::4],
             "permuted": torch.randn(2, 3, 4, 5, generator=g).permute(3, 1, 0, 2), "expanded": torch.randn(1, 7, generator=g).expand(6, 7),
             "one": base[4, 9], "channels_last": torch.randn(2, 3, 8, 8, generator=g).to(memory_format=torch.channels_last),
             "diagonal": base[:12, :12].diagonal(), "unfold": torch.arange(20.).unfold(0, 5, 2), "half": base.half().t(), "bytes": torch.arange(
                 60, dtype=torch.uint8).view(6, 10).t(), "positions": torch.arange(77).expand((1, -1)), "empty_view": base[5:5].t()}
    model = torch.nn.Sequential(collections.OrderedDict(a=torch.nn.Linear(6, 9), b=torch.nn.BatchNorm1d(9), c=torch.nn.Sequential(torch.nn.Linear(9, 4))))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(8, 6, generator=g)).square().sum().backward()
        optimizer.step()
    state = model.state_dict()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    checkpoint = {"epoch": 7, "name": "run ünicode", "args": argparse.Namespace(lr=1e-3, layers=[1, 2], nothing=None, path="/x", flags={"a", "b"}),
                  "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "big": 2 ** 40, "huge": 2 ** 90, "negative": -5,
                  "losses": [0.5] * 2000, "rng": torch.get_rng_state(), "scaler": {"scale": 65536.0}, "dtype": torch.float16,
                  "device": torch.device("cpu"), "size": torch.Size([1, 2]), "default": collections.defaultdict(list, a=[1]), "state_dict": state}
    parameters = {k: torch.nn.Parameter(v) for k, v in state.items() if v.is_floating_point()}
    nested = {"a": {"b": {"c": base, "d": torch.arange(3)}, "e": collections.OrderedDict(f=base.t())}}
    tied = torch.nn.Module()
    tied.a = tied.b = torch.nn.Linear(5, 5)
    many = {f"layer.{i}.weight": torch.full((2,), float(i)) for i in range(3000)}
    return {"every dtype": (every, every), "views": (views, views), "module": (state, state), "checkpoint": (checkpoint, state),
            "parameters": (parameters, parameters), "nested": (nested, flat(nested)), "wrapped twice": ({"model": {"state_dict": state}}, state),
            "model": ({"model": state, "epoch": 1}, state), "tied": (tied.state_dict(), tied.state_dict()), "3000 tensors": (many, many)}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Linear(8, 8)
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, x):
        return x + self.proj(self.norm(x).to(self.proj.weight.dtype)).to(x.dtype)


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 4, stride=4, bias=False)
        self.blocks = torch.nn.Sequential(Block(), Block())
        self.scale = torch.nn.Parameter(torch.tensor(2.5))
        self.register_buffer("resolution", torch.tensor(16))

    def forward(self, x):
        x = self.conv(x.to(self.conv.weight.dtype)).to(x.dtype).flatten(2).transpose(1, 2)
        return self.blocks(x + torch.ones(8)) * self.scale


def scripted():
    """name -> TorchScript module: half weights in the layers that OpenAI's models keep so, the rest float."""
    out = {}
    for way in ("script", "trace", "frozen type"):
        model = Small().eval()
        for m in model.modules():
            if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
                m.half()
        if way == "frozen type":
            model = model.double()
        out[way] = torch.jit.trace(model, torch.randn(1, 3, 16, 16)) if way == "trace" else torch.jit.script(model)
    return out


def refused(build, folder, g):
    """What cannot be read says why."""
    plain = {"w": torch.randn(3, generator=g)}
    cases = {"protocol 4": (plain, {"pickle_protocol": 4}, "pickle protocol 4"), "protocol 5": (plain, {"pickle_protocol": 5}, "pickle protocol 5"),
             "a whole module": (torch.nn.Linear(2, 2), {}, "torch.nn.modules.linear.Linear"),
             "a number inside": ({"w": plain["w"], "n": 1}, {}, "'n' is a whole number, expected a tensor"),
             "sparse": ({"w": plain["w"], "s": torch.eye(3).to_sparse()}, {}, "_rebuild_sparse_tensor"),
             "complex": ({"w": torch.ones(2, dtype=torch.complex64)}, {}, "torch.ComplexFloatStorage")}
    for name, (value, options, message) in cases.items():
        path = os.path.join(folder, "refused.pt")
        torch.save(value, path, **options)
        ours, said = convert(build, path)
        check(ours is None and message in said and said.startswith(path), f"refused: {name}", said.replace(folder, ""))


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    g = torch.Generator().manual_seed(11)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt")
        for name, (value, expected) in state_dicts(g).items():
            for new in (True, False):
                torch.save(value, path, _use_new_zipfile_serialization=new)
                compare(build, path, f"{name}, {'zip' if new else 'before 1.6'}", expected)
        with open(path, "wb") as file: # not seekable by name, so the folder inside is called archive
            torch.save(expected, file)
        compare(build, path, "saved to an open file", expected)
        for way, module in scripted().items():
            module.save(path)
            compare(build, path, f"TorchScript, {way}", module.state_dict())
        refused(build, folder, g)
    return 1 if FAILED else 0


sys.exit(main())
