"""Hugging Face's `tokenizers` and OpenAI's `tiktoken` give our ids on mixed-script text.

MEGALITH_INTEROP_BYTES sets the amount of random text (2 MB by itself; 100000000 is the full comparison, an hour), to which come the
corpora that lie beside the project. It is compared in portions of 4 MB, of which MEGALITH_INTEROP_PORTIONS=0:5 takes the first five.
Characters that one of the Unicode versions involved does not know (unassigned in Python's tables) are left out of the text and
counted."""
import base64
import os
import pathlib
import random
import subprocess
import tempfile
import unicodedata

import environment

environment.enter("tokenizers", ["tokenizers==0.19.1", "tiktoken==0.7.0"])

import tiktoken  # noqa: E402
import tokenizers  # noqa: E402

MEGALITH = os.environ["MEGALITH"]
SHARED = pathlib.Path(os.environ["MEGALITH_SOURCE"]).parent / "shared/data"
NUM_BYTES = int(os.environ.get("MEGALITH_INTEROP_BYTES", 2_000_000))
PORTION = 4_000_000
PORTIONS = os.environ.get("MEGALITH_INTEROP_PORTIONS", "")

PATTERNS = {
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
              r"|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
# Blocks of many scripts, combining marks, signs, emoji and white space of all kinds.
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
          (0x5D0, 0x5EA), (0x620, 0x6FF), (0x900, 0x97F), (0xE00, 0xE5B), (0x1100, 0x11FF), (0x1E00, 0x1FFE), (0x2000, 0x206F),
          (0x2070, 0x218F), (0x2460, 0x24FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB00, 0xFB4F),
          (0xFF00, 0xFFEF), (0x10330, 0x1034A), (0x1D400, 0x1D7FF), (0x1F300, 0x1F9FF)]
PHRASES = ["I'm", "WE'LL", "it's", "don't", "1234567", "3.14159", "  \n\n", "\r\n", "\t\t", "http://x.y/z?q=1", "camelCaseWord",
           "HTTPServer", "    return x", "\u00a0", "\u2028", "...", "/* */"]


def mixed_text(num_bytes, seed):
    draw = random.Random(seed)
    left_out = 0
    out, size = [], 0
    while size < num_bytes:
        low, high = draw.choice(RANGES)
        if draw.random() < 0.2:
            piece = draw.choice(PHRASES)
        else:
            piece = "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 12)))
            known = "".join(c for c in piece if unicodedata.category(c) != "Cn")
            left_out += len(piece) - len(known)
            piece = known
        piece += draw.choice(["", " ", " ", "  ", "\n"])
        out.append(piece)
        size += len(piece.encode())
    return "".join(out), left_out


def real_text():
    parts = [path.read_bytes().decode("utf-8", "ignore") for path in sorted((SHARED / "corpora").glob("*/*"))
             if path.suffix in (".raw", ".txt")] if SHARED.exists() else []
    return "\n".join(parts)


def our_ids(tokenizer, path):
    done = subprocess.run([MEGALITH, "tokenizer", "encode", tokenizer, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def first_difference(ours, theirs, decode):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"at id {at}: ours {ours[at:at + 8]}, theirs {theirs[at:at + 8]} {decode(theirs[max(at - 2, 0):at + 8])!r}"


def compare(label, ours, theirs, decode):
    assert ours == theirs, f"{label}: " + first_difference(ours, theirs, decode)
    return len(ours)


def own_tokenizers(folder, sample):
    """A tokenizer of ours with each pattern, saved, and read by `tokenizers`."""
    text = folder / "sample.txt"
    text.write_text(sample, newline="")
    for pattern in ("gpt2", "cl100k", "qwen2", "o200k"):
        path = folder / f"{pattern}.json"
        subprocess.run([MEGALITH, "tokenizer", "train", text, "--pattern", pattern, "--vocabulary", "3000", "--output", path],
                       check=True, capture_output=True)
        yield f"trained, {pattern}", path


def ranks_in(path):
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in path.read_bytes().splitlines())}


def tokenizer_pairs(folder, sample):
    """Label, file for us, their function from text to ids, and from ids to text."""
    published = [(file.name, file) for file in (SHARED / "tokenizers/gpt2/tokenizer.json",
                                                SHARED / "tokenizers/gpt-neox/20B_tokenizer.json") if file.exists()]
    for label, file in [*own_tokenizers(folder, sample), *published]:
        real = tokenizers.Tokenizer.from_file(str(file))
        yield ("tokenizers, " + label, file, lambda text, real=real: real.encode(text, add_special_tokens=False).ids,
               real.decode)
    for kind, file in (("gpt2", "r50k_base"), ("cl100k", "cl100k_base"), ("o200k", "o200k_base")):
        ranks = SHARED / f"tokenizers/tiktoken/{file}.tiktoken"
        if not ranks.exists():
            print(f"tiktoken, {file}: skipped, no {ranks}")
            continue
        real = tiktoken.Encoding(file, pat_str=PATTERNS[kind], special_tokens={}, mergeable_ranks=ranks_in(ranks))
        yield "tiktoken, " + file, ranks, real.encode_ordinary, real.decode


def main():
    everything_real = real_text()
    totals, num_bytes, left_out = {}, 0, 0
    first, last = (int(number) for number in PORTIONS.split(":")) if PORTIONS else (0, -(-NUM_BYTES // PORTION))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sample, _ = mixed_text(300_000, 0)
        pairs = list(tokenizer_pairs(folder, sample + everything_real[:100_000]))
        for number in range(first, last):
            mixed, not_assigned = mixed_text(min(PORTION, NUM_BYTES - number * PORTION), 1 + number)
            text = mixed + everything_real[number * PORTION:(number + 1) * PORTION]
            num_bytes += len(text.encode())
            left_out += not_assigned
            path = folder / "text.txt"
            path.write_bytes(text.encode())
            for label, ours, theirs, decode in pairs:
                totals[label] = totals.get(label, 0) + compare(label, our_ids(ours, path), theirs(text), decode)
    print(f"{num_bytes:,} bytes of text; {left_out:,} characters unassigned in Unicode {unicodedata.unidata_version} left out")
    for label, count in totals.items():
        print(f"{label}: {count:,} ids equal")


main()
