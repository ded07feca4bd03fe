// Sixteen float lanes in one 512-bit register. Same interface and same bits as portable.h, where each
// operation is explained. Needs AVX-512 F, BW, DQ, VL.
#pragma once

// GCC 12 takes the undefined operand inside its own intrinsics for a mistake (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"

// Compiled for processors with bf16 instructions these are other functions: the linker keeps one of those
// that have one name.
#ifdef __AVX512BF16__
namespace megalith::cpu::avx512::inline with_bf16 {
#else
namespace megalith::cpu::avx512::inline without_bf16 {
#endif

inline constexpr int kLanes = 16;

struct Mask {
  __mmask16 value;
};

struct Ints {
  __m512i value;
  static Ints broadcast(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
  static Ints load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
  void store(std::int32_t* p) const { _mm512_storeu_si512(p, value); }
};

inline __mmask16 first_mask(int n) {
  return static_cast<__mmask16>((1u << n) - 1u);
}
inline __m512 widen(__m256i halves) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
// Nearest even by integer arithmetic, NaN to 0x7fc0: what core/bf16.h does.
inline __m256i narrow(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_mask_add_epi32(half, odd, half, _mm512_set1_epi32(1));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i high = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc00000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(high, 16));
}
#ifdef __AVX512BF16__
// The same for two vectors of results of arithmetic, low sixteen first. The instruction takes denormals for
// zero, which a computing thread's results never are (core/floating_point_mode.h), and keeps what a NaN
// carries: where there is one, integers it is.
inline __m512i narrow_results(__m512 low, __m512 high) {
  if (!_kortestz_mask16_u8(_mm512_cmp_ps_mask(low, low, _CMP_UNORD_Q),
                           _mm512_cmp_ps_mask(high, high, _CMP_UNORD_Q))) [[unlikely]] {
    return _mm512_inserti64x4(_mm512_castsi256_si512(narrow(low)), narrow(high), 1);
  }
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}
#endif

struct Floats {
  using Mask = avx512::Mask;
  using Ints = avx512::Ints;
  static constexpr int kInterleave = 4;  // groups that pass through long functions together (several.h)
  static constexpr bool kTransposesSquares = true;  // by transpose_square()
  __m512 value;

  static Mask first(int n) { return {first_mask(n)}; }
  static Floats zero() { return {_mm512_setzero_ps()}; }
  static Floats broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Floats load(const bf16* p) {
    return {widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, value); }
  void store(bf16* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(value)); }
  static Floats load_first(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_mask(n), p)}; }
  static Floats load_first(const bf16* p, int n) {
    return {widen(_mm256_maskz_loadu_epi16(first_mask(n), p))};
  }
  void store_first(float* p, int n) const { _mm512_mask_storeu_ps(p, first_mask(n), value); }
  void store_first(bf16* p, int n) const { _mm256_mask_storeu_epi16(p, first_mask(n), narrow(value)); }
  static void transpose_square(const float* from, std::ptrdiff_t stride, float* to, std::ptrdiff_t to_stride);
#ifdef __AVX512BF16__
  static void store_results(Floats low, Floats high, bf16* p) {
    _mm512_storeu_si512(p, narrow_results(low.value, high.value));
  }
#endif
};

