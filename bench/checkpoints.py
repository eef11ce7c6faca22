"""Time and memory of opening large checkpoints of PyTorch, beside torch.load: ViT-B/32 with random weights, saved by torch in each form.

usage: checkpoints.py [BUILD] [--keep]      BUILD: the build folder, with tests/unit/test_archive; the files (up to 1.8 GB) are made in it, used again
                                            if they are there, and removed without --keep

Memory is the largest resident set that the kernel reports, of which the pages of the mapped file are a part (the kernel takes those back when it needs
them). Each figure is the least of three runs; the file is in the page cache.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "parity"))

from common import LAUNCHER

MAKE = """
import sys, torch, open_clip
path, form = sys.argv[1:]
model = open_clip.create_model("ViT-B-32", pretrained=None)
state = model.state_dict()
if form == "training":
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for p in model.parameters():
        p.grad = torch.full_like(p, 1e-3)
    optimizer.step()
    state = {"epoch": 1, "name": "x", "state_dict": state, "optimizer": optimizer.state_dict()}
elif form == "half":
    state = {k: v.half() for k, v in state.items()}
torch.save(state, path, _use_new_zipfile_serialization=form != "before 1.6")
"""
LOAD = """
import resource, sys, time, torch
start = time.perf_counter()
torch.load(sys.argv[1], map_location="cpu", weights_only=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


def run(*command):
    """(seconds, largest resident megabytes), each the least of three runs."""
    best = None
    for _ in range(3):
        with open(os.devnull, "w", encoding="ascii") as null:
            done = subprocess.run([sys.executable, "-S", "-E", "-c", LAUNCHER, *command], stdout=subprocess.PIPE, stderr=null, check=True)
        seconds, bytes_, code = json.loads(done.stdout)
        if code:
            sys.exit(f"{' '.join(command)} ended with {code}")
        best = (seconds, bytes_) if best is None else (min(best[0], seconds), min(best[1], bytes_))
    return best[0], best[1] / 1e6


def load(path):
    """The same of torch.load, without the time of its import."""
    runs = [[float(x) for x in subprocess.run([sys.executable, "-c", LOAD, path], stdout=subprocess.PIPE, check=True).stdout.split()] for _ in range(3)]
    return min(r[0] for r in runs), min(r[1] for r in runs)


def main():
    build = next((a for a in sys.argv[1:] if not a.startswith("-")), "build")
    reader, program = os.path.join(build, "tests/unit/test_archive"), os.path.join(build, "tinyclip")
    print("| file | MB | weights MB | info s | info MB | read s | read MB | torch.load s | torch.load MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for form in ("plain", "training", "before 1.6", "half"):
        path = os.path.join(build, f"checkpoint-{form.replace(' ', '-')}.pt")
        if not os.path.exists(path):
            subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE, path, form], check=True)
        weights = json.loads(subprocess.run([reader, "--read", path], stdout=subprocess.PIPE, check=True).stdout)["bytes"]
        info, read, peer = run(program, "info", path, "--model-config", "ViT-B-32"), run(reader, "--read", path), load(path)
        cells = [os.path.getsize(path) / 1e6, weights / 1e6, *info, *read, *peer]
        print(f"| {form} | " + " | ".join(f"{c:.3f}" if i in (2, 4, 6) else f"{c:.0f}" for i, c in enumerate(cells)) + " |", flush=True)
        if "--keep" not in sys.argv:
            os.unlink(path)


main()
