// Data ranks and sharded optimizer state: the bits of one rank, whoever computes, keeps or sums what.

#include <cmath>
#include <limits>

#include "train/batch_share.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

using test::expect_same_trace;
using test::layout_text;
using test::trace_of;

constexpr std::int64_t kSequences = 32;

TrainConfig run_of(std::int64_t data, std::int64_t zero, DType compute = DType::bf16) {
  TrainConfig config = test::small_run(2, compute);
  config.numerics.batch_tokens_max = kSequences * test::kTokens;
  config.batch.global = kSequences;
  config.parallel.data = data;
  config.parallel.zero = zero;
  config.optimizer.learning_rate = 3e-3;
  return config;
}

void expect_equal_to_one_rank(TrainConfig config, const std::vector<std::int64_t>& ranks,
                              std::int64_t steps) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  config.parallel = {.data = 1};
  const test::Trace alone = trace_of(config, data, steps);
  ASSERT_GT(alone.steps.back().gradient_norm, 0);
  for (const std::int64_t data_ranks : ranks) {
    for (const std::int64_t zero : {0, 1, 2, 3}) {
      config.parallel.data = data_ranks;
      config.parallel.zero = zero;
      expect_same_trace(trace_of(config, data, steps), alone, layout_text(config));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(DataParallel, HasTheBitsOfOneRankOverTwentySteps) {
  expect_equal_to_one_rank(run_of(1, 0), {2, 3, 8}, 20);
}

TEST(DataParallel, HasThemForEveryNumberOfRanks) {
  TrainConfig config = run_of(1, 0);
  config.model.tied_output = true;
  expect_equal_to_one_rank(config, {1, 4, 5, 6, 7}, 3);
}

TEST(DataParallel, HasThemInSinglePrecisionWithDropoutAndZLoss) {
  TrainConfig config = run_of(1, 0, DType::f32);
  config.model.dropout = config.model.attention_dropout = 0.1;
  config.optimizer.z_loss = 1e-3;
  expect_equal_to_one_rank(config, {2, 5}, 4);
}

TEST(DataParallel, HasThemWithFrozenTensorsAndOtherRates) {
  TrainConfig config = run_of(1, 0);
  config.optimizer.learning_rate_factors = {"embedding.* = 0", "layers.1.* = 0.5"};
  expect_equal_to_one_rank(config, {2, 3}, 4);
}

TEST(DataParallel, HasThemThroughARampWithSharesThatDiffer) {
  TrainConfig config = run_of(1, 0);
  config.batch.ramp_start = 12;
  config.batch.ramp_increment = 4;
  config.batch.ramp_samples = 100;
  for (const std::int64_t micro : {1, 3}) {
    config.batch.micro = micro;
    expect_equal_to_one_rank(config, {3, 5, 12}, 8);
  }
}

TEST(DataParallel, SharesGrainsThatAreSeveralSequences) {
  TrainConfig config = run_of(1, 0);
  config.numerics.grain = 4 * test::kTokens;
  config.batch.micro = 4;
  expect_equal_to_one_rank(config, {2, 3}, 3);
}

TEST(DataParallel, EachModelKindHasThem) {
  for (const char* const shape : {"gpt_plain", "llama", "qwen", "neox"}) {
    TrainConfig config = run_of(1, 0);
    config.model = test::shaped_model(shape);
    config.model.sequence = test::kTokens;
    config.batch.global = 12;
    expect_equal_to_one_rank(config, {3}, 3);
  }
}

TEST(DataParallel, EndsWithNothingUnderWay) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  for (const std::int64_t zero : {1, 3}) {
    test::on_ranks(run_of(3, zero), data, [](test::RankOfRun& rank) { rank.trainer.run_step(0); });
    test::on_ranks(run_of(3, zero), data, [](test::RankOfRun&) {});
  }
}

TEST(BatchShares, CoverTheBatchInOrderAndDifferByAGrainAtMost) {
  for (const std::int64_t unit : {1, 4}) {
    for (std::int64_t sequences = unit; sequences <= 64; sequences += unit) {
      for (const int ranks : {1, 2, 3, 5, 7, 8, 12}) {
        std::int64_t next = 0;
        std::int64_t least = sequences, most = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          const BatchShare share = share_of(sequences, unit, rank, ranks);
          EXPECT_EQ(share.first, next);
          EXPECT_EQ(share.first % unit, 0);
          for (std::int64_t s = share.first; s < share.first + share.sequences; ++s)
            EXPECT_EQ(reader_of(s, sequences, unit, ranks), rank);
          next += share.sequences;
          least = std::min(least, share.sequences);
          most = std::max(most, share.sequences);
        }
        EXPECT_EQ(next, sequences);
        EXPECT_LE(most - least, unit);
        EXPECT_EQ(most_micro_batches(sequences, unit, ranks, 2 * unit), (most + 2 * unit - 1) / (2 * unit));
      }
    }
  }
}

