#!/usr/bin/env python3
"""Compares the speed of tinyclip with ONNX Runtime, OpenVINO and PyTorch on the same shapes in one run.

Every program has a process of its own that sleeps on a pipe until it is told to measure, so that no idle thread pool disturbs
the one that is measured. Rounds go through all programs in turn, which spreads slow drifts of the machine over all of them;
the figure of a program is the median of its rounds, and a ratio is ours over the best peer (for times: the peer's over ours).

All peers run f32 with the same number of threads and the same weights, and their outputs are compared with PyTorch's before
anything is measured, so that none computes less, or in bf16. Captions are 10 tokens long with start and end; the peers compute
all positions of the context, as their users do.

The pruned tasks have no peer: they compare a pruned model with the one that it was pruned from, both run by tinyclip in turn. Their
ratio is the gain in speed over the gain that the multiply-accumulates promise (nominal ones: every position, 77 tokens).
"""
import argparse
import hashlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TASKS = ("images_batch1", "images_batch32", "texts", "distill_step")
PRUNED = {"pruned_" + task: task for task in TASKS[:3]}
BATCH = {"images_batch1": 1, "images_batch32": 32, "texts": 32, "distill_step": 32}
# Which variants of a peer are measured for a task; the best counts. One image at a time has no second stream to fill, so at
# batch 1 every peer answers one request after the other.
VARIANTS = {
    "onnxruntime": {task: ["default"] for task in TASKS[:3]},
    "openvino": {"images_batch1": ["latency"], "images_batch32": ["latency", "throughput"], "texts": ["latency", "throughput"]},
    "pytorch": dict({task: ["eager", "sdpa"] for task in TASKS[:3]}, distill_step=["sdpa"]),  # eager was slower in every run
}
CAPTION_TOKENS = 10


# ---- models and inputs: the same in every process -----------------------------------------------------------------------------

def read_config(name):
    """An OpenCLIP configuration, by the name of a file in configs/ or by path."""
    path = name if name.endswith(".json") else os.path.join(ROOT, "configs", name + ".json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    return config.get("model_cfg", config)


def build_model(name):
    """The model of a configuration with random weights, by transformers or, a ResNet, by open_clip; the same weights in each process."""
    import torch
    c = read_config(name)
    v, t = c["vision_cfg"], c["text_cfg"]
    if isinstance(v["layers"], list):
        return build_resnet(c)
    from transformers import CLIPConfig, CLIPModel
    act = "quick_gelu" if c.get("quick_gelu") else "gelu"
    vision = {"hidden_size": v["width"], "intermediate_size": 4 * v["width"], "num_hidden_layers": v["layers"], "hidden_act": act,
              "num_attention_heads": v["width"] // v.get("head_width", 64), "image_size": v["image_size"], "patch_size": v["patch_size"]}
    text = {"hidden_size": t["width"], "intermediate_size": 4 * t["width"], "num_hidden_layers": t["layers"], "hidden_act": act,
            "num_attention_heads": t["heads"], "max_position_embeddings": t.get("context_length", 77),
            "vocab_size": t.get("vocab_size", 49408), "bos_token_id": 49406, "eos_token_id": 49407}
    torch.manual_seed(1)
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=c["embed_dim"])).eval()


def build_resnet(config):
    import torch
    import open_clip
    torch.manual_seed(1)
    model = open_clip.CLIP(**config).eval()
    with torch.no_grad():  # fresh normalisations pass everything on, and the last of a block nothing: give them statistics that do something
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


def set_attention(model, variant):
    """open_clip's attention is PyTorch's own fused one; only transformers has a choice."""
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation(variant)


def encode_image(model, pixel_values):
    if hasattr(model, "visual"):
        return model.encode_image(pixel_values)
    return model.visual_projection(model.vision_model(pixel_values=pixel_values).pooler_output)


def encode_text(model, input_ids):
    if hasattr(model, "visual"):
        return model.encode_text(input_ids)
    return model.text_projection(model.text_model(input_ids=input_ids).pooler_output)


