"""Training as several ranks, threads or processes: the ledger of one rank, whatever is stopped, killed and continued."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from megalith_cli import MegalithTest, BINARY, SOURCE, TEXT, TINY, run_tests, text_file

STEPS = ("--set", "schedule.steps=24", "--set", "schedule.warmup_steps=5", "--set", "checkpoint.interval=5",
         "--set", "checkpoint.keep=2", "--set", "validation.interval=8", "--set", "model.dropout=0.1",
         "--set", "sample.tokens=8", "--set", "sample.interval=8")
# A run that no machine ends before the signal comes. Its rates do not depend on where it ends in the end.
HORIZON = ("--set", "schedule.horizon_steps=1000")
ENDLESS = (*STEPS, *HORIZON, "--set", "schedule.steps=1000000")
JOB_ENDS_WITHIN = 10  # seconds; what is promised when a rank dies

MPIRUN = shutil.which("mpirun.openmpi") or shutil.which("mpirun")
WITHOUT_MPI = "" if MPIRUN and os.environ.get("MEGALITH_MPI") == "TRUE" else "no Open MPI here"
# As root and with more ranks than processors, as containers and small machines have it.
MPI = [MPIRUN, "--allow-run-as-root", "--oversubscribe"]


def layout(**parallel):
    return [word for key, value in parallel.items() for word in ("--set", f"parallel.{key}={value}")]


class Ranks(MegalithTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="megalith e2e ")
        cls.addClassCleanup(folder.cleanup)
        whole = pathlib.Path(folder.name) / "whole"
        subprocess.run([BINARY, "train", str(TINY), "--run-dir", whole, *STEPS], check=True, capture_output=True,
                       env={**os.environ, "MEGALITH_CONFIGS": str(SOURCE / "configs")})
        cls.whole = (whole / "ledger.jsonl").read_bytes()

    def steps_done(self, name):
        return self.ledger(name).count(b"\n") if (self.folder / name / "ledger.jsonl").exists() else 0

    def assert_goes_on(self, name, go_on):
        """A stopped run does ten steps more, by go_on(steps), and is the run of one rank that nobody stopped."""
        end = (*STEPS, *HORIZON, "--set", f"schedule.steps={self.steps_done(name) + 10}")
        go_on(end)
        self.train(f"{name}-whole", *end)
        self.assertEqual(self.ledger(name), self.ledger(f"{name}-whole"))

    def mpirun(self, ranks, *arguments, code=0, timeout=120):
        result = subprocess.run([*MPI, "-n", str(ranks), BINARY, *map(str, arguments)], capture_output=True, text=True,
                                cwd=self.folder, timeout=timeout, errors="replace",
                                env={**os.environ, "MEGALITH_CONFIGS": str(SOURCE / "configs")})
        self.assertEqual(result.returncode, code, result.stdout[-2000:] + result.stderr[-2000:])
        return result

    def refused_unlike(self, first, second, says, folders=("", "")):
        """Two ranks that were told different things, perhaps in folders of their own."""
        apart = [[*(["-wdir", str(self.folder / folder)] if folder else []), "-n", "1", str(BINARY), *map(str, words)]
                 for words, folder in zip((first, second), folders)]
        result = subprocess.run([*MPI, *apart[0], ":", *apart[1]], capture_output=True, text=True, cwd=self.folder,
                                timeout=60, errors="replace", env={**os.environ, "MEGALITH_CONFIGS": str(SOURCE / "configs")})
        self.assertEqual(result.returncode, 2, result.stdout[-2000:] + result.stderr[-2000:])
        self.assert_one_line_names(result.stderr, f"rank 1: found another {says} than rank 0 has")

    def start_mpirun(self, ranks, *arguments):
        return subprocess.Popen([*MPI, "-n", str(ranks), BINARY, *map(str, arguments)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True,
                                env={**os.environ, "MEGALITH_CONFIGS": str(SOURCE / "configs")})

    def rank_processes(self, name):
        """Process ids of a run's ranks, as their rings tell, once all are there."""
        for _ in range(200):
            rings = sorted((self.folder / name / "ranks").glob("*.ring"))
            if rings:
                rings = json.loads(self.run_megalith("doctor", "--run", self.folder / name, "--json").out)
                if len(rings) == rings[0]["ranks"]:
                    return [ring["process"] for ring in rings]
            time.sleep(0.05)
        self.fail("no rings")

    def assert_one_line_names(self, out, pattern):
        # The mpirun of Open MPI 5 ends its own messages with a zero byte.
        said = [line for line in out.replace("\0", "").splitlines() if line.startswith("megalith: ")]
        self.assertEqual(len(said), 1, out)
        self.assertRegex(said[0], pattern)


