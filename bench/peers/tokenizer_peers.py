#!/usr/bin/env python3
"""bench_tokenizer beside tiktoken and Hugging Face's tokenizers: the same text, vocabularies and machine, taking turns.

  bench/peers/tokenizer_peers.py [--build FOLDER] [--data FOLDER] [--rounds N] [--train FILE] [TEXT_FILE...]

Makes a virtual environment with the peers from the Python registry under the build folder, and skips where it cannot be had.
--data holds OpenAI's rank files (tokenizers/tiktoken) and corpora; where it is not there, give a text: vocabularies are
then trained on it, and nothing is read from the network. Encoding runs on one thread everywhere, and all give the same ids before
anything is timed; each peer is measured on the whole text and on pieces of 3,000 characters, and its better figure counts.
Training (--train, or the texts themselves) runs on one thread and on all; the vocabularies are equally large, not equal,
because ties are broken differently.
"""
import argparse
import array
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ENGLISH = ["wikitext-2-raw/wiki.valid.raw", "gutenberg/frankenstein.txt", "gutenberg/2701-0.txt"]
RANKS = {"gpt2": "r50k_base", "cl100k": "cl100k_base", "o200k": "o200k_base"}
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERNS = {  # as tiktoken has them; possessive where that is faster
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
              r"|\s+(?!\S)|\s",
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
DOCUMENT = 3000  # characters
ALL_THREADS = len(os.sched_getaffinity(0))


def arguments_given():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build/release")
    parser.add_argument("--data", type=pathlib.Path, default=SOURCE.parent / "shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", default="")
    parser.add_argument("--only", choices=["encode", "train"])
    parser.add_argument("--vocabulary", type=int, default=32256)
    parser.add_argument("--child-train", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def bytes_of_alphabet():
    """The byte for each character of the byte-level alphabet."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(others)}}


def ranks_of(path):
    """What tiktoken wants: from a rank file, or from a tokenizer.json, whose ids are in the order of the merges."""
    if path.suffix == ".tiktoken":
        return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, path.read_bytes().splitlines())}
    alphabet = bytes_of_alphabet()
    tokenizer = json.loads(path.read_text())
    special = {token["content"] for token in tokenizer["added_tokens"]}
    return {bytes(alphabet[c] for c in key): rank
            for key, rank in tokenizer["model"]["vocab"].items() if key not in special}


def best_of(rounds, candidates):
    """Seconds by name: the candidates take turns, the first turn does not count."""
    best = {}
    for turn in range(rounds + 1):
        for name, call in candidates.items():
            start = time.perf_counter()
            own = call()
            seconds = own if isinstance(own, float) else time.perf_counter() - start
            if turn > 0:
                best[name] = min(seconds, best.get(name, seconds))
    return best


def compare_encoding(arguments, files, folder):
    import tiktoken
    import tokenizers

    data = b"".join(pathlib.Path(file).read_bytes() for file in files)
    text = data.decode()
    documents = [text[at:at + DOCUMENT] for at in range(0, len(text), DOCUMENT)]
    bench, megalith = arguments.build / "bench/bench_tokenizer", arguments.build / "megalith"
    print(f"{len(data) / 1e6:.1f} MB on one thread; tiktoken {tiktoken.__version__}, tokenizers {tokenizers.__version__}; "
          f"best of {arguments.rounds} turns", flush=True)
    for pattern, ranks in RANKS.items():
        path = arguments.data / f"tokenizers/tiktoken/{ranks}.tiktoken"
        as_json = folder / f"{pattern}.json"
        if path.exists():
            subprocess.run([megalith, "tokenizer", "convert", path, "--output", as_json], check=True, capture_output=True)
        else:
            subprocess.run([megalith, "tokenizer", "train", *files, "--pattern", pattern, "--vocabulary", "32000", "--output",
                            as_json], check=True, capture_output=True)
            path = as_json
        openai = tiktoken.Encoding(pattern, pat_str=PATTERNS[pattern], mergeable_ranks=ranks_of(path), special_tokens={})
        hugging_face = tokenizers.Tokenizer.from_file(str(as_json))

        subprocess.run([bench, "ids", path, folder / "ids", *files], check=True)
        ours = array.array("i", (folder / "ids").read_bytes()).tolist()
        for name, theirs in (("tiktoken", openai.encode_ordinary(text)),
                             ("tokenizers", hugging_face.encode_batch_fast([text], add_special_tokens=False)[0].ids)):
            if theirs != ours:
                sys.exit(f"{pattern}: {name} gives other ids")

        figures = {}

        def megalith_seconds(which):
            out = subprocess.run([bench, "--json", "--rounds", "1", "encode", path, *files], check=True, capture_output=True)
            figures.update({line["name"]: line["value"] for line in json.loads(out.stdout)})
            return len(data) / 1e6 / figures[which]

        times = best_of(arguments.rounds, {
            "megalith, encoder kept": lambda: megalith_seconds("ids, an encoder that is kept"),
            "tiktoken": lambda: openai.encode_ordinary(text),
            "tiktoken to an array": lambda: openai.encode_to_numpy(text),
            "tiktoken, documents": lambda: [openai.encode_ordinary(document) for document in documents],
            "megalith, encoder for the text": lambda: megalith_seconds("ids, an encoder for each text"),
            "tokenizers": lambda: hugging_face.encode_batch_fast([text], add_special_tokens=False),
            "tokenizers, documents": lambda: hugging_face.encode_batch_fast(documents, add_special_tokens=False),
        })
        peers = {peer: min(seconds for name, seconds in times.items() if name.startswith(peer))
                 for peer in ("tiktoken", "tokenizers")}
        for name, seconds in times.items():
            line = f"{pattern:7} {name:31} {len(data) / 1e6 / seconds:7.1f} MB/s"
            if name.startswith("megalith"):
                line += "".join(f"  {theirs / seconds:5.1f} x {peer}" for peer, theirs in peers.items())
            print(line, flush=True)


def run_measured(command, environment):
    """Standard output, and the largest memory that the process had, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment})
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return out, usage.ru_maxrss / 1024


