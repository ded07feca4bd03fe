"""The install tree: complete, movable, and used from a folder that knows nothing of the checkout."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from megalith_cli import SOURCE

SMALL = ["layers = 1", "hidden = 32", "heads = 2", "feed_forward = 64", "vocabulary = 64", "sequence = 32"]


def setUpModule():
    global scratch, prefix
    scratch = tempfile.TemporaryDirectory(prefix="megalith install ")  # with a space, on purpose
    prefix = pathlib.Path(scratch.name) / "prefix"
    subprocess.run([os.environ["MEGALITH_CMAKE"], "--install", os.environ["MEGALITH_BUILD"], "--prefix", prefix],
                   check=True, stdout=subprocess.DEVNULL)


def tearDownModule():
    scratch.cleanup()


class InstallTree(unittest.TestCase):
    def setUp(self):
        elsewhere = tempfile.TemporaryDirectory(prefix="megalith elsewhere ")
        self.addCleanup(elsewhere.cleanup)
        self.folder = pathlib.Path(elsewhere.name)

    def run_installed(self, *arguments, code=0, program=None):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MEGALITH")}
        result = subprocess.run([program or prefix / "bin/megalith", *map(str, arguments)], cwd=self.folder, text=True,
                                env=environment, capture_output=True, timeout=100)
        self.assertEqual(result.returncode, code, result.stdout[-2000:] + result.stderr[-2000:])
        return result

    def config(self, name, preset):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["[model]", f'preset = "{preset}"', *SMALL, "[data]", 'source = "synthetic"',
                                   "[schedule]", "steps = 2", "[sample]", "tokens = 0", ""]))
        return path

    def frozen(self, run):
        return (self.folder / run / "config.toml").read_text()

    def test_what_belongs_there_is_there(self):
        for name in ["bin/megalith", "share/doc/megalith/LICENSE", "share/doc/megalith/README.md",
                     "share/doc/megalith/docs/recipes.md", "share/man/man1/megalith.1",
                     "share/bash-completion/completions/megalith", "share/zsh/site-functions/_megalith"]:
            self.assertTrue((prefix / name).is_file(), name)
        configs = sorted(p.relative_to(SOURCE) for p in (SOURCE / "configs").rglob("*.toml"))
        self.assertGreater(len(configs), 30)
        for config in configs:
            self.assertEqual((prefix / "share/megalith" / config).read_bytes(), (SOURCE / config).read_bytes())
        self.assertEqual([p.name for p in prefix.rglob("*") if p.suffix in (".a", ".h", ".py")], [])

    def test_the_manual_and_the_completions_are_this_program_s(self):
        for name, arguments in (("man/man1/megalith.1", ["manual"]),
                                ("bash-completion/completions/megalith", ["completion", "bash"]),
                                ("zsh/site-functions/_megalith", ["completion", "zsh"])):
            self.assertEqual((prefix / "share" / name).read_text(), self.run_installed(*arguments).stdout)

    def test_a_preset_is_found_from_anywhere_and_through_a_link(self):
        self.config("mine.toml", "qwen2-0.5b")
        link = self.folder / "link"
        link.symlink_to(prefix / "bin/megalith")
        for run, program in (("direct", None), ("linked", link)):
            self.run_installed("train", "mine.toml", "--run-dir", run, program=program)
            self.assertIn('norm = "rmsnorm"', self.frozen(run))  # only the preset says so
        self.config("wrong.toml", "qwen2-05b")
        self.assertIn("qwen2-0.5b", self.run_installed("train", "wrong.toml", code=2).stderr)

    def test_presets_of_a_project_and_installed_ones_work_side_by_side(self):
        own = self.folder / "configs/models/own.toml"
        own.parent.mkdir(parents=True)
        own.write_text('[model]\nnorm = "rmsnorm"\n')
        for folder, preset in (("configs/runs", "own"), ("configs/runs", "llama-7b"), ("", "own")):
            config = self.config(f"{folder}/{preset}.toml".lstrip("/"), preset)
            self.run_installed("train", config, "--run-dir", "run")
            self.assertIn('norm = "rmsnorm"', self.frozen("run"))
            shutil.rmtree(self.folder / "run")

    def test_a_folder_called_configs_hides_nothing(self):
        (self.folder / "configs").mkdir()
        self.run_installed("train", self.config("mine.toml", "gpt2-124m"), "--run-dir", "run")

    def test_the_prefix_can_be_moved_but_not_without_its_configs(self):
        moved = self.folder / "moved"
        shutil.copytree(prefix, moved)
        self.config("mine.toml", "gpt2-124m")
        self.run_installed("train", "mine.toml", "--run-dir", "run", program=moved / "bin/megalith")
        shutil.rmtree(moved / "share/megalith")
        refused = self.run_installed("train", "mine.toml", "--run-dir", "other", code=2, program=moved / "bin/megalith")
        self.assertIn("model.preset", refused.stderr)

    def test_an_installed_run_config_trains_and_its_short_name_is_answered_with_its_place(self):
        tiny = prefix / "share/megalith/configs/runs/tiny.toml"
        for name in ("configs/runs/tiny.toml", "tiny.toml"):
            self.assertIn(str(tiny), self.run_installed("train", name, code=2).stderr)
        self.run_installed("train", tiny, "--set", "schedule.steps=3", "--set", "schedule.warmup=1")
        self.assertEqual((self.folder / "runs/tiny/ledger.jsonl").read_bytes().count(b"\n"), 3)


if __name__ == "__main__":
    unittest.main()
