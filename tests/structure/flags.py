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
# Of .cu files; the host's side of them has the flags above behind -Xcompiler.
REQUIRED_OF_NVCC = ["-fmad=false", "-ftz=true", "-prec-div=true", "-prec-sqrt=true"]
BANNED_OF_NVCC = ["--use_fast_math", "-use_fast_math", "--maxrregcount", "-rdc=true"]
# Families of kernels have instruction sets of their own; everything else runs on any x86-64.
KERNEL_FOLDER = "/src/device/cpu/"


def arguments_of(command):
    """The command's words, those for the host's compiler unpacked."""
    words = []
    for argument in command.get("arguments") or shlex.split(command["command"]):
        words += argument.removeprefix("-Xcompiler=").split(",") if argument.startswith("-Xcompiler=") else [argument]
    return words


def last_setting(arguments, flag):
    """The last of contradicting flags counts."""
    settings = [argument for argument in arguments if argument.startswith(flag.split("=")[0])]
    return settings[-1] if settings else None


def check(root, build):
    database = build / "compile_commands.json"
    if not database.is_file():
        print(f"no {database}: nothing to look at")
        raise SystemExit(SKIP)
    commands = json.loads(database.read_text())
    problems = [] if commands else [f"{database} is empty"]
    for command in commands:
        arguments = arguments_of(command)
        name = command["file"]
        cuda = name.endswith(".cu")
        for flag in REQUIRED + (REQUIRED_OF_NVCC if cuda else []):
            if last_setting(arguments, flag) != flag:
                problems.append(f"{name}: {flag} is missing")
        for flag in BANNED + (BANNED_OF_NVCC if cuda else []):
            if flag in arguments:
                problems.append(f"{name}: {flag} is banned")
        wide = [argument for argument in arguments if argument.startswith(("-mavx", "-mfma", "-march="))]
        if wide and KERNEL_FOLDER not in name and "/tests/" not in name and "/bench/" not in name:
            problems.append(f"{name}: {wide[0]} outside the kernels")
    return problems


def self_test(root):
    def commands(*flags, file="a.cpp"):
        entry = {"file": f"/x/src/core/{file}", "directory": "/x", "command": "c++ " + " ".join(flags) + f" -c {file}"}
        plant(root, "compile_commands.json", json.dumps([entry]))
        return check(None, root)

    expect(commands("-O2", "-ffp-contract=off"))
    expect(commands("-O2"), "-ffp-contract=off is missing")
    expect(commands("-ffp-contract=off", "-ffp-contract=fast"), "is missing")
    expect(commands("-ffp-contract=off", "-ffast-math"), "-ffast-math is banned")
    expect(commands("-ffp-contract=off", "-Ofast"), "-Ofast is banned")
    expect(commands("-ffp-contract=off", "-march=native"), "-march=native is banned", "outside the kernels")
    expect(commands("-ffp-contract=off", "-mavx2"), "-mavx2 outside")
    good = ["-Xcompiler=-Wall,-ffp-contract=off", *REQUIRED_OF_NVCC]
    expect(commands(*good, file="a.cu"))
    expect(commands(*good[1:], file="a.cu"), "-ffp-contract=off is missing")
    expect(commands(*good, "-Xcompiler=-ffast-math", file="a.cu"), "-ffast-math is banned")
    expect(commands(*good, "--use_fast_math", file="a.cu"), "--use_fast_math is banned")
    for flag in REQUIRED_OF_NVCC:
        without = [other for other in good if other != flag]
        expect(commands(*without, file="a.cu"), f"{flag} is missing")
        opposite = flag.replace("true", "other").replace("false", "true")
        expect(commands(*good, opposite, file="a.cu"), f"{flag} is missing")


run(check, self_test)
