// The schedule against the formula, written here once more in float64 with the standard library.
#include "train/learning_rate.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

namespace megalith {
namespace {

constexpr double kPeak = 6e-4;
constexpr std::int64_t kBatchTokens = 48;  // no power of two, so that divisions round

LearningRateSchedule schedule(const ScheduleConfig& keys, std::int64_t global = 3) {
  TrainConfig config;
  config.optimizer.learning_rate = kPeak;
  config.batch = {.global = global, .sequence = 16};
  config.schedule = keys;
  return LearningRateSchedule(config);
}

LearningRateSchedule schedule(std::int64_t steps, std::int64_t warmup, LearningRateDecay decay,
                              double minimum_ratio) {
  return schedule({.steps = steps, .warmup_steps = warmup, .decay = decay, .minimum_ratio = minimum_ratio});
}

// Linear from peak / warmup at step 0 to the peak at step warmup - 1; from step warmup on the decay, which
// ends at step `steps` and stays there.
double expected_rate(const ScheduleConfig& s, std::int64_t step) {
  if (step < s.warmup_steps)
    return kPeak * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  const double lowest = kPeak * s.minimum_ratio;
  double progress = 1;
  if (step < s.steps) {
    progress = static_cast<double>(step - s.warmup_steps) / static_cast<double>(s.steps - s.warmup_steps);
  }
  switch (s.decay) {
    case LearningRateDecay::constant:
      return kPeak;
    case LearningRateDecay::linear:
      return kPeak + (lowest - kPeak) * progress;
    case LearningRateDecay::cosine:
      return lowest + (kPeak - lowest) * (1 + std::cos(std::numbers::pi * progress)) / 2;
    case LearningRateDecay::wsd:
    case LearningRateDecay::inverse_sqrt:
      break;  // have tests of their own
  }
  return NAN;
}

TEST(LearningRate, IsTheFormulaOfEveryScheduleAtEveryStep) {
  for (const LearningRateDecay decay :
       {LearningRateDecay::cosine, LearningRateDecay::linear, LearningRateDecay::constant}) {
    for (const std::int64_t warmup : {0, 1, 7, 99}) {
      for (const double ratio : {0.0, 0.1, 1.0}) {
        const ScheduleConfig keys{
            .steps = 100, .warmup_steps = warmup, .decay = decay, .minimum_ratio = ratio};
        const LearningRateSchedule s = schedule(keys);
        for (std::int64_t step = 0; step < 250; ++step) {
          EXPECT_NEAR(s.at(step), expected_rate(keys, step), 4e-15 * kPeak)
              << "decay " << static_cast<int>(decay) << ", warm-up " << warmup << ", ratio " << ratio
              << ", step " << step;
        }
      }
    }
  }
}

TEST(LearningRate, WarmsUpInEqualStepsFromPeakByWarmupToThePeak) {
  const LearningRateSchedule s = schedule(1000, 10, LearningRateDecay::cosine, 0.1);
  EXPECT_EQ(s.at(0), kPeak * 0.1);
  for (std::int64_t step = 1; step < 10; ++step) {
    EXPECT_NEAR(s.at(step) - s.at(step - 1), kPeak / 10, 1e-18);
  }
  EXPECT_EQ(s.at(9), kPeak);
  EXPECT_EQ(s.at(10), kPeak);
  EXPECT_LT(s.at(11), kPeak);
}

TEST(LearningRate, ReachesThePeakInTheLastStepWhenTheWholeRunIsWarmup) {
  const ScheduleConfig keys{.steps = 100, .warmup_steps = 100};
  const LearningRateSchedule s = schedule(keys);
  for (std::int64_t step = 0; step < 100; ++step) EXPECT_NEAR(s.at(step), expected_rate(keys, step), 1e-18);
  EXPECT_EQ(s.at(99), kPeak);
}

TEST(LearningRate, StartsAtThePeakWithoutWarmup) {
  for (const LearningRateDecay decay :
       {LearningRateDecay::cosine, LearningRateDecay::linear, LearningRateDecay::constant}) {
    EXPECT_EQ(schedule(100, 0, decay, 0.1).at(0), kPeak);
  }
}

TEST(LearningRate, EndsAtTheMinimumAndStaysThereBeyondTheHorizon) {
  for (const LearningRateDecay decay : {LearningRateDecay::cosine, LearningRateDecay::linear}) {
    const LearningRateSchedule s = schedule(100, 10, decay, 0.25);
    EXPECT_GT(s.at(99), kPeak * 0.25);
    for (const std::int64_t step : {std::int64_t{100}, std::int64_t{101}, std::int64_t{1} << 40}) {
      EXPECT_EQ(s.at(step), kPeak * 0.25) << step;
    }
  }
}

TEST(LearningRate, FallsAtEveryStepOfTheDecay) {
  for (const LearningRateDecay decay : {LearningRateDecay::cosine, LearningRateDecay::linear}) {
    const LearningRateSchedule s = schedule(5000, 10, decay, 0.1);
    for (std::int64_t step = 11; step <= 5000; ++step) ASSERT_LT(s.at(step), s.at(step - 1)) << step;
  }
}

TEST(LearningRate, StaysAtThePeakWhenConstant) {
  const LearningRateSchedule s = schedule(100, 5, LearningRateDecay::constant, 0.1);
  for (const std::int64_t step : {5, 50, 99, 100, 100000}) EXPECT_EQ(s.at(step), kPeak);
}

// A run of 100 steps may follow the first half of a schedule of 200: the bits are those of the longer run.
TEST(LearningRate, IsThatOfALongerRunWhenTheHorizonLiesBeyondTheEnd) {
  for (const LearningRateDecay decay : {LearningRateDecay::cosine, LearningRateDecay::linear}) {
    const LearningRateSchedule cut =
        schedule({.steps = 100, .warmup_steps = 9, .decay = decay, .horizon_steps = 200});
    const LearningRateSchedule whole = schedule({.steps = 200, .warmup_steps = 9, .decay = decay});
    for (std::int64_t step = 0; step < 250; ++step) ASSERT_EQ(cut.at(step), whole.at(step)) << step;
    EXPECT_GT(cut.at(99), 0.5 * kPeak);
  }
}

TEST(LearningRate, StaysAtTheMinimumWhenTheHorizonLiesBeforeTheEnd) {
  const LearningRateSchedule s = schedule({.steps = 100, .warmup_steps = 9, .horizon_steps = 50});
  EXPECT_GT(s.at(49), kPeak * 0.1);
  for (std::int64_t step = 50; step < 100; ++step) EXPECT_EQ(s.at(step), kPeak * 0.1);
}

// Amounts in tokens that are whole steps are the same fractions, and a division rounds fractions, not pairs.
TEST(LearningRate, HasTheSameBitsInTokensAsInSteps) {
  for (const LearningRateDecay decay : {LearningRateDecay::cosine, LearningRateDecay::linear,
                                        LearningRateDecay::wsd, LearningRateDecay::inverse_sqrt}) {
    const bool wsd = decay == LearningRateDecay::wsd;
    const bool endless = decay == LearningRateDecay::inverse_sqrt;
    ScheduleConfig by_steps{.steps = 100, .warmup_steps = 7, .decay = decay};
    ScheduleConfig by_tokens{.steps = 100, .warmup_tokens = 7 * kBatchTokens, .decay = decay};
    if (!endless) by_steps.horizon_steps = 130;
    if (!endless) by_tokens.horizon_tokens = 130 * kBatchTokens;
    if (wsd) by_steps.cooldown_steps = 61;
    if (wsd) by_tokens.cooldown_tokens = 61 * kBatchTokens;
    const LearningRateSchedule steps = schedule(by_steps), tokens = schedule(by_tokens);
    EXPECT_FALSE(steps.decay_counts_tokens());
    EXPECT_TRUE(tokens.decay_counts_tokens());
    for (std::int64_t step = 0; step < 200; ++step) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(tokens.at(step)), std::bit_cast<std::uint64_t>(steps.at(step)))
          << "decay " << static_cast<int>(decay) << ", step " << step;
    }
  }
}

