"""Megatron's own reader reads our token files, and ours reads what Megatron's own builder writes."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

import environment

environment.enter("megatron", ["--no-deps", "megatron-core==0.6.0"], needs_torch=True)

import importlib.util  # noqa: E402

import numpy  # noqa: E402
import torch  # noqa: E402

BINARY = pathlib.Path(os.environ["MEGALITH"])
SOURCE = pathlib.Path(os.environ["MEGALITH_SOURCE"])


def indexed_dataset():
    """megatron.core.datasets.indexed_dataset without the rest of the package, which wants a GPU."""
    root = pathlib.Path(importlib.util.find_spec("megatron").submodule_search_locations[0])
    for name, folder in (("megatron", root), ("megatron.core", root / "core"), ("megatron.core.datasets", root / "core/datasets")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]
    from megatron.core.datasets import indexed_dataset as module
    return module


MODULE = indexed_dataset()


class MegatronFiles(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        self.texts = [path.read_text() for path in sorted((SOURCE / "docs").glob("*.md"))] + ["", "x"]
        (self.folder / "text.txt").write_text("\n".join(self.texts))
        (self.folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in self.texts))
        self.megalith("tokenizer", "train", "text.txt", "--vocabulary", 700, "--output", "tokenizer.json")

    def tearDown(self):
        self.scratch.cleanup()

    def megalith(self, *arguments):
        run = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr)
        return run.stdout

    def ids_of(self, text):
        (self.folder / "one.txt").write_text(text)
        return [int(number) for number in self.megalith("tokenizer", "encode", "tokenizer.json", "one.txt").split()]

    def test_their_reader_reads_our_files(self):
        self.megalith("data", "build", "text.jsonl", "--tokenizer", "tokenizer.json", "--output", "ours",
                      "--held-out-every", 0)
        theirs = MODULE.IndexedDataset(str(self.folder / "ours"))
        expected = [self.ids_of(text) + [0] for text in self.texts if text]  # 0 ends a document
        self.assertEqual(len(theirs.document_indices) - 1, len(expected))
        for number, ids in enumerate(expected):
            self.assertEqual(theirs[number].tolist(), ids)

    def test_our_reader_reads_their_files(self):
        for name, dtype in (("uint16", numpy.uint16), ("int32", numpy.int32)):
            prefix = self.folder / name
            builder = MODULE.IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype)
            documents = [[self.ids_of(text)] for text in self.texts if text]
            documents[1] = [documents[1][0][:100], documents[1][0][100:]]  # a document of two sequences
            for sequences in documents:
                for ids in sequences:
                    builder.add_item(torch.tensor(ids))
                builder.end_document()
            builder.finalize(f"{prefix}.idx")
            self.megalith("data", "verify", prefix)
            facts = json.loads(self.megalith("data", "inspect", prefix, "--json"))
            self.assertEqual(facts["documents"], len(documents))
            self.assertEqual(facts["sequences"], len(documents) + 1)
            self.assertEqual(facts["type"], name)
            (self.folder / "run.toml").write_text(f'seed = 1\n[data]\nsource = "{prefix}"\ntokenizer = "tokenizer.json"\n'
                                                  '[model]\nvocabulary = 700\n')
            for number in (1, len(documents) - 1):
                shown = self.megalith("data", "show", "run.toml", "--doc", number)
                ids = [int(word) for word in shown.split("--- ids\n")[1].split()]
                self.assertEqual(ids, sum(documents[number], []))


unittest.main()
