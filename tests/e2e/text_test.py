"""From text to a model that continues text, by the commands a user types."""
import json
import unittest

from megalith_cli import MegalithTest, TINY, text_file


class TextToModel(MegalithTest):
    def build(self):
        text = text_file(self.folder)
        self.run_megalith("tokenizer", "train", text, "--vocabulary", 400, "--output", "tok/tokenizer.json")
        self.run_megalith("data", "build", text, "--tokenizer", "tok/tokenizer.json", "--output", "data/text")
        return text

    def settings(self):
        pairs = {"data.source": "data/text-train", "data.held_out": "data/text-held_out",
                 "data.tokenizer": "tok/tokenizer.json", "schedule.steps": "25", "schedule.warmup_steps": "3"}
        return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]

    def test_tokenizer_round_trip(self):
        text = self.build()
        verified = self.run_megalith("tokenizer", "verify", "tok/tokenizer.json", text)
        self.assertIn("decoded without loss", verified.out)
        ids = self.folder / "ids.txt"
        ids.write_text(self.run_megalith("tokenizer", "encode", "tok/tokenizer.json", text).out)
        self.assertEqual(self.run_megalith("tokenizer", "decode", "tok/tokenizer.json", ids).stdout, text.read_bytes())

    def test_token_files_verify_and_damage_is_named(self):
        self.build()
        self.run_megalith("data", "verify", "data/text-train")
        facts = json.loads(self.run_megalith("data", "inspect", "data/text-train", "--json").out)
        self.assertGreater(facts["tokens"], 1000)
        binary = self.folder / "data/text-train.bin"
        data = bytearray(binary.read_bytes())
        data[1000] ^= 1
        binary.write_bytes(data)
        self.refused("data", "verify", "data/text-train", says="text-train.bin")
        index = self.folder / "data/text-train.idx"
        index.write_bytes(index.read_bytes()[:-5])
        self.refused("data", "inspect", "data/text-train", says="text-train.idx")
        self.refused("train", TINY, *self.settings(), says="text-train.idx")

    def test_training_evaluates_samples_and_reports(self):
        self.build()
        result = self.run_megalith("train", TINY, *self.settings(), "--run-dir", "run")
        self.assertIn("bits per byte", result.out)
        evaluation = json.loads((self.folder / "run/evaluation.json").read_text())
        self.assertGreater(evaluation["held_out_bits_per_byte"], 0)
        page = (self.folder / "run/report.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("http://", page.replace("http://www.w3.org", ""))
        streamed = self.run_megalith("generate", "run", "--prompt", "Line 7", "--max-tokens", 12, "--seed", 3).out
        self.assertTrue(streamed.startswith("Line 7"))
        again = self.run_megalith("generate", "run", "--prompt", "Line 7", "--max-tokens", 12, "--seed", 3).out
        self.assertEqual(streamed, again)
        several = json.loads(self.run_megalith("generate", "run", "--prompt", "Line 7", "--max-tokens", 12, "--seed", 3,
                                               "--n", 3, "--json").out)
        self.assertEqual(len(several["samples"]), 3)
        self.assertEqual("Line 7" + several["samples"][0]["text"], streamed.rstrip("\n"))
        scored = json.loads(self.run_megalith("generate", "run", "--prompt", "Line 7", "--max-tokens", 0, "--logprobs",
                                              "--json").out)
        self.assertIsNone(scored["prompt_tokens"][0]["log_probability"])
        self.assertLess(scored["prompt_tokens"][1]["log_probability"], 0)

    def test_a_minute_config_is_frozen_by_the_speed_probe(self):
        self.build()
        sets = self.settings()[:6]
        self.run_megalith("train", TINY, *sets, "--run-dir", "timed", "--minutes", "0.05")
        frozen = (self.folder / "timed/config.toml").read_text()
        steps = int(next(l for l in frozen.splitlines() if l.startswith("steps")).split("=")[1].split("#")[0])
        self.assertEqual((self.folder / "timed/ledger.jsonl").read_bytes().count(b"\n"), steps)
        self.assertIn("already done", self.run_megalith("train", TINY, *sets, "--run-dir", "timed", "--minutes", "0.05").out)


if __name__ == "__main__":
    unittest.main(verbosity=1)
