"""Folders of weights as other people publish them, for tests: config.json and safetensors, in one file or shards."""
import json
import random
import struct


def llama_shapes(config):
    """Name to shape of everything that a llama, mistral or qwen2 of this config stores."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    width = config["num_key_value_heads"] * hidden // config["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [config["vocab_size"], hidden]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {layer + "input_layernorm.weight": [hidden], layer + "post_attention_layernorm.weight": [hidden],
                   layer + "mlp.gate_proj.weight": [inner, hidden], layer + "mlp.up_proj.weight": [inner, hidden],
                   layer + "mlp.down_proj.weight": [hidden, inner], layer + "self_attn.o_proj.weight": [hidden, hidden]}
        for name, rows in (("q", hidden), ("k", width), ("v", width)):
            shapes[layer + f"self_attn.{name}_proj.weight"] = [rows, hidden]
            if config["model_type"] == "qwen2":
                shapes[layer + f"self_attn.{name}_proj.bias"] = [rows]
    return shapes


def write_safetensors(path, dtype, tensors):
    """Name to (shape, bytes)."""
    header, place = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + len(data)]}
        place += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, data in tensors.values():
            file.write(data)


def write_random(folder, config):
    """Random fp32 weights in one file."""
    draw = random.Random(1)
    tensors = {}
    for name, shape in llama_shapes(config).items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [draw.gauss(0, 0.05) for _ in range(count)] if len(shape) > 1 else [1.0 if "norm" in name else 0.0] * count
        tensors[name] = (shape, struct.pack(f"<{count}f", *values))
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", "F32", tensors)


def write_constant(folder, config, num_shards):
    """bf16 weights of 0.01 in shards, as quickly as a disk writes. Returns their bytes, and those of a layer."""
    place, total, layer = {}, 0, 0
    shards = [{} for _ in range(num_shards)]
    for number, (name, shape) in enumerate(llama_shapes(config).items()):
        data = b"\x24\x3c" * (shape[0] * (shape[1] if len(shape) > 1 else 1))
        shards[number % num_shards][name] = (shape, data)
        place[name] = f"model-{number % num_shards + 1:05}-of-{num_shards:05}.safetensors"
        total += len(data)
        layer += len(data) if ".layers.0." in name else 0
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": "bfloat16"}))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": place}))
    for number, tensors in enumerate(shards):
        write_safetensors(folder / f"model-{number + 1:05}-of-{num_shards:05}.safetensors", "BF16", tensors)
    return total, layer
