"""Somebody's weights, used as they come: what they say, what they need of memory, what is wrong with them."""
import array
import json
import pathlib
import re
import subprocess
import unittest

from foreign_weights import write_constant, write_random
from megalith_cli import BINARY, SOURCE, TINY, MegalithTest, text_file

TUNE = SOURCE / "configs/runs/tune.toml"
SHARED = SOURCE.parent / "shared"
LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "intermediate_size": 96, "vocab_size": 512, "max_position_embeddings": 128,
         "rms_norm_eps": 1e-5, "tie_word_embeddings": True}


class Weights(MegalithTest):
    def most_memory(self, model):
        """Of generating from a model, in bytes at its peak."""
        child = subprocess.Popen([BINARY, "generate", model, "--prompt-ids", "1", "--max-tokens", "40", "--ignore-end"],
                                 stdout=subprocess.DEVNULL)
        most = 0
        while child.poll() is None:
            # Not what wait4 tells, which counts this process before it became another.
            found = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{child.pid}/status").read_text())
            most = max(most, int(found[1]) * 1024 if found else 0)
        self.assertEqual(child.returncode, 0)
        return most

    def llama(self, name="llama", **changes):
        folder = self.folder / name
        folder.mkdir()
        write_random(folder, LLAMA | changes)
        return folder

    def test_loading_shards_needs_less_than_two_layers_beyond_the_model(self):
        small = self.folder / "small"
        small.mkdir()
        write_constant(small, LLAMA, 1)
        large = self.folder / "large"
        large.mkdir()
        config = LLAMA | {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 8,
                          "intermediate_size": 2048, "vocab_size": 32768, "tie_word_embeddings": False}
        total, layer = write_constant(large, config, 4)
        beyond = self.most_memory(large) - self.most_memory(small) - total
        print(f"{total >> 20} MiB of weights, {layer / 2**20:.1f} a layer: {beyond / 2**20:.1f} MiB beyond the model")
        self.assertLess(beyond, 2 * layer)

    @unittest.skipUnless((SHARED / "data/weights/stories260K/hf").exists(), f"no stories260K in {SHARED}")
    def test_stories_260k_say_what_an_independent_program_says(self):
        stories = SHARED / "data/weights/stories260K"
        expected = json.loads((stories / "expected_greedy.json").read_text())
        ids = expected["token_ids"]
        out = self.run_megalith("generate", stories / "hf", "--prompt-ids", ids[0], "--max-tokens", len(ids) - 1,
                                "--temperature", 0, "--json").out
        sample = json.loads(out)["samples"][0]
        self.assertEqual(sample["ids"], ids[1:])
        for found, value in zip(sample["log_probabilities"], expected["greedy_logprobs"]):
            self.assertAlmostEqual(found, value, delta=2e-5)

    def test_texts_begin_and_end_as_the_folder_says(self):
        folder = self.llama()
        text_file(self.folder)
        self.run_megalith("tokenizer", "train", "text.txt", "--vocabulary", 400, "--special", "<|begin|>", "--output",
                          "tok.json")
        tokenizer = json.loads((self.folder / "tok.json").read_text())
        begin = next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == "<|begin|>")
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}},
                                                     {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [begin], "tokens": ["<|begin|>"]}}}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

        def ask(*more):
            return json.loads(self.run_megalith("generate", folder, "--top-p", 1, "--max-tokens", 9, "--json", *more).out)
        asked = ask("--prompt", "Line 7")
        self.assertEqual(asked["prompt_ids"][0], begin)
        self.assertGreater(len(asked["prompt_ids"]), 1)
        self.assertEqual(ask("--prompt", "")["prompt_ids"], [begin])
        ids = asked["samples"][0]["ids"]
        self.assertEqual(len(ids), 9)
        # Said to end with its fourth token, it does.
        fourth = next(i for i in range(3, 9) if ids[i] not in ids[:i])
        for end in (ids[fourth], [500, ids[fourth]], [ids[fourth], 999999]):
            (folder / "config.json").write_text(json.dumps(LLAMA | {"eos_token_id": end}))
            sample = ask("--prompt", "Line 7")["samples"][0]
            self.assertEqual((sample["ids"], sample["finish"]), (ids[:fourth], "end_of_document"))
        self.assertEqual(ask("--prompt", "Line 7", "--ignore-end")["samples"][0]["ids"], ids)
        (folder / "config.json").write_text(json.dumps(LLAMA | {"eos_token_id": "</s>"}))
        self.refused("generate", folder, "--prompt-ids", 1, says=["eos_token_id", "integer"])

    def test_documents_end_with_the_mark_of_their_tokenizers_family(self):
        text_file(self.folder)
        self.run_megalith("tokenizer", "train", "text.txt", "--vocabulary", 400, "--special", "</s>", "--output", "tok.json")
        ours = (self.folder / "tok.json").read_text()
        ids = {token["content"]: token["id"] for token in json.loads(ours)["added_tokens"]}
        for mark, name in (("<|endoftext|>", "<|endoftext|>"), ("<|end_of_text|>", "<|endoftext|>"), ("<|eos|>", "</s>")):
            (self.folder / "tok.json").write_text(ours.replace("<|endoftext|>", mark))
            self.run_megalith("data", "build", "text.txt", "--tokenizer", "tok.json", "--output", "text")
            tokens = array.array("H", (self.folder / "text-train.bin").read_bytes())
            self.assertEqual(tokens[-1], ids[name], mark)

    def test_a_tokenizer_that_does_not_fit_is_named_and_never_used(self):
        folder = self.llama(vocab_size=300)
        text_file(self.folder)
        self.run_megalith("tokenizer", "train", "text.txt", "--vocabulary", 400, "--output", folder / "tokenizer.json")
        self.refused("generate", folder, "--prompt", "the quick fox", says=["400 entries", "300"])
        result = self.run_megalith("generate", folder, "--prompt-ids", "1,2", "--max-tokens", 3)
        self.assertIn("400 entries", result.err)
        self.run_megalith("data", "build", "text.txt", "--tokenizer", folder, "--output", "text")
        self.refused("train", TUNE, "--run-dir", "run", "--set", f"train.init={folder}", "--set",
                     "data.source=text-train", says=["data.tokenizer", "400 entries", "model.vocabulary = 300"])

    def test_what_is_cut_or_of_another_shape_is_refused(self):
        folder = self.llama()
        self.refused("train", TINY, "--run-dir", "run", "--set", f"train.init={folder}", "--set", "model.hidden=32",
                     says=["model.hidden", "found 32", "64, as the weights"])
        (folder / "config.json").write_text(json.dumps(LLAMA | {"hidden_size": 128}))
        self.refused("generate", folder, "--prompt-ids", 1, says=["[512, 64]", "[512, 128]"])
        (folder / "config.json").write_text(json.dumps(LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0}}))
        self.refused("generate", folder, "--prompt-ids", 1, says=["rope_scaling", "yarn"])
        (folder / "config.json").write_text(json.dumps(LLAMA))
        with open(folder / "model.safetensors", "r+b") as file:
            file.truncate(5000)
        self.refused("generate", folder, "--prompt-ids", 1, says="model.safetensors")
        self.refused("train", TUNE, "--run-dir", "run", "--set", f"train.init={folder}", says="model.safetensors")


if __name__ == "__main__":
    unittest.main()
