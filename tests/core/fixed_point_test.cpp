#include "core/fixed_point.h"

#include <gtest/gtest.h>

#include "core/numerics_profile.h"

namespace megalith {
namespace {

TEST(FixedPoint, RoundsToTheNearestEvenInteger) {
  EXPECT_EQ(to_fixed_point(0.5f, 0), 0);
  EXPECT_EQ(to_fixed_point(1.5f, 0), 2);
  EXPECT_EQ(to_fixed_point(2.5f, 0), 2);
  EXPECT_EQ(to_fixed_point(-0.5f, 0), 0);
  EXPECT_EQ(to_fixed_point(-1.5f, 0), -2);
  EXPECT_EQ(to_fixed_point(1.0f, 40), std::int64_t{1} << 40);
}

TEST(FixedPoint, NonFiniteGivesTheIndefiniteInteger) {
  EXPECT_EQ(to_fixed_point(NAN, 10), INT64_MIN);
  EXPECT_EQ(to_fixed_point(INFINITY, 10), INT64_MIN);
  EXPECT_EQ(to_fixed_point(-INFINITY, 10), INT64_MIN);
}

TEST(FixedPoint, MagnitudeBitsOrderFiniteBelowInfBelowNan) {
  EXPECT_LT(magnitude_bits(-3e38f), magnitude_bits(INFINITY));
  EXPECT_LT(magnitude_bits(-INFINITY), magnitude_bits(NAN));
  EXPECT_EQ(contribution_limit_bits(4), magnitude_bits(262144.0f));
}

TEST(GradientShift, KeepsTheLeastBitAtTwoToMinus46InMeanScale) {
  EXPECT_EQ(gradient_shift(1), 46);
  EXPECT_EQ(gradient_shift(2048), 35);
  EXPECT_EQ(gradient_shift(4096), 34);
  EXPECT_EQ(gradient_shift(4097), 33);
  EXPECT_EQ(gradient_shift(3932160), 24);  // MT-NLG's batch of 1920 x 2048
}

TEST(SquareSum, DoesNotDependOnOrderOrGrouping) {
  SquareSum forward;
  SquareSum left;
  SquareSum right;
  for (int i = 0; i < 1000; ++i) forward.add(1e-3f * static_cast<float>(i));
  for (int i = 999; i >= 0; --i) (i % 3 == 0 ? left : right).add(1e-3f * static_cast<float>(i));
  left.add(right);
  EXPECT_EQ(forward, left);
  EXPECT_NEAR(forward.value(), 332.8335, 1e-4);
}

// A device splits its limbs into 32-bit words and adds each by itself; here by the same rule, in two halves.
TEST(SquareSum, ComesBackFromWordsThatWereAddedOneByOne) {
  __extension__ typedef __int128 Wide;
  SquareSum expected;
  std::array<std::uint64_t, 4> words{};
  std::int64_t limb = 1;
  for (int i = 0; i < 1000; ++i) {
    limb = static_cast<std::int64_t>(static_cast<std::uint64_t>(limb) * 6364136223846793005u +
                                     1442695040888963407u);
    const std::int64_t high = limb >> 12;  // either sign
    const std::int64_t low = -(limb >> 11);
    expected.add_limbs(high, low);
    const Wide sum = static_cast<Wide>(high) * (std::int64_t{1} << 52) + low;
    for (int w = 0; w < 4; ++w)
      words[static_cast<std::size_t>(w)] += static_cast<std::uint32_t>(sum >> (32 * w));
  }
  SquareSum sum;
  sum.add_words(words);
  EXPECT_EQ(sum, expected);
}

}  // namespace
}  // namespace megalith