TEST(BatchShares, ComeInMicroBatchesWithoutPlacesThatNoShareFills) {
  TrainConfig config = test::shared_run(12);
  const auto at_once = [&](std::int64_t micro, int data, int tensor = 1) {
    config.batch.micro = micro;
    return sequences_at_once(config, {.data = data, .tensor = tensor});
  };
  EXPECT_EQ(at_once(4, 1), 4);
  EXPECT_EQ(at_once(4, 3), 4);   // 4 each
  EXPECT_EQ(at_once(4, 5), 3);   // 2 or 3
  EXPECT_EQ(at_once(12, 8), 2);  // 1 or 2
  EXPECT_EQ(at_once(4, 2), 3);   // 6: two micro batches of 3 instead of 4
  EXPECT_EQ(at_once(3, 12), 1);
  config.parallel.sequence = true;  // 32 tokens for each tensor rank
  EXPECT_EQ(at_once(4, 5, 2), 4);
  EXPECT_EQ(at_once(4, 12, 2), 2);
  config.batch.ramp_start = 8;
  config.batch.ramp_increment = 4;
  config.batch.ramp_samples = 100;
  config.parallel.sequence = false;
  EXPECT_EQ(at_once(4, 2), 4);  // the first steps have shares of 4, which would come in two
}

TEST(DataParallel, SkipsABadStepOnAllRanksWithTheTextOfOne) {
  const float kNan = std::numeric_limits<float>::quiet_NaN();
  // Of one sample of the batch alone, so one rank meets it.
  test::Batch batch = test::random_batch(kSequences, test::kTokens, 59);
  batch.ids[20 * test::kTokens + 5] = 60;
  const test::RepeatedBatch data(batch);
  const auto poison = [&](test::RankOfRun& rank, std::int64_t step) {
    if (step != 2 && step != 3) return;
    const Parameter& p = rank.trainer.parameters().named("embedding.tokens");
    for (const ParameterPiece& piece : p.pieces) {
      if (piece.row > 60 || piece.row + piece.rows <= 60 || piece.column > 3 ||
          piece.column + piece.columns <= 3)
        continue;
      const float value = step == 2 ? kNan : 0.01f;
      piece.of(p.master).row<float>(60 - piece.row)[3 - piece.column] = value;
    }
    rank.trainer.refresh_working();
  };
  TrainConfig config = run_of(1, 0);
  const test::Trace alone = trace_of(config, data, 5, poison);
  EXPECT_TRUE(alone.steps[2].skipped);
  EXPECT_EQ(alone.steps[2].bad, "start embedding forward: not finite");
  EXPECT_FALSE(alone.steps[3].skipped);
  for (const std::int64_t ranks : {2, 3}) {
    for (const std::int64_t zero : {0, 1, 2, 3}) {
      config.parallel = {.data = ranks, .zero = zero};
      expect_same_trace(trace_of(config, data, 5, poison), alone, layout_text(config));
    }
  }
}

TEST(DataParallel, NamesTheEarliestBadPlaceOfAnyRank) {
  // The first sample goes wrong late, the last one early.
  test::Batch batch = test::random_batch(kSequences, test::kTokens, 59);
  batch.ids[5] = 59;
  batch.ids[(kSequences - 1) * test::kTokens + 5] = 60;
  const test::RepeatedBatch data(batch);
  const auto poison = [](test::RankOfRun& rank, std::int64_t) {
    const Parameter& p = rank.trainer.parameters().named("embedding.tokens");
    std::vector<float> row(32, 0.0f);
    row[0] = row[1] = 3e38f;
    Parameters::set_row(p, 59, 0, row);
    row[0] = std::numeric_limits<float>::infinity();
    Parameters::set_row(p, 60, 0, row);
    rank.trainer.refresh_working();
  };
  TrainConfig config = run_of(1, 0);
  const test::Trace alone = trace_of(config, data, 1, poison);
  EXPECT_EQ(alone.steps[0].bad, "start embedding forward: not finite");
  for (const std::int64_t ranks : {2, 4}) {
    config.parallel = {.data = ranks};
    expect_same_trace(trace_of(config, data, 1, poison), alone, layout_text(config));
  }
}

}  // namespace
}  // namespace megalith
