#include "core/elementary_double.h"

#include <bit>
#include <cmath>

namespace megalith {
namespace {

// Taylor series, lowest power first.
constexpr double kCosine[] = {0x1.0000000000000p+0,   -0x1.0000000000000p-1,  0x1.5555555555555p-5,
                              -0x1.6c16c16c16c17p-10, 0x1.a01a01a01a01ap-16,  -0x1.27e4fb7789f5cp-22,
                              0x1.1eed8eff8d898p-29,  -0x1.93974a8c07c9dp-37, 0x1.ae7f3e733b81fp-45,
                              -0x1.6827863b97d97p-53};
constexpr double kSine[] = {0x1.0000000000000p+0,   -0x1.5555555555555p-3,  0x1.1111111111111p-7,
                            -0x1.a01a01a01a01ap-13, 0x1.71de3a556c734p-19,  -0x1.ae64567f544e4p-26,
                            0x1.6124613a86d09p-33,  -0x1.ae7f3e733b81fp-41, 0x1.952c77030ad4ap-49,
                            -0x1.2f49b46814157p-57};
constexpr double kExponential[] = {0x1.0000000000000p+0,  0x1.0000000000000p+0,  0x1.0000000000000p-1,
                                   0x1.5555555555555p-3,  0x1.5555555555555p-5,  0x1.1111111111111p-7,
                                   0x1.6c16c16c16c17p-10, 0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-16,
                                   0x1.71de3a556c734p-19, 0x1.27e4fb7789f5cp-22, 0x1.ae64567f544e4p-26,
                                   0x1.1eed8eff8d898p-29, 0x1.6124613a86d09p-33, 0x1.93974a8c07c9dp-37};
constexpr double kTwiceAtanh[] = {0x1.0000000000000p+1, 0x1.5555555555555p-1, 0x1.999999999999ap-2,
                                  0x1.2492492492492p-2, 0x1.c71c71c71c71cp-3, 0x1.745d1745d1746p-3,
                                  0x1.3b13b13b13b14p-3, 0x1.1111111111111p-3, 0x1.e1e1e1e1e1e1ep-4,
                                  0x1.af286bca1af28p-4, 0x1.8618618618618p-4, 0x1.642c8590b2164p-4,
                                  0x1.47ae147ae147bp-4, 0x1.2f684bda12f68p-4};

constexpr double kLn2High = 0x1.62e42fee00000p-1;  // so short that n * kLn2High is exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kTwoPi = 0x1.921fb54442d18p+2;

template <int n>
double polynomial(const double (&coefficients)[n], double x) {
  double sum = coefficients[n - 1];
  for (int i = n - 2; i >= 0; --i) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

// Cosine and sine of 2 pi r for |r| <= 1/8.
double cosine_near_zero(double r) {
  const double x = kTwoPi * r;
  return polynomial(kCosine, x * x);
}
double sine_near_zero(double r) {
  const double x = kTwoPi * r;
  return x * polynomial(kSine, x * x);
}

}  // namespace

double exact_log(double x) {
  // x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)).
  std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  std::int64_t k = static_cast<std::int64_t>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
  double m = std::bit_cast<double>(bits);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    ++k;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double n = static_cast<double>(k);
  return std::fma(n, kLn2High, std::fma(n, kLn2Low, s * polynomial(kTwiceAtanh, s * s)));
}

double exact_exp(double x) {
  const double n = std::nearbyint(x * kLog2E);
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  const auto half =
      static_cast<std::int64_t>(n) / 2;  // 2^n in two steps: n itself may leave the exponent's range
  const auto scale = [](std::int64_t power) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
  };
  return polynomial(kExponential, r) * scale(half) * scale(static_cast<std::int64_t>(n) - half);
}

double exact_cos_two_pi(double turns) {
  const double r = turns - std::nearbyint(turns);  // exact, |r| <= 1/2
  const double a = std::fabs(r);
  if (a <= 0.125) return cosine_near_zero(a);
  if (a <= 0.375) return sine_near_zero(0.25 - a);
  return -cosine_near_zero(0.5 - a);
}

double exact_sin_two_pi(double turns) {
  const double r = turns - std::nearbyint(turns);
  const double a = std::fabs(r);
  const double sign = r < 0 ? -1.0 : 1.0;
  if (a <= 0.125) return sign * sine_near_zero(a);
  if (a <= 0.375) return sign * cosine_near_zero(0.25 - a);
  return sign * sine_near_zero(0.5 - a);
}

double exact_pow_integer(double base, std::int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = result * base;
    base = base * base;
  }
  return result;
}

}  // namespace megalith
