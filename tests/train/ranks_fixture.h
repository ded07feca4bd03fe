// The same small run on any number of ranks, as threads.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "comm/observer.h"
#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "train/trainer_fixture.h"

namespace megalith::test {

// So many sequences over and over, with ragged masks and documents that start inside them.
inline RepeatedBatch ragged_data(std::int64_t sequences) {
  return RepeatedBatch(random_batch(sequences, kTokens, 59));
}

// A run of so many sequences a step that up to eight tensor ranks and four stages can share.
inline TrainConfig shared_run(std::int64_t sequences, DType compute = DType::bf16) {
  TrainConfig config = small_run(1, compute);
  config.model.layers = 4;
  config.model.heads = config.model.kv_heads = 8;
  config.model.head_size = 4;
  config.model.tied_output = true;
  config.batch.global = sequences;
  config.numerics.batch_tokens_max = sequences * kTokens;
  config.parallel.data = 1;
  return config;
}

// What must not depend on the layout.
struct Trace {
  std::vector<StepResult> steps;
  std::vector<Validation> validations;
};

inline void expect_same_step(const StepResult& found, const StepResult& expected, const std::string& where) {
  const std::string at = where + ", step " + std::to_string(expected.step);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found.loss), std::bit_cast<std::uint64_t>(expected.loss)) << at;
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found.gradient_norm),
            std::bit_cast<std::uint64_t>(expected.gradient_norm))
      << at;
  EXPECT_EQ(found.learning_rate, expected.learning_rate) << at;
  EXPECT_EQ(found.loss_tokens, expected.loss_tokens) << at;
  EXPECT_EQ(found.skipped, expected.skipped) << at;
  EXPECT_EQ(found.bad, expected.bad) << at;
  EXPECT_EQ(found.parameter_digest, expected.parameter_digest) << at;
  EXPECT_EQ(found.data_digest, expected.data_digest) << at;
}

inline void expect_same_trace(const Trace& found, const Trace& expected, const std::string& where) {
  ASSERT_EQ(found.steps.size(), expected.steps.size()) << where;
  for (std::size_t i = 0; i < found.steps.size(); ++i) {
    expect_same_step(found.steps[i], expected.steps[i], where);
    if (::testing::Test::HasFailure()) return;
  }
  ASSERT_EQ(found.validations.size(), expected.validations.size()) << where;
  for (std::size_t i = 0; i < found.validations.size(); ++i) {
    EXPECT_EQ(found.validations[i].loss, expected.validations[i].loss) << where;
    EXPECT_EQ(found.validations[i].loss_tokens, expected.validations[i].loss_tokens) << where;
  }
}

// One rank of a run.
struct RankOfRun {
  RankOfRun(const TrainConfig& config, const Dataset& data, Communicator& world)
      : mesh(Layout{.data = static_cast<int>(config.parallel.data),
                    .pipeline = static_cast<int>(config.parallel.pipeline),
                    .tensor = static_cast<int>(config.parallel.tensor)},
             world),
        device(1),
        trainer(config, device, data, mesh) {}

  Mesh mesh;
  WatchedDevice device;
  Trainer trainer;
};

// Calls `body` on every rank of the config's layout, whose degrees are given. `of_first` sees what rank 0
// says; may be null.
inline void on_ranks(const TrainConfig& config, const Dataset& data, CommunicationObserver* of_first,
                     const std::function<void(RankOfRun&)>& body) {
  const auto ranks =
      static_cast<int>(config.parallel.data * config.parallel.pipeline * config.parallel.tensor);
  run_ranks(ranks, [&](Communicator& world) {
    set_floating_point_mode();
    std::unique_ptr<Communicator> observed;
    if (of_first != nullptr && world.rank() == 0) observed = observe(world, *of_first);
    RankOfRun rank(config, data, observed ? *observed : world);
    body(rank);
  });
}
inline void on_ranks(const TrainConfig& config, const Dataset& data,
                     const std::function<void(RankOfRun&)>& body) {
  on_ranks(config, data, nullptr, body);
}

inline std::string layout_text(const TrainConfig& config) {
  const ParallelConfig& p = config.parallel;
  return fmt::format("tensor {} pipeline {} data {} zero {} micro {}", p.tensor, p.pipeline, p.data, p.zero,
                     config.batch.micro);
}

// The steps as every rank saw them, which must be alike; `before_step` may meddle.
inline Trace trace_of(
    const TrainConfig& config, const Dataset& data, std::int64_t steps,
    const std::function<void(RankOfRun&, std::int64_t)>& before_step = [](RankOfRun&, std::int64_t) {}) {
  std::mutex mutex;
  std::vector<Trace> traces;
  on_ranks(config, data, [&](RankOfRun& rank) {
    Trace mine;
    for (std::int64_t step = 0; step < steps; ++step) {
      before_step(rank, step);
      mine.steps.push_back(rank.trainer.run_step(step));
    }
    mine.validations.push_back(rank.trainer.validate(data, 7));
    const std::lock_guard lock(mutex);
    traces.push_back(std::move(mine));
  });
  for (const Trace& trace : traces)
    expect_same_trace(trace, traces.front(), layout_text(config) + ", two ranks");
  return traces.front();
}

}  // namespace megalith::test