def make_inputs(name):
    import numpy as np
    c, rng = read_config(name), np.random.default_rng(1)
    size, context = c["vision_cfg"]["image_size"], c["text_cfg"].get("context_length", 77)
    ids = np.full((32, context), 49407, np.int64)
    ids[:, 0] = 49406
    ids[:, 1:CAPTION_TOKENS - 1] = rng.integers(1000, 40000, (32, CAPTION_TOKENS - 2))
    images = rng.standard_normal((32, 3, size, size), np.float32)
    return {"images_batch1": images[:1], "images_batch32": images, "texts": ids}


def export_onnx(name, folder):
    """One ONNX file a task, shapes fixed, opset 17. The attention is written out: both readers fuse that form best."""
    import torch
    from torch import nn

    class Tower(nn.Module):
        def __init__(self, model, encode):
            super().__init__()
            self.model, self.encode = model, encode

        def forward(self, x):
            return self.encode(self.model, x)

    os.makedirs(folder, exist_ok=True)
    model, inputs = build_model(name), make_inputs(name)
    set_attention(model, "eager")
    for task, value in inputs.items():
        path = onnx_path(folder, task)
        if os.path.exists(path):
            continue
        tower = Tower(model, encode_text if task == "texts" else encode_image).eval()
        with torch.no_grad():
            torch.onnx.export(tower, (torch.from_numpy(value),), path + ".part", opset_version=17, dynamo=False)
        os.rename(path + ".part", path)


def onnx_path(folder, task):
    return os.path.join(folder, task + ".onnx")


# ---- the measuring processes --------------------------------------------------------------------------------------------------

def median_time(call, seconds, least=3, warm_up=True):
    """Median duration of a call over `seconds`, after a warm-up of one call and a fifth of that time."""
    start = time.perf_counter()
    if warm_up:
        call()
    while warm_up and time.perf_counter() - start < seconds / 5:
        call()
    times, start = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - start < seconds:
        a = time.perf_counter()
        call()
        times.append(time.perf_counter() - a)
    return statistics.median(times)


class OnnxRuntime:
    def __init__(self, args):
        import onnxruntime as ort
        self.inputs, self.sessions = make_inputs(args.model), {}
        for task in VARIANTS["onnxruntime"]:
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
            self.sessions[task] = ort.InferenceSession(onnx_path(args.folder, task), options, providers=["CPUExecutionProvider"])

    def run(self, task):
        session = self.sessions[task]
        return session.run(None, {session.get_inputs()[0].name: self.inputs[task]})[0]

    def measure(self, task, variant, seconds):
        return median_time(lambda: self.run(task), seconds)


class OpenVino:
    def __init__(self, args):
        import openvino
        core, self.ov, self.inputs, self.models = openvino.Core(), openvino, make_inputs(args.model), {}
        for task, variants in VARIANTS["openvino"].items():
            for variant in variants:
                # Without the precision hint OpenVINO takes bf16 where the CPU has it.
                hints = {"PERFORMANCE_HINT": variant.upper(), "INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": "f32"}
                self.models[task, variant] = core.compile_model(onnx_path(args.folder, task), "CPU", hints)
        self.requests = {key: model.create_infer_request() for key, model in self.models.items()}

    def run(self, task):
        return self.requests[task, "latency"].infer({0: self.inputs[task]}, share_inputs=True)[0]

    def measure(self, task, variant, seconds):
        if variant == "latency":
            return median_time(lambda: self.run(task), seconds)
        model = self.models[task, variant]
        jobs = model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        queue = self.ov.AsyncInferQueue(model, jobs)

        def batch_of_requests():
            for _ in range(2 * jobs):
                queue.start_async({0: self.inputs[task]}, share_inputs=True)
            queue.wait_all()
        return median_time(batch_of_requests, seconds) / (2 * jobs)


