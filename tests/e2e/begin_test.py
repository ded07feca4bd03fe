"""What training reads and begins with: blends of sources, weights of another run, other shapes."""
import json
import shutil
import unittest

from megalith_cli import MegalithTest, TEXT, TINY, text_file

LLAMA = ["--set", "model.norm=rmsnorm", "--set", "model.positions=rotary", "--set", "model.activation=swiglu", "--set",
         "model.biases=false", "--set", "model.kv_heads=2", "--set", "model.attention_window=20"]


class Blends(MegalithTest):
    def sources(self):
        short = text_file(self.folder, "short.txt", TEXT[:100000])
        long = text_file(self.folder, "long.txt", TEXT[100000:])
        self.run_megalith("tokenizer", "train", short, "--vocabulary", 400, "--output", "tok.json")
        for name in ("short", "long"):
            self.run_megalith("data", "build", f"{name}.txt", "--tokenizer", "tok.json", "--output", f"data/{name}")
        return ["--set", 'data.blend=["data/short-train = 3", "data/long-train = 1"]', "--set", "data.tokenizer=tok.json",
                "--set", "data.held_out=data/long-held_out", "--set",
                'data.more_held_out=["data/short-held_out"]', "--set", "schedule.warmup_steps=3", "--set", "batch.global=32"]

    def test_a_blend_has_its_shares_and_goes_on_through_its_epochs_with_the_same_bits(self):
        sets = self.sources()
        self.train("whole", *sets, "--set", "schedule.steps=50", "--set", "checkpoint.interval=10")
        rows = [json.loads(line) for line in (self.folder / "whole/metrics.jsonl").read_text().splitlines()]
        tokens = [row for row in rows if "tokens/short-train" in row][-1]
        self.assertAlmostEqual(tokens["tokens/short-train"] / tokens["tokens/long-train"], 3, delta=0.05)
        self.assertTrue(any("validation_loss/short-held_out" in row for row in rows))
        # The losses of the sources make up the loss of their step.
        steps = [json.loads(line) for line in self.ledger("whole").splitlines()]
        both = [row for row in rows if "loss/short-train" in row and "loss/long-train" in row]
        self.assertTrue(both)
        for row in both:
            low, high = sorted((row["loss/short-train"], row["loss/long-train"]))
            self.assertTrue(low <= steps[row["step"] - 1]["loss"] <= high)
        shown = self.run_megalith("data", "show", "whole", "--step", 50).out
        self.assertRegex(shown, "short-train, epoch [1-9]")  # the short source has begun anew
        self.assertIn("long-train, epoch 0", shown)
        # From step 20 on it goes through the end of an epoch of the short source.
        for step in (30, 40, 50):
            folder = self.folder / f"whole/checkpoints/step-{step:08}"
            if folder.exists():
                shutil.rmtree(folder)
        before = self.ledger("whole")
        self.train("whole", *sets, "--set", "schedule.steps=50", "--set", "checkpoint.interval=10")
        self.assertEqual(self.ledger("whole"), before)
        self.train("other", *sets, "--set", "schedule.steps=50", "--set", "batch.micro=1", "--set", "device.threads=1")
        self.assertEqual(self.ledger("other"), before)

    def test_a_blend_by_epochs_and_what_is_wrong_with_one(self):
        sets = self.sources()
        epochs = ["--set", 'data.blend=["data/short-train = 2 epochs", "data/long-train = 0.5 epochs"]']
        self.train("epochs", *sets, *epochs, "--set", "schedule.steps=5")
        self.refused("train", TINY, *sets, "--set", 'data.blend=["data/shrot-train = 1"]', says="shrot-train")
        self.refused("train", TINY, *sets, "--set", 'data.blend=["data/short-train"]', says="WEIGHT")
        self.refused("train", TINY, *sets, "--set", "data.source=data/long-train", says=("data.source", "data.blend"))
        self.refused("train", TINY, *sets, "--set",
                     'data.blend=["data/short-train = 1", "data/long-train = 2 epochs"]', says="epochs for all")


class BeginWith(MegalithTest):
    def test_training_begins_with_the_weights_of_another_run(self):
        self.train("base", *LLAMA, "--set", "schedule.steps=30")
        base = self.validations("base")[-1]["validation_loss"]
        tuned = self.run_megalith("train", TINY, "--run-dir", "tuned", "--set", "train.init=base", "--set",
                                  "schedule.steps=20", "--set", 'optimizer.learning_rate_factors=["embedding.* = 0"]')
        self.assertEqual(self.validations("tuned")[0], {"step": 0, "validation_loss": base})
        self.assertIn("of the weights it began with", tuned.out)
        # It goes on without the weights it began with, and as what it was.
        (self.folder / "base").rename(self.folder / "gone")
        self.refused("train", TINY, "--run-dir", "tuned2", "--set", "train.init=base", says="train.init")
        self.run_megalith("train", "tuned/config.toml", "--run-dir", "tuned", "--set", "schedule.steps=25")

    def validations(self, run):
        rows = [json.loads(line) for line in (self.folder / run / "metrics.jsonl").read_text().splitlines()]
        return [row for row in rows if "validation_loss" in row]

    def test_every_shape_has_the_same_bits_for_other_threads_micro_batches_and_after_a_stop(self):
        neox = ["--set", "model.positions=rotary", "--set", "model.rotary_share=0.5", "--set",
                "model.parallel_residual=true", "--set", "model.activation=gelu_erf"]
        for name, shape in (("llama", LLAMA), ("neox", neox)):
            self.train(name, *shape, "--set", "schedule.steps=20")
            self.train(name + "1", *shape, "--set", "schedule.steps=20", "--set", "batch.micro=1", "--set",
                       "device.threads=1", env={"MEGALITH_ISA": "avx2"})
            self.assertEqual(self.ledger(name), self.ledger(name + "1"))


if __name__ == "__main__":
    unittest.main()
