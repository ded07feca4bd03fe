"""What the documentation points at is there: relative links, their headings, and the files it names in backquotes."""

import re

from check import expect, plant, run

LINK = re.compile(r"\]\(([^)\s]+)\)")
# Paths of the tree in backquotes; files that only a run or a build makes are not meant.
NAMED_FILE = re.compile(r"`((?:src|tests|bench|cmake|configs|docs|scripts)/[\w./-]*)`")
FENCE = re.compile(r"^(    |\t)")


def anchor(heading):
    """The anchor that Markdown viewers make of a heading."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return {anchor(line.lstrip("#")) for line in lines if line.startswith("#")}


def pages(root):
    return sorted([*root.glob("*.md"), *(root / "docs").glob("**/*.md")])


def check(root, _build):
    problems = []
    for page in pages(root):
        name = page.relative_to(root).as_posix()
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if FENCE.match(line):
                continue  # transcripts
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, heading = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists():
                    problems.append(f"{name}:{number}: {target} is not there")
                elif heading and heading not in anchors(file):
                    problems.append(f"{name}:{number}: {path or name} has no heading for #{heading}")
            for path in NAMED_FILE.findall(line):
                if "NAME" not in path and not (root / path).exists():
                    problems.append(f"{name}:{number}: `{path}` is not there")
    return problems


def self_test(root):
    plant(root, "docs/a.md", "# A B\n[b](b.md#c-d) [self](#a-b) `src/x.h` [web](https://nowhere)\n")
    plant(root, "docs/b.md", "## C `d`\n")
    plant(root, "src/x.h", "\n")
    expect(check(root, None))
    plant(root, "README.md", "[x](docs/none.md)\n[y](docs/b.md#none)\n`src/none.h`\n")
    expect(check(root, None), "none.md", "#none", "src/none.h")


run(check, self_test)
