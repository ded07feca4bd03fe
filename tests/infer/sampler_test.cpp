#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

namespace megalith {
namespace {

std::vector<float> random_logits(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(count);
  for (float& z : logits) z = normal(random);
  return logits;
}

// What the settings mean, in float64: the probability of every id.
std::vector<double> expected_probabilities(const std::vector<float>& logits,
                                           const SamplingSettings& settings) {
  std::vector<std::size_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  if (settings.top_k > 0 && order.size() > static_cast<std::size_t>(settings.top_k)) {
    order.resize(static_cast<std::size_t>(settings.top_k));
  }
  std::vector<double> weight;
  double total = 0;
  for (const std::size_t id : order) {
    weight.push_back(std::exp((static_cast<double>(logits[id]) - logits[order[0]]) / settings.temperature));
    total += weight.back();
  }
  std::size_t kept = 0;
  double sum = 0;
  while (kept < order.size() && (kept == 0 || sum < settings.top_p * total)) sum += weight[kept++];
  std::vector<double> probability(logits.size(), 0.0);
  for (std::size_t rank = 0; rank < kept; ++rank) probability[order[rank]] = weight[rank] / sum;
  return probability;
}

TEST(Sampler, DrawsEveryTokenAsOftenAsItsProbabilitySays) {
  constexpr int kDraws = 40000;
  for (const SamplingSettings settings :
       {SamplingSettings{.temperature = 1.0, .seed = 1}, SamplingSettings{.temperature = 0.5, .seed = 2},
        SamplingSettings{.temperature = 1.5, .top_k = 5, .seed = 3},
        SamplingSettings{.temperature = 1.0, .top_p = 0.6, .seed = 4},
        SamplingSettings{.temperature = 2.0, .top_k = 7, .top_p = 0.8}}) {
    const std::vector<float> logits = random_logits(19, 7);
    const std::vector<double> expected = expected_probabilities(logits, settings);
    Sampler sampler(settings, 19);
    std::vector<int> drawn(19, 0);
    for (int i = 0; i < kDraws; ++i) ++drawn[static_cast<std::size_t>(sampler.choose(logits, 3, i))];
    for (std::size_t id = 0; id < 19; ++id) {
      const double p = expected[id];
      // Five standard deviations of a binomial count; none at all where the probability is zero.
      EXPECT_NEAR(drawn[id], p * kDraws, 5 * std::sqrt(kDraws * p * (1 - p))) << id;
    }
  }
}

TEST(Sampler, ADrawDependsOnSeedStreamAndPositionAlone) {
  const std::vector<float> logits(1000, 0.0f);
  const auto draws = [&](std::uint64_t seed, std::uint32_t stream, bool backwards) {
    Sampler sampler({.seed = seed}, 1000);
    std::vector<std::int32_t> ids(50);
    for (int i = 0; i < 50; ++i) {
      const int position = backwards ? 49 - i : i;
      ids[static_cast<std::size_t>(position)] = sampler.choose(logits, stream, position);
    }
    return ids;
  };
  EXPECT_EQ(draws(5, 0, false), draws(5, 0, true));
  EXPECT_NE(draws(5, 0, false), draws(6, 0, false));
  EXPECT_NE(draws(5, 0, false), draws(5, 1, false));
  const std::vector<std::int32_t> ids = draws(5, 0, false);
  EXPECT_GT(std::set<std::int32_t>(ids.begin(), ids.end()).size(), 30u);
}

TEST(Sampler, GreedyTakesTheFirstOfEqualMaximaAndNeverNotANumber) {
  EXPECT_EQ(most_likely(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(most_likely(std::vector<float>{NAN, 1, NAN, 2}), 3);
  EXPECT_EQ(most_likely(std::vector<float>{-INFINITY, -INFINITY}), 0);
  Sampler greedy({.temperature = 0}, 4);
  EXPECT_EQ(greedy.choose(std::vector<float>{0, 7, 7, 1}, 0, 0), 1);
}

TEST(Sampler, ExtremeLogitsAndSettingsStillGiveALegalToken) {
  const float greatest = std::numeric_limits<float>::max();
  const std::vector<std::vector<float>> rows = {
      {0, 0, 0},     {-INFINITY, 1, -INFINITY}, {greatest, -greatest, 0},
      {NAN, 2, NAN}, {NAN, NAN, NAN},           {-INFINITY, -INFINITY, -INFINITY}};
  for (const SamplingSettings settings :
       {SamplingSettings{}, SamplingSettings{.temperature = 1e-30}, SamplingSettings{.temperature = 1e30},
        SamplingSettings{.top_p = 0.0}, SamplingSettings{.top_k = 1}, SamplingSettings{.top_k = 1 << 30}}) {
    Sampler sampler(settings, 3);
    for (const std::vector<float>& logits : rows) {
      for (int position = 0; position < 20; ++position) {
        const std::int32_t id = sampler.choose(logits, 0, position);
        ASSERT_TRUE(id >= 0 && id < 3);
        const bool all_the_same = logits[1] != logits[1] || logits[1] == -INFINITY;
        if (!all_the_same && logits[0] != 0) {
          EXPECT_TRUE(logits[static_cast<std::size_t>(id)] > -greatest);
        }
      }
    }
  }
  Sampler single({}, 1);
  EXPECT_EQ(single.choose(std::vector<float>{-5}, 0, 0), 0);
}

TEST(Sampler, TopPOfZeroAndTopKOfOneAreGreedy) {
  const std::vector<float> logits = random_logits(100, 3);
  Sampler no_mass({.top_p = 0.0}, 100);
  Sampler one({.top_k = 1}, 100);
  for (int position = 0; position < 50; ++position) {
    EXPECT_EQ(no_mass.choose(logits, 0, position), most_likely(logits));
    EXPECT_EQ(one.choose(logits, 0, position), most_likely(logits));
  }
}

}  // namespace
}  // namespace megalith
