"""What a person who watches a run reaches for: none of it changes a bit of the run."""
import csv
import json
import unittest

from megalith_cli import TINY, MegalithTest


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

    def test_the_best_checkpoint_stays_and_talks(self):
        policy = self.settings(schedule__steps=30, schedule__warmup=2, schedule__decay="constant",
                               optimizer__learning_rate=0.3, validation__interval=3, checkpoint__interval=5,
                               checkpoint__keep=1, checkpoint__keep_best="true", checkpoint__keep_every=20)
        self.train("run", *policy)
        losses = {step: values["validation_loss"] for step, values in self.metrics("run").items()
                  if "validation_loss" in values}
        best = min(losses, key=losses.get)
        here = sorted(int(path.name[5:]) for path in (self.folder / "run/checkpoints").iterdir())
        self.assertEqual(here, sorted({best, 20, 30}))
        run = self.folder / "run"
        ask = ["--prompt-ids", "1,2,3", "--max-tokens", "4", "--temperature", "0"]
        self.assertEqual(self.run_megalith("generate", f"{run}@best", *ask).out,
                         self.run_megalith("generate", f"{run}@{best}", *ask).out)

    def test_a_pipe_and_a_page_show_a_run_that_goes_on(self):
        for style in ([], ["--json"]):
            name = "run" + "".join(style)
            process = self.start("train", TINY, "--run-dir", self.folder / name, *style,
                                 *self.settings(schedule__steps=1000000))
            try:
                # A step is told while the run goes on, long before a buffer is full.
                self.assertTrue(any(line.startswith((b"step 1/", b"{")) for line in process.stdout))
                self.assertIsNone(process.poll())
                page = self.folder / "page.html"
                self.run_megalith("report", self.folder / name, "--output", page)
                self.assertIn("<svg", page.read_text())
                self.assertIsNone(process.poll())
            finally:
                process.kill()
                process.communicate()

    def test_samples_come_during_training_and_change_no_bit(self):
        steps = self.settings(schedule__steps=12, schedule__warmup=2)
        self.train("plain", *steps)
        out = self.train("sampled", *steps, *self.settings(sample__interval=4, sample__tokens=6)).out
        self.assertEqual(self.ledger("plain"), self.ledger("sampled"))
        self.assertEqual(out.count("\nsample: "), 2)  # the last one is for the report
        samples = sorted((self.folder / "sampled/samples").glob("step-*.json"))
        self.assertEqual([json.loads(path.read_text())["step"] for path in samples], [4, 8, 12])
        self.assertEqual({len(json.loads(path.read_text())["text"].split()) for path in samples}, {6})

    def test_a_run_without_a_step_has_a_page(self):
        self.train("run", *self.settings(schedule__steps=12, schedule__warmup=2))
        for name in "ledger.jsonl", "metrics.jsonl", "evaluation.json", "report.html":
            (self.folder / "run" / name).unlink(missing_ok=True)
        self.run_megalith("report", self.folder / "run")
        self.assertIn("</html>", (self.folder / "run/report.html").read_text())

    def test_a_profile_changes_no_bit_and_adds_up(self):
        short = self.settings(schedule__steps=12, schedule__warmup=2)
        self.train("plain", *short)
        trace = self.folder / "trace.json"
        lines = self.train("watched", *short, "--profile", "--timeline", trace, "--json").out.splitlines()
        self.assertEqual(self.ledger("plain"), self.ledger("watched"))
        profile = next(json.loads(line)["profile"] for line in lines if line.startswith('{"profile"'))
        self.assertEqual(profile["steps"], 12)
        operations = sum(entry["seconds"] for entry in profile["operations"])
        self.assertAlmostEqual(operations + profile["not_in_operations_seconds"], profile["step_seconds"], places=6)
        self.assertGreater(operations, 0.5 * profile["step_seconds"])
        named = {entry["operation"]: entry for entry in profile["operations"]}
        for name in "product forward", "attention backward", "adamw", "squared norm", "zero", "digest", "data":
            self.assertIn(name, named)
        self.assertTrue(all(entry["share_of_ceiling"] > 0 for entry in named.values() if entry["operation"] != "data"))

        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
        self.assertTrue({"step", "validation", "checkpoint", "product forward"} <= {event["name"] for event in events})
        for step in (event for event in events if event["name"] == "step"):
            end = step["ts"] + step["dur"]
            inside = [event for event in events if event is not step and step["ts"] <= event["ts"] < end]
            self.assertGreater(len(inside), 50)
            self.assertTrue(all(event["ts"] + event["dur"] <= end + 0.01 for event in inside))
            later = [event["ts"] for event in inside]
            self.assertEqual(later, sorted(later))

    def test_the_profile_is_a_table_for_people(self):
        out = self.train("run", *self.settings(schedule__steps=12, schedule__warmup=2), "--profile").out
        self.assertRegex(out, r"\nprofile of 12 steps, .* GB/s copied\n")
        self.assertRegex(out, r"\nproduct forward +bf16 256x512x64 +2 .*% of (peak|bandwidth)\n")
        self.assertRegex(out, r"\nnot in operations .*%\n")

    def test_a_timeline_that_cannot_be_written_is_refused_before_the_run(self):
        self.refused("train", TINY, "--run-dir", self.folder / "run", "--timeline", self.folder / "no/such.json",
                     says=["--timeline", "a file in a folder that exists"])
        self.assertFalse((self.folder / "run").exists())

    def test_a_best_that_nothing_measures_is_refused(self):
        self.refused("train", TINY, "--run-dir", self.folder / "run", "--set", "checkpoint.keep_best=true", "--set",
                     "validation.interval=0", says=["checkpoint.keep_best", "try: "])

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
