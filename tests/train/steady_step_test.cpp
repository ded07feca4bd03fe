// What a steady step takes: no memory from the system, and of the arenas what was predicted.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <vector>

#include "core/count_allocations.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

TrainConfig run_of(std::int64_t data, std::int64_t zero, std::int64_t pipeline = 1, std::int64_t tensor = 1) {
  TrainConfig config = test::shared_run(8);
  config.parallel.pipeline = pipeline;
  config.parallel.tensor = tensor;
  config.parallel.data = data;
  config.parallel.zero = zero;
  return config;
}

TEST(SteadyStep, AllocatesNothing) {
  const test::RepeatedBatch samples = test::ragged_data(8);
  std::vector<TrainConfig> configs;
  for (const std::int64_t data : {1, 2, 3}) {
    for (const std::int64_t zero : {0, 1, 2, 3}) configs.push_back(run_of(data, zero));
  }
  configs.push_back(run_of(1, 0, 2));
  configs.push_back(run_of(2, 1, 2, 2));
  configs.push_back(run_of(2, 3, 2));
  for (const std::int64_t zero : {0, 1, 3}) {
    configs.push_back(run_of(2, zero, 2));
    configs.back().numerics.mode = NumericsMode::fast;
  }
  for (const TrainConfig& config : configs) {
    std::atomic<std::int64_t> seen{0};
    test::on_ranks(config, samples, [&](test::RankOfRun& rank) {
      Communicator& world = rank.mesh.world();
      const auto meet = [&] {
        std::int64_t nothing = 0;
        world.wait(world.all_reduce({&nothing, 1}, IntegerReduction::sum));
      };
      // As many operations under way as a step may have, however far one rank runs ahead.
      for (Communicator* ranks :
           {&world, &rank.mesh.data(), &rank.mesh.tensor(), &rank.mesh.pipeline(), rank.mesh.ends()}) {
        if (ranks == nullptr) continue;
        std::array<std::int64_t, 64> values{};
        std::array<Communicator::Request, 64> requests;
        for (std::size_t i = 0; i < values.size(); ++i)
          requests[i] = ranks->all_reduce({&values[i], 1}, IntegerReduction::sum);
        for (const Communicator::Request request : requests) ranks->wait(request);
      }
      for (std::int64_t step = 0; step < 4; ++step) rank.trainer.run_step(step);
      meet();
      const std::int64_t before = test::allocations;
      meet();
      for (std::int64_t step = 4; step < 8; ++step) rank.trainer.run_step(step);
      meet();
      if (world.rank() == 0) seen = test::allocations - before;
      meet();
    });
    EXPECT_EQ(seen, 0) << test::layout_text(config);
  }
}

TEST(Memory, OfARankInAnyLayoutIsWhatWasPredicted) {
  const test::RepeatedBatch samples = test::ragged_data(8);
  std::vector<TrainConfig> configs = {run_of(1, 0),      run_of(3, 2),       run_of(2, 1, 2),
                                      run_of(2, 3, 4),   run_of(1, 0, 2, 2), run_of(2, 2, 2, 2),
                                      run_of(1, 0, 1, 8)};
  for (TrainConfig config : {run_of(3, 0), run_of(2, 1, 2), run_of(2, 3, 2)}) {
    config.numerics.mode = NumericsMode::fast;
    configs.push_back(config);
  }
  for (TrainConfig& config : configs) {
    for (const Recompute recompute : {Recompute::none, Recompute::full}) {
      config.parallel.recompute = recompute;
      test::on_ranks(config, samples, [&](test::RankOfRun& rank) {
        rank.trainer.run_step(0);
        const Mesh simulated = Mesh::simulated(rank.mesh.layout(), rank.mesh.world().rank());
        const RankNeeds predicted = measure_rank(config, simulated);
        const RankNeeds used = rank.trainer.used();
        const std::string where = test::layout_text(config);
        EXPECT_EQ(used.parameter_bytes, predicted.parameter_bytes) << where;
        EXPECT_EQ(used.activation_bytes(), predicted.activation_bytes()) << where;
        EXPECT_EQ(used.workspace_bytes(), predicted.workspace_bytes()) << where;
      });
    }
  }
}

TEST(Memory, OfParametersShrinksWithEveryZeroStage) {
  const test::RepeatedBatch samples = test::ragged_data(8);
  std::size_t before = 0;
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    TrainConfig config = run_of(4, zero);
    config.model.layers = 8;
    std::atomic<std::size_t> bytes{0};
    test::on_ranks(config, samples, [&](test::RankOfRun& rank) {
      rank.trainer.run_step(0);
      const Parameters measured(Transformer::specs(config.model, config.numerics), config.numerics.compute,
                                Parameters::Use::measuring, {}, rank.trainer.parameters().shard());
      EXPECT_EQ(rank.trainer.parameters().bytes(), measured.bytes());
      bytes = measured.bytes();
    });
    if (zero == 0) {
      const auto elements =
          static_cast<std::size_t>(Parameters(Transformer::specs(config.model, config.numerics),
                                              config.numerics.compute, Parameters::Use::measuring)
                                       .logical_count());
      EXPECT_GT(bytes, elements * 22);  // f32 master and moments, bf16, i64
    } else {
      EXPECT_LT(bytes, before) << "ZeRO " << zero;
    }
    before = bytes;
  }
}

}  // namespace
}  // namespace megalith
