// Faults in the schedule that stages obey: each is found by the proof before the run and, where nobody proved
// anything, in the run.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "comm/communicator.h"
#include "parallel/layout_cases.h"
#include "parallel/schedule_faults.h"
#include "pipeline/schedule_proof.h"
#include "train/layout_trial.h"

namespace megalith::test {
namespace {

constexpr unsigned kPatienceSeconds = 60;  // until a run counts as one that hangs
constexpr int kEqual = 10, kDiffers = 11, kEnded = 12;

class ScheduleFaults : public testing::TestWithParam<std::size_t> {};

TEST_P(ScheduleFaults, AreFoundBeforeTheRun) {
  const ScheduleFault& fault = schedule_faults()[GetParam()];
  SCOPED_TRACE(fault.name);
  EXPECT_EQ(schedule_flaw(fault.shape), "") << "without the fault";
  EXPECT_NE(schedule_flaw(fault.shape, fault.make), "");
  // In whatever step is long enough.
  ScheduleShape longer = fault.shape;
  for (longer.micro_batches = 5; longer.micro_batches < 12; ++longer.micro_batches)
    EXPECT_NE(schedule_flaw(longer, fault.make), "") << longer.micro_batches;
}

// Ends the process: what became of a run by that schedule stands on stderr.
[[noreturn]] void try_schedule(const TrainConfig& config, const TrialSetup& setup,
                               const LayoutTrial& expected) {
  alarm(kPatienceSeconds);
  try {
    const auto difference = first_difference(expected, try_layout(config, setup));
    if (!difference) _exit(kEqual);
    fmt::print(stderr, "differs in step {}: {}\n", difference->step, difference->what);
    _exit(kDiffers);
  } catch (const PeerFailed& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    _exit(kEnded);
  }
}

// A difference, an end that names a rank, or a check that stops the program and names the stage or the unit.
bool is_found(int status) {
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGABRT;
  return WEXITSTATUS(status) == kDiffers || WEXITSTATUS(status) == kEnded;
}

TEST_P(ScheduleFaults, AreFoundInTheRunWhenNobodyLookedBefore) {
  const ScheduleFault& fault = schedule_faults()[GetParam()];
  SCOPED_TRACE(fault.name);
  TrainConfig config = small_layout_config();
  config.batch.micro = 2;
  const MadeUpDataset data(config.model.vocabulary, config.batch.sequence, true, true);
  TrialSetup setup{.train = data, .make_device = [] { return device_of_rank(1); }, .steps = 2};
  config.parallel = {.data = 1};
  const LayoutTrial expected = try_layout(config, setup);
  config.parallel = {
      .pipeline = fault.shape.stages, .data = 1, .schedule = fault.shape.kind, .chunks = fault.shape.chunks};
  EXPECT_EXIT(try_schedule(config, setup, expected), testing::ExitedWithCode(kEqual), "");
  setup.schedule = fault.make;
  EXPECT_EXIT(try_schedule(config, setup, expected), is_found,
              "differs in step|rank [0-9]+ for rank [0-9]+|stage [0-9]+|unit [0-9]+");
}

INSTANTIATE_TEST_SUITE_P(Planted, ScheduleFaults, testing::Range<std::size_t>(0, schedule_faults().size()));

}  // namespace
}  // namespace megalith::test
