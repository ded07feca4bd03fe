// Blends: every prefix has its shares, every source sees each of its samples in turn, and nothing depends on
// where one starts.

#include "data/blend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace megalith {
namespace {

const std::vector<std::vector<std::uint64_t>> kWeights = {
    {1}, {1, 1}, {7, 3}, {1, 1000000}, {5, 3, 2}, {1, 2, 3, 4, 5, 6, 7}, {std::uint64_t{1} << 60, 1, 1}};

TEST(BlendOrder, CountsEverySourceUpwardsWithoutAHole) {
  for (const auto& weights : kWeights) {
    const BlendOrder order(weights);
    std::vector<std::int64_t> next(weights.size(), 0);
    for (std::int64_t sample = 0; sample < 5000; ++sample) {
      for (std::size_t s = 0; s < weights.size(); ++s) ASSERT_EQ(order.count(s, sample), next[s]);
      const BlendOrder::Place place = order.place(sample);
      ASSERT_LT(place.source, weights.size());
      ASSERT_EQ(place.index, next[place.source]++);
    }
  }
}

TEST(BlendOrder, GivesEveryPrefixItsSharesToWithinASamplePerLevel) {
  for (const auto& weights : kWeights) {
    const BlendOrder order(weights);
    double sum = 0;
    for (const std::uint64_t weight : weights) sum += static_cast<double>(weight);
    for (const std::int64_t samples : {1LL, 2LL, 10LL, 999LL, 1000000007LL, 1LL << 50}) {
      std::int64_t all = 0;
      for (std::size_t s = 0; s < weights.size(); ++s) {
        const std::int64_t count = order.count(s, samples);
        all += count;
        const double share = static_cast<double>(samples) * static_cast<double>(weights[s]) / sum;
        EXPECT_NEAR(static_cast<double>(count), share, 3.001 + 1e-9 * share);
      }
      EXPECT_EQ(all, samples);
    }
  }
}

TEST(Blend, ReadsItsSourcesAndNamesThem) {
  constexpr std::int64_t kSequence = 16;
  const auto source = [&](std::uint64_t seed) { return make_synthetic_dataset(50, kSequence, seed, false); };
  std::vector<BlendSource> sources;
  sources.push_back({.name = "a", .dataset = source(1), .weight = 3});
  sources.push_back({.name = "b", .dataset = source(2), .weight = 1});
  const std::unique_ptr<Dataset> blend = make_blend(std::move(sources));
  const std::unique_ptr<Dataset> alone[] = {source(1), source(2)};
  const BlendOrder order({3, 1});
  std::int32_t ids[2][kSequence], targets[kSequence], starts[kSequence];
  std::uint8_t mask[kSequence];
  for (std::int64_t sample = 0; sample < 40; ++sample) {
    blend->fill(sample, ids[0], targets, mask, starts);
    const BlendOrder::Place place = order.place(sample);
    alone[place.source]->fill(place.index, ids[1], targets, mask, starts);
    ASSERT_TRUE(std::equal(ids[0], ids[0] + kSequence, ids[1])) << sample;
    EXPECT_EQ(blend->describe_sample(sample).substr(0, 1), place.source == 0 ? "a" : "b");
  }
  ASSERT_EQ(blend->source_names().size(), 2u);
  EXPECT_EQ(blend->samples_of_source(0, 40), 30);
  EXPECT_EQ(blend->samples_of_source(1, 40), 10);
  EXPECT_EQ(blend->samples_per_epoch(), alone[0]->samples_per_epoch() + alone[1]->samples_per_epoch());
}

}  // namespace
}  // namespace megalith
