"""No libm where bits are computed: its last digit differs between versions of the C library."""

import re

from check import code_of, expect, plant, run, sources

ROOMS = ["core", "device", "comm", "layers", "model", "pipeline", "optim", "train", "infer"]
# sqrt, fma, rounding, abs, min, max, ldexp and frexp are exact by IEEE 754 and allowed.
FUNCTIONS = (
    "exp exp2 expm1 exp10 log log2 log10 log1p pow cbrt hypot sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh "
    "atanh erf erfc tgamma lgamma sincos"
).split()
NAMES = "|".join(name + suffix for name in FUNCTIONS for suffix in ("", "f", "l"))
# With std:: or ::, and the bare calls that <math.h> brings; a member, our own namespace or a declaration is another thing.
CALL = re.compile(rf"(?:\bstd::|(?<![\w:.>])::|__builtin_|(?<![\w:.>]))(?:{NAMES})\s*\(")

# CUDA's shortcuts: the chip's own approximations and its reciprocal square root.
SHORTCUT = re.compile(
    r"(?<![\w:.>])(?:__(?:exp|log|log2|log10|pow|sin|cos|tan|sincos|exp10)f|__tanhf|__fdividef|__f(?:rcp|rsqrt|div|sqrt)_\w+|rsqrtf?|rcbrtf?)\s*\("
)

# File, functions, reason. Nothing here may reach a bit of the loss, the gradients or the parameters.
EXCEPTIONS = {}


def check(root, _build):
    problems = []
    for path in sources(root, *[f"src/{room}" for room in ROOMS]):
        name = path.relative_to(root).as_posix()
        text = code_of(path.read_text(errors="replace"))
        for match in CALL.finditer(text):
            function = re.sub(r"^(?:std::|::|__builtin_)|\s*\($", "", match.group(0))
            own = not match.group(0).startswith(("std::", "::", "__builtin_")) and re.search(
                rf"\b(?:float|double|auto|__m\d+\w*|Vector|V|T)\s+{function}\s*\(", text
            )
            if own or function in EXCEPTIONS.get(name, {}).get("functions", []):
                continue
            line = text.count("\n", 0, match.start()) + 1
            problems.append(f"{name}:{line}: {function}: libm is not the same everywhere; core/elementary.h has ours")
        for match in SHORTCUT.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            problems.append(f"{name}:{line}: {match.group(0).strip(' (')}: an approximation; core/elementary.h has ours")
    for name in EXCEPTIONS:
        if not (root / name).is_file():
            problems.append(f"{name}: an exception for a file that is gone")
    return problems


def self_test(root):
    plant(
        root,
        "src/device/good.cpp",
        "// std::exp(x)\nfloat y = elementary::exp(x) + std::sqrt(x) + std::fma(a, b, c) + table.exp(x);\n"
        "#include <cmath>\nfloat tanh(float x);\nfloat z = tanh(y);\n",
    )
    plant(root, "src/app/good.cpp", "double y = std::log(x);\n")
    expect(check(root, None))
    for index, text in enumerate(["std::exp(x)", "expf(x)", "::tanh(x)", "1 + log(2)", "std::pow (x, 2)", "__builtin_erff(x)", "__expf(x)", "rsqrtf(x)", "__fdividef(a, b)", "__frcp_rn(x)"]):
        path = plant(root, f"src/layers/bad{index}.cpp", f"auto y = {text};\n")
        assert len(check(root, None)) == 1, f"not found: {text}"
        path.unlink()


run(check, self_test)
