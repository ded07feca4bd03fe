"""Every command of the recipes that docs/recipes.md shows for whole jobs, run on a small model and small text."""
import json
import re
import shlex
import subprocess
import unittest

from foreign_weights import write_random
from megalith_cli import BINARY, SOURCE, TEXT, MegalithTest, run_tests, text_file

SMALL = ["--set", "schedule.steps=6", "--set", "batch.global=2", "--set", "batch.micro=1", "--set", "schedule.warmup=1",
         "--set", "numerics.grain=64", "--set", "batch.sequence=64", "--set", "sample.tokens=8"]
SMALL_MODEL = ["--set", "model.layers=1", "--set", "model.hidden=64", "--set", "model.heads=2", "--set",
               "model.vocabulary=4096", "--set", "model.sequence=64"]
FOLDER = "Qwen2-0.5B"  # somebody's weights


def commands_of(title):
    """The commands of a section: its indented lines that begin with megalith, joined where they go on."""
    page = (SOURCE / "docs/recipes.md").read_text()
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert section, f"docs/recipes.md has no section {title}"
    text = re.sub(r"\\\n\s+", "", section[1])
    commands = [shlex.split(line) for line in re.findall(r"^    megalith (.*)$", text, re.M)]
    assert commands, f"{title}: no command"
    return commands


QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 96, "vocab_size": 512,
         "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
         "tie_word_embeddings": True, "use_sliding_window": False}


class Recipes(MegalithTest):
    def recipe(self, title, shape=()):
        """Runs its commands, in a small size, and returns what each printed."""
        shown = []
        for words in commands_of(title):
            if words[0] == "train":
                if "--minutes" in words:
                    at = words.index("--minutes")
                    del words[at:at + 2]
                words += [*SMALL, *shape]
            if words[0] == "generate" and "--max-tokens" not in words:
                words += ["--max-tokens", "8"]
            shown.append(self.run_megalith(*words).out)
        return shown

    def setUp(self):
        super().setUp()
        (self.folder / "configs").symlink_to(SOURCE / "configs")

    def last_metrics(self, run):
        rows = [json.loads(line) for line in (self.folder / run / "metrics.jsonl").read_text().splitlines()]
        return {key: value for row in rows for key, value in row.items()}

    def test_train_on_my_text_step_by_step(self):
        text_file(self.folder, "book.txt", TEXT[:120000])
        shown = self.recipe("Train on my text, step by step", SMALL_MODEL)
        self.assertIn("bits per byte", shown[3])
        self.assertTrue(shown[-1].startswith("In the beginning"))
        self.assertIn("--- step 6 ", self.run_megalith("data", "show", "runs/book", "--step", 6).out)

    def test_several_ranks(self):
        for words in commands_of("Several ranks"):
            self.run_megalith(*words)
        self.assertEqual(len((self.folder / "runs/ranks/ledger.jsonl").read_text().splitlines()), 200)

    def test_train_on_a_folder_of_text(self):
        corpus = self.folder / "corpus"
        corpus.mkdir()
        text_file(corpus, "a.txt", TEXT[:90000])
        lines = [json.dumps({"text": TEXT[i:i + 900], "meta": {"pile_set_name": f"set {i % 2}"}})
                 for i in range(90000, len(TEXT), 900)]
        (corpus / "b.jsonl").write_text("\n".join(lines) + "\n{broken\n")
        subprocess.run(["gzip", corpus / "b.jsonl"], check=True)
        shown = self.recipe("Train on a folder of text", SMALL_MODEL)
        self.assertIn("quarantined", shown[1])
        self.assertIn("--- ids", shown[-1])
        self.assertTrue((self.folder / "data/corpus.quarantine.jsonl").exists())

    def test_several_sources(self):
        for number, name in enumerate(("wiki", "code", "books")):
            text_file(self.folder, f"{name}.txt", TEXT[number * 45000:number * 45000 + 90000])
        shown = self.recipe("Several sources", SMALL_MODEL)
        self.assertRegex(shown[-1], "wiki-train|code-train|books-train")
        self.assertIn("validation_loss/books-held_out", self.last_metrics("runs/blend"))

    def test_watch_a_run_in_tensorboard(self):
        self.recipe("Watch a run in TensorBoard", ["--set", "metrics.norms_every=3"])
        self.assertEqual(len(list((self.folder / "runs/watched/tensorboard").glob("events.out.tfevents.*"))), 1)
        header, *rows = (self.folder / "watched.csv").read_text().splitlines()
        self.assertIn("update_norm/", header)
        self.assertGreaterEqual(len(rows), 6)

    def test_where_does_the_time_go(self):
        (self.folder / "my.toml").write_text((SOURCE / "configs/runs/tiny.toml").read_text())
        [shown] = self.recipe("Where does the time go?")
        self.assertIn("not in operations", shown)
        self.assertIn("traceEvents", (self.folder / "trace.json").read_text())

    def test_fill_gaps(self):
        text_file(self.folder, "notes.txt", TEXT[:120000])
        shown = self.recipe("Fill gaps", SMALL_MODEL)
        self.assertTrue(shown[-1].startswith("The reason is") and shown[-1].endswith(", and that is why.\n"), shown[-1])
        last = self.last_metrics("runs/gaps")
        self.assertIn("validation_loss/middles", last)
        self.assertIn("validation_loss/middles-left", last)
        self.run_megalith("tokenizer", "train", "notes.txt", "--vocabulary", 300, "--output", "bare.json")
        self.refused("train", "runs/gaps/config.toml", "--run-dir", "other", "--set", "data.tokenizer=bare.json",
                     says=("<|fim_prefix|>", "--infill"))

    def test_a_schedule_from_a_paper(self):
        (words,) = commands_of("A schedule from a paper")
        told = json.loads(self.run_megalith(*words, "--json").out)
        self.assertEqual((told["steps"], told["batches"][0]["sequences"], told["batches"][-1]["sequences"]), (80087, 32, 1920))
        self.assertEqual(len(told["batches"]), 60)
        self.assertEqual(max(point["learning_rate"] for point in told["learning_rates"]), 5e-5)
        self.assertFalse((self.folder / "runs").exists())

    def somebodys_weights(self):
        folder = self.folder / FOLDER
        folder.mkdir()
        text_file(self.folder, "my.txt", TEXT[:90000])
        self.run_megalith("tokenizer", "train", "my.txt", "--vocabulary", 500, "--output", folder / "tokenizer.json")
        write_random(folder, QWEN2)

    def test_begin_with_somebodys_weights(self):
        self.somebodys_weights()
        shown = self.recipe("Begin with somebody's weights")
        self.assertIn("of the weights it began with", shown[-1])

    def test_fine_tune_on_pairs(self):
        self.somebodys_weights()
        pairs = [{"prompt": f"Q: What is {i} and {i}?\nA:", "completion": f" {2 * i}\n"} for i in range(400)]
        (self.folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        shown = self.recipe("Fine-tune on pairs")
        self.assertIn("400 of them pairs", shown[0])
        self.assertIn("of the weights it began with", shown[1])
        # Of a pair's targets only those of the completion count.
        page = self.run_megalith("data", "show", "runs/answers", "--doc", 3).out
        self.assertIn("--- prompt\nQ: What is", page)


if __name__ == "__main__":
    run_tests()
