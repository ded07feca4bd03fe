#include "device/cpu/bf16_rate.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <chrono>

namespace megalith::cpu {
namespace {

constexpr int kChains = 16;  // enough to hide the latency of either instruction
constexpr int kRounds = 20000;

using Clock = std::chrono::steady_clock;

template <class Step>
__attribute__((target("avx512f,avx512bf16"))) double seconds(Step step) {
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_setzero_ps();
  const Clock::time_point start = Clock::now();
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      step(chain[c]);
      __asm__ volatile("" : "+v"(chain[c]));
    }
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct BfloatStep {
  __attribute__((target("avx512f,avx512bf16"), always_inline)) void operator()(__m512& c) const {
    const __m512bh one = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    c = _mm512_dpbf16_ps(c, one, one);
  }
};
struct FloatStep {
  __attribute__((target("avx512f,avx512bf16"), always_inline)) void operator()(__m512& c) const {
    const __m512 one = _mm512_set1_ps(1.0f);
    c = _mm512_fmadd_ps(one, one, c);
  }
};

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
bool bf16_instruction_is_faster() { return false; }
}  // namespace megalith::cpu

#endif
