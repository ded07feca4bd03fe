"""Every option of a shape keeps the run's bits: other threads, micro batches, kernel families, and a stop in between."""
import unittest

from megalith_cli import MegalithTest

GPT = {}
LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "biases": "false", "kv_heads": "2",
         "tied_output": "false"}
# Name: keys of the model, and others by their whole name.
OPTIONS = {
    "untied output": dict(GPT, tied_output="false"),
    "no biases": dict(GPT, biases="false"),
    "exact GELU": dict(GPT, activation="gelu_erf"),
    "z-loss": {**GPT, "optimizer.z_loss": "1e-3"},
    "llama": LLAMA,
    "llama, fp32": {**LLAMA, "numerics.dtype": "f32"},
    "llama, one key head, tied": dict(LLAMA, kv_heads="1", tied_output="true"),
    "GEGLU": dict(LLAMA, activation="geglu"),
    "linear scaling": dict(LLAMA, rotary_scaling="linear", rotary_factor="4"),
    "Llama 3 scaling": dict(LLAMA, rotary_scaling="llama3", rotary_factor="8", rotary_original_sequence="16"),
    "a window": dict(LLAMA, attention_window="9"),
    "QKV biases": dict(LLAMA, qkv_biases="true"),
    "head norms": dict(LLAMA, head_norms="true"),
    "softcap and z-loss": {**LLAMA, "logit_softcap": "5", "optimizer.z_loss": "1e-3"},
    "neox": dict(GPT, positions="rotary", rotary_share="0.5", parallel_residual="true", activation="gelu_erf"),
    "parallel llama with dropout": dict(LLAMA, parallel_residual="true", dropout="0.1", attention_dropout="0.1"),
    "heads of another size": dict(LLAMA, head_size="12", head_norms="true"),
}
STEPS, STOP = 8, 5


class Shapes(MegalithTest):
    def settings(self, keys):
        keys = {key if "." in key else f"model.{key}": value for key, value in keys.items()}
        keys |= {"schedule.steps": STEPS, "schedule.warmup_steps": 2, "schedule.horizon_steps": STEPS,
                 "checkpoint.interval": 0, "validation.interval": 0, "sample.tokens": 0}
        return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]

    def test_every_option_has_one_set_of_bits(self):
        seen = {}
        for number, (name, keys) in enumerate(OPTIONS.items()):
            with self.subTest(name):
                sets = self.settings(keys)
                self.train(f"whole{number}", *sets)
                whole = self.ledger(f"whole{number}")
                self.assertNotIn(whole, seen.values(), "the option changes nothing")
                seen[name] = whole
                # Stopped in between, and gone on with another number of threads and another micro batch.
                stopped = f"stopped{number}"
                self.train(stopped, *sets, "--set", f"schedule.steps={STOP}")
                self.assertEqual(self.ledger(stopped).count(b"\n"), STOP)
                self.train(stopped, *sets, "--set", "device.threads=1", "--set", "batch.micro=1")
                self.assertEqual(self.ledger(stopped), whole)
                self.train(f"other{number}", *sets, "--set", "device.threads=3", "--set", "batch.micro=8",
                           env={"MEGALITH_ISA": "portable"})
                self.assertEqual(self.ledger(f"other{number}"), whole)


if __name__ == "__main__":
    unittest.main()
