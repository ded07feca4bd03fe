"""Files stay short enough to be read: at most 500 lines, with a reason for every exception."""

from check import expect, plant, run, sources

LIMIT = 500
SUFFIXES = (".h", ".cpp", ".cu", ".cuh", ".py", ".sh")
# File and reason.
EXCEPTIONS = {}


def check(root, _build):
    problems = []
    for path in sources(root, "src", "tests", "bench", suffixes=SUFFIXES):
        name = path.relative_to(root).as_posix()
        lines = path.read_bytes().count(b"\n")
        if lines > LIMIT and name not in EXCEPTIONS:
            problems.append(f"{name}: {lines} lines, at most {LIMIT}: it has more than one subject")
    for name in EXCEPTIONS:
        if not (root / name).is_file():
            problems.append(f"{name}: an exception for a file that is gone")
    return problems


def self_test(root):
    plant(root, "src/core/long_enough.h", "\n" * LIMIT)
    expect(check(root, None))
    plant(root, "tests/core/too_long.cpp", "\n" * (LIMIT + 1))
    expect(check(root, None), "too_long.cpp")


run(check, self_test)
