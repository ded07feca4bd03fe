// Own elementary functions against libm in float64, and Philox against its published vectors.
#include "core/elementary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "core/elementary_double.h"
#include "core/philox.h"

namespace megalith {
namespace {

double ulp_of(double expected) {
  const float nearest = static_cast<float>(expected);
  return static_cast<double>(std::nextafter(std::fabs(nearest), INFINITY)) - std::fabs(nearest);
}

TEST(Elementary, ExpIsWithinOneUlp) {
  double worst = 0;
  for (double x = -86.5; x < 88.7; x += 1.1e-4) {
    const float argument = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(argument));
    worst = std::max(worst, std::fabs(exp_exact(argument) - expected) / ulp_of(expected));
  }
  EXPECT_LT(worst, 1.0);
  EXPECT_GT(worst, 0.4);  // a float cannot be better than half an ulp: the comparison compares
}

TEST(Elementary, ExpHasTheDocumentedEnds) {
  EXPECT_EQ(exp_exact(0.0f), 1.0f);
  EXPECT_EQ(exp_exact(-0.0f), 1.0f);
  EXPECT_EQ(exp_exact(-87.0f), 0.0f);
  EXPECT_EQ(exp_exact(-INFINITY), 0.0f);
  EXPECT_EQ(exp_exact(89.0f), INFINITY);
  EXPECT_EQ(exp_exact(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(exp_exact(NAN)));
}

TEST(Elementary, ExpOfASoftmaxHasTheBitsOfExpUpTo88) {
  const auto agree = [](float x) {
    const float plain = exp_lanes(ScalarFloat{x}).value;
    const float softmax = exp_softmax_lanes(ScalarFloat{x}).value;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(softmax), std::bit_cast<std::uint32_t>(plain)) << x;
  };
  for (int i = -100'000; i <= 88'000; ++i) agree(static_cast<float>(i) * 1e-3f);
  for (const float x : {-INFINITY, -1e30f, -86.9f, -86.900001f, -86.8f, -86.65f, -0.0f, 0.0f, 88.0f})
    agree(x);
  EXPECT_TRUE(std::isnan(exp_softmax_lanes(ScalarFloat{NAN}).value));
}

TEST(Elementary, LogIsWithinOneUlpAndAccurateNearOne) {
  double worst = 0;
  for (std::uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 4099) {
    const float x = std::bit_cast<float>(bits);
    const double expected = std::log(static_cast<double>(x));
    if (std::fabs(expected) < 0.1) {
      EXPECT_NEAR(log_exact(x), expected, 2e-7 * std::fabs(expected) + 1e-12) << x;
    } else {
      worst = std::max(worst, std::fabs(log_exact(x) - expected) / ulp_of(expected));
    }
  }
  EXPECT_LT(worst, 1.0);
  EXPECT_EQ(log_exact(1.0f), 0.0f);
  EXPECT_EQ(log_exact(0.0f), -INFINITY);
  EXPECT_EQ(log_exact(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(log_exact(-1.0f)));
  EXPECT_TRUE(std::isnan(log_exact(NAN)));
}

TEST(Elementary, ErfIsWithinItsAbsoluteError) {
  for (double x = -6; x < 6; x += 1.3e-5) {
    const float argument = static_cast<float>(x);
    ASSERT_NEAR(erf_exact(argument), std::erf(static_cast<double>(argument)), 1.47e-7) << x;
  }
  EXPECT_EQ(erf_exact(INFINITY), 1.0f);
  EXPECT_EQ(erf_exact(-INFINITY), -1.0f);
  EXPECT_TRUE(std::isnan(erf_exact(NAN)));
}

TEST(Elementary, TanhIsWithinItsRelativeError) {
  for (float x = 1e-6f; x < 30; x *= 1.0007f) {
    const double expected = std::tanh(static_cast<double>(x));
    ASSERT_NEAR(tanh_lanes(ScalarFloat{x}).value, expected, 4e-7 * expected) << x;
    ASSERT_EQ(tanh_lanes(ScalarFloat{-x}).value, -tanh_lanes(ScalarFloat{x}).value);
  }
  EXPECT_EQ(tanh_lanes(ScalarFloat{INFINITY}).value, 1.0f);
  EXPECT_EQ(tanh_lanes(ScalarFloat{-INFINITY}).value, -1.0f);
  EXPECT_EQ(tanh_lanes(ScalarFloat{0.0f}).value, 0.0f);
  EXPECT_TRUE(std::isnan(tanh_lanes(ScalarFloat{NAN}).value));
}

TEST(Elementary, TheCosineOfARateIsRightToTheLastDigits) {
  for (double turns = 0; turns <= 1; turns += 1e-4) {
    EXPECT_NEAR(exact_cos_two_pi(turns), std::cos(2 * M_PI * turns), 5e-15) << turns;
  }
  EXPECT_EQ(exact_cos_two_pi(0), 1.0);
  EXPECT_EQ(exact_cos_two_pi(0.5), -1.0);
}

TEST(Philox, GivesThePublishedVectors) {
  // "Known answers" of the authors' Random123 distribution, philox4x32 with 10 rounds.
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UnitDoublesStayBelowOne) {
  EXPECT_EQ(to_unit_double(0, 0), 0.0);
  EXPECT_LT(to_unit_double(~0u, ~0u), 1.0);
  EXPECT_GT(to_unit_double(~0u, ~0u), 1.0 - 0x1p-52);
}

}  // namespace
}  // namespace megalith
