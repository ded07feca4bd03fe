#include "train/layout_census.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace megalith {
namespace {

const std::filesystem::path kSource = MEGALITH_SOURCE_DIR;

// configs/runs/tiny.toml with 4 layers: 8 heads of 8, tree 8, 8 sequences of 64 tokens a step, 4 at a time.
TrainConfig tiny(std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), "model.layers=4");
  const auto config =
      load_train_config(kSource / "configs" / "runs" / "tiny.toml", overrides, kSource / "configs");
  EXPECT_TRUE(config) << to_string(config.error());
  return *config;
}

// The equation, or all refusals.
std::string layout(const std::vector<std::string>& overrides, std::int64_t ranks) {
  const Expected<Layout> layout = layout_of(tiny(overrides), ranks);
  return layout ? equation(*layout) : to_string(layout.error());
}

std::vector<LayoutRule> rules_broken(const std::vector<std::string>& overrides, std::int64_t ranks) {
  TrainConfig config = tiny(overrides);
  Registry registry;
  declare_train_keys(registry, config);
  std::vector<LayoutRule> rules;
  for (const LayoutRefusal& broken : broken_layout_rules(config, ranks, registry))
    rules.push_back(broken.rule);
  return rules;
}

TEST(LayoutRules, DataRanksAreWhatTheOtherAxesLeave) {
  EXPECT_EQ(layout({}, 1), "1 rank = tensor 1 x pipeline 1 x data 1");
  EXPECT_EQ(layout({"parallel.tensor=2", "parallel.pipeline=2"}, 8),
            "8 ranks = tensor 2 x pipeline 2 x data 2");
  EXPECT_EQ(layout({"parallel.data=4", "parallel.pipeline=2"}, 8),
            "8 ranks = tensor 1 x pipeline 2 x data 4");
}

TEST(LayoutRules, AProductThatIsNotTheRanksNamesOneThatIs) {
  EXPECT_EQ(layout({"parallel.tensor=4", "parallel.pipeline=2", "parallel.data=2"}, 8),
            "parallel: found tensor 4 x pipeline 2 x data 2 = 16; allowed: 8 ranks = tensor x pipeline x "
            "data; try: "
            "tensor 4 x pipeline 2 x data 1, or 16 ranks");
  EXPECT_EQ(layout({"parallel.tensor=2"}, 1),
            "parallel: found tensor 2 x pipeline 1 = 2; allowed: a divisor of 1 rank, so that 1 = tensor x "
            "pipeline x "
            "data; try: tensor 1 x pipeline 1 x data 1, or 2 ranks");
}

TEST(LayoutRules, EveryBrokenRuleIsNamedAtOnce) {
  EXPECT_EQ(rules_broken({"parallel.tensor=3", "parallel.pipeline=5", "parallel.data=9", "parallel.chunks=2",
                          "parallel.recompute_layers=1"},
                         8),
            (std::vector{LayoutRule::product, LayoutRule::tree, LayoutRule::heads, LayoutRule::tokens,
                         LayoutRule::layers, LayoutRule::schedule, LayoutRule::batch,
                         LayoutRule::recompute_layers}));
}

TEST(LayoutRules, TensorRanksDivideTreeAndHeads) {
  EXPECT_EQ(layout({"parallel.tensor=16"}, 16),
            "parallel.tensor: found 16; allowed: a divisor of numerics.tree = 8; try: 8\n"
            "parallel.tensor: found 16; allowed: a divisor of model.heads = 8; try: 8");
  EXPECT_EQ(layout({"model.heads=4", "parallel.tensor=8"}, 8),
            "parallel.tensor: found 8; allowed: a divisor of model.heads = 4; try: 4");
  EXPECT_EQ(
      layout({"parallel.tensor=3"}, 3),
      "parallel.tensor: found 3; allowed: a divisor of numerics.tree = 8; try: 2 or 4\n"
      "parallel.tensor: found 3; allowed: a divisor of model.heads = 8; try: 2 or 4\n"
      "batch.micro: found 4; allowed: a micro batch whose tokens 3 tensor ranks cut evenly: a multiple of 3 "
      "sequences of 64 tokens; try: 6, or a smaller parallel.tensor");
}

TEST(LayoutRules, FewKeyValueHeadsAreSharedByWholeNumbersOfRanks) {
  EXPECT_EQ(rules_broken({"model.kv_heads=2", "parallel.tensor=8"}, 8), std::vector<LayoutRule>{});
  EXPECT_EQ(rules_broken({"model.kv_heads=1", "parallel.tensor=4"}, 4), std::vector<LayoutRule>{});
  EXPECT_EQ(layout({"model.hidden=96", "model.heads=24", "model.kv_heads=6", "parallel.tensor=4"}, 4),
            "parallel.tensor: found 4; allowed: a divisor or a multiple of model.kv_heads = 6; try: 2");
}