class PyTorch:
    def __init__(self, args):
        import torch
        self.torch = torch
        torch.set_num_threads(args.threads)
        self.inputs = {task: torch.from_numpy(x) for task, x in make_inputs(args.model).items()}
        self.model, self.args, self.distillation = build_model(args.model), args, None

    def run(self, task):
        encode = encode_text if task == "texts" else encode_image
        with self.torch.inference_mode():
            return encode(self.model, self.inputs[task]).numpy()

    def measure(self, task, variant, seconds):
        if task != "distill_step":
            set_attention(self.model, variant)
            return median_time(lambda: self.run(task), seconds)
        first = not self.distillation
        self.distillation = self.distillation or Distillation(self.torch, self.args, self.inputs)
        self.distillation.set_variant(variant)
        return median_time(self.distillation.step, seconds, warm_up=first)  # a step is long enough to warm up within itself


class Distillation:
    """A step of affinity mimicking as its authors write it in PyTorch: f32, fused AdamW, gradient norm clipped at 5."""

    def __init__(self, torch, args, inputs):
        self.torch, self.inputs = torch, inputs
        self.teacher, self.student = build_model(args.teacher), build_model(args.model).train()
        decay = [p for p in self.student.parameters() if p.ndim >= 2]
        rest = [p for p in self.student.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": 0.2}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, fused=True)

    def set_variant(self, variant):
        set_attention(self.teacher, variant)
        set_attention(self.student, variant)

    def affinity(self, model):
        normalize = self.torch.nn.functional.normalize
        image = normalize(encode_image(model, self.inputs["images_batch32"]), dim=-1)
        text = normalize(encode_text(model, self.inputs["texts"]), dim=-1)
        return 50.0 * image @ text.T

    def step(self):
        f = self.torch.nn.functional
        with self.torch.no_grad():
            target = self.affinity(self.teacher)
        logits = self.affinity(self.student)
        loss = (f.cross_entropy(logits, target.softmax(-1)) + f.cross_entropy(logits.T, target.T.softmax(-1))) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()


WORKERS = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "pytorch": PyTorch}


