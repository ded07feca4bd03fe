// For processors without VNNI.
#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {
namespace {

struct Dot {
  static constexpr int kWords = 2;
  static void store(const std::int32_t* q, std::int32_t* words) { store_as_pairs(q, words); }
  static avx512::Ints add(avx512::Ints sums, avx512::Ints bytes, const std::int32_t* words) {
    const __m512i low = _mm512_and_si512(bytes.value, _mm512_set1_epi16(0xff));
    const __m512i high = _mm512_srli_epi16(bytes.value, 8);
    const __m512i even = _mm512_madd_epi16(low, _mm512_set1_epi32(words[0]));
    const __m512i odd = _mm512_madd_epi16(high, _mm512_set1_epi32(words[1]));
    return {_mm512_add_epi32(sums.value, _mm512_add_epi32(even, odd))};
  }
};

}  // namespace

Int8Kernels int8_kernels_avx512() {
  return Int8Family<avx512::Floats, Dot, 4>::kernels("avx512");
}

}  // namespace megalith::cpu
