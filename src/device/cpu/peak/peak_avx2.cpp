#include <immintrin.h>

#include "device/cpu/peak/peak_loops.h"

namespace megalith::cpu {

double peak_avx2(std::int64_t rounds) {
  constexpr int kChains = 12;
  __m256 chain[kChains];
  for (__m256& c : chain) c = _mm256_setzero_ps();
  __m256 operand = _mm256_setzero_ps();
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = _mm256_fmadd_ps(operand, operand, chain[c]);
    __asm__ volatile("" : "+x"(operand));
  }
  __m256 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm256_add_ps(total, chain[c]);
  __asm__ volatile("" : : "x"(total));
  return static_cast<double>(rounds) * kChains * 8 * 2;
}

void copy_avx2(const float* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 32) {
#pragma GCC unroll 4
    for (int j = 0; j < 32; j += 8) _mm256_storeu_ps(to + i + j, _mm256_loadu_ps(from + i + j));
    __asm__ volatile("" : : : "memory");  // else it becomes memcpy, which may store past the caches
  }
}

}  // namespace megalith::cpu
