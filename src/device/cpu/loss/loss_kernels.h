// Kernels of the cross entropy over one row of logits, templates over the lanes of one kernel family.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/bf16.h"
#include "core/elementary.h"
#include "device/cpu/prefetch.h"
#include "device/cpu/simd/several.h"

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
  // Of two parts that are not empty: M = max, S = s1 exp(m1 - M) + s2 exp(m2 - M).
  SoftmaxPart (*join)(SoftmaxPart a, SoftmaxPart b);
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
LossKernels loss_kernels_avx512_bf16();

template <class F>
struct LossFamily {
  // Flattened, as in elementwise_kernels.h: calls in these loops would go through memory.
  [[gnu::flatten]] static SoftmaxPart block(const float* logits, std::int64_t count) {
    // A maximum is the same in any order, so it is taken in several chains; the sum is one chain.
    using Together = Several<F, 4>;
    Together greatest_of_four = Together::broadcast(-INFINITY);
    std::int64_t i = 0;
    for (; i + 64 <= count; i += 64) greatest_of_four = max(Together::load(logits + i), greatest_of_four);
    F greatest = max(max(greatest_of_four.part[0], greatest_of_four.part[1]),
                     max(greatest_of_four.part[2], greatest_of_four.part[3]));
    for (; i + 16 <= count; i += 16) greatest = max(F::load(logits + i), greatest);
    const int rest = static_cast<int>(count - i);
    if (rest > 0) {
      greatest =
          max(select(F::first(rest), F::load_first(logits + i, rest), F::broadcast(-INFINITY)), greatest);
    }
    SoftmaxPart part;
    part.greatest = max_of_lanes(greatest);
    F sum = F::zero();
    for_interleaved<F>(count, [&](std::int64_t at, auto place) {
      using Lanes = typename decltype(place)::Lanes;
      // The block that comes next: this pass reads what the one above has brought.
      ask_for(logits + count + at, 16 * F::kInterleave);
      const Lanes e = exp_softmax_lanes(place.load(logits + at) - Lanes::broadcast(part.greatest));
      if constexpr (std::is_same_v<decltype(place), FirstLanes<F>>) {
        sum = sum + select(F::first(place.lanes), e, F::zero());
      } else if constexpr (std::is_same_v<Lanes, F>) {
        sum = sum + e;
      } else {
#pragma GCC unroll 8
        for (int k = 0; k < Lanes::kGroups; ++k) sum = sum + e.part[k];
      }
    });
    part.sum = sum_of_lanes(sum);
    return part;
  }

  [[gnu::flatten]] static SoftmaxPart join(SoftmaxPart a, SoftmaxPart b) {
    const float greatest = a.greatest > b.greatest ? a.greatest : b.greatest;
    alignas(64) float factors[16] = {a.greatest - greatest, b.greatest - greatest};
    exp_softmax_lanes(F::load(factors)).store(factors);
    return {.greatest = greatest, .sum = a.sum * factors[0] + b.sum * factors[1]};
  }

  template <class T>
  [[gnu::flatten]] static void softmax(const float* logits, SoftmaxPart row, SoftmaxSlope slope,
                                       std::int64_t count, T* out) {
    for_interleaved<F>(count, [&](std::int64_t i, auto place) {
      using Lanes = typename decltype(place)::Lanes;
      const Lanes z = place.load(logits + i);
      const Lanes value = exp_softmax_lanes(z - Lanes::broadcast(row.greatest)) / Lanes::broadcast(row.sum) *
                          Lanes::broadcast(slope.scale);
      place.store(slope.softcap == 0 ? value : value * cap_slope(z, Lanes::broadcast(slope.softcap)),
                  out + i);
    });
  }

  [[gnu::flatten]] static void cap_row(float* logits, float cap, std::int64_t count) {
    for_interleaved<F>(count, [&](std::int64_t i, auto place) {
      using Lanes = typename decltype(place)::Lanes;
      const Lanes limit = Lanes::broadcast(cap);
      place.store(limit * tanh_lanes(place.load(logits + i) / limit), logits + i);
    });
  }

  static LossKernels kernels() {
    return {.block = block,
            .join = join,
            .softmax_f32 = softmax<float>,
            .softmax_bf16 = softmax<bf16>,
            .cap = cap_row};
  }
};

}  // namespace megalith::cpu
