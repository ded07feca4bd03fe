"""megalith plan: a layout as one equation, every broken rule, the layouts that are legal; schedules of pipelines."""
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

    def test_a_micro_batch_has_no_places_that_no_share_fills(self):
        def at_a_time(ranks):
            return self.run_megalith("plan", "check", TINY, "--ranks", ranks).out.split(" a data rank, ")[1].splitlines()[0]
        self.assertEqual(at_a_time(8), "1 at a time (of batch.micro = 4 some would stay empty)")
        self.assertEqual(at_a_time(3), "3 at a time (of batch.micro = 4 some would stay empty)")
        self.assertEqual(at_a_time(2), "4 at a time")

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

    def test_the_price_of_exact_is_measured_at_every_grain_of_a_micro_batch(self):
        self.assertNotIn("what exact costs", self.run_megalith("plan", "check", TINY, "--ranks", 1).out)
        shape = ["plan", "check", TINY, "--ranks", 1, "--price", "--set", "batch.global=16", "--set", "batch.micro=16"]
        told = json.loads(self.run_megalith(*shape, "--json").out)["exact_price"]
        grains = [line["grain"] for line in told["grains"]]
        self.assertEqual(grains, sorted(grains))
        self.assertEqual(grains[-1], told["tokens"])
        self.assertIn(told["best"], grains)
        for line in told["grains"]:
            self.assertLess(abs(line["of_step"]), abs(line["of_product"]) + 1e-9)
        out = self.run_megalith(*shape).out
        self.assertIn("what exact costs here, measured", out)
        self.assertIn("numerics.grain = ", out)

    def test_the_doctor_tells_the_price_of_exact_bits_of_a_typical_step_and_of_a_config(self):
        def exact(*arguments):
            checks = json.loads(self.run_megalith("doctor", "--json", *arguments).out)["checks"]
            return next(check for check in checks if check["name"] == "exact bits")

        fast = self.folder / "fast.toml"
        fast.write_text('[numerics]\nmode = "fast"\n')
        for arguments, named in (((), "GPT-2 124M"), (("--config", TINY), str(TINY))):
            check = exact(*arguments)
            self.assertIn("price", check["found"])
            if check["found"] != "price not measured":  # by a build for finding bugs
                self.assertIn(named, check["why"])
        self.assertIn('numerics.mode = "fast"', exact("--config", fast)["why"])
        self.refused("doctor", "--config", self.folder / "none.toml", says="none.toml")
        self.refused("doctor", "--config", TINY, "--run", self.folder, says="excludes")

    def test_absurd_numbers_of_ranks_are_refused_by_the_option(self):
        for ranks in ("0", "-8", "1.5", "many", "1048577", "99999999999999999999"):
            self.refused("plan", "check", TINY, "--ranks", ranks, says="--ranks")
        self.refused("plan", "check", TINY, says="--ranks")
        self.refused("plan", "check", self.folder / "absent.toml", "--ranks", 2, says="absent.toml")


class Schedule(MegalithTest):
    def test_the_drawing_has_a_row_for_every_stage_and_says_the_bubble(self):
        out = self.run_megalith("plan", "schedule", "--stages", 4, "--micro-batches", 12).out
        self.assertTrue(out.startswith("1F1B: 4 stages, 12 micro batches\n"), out)
        self.assertIn("stage   3  .  ", out)
        self.assertIn("20.0% of the time", out)
        self.assertIn("4, 3, 2, 1 at most", out)

    def test_chunks_make_it_interleaved_and_the_picture_is_written(self):
        picture = self.folder / "step.svg"
        out = self.run_megalith("plan", "schedule", "--stages", 8, "--chunks", 2, "--micro-batches", 16, "--svg", picture).out
        self.assertTrue(out.startswith("Interleaved 1F1B: 8 stages x 2 chunks"), out)
        self.assertIn("Interleaved 1F1B", picture.read_text())

    def test_the_json_has_every_pass(self):
        told = json.loads(self.run_megalith("plan", "schedule", "--stages", 3, "--micro-batches", 5, "--schedule", "zero_bubble",
                                            "--json").out)
        self.assertEqual([len(passes) for passes in told["passes_of_stages"]], [15, 15, 15])
        self.assertEqual(told["activations_waiting"], [3, 3, 3])

    def test_what_no_schedule_can_do_is_refused(self):
        plan = ["plan", "schedule"]
        self.refused(*plan, "--chunks", 2, "--schedule", "gpipe", says="1 unless --schedule interleaved")
        self.refused(*plan, "--schedule", "interleaved", says="2 or more")
        self.refused(*plan, "--stages", 1, "--chunks", 2, says="--stages")
        self.refused(*plan, "--stages", 1024, "--micro-batches", 65536, says=["67108864 forward passes", "--micro-batches 195"])
        for option in ("--stages", "--chunks", "--micro-batches"):
            for number in ("0", "-1", "1.5", "many", "99999999999999999999"):
                self.refused(*plan, option, number, says=option)
        self.refused(*plan, "--schedule", "1f2b", says="1f2b")


if __name__ == "__main__":
    run_tests()
