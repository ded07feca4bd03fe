#!/usr/bin/env python3
"""The same training steps as bench_train_step in PyTorch, for a comparison on one machine.

  bench/peers/torch_train_step.py [--python PYTHON] [--rounds N] [gpt2-124m | small | quickstart ...]

Uses whatever PyTorch the interpreter has (Debian: apt install python3-torch libopenblas0; without libopenblas0 it
computes with the reference BLAS). Each setting runs in a process of its own, because thread and BLAS settings only count
at start, and takes turns with bench_train_step; the best of each side is compared. One line per measurement, a JSON
array at the end.
"""
import argparse
import json
import os
import subprocess
import sys
import time

PROBLEMS = {  # layers, hidden, heads, sequence, vocabulary (padded as ours), sequences
    "gpt2-124m": (12, 768, 12, 1024, 50304, 4),
    "small": (6, 384, 6, 256, 4096, 16),
    "quickstart": (4, 256, 4, 256, 4096, 8),
}
# PyTorch and OpenBLAS count physical cores, which a virtual machine may hide: name the threads. glibc gives large
# blocks back to the system after every use unless told to keep them: a third of the time of a step without it.
THREADS = str(len(os.sched_getaffinity(0)))
EVERYWHERE = {"OMP_NUM_THREADS": THREADS, "OPENBLAS_NUM_THREADS": THREADS, "MALLOC_MMAP_THRESHOLD_": "17179869184",
              "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456"}
SETTINGS = [  # dtype, environment
    ("bf16", {}),
    ("bf16", {"OMP_WAIT_POLICY": "passive"}),
    ("fp32", {"OPENBLAS_CORETYPE": "SKYLAKEX", "OMP_WAIT_POLICY": "passive"}),
]


def child(problem, dtype, rounds):
    import torch
    import torch.nn.functional as functional

    layers, hidden, heads, sequence, vocabulary, batch = PROBLEMS[problem]
    torch.manual_seed(1)
    fused_attention = hasattr(functional, "scaled_dot_product_attention")

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = torch.nn.LayerNorm(hidden)
            self.qkv = torch.nn.Linear(hidden, 3 * hidden)
            self.out = torch.nn.Linear(hidden, hidden)
            self.norm2 = torch.nn.LayerNorm(hidden)
            self.up = torch.nn.Linear(hidden, 4 * hidden)
            self.down = torch.nn.Linear(4 * hidden, hidden)

        def forward(self, x, mask):
            q, k, v = self.qkv(self.norm1(x)).split(hidden, dim=2)
            shape = (x.shape[0], sequence, heads, hidden // heads)
            q, k, v = (t.view(shape).transpose(1, 2) for t in (q, k, v))
            if fused_attention:
                y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                scores = (q @ k.transpose(2, 3)) * (hidden // heads) ** -0.5
                y = functional.softmax(scores + mask, dim=-1).to(v.dtype) @ v
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(vocabulary, hidden)
            self.positions = torch.nn.Embedding(sequence, hidden)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(layers))
            self.norm = torch.nn.LayerNorm(hidden)

        def forward(self, ids, targets, mask):
            x = self.tokens(ids) + self.positions.weight
            for block in self.blocks:
                x = block(x, mask)
            logits = functional.linear(self.norm(x), self.tokens.weight)
            return functional.cross_entropy(logits.view(-1, vocabulary).float(), targets.view(-1))

    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, vocabulary, (batch, sequence))
    targets = torch.randint(0, vocabulary, (batch, sequence))
    mask = torch.full((sequence, sequence), float("-inf")).triu(1)
    torch.set_num_threads(int(THREADS))
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = model(ids, targets, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    times = sorted(times[1:])  # the first step allocates
    print(json.dumps({"tokens_per_second": batch * sequence / times[0], "spread": times[len(times) // 2] / times[0],
                      "torch": torch.__version__, "threads": torch.get_num_threads()}))


def measure_megalith(program, problem, rounds):
    out = subprocess.run([program, "--json", "--rounds", str(rounds), problem], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)[0]["value"]


def measure_torch(python, problem, dtype, extra, rounds):
    command = [python, __file__, "--child", problem, dtype, "--rounds", str(rounds)]
    out = subprocess.run(command, env={**os.environ, **EVERYWHERE, **extra}, capture_output=True, text=True)
    if out.returncode != 0:
        print(f"{problem} {dtype} {extra}: failed: {out.stderr.strip().splitlines()[-1:]}")
        return 0.0
    result = json.loads(out.stdout.splitlines()[-1])
    print(f"{problem:11} PyTorch {result['torch']} {dtype}, {result['threads']} threads, {name_of(extra):58} "
          f"{result['tokens_per_second']:8.1f} tokens/s  median/best {result['spread']:.2f}", flush=True)
    return result["tokens_per_second"]


def name_of(extra):
    return " ".join(f"{name}={value}" for name, value in extra.items()) or "no settings"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS, []], default=[])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--megalith", default="build/release/bench/bench_train_step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1], arguments.rounds)
        return 0
    if subprocess.run([arguments.python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"skipped: {arguments.python} has no PyTorch (apt install python3-torch libopenblas0, or give --python)")
        return 0
    results = []
    for problem in arguments.problems or PROBLEMS:
        ours, theirs = 0.0, 0.0
        for dtype, extra in SETTINGS:  # taking turns: ours, theirs, ours, theirs
            rate = measure_megalith(arguments.megalith, problem, arguments.rounds)
            print(f"{problem:11} Megalith bf16{'':73} {rate:8.1f} tokens/s", flush=True)
            ours = max(ours, rate)
            theirs = max(theirs, measure_torch(arguments.python, problem, dtype, extra, arguments.rounds))
        results.append({"name": problem, "value": ours, "unit": "tokens/s", "reference": theirs,
                        "ratio": ours / theirs if theirs > 0 else None})
        if theirs > 0:
            print(f"{problem}: {ours / theirs:.2f} x PyTorch at its best setting")
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