class Threads(Ranks):
    def test_they_write_the_ledger_of_one_rank(self):
        for ranks, more in ((2, layout(zero=1)), (3, layout(zero=2)), (8, layout(tensor=2, pipeline=2, zero=3))):
            name = f"threads{ranks}"
            out = self.train(name, *STEPS, "--ranks", ranks, *more).out
            self.assertEqual(self.ledger(name), self.whole)
            self.assertRegex(out, f"{ranks} ranks = tensor . x pipeline . x data .;")
            self.assertEqual(out.count("step 1/24"), 1)

    def test_a_stop_is_continued_by_another_number_of_ranks(self):
        command = ("train", TINY, "--run-dir", self.folder / "run")
        process = self.start(*command, *ENDLESS, "--ranks", 3, *layout(zero=2))
        self.wait_for_steps(process, "run", 7)
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=30)[0].decode()
        self.assertEqual(process.returncode, 3, out)
        self.assert_one_line_names(out, "^megalith: stopped after step")
        self.assert_goes_on("run", lambda end: self.run_megalith(*command, *end, "--ranks", 2, *layout(zero=0)))

    def test_what_is_refused_is_told_once(self):
        result = self.refused("train", TINY, "--ranks", 3, *layout(tensor=2), says="tensor 2")
        self.assertEqual(result.err.count("megalith: "), 1)
        self.refused("train", TINY, "--ranks", 0, says="--ranks")
        self.refused("train", TINY, "--ranks", 2, "--dry-run", says="plan check")
        self.refused("doctor", "--run", self.folder, says="rings")

    def test_the_timeline_has_a_track_for_every_rank_with_what_it_waits_for(self):
        trace = self.folder / "trace.json"
        self.run_megalith("train", TINY, "--run-dir", self.folder / "traced", "--ranks", 2, *layout(pipeline=2), "--set",
                          "schedule.steps=5", "--set", "schedule.warmup_steps=1", "--timeline", trace)
        events = json.loads(trace.read_text())["traceEvents"]
        names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
        self.assertEqual(names, ["rank 0: stage 0, data 0, tensor 0", "rank 1: stage 1, data 0, tensor 0"])
        for process in (1, 2):
            seen = [event["name"] for event in events if event["pid"] == process]
            self.assertEqual(seen.count("step"), 5)
            self.assertGreater(seen.count("wait for receive"), 0)

    def test_the_profile_tells_what_every_rank_worked_and_waited(self):
        def profiled(name, *more):
            return self.run_megalith("train", TINY, "--run-dir", self.folder / name, "--ranks", 2, *layout(pipeline=2), "--set",
                                     "schedule.steps=5", "--set", "schedule.warmup_steps=1", "--profile", *more).out
        out = profiled("for-people")
        self.assertRegex(out, r"\nprofile of 5 steps on 2 ranks, ")
        self.assertRegex(out, r"\nwait for receive .*%")
        for rank in (0, 1):
            self.assertRegex(out, rf"\nrank {rank}: stage {rank}, data 0, tensor 0 .*%")
        self.assertEqual((out.count("  slowest\n"), out.count("  fastest\n")), (1, 1))
        lines = profiled("for-programs", "--json").splitlines()
        profile = next(json.loads(line)["profile"] for line in lines if line.startswith('{"profile"'))
        for rank in profile["ranks"]:
            self.assertGreater(rank["waiting_seconds"], 0)
            self.assertLessEqual(rank["operation_seconds"] + rank["waiting_seconds"], rank["step_seconds"])
        operations = sum(entry["seconds"] for entry in profile["operations"])
        self.assertAlmostEqual(operations + profile["not_in_operations_seconds"], profile["step_seconds"], places=6)

    def test_the_rings_tell_what_ranks_did_last(self):
        self.train("run", *STEPS, "--ranks", 2)
        text = self.run_megalith("doctor", "--run", self.folder / "run").out
        self.assertIn("rank 1 of 2", text)
        self.assertRegex(text, r"broadcast +world +#\d+ .*done")


