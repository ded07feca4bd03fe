"""Shell scripts are sound: bash can read them, and shellcheck, where there is one, finds nothing."""

import shutil
import subprocess

from check import expect, plant, run

FOLDERS = ("scripts", ".ci", "tests", "bench")


def scripts_of(root):
    found = sorted(root.glob("*.sh"))
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!/usr/bin/env bash")):
                found.append(path)
    return found


def check(root, _build):
    problems = []
    for path in scripts_of(root):
        name = path.relative_to(root).as_posix()
        parsed = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
        if parsed.returncode != 0:
            problems.append(f"{name}: {parsed.stderr.strip()}")
        elif shutil.which("shellcheck"):
            # What a script sources belongs to it; the paths are told from the root.
            command = ["shellcheck", "--format=gcc", "--external-sources", f"--source-path={root}", path]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            problems += result.stdout.splitlines()
        if not path.stat().st_mode & 0o100:
            problems.append(f"{name}: not executable")
    return problems


def self_test(root):
    plant(root, "good.sh", "#!/usr/bin/env bash\necho good\n").chmod(0o755)
    expect(check(root, None))
    plant(root, "scripts/broken.sh", "#!/usr/bin/env bash\nif true; then\n").chmod(0o755)
    plant(root, ".ci/run", "#!/usr/bin/env bash\necho not executable\n")
    expect(check(root, None), "broken.sh", "run: not executable")


run(check, self_test)
