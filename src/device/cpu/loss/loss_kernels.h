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

struct LossKernels {
  // One block of `count` logits.
  SoftmaxPart (*block)(const float* logits, std::int64_t count);
  // out = round(exp(z - greatest) / sum).
  void (*softmax_f32)(const float* logits, SoftmaxPart row, std::int64_t count, float* out);
  void (*softmax_bf16)(const float* logits, SoftmaxPart row, std::int64_t count, bf16* out);
};

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
  static void softmax(const float* logits, SoftmaxPart row, std::int64_t count, T* out) {
    const F m = F::broadcast(row.greatest);
    const F sum = F::broadcast(row.sum);
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) (exp_lanes(F::load(logits + i) - m) / sum).store(out + i);
    const int rest = static_cast<int>(count - i);
    if (rest > 0) (exp_lanes(F::load_first(logits + i, rest) - m) / sum).store_first(out + i, rest);
  }

  static LossKernels kernels() {
    return {.block = block, .softmax_f32 = softmax<float>, .softmax_bf16 = softmax<bf16>};
  }
};

}  // namespace megalith::cpu
