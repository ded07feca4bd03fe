"""A run is the same run whatever happens to it: stops, kills, threads, micro batches, kernel families."""
import json
import random
import signal
import subprocess
import unittest

from megalith_cli import MegalithTest, BINARY, TINY

STEPS = ("--set", "schedule.steps=60", "--set", "schedule.warmup_steps=5", "--set", "checkpoint.interval=7",
         "--set", "model.dropout=0.1", "--set", "model.attention_dropout=0.1", "--set", "sample.tokens=0")


class Resume(MegalithTest):
    @classmethod
    def setUpClass(cls):
        cls.expected = None

    def uninterrupted(self):
        self.train("whole", *STEPS)
        return self.ledger("whole")

    def test_a_finished_run_says_already_done(self):
        self.train("run", *STEPS)
        before = self.ledger("run")
        again = self.train("run", *STEPS)
        self.assertIn("already done", again.out)
        self.assertEqual(self.ledger("run"), before)

    def test_ctrl_c_saves_and_the_same_command_continues(self):
        whole = self.uninterrupted()
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
            self.assertEqual(self.ledger(name), whole)

    def test_killed_again_and_again_it_ends_with_the_same_ledger(self):
        whole = self.uninterrupted()
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
        self.assertEqual(self.ledger("killed"), whole)
        self.assertTrue(said_verified)

    def test_a_ledger_that_is_not_reproduced_stops_with_code_4(self):
        self.train("run", *STEPS)
        path = self.folder / "run/ledger.jsonl"
        lines = path.read_text().splitlines()
        changed = json.loads(lines[58])
        changed["parameter_digest"] = "0123456789abcdef"
        lines[58] = json.dumps(changed, separators=(",", ":"))
        path.write_text("\n".join(lines) + "\n")
        subprocess.run(["rm", "-r", str(self.folder / "run/checkpoints/step-00000060")], check=True)
        result = self.train("run", *STEPS, code=4)
        self.assertIn("parameter_digest", result.err)

    def test_threads_micro_batches_and_kernel_families_do_not_change_a_bit(self):
        whole = self.uninterrupted()
        for index, more in enumerate([("device.threads=1",), ("device.threads=3", "batch.micro=1"), ("batch.micro=8",),
                                      ("batch.micro=2",)]):
            sets = [part for item in more for part in ("--set", item)]
            self.train(f"other{index}", *STEPS, *sets)
            self.assertEqual(self.ledger(f"other{index}"), whole, more)
        for isa in ["portable", "avx2", "avx512"]:
            probe = subprocess.run([BINARY, "train", str(TINY), "--run-dir", str(self.folder / isa), *STEPS],
                                   env={"MEGALITH_ISA": isa}, capture_output=True, cwd=self.folder)
            if probe.returncode == 2:
                self.assertIn(b"MEGALITH_ISA", probe.stderr)  # this processor lacks it
                continue
            self.assertEqual(probe.returncode, 0, probe.stderr)
            self.assertEqual(self.ledger(isa), whole, isa)

    def test_fp32_too_does_not_depend_on_threads_or_micro_batches(self):
        precision = ("--set", "numerics.dtype=\"f32\"")
        self.train("a", *STEPS, *precision)
        self.train("b", *STEPS, *precision, "--set", "device.threads=1", "--set", "batch.micro=1")
        self.assertEqual(self.ledger("a"), self.ledger("b"))

    def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_taken(self):
        self.train("run", *STEPS, "--set", "checkpoint.keep=3")
        whole = self.ledger("run")
        newest = self.folder / "run/checkpoints/step-00000060"
        shard = next(newest.glob("*.safetensors"))
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
        result = self.train("run", *STEPS)
        self.assertIn(shard.name, result.err)
        self.assertIn("resume verified", result.out)
        self.assertEqual(self.ledger("run"), whole)

    def test_train_longer_goes_on_from_the_end(self):
        self.train("run", *STEPS)
        self.train("run", *STEPS, "--set", "schedule.steps=70")
        self.assertEqual(self.ledger("run").count(b"\n"), 70)

    def test_data_show_is_the_same_before_and_after(self):
        before = self.run_megalith("data", "show", TINY, "--step", 12).out
        self.train("run")
        self.assertEqual(self.run_megalith("data", "show", self.folder / "run", "--step", 12).out, before)


if __name__ == "__main__":
    unittest.main(verbosity=1)
