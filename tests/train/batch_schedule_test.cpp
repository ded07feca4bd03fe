// The numbers of samples against a count step by step, with the batch size of Megatron's definition.
#include "train/batch_schedule.h"

#include <gtest/gtest.h>

#include <vector>

namespace megalith {
namespace {

// What a step has that begins after so many samples.
std::int64_t size_after(const BatchConfig& b, std::int64_t samples) {
  const std::int64_t rises = (b.global - b.ramp_start) / b.ramp_increment;
  const std::int64_t read = b.ramp_tokens > 0 ? samples * b.sequence : samples;
  const std::int64_t length = b.ramp_tokens > 0 ? b.ramp_tokens : b.ramp_samples;
  return read >= length ? b.global : b.ramp_start + b.ramp_increment * (read * rises / length);
}

void expect_counted(const BatchConfig& batch, std::int64_t steps) {
  const BatchSchedule schedule(batch);
  std::int64_t samples = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    ASSERT_EQ(schedule.first_sample(step), samples) << step;
    ASSERT_EQ(schedule.tokens_before(step), samples * batch.sequence) << step;
    ASSERT_EQ(schedule.sequences(step), size_after(batch, samples)) << step;
    ASSERT_EQ(schedule.steps_for_samples(samples), step);
    ASSERT_EQ(schedule.steps_for_samples(samples + 1), step + 1);
    ASSERT_EQ(schedule.steps_for_tokens(samples * batch.sequence + 1), step + 1);
    samples += schedule.sequences(step);
  }
}

TEST(BatchSchedule, GrowsFromStepToStepAsCountedOneByOne) {
  for (const std::int64_t samples : {1, 7, 100, 101, 5000, 5003}) {
    for (const std::int64_t increment : {1, 2, 14, 28}) {
      const BatchConfig by_samples{.global = 32,
                                   .sequence = 16,
                                   .ramp_start = 4,
                                   .ramp_increment = increment,
                                   .ramp_samples = samples};
      expect_counted(by_samples, 700);
      BatchConfig by_tokens = by_samples;
      by_tokens.ramp_samples = 0;
      by_tokens.ramp_tokens = samples * 16 - 5;
      expect_counted(by_tokens, 700);
    }
  }
}

TEST(BatchSchedule, WithoutARampHasOneSize) {
  const BatchSchedule schedule({.global = 6, .sequence = 10});
  EXPECT_FALSE(schedule.ramps());
  EXPECT_EQ(schedule.sequences(0), 6);
  EXPECT_EQ(schedule.sequences(std::int64_t{1} << 40), 6);
  EXPECT_EQ(schedule.first_sample(7), 42);
  EXPECT_EQ(schedule.tokens_before(7), 420);
  EXPECT_EQ(schedule.steps_for_samples(0), 0);
  EXPECT_EQ(schedule.steps_for_samples(6), 1);
  EXPECT_EQ(schedule.steps_for_samples(7), 2);
  EXPECT_EQ(schedule.steps_for_tokens(60), 1);
  EXPECT_EQ(schedule.steps_for_tokens(61), 2);
}

TEST(BatchSchedule, LeavesOutSizesThatAStepJumpsOver) {
  // Rises are due after 1, 2 and 3 samples, but the first step reads 4.
  const BatchSchedule schedule(
      {.global = 16, .sequence = 1, .ramp_start = 4, .ramp_increment = 4, .ramp_samples = 3});
  ASSERT_EQ(schedule.stages().size(), 2U);
  EXPECT_EQ(schedule.sequences(0), 4);
  EXPECT_EQ(schedule.sequences(1), 16);
  EXPECT_EQ(schedule.first_sample(2), 20);
}

// Published: from 32 by 32 to 1920 over the first 12B tokens of 2048 a sequence, which is Megatron's
// --rampup-batch-size 32 32 5859375; 270B tokens in all take about 80,000 steps.
TEST(BatchSchedule, OfMtNlgHasSixtySizes) {
  BatchConfig batch{.global = 1920,
                    .sequence = 2048,
                    .ramp_start = 32,
                    .ramp_increment = 32,
                    .ramp_tokens = 12'000'000'000};
  const BatchSchedule schedule(batch);
  ASSERT_EQ(schedule.stages().size(), 60U);
  EXPECT_EQ(schedule.stages()[1].first_step, 3104);  // 99,311 samples in steps of 32
  EXPECT_EQ(schedule.stages()[59].sequences, 1920);
  EXPECT_NEAR(static_cast<double>(schedule.stages()[59].first_step), 14470, 60);
  EXPECT_GE(schedule.stages()[59].first_sample, 5859375);
  EXPECT_LT(schedule.stages()[59].first_sample, 5859375 + 1920);
  EXPECT_NEAR(static_cast<double>(schedule.steps_for_tokens(270'000'000'000)), 80080, 60);
  batch.ramp_tokens = 0;
  batch.ramp_samples = 5859375;
  const BatchSchedule by_samples(batch);
  for (std::size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(by_samples.stages()[i].first_step, schedule.stages()[i].first_step) << i;
  }
}

}  // namespace
}  // namespace megalith
