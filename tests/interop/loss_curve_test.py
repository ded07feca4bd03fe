"""A 4-layer GPT on real text from the same initial weights: 200 steps here and in PyTorch, losses within 1e-3 in fp32."""
import array
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import environment

environment.enter("transformers-4.44", ["transformers==4.44.2", "numpy<2", "safetensors"], needs_torch=True)

import torch
import transformers

BINARY = pathlib.Path(os.environ["MEGALITH"])
SOURCE = pathlib.Path(os.environ["MEGALITH_SOURCE"])
STEPS, BATCH, SEQUENCE, VOCABULARY = 200, 8, 64, 600
RATE, DECAY, CLIP = 1e-3, 0.1, 1.0


class LossCurve(unittest.TestCase):
    def megalith(self, *arguments):
        run = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr)
        return run.stdout

    def train_here(self):
        text = sorted((SOURCE / "docs").glob("*.md")) + sorted((SOURCE / "src").rglob("*.h"))
        self.megalith("tokenizer", "train", *text, "--vocabulary", VOCABULARY, "--output", "tokenizer.json")
        self.megalith("data", "build", *text, "--tokenizer", "tokenizer.json", "--output", "text")
        settings = {"train.init": "initial", "data.source": "text-train", "data.document_masks": "false",
                    "numerics.dtype": "f32", "batch.global": BATCH, "batch.micro": 2, "batch.sequence": SEQUENCE,
                    "schedule.steps": STEPS, "schedule.decay": "constant", "optimizer.learning_rate": RATE,
                    "optimizer.weight_decay": DECAY, "optimizer.clip": CLIP, "sample.tokens": 0}
        pathlib.Path(self.folder, "run.toml").write_text("seed = 3\n")
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        self.megalith("train", "run.toml", "--run-dir", "run", *sets)
        ledger = pathlib.Path(self.folder, "run/ledger.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in ledger]

    def batches(self):
        """What each step saw, as `data show` says, read from the token file."""
        tokens = array.array("H", pathlib.Path(self.folder, "text-train.bin").read_bytes())
        for step in range(1, STEPS + 1):
            shown = self.megalith("data", "show", "run", "--step", step)
            windows = re.findall(r"sequence \d+: sample \d+: epoch \d+, window \d+: tokens (\d+)\.\.(\d+)", shown)
            self.assertEqual(len(windows), BATCH)
            ids = torch.zeros(BATCH, SEQUENCE, dtype=torch.long)
            targets = torch.full((BATCH, SEQUENCE), -100)
            for row, (begin, end) in enumerate(windows):
                window = torch.tensor(tokens[int(begin):int(end) + 1].tolist())
                ids[row, :len(window) - 1] = window[:-1]
                targets[row, :len(window) - 1] = window[1:]
            yield ids, targets

    def train_there(self, model):
        matrices = [p for p in model.parameters() if p.dim() > 1]
        vectors = [p for p in model.parameters() if p.dim() == 1]
        optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                                       {"params": vectors, "weight_decay": 0.0}], lr=RATE, betas=(0.9, 0.95), eps=1e-8)
        losses = []
        for ids, targets in self.batches():
            logits = model(ids).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.item())
        return losses

    def test_losses_of_200_steps_are_within_a_thousandth(self):
        with tempfile.TemporaryDirectory() as self.folder:
            torch.manual_seed(11)
            config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=SEQUENCE, n_embd=128, n_layer=4, n_head=4,
                                             attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
            model = transformers.GPT2LMHeadModel(config).train()
            model.save_pretrained(pathlib.Path(self.folder, "initial"), safe_serialization=True)
            here = self.train_here()
            there = self.train_there(model)
        worst = max(range(STEPS), key=lambda s: abs(here[s] - there[s]))
        print(f"loss {here[0]:.4f} to {here[-1]:.4f}; largest difference {abs(here[worst] - there[worst]):.1e} at step "
              f"{worst + 1}")
        self.assertLess(here[-1], here[0] - 1)  # something was learnt
        self.assertLess(abs(here[worst] - there[worst]), 1e-3)


if __name__ == "__main__":
    unittest.main()