TEST(LayoutRules, TheTokensOfAMicroBatchAreCutEvenly) {
  EXPECT_EQ(rules_broken({"parallel.tensor=8", "parallel.sequence=true"}, 8), std::vector<LayoutRule>{});
  EXPECT_EQ(layout({"parallel.tensor=8", "parallel.sequence=true", "batch.micro=2"}, 8),
            "batch.micro: found 2; allowed: a micro batch whose tokens 8 tensor ranks cut evenly into blocks "
            "of 32: a "
            "multiple of 4 sequences of 64 tokens; try: 4, or parallel.sequence = false");
}

TEST(LayoutRules, EveryChunkHasALayer) {
  EXPECT_EQ(layout({"parallel.pipeline=5"}, 5),
            "parallel.pipeline: found 5; allowed: at most model.layers = 4 chunks in all, not pipeline 5 x "
            "chunks 1 = "
            "5; try: 4");
  EXPECT_EQ(layout({"parallel.pipeline=2", "parallel.chunks=3", "parallel.schedule=interleaved"}, 2),
            "parallel.chunks: found 3; allowed: at most model.layers = 4 chunks in all, not pipeline 2 x "
            "chunks 3 = "
            "6; try: 2");
}

TEST(LayoutRules, ListedLayersAreAllLayersOfAllChunks) {
  EXPECT_EQ(rules_broken({"parallel.pipeline=2", "parallel.stage_layers=3,1"}, 2), std::vector<LayoutRule>{});
  for (const char* wrong : {"3", "2,3", "4,0", "2,2,", "2;2", "-1,5", "99999999999999999999,1", ",", "2,1,1",
                            "9223372036854775807,9223372036854775807", "two, two"}) {
    EXPECT_EQ(
        layout({"parallel.pipeline=2", std::string("parallel.stage_layers=\"") + wrong + "\""}, 2),
        std::string("parallel.stage_layers: found \"") + wrong +
            "\"; allowed: a number of layers, 1 or more, for each of pipeline 2 x chunks 1 = 2 chunks, 4 in "
            "all; try: \"2, 2\"");
  }
  EXPECT_EQ(layers_of_chunks(tiny({"parallel.stage_layers=\" 3 , 1\""}).parallel, 4),
            (std::vector<std::int64_t>{3, 1}));
}

TEST(LayoutRules, LayersAreSplitAsEvenlyAsMayBe) {
  for (std::int64_t pipeline = 1; pipeline <= 9; ++pipeline) {
    for (std::int64_t layers = pipeline * 2; layers < 40; ++layers) {
      const auto split = layers_of_chunks({.pipeline = pipeline, .chunks = 2}, layers);
      if (pipeline * 2 > layers) continue;
      ASSERT_EQ(split.size(), static_cast<std::size_t>(pipeline * 2));
      EXPECT_EQ(std::accumulate(split.begin(), split.end(), std::int64_t{0}), layers);
      EXPECT_LE(split.front() - split.back(), 1);
      EXPECT_GE(split.back(), 1);
    }
  }
}

TEST(LayoutRules, ChunksGoWithTheInterleavedSchedule) {
  EXPECT_EQ(layout({"parallel.pipeline=2", "parallel.schedule=interleaved"}, 2),
            "parallel.chunks: found 1; allowed: 2 or more with the schedule interleaved; try: 2");
  EXPECT_EQ(layout({"parallel.pipeline=2", "parallel.chunks=2"}, 2),
            "parallel.chunks: found 2; allowed: 1 unless parallel.schedule = \"interleaved\"; try: 1, or "
            "parallel.schedule = \"interleaved\"");
  EXPECT_EQ(
      layout({"parallel.chunks=2", "parallel.schedule=interleaved"}, 1),
      "parallel.schedule: found \"interleaved\"; allowed: another one where parallel.pipeline = 1; try: "
      "\"1f1b\"");
}

TEST(LayoutRules, EveryDataRankReadsAUnitOfTheSmallestBatch) {
  EXPECT_EQ(layout({}, 8), "8 ranks = tensor 1 x pipeline 1 x data 8");
  EXPECT_EQ(layout({}, 12),
            "parallel.data: found 12; allowed: at most 8: every data rank reads a unit of whole grains (1 "
            "sequence) "
            "of batch.global = 8 sequences; try: 8, or batch.global = 12");
  EXPECT_EQ(layout({"batch.global=32", "batch.micro=1"}, 12), "12 ranks = tensor 1 x pipeline 1 x data 12");
  EXPECT_EQ(layout({"batch.ramp_start=4", "batch.ramp_increment=4", "batch.ramp_samples=40"}, 8),
            "parallel.data: found 8; allowed: at most 4: every data rank reads a unit of whole grains (1 "
            "sequence) of "
            "batch.ramp_start = 4 sequences; try: 4, or batch.ramp_start = 8");
  EXPECT_EQ(rules_broken({"numerics.grain=128"}, 8), std::vector{LayoutRule::batch});
}

