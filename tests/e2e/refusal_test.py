"""Wrong, damaged and hostile input: refused with a clear message and exit code 2; a failing world with exit code 1."""
import os
import resource
import signal
import subprocess
import unittest

from megalith_cli import BINARY, SOURCE, MegalithTest, TINY, text_file


class Refusals(MegalithTest):
    def config(self, text):
        path = self.folder / "mine.toml"
        path.write_text(text)
        return path

    def test_all_config_problems_at_once_with_lines_and_nearest_keys(self):
        path = self.config("[model]\nlayerz = 2\nhidden = \"wide\"\nheads = 0\n[optimizer]\nlearning_rat = 1e-3\n")
        result = self.refused("train", path, says=["mine.toml:2", "model.layers", "mine.toml:3", "mine.toml:4",
                                                   "optimizer.learning_rate"])
        self.assertGreaterEqual(result.err.count("\n"), 4)
        self.assertFalse((self.folder / "runs").exists())

    def test_illegal_combinations_name_the_nearest_legal_values(self):
        self.refused("train", TINY, "--set", "batch.micro=3", says="batch.micro")
        self.refused("train", TINY, "--set", "model.heads=7", says="model.heads")
        self.refused("train", TINY, "--set", "parallel.tensor=2", says=["tensor 2", "1 rank"])
        self.refused("train", TINY, "--set", "schedule.stepz=3", says="schedule.steps")
        for minutes in ("0", "nan", "-1", "soon"):
            self.refused("train", TINY, "--minutes", minutes, says=["--minutes", minutes])

    def test_missing_empty_foreign_and_broken_files(self):
        self.refused("train", self.folder / "absent.toml", says="absent.toml")
        self.refused("train", self.folder, says=str(self.folder))
        self.refused("train", self.config("[model\n"), says="mine.toml:1")
        text = text_file(self.folder)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 300, "--output", "tokenizer.json")
        png = self.folder / "image.png"
        png.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100))
        empty = text_file(self.folder, "empty.txt", "")
        fifo = self.folder / "pipe"
        os.mkfifo(fifo)
        folder = self.folder / "no text in it"
        folder.mkdir()
        for path in [png, empty, fifo, folder, self.folder / "absent.txt"]:
            self.refused("tokenizer", "train", path, says=path.name)
            self.refused("data", "build", path, "--tokenizer", "tokenizer.json", "--output", "x", says=path.name)
        self.refused("tokenizer", "encode", text, text, says="text.txt")
        self.refused("data", "inspect", "nowhere", says="nowhere")
        self.assertEqual([p.name for p in self.folder.glob("x*")], [])

    def test_a_very_long_line_is_no_problem(self):
        text = text_file(self.folder, "line.txt", "ab " * 2_000_000)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 260, "--output", "tokenizer.json")
        self.run_megalith("data", "build", text, "--tokenizer", "tokenizer.json", "--output", "line")

    def test_a_vocabulary_smaller_than_the_ids_is_refused(self):
        text = text_file(self.folder)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 400, "--output", "tokenizer.json")
        self.run_megalith("data", "build", text, "--tokenizer", "tokenizer.json", "--output", "text")
        self.refused("train", TINY, "--set", "data.source=text-train", "--set", "model.vocabulary=300",
                     says=["data.source", "model.vocabulary"])

    def test_unknown_verbs_options_and_kernel_families(self):
        self.refused("trian", says="train")
        self.refused("train", TINY, "--run-dri", "x", says="--run-dir")
        self.refused("train", TINY, env={"MEGALITH_ISA": "sse9"}, says=["MEGALITH_ISA", "sse9", "portable"])
        self.refused(says="")

    def test_generate_refuses_what_it_cannot_do(self):
        self.refused("generate", "nowhere", "--prompt", "x", says="nowhere")
        self.train("run", "--set", "schedule.steps=15")
        self.refused("generate", "run", "--prompt", "words", says="--prompt-ids")
        self.refused("generate", "run", "--prompt-ids", "1,999999", says="999999")
        self.refused("generate", "run", "--prompt-ids", ",".join(["1"] * 500), says="64")
        self.refused("generate", "run@999", "--prompt-ids", "1", says="15")
        self.run_megalith("generate", "run@15", "--prompt-ids", "1,2", "--max-tokens", 5)

    def test_a_changed_config_does_not_continue_another_run(self):
        self.train("run", "--set", "schedule.steps=20")
        self.refused("train", "run", says="try: run/config.toml --run-dir run")
        before = (self.folder / "run/config.toml").read_bytes()
        for frozen in ("model.layers=3", "seed=3", "optimizer.learning_rate=1", "optimizer.weight_decay=0.2", "data.source=x",
                       "numerics.dtype=f32", "batch.global=16", "schedule.decay=linear", "schedule.minimum_ratio=0.5",
                       "train.init=run"):
            self.refused("train", TINY, "--run-dir", "run", "--set", frozen,
                         says=[frozen.split("=")[0], "this key is frozen with the run", "a new run directory"])
        self.assertEqual((self.folder / "run/config.toml").read_bytes(), before)
        whole = self.ledger("run")
        for free in ("batch.micro=2", "device.threads=1", "checkpoint.interval=3", "checkpoint.keep=0", "log.interval=3",
                     "validation.interval=2", "sample.tokens=3", "metrics.norms_every=5", "metrics.tensorboard=false",
                     "schedule.steps=20"):
            self.train("run", "--set", "schedule.steps=20", "--set", free)
        self.assertEqual(self.ledger("run"), whole)

    def test_a_sample_that_could_not_begin_is_refused_before_the_first_step(self):
        text = text_file(self.folder)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 400, "--output", "tokenizer.json")
        self.run_megalith("data", "build", text, "--tokenizer", "tokenizer.json", "--output", "text")
        tokens = ("--set", "data.source=text-train", "--set", "data.tokenizer=tokenizer.json")
        self.refused("train", TINY, "--run-dir", "run", *tokens, "--set", "sample.prompt=" + "the quick fox " * 50,
                     says=["sample.prompt", "model.sequence = 64"])
        self.refused("train", TINY, "--run-dir", "run", "--set", "sample.prompt=the quick fox",
                     says=["sample.prompt", "data.tokenizer"])
        self.assertFalse((self.folder / "run").exists())

    def test_a_run_that_is_being_trained_is_locked(self):
        first = self.start("train", TINY, "--run-dir", self.folder / "run", "--set", "schedule.steps=100000")
        self.wait_for_steps(first, "run", 2)
        before = (self.folder / "run/config.toml").read_bytes()
        for steps in (100000, 200000):  # the same command, and one that would change the run
            result = self.run_megalith("train", TINY, "--run-dir", "run", "--set", f"schedule.steps={steps}", code=2)
            self.assertIn(str(first.pid), result.err)
        self.assertEqual((self.folder / "run/config.toml").read_bytes(), before)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)

    def test_a_full_disk_fails_and_keeps_the_older_checkpoint(self):
        more = ("--set", "checkpoint.interval=10", "--set", "schedule.steps=20", "--set", "sample.tokens=0")
        self.train("run", *more, "--set", "checkpoint.keep=0")

        def small_files_only():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

        result = self.run_megalith("train", TINY, "--run-dir", "run", *more, "--set", "schedule.steps=30", code=1,
                                   preexec_fn=small_files_only)
        self.assertIn("writing", result.err)
        self.assertEqual(sorted(p.name for p in (self.folder / "run/checkpoints").iterdir()),
                         ["step-00000010", "step-00000020"])
        self.train("run", *more, "--set", "schedule.steps=30")

    def test_what_the_memory_cannot_hold_leaves_no_run(self):
        result = self.run_megalith("train", SOURCE / "configs/runs/mt-nlg-530b.toml", "--run-dir", "run", code=1)
        self.assertIn("out of memory", result.err)
        self.assertFalse((self.folder / "run").exists())

    def test_a_place_that_cannot_be_written(self):
        (self.folder / "file").write_text("x")
        result = subprocess.run([BINARY, "train", str(TINY), "--run-dir", str(self.folder / "file/run")],
                                capture_output=True, cwd=self.folder)
        self.assertIn(result.returncode, (1, 2))
        self.assertIn(b"file", result.stderr)

    def test_a_sigint_ignored_by_the_parent_still_stops(self):
        process = subprocess.Popen([BINARY, "train", str(TINY), "--run-dir", str(self.folder / "run"), "--set",
                                    "schedule.steps=100000"], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.wait_for_steps(process, "run", 2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 3)

    def test_a_plain_locale_and_a_closed_reader(self):
        self.train("run", "--set", "schedule.steps=15", env={"LANG": "C", "LC_ALL": "C", "TERM": "dumb"})
        process = subprocess.Popen([BINARY, "generate", "run", "--prompt-ids", "1", "--max-tokens", "50"],
                                   cwd=self.folder, stdout=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=30), 0)


if __name__ == "__main__":
    unittest.main(verbosity=1)