@unittest.skipIf(WITHOUT_MPI, WITHOUT_MPI)
class Processes(Ranks):
    def test_they_write_the_ledger_of_one_rank(self):
        layouts = [(1, []), (2, []), (2, layout(tensor=2, sequence="true")), (2, layout(pipeline=2)), (3, layout(zero=1)),
                   (4, layout(zero=2)), (4, layout(tensor=2, zero=3)), (8, layout(tensor=4)),
                   (8, layout(tensor=2, pipeline=2, schedule="zero_bubble", zero=1))]
        for number, (ranks, more) in enumerate(layouts):
            name = f"mpi{number}"
            out = self.mpirun(ranks, "train", TINY, "--run-dir", self.folder / name, *STEPS, *more).stdout
            self.assertEqual(self.ledger(name), self.whole)
            self.assertEqual(out.count("step 1/24"), 1)

    def test_a_signal_to_any_rank_stops_all(self):
        for number, (rank, stop) in enumerate(((0, signal.SIGINT), (1, signal.SIGTERM))):
            name = f"stopped{number}"
            command = ("train", TINY, "--run-dir", self.folder / name)
            process = self.start_mpirun(2, *command, *ENDLESS)
            self.wait_for_steps(process, name, 6)
            os.kill(self.rank_processes(name)[rank], stop)
            out = process.communicate(timeout=30)[0].decode(errors="replace")
            self.assertEqual(process.returncode, 3, out)
            self.assert_one_line_names(out, "^megalith: stopped after step")
            self.assert_goes_on(name, lambda end: self.mpirun(3, *command, *end, *layout(zero=1)))

    def test_a_signal_to_mpirun_stops_all(self):
        command = ("train", TINY, "--run-dir", self.folder / "run")
        # mpirun passes SIGUSR1 on; SIGTERM makes it end the ranks itself, with a second to save.
        for sent in (signal.SIGUSR1, signal.SIGTERM):
            before = self.steps_done("run")
            with self.start_mpirun(2, *command, *ENDLESS) as process:
                self.wait_for_steps(process, "run", before + 6)
                process.send_signal(sent)
                out = process.communicate(timeout=30)[0].decode(errors="replace")
                self.assertNotEqual(process.returncode, 0, out)
                if sent == signal.SIGUSR1:
                    self.assertEqual(process.returncode, 3, out)
                    self.assert_one_line_names(out, "^megalith: stopped after step")
        self.assert_goes_on("run", lambda end: self.run_megalith(*command, *end))

    def test_any_rank_may_be_killed_and_another_layout_goes_on(self):
        command = ("train", TINY, "--run-dir", self.folder / "run")
        for ranks, killed, more in ((2, 1, []), (3, 0, layout(zero=1)), (4, 2, layout(tensor=2, pipeline=2)),
                                    (4, 3, layout(tensor=4, pipeline=1, zero=3))):
            before = self.steps_done("run")
            process = self.start_mpirun(ranks, *command, *ENDLESS, *more)
            self.wait_for_steps(process, "run", before + 10)
            os.kill(self.rank_processes("run")[killed], signal.SIGKILL)
            out = process.communicate(timeout=JOB_ENDS_WITHIN)[0].decode(errors="replace")
            self.assertNotEqual(process.returncode, 0)
            self.assert_one_line_names(out, rf"^megalith: rank {killed} \(process \d+\) is gone")
        # What --set says stays in the run.
        self.assert_goes_on("run", lambda end: self.run_megalith(*command, *end, "--ranks", 2, *layout(tensor=2)))

    def test_ranks_that_do_not_belong_together_are_refused(self):
        here = ("train", TINY, "--run-dir", self.folder / "a", *STEPS)
        self.refused_unlike(here, (*here, "--set", "optimizer.learning_rate=1e-3"), "config")
        for name in ("a", "b"):
            self.train(name, *STEPS)
        created = json.loads((self.folder / "b" / "run.json").read_text())
        (self.folder / "b" / "run.json").write_text(json.dumps({**created, "created": "2001-02-03T04:05:06Z"}))
        there = ("train", TINY, "--run-dir", self.folder / "b", *STEPS)
        self.refused_unlike(here, there, "run directory")
        self.run_megalith("tokenizer", "train", text_file(self.folder), "--vocabulary", 400, "--output", "tokenizer.json")
        for name, text in (("one", TEXT), ("two", TEXT[::-1])):
            (self.folder / name).mkdir()
            self.run_megalith("data", "build", text_file(self.folder, "other.txt", text), "--tokenizer", "tokenizer.json",
                              "--output", f"{name}/text")
        fresh = ("train", TINY, "--run-dir", self.folder / "c", "--set", "data.source=text-train")
        self.refused_unlike(fresh, fresh, "training text", folders=("one", "two"))

    def test_what_is_refused_is_told_once_and_all_end_with_2(self):
        result = self.mpirun(3, "train", TINY, *layout(tensor=2), code=2)
        self.assert_one_line_names(result.stderr, "tensor 2")
        result = self.mpirun(2, "train", self.folder / "nothing.toml", code=2)
        self.assert_one_line_names(result.stderr, "nothing.toml")
        result = self.mpirun(2, "train", TINY, "--ranks", 2, code=2)
        self.assert_one_line_names(result.stderr, "--ranks")


if __name__ == "__main__":
    run_tests()
