"""How long a run is, how fast it learns and how much it reads a step: all of it survives stops."""
import json
import signal
import unittest

from megalith_cli import MegalithTest, TEXT, TINY, text_file

RAMP = ("--set", "batch.ramp_start=2", "--set", "batch.ramp_increment=2", "--set", "batch.ramp_tokens=3840",
        "--set", "batch.micro=2", "--set", "schedule.warmup_tokens=2000", "--set", "schedule.horizon_tokens=100000",
        "--set", "schedule.tokens=12000", "--set", "sample.tokens=0")


class Schedules(MegalithTest):
    def lines(self, name):
        return [json.loads(line) for line in self.ledger(name).splitlines()]

    def test_a_ramp_ends_at_its_tokens_and_its_bits_do_not_depend_on_kills_and_micro_batches(self):
        self.train("whole", *RAMP)
        tokens = [line["tokens"] for line in self.lines("whole")]
        self.assertEqual(tokens[0], 2 * 64)
        self.assertEqual(tokens[-1] - tokens[-2], 8 * 64)
        self.assertTrue(12000 <= tokens[-1] < 12000 + 8 * 64)
        command = ("train", TINY, "--run-dir", self.folder / "killed", *RAMP, "--set", "checkpoint.interval=3")
        for steps in (4, 9, 15, 20):
            process = self.start(*command)
            self.wait_for_steps(process, "killed", steps)
            process.kill()
            process.communicate()
        self.run_megalith(*command, "--set", "batch.micro=1")
        self.assertEqual(self.ledger("killed"), self.ledger("whole"))

    def test_train_longer_by_another_unit(self):
        self.train("run", *RAMP)
        first = self.lines("run")
        self.assertIn("already done", self.train("run", *RAMP).out)
        self.run_megalith("train", "run/config.toml", "--run-dir", "run", "--set", "schedule.tokens=14000")
        self.assertGreaterEqual(self.lines("run")[-1]["tokens"], 14000)
        done = self.run_megalith("train", "run/config.toml", "--run-dir", "run", "--set", f"schedule.steps={len(first) + 9}")
        self.assertIn(f"schedule.steps={2 * (len(first) + 9)}", done.out)
        self.assertEqual(len(self.lines("run")), len(first) + 9)
        self.assertEqual(self.lines("run")[:len(first)], first)
        self.refused("train", "run/config.toml", "--run-dir", "run", "--set", "schedule.warmup_tokens=3000",
                     says="frozen with the run")
        self.refused("train", "run/config.toml", "--run-dir", "run", "--set", "batch.ramp_start=4",
                     says="frozen with the run")

    def test_a_stable_run_may_be_cooled_down_whenever_one_likes(self):
        wsd = ("--set", "schedule.decay=wsd", "--set", "schedule.cooldown_steps=50", "--set", "sample.tokens=0")
        command = ("train", TINY, "--run-dir", self.folder / "run", *wsd, "--set", "schedule.steps=1000000")
        process = self.start(*command)
        self.wait_for_steps(process, "run", 30)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 3)
        process.stdout.close()
        stable = self.lines("run")
        steps = len(stable) + 10
        self.run_megalith(*command, "--set", f"schedule.steps={steps}", "--set", "schedule.cooldown_steps=8")
        lines = self.lines("run")
        self.assertEqual(lines[:len(stable)], stable)
        rates = [line["learning_rate"] for line in lines[len(stable):]]
        self.assertEqual(rates[:3], [stable[-1]["learning_rate"]] * 3)
        self.assertEqual(rates[2:], sorted(rates[2:], reverse=True))
        self.assertLess(rates[-1], 0.3 * rates[0])

    def test_minutes_replace_tokens_and_shorten_what_would_not_fit(self):
        self.train("run", "--minutes", "0.05", "--set", "schedule.tokens=1000000000", "--set", "schedule.decay=wsd", "--set",
                   "schedule.cooldown_tokens=900000000", "--set", "schedule.warmup_tokens=90000000", "--set", "sample.tokens=0")
        steps = len(self.lines("run"))
        config = (self.folder / "run/config.toml").read_text()
        self.assertIn(f"steps = {steps}\ntokens = 0\n", config)
        again = self.run_megalith("train", "run/config.toml", "--run-dir", "run")
        self.assertIn("already done", again.out)

    def test_epochs_of_token_files(self):
        text_file(self.folder, "short.txt", TEXT[:150000])
        self.run_megalith("tokenizer", "train", "short.txt", "--vocabulary", 400, "--output", "tok.json")
        self.run_megalith("data", "build", "short.txt", "--tokenizer", "tok.json", "--output", "data/short")
        source = ("--set", "data.source=data/short-train", "--set", "data.tokenizer=tok.json", "--set", "sample.tokens=0",
                  "--set", "schedule.warmup_steps=2")
        self.train("run", *source, "--set", "schedule.epochs=2")
        steps = len(self.lines("run"))
        self.assertIn("epoch 1", self.run_megalith("data", "show", "run", "--step", steps).out)
        self.assertNotIn("epoch 2,", self.run_megalith("data", "show", "run", "--step", steps - 1).out)
        self.train("run", *source, "--set", "schedule.epochs=2.5")
        self.assertGreater(len(self.lines("run")), steps)
        blend = ("--set", 'data.blend=["data/short-train = 2 epochs"]', "--set", "data.tokenizer=tok.json", "--set",
                 "schedule.epochs=1", "--set", "sample.tokens=0", "--set", "schedule.warmup_steps=2")
        self.train("blend", *blend)
        self.assertEqual(len(self.lines("blend")), steps)
        # What the dry run says of each source is what the metrics of the run count.
        told = json.loads(self.run_megalith("train", TINY, *blend, "--dry-run", "--json").out)
        self.assertEqual(told["steps"], steps)
        (told_source,) = told["sources"]
        self.assertEqual(told_source["name"], "short-train")
        self.assertAlmostEqual(told_source["epochs"], 2, delta=0.02)
        counted = [json.loads(line).get("tokens/short-train", 0)
                   for line in (self.folder / "blend/metrics.jsonl").read_text().splitlines()]
        self.assertEqual(64 * told_source["sequences"], max(counted))
        self.refused("train", TINY, "--set", "schedule.epochs=2", says="the synthetic language has no end")

    def test_a_dry_run_tells_the_run_and_writes_nothing(self):
        before = sorted(self.folder.rglob("*"))
        told = json.loads(self.run_megalith("train", TINY, *RAMP, "--dry-run", "--json").out)
        said = self.run_megalith("train", TINY, *RAMP, "--dry-run").out
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        self.train("run", *RAMP)
        lines = self.lines("run")
        self.assertEqual(told["steps"], len(lines))
        self.assertEqual(told["tokens"], lines[-1]["tokens"])
        self.assertEqual(told["steps_done"], 0)
        for point in told["learning_rates"]:
            self.assertEqual(lines[point["step"] - 1]["learning_rate"], point["learning_rate"])
        self.assertEqual([point["step"] for point in told["learning_rates"]][0], 1)
        self.assertEqual([point["step"] for point in told["learning_rates"]][-1], len(lines))
        tokens = [0] + [line["tokens"] for line in lines]
        for batch in told["batches"]:
            first = batch["first_step"]
            self.assertEqual(tokens[first] - tokens[first - 1], 64 * batch["sequences"])
        self.assertEqual([batch["sequences"] for batch in told["batches"]], [2, 4, 6, 8])
        saved = sum(path.stat().st_size for path in (self.folder / "run/checkpoints").rglob("*.safetensors"))
        self.assertTrue(told["checkpoint_bytes"] <= saved < told["checkpoint_bytes"] * 1.1)
        self.assertGreater(told["seconds_left"], 0)
        self.assertIn(f"{told['steps']}: ", said)
        self.assertIn("nothing was written", said)
        files = {path: path.read_bytes() for path in (self.folder / "run").rglob("*") if path.is_file()}
        again = json.loads(self.run_megalith("train", TINY, "--run-dir", "run", *RAMP, "--set", "schedule.tokens=24000",
                                             "--dry-run", "--json").out)
        self.assertEqual(again["steps_done"], len(lines))
        self.assertGreaterEqual(again["tokens"], 24000)
        self.assertEqual(files, {path: path.read_bytes() for path in (self.folder / "run").rglob("*") if path.is_file()})


if __name__ == "__main__":
    unittest.main(verbosity=1)
