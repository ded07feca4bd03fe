"""Data sets as users have them: in shards, in blends, of other people, changed, missing, cut short."""
import gzip
import json
import resource
import signal
import time
import unittest

from megalith_cli import MegalithTest, TEXT, TINY, text_file

LEFTOVERS = "*.tmp-*"
RUN = ("--set", "data.tokenizer=tok.json", "--set", "sample.tokens=0", "--set", "schedule.warmup_steps=2")


class DataSets(MegalithTest):
    def tokenizer(self):
        text_file(self.folder, "all.txt", TEXT[:60000])
        self.run_megalith("tokenizer", "train", "all.txt", "--vocabulary", 400, "--output", "tok.json")

    def build(self, name, text, *more):
        lines = [json.dumps({"text": text[i:i + 300]}) for i in range(0, len(text), 300)]
        text_file(self.folder, f"{name}.jsonl", "\n".join(lines) + "\n")
        return self.run_megalith("data", "build", f"{name}.jsonl", "--tokenizer", "tok.json", "--output", f"data/{name}", *more)

    def kill_and_go_on(self, command, name, at):
        """kill -9 at each of these steps, then the same command to its end."""
        for steps in at:
            process = self.start(*command)
            self.wait_for_steps(process, name, steps)
            process.kill()
            process.communicate()
        return self.run_megalith(*command)

    def test_shards_give_the_bits_of_one_file_also_through_kills(self):
        self.tokenizer()
        self.build("whole", TEXT[:60000])
        said = self.build("parts", TEXT[:60000], "--shard-tokens", 4000).out
        facts = json.loads(self.run_megalith("data", "inspect", "data/parts-train", "--json").out)
        self.assertGreater(facts["files"], 2)
        self.assertIn(f"training in {facts['files']} shards", said)
        self.run_megalith("data", "verify", "data/parts-train")
        whole = json.loads(self.run_megalith("data", "inspect", "data/whole-train", "--json").out)
        self.assertEqual({**facts, "files": 1}, whole)
        common = (*RUN, "--set", "schedule.steps=60", "--set", "checkpoint.interval=7")
        self.train("whole", "--set", "data.source=data/whole-train", *common)
        command = ("train", TINY, "--run-dir", self.folder / "parts", "--set", "data.source=data/parts-train", *common)
        last = self.kill_and_go_on(command, "parts", (9, 23, 41))
        self.assertIn("resume verified", last.out)
        self.assertEqual(self.ledger("parts"), self.ledger("whole"))
        # The middle of a document that lies in the last shard.
        shown = self.run_megalith("data", "show", "parts", "--doc", facts["documents"] - 1).out
        self.assertEqual(shown, self.run_megalith("data", "show", "whole", "--doc", facts["documents"] - 1).out)

    def test_show_names_the_data_rank_that_reads_a_sample(self):
        def readers(*more):
            shown = self.run_megalith("data", "show", TINY, "--step", 1, "--set", "batch.global=8", "--set", "batch.micro=1",
                                      *more).out
            return [line.split("read by data rank ")[1] for line in shown.splitlines() if "read by data rank " in line]
        self.assertEqual(readers(), [])
        self.assertEqual(readers("--ranks", 3), list("00111222"))
        self.assertEqual(readers("--ranks", 4, "--set", "parallel.pipeline=2"), list("00001111"))
        self.assertEqual(readers("--set", "parallel.data=2"), list("00001111"))
        self.run_megalith("data", "show", TINY, "--ranks", 3, "--set", "parallel.pipeline=2", code=2)

    def test_a_blend_of_shards_on_a_ramp_goes_on_over_its_epochs(self):
        self.tokenizer()
        self.build("a", TEXT[:12000], "--shard-tokens", 900)
        self.build("b", TEXT[12000:60000], "--shard-tokens", 5000)
        settings = (*RUN, "--set", 'data.blend=["data/a-train = 3 epochs", "data/b-train = 1 epochs"]', "--set",
                    "schedule.epochs=1", "--set", "batch.ramp_start=2", "--set", "batch.ramp_increment=2", "--set",
                    "batch.ramp_tokens=6000", "--set", "batch.micro=2", "--set", "checkpoint.interval=3")
        self.train("whole", *settings)
        steps = self.ledger("whole").count(b"\n")
        epochs = {}  # of source a, by step
        for step in range(1, steps + 1):
            shown = self.run_megalith("data", "show", "whole", "--step", step).out
            epochs[step] = {line.split("a-train, epoch ")[1][0] for line in shown.splitlines() if "a-train, epoch " in line}
        turns = [step for step in epochs if len(epochs[step]) == 2]
        self.assertGreater(len(turns), 0, epochs)
        command = ("train", TINY, "--run-dir", self.folder / "killed", *settings)
        self.kill_and_go_on(command, "killed", sorted({5, *turns, *(turn + 1 for turn in turns), steps - 2}))
        self.assertEqual(self.ledger("killed"), self.ledger("whole"))
        self.run_megalith("train", TINY, "--run-dir", "micro", *settings, "--set", "batch.micro=1")
        self.assertEqual(self.ledger("micro"), self.ledger("whole"))
        rows = [json.loads(line) for line in (self.folder / "whole/metrics.jsonl").read_text().splitlines()]
        tokens = {name: value for row in rows for name, value in row.items() if name.startswith("tokens/")}
        last = json.loads(self.ledger("whole").splitlines()[-1])
        self.assertEqual(sorted(tokens), ["tokens/a-train", "tokens/b-train"])
        self.assertEqual(sum(tokens.values()), last["tokens"])

    def test_sources_of_one_name_are_told_apart(self):
        self.tokenizer()
        for number, name in enumerate(("wiki/t", "code/t")):
            (self.folder / name).parent.mkdir()
            self.build(name, TEXT[number * 30000:number * 30000 + 30000], "--held-out-every", 0)
        self.train("run", *RUN, "--set", "schedule.steps=6", "--set", "data.held_out=data/wiki/t", "--set",
                   'data.blend=["data/wiki/t = 1", "data/code/t = 1", "data/code/t = 1"]', "--set",
                   'data.more_held_out=["data/wiki/t", "data/code/t"]')
        rows = [json.loads(line) for line in (self.folder / "run/metrics.jsonl").read_text().splitlines()]
        names = {name for row in rows for name in row}
        self.assertLessEqual({"tokens/wiki/t", "tokens/code/t", "tokens/code/t#2", "validation_loss/wiki/t",
                              "validation_loss/code/t"}, names)

    def test_a_pattern_takes_several_files_of_others(self):
        self.tokenizer()
        for number, name in enumerate("ab"):
            self.build(name, TEXT[number * 30000:number * 30000 + 30000], "--held-out-every", 0)
        source = ("--set", "data.source=data/?", *RUN, "--set", "schedule.epochs=1")
        self.train("run", *source)
        facts = json.loads(self.run_megalith("data", "inspect", "data/?", "--json").out)
        self.assertEqual(facts["files"], 2)
        self.refused("train", TINY, "--set", "data.source=data/x*", says=["data/x*", "no token files match"])

    def test_a_set_that_is_missing_or_not_whole_is_named_with_the_nearest(self):
        self.tokenizer()
        self.build("wiki", TEXT[:30000], "--shard-tokens", 2000)
        self.build("code", TEXT[30000:60000])
        blend = 'data.blend=["data/wiki-train = 1", "data/coed-train = 2"]'
        self.refused("train", TINY, *RUN, "--set", blend, says=["data.blend", "data/coed-train", "try: data/code-train"])
        self.refused("train", TINY, *RUN, "--set", "data.source=data/wiki-tran", says="try: data/wiki-train")
        self.refused("train", TINY, *RUN, "--set", "data.source=data/code-train", "--set", "data.held_out=data/code-heldout",
                     says=["data.held_out", "try: data/code-held_out"])
        gone = sorted((self.folder / "data").glob("wiki-train-*.idx"))[1]
        gone.unlink()
        self.refused("train", TINY, *RUN, "--set", "data.source=data/wiki-train", says=gone.name)
        self.refused("data", "verify", "data/wiki-train", says=gone.name)

    def test_another_tokenizer_than_that_of_the_files_is_refused(self):
        self.tokenizer()
        self.build("a", TEXT[:30000])
        text_file(self.folder, "other.txt", TEXT[30000:60000].upper())
        self.run_megalith("tokenizer", "train", "other.txt", "--vocabulary", 400, "--output", "other.json")
        self.refused("train", TINY, *RUN, "--set", "data.source=data/a-train", "--set", "data.tokenizer=other.json",
                     says=["data.tokenizer", "other.json", "data/a-train"])

    def test_data_that_changed_under_a_run_stop_it(self):
        self.tokenizer()
        self.build("a", TEXT[:30000])
        command = ("train", TINY, "--run-dir", "run", *RUN, "--set", "data.source=data/a-train")
        self.run_megalith(*command, "--set", "schedule.steps=12")
        before = self.ledger("run")
        self.build("a", TEXT[500:30500])
        result = self.run_megalith(*command, "--set", "schedule.steps=20", code=4)
        self.assertIn("data_digest", result.err)
        self.assertEqual(self.ledger("run"), before)
        self.build("a", TEXT[:30000], "--shard-tokens", 1000)
        self.run_megalith(*command, "--set", "schedule.steps=20")

    def test_a_build_that_is_interrupted_leaves_what_was_there_and_begins_anew(self):
        self.tokenizer()
        lines = "".join(json.dumps({"text": TEXT[i % 3000:i % 3000 + 2000]}) + "\n" for i in range(60000))
        text_file(self.folder, "big.jsonl", lines)
        self.build("t", TEXT[:30000])
        before = {path.name: path.read_bytes() for path in (self.folder / "data").iterdir()}
        command = ("data", "build", "big.jsonl", "--tokenizer", "tok.json", "--output", "data/t")
        for how, code in ((signal.SIGINT, 3), (signal.SIGTERM, 3), (signal.SIGKILL, -9)):
            process = self.start(*command)
            while not list((self.folder / "data").glob(LEFTOVERS)) and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(how)
            said = process.communicate(timeout=60)[0].decode()
            self.assertEqual(process.returncode, code, said)
            after = {path.name: path.read_bytes() for path in (self.folder / "data").iterdir() if ".tmp-" not in path.name}
            self.assertEqual(after, before)
        self.assertTrue(list((self.folder / "data").glob(LEFTOVERS)))  # of the kill
        self.run_megalith(*command)
        self.assertEqual(list((self.folder / "data").glob(LEFTOVERS)), [])
        self.run_megalith("data", "verify", "data/t-train")

    def test_a_full_disk_leaves_what_was_there(self):
        self.tokenizer()
        self.build("t", TEXT[:30000])
        before = {path.name: path.read_bytes() for path in (self.folder / "data").iterdir()}
        text_file(self.folder, "more.txt", TEXT)
        result = self.run_megalith("data", "build", "more.txt", "--tokenizer", "tok.json", "--output", "data/t", code=1,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
        self.assertIn("writing", result.err)
        self.assertEqual({path.name: path.read_bytes() for path in (self.folder / "data").iterdir()}, before)

    def test_bombs_and_a_line_of_4_gb_need_little_memory(self):
        self.tokenizer()
        part = gzip.compress(b"".join(b"%07d " % (i * 7919 % 9999991) * 64 for i in range(1 << 17)))  # of 64 MiB
        line = gzip.compress(b'{"text": "first"}\n{"text": "') + part * 64 + gzip.compress(b'"}\n{"text": "last"}\n')
        (self.folder / "line.jsonl.gz").write_bytes(line)
        zeros = gzip.compress(bytes(64 << 20)) * 160  # 10 GiB
        (self.folder / "zeros.txt.gz").write_bytes(zeros)
        (self.folder / "zeros.jsonl.gz").write_bytes(zeros)
        self.run_megalith("data", "build", "line.jsonl.gz", "--tokenizer", "tok.json", "--output", "line", "--held-out-every", 0,
                          "--workers", 3)
        entry = json.loads((self.folder / "line.quarantine.jsonl").read_text())
        self.assertEqual((entry["offset"], entry["bytes"]), (18, 10 + (4 << 30) + 3))
        facts = json.loads(self.run_megalith("data", "inspect", "line", "--json").out)
        self.assertEqual(facts["documents"], 2)
        self.refused("data", "build", "zeros.txt.gz", "--tokenizer", "tok.json", "--output", "zeros", says="NUL byte")
        self.refused("data", "build", "zeros.jsonl.gz", "--tokenizer", "tok.json", "--output", "zeros", says="at most 1024 times")
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB, of the largest process so far
        self.assertLess(most, 512 << 10)


if __name__ == "__main__":
    unittest.main(verbosity=1)
