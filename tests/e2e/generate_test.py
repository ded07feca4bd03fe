"""The sampler as a user meets it: every option of `megalith generate`, on a model of text trained once."""
import atexit
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile
import termios
import time
import unittest

from megalith_cli import BINARY, MegalithTest, TINY, text_file

_trained = tempfile.TemporaryDirectory(prefix="megalith e2e ")
atexit.register(_trained.cleanup)


class GenerateTest(MegalithTest):
    def setUp(self):
        super().setUp()
        base = pathlib.Path(_trained.name)
        self.model = base / "run"
        if self.model.exists():
            return
        text = text_file(base)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 400, "--output", base / "tok/tokenizer.json")
        self.run_megalith("data", "build", text, "--tokenizer", base / "tok/tokenizer.json", "--output", base / "text")
        self.run_megalith("train", TINY, "--run-dir", self.model, "--set", f"data.source={base}/text-train", "--set",
                          f"data.tokenizer={base}/tok/tokenizer.json", "--set", "schedule.steps=60", "--set",
                          "schedule.warmup=3")

    def generate(self, *arguments, **more):
        return self.run_megalith("generate", self.model, *arguments, **more)

    def samples(self, *arguments, tokens=20):
        return json.loads(self.generate("--max-tokens", tokens, "--json", *arguments).out)["samples"]

    def ids(self, *arguments):
        return self.samples("--prompt", "Line 7", *arguments)[0]["ids"]


class Settings(GenerateTest):
    def test_a_ban_holds_and_a_bias_wins(self):
        greedy = self.ids("--temperature", 0)
        banned = self.ids("--temperature", 0, "--logit-bias", f"{greedy[0]}=-inf")
        self.assertNotIn(greedy[0], banned)
        self.assertEqual(set(self.ids("--logit-bias", "65=900", "--logit-bias", f"{greedy[0]}=-inf")), {65})

    def test_penalties_end_repetition(self):
        greedy = self.ids("--temperature", 0, "--logit-bias", "65=900")
        self.assertEqual(len(set(greedy)), 1)
        for penalty in (("--presence-penalty", 100), ("--frequency-penalty", 50), ("--repetition-penalty", 100)):
            varied = self.ids("--temperature", 0, "--logit-bias", "65=5", *penalty)
            self.assertGreater(len(set(varied)), 5, penalty)

    def test_narrow_filters_take_the_most_likely(self):
        greedy = self.ids("--temperature", 0)
        for narrow in (("--min-p", 1), ("--top-p", 0), ("--top-k", 1)):
            self.assertEqual(self.ids(*narrow), greedy)
        self.assertNotEqual(self.ids("--typical", 0.2, "--top-p", 1), self.ids("--top-p", 1))

    def test_the_text_does_not_depend_on_threads_kernels_or_other_samples(self):
        more = ("--prompt", "Line", "--min-p", 0.01, "--typical", 0.9, "--repetition-penalty", 1.2, "--presence-penalty", 0.3,
                "--frequency-penalty", 0.1, "--logit-bias", "40=1.5", "--seed", 4)
        three = self.samples(*more, "--n", 3)
        self.assertEqual(self.samples(*more)[0], three[0])
        self.assertEqual(self.samples(*more, "--num-samples", 3, "--threads", 1), three)
        result = self.generate("--max-tokens", 20, "--json", *more, "--n", 3, env={"MEGALITH_ISA": "portable"})
        self.assertEqual(json.loads(result.out)["samples"], three)

    def test_refusals_name_the_option_and_what_it_takes(self):
        for typed in ("5", "x=1", "5=", "5=nan", "5=inf", "5=1e9", "-1=2", "5=1x", "99999999999=1"):
            self.refused("generate", self.model, "--logit-bias", typed, says=["--logit-bias", typed, "ID=VALUE"])
        self.refused("generate", self.model, "--logit-bias", "5=1", "--logit-bias", "5=2", "--logit-bias", "y",
                     says=["id 5", "'y'"])
        self.refused("generate", self.model, "--logit-bias", "999999=1", says=["999999", "0 to "])
        for name, wrong in (("--min-p", "1.5"), ("--typical", "nan"), ("--repetition-penalty", "0"),
                            ("--seed", "-1"), ("--presence-penalty", "inf"), ("--frequency-penalty", "often"), ("--temperature", "nan")):
            self.refused("generate", self.model, name, wrong, says=[name, wrong])

    def test_options_that_repeat_leave_the_model_alone(self):
        before = self.run_megalith("generate", "--stop", "\n", "--logit-bias", "65=1", self.model, "--prompt", "Line 7").out
        self.assertEqual(before, self.generate("--prompt", "Line 7", "--logit-bias", "65=1", "--stop", "\n").out)


