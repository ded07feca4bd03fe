"""Ranks as processes of MPI: they do what every communicator must, and one that dies takes the others with it."""

import argparse
import os
import re
import subprocess
import sys
import time
import unittest

ARGUMENTS = None
JOB_ENDS_WITHIN = 10  # seconds; what is promised when a rank dies


def mpirun(ranks, *words, timeout=120):
    # As root and with more ranks than processors, as containers and small machines have it.
    command = [ARGUMENTS.mpirun, "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), ARGUMENTS.program, *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, errors="replace")
    result.stderr = result.stderr.replace("\0", "")  # the mpirun of Open MPI 5 ends its own messages with one
    return result


def processes_left():
    """Processes of the test program that still run."""
    found = []
    for folder in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{folder}/exe") == os.path.realpath(ARGUMENTS.program):
                found.append(folder)
        except OSError:
            pass
    return found


class MpiRanks(unittest.TestCase):
    def test_they_do_what_every_communicator_must(self):
        for ranks in (1, 2, 3, 4):
            result = mpirun(ranks, "conform")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(len(re.findall(f" holds for {ranks} ranks", result.stdout)), 9, result.stdout)

    def test_what_mpi_cannot_count_goes_in_pieces(self):
        result = mpirun(3, "pieces")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_code_of_a_rank_is_the_code_of_the_job(self):
        self.assertEqual(mpirun(2, "code").returncode, 3)

    def check_failure(self, rank, line, *words):
        result = mpirun(4, *words, str(rank), timeout=JOB_ENDS_WITHIN)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("Segmentation fault", result.stderr)
        said = [text for text in result.stderr.splitlines() if text.startswith("megalith: ")]
        self.assertEqual(len(said), 1, result.stderr)
        self.assertRegex(said[0], line)
        # mpirun may return before the last of its children is gone.
        deadline = time.monotonic() + JOB_ENDS_WITHIN
        while processes_left() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(processes_left(), [])

    def test_a_killed_rank_ends_the_job_and_is_named_once(self):
        for rank in (0, 2):
            self.check_failure(rank, rf"^megalith: rank {rank} \(process \d+\) is gone", "failure", "kill")

    def test_a_rank_that_leaves_ends_the_job_and_is_named_once(self):
        self.check_failure(1, r"^megalith: rank 1 \(process \d+\) is gone", "failure", "exit")

    def test_a_rank_that_fails_ends_the_job_and_says_why_once(self):
        for rank in (0, 3):
            self.check_failure(rank, f"^megalith: rank {rank} failed: the disk is full$", "failure", "throw")

    def test_a_rank_that_fails_while_messages_are_on_their_way_does_so_too(self):
        for rank in (0, 1, 2, 3) * 3:
            self.check_failure(rank, f"^megalith: rank {rank} failed: the disk is full$", "under-way")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--mpirun", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    if not os.access(ARGUMENTS.mpirun, os.X_OK):
        print("skipped: no mpirun here (package openmpi-bin)")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
