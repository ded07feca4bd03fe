"""Filling gaps is learnt: where the right side tells what is missing, a model that sees it knows more than one that does not."""
import json
import random
import unittest

from megalith_cli import MegalithTest


class Infill(MegalithTest):
    def test_held_out_middles_cost_less_with_the_right_side_in_view(self):
        draw = random.Random(5)
        words = [a + b + c for a in "bdgk" for b in "aeiou" for c in "lmnr"]
        with open(self.folder / "twice.jsonl", "w") as file:
            for _ in range(20000):
                once = " ".join(draw.choice(words) for _ in range(4))
                file.write(json.dumps({"text": f"{once} = {once}"}) + "\n")
        self.run_megalith("tokenizer", "train", "twice.jsonl", "--infill", "--vocabulary", 400, "--output", "tok.json")
        self.run_megalith("data", "build", "twice.jsonl", "--tokenizer", "tok.json", "--output", "twice")
        settings = {"data.source": "twice-train", "data.tokenizer": "tok.json", "data.held_out": "twice-held_out",
                    "data.infill_rate": 0.8, "model.hidden": 128, "model.positions": "rotary", "model.heads": 4,
                    "batch.global": 16, "batch.micro": 8, "schedule.steps": 220, "validation.interval": 0,
                    "optimizer.learning_rate": 2e-3, "sample.tokens": 0}
        self.train("run", *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")))
        rows = [json.loads(line) for line in (self.folder / "run/metrics.jsonl").read_text().splitlines()]
        last = {key: value for row in rows for key, value in row.items()}
        both, left = last["validation_loss/middles"], last["validation_loss/middles-left"]
        print(f"middles: {both:.2f} nats/token with both sides in view, {left:.2f} with the left one alone")
        self.assertLess(both, left - 0.5)


if __name__ == "__main__":
    unittest.main()
