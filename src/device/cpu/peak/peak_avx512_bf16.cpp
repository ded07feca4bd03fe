#include <immintrin.h>

#include "device/cpu/peak/peak_loops.h"

namespace megalith::cpu {

double peak_avx512_bf16(std::int64_t rounds) {
  constexpr int kChains = 24;
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_setzero_ps();
  __m512i operand = _mm512_setzero_si512();
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) {
      chain[c] = _mm512_dpbf16_ps(chain[c], (__m512bh)operand, (__m512bh)operand);
    }
    __asm__ volatile("" : "+v"(operand));
  }
  __m512 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm512_add_ps(total, chain[c]);
  __asm__ volatile("" : : "v"(total));
  return static_cast<double>(rounds) * kChains * 32 * 2;
}

}  // namespace megalith::cpu
