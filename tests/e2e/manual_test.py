"""The manual page: sound roff, and true where it speaks of what the parser does not know."""
import os
import re
import shutil
import subprocess
import unittest

from megalith_cli import MegalithTest, SOURCE, run_tests


class Words(MegalithTest):
    def section(self, name):
        page = self.run_megalith("manual").out
        return re.search(rf"^\.SH {name}\n(.*?)(?=^\.SH |\Z)", page, re.MULTILINE | re.DOTALL).group(1)

    def terms(self, section):
        return re.findall(r"^\.TP\n\\fB(.*?)\\fR", self.section(section), re.MULTILINE)

    def test_every_verb_of_the_help_has_its_section(self):
        help_text = self.run_megalith("--help").out
        verbs = re.findall(r"^  (\w+) ", help_text.partition("Subcommands:\n")[2].partition("\n\n")[0], re.MULTILINE)
        self.assertGreater(len(verbs), 7)
        sections = re.findall(r"^\.SS megalith (\w+)$", self.section("VERBS"), re.MULTILINE)
        self.assertEqual(sections, verbs)

    def test_the_environment_is_what_the_sources_read(self):
        read = set()
        for path in (SOURCE / "src").rglob("*.cpp"):
            read |= set(re.findall(r'getenv\("(MEGALITH_\w+)"\)', path.read_text()))
        self.assertEqual(sorted(self.terms("ENVIRONMENT")), sorted(read))

    def test_the_exit_codes_are_the_documented_ones(self):
        documented = re.findall(r"^\| (\d+) \|", (SOURCE / "docs/exit-codes.md").read_text(), re.MULTILINE)
        self.assertEqual([*self.terms("EXIT STATUS"), "134"], documented)


@unittest.skipUnless(shutil.which("groff"), "no groff here (Debian: groff-base)")
class Roff(MegalithTest):
    def warnings(self, page):
        return subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, check=False,
                              encoding="utf-8", env={**os.environ, "LC_ALL": "C.UTF-8"}).stderr

    def test_groff_finds_nothing_and_would_find_something(self):
        page = self.run_megalith("manual").out
        self.assertEqual(self.warnings(page), "")
        self.assertNotEqual(self.warnings(page + ".NONSENSE\n\\fQx\n"), "")

    def test_what_is_shown_can_be_copied(self):
        page = self.run_megalith("manual").out
        shown = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou"], input=page, capture_output=True, check=True,
                               encoding="utf-8").stdout
        for words in ("--run-dir", "generate runs/mine --prompt \"Once upon\"", "$'\\nQ:'", "~/.zfunc/_megalith"):
            self.assertIn(words, shown)


if __name__ == "__main__":
    run_tests()
