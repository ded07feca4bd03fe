"""Sums whose order a library chooses, and atomics on floats, stand nowhere in src/ (docs/numerics.md)."""

import re

from check import code_of, expect, plant, run, sources

BANNED = {
    r"std::(?:transform_)?reduce\b": "the order of its sums is not fixed",
    r"\b(?:inclusive|exclusive)_scan\s*\(": "the order of its sums is not fixed",
    r"std::accumulate\s*\([^;]*\b(?:0?\.\d*f?|\d+\.\d*f?|float|double)\b": "write the loop: the order of a float sum is part of the bits",
    r"std::inner_product\s*\(": "write the loop: the order of a float sum is part of the bits",
    r"#\s*pragma\s+omp\b[^\n]*\breduction\b": "the order of its sums is not fixed",
    r"\breduction\s*\(\s*\+\s*:": "the order of its sums is not fixed",
    r"\b(?:MPI_SUM|MPI_PROD|ncclSum|ncclAvg|ncclProd)\b": "libraries do not sum floats here; integers have a call of their own",
    r"std::atomic(?:_ref)?\s*<\s*(?:const\s+)?(?:float|double|long double|_Float\w+)\s*>": "the order of its sums is not fixed",
    r"std::execution::|std::valarray\b": "the order of its sums is not fixed",
    r"\batomicAdd\s*\(\s*(?:\(|reinterpret_cast\s*<|static_cast\s*<)\s*(?:float|double|__half2?|__nv_bfloat16\d?)\s*\*": "the order of its sums is not fixed",
    r"\b(?:cub|thrust|cooperative_groups)::(?:\w+::)*(?:\w*[rR]educe\w*|\w*[sS]can\w*)": "the order of its sums is not fixed",
    r"__reduce_add_sync\b": "the order of its sums is not fixed",
}
# By file, the patterns it may use and why: integer sums in collectives.
EXCEPTIONS = {
    "src/comm/mpi/mpi_communicator.cpp": {
        r"\b(?:MPI_SUM|MPI_PROD|ncclSum|ncclAvg|ncclProd)\b": "of MPI_UINT64_T: the interface reduces nothing else",
    },
}


def check(root, _build):
    problems = []
    for path in sources(root, "src"):
        name = path.relative_to(root).as_posix()
        text = code_of(path.read_text(errors="replace"))
        for pattern, reason in BANNED.items():
            if pattern in EXCEPTIONS.get(name, {}):
                continue
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{name}:{line}: {match.group(0)}: {reason}")
    return problems


def self_test(root):
    for patterns in EXCEPTIONS.values():
        assert all(pattern in BANNED for pattern in patterns)
    plant(root, "src/core/good.cpp", "// std::reduce\nint x = std::accumulate(a, b, 0);\nauto s = \"MPI_SUM\";\nauto n = 1'000 + reduce(2);\n")
    expect(check(root, None))
    planted = [
        "std::reduce(a, b)",
        "std::transform_reduce(a, b, c)",
        "std::accumulate(a, b, 0.0f)",
        "std::accumulate(a, b, double{})",
        "#pragma omp simd reduction(max : x)",
        "#pragma omp parallel for\n#pragma x reduction(+:y)",
        "MPI_Allreduce(a, b, n, t, MPI_SUM, c)",
        "ncclAllReduce(a, b, n, t, ncclSum, c, s)",
        "std::atomic<float> x",
        "atomicAdd((float*)sum, x)",
        "atomicAdd(reinterpret_cast<double*>(sum), x)",
        "cub::BlockReduce<float, 128>",
        "thrust::reduce(a, b)",
        "cooperative_groups::reduce(tile, x, plus)",
        "std::atomic_ref< double > x",
    ]
    for index, text in enumerate(planted):
        path = plant(root, f"src/device/bad{index}.cpp", text + ";\n")
        assert check(root, None), f"not found: {text}"
        path.unlink()


run(check, self_test)