def work(args):
    """The loop of a measuring process: one JSON request a line on stdin, one answer a line on stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print goes to the log
    if args.worker == "export":
        export_onnx(args.model, args.folder)
        return
    worker = WORKERS[args.worker](args)
    for line in sys.stdin:
        request = json.loads(line)
        if request["what"] == "output":
            answer = worker.run(request["task"])[0].tolist()
        else:
            answer = worker.measure(request["task"], request["variant"], request["seconds"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


# ---- the side that gives the orders -------------------------------------------------------------------------------------------

class Peer:
    def __init__(self, name, python, args):
        self.name, self.log = name, os.path.join(args.folder, name + ".log")
        command = [python, os.path.abspath(__file__), "--worker", name, "--model", args.model, "--teacher", args.teacher,
                   "--threads", str(args.threads), "--folder", args.folder]
        environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads), PYTHONWARNINGS="ignore", HF_HUB_OFFLINE="1")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                sys.exit(f"peers.py: {self.name} ended; the last lines of {self.log}:\n{''.join(log.readlines()[-8:])}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """The program's own bench, started anew for each measurement; one run at batch 32 serves both towers."""

    def __init__(self, args):
        self.args, self.round, self.cache, self.peak = args, -1, {}, []

    def ask(self, *arguments):
        command = [self.args.tinyclip, *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(f"peers.py: {' '.join(command)} failed")
        return json.loads(done.stdout)

    def bench(self, model, extra, round_number):
        if round_number != self.round:
            self.round, self.cache = round_number, {}
        key = (model, *extra)
        if key not in self.cache:
            self.cache[key] = self.ask("bench", model, "--threads", str(self.args.threads), *extra)
        return self.cache[key]

    def macs(self, model, task):
        return self.ask("info", model)["macs_text" if task == "texts" else "macs_image"]

    def measure(self, model, task, round_number):
        if task == "distill_step":
            return self.bench(model, ["--teacher", self.args.teacher, "--batch", "32", "--steps", "3"], round_number)["distill_step_ms"]
        result = self.bench(model, ["--batch", str(BATCH[task])], round_number)
        if task == "images_batch32":
            self.peak.append({k: v for k, v in result.items() if "peak" in k})
        return result["texts_per_second" if task == "texts" else "images_per_second"]


def find_python():
    """This interpreter if it has the peers, or the one of build/venv, which `make venv` makes."""
    if all(importlib.util.find_spec(m) for m in ("torch", "transformers", "open_clip", "onnxruntime", "openvino", "onnx")):
        return sys.executable
    python = os.path.join(ROOT, "build", "venv", "bin", "python")
    if not os.path.exists(python):
        subprocess.run(["make", "-C", ROOT, "venv"], stdout=sys.stderr, check=True)
    return python


def versions(python):
    names = ["torch", "transformers", "open_clip_torch", "onnxruntime", "openvino", "onnx"]
    code = f"import json, importlib.metadata as m; print(json.dumps({{n: m.version(n) for n in {names}}}))"
    found = json.loads(subprocess.run([python, "-c", code], stdout=subprocess.PIPE, check=True).stdout)
    return dict(found, python=platform.python_version())


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def cache_folder(model, found):
    """Where the exported files are kept; another configuration or another exporter has another folder."""
    short = os.path.splitext(os.path.basename(model))[0]
    key = json.dumps([read_config(model), found], sort_keys=True)
    return os.path.join(ROOT, "build", "peers", f"{short}-{hashlib.sha256(key.encode()).hexdigest()[:8]}")


def check_outputs(peers):
    """Largest difference of each peer's embedding from PyTorch's, relative to its largest value; f32 rounding, or the run ends."""
    by_name, differences = {p.name: p for p in peers}, {}
    for task in TASKS[:3]:
        outputs = {name: peer.ask(what="output", task=task) for name, peer in by_name.items()}
        want = outputs["pytorch"]
        scale = max(map(abs, want))
        for name in outputs:
            worst = max(abs(a - b) for a, b in zip(outputs[name], want)) / scale
            if worst > 1e-4:
                sys.exit(f"peers.py: {name} gives another {task} output than PyTorch: relative difference {worst:.2g}")
            differences.setdefault(name, {})[task] = worst
    return differences


def rate(task, seconds):
    """What is reported: items a second, or milliseconds for a step."""
    return seconds * 1e3 if task == "distill_step" else BATCH[task] / seconds


def programs_of(task, args, ours, peers, number):
    """What is measured in turn for a task: (name, function)."""
    if task in PRUNED:
        models = (("pruned", args.pruned), ("whole", args.teacher)) if ours else ()
        return [(name, lambda m=model: ours.measure(m, PRUNED[task], number)) for name, model in models]
    programs = [("tinyclip", lambda: ours.measure(args.model, task, number))] if ours else []
    for peer in peers:
        for variant in VARIANTS[peer.name].get(task, []):
            programs.append((f"{peer.name}-{variant}", lambda p=peer, v=variant: rate(
                task, p.ask(what="measure", task=task, variant=v, seconds=args.seconds))))
    return programs


def run_rounds(args, ours, peers):
    samples = {task: {} for task in args.only}
    for number in range(args.rounds):
        for task in args.only:
            for name, measure in programs_of(task, args, ours, peers, number):
                time.sleep(0.1)  # the last one's threads stop spinning
                samples[task].setdefault(name, []).append(measure())
        print(f"peers.py: round {number + 1} of {args.rounds} done", file=sys.stderr)
    return samples


def compare(task, medians, promised):
    """(name of the best peer, our ratio to it); of a pruned task the model before, and the part of the promised gain"""
    if task in PRUNED:
        return ("whole", medians["pruned"] / medians["whole"] / promised[task]) if medians else (None, None)
    peers = {name: value for name, value in medians.items() if name != "tinyclip"}
    if not peers or "tinyclip" not in medians:
        return None, None
    if task == "distill_step":
        best = min(peers, key=peers.get)
        return best, peers[best] / medians["tinyclip"]
    best = max(peers, key=peers.get)
    return best, medians["tinyclip"] / peers[best]


def report(args, samples, extra):
    ratios, details = {}, {}
    for task, by_name in samples.items():
        medians = {name: statistics.median(values) for name, values in by_name.items()}
        best, ratio = compare(task, medians, extra["promised_gains"])
        if ratio is not None:
            ratios[task] = round(ratio, 4)
        details[task] = {"unit": "ms" if task == "distill_step" else "1/s", "best_peer": best, "medians": medians, "rounds": by_name}
    result = {"ratios": ratios, "cpu": cpu_name(), "model": args.model, "teacher": args.teacher, "pruned": args.pruned, "threads": args.threads,
              "rounds": args.rounds, "details": details, **extra}
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{args.model}, {args.threads} threads, f32, {result['cpu']}, medians of {args.rounds} rounds")
    for task, d in details.items():
        line = "  ".join(f"{name} {value:.1f}" for name, value in d["medians"].items())
        if task in PRUNED and task in ratios:
            line += f"  {ratios[task]:.2f} of the promised gain of {extra['promised_gains'][task]:.2f}"
        elif task in ratios:
            line += f"  ratio {ratios[task]:.2f} to {d['best_peer']}"
        print(f"{task} ({d['unit']}): {line}")


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--model", default="TinyCLIP-ViT-40M-32-Text-19M", help="name of a configuration in configs/, or its path")
    p.add_argument("--teacher", default="ViT-B-32", help="the teacher of the distillation step, likewise; what `pruned` was before")
    p.add_argument("--pruned", default=os.path.join(ROOT, "bench", "pruned-ViT-45M-32-Text-18M.json"),
                   help="the model of the pruned tasks, likewise")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=1.5, help="for one measurement of a peer")
    p.add_argument("--only", default=",".join([*TASKS, *PRUNED]), help="comma-separated subset of " + ", ".join([*TASKS, *PRUNED]))
    p.add_argument("--peers", default=",".join(VARIANTS), help="comma-separated subset of " + ", ".join(VARIANTS))
    p.add_argument("--tinyclip", default=os.path.join(ROOT, "build", "tinyclip"), help="the program; empty: measure the peers only")
    p.add_argument("--json", action="store_true")
    p.add_argument("--folder", help=argparse.SUPPRESS)
    p.add_argument("--worker", help=argparse.SUPPRESS)
    args = p.parse_args()
    args.only = [t for t in args.only.split(",") if t]
    args.peers = [t for t in args.peers.split(",") if t]
    for name, known in [(t, (*TASKS, *PRUNED)) for t in args.only] + [(t, VARIANTS) for t in args.peers]:
        if name not in known:
            p.error(f"'{name}' is none of {', '.join(known)}")
    return args


