// Sixteen float lanes in plain C++: the meaning of the other two headers, and the kernels of machines they do
// not know. Every operation is IEEE, lane by lane, so all three give the same bits (docs/numerics.md).
//
// The three headers share one interface; kernels are templates over it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/bf16.h"

namespace megalith::cpu::portable {

inline constexpr int kLanes = 16;

struct Mask {
  bool lane[kLanes];
};

struct Ints {
  std::int32_t lane[kLanes];

  static Ints broadcast(std::int32_t x) {
    Ints r;
    for (auto& v : r.lane) v = x;
    return r;
  }
  static Ints load(const std::int32_t* p) {
    Ints r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = p[i];
    return r;
  }
  void store(std::int32_t* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = lane[i];
  }
};

struct Floats {
  using Mask = portable::Mask;
  using Ints = portable::Ints;
  static constexpr int kInterleave = 1;  // groups that pass through long functions together (several.h)
  static constexpr bool kTransposesSquares = false;
  float lane[kLanes];

  static Mask first(int n) {  // the first n lanes, 0 <= n <= 16
    Mask r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = i < n;
    return r;
  }
  static Floats zero() { return broadcast(0.0f); }
  static Floats broadcast(float x) {
    Floats r;
    for (auto& v : r.lane) v = x;
    return r;
  }
  static Floats load(const float* p) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = p[i];
    return r;
  }
  static Floats load(const bf16* p) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = to_float(p[i]);
    return r;
  }
  void store(float* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = lane[i];
  }
  void store(bf16* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = to_bf16(lane[i]);
  }
  // The first n lanes, 0 <= n <= 16; the rest are +0 (load) or untouched (store).
  template <class T>
  static Floats load_first(const T* p, int n) {
    Floats r = zero();
    for (int i = 0; i < n; ++i) r.lane[i] = to_float(p[i]);
    return r;
  }
  void store_first(float* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }
  void store_first(bf16* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = to_bf16(lane[i]);
  }
};

#define MEGALITH_LANEWISE(expression)                        \
  Floats r;                                                  \
  for (int i = 0; i < kLanes; ++i) r.lane[i] = (expression); \
  return r

inline Floats operator+(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] + b.lane[i]);
}
inline Floats operator-(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] - b.lane[i]);
}
inline Floats operator*(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] * b.lane[i]);
}
inline Floats operator/(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] / b.lane[i]);
}
inline Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  MEGALITH_LANEWISE(std::fma(a.lane[i], b.lane[i], c.lane[i]));
}
inline Floats sqrt(const Floats& a) {
  MEGALITH_LANEWISE(std::sqrt(a.lane[i]));
}
// a where a > b, else b: b when either is NaN.
inline Floats max(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
inline Floats min(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
inline Floats select(const Mask& mask, const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(mask.lane[i] ? a.lane[i] : b.lane[i]);
}
inline Floats from_bits(const Ints& a) {
  MEGALITH_LANEWISE(std::bit_cast<float>(a.lane[i]));
}
inline Floats to_floats(const Ints& a) {
  MEGALITH_LANEWISE(static_cast<float>(a.lane[i]));
}
#undef MEGALITH_LANEWISE

#define MEGALITH_LANEWISE(type, expression)                  \
  type r;                                                    \
  for (int i = 0; i < kLanes; ++i) r.lane[i] = (expression); \
  return r

inline Mask less(const Floats& a, const Floats& b) {
  MEGALITH_LANEWISE(Mask, a.lane[i] < b.lane[i]);
}
inline Mask is_nan(const Floats& a) {
  MEGALITH_LANEWISE(Mask, a.lane[i] != a.lane[i]);
}
inline Ints bits_of(const Floats& a) {
  MEGALITH_LANEWISE(Ints, std::bit_cast<std::int32_t>(a.lane[i]));
}
// Nearest even integer, of NaN any; REQUIRES |a| < 2^31 or NaN.
inline Ints to_nearest_ints(const Floats& a) {
  MEGALITH_LANEWISE(
      Ints, a.lane[i] != a.lane[i] ? INT32_MIN : static_cast<std::int32_t>(std::nearbyint(a.lane[i])));
}
inline Ints operator+(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) +
                                                    static_cast<std::uint32_t>(b.lane[i])));
}
inline Ints operator-(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) -
                                                    static_cast<std::uint32_t>(b.lane[i])));
}
inline Ints operator&(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, a.lane[i] & b.lane[i]);
}
inline Ints operator|(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, a.lane[i] | b.lane[i]);
}
inline Ints operator^(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, a.lane[i] ^ b.lane[i]);
}
template <int n>
Ints shift_left(const Ints& a) {
  MEGALITH_LANEWISE(Ints, static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) << n));
}
template <int n>
Ints shift_right(const Ints& a) {  // logical
  MEGALITH_LANEWISE(Ints, static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) >> n));
}
inline Ints max_unsigned(const Ints& a, const Ints& b) {
  MEGALITH_LANEWISE(Ints, static_cast<std::uint32_t>(a.lane[i]) > static_cast<std::uint32_t>(b.lane[i])
                              ? a.lane[i]
                              : b.lane[i]);
}
#undef MEGALITH_LANEWISE

