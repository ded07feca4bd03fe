"""Compile flags that the bits depend on: no contraction, no fast math, no global -march=native."""

import json
import shlex

from check import SKIP, expect, plant, run

REQUIRED = ["-ffp-contract=off"]
BANNED = [
    "-ffast-math",
    "-Ofast",
    "-funsafe-math-optimizations",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-march=native",
    "-mtune=native",
    "-flto",
    "-fopenmp",
]
# Families of kernels have instruction sets of their own; everything else runs on any x86-64.
KERNEL_FOLDER = "/src/device/cpu/"


def check(root, build):
    database = build / "compile_commands.json"
    if not database.is_file():
        print(f"no {database}: nothing to look at")
        raise SystemExit(SKIP)
    commands = json.loads(database.read_text())
    problems = [] if commands else [f"{database} is empty"]
    for command in commands:
        arguments = command.get("arguments") or shlex.split(command["command"])
        name = command["file"]
        for flag in REQUIRED:
            # The last of contradicting flags counts.
            settings = [argument for argument in arguments if argument.startswith(flag.split("=")[0])]
            if not settings or settings[-1] != flag:
                problems.append(f"{name}: {flag} is missing")
        for flag in BANNED:
            if flag in arguments:
                problems.append(f"{name}: {flag} is banned")
        wide = [argument for argument in arguments if argument.startswith(("-mavx", "-mfma", "-march="))]
        if wide and KERNEL_FOLDER not in name and "/tests/" not in name and "/bench/" not in name:
            problems.append(f"{name}: {wide[0]} outside the kernels")
    return problems


def self_test(root):
    def commands(*flags):
        entry = {"file": "/x/src/core/a.cpp", "directory": "/x", "command": "c++ " + " ".join(flags) + " -c a.cpp"}
        plant(root, "compile_commands.json", json.dumps([entry]))
        return check(None, root)

    expect(commands("-O2", "-ffp-contract=off"))
    expect(commands("-O2"), "-ffp-contract=off is missing")
    expect(commands("-ffp-contract=off", "-ffp-contract=fast"), "is missing")
    expect(commands("-ffp-contract=off", "-ffast-math"), "-ffast-math is banned")
    expect(commands("-ffp-contract=off", "-Ofast"), "-Ofast is banned")
    expect(commands("-ffp-contract=off", "-march=native"), "-march=native is banned", "outside the kernels")
    expect(commands("-ffp-contract=off", "-mavx2"), "-mavx2 outside")


run(check, self_test)
