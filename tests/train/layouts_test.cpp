// Tensor, pipeline and data ranks together: the bits of one rank.

#include <limits>

#include "infer/generator.h"
#include "train/layout_rules.h"
#include "train/ranks_fixture.h"

namespace megalith {
namespace {

using test::expect_same_trace;
using test::layout_text;
using test::trace_of;

constexpr std::int64_t kSequences = 12;

TrainConfig base(bool tied, DType compute = DType::bf16) {
  TrainConfig config = test::shared_run(kSequences, compute);
  config.model.tied_output = tied;
  config.model.dropout = config.model.attention_dropout = 0.1;
  return config;
}

// Tensor, pipeline, data, ZeRO.
struct Degrees {
  int tensor, pipeline, data, zero;
  bool sequence = false;
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  Recompute recompute = Recompute::none;
};

void expect_bits_of_one_rank(TrainConfig config, const std::vector<Degrees>& all, std::int64_t steps = 4) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  const test::Trace alone = trace_of(config, data, steps);
  const LoadedConfig keys;
  for (const Degrees& d : all) {
    config.parallel = {.tensor = d.tensor,
                       .pipeline = d.pipeline,
                       .data = d.data,
                       .sequence = d.sequence,
                       .schedule = d.schedule,
                       .chunks = d.schedule == ScheduleKind::interleaved ? 2 : 1,
                       .zero = d.zero,
                       .recompute = d.recompute};
    config.batch.micro = d.sequence ? d.tensor : 1;  // whole blocks of 32 tokens per rank
    ASSERT_EQ(broken_layout_rules(config, d.tensor * d.pipeline * d.data, keys.registry).size(), 0u);
    SCOPED_TRACE(fmt::format("schedule {} recompute {} sequence {}", static_cast<int>(d.schedule),
                             static_cast<int>(d.recompute), d.sequence));
    expect_same_trace(trace_of(config, data, steps), alone, layout_text(config));
    if (::testing::Test::HasFailure()) return;
  }
}

const std::vector<Degrees> kLayouts = {
    {1, 2, 1, 0},
    {2, 1, 1, 0},
    {2, 1, 2, 1},
    {1, 2, 2, 2},
    {1, 2, 2, 3},
    {2, 2, 2, 0, true},
    {2, 2, 2, 1, true, ScheduleKind::zero_bubble},
    {2, 2, 2, 2, false, ScheduleKind::interleaved, Recompute::full},
    {2, 2, 2, 3, true, ScheduleKind::gpipe, Recompute::selective},
    {1, 2, 3, 2, false, ScheduleKind::zero_bubble},
    {1, 2, 3, 3, false, ScheduleKind::interleaved},
    {1, 4, 2, 3, false, ScheduleKind::zero_bubble, Recompute::full},
    {4, 1, 2, 3, true},
    {8, 1, 1, 0},
    {1, 4, 2, 1},
};

TEST(Layouts, HaveTheBitsOfOneRankWithATiedTable) {
  expect_bits_of_one_rank(base(true), kLayouts);
}

TEST(Layouts, HaveTheBitsOfOneRankWithAnOutputOfItsOwn) {
  expect_bits_of_one_rank(base(false), kLayouts);
}

TEST(Layouts, HaveTheBitsOfOneRankInSinglePrecision) {
  expect_bits_of_one_rank(base(true, DType::f32), kLayouts, 2);
}

TEST(Layouts, HaveTheBitsOfOneRankWithAsManyTensorRanksAsATreeHasLeaves) {
  for (const int tree : {2, 4, 16}) {
    TrainConfig config = base(true);
    config.numerics.tree = tree;
    config.model.heads = config.model.kv_heads = 16;
    config.model.head_size = 2;
    expect_bits_of_one_rank(config, {{tree, 1, 1, 0}, {tree / 2, 2, 1, 0}}, 2);
  }
}

TEST(Layouts, NameABadPlaceAlike) {
  test::Batch batch = test::random_batch(kSequences, test::kTokens, 59);
  batch.ids[7 * test::kTokens + 5] = 60;
  const test::RepeatedBatch data(batch);
  const auto poison = [](const char* name, std::int64_t row, float value) {
    return [=](test::RankOfRun& rank, std::int64_t step) {
      if (step != 1) return;
      for (const Parameter& p : rank.trainer.parameters().all()) {
        if (p.spec.name == name) Parameters::set_row(p, row, 3, {&value, 1});
      }
      rank.trainer.refresh_working();
    };
  };
  const auto infinity = std::numeric_limits<float>::infinity();
  for (const auto& [name, row] :
       std::vector<std::pair<const char*, std::int64_t>>{{"embedding.tokens", 60},
                                                         {"layers.1.feed_forward.up.weight", 5},
                                                         {"layers.3.attention.out.weight", 5},
                                                         {"head.norm.gain", 0}}) {
    TrainConfig config = base(true);
    const test::Trace alone = trace_of(config, data, 3, poison(name, row, infinity));
    ASSERT_TRUE(alone.steps[1].skipped);
    for (const Degrees& d : {Degrees{2, 2, 2, 1, true}, Degrees{1, 4, 2, 3}, Degrees{2, 1, 3, 2}}) {
      config.batch.micro = d.sequence ? d.tensor : 1;
      config.parallel = {
          .tensor = d.tensor, .pipeline = d.pipeline, .data = d.data, .sequence = d.sequence, .zero = d.zero};
      expect_same_trace(trace_of(config, data, 3, poison(name, row, infinity)), alone,
                        layout_text(config) + " " + name);
    }
  }
}

TEST(Layouts, ScoreAndGenerateWithTheBitsOfOneRank) {
  const test::RepeatedBatch data = test::ragged_data(kSequences);
  TrainConfig config = base(true);
  const std::vector<std::int32_t> ids{3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<float> scores, logits;
  for (const Degrees& d : {Degrees{1, 1, 1, 0}, Degrees{1, 1, 3, 3}, Degrees{2, 2, 2, 1}, Degrees{1, 4, 2, 3},
                           Degrees{4, 1, 1, 0, true}}) {
    config.batch.micro = d.sequence ? d.tensor : 1;
    config.parallel = {
        .tensor = d.tensor, .pipeline = d.pipeline, .data = d.data, .sequence = d.sequence, .zero = d.zero};
    test::on_ranks(config, data, [&](test::RankOfRun& rank) {
      rank.trainer.run_step(0);
      Generator generator(rank.device, rank.trainer.cached_model(), config.numerics, 1);
      const std::vector<float> scored = generator.score(ids);
      generator.prefill(ids, 1);
      const std::span<const float> next = generator.logits(0);
      if (rank.mesh.world().size() == 1) {
        scores = scored;
        logits.assign(next.begin(), next.end());
      }
      EXPECT_EQ(scored, scores) << layout_text(config);
      EXPECT_EQ(std::vector<float>(next.begin(), next.end()), logits) << layout_text(config);
    });
  }
}

}  // namespace
}  // namespace megalith
