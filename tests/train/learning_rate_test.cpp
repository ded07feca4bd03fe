#include "train/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace megalith {
namespace {

LearningRateSchedule schedule(LearningRateDecay decay, std::int64_t warmup, std::int64_t steps) {
  TrainConfig config;
  config.optimizer.learning_rate = 2e-3;
  config.schedule.steps = steps;
  config.schedule.warmup = warmup;
  config.schedule.decay = decay;
  config.schedule.minimum_ratio = 0.1;
  return LearningRateSchedule(config);
}

// The same in libm's arithmetic.
double expected(LearningRateDecay decay, double warmup, double steps, double step) {
  if (step < warmup) return 2e-3 * (step + 1) / warmup;
  const double progress = std::min(1.0, (step - warmup) / (steps - warmup));
  switch (decay) {
    case LearningRateDecay::constant:
      return 2e-3;
    case LearningRateDecay::linear:
      return 2e-3 * (1 - 0.9 * progress);
    case LearningRateDecay::cosine:
      return 2e-3 * (0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI * progress)));
  }
  return 0;
}

TEST(LearningRate, FollowsItsFormula) {
  for (const auto decay :
       {LearningRateDecay::constant, LearningRateDecay::linear, LearningRateDecay::cosine}) {
    for (const std::int64_t warmup : {0, 1, 10, 99}) {
      const LearningRateSchedule rate = schedule(decay, warmup, 100);
      for (std::int64_t step = 0; step < 130; ++step) {
        EXPECT_NEAR(rate.at(step),
                    expected(decay, static_cast<double>(warmup), 100, static_cast<double>(step)), 1e-17)
            << step;
      }
    }
  }
}

TEST(LearningRate, RisesToThePeakAndEndsAtItsMinimumForGood) {
  const LearningRateSchedule rate = schedule(LearningRateDecay::cosine, 10, 100);
  EXPECT_EQ(rate.at(0), 2e-4);
  EXPECT_EQ(rate.at(9), 2e-3);
  EXPECT_EQ(rate.at(10), 2e-3);
  EXPECT_EQ(rate.at(100), rate.at(1'000'000));
  EXPECT_DOUBLE_EQ(rate.at(100), 2e-4);
}

TEST(LearningRate, AWarmUpAsLongAsTheRunDividesByNothing) {
  const LearningRateSchedule rate = schedule(LearningRateDecay::linear, 100, 100);
  EXPECT_EQ(rate.at(99), 2e-3);
  EXPECT_TRUE(std::isfinite(rate.at(100)));
}

}  // namespace
}  // namespace megalith
