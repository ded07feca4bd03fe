"""megalith plan check: the layout as one equation, every broken rule, and the layouts that are legal."""
import json
import unittest

from megalith_cli import MegalithTest, SOURCE, TINY, run_tests

MT_NLG = SOURCE / "configs/runs/mt-nlg-530b.toml"


class Check(MegalithTest):
    def test_a_legal_layout_is_one_equation_with_its_stages_and_shares(self):
        out = self.run_megalith("plan", "check", MT_NLG, "--ranks", 2240, "--set", "parallel.tensor=8", "--set",
                                "parallel.pipeline=35").out
        self.assertTrue(out.startswith("2240 ranks = tensor 8 x pipeline 35 x data 8\n"), out)
        self.assertIn("  stage 34: layers 102 to 104, head\n", out)
        self.assertIn("240 a data rank", out)

    def test_an_illegal_layout_names_every_rule_and_what_would_be_legal(self):
        refused = self.refused("plan", "check", TINY, "--ranks", 8, "--set", "parallel.tensor=3", "--set",
                               "parallel.pipeline=4",
                               says=["tensor 3 x pipeline 4 = 12", "numerics.tree = 8", "model.heads = 8", "model.layers = 2"])
        self.assertIn("10 enumerated, ", refused.out)

    def test_the_json_counts_what_the_words_count(self):
        told = json.loads(self.run_megalith("plan", "check", TINY, "--ranks", 8, "--json").out)
        self.assertEqual(told["layout"], {"tensor": 1, "pipeline": 1, "data": 8})
        layouts = told["layouts"]
        self.assertEqual(layouts["enumerated"], layouts["legal"] + sum(layouts["refused"].values()))
        self.assertEqual(layouts["legal"], len(layouts["list"]))
        for layout in layouts["list"]:
            self.assertEqual(layout["tensor"] * layout["pipeline"] * layout["data"], 8)
        told = json.loads(self.refused("plan", "check", TINY, "--ranks", 9, "--json").out)
        self.assertEqual([broken["rule"] for broken in told["broken"]], ["a unit of whole grains for every data rank"])

    def test_absurd_numbers_of_ranks_are_refused_by_the_option(self):
        for ranks in ("0", "-8", "1.5", "many", "1048577", "99999999999999999999"):
            self.refused("plan", "check", TINY, "--ranks", ranks, says="--ranks")
        self.refused("plan", "check", TINY, says="--ranks")
        self.refused("plan", "check", self.folder / "absent.toml", "--ranks", 2, says="absent.toml")


if __name__ == "__main__":
    run_tests()
