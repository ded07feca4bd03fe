// Kernels of the optimizer, templates over the lanes of one kernel family. The loops over 64-bit integers are
// plain: the compiler vectorises them where the family has the instructions.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/bf16.h"
#include "core/digest.h"

namespace megalith::cpu {

// Scalars of one AdamW update, as device/optimizer.h names them.
struct AdamScalars {
  double factor;  // 2^-shift / divisor; of gradients in f32, 1 / divisor
  float clip, rate, beta1, beta2, epsilon, decay, bias_correction1, bias_correction2;
};

// Partial square sum in the two limbs of core/fixed_point.h's SquareSum.
struct SquareLimbs {
  std::int64_t high = 0;
  std::int64_t low = 0;
};

struct OptimizerKernels {
  // REQUIRES: count <= 1024, so that the limbs cannot overflow.
  SquareLimbs (*squares)(const std::int64_t* gradient, double factor, std::int64_t count);
  double (*squares_f32)(const float* gradient, double factor, std::int64_t count);
  void (*adam)(const std::int64_t* gradient, const AdamScalars& scalars, std::int64_t count, float* master,
               float* m, float* v, bf16* working_bf16, float* working_f32);
  void (*adam_f32)(const float* gradient, const AdamScalars& scalars, std::int64_t count, float* master,
                   float* m, float* v, bf16* working_bf16, float* working_f32);
  void (*cast_bf16)(const float* from, std::int64_t count, bf16* to);
  // Sum mod 2^64 of element_digest(first_index + i, bits of values[i]).
  std::uint64_t (*digest)(const float* values, std::uint64_t first_index, std::int64_t count);
  bool (*finite_f32)(const float* values, std::int64_t count);
  bool (*finite_bf16)(const bf16* values, std::int64_t count);
};

OptimizerKernels optimizer_kernels_portable();
OptimizerKernels optimizer_kernels_avx2();
OptimizerKernels optimizer_kernels_avx512();

template <class F>
struct OptimizerFamily {
  static float mean_gradient(std::int64_t fixed, double factor) {
    return static_cast<float>(static_cast<double>(fixed) * factor);
  }
  static float mean_gradient(float sum, double factor) { return sum * static_cast<float>(factor); }

  static SquareLimbs squares(const std::int64_t* gradient, double factor, std::int64_t count) {
    SquareLimbs limbs;
    for (std::int64_t i = 0; i < count; ++i) {
      const double g = static_cast<double>(mean_gradient(gradient[i], factor));
      const double square = g * g;
      const double high = (square * 0x1p20 + 0x1.8p52) - 0x1.8p52;
      const double low = ((square - high * 0x1p-20) * 0x1p72 + 0x1.8p52) - 0x1.8p52;
      limbs.high += static_cast<std::int64_t>(high);
      limbs.low += static_cast<std::int64_t>(low);
    }
    return limbs;
  }

  // A square is exact in fp64, so whether the compiler fuses does not matter.
  static double squares_f32(const float* gradient, double factor, std::int64_t count) {
    double lanes[16] = {};
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      for (int j = 0; j < 16; ++j) {
        const auto g = static_cast<double>(mean_gradient(gradient[i + j], factor));
        lanes[j] += g * g;
      }
    }
    for (; i < count; ++i) {
      const auto g = static_cast<double>(mean_gradient(gradient[i], factor));
      lanes[i % 16] += g * g;
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    }
    return lanes[0];
  }

  template <class G>
  static void adam(const G* gradient, const AdamScalars& scalars, std::int64_t count, float* master, float* m,
                   float* v, bf16* working_bf16, float* working_f32) {
    const F clip = F::broadcast(scalars.clip);
    const F beta1 = F::broadcast(scalars.beta1);
    const F beta2 = F::broadcast(scalars.beta2);
    const F rest1 = F::broadcast(1.0f - scalars.beta1);
    const F rest2 = F::broadcast(1.0f - scalars.beta2);
    const F correction1 = F::broadcast(scalars.bias_correction1);
    const F correction2 = F::broadcast(scalars.bias_correction2);
    const F epsilon = F::broadcast(scalars.epsilon);
    const F decay = F::broadcast(scalars.decay);
    const F minus_rate = F::broadcast(-scalars.rate);
    for (std::int64_t i = 0; i < count; i += 16) {
      const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
      float mean[16] = {};
      if (lanes == 16) {
        for (int j = 0; j < 16; ++j) mean[j] = mean_gradient(gradient[i + j], scalars.factor);
      } else {
        for (int j = 0; j < lanes; ++j) mean[j] = mean_gradient(gradient[i + j], scalars.factor);
      }
      const F g = F::load(mean) * clip;
      const F new_m = fma(beta1, F::load_first(m + i, lanes), rest1 * g);
      const F new_v = fma(beta2, F::load_first(v + i, lanes), (rest2 * g) * g);
      const F update = (new_m * correction1) / (sqrt(new_v * correction2) + epsilon);
      const F w = F::load_first(master + i, lanes);
      const F new_w = fma(minus_rate, fma(decay, w, update), w);
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

  static std::uint64_t digest(const float* values, std::uint64_t first_index, std::int64_t count) {
    std::uint64_t sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      sum += element_digest(first_index + static_cast<std::uint64_t>(i),
                            std::bit_cast<std::uint32_t>(values[i]));
    }
    return sum;
  }

  template <class T>
  static bool finite(const T* values, std::int64_t count) {
    using Ints = typename F::Ints;
    const Ints magnitude = Ints::broadcast(0x7fffffff);
    Ints greatest[4];
    for (Ints& g : greatest) g = Ints::broadcast(0);
    std::int64_t i = 0;
    for (; i + 64 <= count; i += 64) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        greatest[k] = max_unsigned(greatest[k], bits_of(F::load(values + i + 16 * k)) & magnitude);
      }
    }
    for (; i < count; i += 16) {
      const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
      greatest[0] = max_unsigned(greatest[0], bits_of(F::load_first(values + i, lanes)) & magnitude);
    }
    return max_of_lanes_unsigned(max_unsigned(max_unsigned(greatest[0], greatest[1]),
                                              max_unsigned(greatest[2], greatest[3]))) < 0x7f800000u;
  }

  static OptimizerKernels kernels() {
    return {.squares = squares,
            .squares_f32 = squares_f32,
            .adam = adam<std::int64_t>,
            .adam_f32 = adam<float>,
            .cast_bf16 = cast_bf16,
            .digest = digest,
            .finite_f32 = finite<float>,
            .finite_bf16 = finite<bf16>};
  }
};

}  // namespace megalith::cpu
