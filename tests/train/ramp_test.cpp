// A batch that grows: the bits of its steps do not depend on micro batches or on where the run was stopped.
#include <gtest/gtest.h>

#include "run/temporary_folder.h"
#include "train/loop.h"
#include "train/trainer_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using test::kTokens;
using test::SmallTraining;

constexpr std::int64_t kSteps = 9;

// 2, 2, 4, 6 and then 8 sequences a step.
TrainConfig ramp(std::int64_t micro) {
  TrainConfig config = test::small_run(micro);
  config.batch = {.global = 8,
                  .micro = micro,
                  .sequence = kTokens,
                  .ramp_start = 2,
                  .ramp_increment = 2,
                  .ramp_tokens = 12 * kTokens};
  config.numerics.batch_tokens_max = 8 * kTokens;
  config.schedule = {.steps = kSteps,
                     .warmup_tokens = 5 * kTokens,
                     .decay = LearningRateDecay::cosine,
                     .horizon_tokens = 60 * kTokens};
  return config;
}

// More sequences than a batch, so that neighbouring batches differ.
test::Batch eleven_sequences() {
  return test::random_batch(11, kTokens, 59);
}

class RampRun final : public LoopObserver {
 public:
  RampRun(const fs::path& folder, const TrainConfig& config)
      : config_(config),
        folder_(folder),
        training_(config, 1, eleven_sequences()),
        ledger_(value_or_throw(Ledger::open(folder / "ledger.jsonl"))) {}

  // Stops after so many steps; -1: never.
  LoopEnd run(std::int64_t stop_after) {
    stop_after_ = stop_after;
    fs::create_directories(folder_ / "checkpoints");
    return run_loop(config_, training_.trainer, {},
                    {.ledger = &ledger_,
                     .checkpoints = folder_ / "checkpoints",
                     .frozen_config = "",
                     .tokenizer_json = ""},
                    42, *this);
  }
  bool stop_requested() override { return ledger_.last_step() == stop_after_; }

  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const LedgerLine& line : ledger_.lines()) lines.push_back(to_text(line));
    return lines;
  }
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] std::string state() const { return training_.state(); }

 private:
  TrainConfig config_;
  fs::path folder_;
  SmallTraining training_;
  Ledger ledger_;
  std::int64_t stop_after_ = -1;
};

TEST(Ramp, TheLedgerShowsTheBatchOfEveryStep) {
  const test::TemporaryFolder folder;
  RampRun run(folder.path(), ramp(2));
  EXPECT_EQ(run.run(-1).kind, LoopEnd::Kind::finished);
  std::vector<std::int64_t> sizes;
  std::int64_t before = 0;
  for (const LedgerLine& line : run.ledger().lines()) {
    sizes.push_back((line.tokens - before) / kTokens);
    before = line.tokens;
  }
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{2, 2, 4, 6, 8, 8, 8, 8, 8}));
}

TEST(Ramp, HasTheSameBitsForEveryMicroBatch) {
  const test::TemporaryFolder one_folder, two_folder;
  RampRun one(one_folder.path(), ramp(1)), two(two_folder.path(), ramp(2));
  one.run(-1);
  two.run(-1);
  EXPECT_EQ(one.lines(), two.lines());
  EXPECT_TRUE(one.state() == two.state());
}

TEST(Ramp, HasTheSameBitsWhereverItWasStopped) {
  const test::TemporaryFolder whole_folder;
  RampRun whole(whole_folder.path(), ramp(2));
  whole.run(-1);
  for (std::int64_t stop = 1; stop < kSteps; ++stop) {
    const test::TemporaryFolder folder;
    EXPECT_EQ(RampRun(folder.path(), ramp(2)).run(stop).kind, LoopEnd::Kind::stopped);
    const NewestGood newest = newest_good_checkpoint(folder.path() / "checkpoints");
    EXPECT_EQ(newest.checkpoint->facts().tokens_seen,
              whole.ledger().lines()[static_cast<std::size_t>(stop - 1)].tokens);
    EXPECT_EQ(newest.checkpoint->facts().next_sample * kTokens, newest.checkpoint->facts().tokens_seen);
    RampRun rest(folder.path(), ramp(stop % 2 + 1));
    EXPECT_EQ(rest.run(-1).kind, LoopEnd::Kind::finished);
    EXPECT_EQ(rest.lines(), whole.lines()) << "stopped after step " << stop;
    EXPECT_TRUE(rest.state() == whole.state());
  }
}

// The scale of the integer gradients comes from the largest batch, so a step of the ramp is the step of a run
// without one that has this size, as far as its own loss, data and gradient go.
TEST(Ramp, AStepIsThatOfARunOfItsSize) {
  SmallTraining growing(ramp(2), 1, eleven_sequences());
  TrainConfig constant = ramp(2);
  constant.batch = {.global = 2, .micro = 2, .sequence = kTokens};
  SmallTraining small(constant, 1, eleven_sequences());
  for (std::int64_t step = 0; step < 2; ++step) {
    const StepResult a = growing.trainer.run_step(step), b = small.trainer.run_step(step);
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.gradient_norm, b.gradient_norm);
    EXPECT_EQ(a.data_digest, b.data_digest);
    EXPECT_EQ(a.parameter_digest, b.parameter_digest);
  }
  const StepResult a = growing.trainer.run_step(2), b = small.trainer.run_step(2);
  EXPECT_NE(a.data_digest, b.data_digest);  // four sequences now
  EXPECT_GT(a.loss_tokens, b.loss_tokens);
}

}  // namespace
}  // namespace megalith
