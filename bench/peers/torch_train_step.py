#!/usr/bin/env python3
"""The same training steps as bench_train_step in PyTorch, for a comparison on one machine.

  bench/peers/torch_train_step.py [--python PYTHON] [--rounds N] [gpt2-124m | small | quickstart ...]

Uses whatever PyTorch the interpreter has (Debian: apt install python3-torch). Each setting runs in a process of its own,
because thread and BLAS settings only count at start; the best setting is what to compare with. Prints one line per
setting and a JSON line at the end.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS, []], default=[])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1], arguments.rounds)
        return 0
    if subprocess.run([arguments.python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"skipped: {arguments.python} has no PyTorch (apt install python3-torch, or give --python)")
        return 0
    best = {}
    for problem in arguments.problems or PROBLEMS:
        for dtype, extra in SETTINGS:
            command = [arguments.python, __file__, "--child", problem, dtype, "--rounds", str(arguments.rounds)]
            out = subprocess.run(command, env={**os.environ, **EVERYWHERE, **extra}, capture_output=True, text=True)
            if out.returncode != 0:
                print(f"{problem} {dtype} {extra}: failed: {out.stderr.strip().splitlines()[-1:]}")
                continue
            result = json.loads(out.stdout.splitlines()[-1])
            rate = result["tokens_per_second"]
            print(f"{problem:12} {dtype} {str(extra):70} {rate:9.1f} tokens/s  median/best {result['spread']:.2f}  "
                  f"PyTorch {result['torch']}, {result['threads']} threads", flush=True)
            best[problem] = max(best.get(problem, 0), rate)
    print(json.dumps({"best_tokens_per_second": best}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
