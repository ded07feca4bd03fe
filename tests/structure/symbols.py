"""Objects compiled for one instruction set define no weak symbol that other objects could define too.

The linker keeps one of several weak definitions. If it keeps the AVX-512 one of, say, std::vector<int>::push_back, the
program dies on a machine without AVX-512, in code that has nothing to do with kernels. So every weak symbol of such an
object must carry the namespace of its family, or be a template over something from it.
"""

import json
import pathlib
import re
import shutil
import shlex
import subprocess

from check import SKIP, expect, plant, run

FAMILY = re.compile(r"megalith::cpu::(?:\w+::)*(?:avx2|avx512\w*)(?:_\w+)?::")
# Only what every object defines alike: data of the language itself.
HARMLESS = re.compile(r"^(?:DW\.ref\.|typeinfo |__clang_call_terminate)")


def weak_symbols(listing):
    """Names of the weak (V, W) and unique (u) definitions in what nm -C printed."""
    names = []
    for line in listing.splitlines():
        match = re.match(r"^[0-9a-fA-F]+ ([VWuvw]) (.+)$", line)
        if match:
            names.append(match.group(2))
    return names


def problems_in(name, listing):
    return [
        f"{name}: weak symbol {symbol}: the linker may keep this one for everybody"
        for symbol in weak_symbols(listing)
        if not FAMILY.search(symbol) and not HARMLESS.match(symbol)
    ]


def kernel_objects(build):
    database = build / "compile_commands.json"
    if not database.is_file():
        print(f"no {database}: nothing to look at")
        raise SystemExit(SKIP)
    objects = []
    for command in json.loads(database.read_text()):
        arguments = command.get("arguments") or shlex.split(command["command"])
        if any(argument.startswith("-mavx") for argument in arguments) and "/src/" in command["file"]:
            objects.append(pathlib.Path(command["directory"]) / arguments[arguments.index("-o") + 1])
    return objects


def check(_root, build):
    if shutil.which("nm") is None:
        print("no nm (binutils): nothing to look with")
        raise SystemExit(SKIP)
    if "MEGALITH_SANITIZE:STRING=\n" not in (build / "CMakeCache.txt").read_text():
        print("sanitizers define weak symbols of their own: looked at in the release build")
        raise SystemExit(SKIP)
    if "CMAKE_BUILD_TYPE:STRING=Debug" in (build / "CMakeCache.txt").read_text():
        print("an unoptimised build keeps every inline function: looked at in the release build")
        raise SystemExit(SKIP)
    objects = kernel_objects(build)
    problems = []
    for path in objects:
        if path.is_file():
            listing = subprocess.run(["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True).stdout
            problems += problems_in(path.name, listing)
    print(f"{len(objects)} objects with instruction sets of their own")
    return problems


def self_test(root):
    good = (
        "0000000000000000 W void megalith::cpu::avx512::multiply<4>(float*)\n"
        "0000000000000010 W void megalith::cpu::pack<megalith::cpu::avx2::Lanes>(float*)\n"
        "0000000000000020 T megalith::cpu::matmul_avx512(float*)\n"
        "                 U std::vector<int, std::allocator<int> >::push_back(int&&)\n"
        "0000000000000030 V DW.ref.__gxx_personality_v0\n"
    )
    expect(problems_in("a.o", good))
    expect(problems_in("a.o", good + "0000000000000040 W std::vector<int, std::allocator<int> >::push_back(int&&)\n"), "push_back")
    expect(problems_in("a.o", good + "0000000000000040 W megalith::cpu::lane_sum(float)\n"), "lane_sum")
    # The whole way, where there is a compiler: an inline function of a shared header that was not inlined.
    compiler = shutil.which("c++")
    if compiler and shutil.which("nm"):
        source = plant(root, "src/kernel_avx2.cpp", "#include <string>\nstd::string f(int n) { std::string s; for (int i = 0; i < n; ++i) s += std::to_string(i); return s; }\n")
        built = root / "kernel.o"
        subprocess.run([compiler, "-std=c++20", "-O1", "-c", source, "-o", built], check=True)
        entry = {"file": str(source), "directory": str(root), "command": f"c++ -mavx2 -o kernel.o -c {shlex.quote(str(source))}"}
        plant(root, "compile_commands.json", json.dumps([entry]))
        plant(root, "CMakeCache.txt", "CMAKE_BUILD_TYPE:STRING=Release\nMEGALITH_SANITIZE:STRING=\n")
        assert check(None, root), "a weak symbol of the standard library was not found"


run(check, self_test)
