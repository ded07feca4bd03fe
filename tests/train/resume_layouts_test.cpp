// A run that goes on in other layouts: the same ledger, the same parameters, the same state of the optimizer.

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "model/stored_parameters.h"
#include "run/temporary_folder.h"
#include "train/loop.h"
#include "train/norm_meter.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSequences = 12;
constexpr std::int64_t kSteps = 7;

TrainConfig base() {
  TrainConfig config = test::shared_run(kSequences);
  config.model.dropout = 0.1;
  config.schedule.steps = kSteps;
  config.checkpoint.keep = 0;
  config.checkpoint.interval = 2;
  config.checkpoint.keep_best = true;
  config.validation.interval = 3;
  config.validation.sequences = 5;
  return config;
}

// One rank's part of the loop, until after a step.
class StoppedAfter final : public LoopObserver {
 public:
  StoppedAfter(std::int64_t step, int asked_of, int rank) : step_(step), asked_(asked_of == rank) {}
  void step_done(const LedgerLine& line) override { done_ = line.step; }
  bool stop_requested() override { return asked_ && done_ == step_; }

 private:
  std::int64_t step_;
  bool asked_;
  std::int64_t done_ = 0;
};

// Runs from what is in the folder until after a step, in the layout of the config. A stop is asked of the
// last rank.
void run_until(const fs::path& folder, const TrainConfig& config, std::int64_t step,
               LoopEnd::Kind expected = LoopEnd::Kind::stopped, std::uint64_t fingerprint_of_last = 42,
               CommunicationObserver* of_first = nullptr) {
  fs::create_directories(folder / "checkpoints");
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  test::on_ranks(config, data, of_first, [&](test::RankOfRun& rank) {
    const int number = rank.mesh.world().rank();
    const int last = rank.mesh.world().size() - 1;
    std::optional<Ledger> ledger;
    if (number == 0) ledger.emplace(value_or_throw(Ledger::open(folder / "ledger.jsonl")));
    StoppedAfter observer(step, last, number);
    const HeldOutSet held_out{.name = "", .dataset = &data};
    const LoopEnd end = run_loop(config, rank.trainer, std::span(&held_out, 1),
                                 {.ledger = ledger ? &*ledger : nullptr,
                                  .checkpoints = folder / "checkpoints",
                                  .frozen_config = "",
                                  .tokenizer_json = "{}"},
                                 number == last ? fingerprint_of_last : 42, observer);
    EXPECT_EQ(end.kind, expected) << "rank " << number;
    EXPECT_EQ(end.step, step);
  });
}

std::vector<LedgerLine> lines_of(const fs::path& folder) {
  return value_or_throw(read_ledger(folder / "ledger.jsonl")).lines;
}

// Every tensor of a checkpoint, whole.
std::map<std::string, std::string> tensors_of(const fs::path& folder, std::int64_t step) {
  const Checkpoint checkpoint =
      value_or_throw(Checkpoint::open(folder / "checkpoints" / checkpoint_folder_name(step)));
  value_or_throw(checkpoint.verify());
  std::map<std::string, std::string> tensors;
  for (const auto& [name, stored] : checkpoint.manifest().tensors) {
    std::string bytes(static_cast<std::size_t>(count_of(stored.shape)) * size_of(stored.dtype), '\0');
    Tensor whole(bytes.data(), stored.dtype, {stored.shape[2], stored.shape[3]});
    value_or_throw(checkpoint.load(name, whole));
    tensors[name] = bytes;
  }
  return tensors;
}

ParallelConfig layout(std::int64_t tensor, std::int64_t pipeline, std::int64_t data, std::int64_t zero) {
  return {.tensor = tensor, .pipeline = pipeline, .data = data, .zero = zero};
}

TEST(Resume, InOtherLayoutsGivesTheRunThatWasNeverStopped) {
  const test::TemporaryFolder alone, moved;
  TrainConfig config = base();
  run_until(alone.path(), config, kSteps, LoopEnd::Kind::finished);
  config.parallel = layout(2, 2, 2, 1);
  run_until(moved.path(), config, 3);
  config.parallel = layout(1, 1, 3, 3);
  run_until(moved.path(), config, 5);
  config.parallel = layout(1, 1, 1, 0);
  run_until(moved.path(), config, 6);
  config.parallel = layout(2, 2, 2, 2);
  run_until(moved.path(), config, kSteps, LoopEnd::Kind::finished);
  const std::vector<LedgerLine> expected = lines_of(alone.path());
  const std::vector<LedgerLine> found = lines_of(moved.path());
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_FALSE(first_difference(expected[i], found[i]).has_value()) << "step " << i + 1;
  EXPECT_EQ(tensors_of(moved.path(), kSteps) == tensors_of(alone.path(), kSteps), true);
}

TEST(Resume, WorksAgainAtStepsThatTheLedgerHasInAnyLayout) {
  const test::TemporaryFolder folder;
  TrainConfig config = base();
  run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished);
  const auto expected = tensors_of(folder.path(), kSteps);
  for (const std::int64_t step : {kSteps, std::int64_t{6}})
    fs::remove_all(folder.path() / "checkpoints" / checkpoint_folder_name(step));
  config.parallel = layout(2, 1, 2, 3);
  run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished);
  EXPECT_EQ(tensors_of(folder.path(), kSteps) == expected, true);
  EXPECT_EQ(lines_of(folder.path()).size(), static_cast<std::size_t>(kSteps));
}