class Int8Weights(GenerateTest):
    def scores(self, *arguments, **more):
        result = self.generate("--prompt", "Line 7 of the text, and line 8", "--max-tokens", 0, "--logprobs", "--json",
                               *arguments, **more)
        return [token["log_probability"] for token in json.loads(result.out)["prompt_tokens"][1:]]

    def test_the_text_does_not_depend_on_threads_kernels_or_other_samples(self):
        more = ("--weights", "int8", "--prompt", "Line", "--seed", 4)
        three = self.samples(*more, "--n", 3)
        self.assertEqual(self.samples(*more)[0], three[0])
        self.assertEqual(self.samples(*more, "--n", 3, "--threads", 1), three)
        result = self.generate("--max-tokens", 20, "--json", *more, "--n", 3, env={"MEGALITH_ISA": "portable"})
        self.assertEqual(json.loads(result.out)["samples"], three)

    def test_log_probabilities_are_near_those_of_the_stored_weights(self):
        stored = self.scores("--weights", "as-stored")
        self.assertEqual(stored, self.scores())
        rounded = self.scores("--weights", "int8")
        self.assertNotEqual(rounded, stored)
        differences = [abs(a - b) for a, b in zip(rounded, stored)]
        self.assertLess(max(differences), 0.05)  # measured: 0.019, mean 0.0068
        self.assertLess(sum(differences) / len(differences), 0.02)

    def test_other_formats_are_refused(self):
        self.refused("generate", self.model, "--weights", "int4", says=["--weights", "'int4'", "as-stored or int8"])
        self.refused("generate", self.model, "--weights", "q8_0", says=["'q8_0'", "try: int8"])


class BestOf(GenerateTest):
    def test_the_best_are_those_of_the_highest_mean_log_probability(self):
        more = ("--prompt", "Line", "--seed", 9, "--temperature", 1.5, "--stop", "fox")
        drawn = self.samples(*more, "--n", 6)
        best = self.samples(*more, "--n", 2, "--best-of", 6)
        for sample in drawn:
            values = sample["log_probabilities"] + [sample[key] for key in ("end_log_probability",) if key in sample]
            self.assertAlmostEqual(sample["mean_log_probability"], sum(values) / len(values), places=6)
            self.assertEqual("end_log_probability" in sample, sample["finish"] == "end_of_document")
        self.assertEqual(best, sorted(drawn, key=lambda sample: -sample["mean_log_probability"])[:2])
        self.assertNotEqual(best[0]["sample"], 0)  # the seed is such that the first is not the best
        plain = self.generate("--max-tokens", 20, *more, "--best-of", 6).out
        self.assertEqual(plain, "Line" + best[0]["text"] + "\n")
        self.refused("generate", self.model, "--n", 3, "--best-of", 2, says=["--best-of", "at least the 3"])

    def test_alternatives_are_the_most_likely_of_the_model_itself(self):
        sample = self.samples("--prompt", "Line 7", "--temperature", 0, "--alternatives", 5)[0]
        self.assertEqual([token["id"] for token in sample["tokens"]], sample["ids"])
        self.assertEqual("".join(token["token"] for token in sample["tokens"]), sample["text"])
        for token in sample["tokens"]:
            values = [other["log_probability"] for other in token["alternatives"]]
            self.assertEqual(len(values), 5)
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertEqual(token["alternatives"][0], {key: token[key] for key in ("id", "token", "log_probability")})
        # A ban changes what is chosen and not what the model thinks.
        first = sample["tokens"][0]
        banned = self.samples("--prompt", "Line 7", "--temperature", 0, "--alternatives", 5, "--logit-bias",
                              f"{first['id']}=-inf")[0]["tokens"][0]
        self.assertEqual(banned["alternatives"], first["alternatives"])
        self.assertEqual(banned["id"], first["alternatives"][1]["id"])
        self.assertEqual(len(self.samples("--alternatives", 1000)[0]["tokens"][0]["alternatives"]), self.vocabulary())
        self.refused("generate", self.model, "--alternatives", 3, says=["--alternatives", "--json"])

    def vocabulary(self):
        config = (self.model / "config.toml").read_text()
        line = next(line for line in config.splitlines() if line.startswith("vocabulary"))
        return int(line.split("=")[1].split("#")[0].replace("_", ""))