def main():
    args = parse()
    if args.worker:
        work(args)
        return
    if args.tinyclip and not os.path.exists(args.tinyclip):
        sys.exit(f"peers.py: {args.tinyclip}: not there; run make first")
    load = os.getloadavg()[0]
    if not set(args.only) & set(TASKS):
        args.peers = []  # nothing to ask them
    python = find_python()
    found = versions(python)
    args.folder = cache_folder(args.model, found)
    os.makedirs(args.folder, exist_ok=True)
    if set(args.peers) & {"onnxruntime", "openvino"}:
        exporter = Peer("export", python, args)
        exporter.close()
        if exporter.process.returncode:
            sys.exit(f"peers.py: the export to ONNX failed; see {exporter.log}")
    peers = [Peer(name, python, args) for name in args.peers]
    differences = check_outputs(peers) if "pytorch" in args.peers else {}
    ours = Ours(args) if args.tinyclip else None
    if load > 0.5:
        print(f"peers.py: other work loads this machine ({load:.1f} processes on average); the figures will be unfair", file=sys.stderr)
    samples = run_rounds(args, ours, peers)
    for peer in peers:
        peer.close()
    promised = {t: ours.macs(args.teacher, PRUNED[t]) / ours.macs(args.pruned, PRUNED[t]) for t in args.only if ours and t in PRUNED}
    report(args, samples, {"promised_gains": promised, "load_average_before": load, "versions": found, "output_differences": differences,
                           "peak": ours.peak if ours else []})


if __name__ == "__main__":
    main()
