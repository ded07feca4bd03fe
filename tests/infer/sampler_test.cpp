#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "core/philox.h"

namespace megalith {
namespace {

std::vector<float> random_logits(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(count);
  for (float& z : logits) z = normal(random);
  return logits;
}

// Keeps the candidates of `order` (and of `p`) that `kept` names, in their order, and makes `p` sum up to 1.
void keep(const std::set<std::size_t>& kept, std::vector<std::size_t>& order, std::vector<double>& p) {
  double total = 0;
  for (const std::size_t id : kept) total += p[id];
  for (std::size_t id = 0; id < p.size(); ++id) p[id] = kept.count(id) > 0 ? p[id] / total : 0;
  std::erase_if(order, [&](std::size_t id) { return kept.count(id) == 0; });
}

// The first candidates of `sequence` that together have the probability `mass`, one at the least.
std::set<std::size_t> smallest_with(double mass, const std::vector<std::size_t>& sequence,
                                    const std::vector<double>& p) {
  std::set<std::size_t> kept;
  double sum = 0;
  for (const std::size_t id : sequence) {
    if (!kept.empty() && sum >= mass) break;
    kept.insert(id);
    sum += p[id];
  }
  return kept;
}

// Steps 1 to 3 of sampler.h.
std::vector<double> expected_scores(const std::vector<float>& logits, const SamplingSettings& settings,
                                    const TokenHistory& history) {
  std::vector<double> scores(logits.begin(), logits.end());
  for (std::size_t id = 0; id < scores.size(); ++id) {
    const auto in_prompt = std::count(history.prompt.begin(), history.prompt.end(), static_cast<int>(id));
    const auto in_answer = std::count(history.answer.begin(), history.answer.end(), static_cast<int>(id));
    if (in_prompt + in_answer > 0) {
      scores[id] *= scores[id] > 0 ? 1 / settings.repetition_penalty : settings.repetition_penalty;
    }
    if (in_answer > 0) scores[id] -= settings.presence_penalty;
    scores[id] -= settings.frequency_penalty * static_cast<double>(in_answer);
  }
  for (const LogitBias& bias : settings.logit_bias) scores[static_cast<std::size_t>(bias.id)] += bias.value;
  return scores;
}

struct ExpectedDraw {
  std::vector<std::size_t> order;   // the candidates, from the most to the least likely
  std::vector<double> probability;  // of every id
};

// What the settings mean, in float64, written from the definitions.
ExpectedDraw expected_draw(const std::vector<float>& logits, const SamplingSettings& settings,
                           const TokenHistory& history = {}) {
  const std::vector<double> scores = expected_scores(logits, settings, history);
  std::vector<std::size_t> order;
  for (std::size_t id = 0; id < scores.size(); ++id) order.push_back(id);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  std::vector<double> p;
  p.reserve(scores.size());
  for (const double score : scores) p.push_back(std::exp((score - scores[order[0]]) / settings.temperature));

  std::set<std::size_t> kept(order.begin(), order.end());
  if (settings.top_k > 0 && order.size() > static_cast<std::size_t>(settings.top_k)) {
    kept = std::set<std::size_t>(order.begin(), order.begin() + settings.top_k);
  }
  keep(kept, order, p);
  if (settings.top_p < 1) keep(smallest_with(settings.top_p, order, p), order, p);
  kept.clear();
  for (const std::size_t id : order) {
    if (p[id] >= settings.min_p * p[order[0]]) kept.insert(id);
  }
  keep(kept, order, p);
  if (settings.typical < 1) {
    double entropy = 0;
    for (const std::size_t id : order) entropy -= p[id] > 0 ? p[id] * std::log(p[id]) : 0;
    std::vector<std::size_t> by_distance = order;
    const auto distance = [&](std::size_t id) { return std::abs(-std::log(p[id]) - entropy); };
    std::stable_sort(by_distance.begin(), by_distance.end(),
                     [&](auto a, auto b) { return distance(a) < distance(b); });
    keep(smallest_with(settings.typical, by_distance, p), order, p);
  }
  return {order, p};
}

TEST(Sampler, DrawsEveryTokenAsOftenAsItsProbabilitySays) {
  constexpr int kDraws = 40000;
  for (const SamplingSettings& settings :
       {SamplingSettings{.temperature = 1.0, .seed = 1}, SamplingSettings{.temperature = 0.5, .seed = 2},
        SamplingSettings{.temperature = 1.5, .top_k = 5, .seed = 3},
        SamplingSettings{.temperature = 1.0, .top_p = 0.6, .seed = 4},
        SamplingSettings{.temperature = 2.0, .top_k = 7, .top_p = 0.8},
        SamplingSettings{.temperature = 1.3, .min_p = 0.1}, SamplingSettings{.typical = 0.5, .seed = 6},
        SamplingSettings{.repetition_penalty = 1.5, .presence_penalty = 0.5, .frequency_penalty = 0.3},
        SamplingSettings{.logit_bias = {{.id = 2, .value = 3}, {.id = 4, .value = LogitBias::kBan}}}}) {
    const std::vector<float> logits = random_logits(19, 7);
    const std::vector<std::int32_t> prompt = {1, 7, 7, 3};
    const std::vector<std::int32_t> answer = {7, 2, 5, 5, 5};
    const TokenHistory history{.prompt = prompt, .answer = answer};
    const std::vector<double> expected = expected_draw(logits, settings, history).probability;
    Sampler sampler(settings, 19);
    std::vector<int> drawn(19, 0);
    for (int i = 0; i < kDraws; ++i) {
      ++drawn[static_cast<std::size_t>(sampler.choose(logits, 3, i, history))];
    }
    for (std::size_t id = 0; id < 19; ++id) {
      const double p = expected[id];
      // Five standard deviations of a binomial count; none at all where the probability is zero.
      EXPECT_NEAR(drawn[id], p * kDraws, 5 * std::sqrt(kDraws * p * (1 - p))) << id;
    }
  }
}

// Any combination of settings, with a vocabulary and a history that vary.
SamplingSettings random_settings(std::mt19937& random, int vocabulary) {
  std::uniform_real_distribution<double> unit(0, 1);
  const auto perhaps = [&](double set, double unset) { return random() % 2 == 0 ? set : unset; };
  SamplingSettings settings{.temperature = 0.3 + 1.5 * unit(random),
                            .top_k = random() % 2 == 0 ? static_cast<int>(random() % 20) : 0,
                            .top_p = perhaps(unit(random), 1),
                            .min_p = perhaps(0.2 * unit(random), 0),
                            .typical = perhaps(unit(random), 1),
                            .repetition_penalty = perhaps(0.5 + 2 * unit(random), 1),
                            .presence_penalty = perhaps(4 * unit(random) - 2, 0),
                            .frequency_penalty = perhaps(2 * unit(random) - 1, 0),
                            .seed = random()};
  for (int id = 0; id < vocabulary; ++id) {
    if (random() % 8 == 0) settings.logit_bias.push_back({.id = id, .value = 6 * unit(random) - 3});
    if (random() % 16 == 0) settings.logit_bias.push_back({.id = id, .value = LogitBias::kBan});
  }
  return settings;
}

TEST(Sampler, EveryDrawIsTheOneThatFloat64Gives) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 4000; ++trial) {
    const int vocabulary = 2 + static_cast<int>(random() % 40);
    const SamplingSettings settings = random_settings(random, vocabulary);
    const std::vector<float> logits = random_logits(static_cast<std::size_t>(vocabulary), random());
    const auto ids = [&] {
      std::vector<std::int32_t> list(random() % 30);
      for (std::int32_t& id : list)
        id = static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary));
      return list;
    };
    const std::vector<std::int32_t> prompt = ids();
    const std::vector<std::int32_t> answer = ids();
    if (std::count_if(settings.logit_bias.begin(), settings.logit_bias.end(),
                      [](const LogitBias& b) { return b.value == LogitBias::kBan; }) == vocabulary) {
      continue;  // nothing is left to draw
    }
    const ExpectedDraw expected = expected_draw(logits, settings, {.prompt = prompt, .answer = answer});
    Sampler sampler(settings, vocabulary);
    for (int position = 0; position < 5; ++position) {
      const auto id =
          static_cast<std::size_t>(sampler.choose(logits, 2, position, {.prompt = prompt, .answer = answer}));
      const PhiloxCounter draw = philox(
          {static_cast<std::uint32_t>(position), 0, static_cast<std::uint32_t>(RandomUse::sampling), 2},
          philox_key(settings.seed));
      const double u = to_unit_double(draw[0], draw[1]);
      double below = 0;
      for (const std::size_t candidate : expected.order) {
        if (candidate == id) break;
        below += expected.probability[candidate];
      }
      ASSERT_GT(expected.probability[id], 0) << trial;
      // The weights are exponentials in fp32: a few units of 2^-24.
      ASSERT_GE(u, below - 1e-6) << trial;
      ASSERT_LE(u, below + expected.probability[id] + 1e-6) << trial;
    }
  }
}

