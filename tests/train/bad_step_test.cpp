// Steps in which something is not finite: skipped, named, and without a trace in parameters or checkpoints.
#include <gtest/gtest.h>

#include "device/cpu/cpu_device.h"
#include "run/temporary_folder.h"
#include "train/loop.h"
#include "train/poisoned_device.h"

namespace megalith {
namespace {

using test::PoisonedDevice;

TrainConfig small_run(std::int64_t micro = 2) {
  TrainConfig config;
  config.model.layers = 2;
  config.model.hidden = 32;
  config.model.heads = 4;
  config.model.sequence = 32;
  config.model.vocabulary = 61;
  config.batch.global = 4;
  config.batch.micro = micro;
  config.schedule.steps = 30;
  config.optimizer.learning_rate = 1e-3;
  config.sample.tokens = 0;
  resolve(config);
  return config;
}

struct Bench {
  explicit Bench(const TrainConfig& run = small_run(), int threads = 2)
      : config(run),
        cpu(cpu::make_device(threads, cpu::available_isas().back())),
        device(*cpu),
        data(make_synthetic_dataset(config.model.vocabulary, config.batch.sequence, config.seed, false)),
        trainer(config, device, *data) {}

  [[nodiscard]] const void* weight(const std::string& name) const {
    return trainer.parameters().named(name).working.data;
  }

  TrainConfig config;
  std::unique_ptr<Device> cpu;
  PoisonedDevice device;
  std::unique_ptr<Dataset> data;
  Trainer trainer;
};

const std::string kUp = "layers.1.feed_forward.up.weight";
const std::string kOut = "layers.0.attention.out.weight";

TEST(BadStep, NamesLayerOperationAndDirectionAndLeavesTheParametersAlone) {
  Bench bench;
  const StepResult before = bench.trainer.run_step(0);
  ASSERT_FALSE(before.skipped);

  bench.device.forward_weight = bench.weight(kUp);
  const StepResult bad = bench.trainer.run_step(1);
  EXPECT_TRUE(bad.skipped);
  EXPECT_EQ(bad.bad, "layer 1 feed_forward.up forward: not finite");
  EXPECT_EQ(bad.parameter_digest, before.parameter_digest);

  bench.device.forward_weight = nullptr;
  bench.device.backward_weight = bench.weight(kOut);
  const StepResult backward = bench.trainer.run_step(1);
  EXPECT_TRUE(backward.skipped);
  EXPECT_NE(backward.bad.find("layer 0 attention"), std::string::npos) << backward.bad;
  EXPECT_NE(backward.bad.find("backward: not finite"), std::string::npos) << backward.bad;
  EXPECT_EQ(backward.parameter_digest, before.parameter_digest);
}

TEST(BadStep, LeavesNoTraceInTheStepsThatFollow) {
  Bench disturbed;
  Bench undisturbed;
  disturbed.trainer.run_step(0);
  undisturbed.trainer.run_step(0);
  disturbed.device.forward_weight = disturbed.weight(kUp);
  ASSERT_TRUE(disturbed.trainer.run_step(1).skipped);
  disturbed.device.forward_weight = nullptr;
  const StepResult a = disturbed.trainer.run_step(2);
  const StepResult b = undisturbed.trainer.run_step(2);
  EXPECT_FALSE(a.skipped);
  EXPECT_EQ(a.parameter_digest, b.parameter_digest);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.gradient_norm, b.gradient_norm);
}

TEST(BadStep, IsTheSameVerdictForEveryMicroBatchAndThreadCount) {
  for (const std::int64_t micro : {1, 2, 4}) {
    for (const int threads : {1, 3}) {
      Bench bench(small_run(micro), threads);
      bench.device.forward_weight = bench.weight(kUp);
      const StepResult bad = bench.trainer.run_step(0);
      EXPECT_TRUE(bad.skipped);
      EXPECT_EQ(bad.bad, "layer 1 feed_forward.up forward: not finite");
    }
  }
}

// Poisons the steps from `first` on, and remembers what the loop said.
class Saboteur final : public LoopObserver {
 public:
  Saboteur(Bench& bench, std::int64_t first) : bench_(bench), first_(first) {}
  void step_done(const LedgerLine& line) override {
    lines.push_back(line);
    if (line.step + 1 >= first_) bench_.device.forward_weight = bench_.weight(kUp);
  }
  void checkpoint_written(std::int64_t step, const std::filesystem::path& /*folder*/) override {
    checkpoints.push_back(step);
  }
  bool stop_requested() override { return static_cast<std::int64_t>(lines.size()) == stop_after; }

