"""Models of random weights as GGUF files of version 3: what a timing needs, and no tokenizer. The shapes are those of
bench/model_shapes.h."""
import dataclasses
import random
import struct


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    gated: int = 0  # inner width of a Llama's feed-forward part; 0: a GPT-2
    kv_heads: int = 0
    positions: int = 1024

    @property
    def architecture(self):
        return "llama" if self.gated else "gpt2"


SHAPES = {"gpt2-124m": Shape(12, 768, 12, 50257), "qwen2-0.5b": Shape(24, 896, 14, 151936, 4864, 2)}
ALIGNMENT = 32
F32, Q8_0, BF16 = 0, 8, 30  # ggml's numbers of types
FILE_TYPES = {"bf16": 32, "q8_0": 7}  # of general.file_type
DEVIATION = 0.02


def bf16_values(count, source):
    """Little-endian bf16 of about DEVIATION, drawn from 256 values. Chosen by translating random bytes twice, since a loop
    over 160 million values takes minutes in Python."""
    table = [struct.pack("<f", DEVIATION * 1.73 * (i - 127.5) / 127.5)[2:] for i in range(256)]  # uniform: range / sqrt(3)
    drawn = source.randbytes(count)
    out = bytearray(2 * count)
    out[0::2] = drawn.translate(bytes(pair[0] for pair in table))
    out[1::2] = drawn.translate(bytes(pair[1] for pair in table))
    return out


def q8_0_values(count, source):
    """Blocks of 32 values: a scale in fp16 and 32 signed bytes."""
    blocks = count // 32
    scale = struct.pack("<e", DEVIATION / 74)  # 74: deviation of a uniform signed byte
    drawn = source.randbytes(count)
    out = bytearray(34 * blocks)
    out[0::34] = scale[:1] * blocks
    out[1::34] = scale[1:] * blocks
    for i in range(32):
        out[2 + i :: 34] = drawn[i::32]
    return out


def tensors(shape, kind):
    """Name, dimensions (innermost first) and type of each tensor."""
    matrix = {"bf16": BF16, "q8_0": Q8_0}[kind]
    yield "token_embd.weight", (shape.hidden, shape.vocabulary), matrix
    for layer in range(shape.layers):
        for name, dimensions, number in (llama_block if shape.gated else gpt2_block)(shape, matrix):
            yield f"blk.{layer}.{name}", dimensions, number
    yield "output_norm.weight", (shape.hidden,), F32
    if shape.gated:
        return  # the token table is the head, too
    yield "output_norm.bias", (shape.hidden,), F32
    yield "position_embd.weight", (shape.hidden, shape.positions), F32
    yield "output.weight", (shape.hidden, shape.vocabulary), matrix


def gpt2_block(shape, matrix):
    hidden = shape.hidden
    for name, inputs, outputs in (("attn_qkv", hidden, 3 * hidden), ("attn_output", hidden, hidden),
                                  ("ffn_up", hidden, 4 * hidden), ("ffn_down", 4 * hidden, hidden)):
        yield f"{name}.weight", (inputs, outputs), matrix
        yield f"{name}.bias", (outputs,), F32
    for name in ("attn_norm", "ffn_norm"):
        yield f"{name}.weight", (hidden,), F32
        yield f"{name}.bias", (hidden,), F32


def llama_block(shape, matrix):
    hidden, keys = shape.hidden, shape.hidden // shape.heads * shape.kv_heads
    for name, inputs, outputs in (("attn_q", hidden, hidden), ("attn_k", hidden, keys), ("attn_v", hidden, keys),
                                  ("attn_output", hidden, hidden), ("ffn_gate", hidden, shape.gated),
                                  ("ffn_up", hidden, shape.gated), ("ffn_down", shape.gated, hidden)):
        yield f"{name}.weight", (inputs, outputs), matrix
    for name in ("attn_norm", "ffn_norm"):
        yield f"{name}.weight", (hidden,), F32


def values_of(name, dimensions, kind, source):
    count = 1
    for dimension in dimensions:
        count *= dimension
    if kind == BF16:
        return bf16_values(count, source)
    if kind == Q8_0:
        return q8_0_values(count, source)
    if name.endswith("norm.weight"):
        return struct.pack("<f", 1) * count
    if name.endswith("bias"):
        return bytes(4 * count)
    return b"".join(b"\0\0" + pair for pair in (bytes(p) for p in zip(*[iter(bf16_values(count, source))] * 2)))


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def entries(shape, kind):
    number = {"context_length": shape.positions, "embedding_length": shape.hidden, "block_count": shape.layers,
              "feed_forward_length": shape.gated or 4 * shape.hidden, "attention.head_count": shape.heads,
              "attention.head_count_kv": shape.kv_heads or shape.heads, "vocab_size": shape.vocabulary}
    epsilon = "attention.layer_norm_rms_epsilon" if shape.gated else "attention.layer_norm_epsilon"
    yield text("general.architecture") + struct.pack("<I", 8) + text(shape.architecture)
    yield text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("none")
    yield text("general.file_type") + struct.pack("<II", 4, FILE_TYPES[kind])
    yield text(f"{shape.architecture}.{epsilon}") + struct.pack("<If", 6, 1e-5)
    for key, value in number.items():
        yield text(f"{shape.architecture}.{key}") + struct.pack("<II", 4, value)


def write(path, name, kind):
    """`name`: of SHAPES; `kind`: bf16 or q8_0, of the matrices; norms, biases and positions are fp32."""
    shape = SHAPES[name]
    source = random.Random(1)
    infos, offset, sizes = [], 0, []
    for name, dimensions, number in tensors(shape, kind):
        count = 1
        for dimension in dimensions:
            count *= dimension
        size = {F32: 4 * count, BF16: 2 * count, Q8_0: count // 32 * 34}[number]
        infos.append(text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, number, offset))
        sizes.append(size)
        offset += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    keys = list(entries(shape, kind))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys) + b"".join(infos)
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for (name, dimensions, number), size in zip(tensors(shape, kind), sizes):
            values = values_of(name, dimensions, number, source)
            if len(values) != size:
                raise AssertionError(f"{name}: {len(values)} bytes instead of {size}")
            file.write(values + bytes(-size % ALIGNMENT))
    unfinished.rename(path)
