"""Include lines of src/ obey the table of rooms: what a room needs it may include, and what that needs, nothing else.

Also: mpi.h only under comm/mpi, cuda_runtime.h and nccl.h only where they belong, and no #ifdef about them elsewhere.
"""

import re

from check import code_of, expect, plant, run, sources

# The design's table. Needs are transitive downwards, never sideways or up.
NEEDS = {
    "core": [],
    "config": ["core"],
    "device": ["core"],
    "comm": ["core", "device"],
    "run": ["core", "config"],
    "data": ["core", "config"],
    "layers": ["device", "comm"],
    "model": ["layers", "run"],
    "pipeline": ["model"],
    "optim": ["device", "comm"],
    "train": ["pipeline", "optim", "data", "run"],
    "infer": ["model", "pipeline"],
    "trace": ["data"],
    "eval": ["infer", "data", "run", "trace"],
    "plan": ["train"],
    "serve": ["infer", "eval", "run", "trace"],
    "app": ["train", "infer", "eval", "plan", "serve", "trace"],
}

# Headers of others and the folders where they may stand.
OWNED_HEADERS = {
    r"mpi\.h": ["comm/mpi"],
    r"cuda\w*\.h|cublas\w*\.h|cudnn\w*\.h|device_launch_parameters\.h": ["device/cuda/gpu", "comm/nccl"],
    r"nccl\.h": ["comm/nccl"],
    r"CLI/.*": ["app"],
}
PROVIDER_CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b(\w*(?:CUDA|NVCC|MPI|NCCL)\w*)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def reach(room, table):
    """The room and all that it needs, directly or not."""
    seen, waiting = set(), [room]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += table.get(name, [])
    return seen


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def problems_of(path, root):
    inside = path.relative_to(root / "src")
    room = inside.parts[0]
    folder = inside.parent.as_posix()
    if len(inside.parts) < 2:
        return [f"{inside}: stands in no room"]
    if room not in NEEDS:
        return [f"{inside}: room {room} is not in the table of tests/structure/rooms.py"]
    allowed = reach(room, NEEDS)
    text = code_of(path.read_text(errors="replace"), keep_strings=True)
    problems = []
    for match in INCLUDE.finditer(text):
        quoted, system = match.groups()
        where = f"src/{inside}:{line_of(text, match.start())}"
        if quoted:
            target = quoted.split("/")[0]
            if ".." in quoted.split("/"):
                problems.append(f"{where}: {quoted}: includes are written from src/")
            elif target in NEEDS and target not in allowed:
                problems.append(f"{where}: room {room} may not include {quoted}; it reaches {sorted(allowed)}")
        for pattern, owners in OWNED_HEADERS.items():
            if re.fullmatch(pattern, quoted or system) and not any(
                folder == owner or folder.startswith(owner + "/") for owner in owners
            ):
                problems.append(f"{where}: {quoted or system} belongs to {owners}")
    for match in PROVIDER_CONDITION.finditer(text):
        if not folder.startswith(("device/cuda", "comm/mpi", "comm/nccl")):
            problems.append(f"src/{inside}:{line_of(text, match.start())}: #if on {match.group(1)}: make it a file of its own")
    return problems


def check(root, _build):
    problems = []
    for path in sources(root, "src"):
        problems += problems_of(path, root)
    return problems


def self_test(root):
    for room, needs in NEEDS.items():
        assert all(need in NEEDS for need in needs), room
        assert all(room not in reach(need, NEEDS) for need in needs), f"{room} needs itself"
    plant(root, "src/core/good.h", '#include "core/error.h"\n// #include "app/verb.h"\n')
    plant(root, "src/train/good.cpp", '#include "device/device.h"\n#include "data/order.h"\n#include <vector>\n')
    plant(root, "src/device/cuda/gpu/good.cu", "#include <cuda_runtime.h>\n#ifdef __CUDA_ARCH__\n#endif\n")
    expect(check(root, None))
    plant(root, "src/device/cuda/plan.cpp", "#include <cuda_runtime_api.h>\n")
    plant(root, "src/core/up.h", '#include "device/device.h"\n')
    plant(root, "src/data/sideways.cpp", '#include "layers/linear.h"\n')
    plant(root, "src/layers/mpi.cpp", "#include <mpi.h>\n")
    plant(root, "src/train/cuda.cpp", "#ifdef MEGALITH_CUDA\n#endif\n")
    plant(root, "src/model/dots.cpp", '#include "../core/error.h"\n')
    plant(root, "src/attic/new.cpp", "")
    expect(check(root, None), "plan.cpp:1", "up.h:1", "sideways.cpp:1", "mpi.cpp:1", "cuda.cpp:1", "dots.cpp:1", "room attic")


run(check, self_test)
