#!/usr/bin/env python3
"""Generation by llama.cpp and by bench_decode, for a comparison on one machine.

  bench/peers/llama_cpp.py [--rounds N] [--model gpt2-124m | qwen2-0.5b] [bf16 | q8_0 ...]

llama.cpp's current release comes as the source that the Python registry's llama-cpp-python carries, is built for this
processor into build/peers/llama.cpp (--folder) once, ten minutes on two cores, and runs a model of random weights:
a prompt of 512 tokens, and 128 generated ones, with its flash attention and without. Programs take turns; the best of
each side is compared. One line per measurement, a JSON array at the end. --prepare builds without measuring.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import model_gguf
import registry

THREADS = len(os.sched_getaffinity(0))
OPTIONS = ["BUILD_SHARED_LIBS=OFF", "CMAKE_BUILD_TYPE=Release", "GGML_NATIVE=ON", "LLAMA_BUILD_APP=OFF", "LLAMA_BUILD_EXAMPLES=OFF",
           "LLAMA_BUILD_SERVER=OFF", "LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_TOOLS=OFF", "LLAMA_OPENSSL=OFF"]
LIBRARIES = ["src/libllama.a", "ggml/src/libggml.a", "ggml/src/libggml-cpu.a", "ggml/src/libggml-base.a"]
WORK = {"prompt": "prompt of 512 tokens", "answer": "answer, 1 sequence"}


def timing_program(folder):
    """llama_cpp_timing.cpp with llama.cpp, built if need be."""
    program, build = folder / "llama_cpp_timing", folder / "build"
    if not program.exists():
        for needed in ("cmake", "g++"):
            if not shutil.which(needed):
                registry.leave(f"{needed} is needed to build llama.cpp")
        source = registry.newest_source(folder, "llama-cpp-python") / "vendor/llama.cpp"
        print("building llama.cpp, once", flush=True)
        registry.run(["cmake", "-S", str(source), "-B", str(build), *(f"-D{option}" for option in OPTIONS)],
                     "llama.cpp was not configured")
        registry.run(["cmake", "--build", str(build), "--parallel", str(THREADS), "--target", "llama"],
                     "llama.cpp was not built", timeout=3 * 3600)
        registry.run(["g++", "-O2", f"-I{source}/include", f"-I{source}/ggml/include",
                      str(pathlib.Path(__file__).with_name("llama_cpp_timing.cpp")), *(str(build / name) for name in LIBRARIES),
                      "-fopenmp", "-ldl", "-o", str(program)], "the timing of llama.cpp was not linked")
    return program


def model_file(folder, model, kind):
    path = folder / f"{model}-{kind}.gguf"
    if not path.exists():
        registry.need_disk(folder, 2)
        model_gguf.write(path, model, kind)
    return path


def measure_llama(program, model, flash, repetitions):
    """Tokens a second of each repetition, by kind of work."""
    out = subprocess.run([str(program), str(model), str(THREADS), str(flash), str(repetitions)],
                         env=registry.fair_environment(), capture_output=True, text=True)
    if out.returncode != 0:
        registry.leave("llama.cpp failed: " + (out.stderr.strip().splitlines() or ["no reason given"])[-1])
    return json.loads(out.stdout)


OUR_NAMES = {"bf16": "bf16", "q8_0": "int8"}  # of bench_decode, for each kind


def measure_megalith(program, repetitions, model, kind):
    out = subprocess.run([program, "--json", "--rounds", str(repetitions), model, OUR_NAMES[kind], "1"], capture_output=True,
                         text=True, check=True)
    rates = {}
    for result in json.loads(out.stdout):
        work = result["name"].split(": ", 1)[1].split()[0].rstrip(",s")  # "gpt2-124m bf16: prompt of 512 tokens"
        rates.setdefault(work, (result["value"], result["spread"]))
    return rates


def compare(arguments, program, kind):
    model = model_file(arguments.folder, arguments.model, kind)
    ours, theirs = {work: [] for work in WORK}, {(work, flash): [] for work in WORK for flash in (0, 1)}
    busiest = 0.0
    for _ in range(arguments.rounds):  # taking turns: ours, theirs, theirs with flash attention
        rates, others = registry.watched(measure_megalith, arguments.megalith, arguments.repetitions, arguments.model, kind)
        busiest = max(busiest, others)
        for work, (rate, spread) in rates.items():
            ours[work] += [rate, rate / spread]  # best and median of the repetitions
        for flash in (0, 1):
            samples, others = registry.watched(measure_llama, program, model, flash, arguments.repetitions)
            busiest = max(busiest, others)
            for work in WORK:
                theirs[work, flash] += samples[work]
    release = registry.newest_source(arguments.folder, "llama-cpp-python").name
    print(f"llama.cpp of {release}: {samples['system']}", flush=True)
    print(f"other programs took up to {busiest:.0%} of the processors meanwhile", flush=True)
    results = []
    for work, title in WORK.items():
        say(title, "Megalith " + OUR_NAMES[kind], ours[work])
        for flash in (0, 1):
            say(title, f"llama.cpp {kind}" + (", flash attention" if flash else ""), theirs[work, flash])
        best = max(*theirs[work, 0], *theirs[work, 1])
        ratio = max(ours[work]) / best
        print(f"{title}: {ratio:.2f} x llama.cpp in {kind} at its best setting", flush=True)
        results.append({"name": f"{title}, against {kind}", "value": max(ours[work]), "unit": "tokens/s", "reference": best,
                        "ratio": ratio})
    return results


def say(title, who, rates):
    best = max(rates)
    print(f"{title:22} {who:34} {best:8.1f} tokens/s  median/best time {best / statistics.median(rates):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*model_gguf.FILE_TYPES, []], default=[], metavar="bf16 | q8_0")
    parser.add_argument("--model", choices=model_gguf.SHAPES, default="gpt2-124m")
    parser.add_argument("--folder", type=pathlib.Path, default=registry.ROOT / "build/peers/llama.cpp")
    parser.add_argument("--megalith", default=str(registry.ROOT / "build/release/bench/bench_decode"))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each program")
    parser.add_argument("--repetitions", type=int, default=5, help="timings in each turn")
    parser.add_argument("--prepare", action="store_true", help="download and build, measure nothing")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.resolve()
    program = timing_program(arguments.folder)
    if arguments.prepare:
        return 0
    if not os.access(arguments.megalith, os.X_OK):
        registry.leave(f"{arguments.megalith} is not built (cmake --build build/release --target bench_decode)")
    results = []
    for kind in arguments.kinds or model_gguf.FILE_TYPES:
        results += compare(arguments, program, kind)
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
