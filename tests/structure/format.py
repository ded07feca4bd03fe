"""Sources are formatted by the clang-format that CONTRIBUTING.md pins; others differ in details, so they skip."""

import re
import shutil
import subprocess

from check import SKIP, expect, plant, run, sources

PINNED = 14


def formatter():
    for name in (f"clang-format-{PINNED}", "clang-format"):
        program = shutil.which(name)
        if program:
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            if re.search(rf"version {PINNED}\.", version):
                return program
    print(f"no clang-format {PINNED} here: formatting is checked where there is one")
    raise SystemExit(SKIP)


def problems_in(program, style, paths):
    problems = []
    for start in range(0, len(paths), 50):
        command = [program, f"--style=file:{style}", "--dry-run", "-Werror", *paths[start : start + 50]]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        named = sorted(set(re.findall(r"^(.+?):\d+:\d+: error:", result.stderr, re.MULTILINE)))
        problems += [f"{name}: not formatted; clang-format -i {name}" for name in named]
        if result.returncode != 0 and not named:
            problems.append(result.stderr.strip())
    return problems


def check(root, _build):
    return problems_in(formatter(), root / ".clang-format", sources(root, "src", "tests", "bench"))


def self_test(root):
    program = formatter()
    style = plant(root, ".clang-format", "BasedOnStyle: Google\n")
    good = plant(root, "src/core/good.h", "int f(int x) { return x; }\n")
    expect(problems_in(program, style, [good]))
    bad = plant(root, "src/core/bad.h", "int f( int x ){return x;}\n")
    expect(problems_in(program, style, [good, bad]), "bad.h")


run(check, self_test)
