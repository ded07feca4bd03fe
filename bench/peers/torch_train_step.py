#!/usr/bin/env python3
"""The same training steps as bench_train_step in PyTorch, for a comparison on one machine.

  bench/peers/torch_train_step.py [--rounds N] [--settings NAME ...] [gpt2-124m | llama-160m | small | quickstart ...]

PyTorch's current release comes from the Python registry into build/peers/torch (--folder), once: 2.5 GB; --python takes
the one of an interpreter instead. Each setting runs in a process of its own, because thread and BLAS settings only count at
start, and takes turns with bench_train_step; the best of each side is compared. One line per measurement, a JSON array
at the end; "others" is the share of the processors that other programs took. --prepare downloads and compiles without measuring, so that a later run only measures.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import registry

PROBLEMS = {  # layers, hidden, heads, sequence, vocabulary (padded as ours), sequences, gated feed-forward of a Llama
    "gpt2-124m": (12, 768, 12, 1024, 50304, 4, 0),
    "llama-160m": (12, 768, 12, 1024, 32000, 4, 3072),
    "small": (6, 384, 6, 256, 4096, 16, 0),
    "quickstart": (4, 256, 4, 256, 4096, 8, 0),
}
# PyTorch and OpenBLAS count physical cores, which a virtual machine may hide: name the threads. glibc gives large
# blocks back to the system after every use unless told to keep them: a third of the time of a step without it.
THREADS = str(len(os.sched_getaffinity(0)))
EVERYWHERE = {"OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS, "OPENBLAS_NUM_THREADS": THREADS,
              "MALLOC_MMAP_THRESHOLD_": "17179869184", "MALLOC_TRIM_THRESHOLD_": "17179869184",
              "MALLOC_TOP_PAD_": "268435456"}
PASSIVE = {"OMP_WAIT_POLICY": "passive"}
BOUND = {"OMP_PROC_BIND": "true"}
SETTINGS = {  # what the model is run with (words that child() knows), environment
    "fp32": ("attention adamw", {}),
    "fp32-passive": ("attention adamw", {"OPENBLAS_CORETYPE": "SKYLAKEX", **PASSIVE}),
    "fp32-plain-passive": ("", {"OPENBLAS_CORETYPE": "SKYLAKEX", **PASSIVE}),  # what Debian's PyTorch 1.13 knows
    "fp32-compiled": ("attention adamw compile", {}),
    "fp32-bf16-products": ("attention adamw compile medium", {}),
    "bf16-plain": ("bf16", {}),
    "bf16-plain-passive": ("bf16", PASSIVE),
    "bf16-attention": ("bf16 attention", {}),
    "bf16-fused": ("bf16 attention adamw", {}),
    "bf16-chunked-loss": ("bf16 attention adamw chunked", {}),
    "bf16-compiled": ("bf16 attention adamw compile", {}),
    "bf16-compiled-passive": ("bf16 attention adamw compile", PASSIVE),
    "bf16-compiled-bound": ("bf16 attention adamw compile", BOUND),
    "bf16-compiled-chunked-loss": ("bf16 attention adamw compile chunked", {}),
    "bf16-autotuned": ("bf16 attention adamw compile autotune", {}),
}


def model_of(problem, words):
    """The model, and what to call for its loss."""
    import torch
    import torch.nn.functional as functional

    layers, hidden, heads, sequence, vocabulary, _, gated = PROBLEMS[problem]
    head = hidden // heads
    biases = not gated
    norm = torch.nn.RMSNorm if gated else torch.nn.LayerNorm

    def rotated(x, cosines, sines):
        left, right = x.chunk(2, dim=-1)
        return x * cosines + torch.cat((-right, left), dim=-1) * sines

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = norm(hidden, eps=1e-5)
            self.qkv = torch.nn.Linear(hidden, 3 * hidden, bias=biases)
            self.out = torch.nn.Linear(hidden, hidden, bias=biases)
            self.norm2 = norm(hidden, eps=1e-5)
            self.up = torch.nn.Linear(hidden, 2 * gated or 4 * hidden, bias=biases)
            self.down = torch.nn.Linear(gated or 4 * hidden, hidden, bias=biases)

        def forward(self, x, mask, cosines, sines):
            q, k, v = self.qkv(self.norm1(x)).split(hidden, dim=2)
            q, k, v = (t.view(x.shape[0], sequence, heads, head).transpose(1, 2) for t in (q, k, v))
            if gated:
                q, k = rotated(q, cosines, sines).to(v.dtype), rotated(k, cosines, sines).to(v.dtype)
            if "attention" in words:
                y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                scores = (q @ k.transpose(2, 3)) * head ** -0.5
                y = functional.softmax(scores + mask, dim=-1).to(v.dtype) @ v
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            y = self.up(self.norm2(x))
            if gated:
                gate, y = y.chunk(2, dim=-1)
                y = functional.silu(gate) * y
            else:
                y = functional.gelu(y, approximate="tanh")
            return x + self.down(y)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(vocabulary, hidden)
            self.positions = None if gated else torch.nn.Embedding(sequence, hidden)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(layers))
            self.norm = norm(hidden, eps=1e-5)
            self.head = torch.nn.Linear(hidden, vocabulary, bias=False)
            if not gated:
                self.head.weight = self.tokens.weight
            angles = torch.outer(torch.arange(sequence), 10000.0 ** (-torch.arange(0, head, 2) / head)).repeat(1, 2)
            self.register_buffer("cosines", angles.cos())
            self.register_buffer("sines", angles.sin())
            self.register_buffer("mask", torch.full((sequence, sequence), float("-inf")).triu(1))

        def body(self, ids):
            x = self.tokens(ids)
            if self.positions is not None:
                x = x + self.positions.weight
            for block in self.blocks:
                x = block(x, self.mask, self.cosines, self.sines)
            return self.norm(x)

        def forward(self, ids, targets):
            x = self.body(ids)
            if "chunked" in words:  # logits and their gradients in pieces
                options = torch.nn.LinearCrossEntropyOptions()
                weight = self.head.weight.to(x.dtype)
                return functional.linear_cross_entropy(x.view(-1, hidden), weight, targets.view(-1), options=options)
            return functional.cross_entropy(self.head(x).view(-1, vocabulary).float(), targets.view(-1))

    model = Model()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    if "compile" not in words:
        return model, model
    mode = "max-autotune" if "autotune" in words else None
    if "chunked" in words:  # PyTorch does not compile that loss
        model.body = torch.compile(model.body, mode=mode)
        return model, model
    return model, torch.compile(model, mode=mode)


def child(problem, words, rounds):
    """Trains for a step that does not count and `rounds` that do, and prints their seconds."""
    import torch

    torch.set_num_threads(int(THREADS))
    torch.manual_seed(1)
    _, _, _, sequence, vocabulary, batch, _ = PROBLEMS[problem]
    model, run = model_of(problem, words)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **({"fused": True} if "adamw" in words else {}))
    if "medium" in words:
        torch.set_float32_matmul_precision("medium")
    ids = torch.randint(0, vocabulary, (batch, sequence))
    targets = torch.randint(0, vocabulary, (batch, sequence))
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in words):
            loss = run(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    print(json.dumps({"first": times[0], "seconds": sorted(times[1:]), "torch": torch.__version__, "loss": loss.item(),
                      "threads": torch.get_num_threads()}))


def measure_megalith(arguments, problem):
    command = [arguments.megalith, "--json", "--rounds", str(arguments.rounds), problem]
    out, others = registry.watched(lambda: subprocess.run(command, capture_output=True, text=True, check=True))
    result = json.loads(out.stdout)[0]
    say(problem, "Megalith bf16", result["value"], result["spread"], others)
    return result["value"]


def measure_torch(arguments, python, problem, setting, rounds):
    words, extra = SETTINGS[setting]
    command = [str(python), "-B", __file__, "--child", problem, words, "--rounds", str(rounds)]
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(arguments.folder.resolve() / "compiled")}
    environment = registry.fair_environment(**EVERYWHERE, **cache, **extra)
    out, others = registry.watched(lambda: subprocess.run(command, env=environment, capture_output=True, text=True))
    if out.returncode != 0:
        print(f"{problem:11} {setting}: failed: {(out.stderr.strip().splitlines() or ['killed'])[-1]}", flush=True)
        return 0.0
    result = json.loads(out.stdout.splitlines()[-1])
    if rounds == 0:
        print(f"{problem:11} {setting}: ready, first step {result['first']:.0f} s, loss {result['loss']:.3f}", flush=True)
        return 0.0
    seconds, tokens = result["seconds"], PROBLEMS[problem][3] * PROBLEMS[problem][5]
    what = f"PyTorch {result['torch']} {setting}, {result['threads']} threads"
    say(problem, what, tokens / seconds[0], seconds[len(seconds) // 2] / seconds[0], others)
    return tokens / seconds[0]


def say(problem, what, rate, spread, others):
    print(f"{problem:11} {what:58} {rate:9.1f} tokens/s  median/best {spread:.2f}  others {others:.0%}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS, []], default=[])
    parser.add_argument("--python", help="an interpreter that has PyTorch, instead of the registry's")
    parser.add_argument("--folder", type=pathlib.Path, default=registry.ROOT / "build/peers/torch")
    parser.add_argument("--megalith", default=str(registry.ROOT / "build/release/bench/bench_train_step"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME",
                        help="of " + ", ".join(SETTINGS))
    parser.add_argument("--prepare", action="store_true", help="download and compile, measure nothing")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1].split(), arguments.rounds)
        return 0
    python = arguments.python or registry.torch_environment(arguments.folder.resolve())
    if subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        registry.leave(f"{python} has no PyTorch (apt install python3-torch libopenblas0, or leave --python out)")
    if not arguments.prepare and not os.access(arguments.megalith, os.X_OK):
        registry.leave(f"{arguments.megalith} is not built (cmake --build build/release --target bench_train_step)")
    results = []
    for problem in arguments.problems or PROBLEMS:
        ours, theirs, best = 0.0, 0.0, ""
        for setting in arguments.settings:  # taking turns: ours, theirs, ours, theirs
            if arguments.prepare:
                measure_torch(arguments, python, problem, setting, 0)
                continue
            ours = max(ours, measure_megalith(arguments, problem))
            rate = measure_torch(arguments, python, problem, setting, arguments.rounds)
            if rate > theirs:
                theirs, best = rate, setting
        if theirs > 0:
            print(f"{problem}: {ours / theirs:.2f} x PyTorch at its best setting here, {best}", flush=True)
            results.append({"name": problem, "value": ours, "unit": "tokens/s", "reference": theirs, "ratio": ours / theirs,
                            "setting": best})
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
