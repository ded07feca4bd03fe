// Kernels of the optimizer, templates over the lanes of one kernel family. The loops over 64-bit integers are
// plain: the compiler vectorises them where the family has the instructions.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/bf16.h"
#include "device/cpu/optimizer/optimizer_arithmetic.h"

namespace megalith::cpu {

struct OptimizerKernels {
  // REQUIRES: count <= 1024, so that the limbs cannot overflow.
  SquareLimbs (*squares)(const std::int64_t* gradient, double factor, std::int64_t count);
  void (*adam)(const std::int64_t* gradient, const AdamScalars& scalars, std::int64_t count, float* master,
               float* m, float* v, bf16* working_bf16, float* working_f32);
  void (*cast_bf16)(const float* from, std::int64_t count, bf16* to);
  bool (*finite_f32)(const float* values, std::int64_t count);
  bool (*finite_bf16)(const bf16* values, std::int64_t count);
};

OptimizerKernels optimizer_kernels_portable();
OptimizerKernels optimizer_kernels_avx2();
OptimizerKernels optimizer_kernels_avx512();

template <class F>
struct OptimizerFamily {
  static SquareLimbs squares(const std::int64_t* gradient, double factor, std::int64_t count) {
    SquareLimbs limbs;
    for (std::int64_t i = 0; i < count; ++i) limbs.add(mean_gradient(gradient[i], factor));
    return limbs;
  }

  static void adam(const std::int64_t* gradient, const AdamScalars& scalars, std::int64_t count,
                   float* master, float* m, float* v, bf16* working_bf16, float* working_f32) {
    const AdamStep<F> step(scalars);
    for (std::int64_t i = 0; i < count; i += 16) {
      const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
      float mean[16] = {};
      if (lanes == 16) {
        for (int j = 0; j < 16; ++j) mean[j] = mean_gradient(gradient[i + j], scalars.factor);
      } else {
        for (int j = 0; j < lanes; ++j) mean[j] = mean_gradient(gradient[i + j], scalars.factor);
      }
      F new_m = F::load_first(m + i, lanes);
      F new_v = F::load_first(v + i, lanes);
      F new_w = F::load_first(master + i, lanes);
      step.apply(F::load(mean), new_m, new_v, new_w);
      new_m.store_first(m + i, lanes);
      new_v.store_first(v + i, lanes);
      new_w.store_first(master + i, lanes);
      if (working_bf16 != nullptr) new_w.store_first(working_bf16 + i, lanes);
      if (working_f32 != nullptr) new_w.store_first(working_f32 + i, lanes);
    }
  }

  static void cast_bf16(const float* from, std::int64_t count, bf16* to) {
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) F::load(from + i).store(to + i);
    if (i < count)
      F::load_first(from + i, static_cast<int>(count - i)).store_first(to + i, static_cast<int>(count - i));
  }

  template <class T>
  static bool finite(const T* values, std::int64_t count) {
    using Ints = typename F::Ints;
    Ints greatest = Ints::broadcast(0);
    for (std::int64_t i = 0; i < count; i += 16) {
      const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
      greatest =
          max_unsigned(greatest, bits_of(F::load_first(values + i, lanes)) & Ints::broadcast(0x7fffffff));
    }
    return max_of_lanes_unsigned(greatest) < 0x7f800000u;
  }

  static OptimizerKernels kernels() {
    return {.squares = squares,
            .adam = adam,
            .cast_bf16 = cast_bf16,
            .finite_f32 = finite<float>,
            .finite_bf16 = finite<bf16>};
  }
};

}  // namespace megalith::cpu
