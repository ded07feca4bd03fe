"""A run is the same run whatever happens to it: stops, kills, threads, micro batches, kernel families."""
import json
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import unittest

from megalith_cli import MegalithTest, BINARY, SOURCE, TINY

DROPOUT = ("--set", "model.dropout=0.1", "--set", "model.attention_dropout=0.1", "--set", "sample.tokens=0")
# Long enough to be stopped and killed several times, with a checkpoint that a kill falls between.
STEPS = ("--set", "schedule.steps=60", "--set", "schedule.warmup_steps=5", "--set", "checkpoint.interval=7",
         "--set", "checkpoint.keep=3", *DROPOUT)
# For runs that are only compared: bits that differ do so from the first step on, and these pass warm-up and validation.
FEW_STEPS = ("--set", "schedule.steps=15", "--set", "schedule.warmup_steps=5", "--set", "checkpoint.interval=0",
             "--set", "validation.interval=10", *DROPOUT)


class Resume(MegalithTest):
    """One run that nothing happened to is made once: the others are compared with it or begin as copies of it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="megalith e2e ")
        cls.addClassCleanup(folder.cleanup)
        cls.whole_run = pathlib.Path(folder.name) / "whole"
        subprocess.run([BINARY, "train", str(TINY), "--run-dir", cls.whole_run, *STEPS], check=True, capture_output=True,
                       env={"MEGALITH_CONFIGS": str(SOURCE / "configs")})
        cls.whole = (cls.whole_run / "ledger.jsonl").read_bytes()

    def copy_of_whole(self, name):
        shutil.copytree(self.whole_run, self.folder / name)

    def test_a_finished_run_says_already_done(self):
        self.copy_of_whole("run")
        again = self.train("run", *STEPS)
        self.assertIn("already done", again.out)
        self.assertEqual(self.ledger("run"), self.whole)

    def test_ctrl_c_saves_and_the_same_command_continues(self):
        # Two runs, one for each signal.
        for number, stop_signal in enumerate([signal.SIGINT, signal.SIGTERM]):
            name = f"stopped{number}"
            command = ("train", TINY, "--run-dir", self.folder / name, *STEPS)
            process = self.start(*command)
            self.wait_for_steps(process, name, 10)
            process.send_signal(stop_signal)
            out = process.communicate(timeout=30)[0].decode()
            self.assertEqual(process.returncode, 3, out)
            self.assertIn("the same command continues", out)
            self.assertLess(self.ledger(name).count(b"\n"), 60)
            self.run_megalith(*command)
            self.assertEqual(self.ledger(name), self.whole)

    def test_killed_again_and_again_it_ends_with_the_same_ledger(self):
        dice = random.Random(7)
        command = ("train", TINY, "--run-dir", self.folder / "killed", *STEPS)
        said_verified = False
        for _ in range(6):
            process = self.start(*command)
            done = (self.folder / "killed" / "ledger.jsonl")
            steps = done.read_bytes().count(b"\n") if done.exists() else 0
            self.wait_for_steps(process, "killed", max(1, steps + dice.randint(-6, 9)))
            process.kill()
            said_verified |= b"resume verified" in process.communicate()[0]
        last = self.run_megalith(*command)
        said_verified |= "resume verified" in last.out
        self.assertEqual(self.ledger("killed"), self.whole)
        self.assertTrue(said_verified)

    def test_a_ledger_that_is_not_reproduced_stops_with_code_4(self):
        self.copy_of_whole("run")
        path = self.folder / "run/ledger.jsonl"
        lines = path.read_text().splitlines()
        changed = json.loads(lines[58])
        changed["parameter_digest"] = "0123456789abcdef"
        lines[58] = json.dumps(changed, separators=(",", ":"))
        path.write_text("\n".join(lines) + "\n")
        subprocess.run(["rm", "-r", str(self.folder / "run/checkpoints/step-00000060")], check=True)
        result = self.train("run", *STEPS, code=4)
        self.assertIn("parameter_digest", result.err)

    def test_a_schedule_that_changes_between_checkpoints_is_named(self):
        self.copy_of_whole("run")
        subprocess.run(["rm", "-r", str(self.folder / "run/checkpoints/step-00000060")], check=True)
        result = self.train("run", *STEPS, "--set", "schedule.steps=80", code=4)
        self.assertIn("with the schedule that it had", result.err)
        self.train("run", *STEPS)
        self.assertEqual(self.ledger("run"), self.whole)

    def test_threads_micro_batches_and_kernel_families_do_not_change_a_bit(self):
        self.train("whole", *FEW_STEPS)
        whole = self.ledger("whole")
        # Fewer and more threads than cores, all micro batches; micro batches of 4 are the file's.
        for index, more in enumerate([("device.threads=1", "batch.micro=2"), ("device.threads=3", "batch.micro=1"),
                                      ("batch.micro=8",)]):
            sets = [part for item in more for part in ("--set", item)]
            self.train(f"other{index}", *FEW_STEPS, *sets)
            self.assertEqual(self.ledger(f"other{index}"), whole, more)
        # Each kernel family once, with the file's settings.
        for isa in ["portable", "avx2", "avx512"]:
            probe = subprocess.run([BINARY, "train", str(TINY), "--run-dir", str(self.folder / isa), *FEW_STEPS],
                                   env={"MEGALITH_ISA": isa}, capture_output=True, cwd=self.folder)
            if probe.returncode == 2:
                self.assertIn(b"MEGALITH_ISA", probe.stderr)  # this processor lacks it
                continue
            self.assertEqual(probe.returncode, 0, probe.stderr)
            self.assertEqual(self.ledger(isa), whole, isa)

    def test_fp32_too_does_not_depend_on_threads_or_micro_batches(self):
        precision = ("--set", "numerics.dtype=\"f32\"")
        self.train("a", *FEW_STEPS, *precision)
        self.train("b", *FEW_STEPS, *precision, "--set", "device.threads=1", "--set", "batch.micro=1")
        self.assertEqual(self.ledger("a"), self.ledger("b"))

    def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_taken(self):
        self.copy_of_whole("run")
        newest = self.folder / "run/checkpoints/step-00000060"
        shard = next(newest.glob("*.safetensors"))
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
        result = self.train("run", *STEPS)
        self.assertIn(shard.name, result.err)
        self.assertIn("resume verified", result.out)
        self.assertEqual(self.ledger("run"), self.whole)

    def test_train_longer_goes_on_from_the_end(self):
        self.copy_of_whole("run")
        self.train("run", *STEPS, "--set", "schedule.steps=70")
        self.assertEqual(self.ledger("run").count(b"\n"), 70)

    def test_data_show_is_the_same_before_and_after(self):
        before = self.run_megalith("data", "show", TINY, "--step", 12).out
        self.train("run", "--set", "schedule.steps=13", "--set", "schedule.warmup_steps=5")
        self.assertEqual(self.run_megalith("data", "show", self.folder / "run", "--step", 12).out, before)


if __name__ == "__main__":
    unittest.main(verbosity=1)
