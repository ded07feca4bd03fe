"""Text of many scripts, and the comparison of ids on it."""
import os
import random
import subprocess
import unicodedata

MEGALITH = os.environ["MEGALITH"]

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


def real_text(shared):
    parts = [path.read_bytes().decode("utf-8", "ignore") for path in sorted((shared / "corpora").glob("*/*"))
             if path.suffix in (".raw", ".txt")] if shared.exists() else []
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