TEST(LearningRate, CountsAWarmupInTokensAgainstADecayInStepsAndTheOtherWayRound) {
  // 100 tokens are reached in the third step of 48; the decay begins with the fourth.
  const LearningRateSchedule s = schedule({.steps = 13, .warmup_tokens = 100, .minimum_ratio = 0});
  EXPECT_EQ(s.at(0), kPeak * (48.0 / 100.0));
  EXPECT_EQ(s.at(1), kPeak * (96.0 / 100.0));
  EXPECT_EQ(s.at(2), kPeak);
  EXPECT_EQ(s.at(3), kPeak);
  EXPECT_EQ(s.decay_begin(), 3);
  EXPECT_NEAR(s.at(8), kPeak / 2, 1e-18);
  const LearningRateSchedule other =
      schedule({.steps = 13, .warmup_steps = 3, .horizon_tokens = 13 * kBatchTokens, .minimum_ratio = 0});
  EXPECT_EQ(other.decay_begin(), 3 * kBatchTokens);
  for (std::int64_t step = 3; step < 13; ++step) EXPECT_EQ(other.at(step), s.at(step));
}

// Published: peak 5e-5, warm-up over 1B tokens, cosine to a tenth at 340B tokens, stopped at 270B.
TEST(LearningRate, OfMtNlgIsCutAtFourFifthsOfItsCosine) {
  TrainConfig config;
  config.optimizer.learning_rate = 5e-5;
  config.batch = {.global = 1920, .sequence = 2048};
  config.schedule = {.steps = 68665,  // 270B tokens of 3,932,160 a step
                     .warmup_tokens = 1'000'000'000,
                     .horizon_tokens = 340'000'000'000};
  const LearningRateSchedule s(config);
  EXPECT_EQ(s.at(0), 5e-5 * (3932160.0 / 1e9));
  EXPECT_LT(s.at(253), 5e-5);  // 254 steps are 998.8M tokens
  EXPECT_EQ(s.at(254), 5e-5);
  const double done = (68664.0 * 3932160.0 - 1e9) / 339e9;
  const double expected = 5e-6 + 4.5e-5 * (1 + std::cos(std::numbers::pi * done)) / 2;
  EXPECT_NEAR(s.at(68664), expected, 1e-18);
  EXPECT_NEAR(s.at(68664), 9.6e-6, 1e-7);
}

TEST(LearningRate, OfWsdIsStableAndThenFallsInItsShape) {
  const auto rate = [](CooldownShape shape) {
    return schedule({.steps = 100,
                     .warmup_steps = 10,
                     .decay = LearningRateDecay::wsd,
                     .cooldown_steps = 16,
                     .cooldown_shape = shape,
                     .minimum_ratio = 0.25});
  };
  for (const CooldownShape shape :
       {CooldownShape::linear, CooldownShape::cosine, CooldownShape::square_root}) {
    const LearningRateSchedule s = rate(shape);
    for (std::int64_t step = 9; step <= 84; ++step) EXPECT_EQ(s.at(step), kPeak) << step;
    for (std::int64_t step = 85; step <= 100; ++step) EXPECT_LT(s.at(step), s.at(step - 1)) << step;
    EXPECT_EQ(s.at(100), kPeak / 4);
  }
  // A quarter of the way: 3/4, (1 + cos 45 degrees) / 2, and 1 - 1/2.
  EXPECT_NEAR(rate(CooldownShape::linear).at(88), kPeak * (0.25 + 0.75 * 0.75), 1e-18);
  EXPECT_NEAR(rate(CooldownShape::cosine).at(88), kPeak * (0.25 + 0.75 * (1 + std::sqrt(0.5)) / 2), 1e-18);
  EXPECT_EQ(rate(CooldownShape::square_root).at(88), kPeak * (0.25 + 0.75 * 0.5));
}

TEST(LearningRate, OfTheInverseSquareRootHalvesWithEveryFourfoldTime) {
  const LearningRateSchedule s = schedule(
      {.steps = 10000, .warmup_steps = 10, .decay = LearningRateDecay::inverse_sqrt, .minimum_ratio = 0.05});
  EXPECT_EQ(s.at(4), kPeak / 2);
  EXPECT_EQ(s.at(9), kPeak);
  EXPECT_EQ(s.at(10), kPeak);
  EXPECT_EQ(s.at(40), kPeak / 2);
  EXPECT_EQ(s.at(160), kPeak / 4);
  EXPECT_EQ(s.at(9999), kPeak * 0.05);  // 1/31.6 would be less
}

TEST(LearningRate, IsAFunctionOfTheStepAlone) {
  for (const bool tokens : {false, true}) {
    ScheduleConfig keys{.steps = 300, .warmup_steps = 20};
    if (tokens) keys = {.steps = 300, .warmup_tokens = 1000, .horizon_tokens = 14000};
    const LearningRateSchedule s = schedule(keys);
    std::vector<std::uint64_t> forwards;
    for (std::int64_t step = 0; step < 400; ++step)
      forwards.push_back(std::bit_cast<std::uint64_t>(s.at(step)));
    const LearningRateSchedule other = schedule(keys);
    for (std::int64_t step = 399; step >= 0; --step) {
      EXPECT_EQ(std::bit_cast<std::uint64_t>(other.at(step)), forwards[static_cast<std::size_t>(step)]);
      EXPECT_EQ(std::bit_cast<std::uint64_t>(s.at(step)), forwards[static_cast<std::size_t>(step)]);
    }
  }
}

}  // namespace
}  // namespace megalith
