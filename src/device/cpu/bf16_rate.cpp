#include "device/cpu/bf16_rate.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <chrono>

namespace megalith::cpu {
namespace {

constexpr int kChains = 16;  // enough to hide the latency of either instruction
constexpr int kRounds = 5000;

using Clock = std::chrono::steady_clock;

struct BfloatStep {
  __attribute__((target("avx512f,avx512bf16"), always_inline)) void operator()(__m512& chain,
                                                                               __m512i x) const {
    chain = _mm512_dpbf16_ps(chain, (__m512bh)x, (__m512bh)x);
  }
};
struct FloatStep {
  __attribute__((target("avx512f,avx512bf16"), always_inline)) void operator()(__m512& chain,
                                                                               __m512i x) const {
    chain = _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(x), chain);
  }
};

template <class Step>
__attribute__((target("avx512f,avx512bf16"))) double seconds(Step step) {
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_setzero_ps();
  __m512i operand = _mm512_setzero_si512();
  const Clock::time_point start = Clock::now();
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) step(chain[c], operand);
    __asm__ volatile("" : "+v"(operand));  // keeps the rounds apart
  }
  const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  __m512 total = chain[0];
  for (int c = 1; c < kChains; ++c) total = _mm512_add_ps(total, chain[c]);
  __asm__ volatile("" : : "v"(total));  // keeps the chains alive
  return elapsed;
}

}  // namespace

bool bf16_instruction_is_faster() {
  double bfloat = 1e9;
  double plain = 1e9;
  for (int repeat = 0; repeat < 4; ++repeat) {  // minimum of interleaved repeats: the machine may be shared
    bfloat = std::min(bfloat, seconds(BfloatStep{}));
    plain = std::min(plain, seconds(FloatStep{}));
  }
  return bfloat < 2 * plain;  // one vdpbf16ps does the work of two fma
}

}  // namespace megalith::cpu

#else

namespace megalith::cpu {
bool bf16_instruction_is_faster() {
  return false;
}
}  // namespace megalith::cpu

#endif
