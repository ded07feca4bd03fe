#!/usr/bin/env python3
"""A large text from small ones, for timing the training of tokenizers: paragraphs in a new order each time around, and
of a hundred words one replaced by the front of a word and the back of another, so that new words keep coming as they do in
large texts.

  bench/peers/mutated_text.py MEGABYTES OUTPUT TEXT_FILE...

The same arguments give the same bytes.
"""
import random
import sys


def main():
    megabytes, output, *files = sys.argv[1:]
    text = "\n\n".join(open(name, encoding="utf-8", errors="replace", newline="").read() for name in files)
    paragraphs = text.replace("\r\n", "\n").split("\n\n")
    vocabulary = sorted({word for word in text.split() if len(word) > 3})
    chance = random.Random(1)
    left = int(megabytes) * 1000000
    with open(output, "wb") as out:
        while left > 0:
            chance.shuffle(paragraphs)
            words = "\n\n".join(paragraphs).split(" ")
            for _ in range(len(words) // 100):
                front, back = chance.choice(vocabulary), chance.choice(vocabulary)
                words[chance.randrange(len(words))] = (front[:chance.randrange(2, len(front))]
                                                       + back[chance.randrange(1, len(back) - 1):])
            data = " ".join(words).encode()[:left]
            out.write(data)
            left -= len(data)


if __name__ == "__main__":
    main()
