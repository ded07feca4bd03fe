#!/usr/bin/env python3
"""How long people wait before anything happens: megalith --help, the first training step of the quickstart's model, and
opening a large checkpoint for generation, beside reading the same file, and beside a copy of it into new memory by as many threads,
which is the least that weights in another order take.

    bench/startup.py [--megalith build/release/megalith] [--gigabytes 2] [--rounds 5] [--json]

The checkpoint is made here, of a Qwen2 shape in bf16, and removed at the end; it is in the page cache by then, so its ratio is
to memory. Standard library only.
"""
import argparse
import json
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def seconds_of(command, until=None):
    """From the start of the process to its end, or to the first line that begins with `until`."""
    begin = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    found = until is None
    for line in process.stdout:
        if until and line.startswith(until):
            found = True
            break
    took = time.perf_counter() - begin
    if until:
        process.kill()
    else:
        took = time.perf_counter() - begin
    code = process.wait()
    if not found or (until is None and code != 0):
        sys.exit(f"{' '.join(map(str, command))}: failed")
    return took


def write_model(folder, gigabytes):
    """A folder as Qwen2's authors publish theirs; weights that repeat, which costs a reader the same as others."""
    hidden, heads, kv_heads, inner, vocabulary = 1024, 16, 4, 4096, 32768
    width = kv_heads * hidden // heads
    of_layer = {"self_attn.q_proj.weight": [hidden, hidden], "self_attn.k_proj.weight": [width, hidden],
                "self_attn.v_proj.weight": [width, hidden], "self_attn.o_proj.weight": [hidden, hidden],
                "self_attn.q_proj.bias": [hidden], "self_attn.k_proj.bias": [width], "self_attn.v_proj.bias": [width],
                "mlp.gate_proj.weight": [inner, hidden], "mlp.up_proj.weight": [inner, hidden],
                "mlp.down_proj.weight": [hidden, inner], "input_layernorm.weight": [hidden],
                "post_attention_layernorm.weight": [hidden]}

    def count(shape):
        return shape[0] * (shape[1] if len(shape) > 1 else 1)

    table = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    layer_bytes = 2 * sum(map(count, of_layer.values()))
    layers = max(1, round((gigabytes * 1e9 - 2 * sum(map(count, table.values()))) / layer_bytes))
    shapes = table | {f"model.layers.{i}.{name}": shape for i in range(layers) for name, shape in of_layer.items()}
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": hidden, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": inner,
              "vocab_size": vocabulary, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
              "hidden_act": "silu", "tie_word_embeddings": True, "use_sliding_window": False, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    header, at = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * count(shape)]}
        at += 2 * count(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = b"".join(struct.pack("<H", 0x3c00 + 37 * i % 0x80) for i in range(1 << 15)) * 16  # 0.008 to 0.016
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(at // len(block)):
            file.write(block)
        file.write(block[:at % len(block)])
    return folder / "model.safetensors"


def read_into_memory(path):
    begin = time.perf_counter()
    subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=16M"], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def copy_into_new_memory(path):
    """Seconds, by one thread for each processor, in huge pages where the system gives them."""
    size, piece = path.stat().st_size, 2 << 20
    threads = len(os.sched_getaffinity(0))
    begin = time.perf_counter()
    file = os.open(path, os.O_RDONLY)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(memory)

    def copy(first):
        for at in range(first * piece, size, threads * piece):
            os.preadv(file, [view[at:at + piece]], at)

    workers = [threading.Thread(target=copy, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begin
    view.release()
    memory.close()
    os.close(file)
    return took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megalith", default=SOURCE / "build/release/megalith", type=pathlib.Path)
    parser.add_argument("--gigabytes", default=2.0, type=float)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    megalith = options.megalith.resolve()
    results = []

    def note(name, seconds, limit, what):
        results.append({"name": name, "seconds": seconds, "reference_seconds": limit, "ratio": seconds / limit})
        if not options.json:
            print(f"{name:<44} {1e3 * seconds:9.1f} ms   {seconds / limit:5.2f} of {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="megalith-startup-") as name:
        folder = pathlib.Path(name)
        helps = [seconds_of([megalith, "--help"]) for _ in range(4 * options.rounds)]
        note("megalith --help", min(helps), 0.020, "20 ms")

        def first_step(run):
            shutil.rmtree(run, ignore_errors=True)
            return seconds_of([megalith, "train", SOURCE / "configs/runs/quickstart.toml", "--run-dir", run], b"step 1/")

        note("first step of the quickstart's model", min(first_step(folder / "run") for _ in range(options.rounds)), 1.0, "1 s")

        model = folder / "model"
        model.mkdir()
        weights = write_model(model, options.gigabytes)
        os.sync()
        ask = [megalith, "generate", model, "--prompt-ids", "1,2,3", "--max-tokens", "1", "--temperature", "0"]
        reads, copies, opens = [], [], []
        for _ in range(options.rounds):  # taking turns
            reads.append(read_into_memory(weights))
            copies.append(copy_into_new_memory(weights))
            opens.append(seconds_of(ask))
        size = weights.stat().st_size / 1e9
        what = f"opening {size:.1f} GB and one token"
        note(what, min(opens), min(reads), f"dd of the file ({size / min(reads):.1f} GB/s)")
        note(what + ", also", min(opens), min(copies), f"a copy into new memory ({1e3 * min(copies):.0f} ms)")
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
