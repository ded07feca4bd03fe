"""Hugging Face's `tokenizers` gives our ids with every pre-tokenizer that byte-level BPE is used with.

A small vocabulary, trained by `tokenizers` itself, is used with the pre-tokenizers of published models and with each behavior and
kind of stage; ids must be equal on random text of many scripts, on the corpora that lie beside the project, and on every character that
Python's tables know, between letters, digits and spaces. What we write must be what `tokenizers` would write."""
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

import environment
from mixed_text import MEGALITH, compare, mixed_text, our_ids, real_text

environment.enter("tokenizers", ["tokenizers==0.19.1", "tiktoken==0.7.0"])

import tokenizers  # noqa: E402
from tokenizers import models, pre_tokenizers, trainers  # noqa: E402

SHARED = pathlib.Path(os.environ["MEGALITH_SOURCE"]).parent / "shared/data"


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def split(regex, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: regex}, "behavior": behavior, "invert": invert}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def punctuation(behavior="Isolated"):
    return {"type": "Punctuation", "behavior": behavior}


HAN_AND_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PUBLISHED = {
    "StarCoder, SmolLM, Command R, Refact": [digits(True), byte_level(regex=True)],
    "Falcon": [punctuation("Contiguous"), byte_level(regex=True), digits(False), split("[0-9][0-9][0-9]")],
    "BLOOM": [split(" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"), byte_level()],
    "DeepSeek Coder": [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(HAN_AND_HANGUL), digits(True), byte_level()],
    "DeepSeek LLM": [split("[\r\n]"), split("\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u0370-\u0373\u1e00-\u1f15]+"),
                     split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"), split(HAN_AND_HANGUL),
                     digits(True), byte_level()],
    "DeepSeek V3": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                    split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
                          r"|\s*[\r\n]+|\s+(?!\S)|\s+"), byte_level()],
    "ByteLevel without a pattern": [byte_level()],
    "RoBERTa's space before Digits": [digits(False), byte_level(prefix=True, regex=True)],
    "Whitespace": [{"type": "Whitespace"}, byte_level(regex=True)],
    "WhitespaceSplit": [{"type": "WhitespaceSplit"}, byte_level(prefix=True)],
    "behind ByteLevel": [byte_level(regex=True), punctuation(), digits(True)],
}
# Constructs that are translated for the pattern library, each looked for in text of all characters.
REGEXES = [r"\w+", r"\W", r"\d+", r"\D+\d", r"\s+", r"\S+", r"[\S]+", r"[^\S]+", r"[\w-]+", r"^.", r".$", r"\n^",
           r"a{,2}", r"[a-c]{2,}?", r"x*", r"(?<=\d)\p{L}+", r"(?<!a)\s", r"(?i:k's|l'd|[stk])+", r"\p{Han}+", r"\p{Latin}+", r"\p{Greek}",
           r"\p{Cyrillic}++", r"\p{Arabic}+", r"\p{Hiragana}|\p{Katakana}", r"\p{Hangul}+", r"\p{Thai}+", r"\p{Devanagari}+", r"\p{^L}+",
           r"\P{M}", r"(?>\s+)\S", r"[a[b-d]\d]+", r"[^x[\s]]+", r"\u0061+|\x{e9}", r"\p{Lu}\p{Ll}+|\p{Lt}|\p{Lm}|\p{Lo}+",
           r"\p{Mn}+|\p{Mc}|\p{Me}", r"\p{Nd}|\p{Nl}|\p{No}", r"\p{Pc}|\p{Pd}|\p{Ps}|\p{Pe}|\p{Pi}|\p{Pf}|\p{Po}",
           r"\p{Sm}|\p{Sc}|\p{Sk}|\p{So}", r"\p{Zs}|\p{Zl}|\p{Zp}|\p{Cc}|\p{Cf}|\p{Co}", r"\A\w+|\s\z", r"]|}"]


def cases():
    yield from PUBLISHED.items()
    for behavior, invert in itertools.product(BEHAVIORS, (False, True)):
        yield f"{behavior}, {invert}", [split(r"\s|[aeiou]", behavior, invert), byte_level()]
    for behavior in BEHAVIORS:
        yield f"Punctuation, {behavior}", [punctuation(behavior), byte_level()]
    yield "a text to be found", [split(".+", kind="String"), split("\u00e9 ", "MergedWithNext", kind="String"), byte_level(regex=True)]
    for regex in REGEXES:
        yield regex, [split(regex), byte_level()]


def every_character():
    """Each between two of the neighbours that patterns ask about."""
    neighbours = itertools.cycle(["a", "1", " ", "B ", "\n", "!", "\u4e00", ""])
    known = (chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co"))
    return "".join(neighbour + character for neighbour, character in zip(neighbours, known))


def trained_model(texts):
    """Of one vocabulary for all, trained on lines that nothing cuts: where a piece ends then shows in the ids."""
    real = tokenizers.Tokenizer(models.BPE())
    real.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=3000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    real.train_from_iterator([line for text in texts for line in text.splitlines(keepends=True)], trainer)
    return json.loads(real.to_str())


def with_pre_tokenizer(model, pre_tokenizer):
    return tokenizers.Tokenizer.from_str(json.dumps({**model, "pre_tokenizer": pre_tokenizer, "decoder": byte_level(True, True)}))


def main():
    mixed, _ = mixed_text(50_000, 1)
    corpus = real_text(SHARED)
    texts = {"mixed": mixed, "real": corpus[:50_000], "every character": every_character()}
    total, differing, model = 0, [], trained_model(texts.values())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = {label: folder / f"{number}.txt" for number, label in enumerate(texts)}
        for label, text in texts.items():
            paths[label].write_bytes(text.encode())
        for label, stages in cases():
            pre_tokenizer = stages[0] if len(stages) == 1 else {"type": "Sequence", "pretokenizers": stages}
            real = with_pre_tokenizer(model, pre_tokenizer)
            file, ours = folder / "tokenizer.json", folder / "ours.json"
            real.save(str(file))
            subprocess.run([MEGALITH, "tokenizer", "convert", file, "--output", ours], check=True, capture_output=True)
            assert json.loads(ours.read_text())["pre_tokenizer"] == json.loads(file.read_text())["pre_tokenizer"], label
            for kind, text in texts.items():
                try:
                    total += compare(f"{label}, {kind}", our_ids(file, paths[kind]), real.encode(text).ids, real.decode)
                except AssertionError as difference:
                    differing.append(str(difference))
                    print(difference, flush=True)
    print(f"{total:,} ids equal, {len(list(cases()))} pre-tokenizers")
    sys.exit(bool(differing))


main()
