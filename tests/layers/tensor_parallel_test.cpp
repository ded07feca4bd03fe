// Tensor ranks change nothing: loss, log-probabilities and every integer of every gradient are one rank's.

#include <gtest/gtest.h>

#include "layers/tensor_ranks.h"

namespace megalith {
namespace {

using test::Batch;
using test::outcome_of;
using test::RankRun;
using test::SharedOutcome;

// Which of the outcomes' parts differ, briefly.
void expect_equal(const SharedOutcome& found, const SharedOutcome& expected, const RankRun& run) {
  EXPECT_EQ(found.loss, expected.loss);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.bad, expected.bad);
  EXPECT_TRUE(found.log_probability == expected.log_probability) << "log-probabilities of training";
  EXPECT_TRUE(found.evaluated == expected.evaluated) << "log-probabilities of evaluation";
  ASSERT_EQ(found.gradients.size(), expected.gradients.size());
  for (const ParameterSpec& spec : Transformer::specs(run.config, test::small_profile(run.compute, 32))) {
    std::int64_t differing = 0;
    for (std::int64_t i = 0; i < spec.rows * spec.columns; ++i) {
      const auto at = static_cast<std::size_t>(spec.first_index) + static_cast<std::size_t>(i);
      differing += found.gradients[at] != expected.gradients[at] ? 1 : 0;
    }
    EXPECT_EQ(differing, 0) << spec.name << " of " << spec.rows * spec.columns;
  }
}

struct Kind {
  const char* shape;
  DType compute;
};

class TensorParallel : public testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] static RankRun run_of(double dropout) {
    RankRun run{.config = test::shared_model(GetParam().shape), .compute = GetParam().compute};
    run.config.dropout = dropout;
    run.config.attention_dropout = dropout;
    return run;
  }
  [[nodiscard]] static Batch batch_of(const RankRun& run) {
    return test::random_batch(16, 32, run.config.vocabulary);
  }
};

TEST_P(TensorParallel, RanksGiveTheBitsOfOne) {
  for (const double dropout : {0.0, 0.1}) {
    RankRun run = run_of(dropout);
    const Batch batch = batch_of(run);
    const SharedOutcome expected = outcome_of(run, batch);
    EXPECT_FALSE(expected.bad);
    for (const bool sequence_parallel : {false, true}) {
      for (const int ranks : {2, 4, 8}) {
        if (dropout == 0 && ranks == 4) continue;
        SCOPED_TRACE(
            fmt::format("{} ranks, sequence parallel {}, dropout {}", ranks, sequence_parallel, dropout));
        run.ranks = ranks;
        run.sequence_parallel = sequence_parallel;
        expect_equal(outcome_of(run, batch), expected, run);
      }
    }
  }
}

TEST_P(TensorParallel, AgreesHoweverMuchIsComputedAgainAndWhateverWaits) {
  RankRun run = run_of(0.1);
  const Batch batch = batch_of(run);
  const SharedOutcome expected = outcome_of(run, batch);
  run.ranks = 4;
  for (const Recompute mode : {Recompute::none, Recompute::selective, Recompute::full}) {
    for (const bool sequence_parallel : {false, true}) {
      run.recompute = {.mode = mode};
      run.sequence_parallel = sequence_parallel;
      run.deferred = false;
      SCOPED_TRACE(
          fmt::format("recompute {}, sequence parallel {}", static_cast<int>(mode), sequence_parallel));
      if (mode != Recompute::none) expect_equal(outcome_of(run, batch), expected, run);
      run.deferred = true;
      expect_equal(outcome_of(run, batch), expected, run);
    }
  }
}

TEST_P(TensorParallel, AnotherOrderOfTheSharesWouldBeSeen) {
  RankRun run = run_of(0);
  run.micro = 16;
  const Batch batch = batch_of(run);
  const SharedOutcome expected = outcome_of(run, batch);
  run.ranks = 4;
  // After the embedding's, which moves rows.
  run.fault = PlantedFault{.kind = FaultKind::sum_order, .group = "world", .spared = 1};
  EXPECT_NE(outcome_of(run, batch).gradients, expected.gradients);
}

TEST_P(TensorParallel, WhatIsBadOnOneRankIsBadOnSomeOfMany) {
  RankRun run = run_of(0);
  const Batch batch = batch_of(run);
  run.poisoned = "layers.1.feed_forward.up.weight";
  for (const int ranks : {1, 2, 8}) {
    run.ranks = ranks;
    run.sequence_parallel = ranks == 8;
    bool bad = false;
    std::vector<SharedOutcome> of_ranks(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](Communicator& world) {
      of_ranks[static_cast<std::size_t>(world.rank())] = test::outcome_of_rank(run, batch, world);
    });
    for (const SharedOutcome& outcome : of_ranks) bad = bad || outcome.bad;
    EXPECT_TRUE(bad) << ranks << " ranks";
  }
}

