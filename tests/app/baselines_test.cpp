#include "app/baselines.h"

#include <gtest/gtest.h>

#include <cmath>

namespace megalith::app {
namespace {

// Bytes without any pattern, from the classic multiplicative generator.
std::string noise(std::size_t size, std::uint64_t seed) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    text += static_cast<char>(seed >> 56);
  }
  return text;
}

TEST(Unigram, IsTheEntropyOfTheSmoothedCounts) {
  // (3+1)/8, (1+1)/8 and twice (0+1)/8 over 4 + 4 tokens: 1, 2, 3 and 3 bits.
  const std::vector<std::uint64_t> counts = {3, 1, 0, 0};
  const std::vector<std::int32_t> ids = {0, 1, 2, 3};
  EXPECT_DOUBLE_EQ(unigram_bits_per_byte(counts, ids, 9), 9.0 / 9.0);
}

TEST(Unigram, OfUnseenTokensIsUniform) {
  const std::vector<std::uint64_t> counts(256, 0);
  const std::vector<std::int32_t> ids(100, 7);
  EXPECT_DOUBLE_EQ(unigram_bits_per_byte(counts, ids, 100), 8.0);
}

TEST(Compressors, CannotShrinkNoiseButShrinkRepetition) {
  const std::string random = noise(20'000, 1);
  const std::string same(20'000, 'a');
  EXPECT_GT(xz_size(random), random.size());
  EXPECT_GT(zstd_size(random), random.size());
  EXPECT_LT(xz_size(same), 200u);
  EXPECT_LT(zstd_size(same), 100u);
  EXPECT_GT(xz_size(""), 0u);
}

TEST(Baselines, ConditioningPaysForWhatTheTrainingTextHolds) {
  const std::string held_out = noise(30'000, 2);
  const std::vector<std::uint64_t> counts(256, 1);
  const std::vector<std::int32_t> ids(held_out.size(), 5);
  const auto alone = compute_baselines(noise(50'000, 3), held_out, counts, ids);
  const auto copied = compute_baselines(held_out + noise(20'000, 4), held_out, counts, ids);
  ASSERT_EQ(alone.size(), 4u);
  EXPECT_GT(alone[3].bits_per_byte, 7.9);
  EXPECT_LT(copied[3].bits_per_byte, 0.5);
  EXPECT_DOUBLE_EQ(alone[1].bits_per_byte, copied[1].bits_per_byte);
}

TEST(Baselines, OfNothingAreNone) {
  EXPECT_TRUE(compute_baselines("text", "", {}, {}).empty());
}

}  // namespace
}  // namespace megalith::app
