// The loop around the steps: stops on request, gives up on a run that diverged, saves no poisoned state.
#include "train/loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "core/bf16.h"
#include "run/temporary_folder.h"
#include "train/trainer_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using test::small_run;
using test::SmallTraining;

// A run in a folder: training and the loop over it, step counts of what was seen.
class LoopRun final : public LoopObserver {
 public:
  explicit LoopRun(const fs::path& folder, const TrainConfig& config)
      : config_(config), folder_(folder), ledger_(value_or_throw(Ledger::open(folder / "ledger.jsonl"))) {}

  LoopEnd run() {
    fs::create_directories(folder_ / "checkpoints");
    std::vector<HeldOutSet> sets;
    if (validate) sets.push_back({.name = "", .dataset = &training.data});
    return run_loop(config_, training.trainer, sets,
                    {.ledger = &ledger_,
                     .checkpoints = folder_ / "checkpoints",
                     .frozen_config = "",
                     .tokenizer_json = ""},
                    42, *this);
  }
  void step_done(const LedgerLine& line) override { after_step(line); }
  void resumed(std::int64_t step, std::int64_t, const Refusals&) override { resumed_at = step; }
  void validated(std::int64_t step, std::string_view, const Validation& validation) override {
    losses[step] = validation.loss;
  }
  bool stop_requested() override { return ledger_.last_step() == stop_after; }
  void checkpoint_written(std::int64_t step, const fs::path&) override { saved.push_back(step); }

  // From now on a gradient that reaches the embedding is out of range, or no longer.
  void poison(bool poisoned) {
    if (!poisoned) return training.device.leave_alone();
    constexpr int kNorms = 5;  // two in each block and the head's
    training.device.watch([seen = 0](std::string_view operation, const Tensor& result) mutable {
      if (operation == "norm backward" && ++seen % kNorms == 0) result.row<bf16>(3)[1] = to_bf16(1e20f);
    });
  }
  [[nodiscard]] std::vector<std::int64_t> checkpoints() const {
    std::vector<std::int64_t> steps;
    for (const CheckpointEntry& entry : list_checkpoints(folder_ / "checkpoints"))
      steps.push_back(entry.step);
    return steps;
  }
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] fs::path checkpoint(std::int64_t step) const {
    return folder_ / "checkpoints" / checkpoint_folder_name(step);
  }

 private:
  TrainConfig config_;
  fs::path folder_;
  Ledger ledger_;

 public:
  SmallTraining training{config_};
  std::function<void(const LedgerLine&)> after_step = [](const LedgerLine&) {};
  bool validate = false;  // on the training batch
  std::map<std::int64_t, double> losses;
  std::int64_t stop_after = -1;
  std::int64_t resumed_at = -1;
  std::vector<std::int64_t> saved;
};

TrainConfig loop_config(std::int64_t steps, std::int64_t checkpoint_interval = 0) {
  TrainConfig config = small_run(2);
  config.schedule.steps = steps;
  config.checkpoint = {.interval = checkpoint_interval, .keep = 0};
  return config;
}

std::vector<std::string> lines_of(const Ledger& ledger) {
  std::vector<std::string> lines;
  for (const LedgerLine& line : ledger.lines()) lines.push_back(to_text(line));
  return lines;
}

using Steps = std::vector<std::int64_t>;

TEST(Loop, EndsAfterTheStepInWhichAStopIsAskedForAndGoesOnAsIfNothingHadBeen) {
  const test::TemporaryFolder whole_folder, folder;
  LoopRun whole(whole_folder.path(), loop_config(8));
  EXPECT_EQ(whole.run().kind, LoopEnd::Kind::finished);
  {
    LoopRun run(folder.path(), loop_config(8));
    run.stop_after = 3;
    const LoopEnd end = run.run();
    EXPECT_EQ(end.kind, LoopEnd::Kind::stopped);
    EXPECT_EQ(end.step, 3);
    EXPECT_EQ(run.ledger().last_step(), 3);
    EXPECT_EQ(run.saved, (Steps{3}));
  }
  LoopRun rest(folder.path(), loop_config(8));
  const LoopEnd end = rest.run();
  EXPECT_EQ(end.kind, LoopEnd::Kind::finished);
  EXPECT_EQ(end.step, 8);
  EXPECT_EQ(rest.resumed_at, 3);
  EXPECT_EQ(lines_of(rest.ledger()), lines_of(whole.ledger()));
  EXPECT_EQ(rest.training.state() == whole.training.state(), true);
}

TEST(Loop, SavesOnceWhenAStopFallsOnACheckpointStep) {
  const test::TemporaryFolder folder;
  LoopRun run(folder.path(), loop_config(8, 2));
  run.stop_after = 4;
  EXPECT_EQ(run.run().kind, LoopEnd::Kind::stopped);
  EXPECT_EQ(run.saved, (Steps{2, 4}));
}

TEST(Loop, IsDoneWhenAskedForNoMoreStepsThanItHas) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(LoopRun(folder.path(), loop_config(2)).run().kind, LoopEnd::Kind::finished);
  LoopRun again(folder.path(), loop_config(2));
  const LoopEnd end = again.run();
  EXPECT_EQ(end.kind, LoopEnd::Kind::already_done);
  EXPECT_EQ(end.step, 2);
  EXPECT_EQ(again.ledger().last_step(), 2);
}

TEST(Loop, SavesAndKeepsEveryNthStepBesideTheNewest) {
  const test::TemporaryFolder folder;
  TrainConfig config = loop_config(10, 2);
  config.checkpoint.keep = 1;
  config.checkpoint.keep_every = 3;
  LoopRun run(folder.path(), config);
  EXPECT_EQ(run.run().kind, LoopEnd::Kind::finished);
  EXPECT_EQ(run.saved, (Steps{2, 3, 4, 6, 8, 9, 10}));
  EXPECT_EQ(run.checkpoints(), (Steps{3, 6, 9, 10}));
}

