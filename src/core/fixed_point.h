// Integer accumulators: sums over tokens that are equal in any order and any grouping (docs/numerics.md).
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "core/kernel_function.h"

namespace megalith {

// Bits of |x| above which a gradient contribution of n tokens is declared bad: |x| must stay under n * 2^16.
// (2^10 is too tight: single tokens near the start of a sequence gather the gradients of all tokens after
// them, and 2,500 was seen in an ordinary run of 256-token sequences.) As unsigned integers the bits of |x|
// order like finite < Inf < NaN, so one unsigned maximum finds all three faults.
MEGALITH_KERNEL inline std::uint32_t contribution_limit_bits(std::int64_t num_tokens) {
  return std::bit_cast<std::uint32_t>(static_cast<float>(num_tokens) * 65536.0f);
}
MEGALITH_KERNEL inline std::uint32_t magnitude_bits(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
}

// 2^exponent for -126 <= exponent <= 127.
MEGALITH_KERNEL inline float power_of_two(int exponent) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

// Gradients that are summed in fp32 instead (numerics.mode "fast") have the range of the integer sums, 2^62
// units of 2^-shift: bits of |x| from which on a sum is declared bad.
MEGALITH_KERNEL inline std::uint32_t float_sum_limit_bits(int shift) {
  return static_cast<std::uint32_t>(62 - shift + 127) << 23;
}

// x * 2^shift, exact in fp32, then to the nearest even integer: what vcvtps2qq does. NaN, Inf and
// out-of-range give INT64_MIN, as the instruction does; the verdict on magnitude_bits catches them before
// anybody uses the sum.
MEGALITH_KERNEL inline std::int64_t scaled_to_fixed_point(float scaled) {
  if (!(std::fabs(scaled) < 0x1p63f)) return INT64_MIN;
  return static_cast<std::int64_t>(std::nearbyint(scaled));  // exact in IEEE arithmetic, any libm
}
MEGALITH_KERNEL inline std::int64_t to_fixed_point(float x, int shift) {
  return scaled_to_fixed_point(x * power_of_two(shift));
}

// Loss: sum of per-token losses with a least significant bit of 2^-32.
inline constexpr int kLossShift = 32;

// The nearest even integer by adding and taking away 1.5 * 2^52: REQUIRES |x| < 2^51.
MEGALITH_KERNEL inline double nearest_integer(double x) {
  return (x + 0x1.8p52) - 0x1.8p52;
}

// Sum of squares of float values below 2^15 in 128 bits, equal in any order: each square is exact in fp64 and
// split into a high part rounded to 2^-20 and a low part rounded to 2^-72.
class SquareSum {
 public:
  void add(float g) {
    const double square = static_cast<double>(g) * static_cast<double>(g);
    const double high = nearest_integer(square * 0x1p20);
    const double low = nearest_integer((square - high * 0x1p-20) * 0x1p72);
    add_limbs(static_cast<std::int64_t>(high), static_cast<std::int64_t>(low));
  }
  // high * 2^-20 + low * 2^-72.
  void add_limbs(std::int64_t high, std::int64_t low) {
    sum_ += static_cast<Int128>(high) * (static_cast<Int128>(1) << 52) + low;
  }
  void add(const SquareSum& other) { sum_ += other.sum_; }
  // A sum of squares that was made in fp64, rounded down to 2^-72. What no step in range has counts as 2^54.
  void add_rounded(double squares) {
    sum_ += static_cast<Int128>((squares < 0x1p54 ? squares : 0x1p54) * 0x1p72);
  }
  // sum of words[i] * 2^(32 i - 72), mod 2^128: what devices that add 32-bit words one by one come home with.
  void add_words(const std::array<std::uint64_t, 4>& words) {
    UnsignedInt128 sum = 0;
    for (std::size_t i = 0; i < words.size(); ++i) sum += static_cast<UnsignedInt128>(words[i]) << (32 * i);
    sum_ += static_cast<Int128>(sum);
  }
  // sum = words[0] + words[1] 2^32 + words[2] 2^64 + words[3] 2^96 in units of 2^-72, the last one signed:
  // what sums over ranks are made of.
  void add_scaled(std::int64_t word, int places) {
    sum_ += static_cast<Int128>(word) * (static_cast<Int128>(1) << places);
  }
  [[nodiscard]] std::array<std::int64_t, 4> words() const {
    std::array<std::int64_t, 4> words{};
    for (std::size_t i = 0; i < 3; ++i)
      words[i] = static_cast<std::int64_t>(static_cast<UnsignedInt128>(sum_) >> (32 * i) & 0xffffffffu);
    words[3] = static_cast<std::int64_t>(sum_ >> 96);
    return words;
  }
  [[nodiscard]] double value() const { return static_cast<double>(sum_) * 0x1p-72; }
  bool operator==(const SquareSum&) const = default;

 private:
  __extension__ typedef __int128 Int128;
  __extension__ typedef unsigned __int128 UnsignedInt128;
  Int128 sum_ = 0;
};

}  // namespace megalith
