"""The event files of a run that was stopped and went on, read by TensorBoard's own reader."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import environment

environment.enter("tensorboard", ["tensorboard==2.17.1", "setuptools<81"])

from tensorboard.backend.event_processing import event_accumulator

BINARY = pathlib.Path(os.environ["MEGALITH"])
SOURCE = pathlib.Path(os.environ["MEGALITH_SOURCE"])


class TensorBoardReads(unittest.TestCase):
    def command(self, steps):
        return [BINARY, "train", SOURCE / "configs/runs/tiny.toml", "--run-dir", self.folder / "run",
                "--set", f"schedule.steps={steps}", "--set", "validation.interval=5", "--set", "sample.interval=10",
                "--set", "checkpoint.interval=20", "--set", "schedule.decay=constant"]

    def train(self, steps):
        subprocess.run(self.command(steps), check=True, capture_output=True, cwd=self.folder)

    def train_until_killed(self, after):
        """kill -9 somewhere behind step `after`, which the newest checkpoint need not be."""
        process = subprocess.Popen(self.command(100000), stdout=subprocess.DEVNULL, cwd=self.folder)
        ledger = self.folder / "run/ledger.jsonl"
        while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"\n") <= after):
            time.sleep(0.002)
        process.kill()
        process.wait()
        return ledger.read_bytes().count(b"\n")

    def test_every_step_of_a_resumed_run_once(self):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = pathlib.Path(folder)
            killed = self.train_until_killed(27)
            last = (killed + 15) // 10 * 10
            self.train(last)
            self.train(last + 10)
            read = event_accumulator.EventAccumulator(
                str(self.folder / "run/tensorboard"), size_guidance={event_accumulator.SCALARS: 0,
                                                                     event_accumulator.TENSORS: 0})
            read.Reload()
            ledger = [json.loads(line) for line in (self.folder / "run/ledger.jsonl").read_text().splitlines()]
        tags = set(read.Tags()["scalars"])
        self.assertLessEqual({"loss/training", "loss/held_out", "optimizer/learning_rate", "optimizer/gradient_norm",
                              "speed/tokens_per_second", "speed/mfu", "speed/mfu_palm"}, tags)
        losses = read.Scalars("loss/training")
        self.assertEqual([event.step for event in losses], [line["step"] for line in ledger])
        for event, line in zip(losses, ledger):
            self.assertAlmostEqual(event.value, line["loss"], places=5)
        self.assertEqual([event.step for event in read.Scalars("loss/held_out")], list(range(5, last + 11, 5)))
        samples = read.Tensors("sample")
        self.assertEqual([event.step for event in samples], list(range(10, last + 11, 10)))
        self.assertEqual(read.SummaryMetadata("sample").plugin_data.plugin_name, "text")
        self.assertIn(b"---", samples[0].tensor_proto.string_val[0])


if __name__ == "__main__":
    unittest.main()