class Conversation(GenerateTest):
    def answers(self, lines, *more):
        return self.generate("--interactive", "--max-tokens", 12, *more, input="".join(lines).encode()).out

    def test_a_prompt_comes_from_standard_input(self):
        typed = self.generate("--prompt", "Line 7\nLine", "--max-tokens", 12, "--json").out
        piped = self.generate("--prompt-file", "-", "--max-tokens", 12, "--json", input=b"Line 7\nLine").out
        self.assertEqual(piped, typed)
        self.refused("generate", self.model, "--prompt-file", "-", input=b"a " * 40_000_000,
                     says=["standard input", "67108864"])

    def test_every_line_is_answered_by_itself(self):
        alone = [self.generate("--prompt", prompt, "--max-tokens", 12, "--seed", seed).out.removeprefix(prompt)
                 for prompt, seed in (("Line 7", 5), ("the slow fox", 6), ("caf\u00e9", 7))]
        self.assertEqual(self.answers(["Line 7\n", "\n", "the slow fox\n", "caf\u00e9"], "--seed", 5), "".join(alone))

    def test_context_is_kept_on_request(self):
        lines = ["Line 7\n", "Line 8\n"]
        fresh = self.answers(lines, "--stop", "\n").splitlines()
        kept = self.answers(lines, "--stop", "\n", "--keep-context").splitlines()
        self.assertEqual(fresh[0], kept[0])
        self.assertNotEqual(fresh[1], kept[1])
        # Far beyond the context of 64 tokens; the oldest are forgotten.
        self.assertEqual(len(self.answers(lines * 20, "--stop", "\n", "--keep-context").splitlines()), 40)

    def test_a_line_that_does_not_fit_is_refused_and_the_next_one_answered(self):
        result = self.generate("--interactive", "--max-tokens", 12, input=b"fox " * 200 + b"\nLine 7\n")
        self.assertIn("context of 64", result.err)
        self.assertEqual("Line 7" + result.out, self.generate("--prompt", "Line 7", "--max-tokens", 12).out)

    def test_what_does_not_go_together_is_refused(self):
        for other in (("--prompt", "x"), ("--prompt-ids", "1"), ("--json",), ("--n", 2), ("--logprobs",)):
            self.refused("generate", self.model, "--interactive", *other, says=["--interactive", other[0]])
        self.refused("generate", self.model, "--keep-context", says=["--keep-context", "--interactive"])
        self.train("ids", "--set", "schedule.steps=15")
        self.refused("generate", "ids", "--interactive", input=b"", says=["--interactive", "tokenizer"])


