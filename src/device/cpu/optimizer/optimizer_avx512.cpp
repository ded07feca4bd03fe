#include "device/cpu/optimizer/optimizer_kernels.h"
#include "device/cpu/simd/avx512.h"

namespace megalith::cpu {
namespace {

// Eight elements of OptimizerFamily::squares at once. Scaling by a power of two is exact, so the fused forms
// round once where the separate ones do.
struct LimbsOfEight {
  __m512i high = _mm512_setzero_si512();
  __m512i low = _mm512_setzero_si512();
  void add(__m512i gradient, __m512d factor) {
    const __m512d magic = _mm512_set1_pd(0x1.8p52);
    const __m512d g = _mm512_cvtps_pd(_mm512_cvtpd_ps(_mm512_mul_pd(_mm512_cvtepi64_pd(gradient), factor)));
    const __m512d square = _mm512_mul_pd(g, g);
    const __m512d above = _mm512_sub_pd(_mm512_fmadd_pd(square, _mm512_set1_pd(0x1p20), magic), magic);
    const __m512d left = _mm512_fnmadd_pd(above, _mm512_set1_pd(0x1p-20), square);
    const __m512d below = _mm512_sub_pd(_mm512_fmadd_pd(left, _mm512_set1_pd(0x1p72), magic), magic);
    high = _mm512_add_epi64(high, _mm512_cvttpd_epi64(above));
    low = _mm512_add_epi64(low, _mm512_cvttpd_epi64(below));
  }
};

SquareLimbs squares_of_eights(const std::int64_t* gradient, double factor, std::int64_t count) {
  const __m512d factors = _mm512_set1_pd(factor);
  LimbsOfEight limbs[2];
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    limbs[0].add(_mm512_loadu_si512(gradient + i), factors);
    limbs[1].add(_mm512_loadu_si512(gradient + i + 8), factors);
  }
  SquareLimbs total = OptimizerFamily<avx512::Floats>::squares(gradient + i, factor, count - i);
  total.high += _mm512_reduce_add_epi64(_mm512_add_epi64(limbs[0].high, limbs[1].high));
  total.low += _mm512_reduce_add_epi64(_mm512_add_epi64(limbs[0].low, limbs[1].low));
  return total;
}

// Eight elements of element_digest at once, two groups in flight.
__m512i digest_of_eight(__m512i index_product, __m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __mmask8 nan = _mm256_cmpgt_epi32_mask(magnitude, _mm256_set1_epi32(0x7f800000));
  __m256i one = _mm256_maskz_mov_epi32(_mm256_test_epi32_mask(magnitude, magnitude), bits);
  one = _mm256_mask_mov_epi32(one, nan, _mm256_set1_epi32(0x7fc00000));
  const auto xorshift = [](__m512i x, unsigned places) {
    return _mm512_xor_si512(x, _mm512_srli_epi64(x, places));
  };
  __m512i x = _mm512_add_epi64(index_product, _mm512_cvtepu32_epi64(one));
  x = _mm512_mullo_epi64(xorshift(x, 30), _mm512_set1_epi64(static_cast<long long>(0xBF58476D1CE4E5B9u)));
  x = _mm512_mullo_epi64(xorshift(x, 27), _mm512_set1_epi64(static_cast<long long>(0x94D049BB133111EBu)));
  return xorshift(x, 31);
}

std::uint64_t digest_of_eights(const float* values, std::uint64_t first_index, std::int64_t count) {
  constexpr std::uint64_t kIndexFactor = 0x9E3779B97F4A7C15u;
  constexpr int kGroups = 4;
  const auto product = [](std::uint64_t index) { return static_cast<long long>(index * kIndexFactor); };
  __m512i index_product[kGroups];
  __m512i sum[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    const std::uint64_t at = first_index + 8u * static_cast<unsigned>(g);
    index_product[g] = _mm512_setr_epi64(product(at), product(at + 1), product(at + 2), product(at + 3),
                                         product(at + 4), product(at + 5), product(at + 6), product(at + 7));
    sum[g] = _mm512_setzero_si512();
  }
  const __m512i step = _mm512_set1_epi64(product(8 * kGroups));
  std::int64_t i = 0;
  for (; i + 8 * kGroups <= count; i += 8 * kGroups) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      sum[g] =
          _mm512_add_epi64(sum[g], digest_of_eight(index_product[g], _mm256_loadu_ps(values + i + 8 * g)));
      index_product[g] = _mm512_add_epi64(index_product[g], step);
    }
  }
  const __m512i total = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  const auto rest = OptimizerFamily<avx512::Floats>::digest(
      values + i, first_index + static_cast<std::uint64_t>(i), count - i);
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(total)) + rest;
}

}  // namespace

OptimizerKernels optimizer_kernels_avx512() {
  OptimizerKernels kernels = OptimizerFamily<avx512::Floats>::kernels();
  kernels.squares = squares_of_eights;
  kernels.digest = digest_of_eights;
  return kernels;
}

}  // namespace megalith::cpu
