#include "device/cpu/peak/peak_loops.h"

namespace megalith::cpu {

// Multiply and add as the compiler finds best for the baseline instruction set; the portable kernels call
// fma, which may be slower still.
double peak_portable(std::int64_t rounds) {
  constexpr int kChains = 32;
  float chain[kChains] = {};
  float operand = 0.5f;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (float& c : chain) c = c * operand + operand;
#if defined(__x86_64__)
    __asm__ volatile("" : "+x"(operand));
#endif
  }
  volatile float keep = 0;
  for (const float c : chain) keep = keep + c;
  return static_cast<double>(rounds) * kChains * 2;
}

// The barrier keeps the compiler from calling memcpy, which may store past the caches.
void copy_portable(const float* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 64) {
    for (std::int64_t j = i; j < i + 64; ++j) to[j] = from[j];
    __asm__ volatile("" : : : "memory");
  }
}

}  // namespace megalith::cpu