TEST(LayoutRules, AbsurdValuesAreRefusedWithoutOverflow) {
  const std::string refused =
      layout({"parallel.tensor=1048576", "parallel.pipeline=1048576", "parallel.data=1048576",
              "parallel.chunks=1024", "parallel.schedule=interleaved"},
             std::int64_t{1} << 20);
  EXPECT_NE(refused.find("= 1152921504606846976"), std::string::npos) << refused;
  EXPECT_NE(refused.find("1048576 x chunks 1024 = 1073741824"), std::string::npos) << refused;
}

TEST(LayoutRules, AllLayoutsOfEightRanksAreCountedLegalOrRefused) {
  const LayoutCensus census = all_layouts(tiny(), 8);
  EXPECT_EQ(census.enumerated, 10);
  EXPECT_EQ(census.legal.size(), 9U);
  EXPECT_EQ(census.refused[static_cast<std::size_t>(LayoutRule::layers)], 1);  // pipeline 8 of 4 layers
  std::set<std::string> equations;
  for (const ParallelConfig& parallel : census.legal) {
    EXPECT_EQ(parallel.tensor * parallel.pipeline * parallel.data, 8);
    equations.insert(fmt::format("{}x{}x{}", parallel.tensor, parallel.pipeline, parallel.data));
  }
  EXPECT_EQ(equations.size(), 9U);
}

TEST(LayoutRules, VariantsDifferOnlyInWhatMakesADifferenceThere) {
  const LayoutCensus census = all_variants(tiny(), 2);
  // tensor 2: sequence parallel or not; pipeline 2: four schedules; data 2: four kinds of ZeRO. Each three
  // ways to recompute.
  EXPECT_EQ(census.enumerated, 3 * (2 + 4 + 4));
  EXPECT_EQ(census.legal.size(), 30U);
  for (std::size_t a = 0; a < census.legal.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) EXPECT_FALSE(census.legal[a] == census.legal[b]);
  }
}

TEST(LayoutRules, TheSelectionHasEveryValueOfEveryKeyInEveryLayout) {
  const LayoutCensus census = all_variants(tiny(), 8);
  const std::vector<ParallelConfig> chosen = covering_variants(census);
  EXPECT_LT(chosen.size(), 45U);
  const auto has = [](const std::vector<ParallelConfig>& among, const ParallelConfig& layout,
                      const auto& matches) {
    return std::any_of(among.begin(), among.end(), [&](const ParallelConfig& p) {
      return p.tensor == layout.tensor && p.pipeline == layout.pipeline && p.data == layout.data &&
             matches(p);
    });
  };
  for (const ParallelConfig& legal : census.legal) {
    EXPECT_TRUE(has(chosen, legal, [&](const auto& p) { return p.schedule == legal.schedule; }));
    EXPECT_TRUE(has(chosen, legal, [&](const auto& p) { return p.zero == legal.zero; }));
    EXPECT_TRUE(has(chosen, legal, [&](const auto& p) { return p.recompute == legal.recompute; }));
    EXPECT_TRUE(has(chosen, legal, [&](const auto& p) { return p.sequence == legal.sequence; }));
  }
  for (const ParallelConfig& one : chosen)
    EXPECT_TRUE(has(census.legal, one, [&](const auto& p) { return p == one; }));
}

TEST(LayoutRules, EveryEnumeratedVariantIsLegalOrCountedUnderOneRule) {
  for (const std::int64_t ranks : {1, 2, 3, 4, 6, 7, 8, 12, 16, 64, 5040}) {
    const LayoutCensus census = all_variants(tiny(), ranks);
    const std::int64_t refused =
        std::accumulate(census.refused.begin(), census.refused.end(), std::int64_t{0});
    EXPECT_EQ(census.enumerated, refused + std::ssize(census.legal)) << ranks;
    EXPECT_EQ(census.refused[static_cast<std::size_t>(LayoutRule::product)], 0);
    for (const ParallelConfig& parallel : census.legal) {
      TrainConfig config = tiny();
      config.parallel = parallel;
      EXPECT_TRUE(layout_of(config, ranks)) << ranks;
    }
  }
}

}  // namespace
}  // namespace megalith