// Sixteen rows of sixteen words: pairs of rows, fours within 128 bits, then the 128-bit parts.
inline void Floats::transpose_square(const float* from, std::ptrdiff_t stride, float* to,
                                     std::ptrdiff_t to_stride) {
  __m512 rows[16];
  __m512 turned[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_loadu_ps(from + i * stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    turned[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    turned[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  const auto low = [](__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
  const auto high = [](__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = low(turned[i], turned[i + 2]);
    rows[i + 1] = high(turned[i], turned[i + 2]);
    rows[i + 2] = low(turned[i + 1], turned[i + 3]);
    rows[i + 3] = high(turned[i + 1], turned[i + 3]);
  }
  // rows[i + c] holds column c of each 128 bits of rows i .. i + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even_low = _mm512_shuffle_f32x4(rows[c], rows[c + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(rows[c], rows[c + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(rows[c + 8], rows[c + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(rows[c + 8], rows[c + 12], 0xdd);
    _mm512_storeu_ps(to + c * to_stride, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
    _mm512_storeu_ps(to + (c + 4) * to_stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
    _mm512_storeu_ps(to + (c + 8) * to_stride, _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
    _mm512_storeu_ps(to + (c + 12) * to_stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
  }
}

inline Floats operator+(Floats a, Floats b) {
  return {_mm512_add_ps(a.value, b.value)};
}
inline Floats operator-(Floats a, Floats b) {
  return {_mm512_sub_ps(a.value, b.value)};
}
inline Floats operator*(Floats a, Floats b) {
  return {_mm512_mul_ps(a.value, b.value)};
}
inline Floats operator/(Floats a, Floats b) {
  return {_mm512_div_ps(a.value, b.value)};
}
inline Floats fma(Floats a, Floats b, Floats c) {
  return {_mm512_fmadd_ps(a.value, b.value, c.value)};
}
inline Floats sqrt(Floats a) {
  return {_mm512_sqrt_ps(a.value)};
}
inline Floats max(Floats a, Floats b) {
  return {_mm512_max_ps(a.value, b.value)};
}
inline Floats min(Floats a, Floats b) {
  return {_mm512_min_ps(a.value, b.value)};
}
inline Floats select(Mask mask, Floats a, Floats b) {
  return {_mm512_mask_mov_ps(b.value, mask.value, a.value)};
}
inline Floats from_bits(Ints a) {
  return {_mm512_castsi512_ps(a.value)};
}
inline Floats to_floats(Ints a) {
  return {_mm512_cvtepi32_ps(a.value)};
}
// To the nearest even integer, as floats; NaN stays.
inline Floats round_to_integers(Floats a) {
  return {_mm512_roundscale_ps(a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a 2^n, rounded once. REQUIRES: n is an integer or NaN.
inline Floats scale_by_powers(Floats a, Floats n) {
  return {_mm512_scalef_ps(a.value, n.value)};
}
inline Mask less(Floats a, Floats b) {
  return {_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ)};
}
inline Mask is_nan(Floats a) {
  return {_mm512_cmp_ps_mask(a.value, a.value, _CMP_UNORD_Q)};
}
inline Ints bits_of(Floats a) {
  return {_mm512_castps_si512(a.value)};
}
inline Ints to_nearest_ints(Floats a) {
  return {_mm512_cvtps_epi32(a.value)};
}
inline Ints operator+(Ints a, Ints b) {
  return {_mm512_add_epi32(a.value, b.value)};
}
inline Ints operator-(Ints a, Ints b) {
  return {_mm512_sub_epi32(a.value, b.value)};
}
inline Ints operator&(Ints a, Ints b) {
  return {_mm512_and_si512(a.value, b.value)};
}
inline Ints operator|(Ints a, Ints b) {
  return {_mm512_or_si512(a.value, b.value)};
}
inline Ints operator^(Ints a, Ints b) {
  return {_mm512_xor_si512(a.value, b.value)};
}
template <int n>
Ints shift_left(Ints a) {
  return {_mm512_slli_epi32(a.value, n)};
}
template <int n>
Ints shift_right(Ints a) {
  return {_mm512_srli_epi32(a.value, n)};
}
inline Ints max_unsigned(Ints a, Ints b) {
  return {_mm512_max_epu32(a.value, b.value)};
}

struct WideProduct {
  Ints low, high;
};
inline WideProduct multiply_wide(Ints a, std::uint32_t factor) {
  const __m512i f = _mm512_set1_epi32(static_cast<std::int32_t>(factor));
  const __m512i even = _mm512_mul_epu32(a.value, f);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.value, 32), f);
  return {{_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))},
          {_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)}};
}

inline float sum_of_lanes(Floats a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.value), _mm512_extractf32x8_ps(a.value, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_of_lanes(Floats a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.value), _mm512_extractf32x8_ps(a.value, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// sum_of_lanes() or max_of_lanes() of sixteen rows at once, row i in lane i: the same tree, two rows an
// operation.
template <class Join>
Floats joined_rows(const Floats* rows, Join join) {
  __m512 four[4];
  for (int i = 0; i < 4; ++i) {
    const auto eight = [&](int row) {
      const __m512 a = rows[row].value;
      const __m512 b = rows[row + 1].value;
      return join(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    };
    const __m512 x = eight(4 * i);
    const __m512 y = eight(4 * i + 2);
    four[i] = join(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  }
  const auto two = [&](int i) {
    return join(_mm512_shuffle_ps(four[i], four[i + 1], 0x44), _mm512_shuffle_ps(four[i], four[i + 1], 0xee));
  };
  const __m512 u = two(0);
  const __m512 v = two(2);
  const __m512 mixed = join(_mm512_shuffle_ps(u, v, 0x88), _mm512_shuffle_ps(u, v, 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return {_mm512_permutexvar_ps(order, mixed)};
}
inline Floats sums_of_rows(const Floats* rows) {
  return joined_rows(rows, [](__m512 a, __m512 b) { return _mm512_add_ps(a, b); });
}
inline Floats maxima_of_rows(const Floats* rows) {
  return joined_rows(rows, [](__m512 a, __m512 b) { return _mm512_max_ps(a, b); });
}
inline std::uint32_t max_of_lanes_unsigned(Ints a) {
  return _mm512_reduce_max_epu32(a.value);
}

inline void add_fixed_point(Floats a, Floats scale, std::int64_t* sum) {
  const __m512 scaled = _mm512_mul_ps(a.value, scale.value);
  const __m512i low = _mm512_cvtps_epi64(_mm512_castps512_ps256(scaled));
  const __m512i high = _mm512_cvtps_epi64(_mm512_extractf32x8_ps(scaled, 1));
  _mm512_storeu_si512(sum, _mm512_add_epi64(_mm512_loadu_si512(sum), low));
  _mm512_storeu_si512(sum + 8, _mm512_add_epi64(_mm512_loadu_si512(sum + 8), high));
}

}  // namespace megalith::cpu::avx512
