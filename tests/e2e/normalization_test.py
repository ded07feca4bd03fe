"""Normalization form C of every character, alone and in company, is that of Python's own tables."""
import json
import random
import unicodedata
import unittest

from megalith_cli import MegalithTest, TEXT, text_file

# Where something composes: letters and their marks, Hangul's parts and syllables, Indic signs, and what lies around them.
RANGES = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5B0, 0x5EA),
          (0x620, 0x660), (0x915, 0x95F), (0x9BE, 0x9DF), (0xB3E, 0xB5D), (0xBBE, 0xBD7), (0xF40, 0xFB9), (0x1100, 0x11FF),
          (0x1161, 0x11C3), (0xAC00, 0xAC01), (0x11A6, 0x11A9), (0x1B05, 0x1B44), (0x1E00, 0x1FFF), (0x3041, 0x30FF), (0xAC00, 0xAC3F), (0x11099, 0x110BA),
          (0x1D15E, 0x1D1C0)]


class Normalization(MegalithTest):
    def test_form_c_is_that_of_other_tables(self):
        text_file(self.folder, "text.txt", TEXT[:30000])
        self.run_megalith("tokenizer", "train", "text.txt", "--vocabulary", 300, "--output", "tok.json")
        tokenizer = json.loads((self.folder / "tok.json").read_text())
        tokenizer["normalizer"] = {"type": "NFC"}
        (self.folder / "nfc.json").write_text(json.dumps(tokenizer))
        draw = random.Random(1)
        lines = [chr(point) for point in range(0x80, 0x110000) if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")]
        for _ in range(60000):
            low, high = draw.choice(RANGES)
            other = draw.choice(RANGES)
            line = "".join(chr(draw.randint(*draw.choice([(low, high), other]))) for _ in range(draw.randint(2, 8)))
            lines.append("".join(c for c in line if unicodedata.category(c) != "Cn"))
        text_file(self.folder, "lines.txt", "\n".join(lines))
        ids = self.run_megalith("tokenizer", "encode", "nfc.json", "lines.txt").stdout
        (self.folder / "ids.txt").write_bytes(ids)
        found = self.run_megalith("tokenizer", "decode", "nfc.json", "ids.txt").stdout.decode().split("\n")
        self.assertEqual(len(found), len(lines))
        wrong = [(ascii(line), ascii(ours)) for line, ours in zip(lines, found) if unicodedata.normalize("NFC", line) != ours]
        self.assertEqual(wrong[:10], [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
