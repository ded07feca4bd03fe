"""megalith verify-layout: every layout of a few ranks has one rank's bits, and a planted fault is found and named."""
import json
import os
import shutil
import unittest

from megalith_cli import MegalithTest, TINY, run_tests

SMALL = ("--set", "model.layers=4", "--set", "model.hidden=32", "--steps", "2")
# As root and with more ranks than processors, as containers have it.
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class VerifyLayout(MegalithTest):
    def verify(self, ranks, *more, code=0, env=None):
        return self.run_megalith("verify-layout", TINY, "--ranks", ranks, *SMALL, *more, code=code, env=env, timeout=300)

    def table_of(self, out):
        return [line.split() for line in out.split("\n") if line.endswith(" equal") or " differs in step " in line]

    def test_every_layout_of_four_ranks_has_the_bits_of_one(self):
        out = self.verify(4).out
        rows = self.table_of(out)
        self.assertGreaterEqual(len(rows), 16)
        self.assertEqual({row[-1] for row in rows}, {"equal"})
        self.assertEqual(len({tuple(row[-4:-1]) for row in rows}), 1)
        one_rank = next(line for line in out.split("\n") if line.startswith("one rank")).split()
        self.assertEqual(one_rank[2:5], rows[0][-4:-1])
        self.assertEqual({tuple(row[:3]) for row in rows},
                         {("1", "1", "4"), ("1", "2", "2"), ("1", "4", "1"), ("2", "1", "2"), ("2", "2", "1"),
                          ("4", "1", "1")})
        for column, values in ((4, {"-", "1f1b", "gpipe", "interleaved", "zero_bubble"}), (5, set("0123")),
                               (6, {"none", "selective", "full"}), (3, {"yes", "-"})):
            self.assertEqual({row[column] for row in rows}, values)
        self.assertIn(f"{len(rows)} run with 2 steps each", out)
        self.assertIn("all equal", out)

    def test_refused_layouts_are_counted_by_rule(self):
        told = json.loads(self.verify(8, "--set", "model.layers=2", "--set", "model.heads=4", "--json").out)
        self.assertTrue(told["equal"])
        self.assertEqual(told["enumerated"], told["legal"] + sum(told["refused"].values()))
        self.assertEqual(set(told["refused"]), {"a layer for every chunk", "tensor divides model.heads"})
        self.assertEqual(told["run"], len(told["layouts"]))
        for layout in told["layouts"]:
            self.assertTrue(layout["equal"])
            self.assertEqual(layout["parameter_digest"], told["one_rank"]["parameter_digest"])

    def test_a_planted_fault_is_found_and_layout_step_and_tensor_are_named(self):
        for fault, ranks in (("sum-order", 4), ("forgotten-reduce", 2), ("double-count", 2)):
            with self.subTest(fault):
                out = self.verify(ranks, "--inject", fault, code=1).out
                self.assertIn("not equal. The first layout that differs: ", out)
                self.assertRegex(out, "step [12]: (loss|gradient norm|parameters) of one rank")
                self.assertRegex(out, "the first tensor that differs then: (model|adam)[.]")
                told = json.loads(self.verify(ranks, "--inject", fault, "--json", code=1).out)
                self.assertFalse(told["equal"])
                self.assertGreater(told["first_difference"]["tensors"], 0)

    def test_processes_give_the_table_of_threads(self):
        if not (shutil.which("mpirun") and "MPI: Open MPI" in self.run_megalith("doctor").out):
            self.skipTest("no MPI here")
        threads = self.table_of(self.verify(2).out)
        processes = self.table_of(self.verify(2, "--launcher", "mpirun", env=AS_ROOT).out)
        self.assertEqual(processes, threads)
        self.verify(4, "--launcher", "mpirun", "--inject", "sum-order", code=1, env=AS_ROOT)

    def test_what_cannot_be_compared_is_refused(self):
        for ranks in ("0", "-1", "two", "5000", "1e9"):
            self.refused("verify-layout", TINY, "--ranks", ranks, says="--ranks")
        self.refused("verify-layout", TINY, "--ranks", 13, says="at most 8")
        self.refused("verify-layout", TINY, "--ranks", 2, "--inject", "sum-order", says=["tensor 4", "--ranks 4"])
        self.refused("verify-layout", TINY, "--ranks", 2, "--inject", "nothing", says="--inject")
        self.refused("verify-layout", TINY, "--ranks", 2, "--steps", 0, says="--steps")
        self.refused("verify-layout", TINY, "--ranks", 2, "--set", "numerics.mode=fast",
                     says=["numerics.mode", "not between layouts", "--set numerics.mode=exact"])
        self.refused("verify-layout", self.folder / "absent.toml", "--ranks", 2, says="absent.toml")
        self.refused("verify-layout", TINY, "--ranks", 2, says="mpirun started", env={
            "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"})


if __name__ == "__main__":
    os.environ.pop("OMPI_COMM_WORLD_SIZE", None)
    run_tests()