// Logits of two prompts together, then of steps that extend them, from caches of each rank's heads.
std::vector<std::uint32_t> generated(const RankRun& run, Communicator& communicator) {
  set_floating_point_mode();
  test::TensorRank rank(run, communicator);
  KeyValueCache cache(run.config, run.compute, 2, 32, rank.place());
  const std::vector<std::vector<std::int32_t>> slots = {{0, 0, 0, 0, 0, 1, 1, 1}, {0, 1}, {1}, {0, 0, 1}};
  std::vector<std::int32_t> next(2, 0);
  std::vector<float> all;
  std::int32_t id = 3;
  for (const std::vector<std::int32_t>& slot : slots) {
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> position;
    for (const std::int32_t s : slot) {
      ids.push_back(id = (id * 37 + 11) % static_cast<std::int32_t>(run.config.vocabulary));
      position.push_back(next[static_cast<std::size_t>(s)]++);
    }
    const auto rows = static_cast<std::int64_t>(slot.size());
    std::vector<float> logits(static_cast<std::size_t>(rows * rank.transformer.padded_vocabulary()));
    const MicroBatch none;
    rank.transformer.forward_cached(
        rank.step(none, false), ids.data(), {.rows = rows, .slot = slot.data(), .position = position.data()},
        cache, 0, Tensor(logits.data(), DType::f32, {rows, rank.transformer.padded_vocabulary()}));
    for (std::int64_t r = 0; r < rows; ++r) {  // columns of padding are nobody's
      const float* row = logits.data() + r * rank.transformer.padded_vocabulary();
      all.insert(all.end(), row, row + run.config.vocabulary);
    }
  }
  return test::bits_of(all);
}

TEST_P(TensorParallel, RanksGenerateWhatOneDoes) {
  RankRun run = run_of(0);
  std::vector<std::uint32_t> expected;
  run_ranks(1, [&](Communicator& world) { expected = generated(run, world); });
  for (const int ranks : {2, 4, 8}) {
    std::vector<std::vector<std::uint32_t>> found(static_cast<std::size_t>(ranks));
    run.sequence_parallel = ranks == 4;  // of training: generation does without
    run_ranks(ranks, [&](Communicator& world) {
      found[static_cast<std::size_t>(world.rank())] = generated(run, world);
    });
    for (const std::vector<std::uint32_t>& of_rank : found) EXPECT_TRUE(of_rank == expected) << ranks;
  }
}

// Per micro batch and block, of M tokens of H features, T ranks get (T - 1) / T of: forward, two sums of f32
// shares and two gathers of the results or, sequence parallel, of the inputs; backward, two sums and two
// gathers of the results or, sequence parallel, of two gradients and of the two inputs once more.
TEST(TensorParallelTraffic, IsTheTextbooksWithSharesInF32) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    for (const int ranks : {2, 4, 8}) {
      for (const bool sequence_parallel : {false, true}) {
        RankRun run{.config = test::shared_model("gpt"), .compute = compute, .ranks = ranks};
        run.sequence_parallel = sequence_parallel;
        const Batch batch = test::random_batch(16, 32, run.config.vocabulary);
        const std::int64_t micro_batches = 2;
        const std::int64_t tokens = 8 * 32;
        const std::int64_t others = ranks - 1;
        const std::int64_t rows = tokens / ranks * others * run.config.hidden;  // elements of [M, H]
        const auto size = static_cast<std::int64_t>(size_of(compute));
        const std::int64_t layers = run.config.layers;
        const std::int64_t in_blocks = layers * (sequence_parallel ? 6 : 4);
        const std::int64_t at_ends =
            2;  // the embedding's rows or their gradient; the head's input or its gradient
        const std::int64_t losses = tokens * others * 3 * 4;
        const SharedOutcome found = outcome_of(run, batch);
        EXPECT_EQ(found.gathered, micro_batches * ((in_blocks + at_ends) * rows * size + losses))
            << ranks << " ranks";
        EXPECT_EQ(found.crossed, micro_batches * ((4 * layers + 1) * rows * 4 + rows * size))
            << ranks << " ranks, looked up rows included";
      }
    }
  }
}

// A key/value head of D features that R ranks share: keys and values are gathered, their gradients summed to
// the features that each rank has, and the keys' gathered again to be turned back.
TEST(TensorParallelTraffic, OfASharedHeadIsSmall) {
  RankRun run{.config = test::shared_model("llama_1"), .compute = DType::bf16, .ranks = 4};
  const Batch batch = test::random_batch(8, 32, run.config.vocabulary);
  const SharedOutcome shared = outcome_of(run, batch);
  run.config.kv_heads = 8;
  const SharedOutcome own = outcome_of(run, batch);
  const std::int64_t elements = 8 * 32 * run.config.head_size / 4 * 3;
  EXPECT_EQ(shared.gathered - own.gathered, run.config.layers * 3 * elements * 2);
  EXPECT_EQ(shared.crossed - own.crossed, run.config.layers * 2 * elements * 4);
}

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* shape : test::kSharedShapes) {
    for (const DType compute : {DType::f32, DType::bf16}) all.push_back({shape, compute});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, TensorParallel, testing::ValuesIn(kinds()), [](const auto& kind) {
  return std::string(kind.param.shape) + "_" + name_of(kind.param.compute);
});

}  // namespace
}  // namespace megalith
