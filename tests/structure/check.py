"""What the structure checks share: reading sources without comments and strings, and the self-test."""

import argparse
import pathlib
import re
import sys
import tempfile

SKIP = 77  # what ctest counts as skipped

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL,
)


def code_of(text, keep_strings=False):
    """The text with comments (and, unless kept, strings) blanked; lines stay where they are."""

    def blank(match):
        token = match.group(0)
        if keep_strings and not token.startswith(("//", "/*")):
            return token
        if token.startswith("'") and re.search(r"[0-9a-fA-F]$", match.string[: match.start()]):
            return token  # a digit separator: 1'000
        return re.sub(r"[^\n]", " ", token)

    return TOKEN.sub(blank, text)


def sources(root, *folders, suffixes=(".h", ".cpp", ".cu", ".cuh")):
    """The sources below the folders of root, in order."""
    found = []
    for folder in folders:
        for path in sorted((pathlib.Path(root) / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                found.append(path)
    return found


def main(check, self_test):
    """check(source, build) returns problems; self_test(root) plants problems below root and asserts they are found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        with tempfile.TemporaryDirectory() as folder:
            self_test(pathlib.Path(folder))
        print("the check finds what was planted")
        return 0
    problems = check(arguments.source, arguments.build)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


def plant(root, name, text):
    """Writes a file for a self-test."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def expect(problems, *parts):
    """Asserts that there is one problem per part, each naming it."""
    assert len(problems) == len(parts), f"expected {len(parts)} problems, found {problems}"
    for part in parts:
        assert any(part in problem for problem in problems), f"nothing names {part}: {problems}"


def run(check, self_test):
    sys.exit(main(check, self_test))
