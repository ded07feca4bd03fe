// Sixteen float lanes in two 256-bit registers. Same interface and same bits as portable.h, where each
// operation is explained. Needs AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>

#include "core/bf16.h"

namespace megalith::cpu::avx2 {

inline constexpr int kLanes = 16;

struct Mask {
  __m256 low, high;
};

struct Ints {
  __m256i low, high;
  static Ints broadcast(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static Ints load(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  void store(std::int32_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), high);
  }
};

inline __m256 widen(__m128i halves) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
// Rounded bf16 bits in the low half of each 32-bit lane; nearest even, NaN to 0x7fc0.
inline __m256i narrow(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
}

struct Floats {
  using Mask = avx2::Mask;
  using Ints = avx2::Ints;
  static constexpr int kInterleave = 1;  // groups that pass through long functions together (several.h)
  static constexpr bool kTransposesSquares = false;
  __m256 low, high;

  static Mask first(int n) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index)),
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), index))};
  }
  static Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Floats broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Floats load(const bf16* p) {
    return {widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, low);
    _mm256_storeu_ps(p + 8, high);
  }
  void store(bf16* p) const {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(narrow(low), narrow(high)), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
  }
  template <class T>
  static Floats load_first(const T* p, int n) {
    alignas(32) T buffer[kLanes] = {};
    for (int i = 0; i < n; ++i) buffer[i] = p[i];
    return load(buffer);
  }
  template <class T>
  void store_first(T* p, int n) const {
    alignas(32) T buffer[kLanes];
    store(buffer);
    for (int i = 0; i < n; ++i) p[i] = buffer[i];
  }
};

inline Floats operator+(Floats a, Floats b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Floats operator-(Floats a, Floats b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Floats operator*(Floats a, Floats b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Floats operator/(Floats a, Floats b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Floats fma(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Floats sqrt(Floats a) {
  return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)};
}
inline Floats max(Floats a, Floats b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline Floats min(Floats a, Floats b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline Floats select(Mask mask, Floats a, Floats b) {
  return {_mm256_blendv_ps(b.low, a.low, mask.low), _mm256_blendv_ps(b.high, a.high, mask.high)};
}
inline Floats from_bits(Ints a) {
  return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}
inline Floats to_floats(Ints a) {
  return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
inline Mask less(Floats a, Floats b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
inline Mask is_nan(Floats a) {
  return {_mm256_cmp_ps(a.low, a.low, _CMP_UNORD_Q), _mm256_cmp_ps(a.high, a.high, _CMP_UNORD_Q)};
}
inline Ints bits_of(Floats a) {
  return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)};
}
inline Ints to_nearest_ints(Floats a) {
  return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)};
}
inline Ints operator+(Ints a, Ints b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline Ints operator-(Ints a, Ints b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
inline Ints operator&(Ints a, Ints b) {
  return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
inline Ints operator|(Ints a, Ints b) {
  return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
inline Ints operator^(Ints a, Ints b) {
  return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
template <int n>
Ints shift_left(Ints a) {
  return {_mm256_slli_epi32(a.low, n), _mm256_slli_epi32(a.high, n)};
}
template <int n>
Ints shift_right(Ints a) {
  return {_mm256_srli_epi32(a.low, n), _mm256_srli_epi32(a.high, n)};
}
inline Ints max_unsigned(Ints a, Ints b) {
  return {_mm256_max_epu32(a.low, b.low), _mm256_max_epu32(a.high, b.high)};
}

struct WideProduct {
  Ints low, high;
};
inline WideProduct multiply_wide(Ints a, std::uint32_t factor) {
  const __m256i f = _mm256_set1_epi32(static_cast<std::int32_t>(factor));
  const auto half = [f](__m256i x, __m256i& low, __m256i& high) {
    const __m256i even = _mm256_mul_epu32(x, f);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), f);
    low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  };
  WideProduct r;
  half(a.low, r.low.low, r.high.low);
  half(a.high, r.low.high, r.high.high);
  return r;
}

inline float sum_of_lanes(Floats a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_of_lanes(Floats a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
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
inline std::uint32_t max_of_lanes_unsigned(Ints a) {
  alignas(32) std::uint32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_max_epu32(a.low, a.high));
  std::uint32_t result = 0;
  for (const std::uint32_t lane : lanes) result = result > lane ? result : lane;
  return result;
}

// AVX2 has no float to 64-bit conversion: lane by lane, as portable.h.
inline void add_fixed_point(Floats a, Floats scale, std::int64_t* sum) {
  alignas(32) float scaled[kLanes];
  (a * scale).store(scaled);
  for (int i = 0; i < kLanes; ++i) {
    const std::int64_t fixed =
        std::fabs(scaled[i]) < 0x1p63f ? _mm_cvtss_si64(_mm_set_ss(scaled[i])) : INT64_MIN;
    sum[i] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[i]) + static_cast<std::uint64_t>(fixed));
  }
}

}  // namespace megalith::cpu::avx2
