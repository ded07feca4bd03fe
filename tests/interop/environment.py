"""A virtual environment with packages from the Python registry, for tests that compare with real programs.

Debian's python3-torch is taken where it is installed, since the registry's is a download of gigabytes. What cannot be had
skips the test with the reason (exit code 77)."""
import os
import pathlib
import subprocess
import sys

SKIPPED = 77
PYTHON = "/usr/bin/python3"  # the one that Debian's packages belong to


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def enter(name, packages, needs_torch=False):
    """Runs the calling script again inside the environment `name`, made when it is not there. Returns inside of it."""
    if os.environ.get("MEGALITH_INTEROP_INSIDE") == name:
        return
    if needs_torch and subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode != 0:
        skip("PyTorch is not installed (apt-get install python3-torch)")
    folder = pathlib.Path(os.environ["MEGALITH_INTEROP"]) / name
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        made = subprocess.run([PYTHON, "-m", "venv", "--clear", "--system-site-packages", folder], capture_output=True,
                              text=True)
        if made.returncode != 0:
            skip("no virtual environment: " + (made.stdout + made.stderr).strip().splitlines()[-1])
        fetched = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout",
                                  "10", "--retries", "1", *packages], capture_output=True, text=True)
        if fetched.returncode != 0:
            skip("the registry did not give " + ", ".join(packages) + ": " + fetched.stderr.strip().splitlines()[-1])
        (folder / "complete").touch()
    os.environ["MEGALITH_INTEROP_INSIDE"] = name
    os.execv(python, [str(python), "-B", *sys.argv])
