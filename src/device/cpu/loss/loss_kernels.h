// Kernels of the cross entropy over one row of logits, templates over the lanes of one kernel family.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/bf16.h"
#include "core/elementary.h"

namespace megalith::cpu {

// The softmax state of part of a row: the greatest logit and the sum of exp(z - greatest). (-Inf, 0) is
// empty.
struct SoftmaxPart {
  float greatest = -INFINITY;
  float sum = 0;
};

// What the gradient of a row's logits has besides the softmax.
struct SoftmaxSlope {
  float scale = 1;    // of the z-loss
  float softcap = 0;  // 0: none
};

struct LossKernels {
  // One block of `count` logits.
  SoftmaxPart (*block)(const float* logits, std::int64_t count);
  // out = round(exp(z - greatest) / sum * scale), with a cap times 1 - (z / cap)^2.
  void (*softmax_f32)(const float* logits, SoftmaxPart row, SoftmaxSlope slope, std::int64_t count,
                      float* out);
  void (*softmax_bf16)(const float* logits, SoftmaxPart row, SoftmaxSlope slope, std::int64_t count,
                       bf16* out);
  // logits = cap tanh(logits / cap)
  void (*cap)(float* logits, float cap, std::int64_t count);
};

// The slope of the cap, from the capped logit: 1 - (z / cap)^2.
template <class F>
F cap_slope(F z, F cap) {
  const F t = z / cap;
  return fma(F::zero() - t, t, F::broadcast(1.0f));
}

LossKernels loss_kernels_portable();
LossKernels loss_kernels_avx2();
LossKernels loss_kernels_avx512();

template <class F>
struct LossFamily {
  static SoftmaxPart block(const float* logits, std::int64_t count) {
    F greatest = F::broadcast(-INFINITY);
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) greatest = max(F::load(logits + i), greatest);
    const int rest = static_cast<int>(count - i);
    if (rest > 0) {
      greatest =
          max(select(F::first(rest), F::load_first(logits + i, rest), F::broadcast(-INFINITY)), greatest);
    }
    SoftmaxPart part;
    part.greatest = max_of_lanes(greatest);
    const F m = F::broadcast(part.greatest);
    F sum = F::zero();
    for (i = 0; i + 16 <= count; i += 16) sum = sum + exp_lanes(F::load(logits + i) - m);
    if (rest > 0) {
      sum = sum + select(F::first(rest), exp_lanes(F::load_first(logits + i, rest) - m), F::zero());
    }
    part.sum = sum_of_lanes(sum);
    return part;
  }

  template <class T>
  static void softmax(const float* logits, SoftmaxPart row, SoftmaxSlope slope, std::int64_t count, T* out) {
    const F m = F::broadcast(row.greatest);
    const F sum = F::broadcast(row.sum);
    const F scale = F::broadcast(slope.scale);
    const auto gradient = [&](F z) {
      const F value = exp_lanes(z - m) / sum * scale;
      return slope.softcap == 0 ? value : value * cap_slope(z, F::broadcast(slope.softcap));
    };
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) gradient(F::load(logits + i)).store(out + i);
    const int rest = static_cast<int>(count - i);
    if (rest > 0) gradient(F::load_first(logits + i, rest)).store_first(out + i, rest);
  }

  static void cap_row(float* logits, float cap, std::int64_t count) {
    const F limit = F::broadcast(cap);
    const auto capped = [&](F z) { return limit * tanh_lanes(z / limit); };
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) capped(F::load(logits + i)).store(logits + i);
    const int rest = static_cast<int>(count - i);
    if (rest > 0) capped(F::load_first(logits + i, rest)).store_first(logits + i, rest);
  }

  static LossKernels kernels() {
    return {.block = block, .softmax_f32 = softmax<float>, .softmax_bf16 = softmax<bf16>, .cap = cap_row};
  }
};

}  // namespace megalith::cpu
