// Elementary functions of add, multiply, explicit fma, division and comparison only: one template serves
// every kernel family and the scalar code, so all give the same bits. No libm touches a bit that is promised.
//
// F is a lane type (device/cpu/simd/*.h) or ScalarFloat below.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/kernel_function.h"

namespace megalith {

// A lane type that rounds to integers and multiplies by powers of two in an instruction each: the same bits
// as by way of integers, and the powers may be out of a float's range.
template <class F>
concept ScalesByPowers = requires(F a) {
  round_to_integers(a);
  scale_by_powers(a, a);
};

// `factor` e^(sign r) for |r| <= ln 2 / 2: Taylor to the 7th power, remainder below 6e-9 of the result.
// REQUIRES: factor is a power of two near 1, sign is 1 or -1. Neither changes how anything is rounded.
template <class F>
MEGALITH_KERNEL F exp_polynomial(F r, float factor = 1.0f, float sign = 1.0f) {
  const float odd = factor * sign;
  F p = F::broadcast(odd * 0x1.a01a02p-13f);
  p = fma(p, r, F::broadcast(factor * 0x1.6c16c2p-10f));
  p = fma(p, r, F::broadcast(odd * 0x1.111112p-7f));
  p = fma(p, r, F::broadcast(factor * 0x1.555556p-5f));
  p = fma(p, r, F::broadcast(odd * 0x1.555556p-3f));
  p = fma(p, r, F::broadcast(factor * 0.5f));
  p = fma(p, r, F::broadcast(odd));
  return fma(p, r, F::broadcast(factor));
}

inline constexpr float kLog2OfE = 0x1.715476p+0f;
// ln 2 in two parts, so that an integer times the first is exact.
inline constexpr float kLn2High = 0x1.62e400p-1f;
inline constexpr float kLn2Low = 0x1.7f7d1cp-20f;

// x + sign n ln 2, rounded as if ln 2 had both its parts.
template <class F>
MEGALITH_KERNEL F add_powers(F x, F n, float sign) {
  return fma(n, F::broadcast(sign * kLn2Low), fma(n, F::broadcast(sign * kLn2High), x));
}

// e^x / 2 for -86.9 <= x <= 88.7228 or NaN: x = n ln 2 + r with |r| <= ln 2 / 2. Half, because n reaches 128.
template <class F>
MEGALITH_KERNEL F half_exp(F x) {
  if constexpr (ScalesByPowers<F>) {
    const F n = round_to_integers(x * F::broadcast(kLog2OfE));
    return scale_by_powers(exp_polynomial(add_powers(x, n, -1.0f), 0.5f), n);
  } else {
    const auto n = to_nearest_ints(x * F::broadcast(kLog2OfE));
    const F p = exp_polynomial(add_powers(x, to_floats(n), -1.0f));
    using Ints = typename F::Ints;
    return p * from_bits(shift_left<23>(n + Ints::broadcast(126)));
  }
}

// e^x. Error under 1 ulp. Below -86.9 the result is +0 (it would soon be denormal), above 88.72 +Inf; NaN
// stays NaN.
template <class F>
MEGALITH_KERNEL F exp_lanes(F x) {
  const F half = half_exp(min(max(x, F::broadcast(-86.9f)), F::broadcast(88.7228f)));
  F result = select(less(x, F::broadcast(-86.9f)), F::zero(), half + half);
  result = select(less(F::broadcast(88.7228f), x), F::broadcast(INFINITY), result);
  return select(is_nan(x), x, result);
}

// exp_lanes() with the same bits for x <= 88, -Inf and NaN included, which is all a softmax asks for: three
// selections less.
template <class F>
MEGALITH_KERNEL F exp_softmax_lanes(F x) {
  const F half = half_exp(max(F::broadcast(-86.9f), x));  // NaN stays: the second operand of a maximum
  return select(less(x, F::broadcast(-86.9f)), F::zero(), half + half);
}

// 1 / (1 + e^-x), with exp_lanes(). Where powers may be out of range nothing has to be selected: e^-30 is
// nothing beside 1 already, and the quotient is flushed to 0 before e^-x is infinite.
template <class F>
MEGALITH_KERNEL F sigmoid_lanes(F x) {
  const F one = F::broadcast(1.0f);
  if constexpr (ScalesByPowers<F>) {
    const F clamped = min(F::broadcast(30.0f), max(F::broadcast(-90.0f), x));  // NaN stays
    const F n = round_to_integers(clamped * F::broadcast(-kLog2OfE));
    const F minus_r = add_powers(clamped, n, 1.0f);
    return one / (one + scale_by_powers(exp_polynomial(minus_r, 1.0f, -1.0f), n));
  } else {
    return one / (one + exp_lanes(F::zero() - x));
  }
}

// Natural logarithm of a positive, normal, finite x. Error under 1 ulp away from 1. Other arguments: +0 gives
// -Inf, +Inf gives +Inf, negative or NaN give NaN.
template <class F>
MEGALITH_KERNEL F log_lanes(F x) {
  using Ints = typename F::Ints;
  // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
  const Ints bits = bits_of(x);
  const Ints shifted = bits - Ints::broadcast(0x3f3504f3);  // bits of sqrt(1/2)
  const Ints k = shift_right<23>(shifted + Ints::broadcast(0x3f800000)) - Ints::broadcast(127);
  const F m = from_bits((shifted & Ints::broadcast(0x007fffff)) + Ints::broadcast(0x3f3504f3));
  const F k_float = to_floats(k);
  // log m = 2 atanh(s) with s = (m - 1) / (m + 1), |s| <= 0.172.
  const F f = m - F::broadcast(1.0f);
  const F s = f / (m + F::broadcast(1.0f));
  const F z = s * s;
  F p = F::broadcast(0x1.c71c72p-4f);           // 1/9
  p = fma(p, z, F::broadcast(0x1.24924ap-3f));  // 1/7
  p = fma(p, z, F::broadcast(0x1.99999ap-3f));  // 1/5
  p = fma(p, z, F::broadcast(0x1.555556p-2f));  // 1/3
  // f - s * (f - 2 z p) keeps log(1 + f) accurate near 1.
  const F correction = s * (f - F::broadcast(2.0f) * (z * p));
  F result = fma(k_float, F::broadcast(0x1.7f7d1cp-20f), f - correction);
  result = fma(k_float, F::broadcast(0x1.62e400p-1f), result);
  result = select(less(x, F::broadcast(0x1p-126f)), F::broadcast(-INFINITY), result);
  result = select(less(x, F::zero()), F::broadcast(NAN), result);
  result = select(less(x, F::broadcast(INFINITY)), result, x + x);  // +Inf and NaN
  return select(less(x, F::zero()), F::broadcast(NAN), result);
}

// tanh(x), relative error at most 4e-7: an odd polynomial in x below 0.625 (Moshier, Cephes), above it
// 1 - 2 / (exp(2|x|) + 1) with the sign of x. NaN stays NaN.
template <class F>
MEGALITH_KERNEL F tanh_lanes(F x) {
  using Ints = typename F::Ints;
  const F a = from_bits(bits_of(x) & Ints::broadcast(0x7fffffff));
  const F z = x * x;
  F small = F::broadcast(-5.70498872745e-3f);
  small = fma(small, z, F::broadcast(2.06390887954e-2f));
  small = fma(small, z, F::broadcast(-5.37397155531e-2f));
  small = fma(small, z, F::broadcast(1.33314422036e-1f));
  small = fma(small, z, F::broadcast(-3.33332819422e-1f));
  small = fma(small * z, x, x);
  F large =
      F::broadcast(1.0f) -
      F::broadcast(2.0f) / (exp_lanes(min(a, F::broadcast(20.0f)) * F::broadcast(2.0f)) + F::broadcast(1.0f));
  large = from_bits(bits_of(large) | (bits_of(x) & Ints::broadcast(INT32_MIN)));
  const F result = select(less(a, F::broadcast(0.625f)), small, large);
  return select(is_nan(x), x, result);
}

// erf(x), absolute error at most 1.46e-7 (of all floats, at 0.99365473): x P(x^2) below 1, 1 - exp(-x^2) Q(1
// / (1 + x/2)) up to 4 (both fitted at Chebyshev nodes), +-1 beyond. NaN stays NaN.
template <class F>
MEGALITH_KERNEL F erf_lanes(F x) {
  using Ints = typename F::Ints;
  const F a = from_bits(bits_of(x) & Ints::broadcast(0x7fffffff));
  const F z = x * x;
  F small = F::broadcast(-0x1.449778p-17f);
  small = fma(small, z, F::broadcast(0x1.d89ff4p-14f));
  small = fma(small, z, F::broadcast(-0x1.bcd3a4p-11f));
  small = fma(small, z, F::broadcast(0x1.562abep-8f));
  small = fma(small, z, F::broadcast(-0x1.b829d0p-6f));
  small = fma(small, z, F::broadcast(0x1.ce2f0ap-4f));
  small = fma(small, z, F::broadcast(-0x1.812746p-2f));
  small = fma(small, z, F::broadcast(0x1.20dd76p+0f)) * x;
  const F t = F::broadcast(1.0f) / fma(a, F::broadcast(0.5f), F::broadcast(1.0f));
  F q = F::broadcast(0x1.ec97f6p-4f);
  q = fma(q, t, F::broadcast(-0x1.e5d852p-2f));
  q = fma(q, t, F::broadcast(0x1.22e9f8p-1f));
  q = fma(q, t, F::broadcast(-0x1.b91c7cp-4f));
  q = fma(q, t, F::broadcast(0x1.6633f8p-2f));
  q = fma(q, t, F::broadcast(0x1.0952aep-2f));
  q = fma(q, t, F::broadcast(0x1.23d87ep-2f));
  q = fma(q, t, F::broadcast(-0x1.508108p-13f));
  const F half = half_exp(F::zero() - min(z, F::broadcast(17.0f)));  // beyond 4 it is not wanted
  F large = F::broadcast(1.0f) - (half + half) * q;
  large = select(less(F::broadcast(4.0f), a), F::broadcast(1.0f), large);
  large = from_bits(bits_of(large) | (bits_of(x) & Ints::broadcast(INT32_MIN)));
  const F result = select(less(a, F::broadcast(1.0f)), small, large);
  return select(is_nan(x), x, result);
}

// One lane, for code outside the kernels.
struct ScalarInt {
  std::int32_t value;
  MEGALITH_KERNEL static ScalarInt broadcast(std::int32_t x) { return {x}; }
};
struct ScalarFloat {
  using Ints = ScalarInt;
  float value;
  MEGALITH_KERNEL static ScalarFloat zero() { return {0.0f}; }
  MEGALITH_KERNEL static ScalarFloat broadcast(float x) { return {x}; }
};
MEGALITH_KERNEL inline ScalarFloat operator+(ScalarFloat a, ScalarFloat b) {
  return {a.value + b.value};
}
MEGALITH_KERNEL inline ScalarFloat operator-(ScalarFloat a, ScalarFloat b) {
  return {a.value - b.value};
}
MEGALITH_KERNEL inline ScalarFloat operator*(ScalarFloat a, ScalarFloat b) {
  return {a.value * b.value};
}
MEGALITH_KERNEL inline ScalarFloat operator/(ScalarFloat a, ScalarFloat b) {
  return {a.value / b.value};
}
MEGALITH_KERNEL inline ScalarFloat fma(ScalarFloat a, ScalarFloat b, ScalarFloat c) {
  return {std::fma(a.value, b.value, c.value)};
}
MEGALITH_KERNEL inline ScalarFloat sqrt(ScalarFloat a) {
  return {std::sqrt(a.value)};
}
MEGALITH_KERNEL inline ScalarFloat max(ScalarFloat a, ScalarFloat b) {
  return a.value > b.value ? a : b;
}
MEGALITH_KERNEL inline ScalarFloat min(ScalarFloat a, ScalarFloat b) {
  return a.value < b.value ? a : b;
}
MEGALITH_KERNEL inline bool less(ScalarFloat a, ScalarFloat b) {
  return a.value < b.value;
}
MEGALITH_KERNEL inline bool is_nan(ScalarFloat a) {
  return a.value != a.value;
}
MEGALITH_KERNEL inline ScalarFloat select(bool mask, ScalarFloat a, ScalarFloat b) {
  return mask ? a : b;
}
MEGALITH_KERNEL inline ScalarInt bits_of(ScalarFloat a) {
  return {std::bit_cast<std::int32_t>(a.value)};
}
MEGALITH_KERNEL inline ScalarFloat from_bits(ScalarInt a) {
  return {std::bit_cast<float>(a.value)};
}
MEGALITH_KERNEL inline ScalarFloat to_floats(ScalarInt a) {
  return {static_cast<float>(a.value)};
}
MEGALITH_KERNEL inline ScalarInt to_nearest_ints(ScalarFloat a) {
  return {is_nan(a) ? INT32_MIN : static_cast<std::int32_t>(std::nearbyint(a.value))};
}
MEGALITH_KERNEL inline ScalarInt operator+(ScalarInt a, ScalarInt b) {
  return {
      static_cast<std::int32_t>(static_cast<std::uint32_t>(a.value) + static_cast<std::uint32_t>(b.value))};
}
MEGALITH_KERNEL inline ScalarInt operator-(ScalarInt a, ScalarInt b) {
  return {
      static_cast<std::int32_t>(static_cast<std::uint32_t>(a.value) - static_cast<std::uint32_t>(b.value))};
}
MEGALITH_KERNEL inline ScalarInt operator&(ScalarInt a, ScalarInt b) {
  return {a.value & b.value};
}
MEGALITH_KERNEL inline ScalarInt operator|(ScalarInt a, ScalarInt b) {
  return {a.value | b.value};
}
template <int n>
MEGALITH_KERNEL ScalarInt shift_left(ScalarInt a) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.value) << n)};
}
template <int n>
MEGALITH_KERNEL ScalarInt shift_right(ScalarInt a) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.value) >> n)};
}

// Scalar forms with the bits of the lanes.
MEGALITH_KERNEL inline float exp_exact(float x) {
  return exp_lanes(ScalarFloat{x}).value;
}
MEGALITH_KERNEL inline float log_exact(float x) {
  return log_lanes(ScalarFloat{x}).value;
}
MEGALITH_KERNEL inline float erf_exact(float x) {
  return erf_lanes(ScalarFloat{x}).value;
}

}  // namespace megalith
