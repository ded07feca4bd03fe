"""A GPT-2 124M of random weights as a GGUF file of version 3: what a timing needs, and no tokenizer."""
import random
import struct

LAYERS, HIDDEN, HEADS, POSITIONS, VOCABULARY = 12, 768, 12, 1024, 50257
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


def tensors(kind):
    """Name, dimensions (innermost first) and type of each tensor. The head stands apart from the token table."""
    matrix = {"bf16": BF16, "q8_0": Q8_0}[kind]
    yield "token_embd.weight", (HIDDEN, VOCABULARY), matrix
    yield "position_embd.weight", (HIDDEN, POSITIONS), F32
    for layer in range(LAYERS):
        for name, inputs, outputs in (("attn_qkv", HIDDEN, 3 * HIDDEN), ("attn_output", HIDDEN, HIDDEN),
                                      ("ffn_up", HIDDEN, 4 * HIDDEN), ("ffn_down", 4 * HIDDEN, HIDDEN)):
            yield f"blk.{layer}.{name}.weight", (inputs, outputs), matrix
            yield f"blk.{layer}.{name}.bias", (outputs,), F32
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", (HIDDEN,), F32
            yield f"blk.{layer}.{name}.bias", (HIDDEN,), F32
    yield "output_norm.weight", (HIDDEN,), F32
    yield "output_norm.bias", (HIDDEN,), F32
    yield "output.weight", (HIDDEN, VOCABULARY), matrix


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


def entries(kind):
    number = {"context_length": POSITIONS, "embedding_length": HIDDEN, "block_count": LAYERS,
              "feed_forward_length": 4 * HIDDEN, "attention.head_count": HEADS, "vocab_size": VOCABULARY}
    yield text("general.architecture") + struct.pack("<I", 8) + text("gpt2")
    yield text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("none")
    yield text("general.file_type") + struct.pack("<II", 4, FILE_TYPES[kind])
    yield text("gpt2.attention.layer_norm_epsilon") + struct.pack("<If", 6, 1e-5)
    for key, value in number.items():
        yield text("gpt2." + key) + struct.pack("<II", 4, value)


def write(path, kind):
    """`kind`: bf16 or q8_0, of the matrices; norms, biases and positions are fp32."""
    source = random.Random(1)
    infos, offset, sizes = [], 0, []
    for name, dimensions, number in tensors(kind):
        count = 1
        for dimension in dimensions:
            count *= dimension
        size = {F32: 4 * count, BF16: 2 * count, Q8_0: count // 32 * 34}[number]
        infos.append(text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, number, offset))
        sizes.append(size)
        offset += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    keys = list(entries(kind))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys) + b"".join(infos)
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for (name, dimensions, number), size in zip(tensors(kind), sizes):
            values = values_of(name, dimensions, number, source)
            if len(values) != size:
                raise AssertionError(f"{name}: {len(values)} bytes instead of {size}")
            file.write(values + bytes(-size % ALIGNMENT))
    unfinished.rename(path)