// The 64-bit products of unsigned lanes and a factor, in halves.
struct WideProduct {
  Ints low, high;
};
inline WideProduct multiply_wide(const Ints& a, std::uint32_t factor) {
  WideProduct r;
  for (int i = 0; i < kLanes; ++i) {
    const std::uint64_t product = std::uint64_t{static_cast<std::uint32_t>(a.lane[i])} * factor;
    r.low.lane[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(product));
    r.high.lane[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(product >> 32));
  }
  return r;
}

// Lane sums and maxima join halves: lane i with lane i + 8, then + 4, + 2, + 1. One order for all kernel
// families.
inline float sum_of_lanes(const Floats& a) {
  float part[kLanes];
  for (int i = 0; i < kLanes; ++i) part[i] = a.lane[i];
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] = part[i] + part[i + width];
  }
  return part[0];
}
inline float max_of_lanes(const Floats& a) {
  float part[kLanes];
  for (int i = 0; i < kLanes; ++i) part[i] = a.lane[i];
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] = part[i] > part[i + width] ? part[i] : part[i + width];
  }
  return part[0];
}
// Of sixteen rows, row i in lane i.
inline Floats sums_of_rows(const Floats* rows) {
  alignas(64) float sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = sum_of_lanes(rows[i]);
  return Floats::load(sums);
}
inline Floats maxima_of_rows(const Floats* rows) {
  alignas(64) float maxima[16];
  for (int i = 0; i < 16; ++i) maxima[i] = max_of_lanes(rows[i]);
  return Floats::load(maxima);
}
inline std::uint32_t max_of_lanes_unsigned(const Ints& a) {
  std::uint32_t result = 0;
  for (const std::int32_t lane : a.lane) {
    result = result > static_cast<std::uint32_t>(lane) ? result : static_cast<std::uint32_t>(lane);
  }
  return result;
}

// sum[i] += round-to-nearest-even(a[i] * scale) as 64-bit integers; out of range gives INT64_MIN before the
// add. REQUIRES: scale is a power of two, so that the product is exact.
inline void add_fixed_point(const Floats& a, const Floats& scale, std::int64_t* sum) {
  for (int i = 0; i < kLanes; ++i) {
    const float scaled = a.lane[i] * scale.lane[i];
    const std::int64_t fixed =
        std::fabs(scaled) < 0x1p63f ? static_cast<std::int64_t>(std::nearbyint(scaled)) : INT64_MIN;
    sum[i] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[i]) + static_cast<std::uint64_t>(fixed));
  }
}

}  // namespace megalith::cpu::portable