  std::vector<LedgerLine> lines;
  std::vector<std::int64_t> checkpoints;
  std::int64_t stop_after = -1;

 private:
  Bench& bench_;
  std::int64_t first_;
};

LoopEnd run(Bench& bench, Saboteur& observer, const test::TemporaryFolder& folder) {
  std::filesystem::create_directories(folder.path() / "checkpoints");
  Ledger ledger = value_or_throw(Ledger::open(folder.path() / "ledger.jsonl"));
  return run_loop(bench.config, bench.trainer, nullptr,
                  {.ledger = ledger,
                   .checkpoints = folder.path() / "checkpoints",
                   .frozen_config = to_toml(bench.config),
                   .tokenizer_json = ""},
                  1, observer);
}

TEST(Loop, GivesUpAfterTwentyBadStepsInARowAndSavesNone) {
  TrainConfig config = small_run();
  config.checkpoint.interval = 0;
  Bench bench(config);
  const test::TemporaryFolder folder;
  Saboteur observer(bench, 4);
  const LoopEnd end = run(bench, observer, folder);
  EXPECT_EQ(end.kind, LoopEnd::Kind::diverged);
  EXPECT_EQ(end.step, 3 + LoopEnd::kMostSkipped);
  EXPECT_TRUE(observer.checkpoints.empty());
  for (const LedgerLine& line : observer.lines) {
    EXPECT_EQ(line.skipped, line.step >= 4) << line.step;
    if (line.step >= 4) {
      EXPECT_EQ(line.parameter_digest, observer.lines[2].parameter_digest);
    }
  }
}

TEST(Loop, ACheckpointAmidBadStepsHoldsTheLastGoodParameters) {
  TrainConfig config = small_run();
  config.checkpoint.interval = 5;
  Bench bench(config);
  const test::TemporaryFolder folder;
  Saboteur observer(bench, 4);
  run(bench, observer, folder);
  ASSERT_FALSE(observer.checkpoints.empty());

  Bench fresh(config);
  const NewestGood newest = newest_good_checkpoint(folder.path() / "checkpoints");
  ASSERT_TRUE(newest.checkpoint.has_value());
  ASSERT_TRUE(fresh.trainer.load(*newest.checkpoint));
  EXPECT_EQ(fresh.trainer.parameters().digest(*fresh.cpu), observer.lines[2].parameter_digest);
}

TEST(Loop, StopsAfterTheStepInWhichItWasAskedAndGoesOnWithTheSameBits) {
  const TrainConfig config = small_run();
  Bench whole(config);
  const test::TemporaryFolder whole_folder;
  Saboteur whole_observer(whole, 1000);
  ASSERT_EQ(run(whole, whole_observer, whole_folder).kind, LoopEnd::Kind::finished);

  const test::TemporaryFolder folder;
  Bench first(config);
  Saboteur first_observer(first, 1000);
  first_observer.stop_after = 7;
  const LoopEnd stopped = run(first, first_observer, folder);
  EXPECT_EQ(stopped.kind, LoopEnd::Kind::stopped);
  EXPECT_EQ(stopped.step, 7);
  Bench second(config);
  Saboteur second_observer(second, 1000);
  ASSERT_EQ(run(second, second_observer, folder).kind, LoopEnd::Kind::finished);
  ASSERT_EQ(second_observer.lines.size(), 23u);
  EXPECT_EQ(second_observer.lines.back().parameter_digest, whole_observer.lines.back().parameter_digest);
  EXPECT_EQ(read_file(folder.path() / "ledger.jsonl", 1 << 20).value(),
            read_file(whole_folder.path() / "ledger.jsonl", 1 << 20).value());
}

}  // namespace
}  // namespace megalith
