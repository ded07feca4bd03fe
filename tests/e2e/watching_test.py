"""What a person who watches a run reaches for: none of it changes a bit of the run."""
import csv
import json
import unittest

from megalith_cli import MegalithTest


class Watching(MegalithTest):
    def settings(self, **keys):
        return [part for key, value in keys.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]

    def metrics(self, name):
        """Step to names to values; the last of several counts."""
        steps = {}
        for line in (self.folder / name / "metrics.jsonl").read_text().splitlines():
            values = json.loads(line)
            steps.setdefault(values.pop("step"), {}).update(values)
        return steps

    def test_measuring_everything_changes_no_bit(self):
        self.train("plain", *self.settings(schedule__steps=12, schedule__warmup=2, metrics__tensorboard="false"))
        self.train("watched", *self.settings(schedule__steps=12, schedule__warmup=2, metrics__norms_every=4))
        self.assertEqual(self.ledger("plain"), self.ledger("watched"))
        self.assertFalse((self.folder / "plain/tensorboard").exists())
        self.assertTrue((self.folder / "watched/tensorboard/events.out.tfevents.00000001").exists())
        measured = {step for step, values in self.metrics("watched").items() if "update_norm/layers.1" in values}
        self.assertEqual(measured, {4, 8, 12})
        self.assertGreater(self.metrics("watched")[8]["parameter_norm/embedding"], 0)

    def test_memory_is_what_was_predicted(self):
        out = self.train("run", *self.settings(schedule__steps=12, schedule__warmup=2)).out
        self.assertIn("(causal half of attention, matrices only)", out)
        self.assertIn("(PaLM convention)", out)
        self.assertRegex(out, r"\nenergy (n/a: |RAPL: )")
        values = self.metrics("run")[12]
        for arena in "parameters", "activations", "workspace":
            self.assertEqual(values[f"memory_bytes/{arena}"], values[f"memory_predicted_bytes/{arena}"], arena)
        self.assertGreater(values["memory_bytes/resident"], values["memory_predicted_bytes/parameters"])

    def test_the_table_has_every_step(self):
        self.train("run", *self.settings(schedule__steps=12, schedule__warmup=2))
        self.run_megalith("report", self.folder / "run", "--csv", self.folder / "run.csv")
        with open(self.folder / "run.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        losses = [json.loads(line)["loss"] for line in self.ledger("run").splitlines()]
        self.assertEqual([float(row["loss"]) for row in rows], losses)
        self.assertTrue(all(float(row["tokens_per_second"]) > 0 for row in rows))
        self.assertNotEqual(rows[-1]["validation_loss"], "")


if __name__ == "__main__":
    unittest.main()
