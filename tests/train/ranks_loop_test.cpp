// The loop run by several ranks: one ledger and one set of checkpoints, which any number of ranks goes on
// with.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "run/temporary_folder.h"
#include "train/loop.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSteps = 8;

TrainConfig run_of(std::int64_t data, std::int64_t zero) {
  TrainConfig config = test::small_run(2);
  config.batch.global = 12;
  config.numerics.batch_tokens_max = 12 * test::kTokens;
  config.schedule.steps = kSteps;
  config.checkpoint = {.interval = 3, .keep = 2, .keep_best = true};
  config.validation.interval = 2;
  config.parallel.data = data;
  config.parallel.zero = zero;
  return config;
}

// What one rank sees; `stop_after` is its own wish.
struct Watcher final : LoopObserver {
  void resumed(std::int64_t step, std::int64_t recheck, const Refusals&) override {
    resumed_at = step;
    to_recheck = recheck;
  }
  void rechecked(std::int64_t steps) override { rechecked_steps = steps; }
  void step_done(const LedgerLine& line) override { last = line.step; }
  void validated(std::int64_t step, std::string_view, const Validation& validation) override {
    losses[step] = validation.loss;
  }
  void checkpoint_written(std::int64_t step, const fs::path& folder) override {
    EXPECT_TRUE(fs::exists(folder / "manifest.json"));
    saved.push_back(step);
  }
  bool stop_requested() override { return last == stop_after; }

  std::int64_t stop_after = -1, last = 0, resumed_at = -1, to_recheck = 0, rechecked_steps = 0;
  std::map<std::int64_t, double> losses;
  std::vector<std::int64_t> saved;
};

struct Outcome {
  LoopEnd end;
  std::vector<Watcher> watchers;  // by rank
};

// Runs the loop over that folder on the config's ranks; `stopper` asks for a stop after a step.
Outcome run_in(const fs::path& folder, const TrainConfig& config, int stopper = -1,
               std::int64_t stop_after = -1, std::int64_t throw_after = -1) {
  const test::RepeatedBatch data(test::random_batch(12, test::kTokens, 61));
  fs::create_directories(folder / "checkpoints");
  Outcome outcome;
  outcome.watchers.resize(static_cast<std::size_t>(config.parallel.data));
  std::mutex mutex;
  std::vector<LoopEnd> ends;
  test::on_ranks(config, data, [&](test::RankOfRun& rank) {
    const int number = rank.mesh.world().rank();
    std::optional<Ledger> ledger;
    if (number == 0) ledger.emplace(value_or_throw(Ledger::open(folder / "ledger.jsonl")));
    Watcher& watcher = outcome.watchers[static_cast<std::size_t>(number)];
    if (number == stopper) watcher.stop_after = stop_after;
    struct Thrower final : LoopObserver {
      void step_done(const LedgerLine& line) override {
        if (line.step == after) throw WorldFailed("the power is gone");
      }
      std::int64_t after = -1;
    } thrower;
    thrower.after = throw_after;
    LoopObserver& observer = throw_after > 0 && number == 1 ? static_cast<LoopObserver&>(thrower) : watcher;
    const HeldOutSet sets[] = {{.name = "", .dataset = &data}};
    const LoopEnd end = run_loop(config, rank.trainer, sets,
                                 {.ledger = ledger ? &*ledger : nullptr,
                                  .checkpoints = folder / "checkpoints",
                                  .frozen_config = "",
                                  .tokenizer_json = ""},
                                 42, observer);
    const std::lock_guard lock(mutex);
    ends.push_back(end);
    if (number == 0) outcome.end = end;
  });
  for (const LoopEnd& end : ends) EXPECT_TRUE(end.kind == outcome.end.kind && end.step == outcome.end.step);
  return outcome;
}

