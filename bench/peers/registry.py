"""What the comparisons take from the Python registry, each into a folder of its own under build/peers/.

Whatever is missing (registry, disk, compiler) ends the program with a sentence and success: a comparison that cannot be
made is no failure of ours. Everything that is downloaded is said first."""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Libraries of the CUDA packages whose name is not that of the package.
NAMED_OTHERWISE = {"cudart": "cuda-runtime", "cublaslt": "cublas", "nvshmem_host": "nvshmem", "nvrtc-builtins": "nvrtc"}


def leave(reason):
    print(f"skipped: {reason}", flush=True)
    sys.exit(0)


def fair_environment(**more):
    """The environment without settings of this machine that hold a BLAS to an older processor or smaller cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "MKL_", "OMP_", "ONEDNN_"))}
    return {**kept, **more}


def watched(call, *arguments):
    """What the call gives, and the share of the processors that programs other than those it started used meanwhile: 0 on a
    quiet machine. A figure beside a large share says little."""
    def seconds():
        ticks = [int(tick) for tick in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        mine = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
        hertz = os.sysconf("SC_CLK_TCK")
        return sum(ticks) / hertz, (sum(ticks) - ticks[3] - ticks[4]) / hertz - mine
    before = seconds()
    result = call(*arguments)
    after = seconds()
    return result, max(0.0, (after[1] - before[1]) / max(after[0] - before[0], 1e-9))


def need_disk(folder, gigabytes):
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        leave(f"{folder} has {free:.0f} GB free, {gigabytes} are needed")


def run(command, what, timeout=1200):
    """Runs, gives what it printed, or leaves with its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        leave(f"{what}: not done after {timeout} seconds")
    if done.returncode != 0:
        leave(f"{what}: " + ((done.stdout + done.stderr).strip().splitlines() or ["no reason given"])[-1])
    return done.stdout


def pip(python, what, *arguments):
    command = [str(python), "-m", "pip", *arguments, "--disable-pip-version-check", "--timeout", "30", "--retries", "2"]
    out = run(command, what)
    for line in out.splitlines():
        if "Downloading" in line:
            print("  " + line.strip(), flush=True)
    return out


def virtual_environment(folder):
    python = folder / "bin/python"
    if not python.exists():
        run([sys.executable, "-m", "venv", "--clear", str(folder)], "no virtual environment (python3-venv is needed)")
    return python


def torch_environment(folder):
    """The interpreter of an environment in `folder` that has the registry's current PyTorch, made if need be.

    The registry's PyTorch for Linux is the one for CUDA and asks for 3 GB of packages. On the CPU it needs those of them
    that its libraries are linked with, which is found by linking, and neither Triton nor the rest."""
    python = virtual_environment(folder)
    if (folder / "complete").exists():
        return python
    need_disk(folder, 12)
    print(f"PyTorch from the Python registry, once, into {folder}: 2.5 GB are downloaded", flush=True)
    report = folder / "report.json"
    pip(python, "the registry did not answer", "install", "--quiet", "--ignore-installed", "--dry-run", "--report", str(report),
        "torch")
    versions = {}
    for item in json.loads(report.read_text())["install"]:
        versions[item["metadata"]["name"].lower()] = item["metadata"]["version"]
    plain = [name for name in versions if not name.startswith(("nvidia-", "cuda-", "triton"))]
    install(python, versions, plain)
    while (missing := linked_from_elsewhere(folder, [name for name in versions if name.startswith("nvidia-")])):
        install(python, versions, missing)
    run([str(python), "-c", "import torch"], "PyTorch does not start")
    (folder / "complete").touch()
    return python


def install(python, versions, names):
    pip(python, "the registry did not give " + ", ".join(names), "install", "--no-deps", "--progress-bar", "off",
        *(f"{name}=={versions[name]}" for name in names))


def linked_from_elsewhere(folder, packages):
    """Those of `packages` whose libraries PyTorch is linked with, but not from the environment: not there at all, or from
    an installation of CUDA that need not fit."""
    library = next(folder.glob("lib/python*/site-packages/torch/lib/libtorch_python.so"))
    out = subprocess.run(["ldd", str(library)], capture_output=True, text=True).stdout
    found = set()
    for name, path in re.findall(r"lib(\S+?)\.so\S* => (not found|\S+)", out):
        stem = NAMED_OTHERWISE.get(name.lower(), name.lower())
        if not path.startswith(str(folder)):
            found.update(p for p in packages if re.fullmatch(rf"nvidia-(cuda-)?{re.escape(stem)}(-cu\d+)?", p))
    return sorted(p for p in found if not list(folder.glob(f"lib/python*/site-packages/{p.replace('-', '_')}-*")))


def newest_source(folder, package):
    """The unpacked source distribution of the package's current release in `folder`."""
    unpacked = list(folder.glob(package.replace("-", "_") + "-*/"))
    if not unpacked:
        need_disk(folder, 3)
        python = virtual_environment(folder / "python")
        print(f"the source of {package} from the Python registry, once, into {folder}", flush=True)
        pip(python, "the registry did not answer", "download", "--no-deps", "--progress-bar", "off", "--no-binary", package,
            "--dest", str(folder), package)
        run(["tar", "-xzf", *(str(p) for p in folder.glob("*.tar.gz")), "-C", str(folder)], "not unpacked")
        unpacked = list(folder.glob(package.replace("-", "_") + "-*/"))
    return unpacked[0]