// The run is spoilt from step 4 on, so that the best checkpoint is not the newest; and stopped in between.
TEST(Loop, KeepsTheBestCheckpointAlsoOverAResume) {
  const test::TemporaryFolder folder;
  TrainConfig config = loop_config(12);
  config.optimizer.learning_rate = 1e-3;
  config.validation = {.interval = 2, .sequences = 0};
  config.checkpoint.keep = 1;
  config.checkpoint.keep_best = true;
  std::map<std::int64_t, double> losses;
  for (const std::int64_t stop : {6, 8, -1}) {
    LoopRun run(folder.path(), config);
    run.validate = true;
    run.stop_after = stop;
    run.after_step = [&](const LedgerLine& line) {
      for (std::int64_t i = 0; line.step >= 4 && i < config.model.hidden; ++i)
        run.training.plant("head.norm.gain", i, -50.0f);
    };
    EXPECT_EQ(run.run().kind, stop > 0 ? LoopEnd::Kind::stopped : LoopEnd::Kind::finished);
    losses.insert(run.losses.begin(), run.losses.end());
  }
  const auto best = std::min_element(losses.begin(), losses.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  LoopRun last(folder.path(), config);
  EXPECT_EQ(last.checkpoints(), (Steps{best->first, 12})) << best->second;
  EXPECT_EQ(best->first, 2);
}

TEST(Loop, WritesABadStepIntoTheLedgerAndGoesOn) {
  const test::TemporaryFolder folder;
  LoopRun run(folder.path(), loop_config(6));
  run.after_step = [&](const LedgerLine& line) { run.poison(line.step == 2 || line.step == 3); };
  EXPECT_EQ(run.run().kind, LoopEnd::Kind::finished);
  const std::vector<LedgerLine>& lines = run.ledger().lines();
  ASSERT_EQ(lines.size(), 6u);
  for (const LedgerLine& line : lines) {
    EXPECT_EQ(line.skipped, line.step == 3 || line.step == 4) << line.step;
    EXPECT_EQ(line.bad.empty(), !line.skipped) << line.bad;
  }
  EXPECT_EQ(lines[2].parameter_digest, lines[1].parameter_digest);
  EXPECT_EQ(lines[3].parameter_digest, lines[1].parameter_digest);
  EXPECT_NE(lines[4].parameter_digest, lines[1].parameter_digest);
}

TEST(Loop, EndsAsDivergedAfterTwentyBadStepsInARow) {
  const test::TemporaryFolder folder;
  LoopRun run(folder.path(), loop_config(100));
  run.after_step = [&](const LedgerLine& line) { run.poison(line.step >= 3); };
  const LoopEnd end = run.run();
  EXPECT_EQ(LoopEnd::kMostSkipped, 20);
  EXPECT_EQ(end.kind, LoopEnd::Kind::diverged);
  EXPECT_EQ(end.step, 23);
  EXPECT_EQ(run.ledger().last_step(), 23);
  EXPECT_EQ(run.saved, Steps{});
}

TEST(Loop, CountsBadStepsAnewAfterEveryGoodOne) {
  const test::TemporaryFolder folder;
  LoopRun run(folder.path(), loop_config(60));
  run.after_step = [&](const LedgerLine& line) { run.poison(line.step % 20 != 0); };  // 19 bad, one good
  const LoopEnd end = run.run();
  EXPECT_EQ(end.kind, LoopEnd::Kind::finished);
  EXPECT_EQ(end.step, 60);
}

// Checkpoints that fall into bad steps hold the state of the last good step.
TEST(Loop, SavesNoPoisonedState) {
  const test::TemporaryFolder folder, good_folder;
  LoopRun good(good_folder.path(), loop_config(4));
  good.run();
  LoopRun run(folder.path(), loop_config(100, 5));
  run.after_step = [&](const LedgerLine& line) { run.poison(line.step >= 4); };
  EXPECT_EQ(run.run().kind, LoopEnd::Kind::diverged);
  EXPECT_EQ(run.checkpoints(), (Steps{5, 10, 15, 20}));
  EXPECT_EQ(run.training.state() == good.training.state(), true);
  for (const std::int64_t step : run.checkpoints()) {
    SmallTraining loaded(loop_config(100));
    value_or_throw(loaded.trainer.load(value_or_throw(open_checkpoint(run.checkpoint(step)))));
    EXPECT_EQ(loaded.state() == good.training.state(), true) << step;
  }
}

// The names of bad places are compared when steps are done again, and batch.micro may change on a resume.
TEST(Loop, ChecksBadStepsAgainAfterAResumeWithAnotherMicroBatch) {
  const test::TemporaryFolder folder;
  const auto poison_third = [](LoopRun& run) {
    run.after_step = [&run](const LedgerLine& line) { run.poison(line.step == 2); };
  };
  {
    LoopRun run(folder.path(), loop_config(6, 2));
    poison_third(run);
    EXPECT_EQ(run.run().kind, LoopEnd::Kind::finished);
  }
  fs::remove_all(folder.path() / "checkpoints" / checkpoint_folder_name(6));
  fs::remove_all(folder.path() / "checkpoints" / checkpoint_folder_name(4));
  TrainConfig config = loop_config(6, 2);
  config.batch.micro = 4;
  LoopRun again(folder.path(), config);
  poison_third(again);
  again.poison(true);
  const LoopEnd end = again.run();
  EXPECT_EQ(again.resumed_at, 2);
  EXPECT_EQ(end.kind, LoopEnd::Kind::finished) << (end.difference ? to_string(*end.difference) : "");
}

}  // namespace
}  // namespace megalith