std::vector<std::string> ledger_in(const fs::path& folder) {
  std::vector<std::string> lines;
  for (const LedgerLine& line : value_or_throw(read_ledger(folder / "ledger.jsonl")).lines)
    lines.push_back(to_text(line));
  return lines;
}

std::vector<std::int64_t> checkpoints_in(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  for (const CheckpointEntry& entry : list_checkpoints(folder / "checkpoints")) steps.push_back(entry.step);
  return steps;
}

TEST(LoopOfRanks, WritesTheLedgerAndKeepsTheCheckpointsOfOneRank) {
  const test::TemporaryFolder alone, together;
  const Outcome one = run_in(alone.path(), run_of(1, 0));
  for (const std::int64_t zero : {0, 1, 3}) {
    fs::remove_all(together.path() / "checkpoints");
    fs::remove(together.path() / "ledger.jsonl");
    const Outcome three = run_in(together.path(), run_of(3, zero));
    EXPECT_EQ(three.end.kind, LoopEnd::Kind::finished);
    EXPECT_EQ(ledger_in(together.path()), ledger_in(alone.path()));
    EXPECT_EQ(checkpoints_in(together.path()), checkpoints_in(alone.path()));
    for (const Watcher& watcher : three.watchers) {
      EXPECT_EQ(watcher.saved, one.watchers[0].saved);
      EXPECT_EQ(watcher.losses, one.watchers[0].losses);
    }
  }
}

TEST(LoopOfRanks, StopsForAllWhenOneIsAskedToAndGoesOnWithAnyNumber) {
  const test::TemporaryFolder whole, folder;
  run_in(whole.path(), run_of(1, 0));
  const Outcome stopped = run_in(folder.path(), run_of(3, 2), 2, 2);
  EXPECT_EQ(stopped.end.kind, LoopEnd::Kind::stopped);
  EXPECT_EQ(stopped.end.step, 2);
  const Outcome again = run_in(folder.path(), run_of(1, 0), 0, 4);
  EXPECT_EQ(again.watchers[0].resumed_at, 2);
  EXPECT_EQ(again.end.step, 4);
  const Outcome more = run_in(folder.path(), run_of(2, 1), 1, 5);
  EXPECT_EQ(more.watchers[1].resumed_at, 4);
  EXPECT_EQ(run_in(folder.path(), run_of(4, 3)).end.kind, LoopEnd::Kind::finished);
  EXPECT_EQ(ledger_in(folder.path()), ledger_in(whole.path()));
  EXPECT_EQ(run_in(folder.path(), run_of(2, 0)).end.kind, LoopEnd::Kind::already_done);
}

TEST(LoopOfRanks, OneThatFailsLeavesWhatTheOthersGoOnWith) {
  const test::TemporaryFolder whole, folder;
  run_in(whole.path(), run_of(1, 0));
  EXPECT_THROW(run_in(folder.path(), run_of(3, 1), -1, -1, 5), WorldFailed);
  const Outcome rest = run_in(folder.path(), run_of(2, 2));
  EXPECT_EQ(rest.watchers[0].resumed_at, 4);       // the best so far
  EXPECT_GT(rest.watchers[0].rechecked_steps, 0);  // what the ledger had beyond the checkpoint
  EXPECT_EQ(ledger_in(folder.path()), ledger_in(whole.path()));
}

TEST(LoopOfRanks, AllEndWhenTheLedgerDiffers) {
  const test::TemporaryFolder folder;
  run_in(folder.path(), run_of(2, 0), 0, 5);
  for (const std::int64_t step : {4, 5})
    fs::remove_all(folder.path() / "checkpoints" / checkpoint_folder_name(step));
  TrainConfig other = run_of(2, 0);
  other.optimizer.learning_rate *= 2;
  const Outcome outcome = run_in(folder.path(), other);
  EXPECT_EQ(outcome.end.kind, LoopEnd::Kind::ledger_differs);
  ASSERT_TRUE(outcome.end.difference);
}

}  // namespace
}  // namespace megalith
