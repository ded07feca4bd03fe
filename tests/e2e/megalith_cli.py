"""What the end-to-end tests share: running the binary in a folder of their own."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = pathlib.Path(os.environ["MEGALITH"])
SOURCE = pathlib.Path(os.environ["MEGALITH_SOURCE"])
TINY = SOURCE / "configs/runs/tiny.toml"

TEXT = "".join(
    f"Line {i}: the {['quick', 'slow', 'small', 'great'][i % 4]} fox number {i * 7 % 101} met café {i % 13}.\n"
    for i in range(4000))


class MegalithTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="megalith e2e ")  # with a space, on purpose
        self.folder = pathlib.Path(self._folder.name)
        self.addCleanup(self._folder.cleanup)

    def run_megalith(self, *arguments, code=0, env=None, timeout=120, **more):
        """Runs to the end and checks the exit code; returns what was printed."""
        result = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, timeout=timeout, cwd=self.folder,
                                env={**os.environ, "MEGALITH_CONFIGS": str(SOURCE / "configs"), **(env or {})}, **more)
        result.out = result.stdout.decode(errors="replace")
        result.err = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, code, f"{arguments}\n{result.out[-2000:]}\n{result.err[-2000:]}")
        return result

    def refused(self, *arguments, says=(), **more):
        """Exit code 2, nothing but clear words: each of `says` stands in the message."""
        result = self.run_megalith(*arguments, code=2, **more)
        for words in [says] if isinstance(says, str) else says:
            self.assertIn(words, result.err)
        self.assertNotIn("bug", result.err)
        return result

    def start(self, *arguments, env=None):
        return subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                cwd=self.folder, env={**os.environ, **(env or {})})

    def train(self, name, *more, code=0, env=None):
        return self.run_megalith("train", TINY, "--run-dir", self.folder / name, *more, code=code, env=env)

    def ledger(self, name):
        return (self.folder / name / "ledger.jsonl").read_bytes()

    def wait_for_steps(self, process, name, steps):
        path = self.folder / name / "ledger.jsonl"
        deadline = time.time() + 60
        while time.time() < deadline and process.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") >= steps:
                return
            time.sleep(0.002)


def text_file(folder, name="text.txt", text=TEXT):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def run_tests():
    """Runs the tests that the command line names, or all. Exits with 77, which ctest counts as skipped, when all were."""
    result = unittest.main(exit=False, verbosity=2).result
    if result.wasSuccessful() and result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