def train_hugging_face(vocabulary, files):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, min_frequency=2, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    start = time.perf_counter()
    tokenizer.train(files, trainer)
    print(json.dumps({"seconds": time.perf_counter() - start, "entries": tokenizer.get_vocab_size()}))


def compare_training(arguments, files):
    size = sum(os.path.getsize(file) for file in files) / 1e6
    print(f"Training {arguments.vocabulary} entries on {size:.0f} MB, pattern gpt2; one turn each", flush=True)
    for threads in sorted({1, ALL_THREADS}):
        ours, our_memory = run_measured(
            [arguments.build / "bench/bench_tokenizer", "--json", "--rounds", "1", "--threads", str(threads), "train", "gpt2",
             str(arguments.vocabulary), *files], {})
        rate = json.loads(ours)[-1]["value"]
        theirs, their_memory = run_measured(
            [sys.executable, __file__, "--child-train", "--vocabulary", str(arguments.vocabulary), *files],
            {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": str(threads > 1).lower()})
        theirs = json.loads(theirs)
        print(f"{threads} threads  megalith    {rate:7.2f} MB/s  {our_memory:6.0f} MB   "
              f"{rate * theirs['seconds'] / size:5.1f} x tokenizers")
        print(f"{threads} threads  tokenizers  {size / theirs['seconds']:7.2f} MB/s  {their_memory:6.0f} MB", flush=True)


def main():
    arguments = arguments_given()
    sys.path.insert(0, str(SOURCE / "tests/interop"))
    os.environ.setdefault("MEGALITH_INTEROP", str(arguments.build.resolve() / "interop"))
    if arguments.child_train:
        train_hugging_face(arguments.vocabulary, arguments.texts)
        return
    os.environ.update({"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})
    import environment  # the one that the interoperability tests use
    environment.enter("tokenizer-peers", ["tiktoken==0.14.0", "tokenizers==0.23.3", "numpy"])
    files = arguments.texts or [str(arguments.data / "corpora" / name) for name in ENGLISH]
    for file in files:
        if not os.path.exists(file):
            environment.skip(f"there is no {file}; name a text")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "train":
            compare_encoding(arguments, files, pathlib.Path(folder))
    if arguments.only != "encode":
        compare_training(arguments, [arguments.train] if arguments.train else files)


if __name__ == "__main__":
    main()
