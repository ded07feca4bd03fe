#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/simd/avx2.h"

namespace megalith::cpu {
namespace {

struct Dot {
  static constexpr int kWords = 2;
  static void store(const std::int32_t* q, std::int32_t* words) { store_as_pairs(q, words); }
  static __m256i products(__m256i bytes, __m256i even, __m256i odd) {
    const __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
    const __m256i high = _mm256_srli_epi16(bytes, 8);
    return _mm256_add_epi32(_mm256_madd_epi16(low, even), _mm256_madd_epi16(high, odd));
  }
  static avx2::Ints add(avx2::Ints sums, avx2::Ints bytes, const std::int32_t* words) {
    const __m256i even = _mm256_set1_epi32(words[0]);
    const __m256i odd = _mm256_set1_epi32(words[1]);
    return {_mm256_add_epi32(sums.low, products(bytes.low, even, odd)),
            _mm256_add_epi32(sums.high, products(bytes.high, even, odd))};
  }
};

}  // namespace

Int8Kernels int8_kernels_avx2() {
  return Int8Family<avx2::Floats, Dot, 1>::kernels("avx2");
}

}  // namespace megalith::cpu
