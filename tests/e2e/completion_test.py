"""The completion scripts, sourced and asked as a shell would ask them."""
import re
import shutil
import subprocess
import unittest

from megalith_cli import MegalithTest, SOURCE, run_tests

# Where the shell is not completing, compopt has nothing to act on: only its arguments are kept.
ASK_BASH = r"""
source "$1"; shift
compopt() { echo "compopt $*"; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_megalith
printf '%s\n' "${COMPREPLY[@]}"
"""

# Of zsh's completion only what the script calls, printing what would be proposed.
ASK_ZSH = r"""
compdef() { :; }
source "$1"; shift
_describe() { [[ $1 == -o ]] && shift; print -l -- "${(@)${(@P)2}%%:*}"; }
_files() { print files; }
_message() { print "message $*"; }
compadd() { print -l -- "${(@P)4}"; }
compset() { [[ ${words[CURRENT]} == ${~2} ]]; }
words=("$@"); CURRENT=$#
_megalith
"""


class Questions:
    """What both shells are asked. `ask` gives the proposals; `files` and `none` tell what else a shell would do."""

    def test_verbs_and_verbs_of_verbs(self):
        verbs = re.findall(r"^  ([\w-]+) ", self.run_megalith("--help").out.partition("Subcommands:\n")[2], re.MULTILINE)
        verbs = verbs[:verbs.index("manual") + 1]
        self.assertEqual(self.ask(""), verbs)
        self.assertEqual(self.ask("data", ""), ["build", "inspect", "verify", "show"])
        self.assertEqual(self.ask("completion", ""), ["bash", "zsh"])
        self.assertEqual(self.ask("config", "explain", "")[:2], ["seed", "train.init"])

    def test_options_of_the_verb_that_is_meant(self):
        self.assertEqual(self.ask("doctor", "--"), ["--help", "--json", "--config", "--run"])
        self.assertIn("--run-dir", self.ask("train", "train", "--"))  # a file called train is no verb
        self.assertIn("--held-out-every", self.ask("data", "build", "--"))
        self.assertNotIn("--held-out-every", self.ask("data", "show", "--"))

    def test_every_key_after_set(self):
        keys = re.findall(r"^\| `([\w.]+)` \|", (SOURCE / "docs/configuration.md").read_text(), re.MULTILINE)
        self.assertGreater(len(keys), 50)
        self.assertEqual(sorted(self.ask("train", "x.toml", "--set", "")), sorted(keys))

    def test_files_where_there_may_be_one_and_nothing_for_numbers(self):
        for words in (("train", ""), ("train", "--run-dir", ""), ("data", "build", "a.txt", "")):
            self.assertEqual(self.ask(*words), self.files, words)
        for words in (("generate", "run", "--n", ""), ("train", "--minutes", "")):
            self.assertEqual(self.ask(*words), self.none, words)


@unittest.skipUnless(shutil.which("bash"), "no bash here")
class Bash(Questions, MegalithTest):
    files = []
    none = []

    def asked(self, *words):
        script = self.folder / "completion.bash"
        script.write_text(self.run_megalith("completion", "bash").out)
        out = subprocess.run(["bash", "--norc", "-c", ASK_BASH, "ask", script, "megalith", *words], capture_output=True,
                             check=True, cwd=self.folder, encoding="utf-8")
        self.assertEqual(out.stderr, "")
        return [line for line in out.stdout.split("\n") if line]

    def ask(self, *words):
        return [line.removesuffix("=") for line in self.asked(*words) if not line.startswith("compopt")
                and line.startswith(words[-1])]

    def test_readline_is_told_when_files_make_no_sense_and_when_no_space_follows(self):
        self.assertIn("compopt +o default", self.asked("generate", "run", "--n", ""))
        self.assertIn("compopt +o default", self.asked("doctor", ""))
        self.assertNotIn("compopt +o default", self.asked("train", ""))
        self.assertEqual(self.asked("train", "--set", "batch.gl"), ["compopt -o nospace", "batch.global="])
        # The equals sign is a word of its own.
        self.assertEqual(self.asked("train", "--run-dir", "=", "x"), [])
        self.assertEqual(self.asked("train", "--minutes", "=", "1"), ["compopt +o default"])
        self.assertEqual(self.asked("train", "--set", "data.source", "=", "x"), [])

    def test_bash_knows_for_which_program(self):
        out = subprocess.run(["bash", "--norc", "-c", 'source /dev/stdin && complete -p megalith'], capture_output=True,
                             check=True, input=self.run_megalith("completion", "bash").stdout)
        self.assertEqual(out.stdout.split(), b"complete -o default -F _megalith megalith".split())


@unittest.skipUnless(shutil.which("zsh"), "no zsh here")
class Zsh(Questions, MegalithTest):
    files = ["files"]
    none = ["message number"]

    def ask(self, *words):
        script = self.folder / "_megalith"
        script.write_text(self.run_megalith("completion", "zsh").out)
        out = subprocess.run(["zsh", "-f", "-c", ASK_ZSH, "ask", script, "megalith", *words], capture_output=True,
                             check=True, cwd=self.folder, encoding="utf-8")
        self.assertEqual(out.stderr, "")
        return [line for line in out.stdout.split("\n") if line and line.startswith(words[-1])]


if __name__ == "__main__":
    run_tests()