TEST(Resume, OfAFastRunGoesOnInOtherLayoutsWithoutComparingTheirBits) {
  const test::TemporaryFolder folder;
  TrainConfig config = base();
  config.numerics.mode = NumericsMode::fast;
  run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished, 42);
  for (const std::int64_t step : {kSteps, std::int64_t{6}})
    fs::remove_all(folder.path() / "checkpoints" / checkpoint_folder_name(step));
  config.batch.micro = 4;  // another layout, which its fingerprint tells
  run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished, 43);
  EXPECT_EQ(lines_of(folder.path()).size(), static_cast<std::size_t>(kSteps));
  config.parallel = layout(2, 2, 2, 1);
  config.batch.micro = 1;
  config.schedule.steps = kSteps + 2;
  run_until(folder.path(), config, kSteps + 2, LoopEnd::Kind::finished);
  EXPECT_EQ(lines_of(folder.path()).size(), static_cast<std::size_t>(kSteps + 2));
}

TEST(Resume, OfAFastRunInItsOwnLayoutGivesTheRunThatWasNeverStopped) {
  for (const ParallelConfig& parallel : {layout(1, 1, 1, 0), layout(2, 2, 2, 1)}) {
    const test::TemporaryFolder whole, stopped;
    TrainConfig config = base();
    config.numerics.mode = NumericsMode::fast;
    config.parallel = parallel;
    run_until(whole.path(), config, kSteps, LoopEnd::Kind::finished);
    run_until(stopped.path(), config, 3);
    run_until(stopped.path(), config, kSteps, LoopEnd::Kind::finished);
    EXPECT_EQ(tensors_of(stopped.path(), kSteps) == tensors_of(whole.path(), kSteps), true);
  }
}

TEST(Resume, IsRefusedWhereRanksComputeOtherBits) {
  const test::TemporaryFolder folder;
  TrainConfig config = base();
  config.parallel = layout(1, 1, 3, 0);
  try {
    run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished, 43);
    FAIL() << "ran";
  } catch (const RefusedInput& refused) {
    EXPECT_NE(std::string(refused.what()).find("rank 2"), std::string::npos) << refused.what();
  }
}

// Damages a file at the first broadcast: when the first rank tells which checkpoint it found sound.
class Damage final : public CommunicationObserver {
 public:
  explicit Damage(fs::path file) : file_(std::move(file)) {}
  int opened(const Communicator&) override { return 0; }
  void entered(ObservedOperation& operation) override {
    if (operation.kind != OperationKind::broadcast || file_.empty()) return;
    std::fstream file(std::exchange(file_, {}), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x55');
  }

 private:
  fs::path file_;
};

TEST(Resume, IsRefusedWhereAPartIsDamagedAfterTheFirstRankLooked) {
  const test::TemporaryFolder folder;
  TrainConfig config = base();
  config.parallel = layout(1, 2, 1, 0);
  run_until(folder.path(), config, 3);
  // What the last stage wrote, which the first does not read.
  const fs::path file =
      folder.path() / "checkpoints" / checkpoint_folder_name(3) / "shard-001-00001.safetensors";
  ASSERT_TRUE(fs::exists(file));
  Damage damage(file);
  try {
    run_until(folder.path(), config, kSteps, LoopEnd::Kind::finished, 42, &damage);
    FAIL() << "ran";
  } catch (const RefusedInput& refused) {
    EXPECT_NE(std::string(refused.what()).find(file.string() + ": found chunk "), std::string::npos)
        << refused.what();
  }
}

TEST(Norms, PerLayerAreThoseOfOneRank) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  TrainConfig config = base();
  std::vector<LayerNorms> expected;
  for (const ParallelConfig& parallel :
       {layout(1, 1, 1, 0), layout(1, 1, 3, 0), layout(2, 2, 2, 1), layout(1, 4, 2, 3)}) {
    config.parallel = parallel;
    test::on_ranks(config, data, [&](test::RankOfRun& rank) {
      NormMeter meter(rank.trainer.parameters(), config.model.layers, rank.mesh.world());
      meter.before_step();
      const StepResult step = rank.trainer.run_step(0);
      const std::vector<LayerNorms> norms = meter.after_step(
          rank.device,
          {.shift = gradient_shift(config.numerics.batch_tokens_max), .divisor = step.loss_tokens});
      if (rank.mesh.world().size() == 1) expected = norms;
      ASSERT_EQ(norms.size(), expected.size());
      for (std::size_t i = 0; i < norms.size(); ++i) {
        EXPECT_EQ(norms[i].layer, expected[i].layer);
        EXPECT_EQ(norms[i].parameter, expected[i].parameter) << norms[i].layer;
        EXPECT_EQ(norms[i].gradient, expected[i].gradient) << norms[i].layer;
        EXPECT_EQ(norms[i].update, expected[i].update) << norms[i].layer;
      }
    });
  }
}

}  // namespace
}  // namespace megalith
