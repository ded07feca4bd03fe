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

}  // namespace
}  // namespace megalith
