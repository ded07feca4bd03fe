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

LearningRateSchedule schedule(std::int64_t steps, std::int64_t warmup, LearningRateDecay decay,
                              double minimum_ratio) {
  TrainConfig config;
  config.optimizer.learning_rate = kPeak;
  config.schedule = {.steps = steps, .warmup = warmup, .decay = decay, .minimum_ratio = minimum_ratio};
  return LearningRateSchedule(config);
}

// Linear from peak / warmup at step 0 to the peak at step warmup - 1; from step warmup on the decay, which
// ends at step `steps` and stays there.
double expected_rate(const LearningRateSchedule& s, std::int64_t step) {
  if (step < s.warmup) return s.peak * static_cast<double>(step + 1) / static_cast<double>(s.warmup);
  const double lowest = s.peak * s.minimum_ratio;
  double progress = 1;
  if (step < s.steps) {
    progress = static_cast<double>(step - s.warmup) / static_cast<double>(s.steps - s.warmup);
  }
  switch (s.decay) {
    case LearningRateDecay::constant:
      return s.peak;
    case LearningRateDecay::linear:
      return s.peak + (lowest - s.peak) * progress;
    case LearningRateDecay::cosine:
      return lowest + (s.peak - lowest) * (1 + std::cos(std::numbers::pi * progress)) / 2;
  }
  return NAN;
}

TEST(LearningRate, IsTheFormulaOfEveryScheduleAtEveryStep) {
  for (const LearningRateDecay decay :
       {LearningRateDecay::cosine, LearningRateDecay::linear, LearningRateDecay::constant}) {
    for (const std::int64_t warmup : {0, 1, 7, 99}) {
      for (const double ratio : {0.0, 0.1, 1.0}) {
        const LearningRateSchedule s = schedule(100, warmup, decay, ratio);
        for (std::int64_t step = 0; step < 250; ++step) {
          EXPECT_NEAR(s.at(step), expected_rate(s, step), 4e-15 * kPeak)
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
  const LearningRateSchedule s = schedule(100, 100, LearningRateDecay::cosine, 0.1);
  for (std::int64_t step = 0; step < 100; ++step) EXPECT_NEAR(s.at(step), expected_rate(s, step), 1e-18);
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

TEST(LearningRate, IsAFunctionOfTheStepAlone) {
  const LearningRateSchedule s = schedule(300, 20, LearningRateDecay::cosine, 0.1);
  std::vector<std::uint64_t> forwards;
  for (std::int64_t step = 0; step < 400; ++step)
    forwards.push_back(std::bit_cast<std::uint64_t>(s.at(step)));
  const LearningRateSchedule other = schedule(300, 20, LearningRateDecay::cosine, 0.1);
  for (std::int64_t step = 399; step >= 0; --step) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(other.at(step)), forwards[static_cast<std::size_t>(step)]);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(s.at(step)), forwards[static_cast<std::size_t>(step)]);
  }
}

}  // namespace
}  // namespace megalith
