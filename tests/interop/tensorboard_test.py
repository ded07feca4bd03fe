"""The event files of a run that was stopped and went on, read by TensorBoard's own reader."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import environment

environment.enter("tensorboard", ["tensorboard==2.17.1", "setuptools<81"])

from tensorboard.backend.event_processing import event_accumulator

BINARY = pathlib.Path(os.environ["MEGALITH"])
SOURCE = pathlib.Path(os.environ["MEGALITH_SOURCE"])


class TensorBoardReads(unittest.TestCase):
    def train(self, steps):
        subprocess.run([BINARY, "train", SOURCE / "configs/runs/tiny.toml", "--run-dir", self.folder / "run",
                        "--set", f"schedule.steps={steps}", "--set", "validation.interval=5",
                        "--set", "sample.interval=10"], check=True, capture_output=True, cwd=self.folder)

    def test_every_step_of_a_resumed_run_once(self):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = pathlib.Path(folder)
            self.train(20)
            self.train(30)
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
        self.assertEqual([event.step for event in read.Scalars("loss/held_out")], [5, 10, 15, 20, 25, 30])
        samples = read.Tensors("sample")
        self.assertEqual([event.step for event in samples], [10, 20, 30])
        self.assertEqual(read.SummaryMetadata("sample").plugin_data.plugin_name, "text")
        self.assertIn(b"---", samples[0].tensor_proto.string_val[0])


if __name__ == "__main__":
    unittest.main()
