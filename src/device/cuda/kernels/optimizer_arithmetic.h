// The optimizer's arithmetic for one element or one vector of them: shared by the CPU's kernel families and
// CUDA.
#pragma once

#include <cstdint>

#include "core/kernel_function.h"

namespace megalith::cuda {

// Scalars of one AdamW update, as device/optimizer.h names them.
struct AdamScalars {
  double factor;  // 2^-shift / divisor
  float clip, rate, beta1, beta2, epsilon, decay, bias_correction1, bias_correction2;
};

MEGALITH_KERNEL inline float mean_gradient(std::int64_t fixed, double factor) {
  return static_cast<float>(static_cast<double>(fixed) * factor);
}

// Partial square sum in the two limbs of core/fixed_point.h's SquareSum.
struct SquareLimbs {
  std::int64_t high = 0;
  std::int64_t low = 0;

  // REQUIRES: at most 1024 calls, so that the limbs cannot overflow.
  MEGALITH_KERNEL void add(float mean) {
    const double g = static_cast<double>(mean);
    const double square = g * g;
    const double high_part = (square * 0x1p20 + 0x1.8p52) - 0x1.8p52;
    const double low_part = ((square - high_part * 0x1p-20) * 0x1p72 + 0x1.8p52) - 0x1.8p52;
    high += static_cast<std::int64_t>(high_part);
    low += static_cast<std::int64_t>(low_part);
  }
};

// AdamW with its scalars in all lanes.
template <class F>
struct AdamStep {
  F clip, beta1, beta2, rest1, rest2, correction1, correction2, epsilon, decay, minus_rate;

  MEGALITH_KERNEL explicit AdamStep(const AdamScalars& s)
      : clip(F::broadcast(s.clip)),
        beta1(F::broadcast(s.beta1)),
        beta2(F::broadcast(s.beta2)),
        rest1(F::broadcast(1.0f - s.beta1)),
        rest2(F::broadcast(1.0f - s.beta2)),
        correction1(F::broadcast(s.bias_correction1)),
        correction2(F::broadcast(s.bias_correction2)),
        epsilon(F::broadcast(s.epsilon)),
        decay(F::broadcast(s.decay)),
        minus_rate(F::broadcast(-s.rate)) {}

  MEGALITH_KERNEL void apply(F mean, F& m, F& v, F& w) const {
    const F g = mean * clip;
    m = fma(beta1, m, rest1 * g);
    v = fma(beta2, v, (rest2 * g) * g);
    const F update = (m * correction1) / (sqrt(v * correction2) + epsilon);
    w = fma(minus_rate, fma(decay, w, update), w);
  }
};

}  // namespace megalith::cuda
