"""What nvcc makes of the kernels keeps the bits: no approximate instruction, no contraction, denormals flushed, no float
atomics. Flags can be overridden and headers can change; the generated PTX cannot lie."""

import json
import pathlib
import re
import shlex
import subprocess
import tempfile

from check import SKIP, expect, plant, run

BANNED = {
    r"\.approx\b": "an approximate instruction",
    r"\b(?:rcp(?!\.rn\.ftz\.f32)|rsqrt|ex2|lg2|sin|cos|tanh)\.": "a function of the chip's own",  # rcp.rn is IEEE's 1 / x
    r"\bdiv\.full\b": "a division that is not IEEE",
    r"\bmad\.(?:rn|rz|f32|f64)": "a contraction",
    r"\bfma\.[\w.]*f64\b": "a contraction: no kernel writes an fma of doubles",
    r"\b(?:atom|red)\.[\w.:]*\.(?:f16|f16x2|bf16|bf16x2|f32|f64)\b": "a float sum whose order nobody knows",
    r"\b(?:add|sub|mul|fma|div|sqrt)\.(?!rn\.ftz\.f32\b)[\w.]*f32\b": "not rounded to nearest with denormals flushed",
    r"\b(?:add|sub|mul)\.(?!rn\.f64\b)[\w.]*f64\b": "a product and a sum that may still be contracted",
}


def problems_in(name, text):
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        for pattern, reason in BANNED.items():
            match = re.search(pattern, code)
            if match:
                problems.append(f"{name}: PTX line {number}: {code.strip()}: {reason}")
    return problems[:20]


def ptx_arguments(arguments, output):
    """The command that compiled a file, turned into one that stops at PTX, for the first architecture."""
    result, skip, architectures = [], False, 0
    for argument in arguments:
        if skip:
            skip = False
            continue
        if argument in ("-o", "-MF", "-MT"):
            skip = True
        elif argument.startswith("-gencode"):
            architectures += 1
            if architectures == 1:
                result.append(argument)
        elif argument == "-c":
            result.append("-ptx")
        elif argument != "-MD" and not argument.endswith("ccache"):
            result.append(argument)
    return [*result, "-o", output]


def check(_root, build):
    database = build / "compile_commands.json"
    if not database.is_file():
        print(f"no {database}: nothing to look at")
        raise SystemExit(SKIP)
    commands = [c for c in json.loads(database.read_text()) if c["file"].endswith(".cu")]
    if not commands:
        print("built without CUDA: nothing to look at")
        raise SystemExit(SKIP)
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            name = pathlib.Path(command["file"]).name
            output = str(pathlib.Path(folder) / (name + ".ptx"))
            arguments = command.get("arguments") or shlex.split(command["command"])
            subprocess.run(ptx_arguments(arguments, output), cwd=command["directory"], check=True)
            text = pathlib.Path(output).read_text()
            print(f"{name}: {text.count('.entry')} kernels")
            problems += problems_in(name, text)
    return problems


def self_test(root):
    good = (
        "fma.rn.ftz.f32 %f1, %f2, %f3, %f4;\nadd.rn.ftz.f32 %f1, %f2, %f3; // add.f32\ndiv.rn.ftz.f32 %f1, %f2, %f3;\nrcp.rn.ftz.f32 %f1, %f2;\n"
        "mul.rn.f64 %d1, %d2, %d3;\natom.global.add.u64 %r1, [%r2], %r3;\nadd.s64 %r1, %r2, %r3;\nmad.lo.s32 %r1, %r2, %r3, %r4;\n"
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1}, {%r2}, {%f1};\ncvt.rn.ftz.f32.f64 %f1, %d1;\n"
    )
    expect(problems_in("a", good))
    planted = [
        "add.ftz.f32 %f1, %f2, %f3;", "mul.rn.f32 %f1, %f2, %f3;", "fma.rn.f32 %f1, %f2, %f3, %f4;",
        "div.approx.ftz.f32 %f1, %f2, %f3;", "div.full.ftz.f32 %f1, %f2, %f3;", "sqrt.approx.f32 %f1, %f2;",
        "rsqrt.approx.ftz.f32 %f1, %f2;", "rcp.rn.f32 %f1, %f2;", "ex2.approx.ftz.f32 %f1, %f2;", "fma.rn.f64 %d1, %d2, %d3, %d4;",
        "atom.global.add.f32 %f1, [%r2], %f3;", "red.global.add.f64 [%r2], %d3;", "mul.f64 %d1, %d2, %d3;",
        "red.relaxed.gpu.global.add.noftz.bf16x2 [%r2], %r3;",
    ]
    for text in planted:
        assert problems_in("a", good + text + "\n"), f"not found: {text}"
    compiled = shlex.split("ccache nvcc -gencode=a -gencode=b -MD -MF x.d -c a.cu -o a.o")
    assert ptx_arguments(compiled, "out") == ["nvcc", "-gencode=a", "-ptx", "a.cu", "-o", "out"]
    plant(root, "compile_commands.json", "[]")
    try:
        check(None, root)
        raise AssertionError("a build without CUDA was looked at")
    except SystemExit as stop:
        assert stop.code == SKIP


run(check, self_test)
