// What data ranks say to each other in a step: the volumes of textbooks, with 8 bytes per gradient.

#include <gtest/gtest.h>

#include "comm/operation_counts.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

constexpr std::int64_t kSequences = 12;

TrainConfig run_of(std::int64_t data, std::int64_t zero) {
  TrainConfig config = test::small_run(1);
  config.model.layers = 4;
  config.model.tied_output = true;
  config.batch.global = kSequences;
  config.numerics.batch_tokens_max = kSequences * test::kTokens;
  config.parallel.data = data;
  config.parallel.zero = zero;
  return config;
}

struct Volumes {
  std::int64_t all_reduce = 0, reduce_scatter = 0, all_gather = 0;  // bytes that leave a rank
  bool operator==(const Volumes&) const = default;
};

// Of the second step over the data axis, the same on each rank.
Volumes volumes_of(const TrainConfig& config, std::int64_t* matrices, std::int64_t* vectors) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  Volumes volumes;
  run_ranks(static_cast<int>(config.parallel.data), [&](Communicator& inner) {
    set_floating_point_mode();
    OperationCounts counts;
    const std::unique_ptr<Communicator> world = observe(inner, counts);
    test::RankOfRun rank(config, data, *world);
    rank.trainer.run_step(0);
    counts.clear();
    rank.trainer.run_step(1);
    const auto sent = [&](OperationKind kind) { return counts.of("data", kind).sent; };
    const Volumes mine{sent(OperationKind::all_reduce), sent(OperationKind::reduce_scatter),
                       sent(OperationKind::all_gather)};
    if (inner.rank() == 0) {
      volumes = mine;
      *matrices = *vectors = 0;
      for (const ParameterRange& range : rank.trainer.parameters().ranges())
        (range.matrices ? *matrices : *vectors) += range.count;
    }
  });
  return volumes;
}

TEST(Volumes, OfAStepAreThoseOfTextbooks) {
  for (const std::int64_t ranks : {2, 4}) {
    for (const std::int64_t zero : {0, 1, 2, 3}) {
      std::int64_t matrices = 0;
      std::int64_t vectors = 0;
      const Volumes found = volumes_of(run_of(ranks, zero), &matrices, &vectors);
      const auto passed_on = [&](std::int64_t bytes) { return bytes / ranks * (ranks - 1); };
      const std::int64_t gradients = passed_on(8 * (matrices + vectors));
      const std::int64_t weights = passed_on(2 * matrices + 4 * vectors);
      const std::int64_t micro_batches = kSequences / ranks;
      Volumes expected;
      if (zero == 0) expected.all_reduce = 2 * gradients;
      if (zero == 1) expected = {0, gradients, weights};
      if (zero == 2) expected = {0, micro_batches * gradients, weights};
      if (zero == 3) {
        expected = found;  // how often a unit comes is what the schedule and the slots make of it
        EXPECT_EQ(found.all_reduce, 0);
        EXPECT_EQ(found.reduce_scatter, micro_batches * gradients);
        EXPECT_GT(found.all_gather, micro_batches * weights);
        EXPECT_LE(found.all_gather, 2 * micro_batches * weights);
      }
      EXPECT_EQ(found.all_reduce, expected.all_reduce) << ranks << " ranks, ZeRO " << zero;
      EXPECT_EQ(found.reduce_scatter, expected.reduce_scatter) << ranks << " ranks, ZeRO " << zero;
      EXPECT_EQ(found.all_gather, expected.all_gather) << ranks << " ranks, ZeRO " << zero;
    }
  }
}

}  // namespace
}  // namespace megalith
