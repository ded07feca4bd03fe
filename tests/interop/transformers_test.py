"""Random small checkpoints of every kind we read, saved by transformers: our log-probabilities are theirs to 1e-4 in fp32."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import environment

environment.enter("transformers-4.44", ["transformers==4.44.2", "numpy<2", "safetensors"], needs_torch=True)

import torch
import transformers

BINARY = pathlib.Path(os.environ["MEGALITH"])
TOLERANCE = 1e-4
COMMON = dict(vocab_size=509, max_position_embeddings=128)
LLAMA = dict(COMMON, hidden_size=64, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=2,
             intermediate_size=176)
KINDS = {
    "gpt2": transformers.GPT2Config(vocab_size=509, n_positions=128, n_embd=64, n_layer=3, n_head=4),
    "gpt2, n_inner": transformers.GPT2Config(vocab_size=509, n_positions=128, n_embd=64, n_layer=2, n_head=2, n_inner=80,
                                             activation_function="gelu"),
    "gpt2, untied": transformers.GPT2Config(vocab_size=509, n_positions=128, n_embd=64, n_layer=2, n_head=4,
                                            tie_word_embeddings=False),
    "gpt_neox": transformers.GPTNeoXConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                                           intermediate_size=256, rotary_pct=0.25, **COMMON),
    "gpt_neox, one after the other": transformers.GPTNeoXConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, rotary_pct=1.0,
        use_parallel_residual=False, **COMMON),
    "gpt_neox, tied, all turn": transformers.GPTNeoXConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, rotary_pct=1.0,
        tie_word_embeddings=True, rotary_emb_base=500, **COMMON),
    "llama": transformers.LlamaConfig(**LLAMA),
    "llama, scaled as Llama 3": transformers.LlamaConfig(
        rope_theta=500.0, rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                        "high_freq_factor": 4.0, "original_max_position_embeddings": 32}, **LLAMA),
    "llama, a key head each": transformers.LlamaConfig(**(LLAMA | dict(num_key_value_heads=8))),
    "llama, one key head": transformers.LlamaConfig(**(LLAMA | dict(num_key_value_heads=1))),
    "llama, stored as float16": transformers.LlamaConfig(**LLAMA),
    "llama, tied, scaled": transformers.LlamaConfig(tie_word_embeddings=True, rope_theta=500000.0,
                                                    rope_scaling={"type": "linear", "factor": 2.0}, **LLAMA),
    "mistral": transformers.MistralConfig(sliding_window=16, **LLAMA),
    "mistral, no window, tied": transformers.MistralConfig(sliding_window=None, tie_word_embeddings=True, **LLAMA),
    "mistral, heads of 16": transformers.MistralConfig(sliding_window=40, head_dim=16, **LLAMA),
    "qwen2": transformers.Qwen2Config(use_sliding_window=False, **LLAMA),
    "qwen2, tied": transformers.Qwen2Config(use_sliding_window=False, tie_word_embeddings=True, rope_theta=1e6, **LLAMA),
}


def stirred(model):
    """Weights large enough that every part of the model shows in the result."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(0.1 * noise)
            else:
                parameter.copy_(noise * (0.5 if "emb" in name or "wte" in name else 1.5 / parameter.shape[-1] ** 0.5))
    return model.eval()


class Transformers(unittest.TestCase):
    def test_log_probabilities_are_theirs(self):
        for name, config in KINDS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                torch.manual_seed(1)
                model = stirred(transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager"))
                shard = "100KB" if name == "llama" else "1GB"  # one in many files
                weights = model.state_dict()
                if "float16" in name:
                    weights = {key: value.half() for key, value in weights.items()}
                    model.load_state_dict(weights)  # exact in fp32, in which both compute
                model.save_pretrained(folder, state_dict=weights, safe_serialization=True, max_shard_size=shard)
                ids = torch.randint(0, 509, (1, 100))
                with torch.no_grad():
                    logits = model(ids).logits.double()
                expected = torch.log_softmax(logits, -1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]
                run = subprocess.run(
                    [BINARY, "generate", folder, "--prompt-ids", ",".join(map(str, ids[0].tolist())), "--max-tokens", "0",
                     "--logprobs", "--json"], capture_output=True, text=True)
                self.assertEqual(run.returncode, 0, run.stderr)
                found = [token["log_probability"] for token in json.loads(run.stdout)["prompt_tokens"][1:]]
                worst = (torch.tensor(found, dtype=torch.float64) - expected).abs().max().item()
                print(f"{name}: {worst:.1e} at most, log-probabilities {expected.min():.1f} to {expected.max():.1f}")
                self.assertLess(worst, TOLERANCE)


if __name__ == "__main__":
    unittest.main()
