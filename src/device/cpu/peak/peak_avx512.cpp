#include <immintrin.h>

#include "device/cpu/peak/peak_loops.h"

namespace megalith::cpu {

double peak_avx512(std::int64_t rounds) {
  constexpr int kChains = 24;
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_setzero_ps();
  __m512i operand = _mm512_setzero_si512();
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) {
      chain[c] = _mm512_fmadd_ps(_mm512_castsi512_ps(operand), _mm512_castsi512_ps(operand), chain[c]);
    }
    __asm__ volatile("" : "+v"(operand));
  }
  __m512 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm512_add_ps(total, chain[c]);
  __asm__ volatile("" : : "v"(total));
  return static_cast<double>(rounds) * kChains * 16 * 2;
}

void copy_avx512(const float* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 64) {
#pragma GCC unroll 4
    for (int j = 0; j < 64; j += 16) _mm512_storeu_ps(to + i + j, _mm512_loadu_ps(from + i + j));
    __asm__ volatile("" : : : "memory");  // else it becomes memcpy, which may store past the caches
  }
}

}  // namespace megalith::cpu
