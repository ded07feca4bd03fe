// Attention whose products of bf16 are vdpbf16ps: two terms of sixteen chains an instruction, the high one
// first. Everything else is the AVX-512 family's.
#include "device/cpu/simd/avx512.h"

#include "device/cpu/attention/attention_family.h"

namespace megalith::cpu {
namespace avx512_bf16 {

struct AttentionTraits {
  using Floats = avx512::Floats;
  static constexpr int kBf16Terms = 2;
  static constexpr int kRows = 6;  // register tile: rows x vectors of 16 lanes
  static constexpr int kVectors = 4;

  static Floats multiply_words(Floats a, Floats b, Floats sum) {
    return {_mm512_dpbf16_ps(sum.value, reinterpret_cast<__m512bh>(a.value),
                             reinterpret_cast<__m512bh>(b.value))};
  }

  // Nearest even. The instruction takes denormals for zero, as every product does that reads the result.
  static void store_rounded(Floats value, float* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value.value)));
  }

  // Sixteen columns of two rows as words; a missing row is zero.
  static __m512i words_of(const bf16* low, const bf16* high, __mmask16 columns) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i lower = low == nullptr ? zero : _mm256_maskz_loadu_epi16(columns, low);
    const __m256i upper = high == nullptr ? zero : _mm256_maskz_loadu_epi16(columns, high);
    return _mm512_or_si512(_mm512_cvtepu16_epi32(lower), _mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
  }
  // Picks elements `from` .. `from + 15` of two vectors in turn.
  static __m512i alternating(int from) {
    const __m512i counting = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low = _mm512_add_epi32(counting, _mm512_set1_epi32(from));
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_or_si512(low, _mm512_set1_epi32(32)), 16));
  }
  // `size` columns of two rows as `padded` words, zero past the end.
  static void interleave(const bf16* low, const bf16* high, int size, int padded, float* to) {
    int j = 0;
    if (low != nullptr && high != nullptr) {
      for (; j + 32 <= size; j += 32) {
        const __m512i lower = _mm512_loadu_si512(low + j);
        const __m512i upper = _mm512_loadu_si512(high + j);
        _mm512_storeu_si512(to + j, _mm512_permutex2var_epi16(lower, alternating(0), upper));
        _mm512_storeu_si512(to + j + 16, _mm512_permutex2var_epi16(lower, alternating(16), upper));
      }
    }
    for (; j < padded; j += 16) {
      const int left = size - j;
      const __mmask16 columns = avx512::first_mask(left >= 16 ? 16 : left);
      _mm512_storeu_si512(
          to + j, words_of(low == nullptr ? low : low + j, high == nullptr ? high : high + j, columns));
    }
  }
};

}  // namespace avx512_bf16

AttentionFamily attention_avx512_bf16() {
  AttentionFamily family = attention_avx512();
  family.bf16 = attention_kernels<avx512_bf16::AttentionTraits, bf16>();
  return family;
}

}  // namespace megalith::cpu