class Stops(GenerateTest):
    def test_stop_strings_across_tokens_and_with_shared_beginnings(self):
        whole = self.samples("--prompt", "Line 7", "--seed", 3, tokens=40)[0]
        text = whole["text"]
        borders = {sum(len(token["token"]) for token in whole["tokens"][:n]) for n in range(len(whole["tokens"]))}
        # Six characters that begin inside a token and go over the border of another.
        start = next(i for i in range(8, len(text) - 6) if i not in borders and borders & set(range(i + 1, i + 6)))
        stop = text[start:start + 6]
        stops = [part for other in (stop[:4] + "~", stop + "~", stop, stop[:2] + "\u00e9")
                 for part in ("--stop", other)]
        expected = text[:text.find(stop)]
        plain = self.generate("--prompt", "Line 7", "--seed", 3, "--max-tokens", 40, *stops)
        self.assertEqual(plain.stdout.decode(), "Line 7" + expected + "\n")
        answered = self.generate("--interactive", "--seed", 3, "--max-tokens", 40, *stops, input=b"Line 7\n")
        self.assertEqual(answered.stdout.decode(), expected + "\n")

    def test_half_characters_are_never_printed(self):
        # Bytes at random: most are halves of characters. Decoding is strict.
        wild = ("--temperature", 50, "--top-p", 1, "--max-tokens", 50, "--stop", "\u00e9")
        alone = self.generate("--prompt", "x", *wild).stdout.decode()
        self.assertIn("\ufffd", alone)
        answered = self.generate("--interactive", *wild, input=b"x\n" * 5).stdout.decode()
        self.assertEqual("x" + answered.split("\n")[0], alone.split("\n")[0])
        # Nor is half of one that was typed.
        for more in ((), ("--n", 2)):
            typed = subprocess.run([BINARY, "generate", self.model, "--prompt", b"caf\xc3", "--max-tokens", "3", *map(str, more)],
                                   capture_output=True, check=True)
            self.assertIn("caf\ufffd", typed.stdout.decode())


class Terminal(GenerateTest):
    """At a terminal, with a context so long that an answer can be stopped."""

    def open(self, *more):
        base = pathlib.Path(_trained.name)
        if not (base / "long").exists():
            self.run_megalith("train", TINY, "--run-dir", base / "long", "--set", f"data.source={base}/text-train", "--set",
                              f"data.tokenizer={base}/tok/tokenizer.json", "--set", "schedule.steps=2", "--set",
                              "schedule.warmup=1", "--set", "model.sequence=8192", "--set", "model.positions=rotary",
                              "--set", "batch.global=1", "--set", "batch.micro=1", "--set", "sample.tokens=0")
        self.terminal, theirs = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.process = subprocess.Popen(
            [BINARY, "generate", base / "long", "--interactive", "--ignore-end", "--max-tokens", "8000", *more],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.addCleanup(self.process.kill)
        self.seen = b""
        self.wait_for("> ")

    def wait_for(self, words, at_least=0):
        """Reads on until `words` stand behind what was seen, and `at_least` bytes before them."""
        new = b""
        deadline = time.time() + 60
        while (len(new) < at_least or words.encode() not in new[at_least:]) and time.time() < deadline:
            if not select.select([self.terminal], [], [], 1)[0]:
                continue
            try:
                new += os.read(self.terminal, 4096)
            except OSError:  # the other side has left
                break
        self.assertIn(words.encode(), new[at_least:], new[-500:])
        self.seen += new

    def type(self, text):
        os.write(self.terminal, text.encode())

    def test_ctrl_c_stops_the_answer_and_a_second_one_leaves(self):
        self.open()
        for _ in range(2):
            self.type("Line 7\n")
            self.wait_for("Line 7\r\n")
            self.wait_for("", at_least=30)
            self.type("\x03")
            self.wait_for("\r\n> ")
            self.assertIsNone(self.process.poll())
        self.type("\x03")
        self.assertEqual(self.process.wait(timeout=30), 3)

    def test_the_end_of_input_leaves(self):
        self.open("--stop", "e", "--stop", "a")
        self.type("Line 7\n")
        self.wait_for("\r\n> ")
        self.type("\x04")
        self.assertEqual(self.process.wait(timeout=30), 0)

    def test_a_termination_leaves_in_the_middle_of_an_answer(self):
        self.open()
        self.type("Line 7\n")
        self.wait_for("", at_least=30)
        self.process.send_signal(signal.SIGTERM)
        self.wait_for("\r\n")
        self.assertEqual(self.process.wait(timeout=30), 3)


if __name__ == "__main__":
    unittest.main()