TEST(Sampler, TypicalSamplingLeavesOutThePredictableAndTheSurprising) {
  // Probabilities 0.5, 0.25, 0.125 and 0.125: surprises of 1, 2, 3 and 3 bits, entropy 1.75 bits. Nearest to
  // it are the token of 2 bits, then the one of 1 bit: more than half only with both.
  const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)};
  const auto drawn = [&](double mass) {
    Sampler sampler({.typical = mass}, 4);
    std::set<std::int32_t> ids;
    for (int position = 0; position < 500; ++position) ids.insert(sampler.choose(logits, 0, position));
    return ids;
  };
  EXPECT_EQ(drawn(0.0), (std::set<std::int32_t>{1}));
  EXPECT_EQ(drawn(0.2), (std::set<std::int32_t>{1}));
  EXPECT_EQ(drawn(0.5), (std::set<std::int32_t>{0, 1}));
  EXPECT_EQ(drawn(0.8), (std::set<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(drawn(1.0), (std::set<std::int32_t>{0, 1, 2, 3}));
}

TEST(Sampler, PenaltiesAndBiasDecideGreedyChoicesToo) {
  const std::vector<float> logits = {4.0f, 3.0f, -1.0f, -1.5f};
  const std::vector<std::int32_t> first = {0};
  const std::vector<std::int32_t> twice = {0, 0};
  const auto greedy = [&](SamplingSettings settings, const TokenHistory& history) {
    settings.temperature = 0;
    return Sampler(settings, 4).choose(logits, 0, 0, history);
  };
  EXPECT_EQ(greedy({.repetition_penalty = 1.3}, {.prompt = first, .answer = {}}), 0);  // 4 / 1.3 > 3
  EXPECT_EQ(greedy({.repetition_penalty = 1.4}, {.prompt = first, .answer = {}}), 1);  // 4 / 1.4 < 3
  EXPECT_EQ(greedy({.repetition_penalty = 1.3}, {.prompt = twice, .answer = twice}),
            0);                                                                      // once, not four times
  EXPECT_EQ(greedy({.presence_penalty = 1.5}, {.prompt = first, .answer = {}}), 0);  // the answer counts
  EXPECT_EQ(greedy({.presence_penalty = 0.9}, {.prompt = {}, .answer = twice}), 0);
  EXPECT_EQ(greedy({.presence_penalty = 1.1}, {.prompt = {}, .answer = first}), 1);
  EXPECT_EQ(greedy({.frequency_penalty = 0.6}, {.prompt = {}, .answer = first}), 0);
  EXPECT_EQ(greedy({.frequency_penalty = 0.6}, {.prompt = {}, .answer = twice}), 1);
  EXPECT_EQ(greedy({.logit_bias = {{.id = 3, .value = 6}}}, {}), 3);
  EXPECT_EQ(
      greedy({.logit_bias = {{.id = 0, .value = LogitBias::kBan}, {.id = 1, .value = LogitBias::kBan}}}, {}),
      2);
  // Below zero a penalty multiplies: -1 becomes -2 and is no longer the third.
  EXPECT_EQ(greedy({.repetition_penalty = 2.0,
                    .logit_bias = {{.id = 0, .value = LogitBias::kBan}, {.id = 1, .value = LogitBias::kBan}}},
                   {.prompt = std::vector<std::int32_t>{2}, .answer = {}}),
            3);
}

TEST(Sampler, AChoiceLeavesNoTraceInTheSampler) {
  const std::vector<float> logits = random_logits(50, 5);
  const SamplingSettings settings{
      .typical = 0.9, .repetition_penalty = 1.7, .presence_penalty = 0.4, .frequency_penalty = 0.2};
  const std::vector<std::int32_t> ids = {4, 9, 9, 31, 4};
  const TokenHistory history{.prompt = ids, .answer = ids};
  Sampler used(settings, 50);
  for (int position = 0; position < 50; ++position) {
    EXPECT_EQ(used.choose(logits, 0, position), Sampler(settings, 50).choose(logits, 0, position));
    EXPECT_EQ(used.choose(logits, 0, position, history),
              Sampler(settings, 50).choose(logits, 0, position, history));
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

TEST(Sampler, TheMostLikelyIdsComeInOrderAndNotANumberLast) {
  const std::vector<float> logits = {1, NAN, 3, -INFINITY, 3, 2};
  EXPECT_EQ(most_likely(logits, 3), (std::vector<std::int32_t>{2, 4, 5}));
  EXPECT_EQ(most_likely(logits, 100), (std::vector<std::int32_t>{2, 4, 5, 0, 3, 1}));
  EXPECT_TRUE(most_likely(logits, 0).empty());
}

TEST(Sampler, ExtremeLogitsAndSettingsStillGiveALegalToken) {
  const float greatest = std::numeric_limits<float>::max();
  const std::vector<std::int32_t> seen = {1, 2};
  const std::vector<std::vector<float>> rows = {
      {0, 0, 0},     {-INFINITY, 1, -INFINITY}, {greatest, -greatest, 0},
      {NAN, 2, NAN}, {NAN, NAN, NAN},           {-INFINITY, -INFINITY, -INFINITY}};
  for (const SamplingSettings& settings :
       {SamplingSettings{}, SamplingSettings{.temperature = 1e-30}, SamplingSettings{.temperature = 1e30},
        SamplingSettings{.top_p = 0.0}, SamplingSettings{.top_k = 1}, SamplingSettings{.top_k = 1 << 30},
        SamplingSettings{.min_p = 1.0}, SamplingSettings{.typical = 0.0}, SamplingSettings{.typical = 0.9},
        SamplingSettings{.repetition_penalty = 1e3}}) {
    Sampler sampler(settings, 3);
    for (const std::vector<float>& logits : rows) {
      for (int position = 0; position < 20; ++position) {
        const std::int32_t id = sampler.choose(logits, 0, position, {.prompt = seen, .answer = seen});
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

TEST(Sampler, TopPOfZeroTopKOfOneAndMinPOfOneAreGreedy) {
  const std::vector<float> logits = random_logits(100, 3);
  Sampler no_mass({.top_p = 0.0}, 100);
  Sampler one({.top_k = 1}, 100);
  Sampler equals({.min_p = 1.0}, 100);
  for (int position = 0; position < 50; ++position) {
    EXPECT_EQ(no_mass.choose(logits, 0, position), most_likely(logits));
    EXPECT_EQ(one.choose(logits, 0, position), most_likely(logits));
    EXPECT_EQ(equals.choose(logits, 0, position), most_likely(logits));
  }
}

}  // namespace
}  // namespace megalith
