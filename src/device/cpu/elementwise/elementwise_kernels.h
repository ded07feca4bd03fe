// Kernels of row- and element-wise operations, templates over the lanes of one kernel family and the stored
// type. Raw pointers only: these files are compiled with the family's own instruction set.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/elementary.h"

namespace megalith::cpu {

template <class T>
struct ElementwiseKernels {
  // One row of LayerNormForward; bias may be null.
  void (*norm_forward)(const T* x, const float* gain, const float* bias, float epsilon, std::int64_t count,
                       T* y, float* mean, float* rstd);
  // One row of LayerNormBackward's dx; residual may be null, and dx may be residual.
  void (*norm_backward)(const T* dy, const T* x, float mean, float rstd, const float* gain, const T* residual,
                        std::int64_t count, T* dx);
  // Up to 16 columns of one block of rows: adds the fixed-point sums of dy n to dgain and of dy to dbias (may
  // be null). Returns the greatest magnitude's bits.
  std::uint32_t (*norm_gradients)(const T* dy, const T* x, std::int64_t stride, const float* mean,
                                  const float* rstd, std::int64_t rows, int columns, float scale,
                                  std::int64_t* dgain, std::int64_t* dbias);
  void (*gelu_forward)(bool use_erf, const T* x, std::int64_t count, T* y);
  void (*gelu_backward_f32)(bool use_erf, const T* x, const float* dy, std::int64_t count, T* dx);
  void (*gelu_backward)(bool use_erf, const T* x, const T* dy, std::int64_t count, T* dx);
  // One row; bias and multipliers may be null. A multiplier is 0 (dropped) or the scale of what is kept.
  void (*bias_dropout_residual)(const float* x, const float* bias, const T* residual,
                                const float* multipliers, std::int64_t count, T* y);
  void (*dropout_backward)(const T* dy, const float* multipliers, std::int64_t count, T* dx);
  void (*embed)(const T* token, const T* position, const float* multipliers, std::int64_t count, T* y);
  // sum += fixed point of the row times its multipliers (null: 1); returns the greatest magnitude's bits.
  std::uint32_t (*add_row)(const T* row, const float* multipliers, float scale, std::int64_t count,
                           std::int64_t* sum, std::int64_t* second_sum);
};

template <class T>
ElementwiseKernels<T> elementwise_kernels_portable();
template <class T>
ElementwiseKernels<T> elementwise_kernels_avx2();
template <class T>
ElementwiseKernels<T> elementwise_kernels_avx512();

// Calls body(offset, lanes) for whole groups of 16 and then for the rest.
template <class Body>
void for_lanes(std::int64_t count, Body body) {
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

template <class F, class T>
F load_lanes(const T* from, int lanes) {
  return lanes == 16 ? F::load(from) : F::load_first(from, lanes);
}
template <class F, class T>
void store_lanes(F value, T* to, int lanes) {
  if (lanes == 16) {
    value.store(to);
  } else {
    value.store_first(to, lanes);
  }
}
// Dropped lanes are selected to zero, so that Inf or NaN in them does not survive.
template <class F>
F apply_multipliers(F value, const float* multipliers, int lanes) {
  if (multipliers == nullptr) return value;
  const F m = load_lanes<F>(multipliers, lanes);
  return select(less(F::zero(), m), value * m, F::zero());
}

// Phi(x) * x and its derivative, both from u and the pieces they share.
template <class F>
struct Gelu {
  static constexpr float kRootTwoOverPi = 0x1.988454p-1f;
  static constexpr float kCubic = 0x1.6e4e26p-5f;  // 0.044715
  static constexpr float kRootHalf = 0x1.6a09e6p-1f;
  static constexpr float kInverseRootTwoPi = 0x1.988454p-2f;

  // 1 / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3)
  static F sigmoid_of_twice_u(F x) {
    const F inner = x * fma(x * x, F::broadcast(kCubic), F::broadcast(1.0f));
    return F::broadcast(1.0f) /
           (F::broadcast(1.0f) + exp_lanes(inner * F::broadcast(-2.0f * kRootTwoOverPi)));
  }
  static F normal_cdf(F x) {
    return fma(erf_lanes(x * F::broadcast(kRootHalf)), F::broadcast(0.5f), F::broadcast(0.5f));
  }
  static F value(bool use_erf, F x) { return use_erf ? x * normal_cdf(x) : x * sigmoid_of_twice_u(x); }
  static F derivative(bool use_erf, F x) {
    if (use_erf) {
      const F density = exp_lanes(x * x * F::broadcast(-0.5f)) * F::broadcast(kInverseRootTwoPi);
      return fma(x, density, normal_cdf(x));
    }
    const F s = sigmoid_of_twice_u(x);
    const F twice_du =
        fma(x * x, F::broadcast(3.0f * kCubic), F::broadcast(1.0f)) * F::broadcast(2.0f * kRootTwoOverPi);
    // x s (1 - s) 2u'; where s is 0 the factor x may have overflowed to Inf in 2u', so it is taken last.
    return fma(s * (F::broadcast(1.0f) - s) * x, twice_du, s);
  }
};

template <class F, class T>
struct ElementwiseFamily {
  using Ints = typename F::Ints;

  static float row_sum(std::int64_t count, auto value_at) {
    F sum = F::zero();
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F value = value_at(i, lanes);
      sum = sum + (lanes == 16 ? value : select(F::first(lanes), value, F::zero()));
    });
    return sum_of_lanes(sum);
  }

  static void norm_forward(const T* x, const float* gain, const float* bias, float epsilon,
                           std::int64_t count, T* y, float* mean_out, float* rstd_out) {
    const float length = static_cast<float>(count);
    const float mean =
        row_sum(count, [&](std::int64_t i, int lanes) { return load_lanes<F>(x + i, lanes); }) / length;
    const F mean_lanes = F::broadcast(mean);
    const float squares = row_sum(count, [&](std::int64_t i, int lanes) {
      const F d = load_lanes<F>(x + i, lanes) - mean_lanes;
      return d * d;
    });
    const ScalarFloat root = sqrt(ScalarFloat{squares / length + epsilon});
    const float rstd = 1.0f / root.value;
    const F rstd_lanes = F::broadcast(rstd);
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F n = (load_lanes<F>(x + i, lanes) - mean_lanes) * rstd_lanes;
      const F scaled = n * load_lanes<F>(gain + i, lanes);
      store_lanes(bias == nullptr ? scaled : scaled + load_lanes<F>(bias + i, lanes), y + i, lanes);
    });
    *mean_out = mean;
    *rstd_out = rstd;
  }

  static void norm_backward(const T* dy, const T* x, float mean, float rstd, const float* gain,
                            const T* residual, std::int64_t count, T* dx) {
    const F mean_lanes = F::broadcast(mean);
    const F rstd_lanes = F::broadcast(rstd);
    const auto normed = [&](std::int64_t i, int lanes) {
      return (load_lanes<F>(x + i, lanes) - mean_lanes) * rstd_lanes;
    };
    const auto weighted = [&](std::int64_t i, int lanes) {
      return load_lanes<F>(dy + i, lanes) * load_lanes<F>(gain + i, lanes);
    };
    const float length = static_cast<float>(count);
    const F mean_g = F::broadcast(row_sum(count, weighted) / length);
    const F mean_gn = F::broadcast(
        row_sum(count, [&](std::int64_t i, int lanes) { return weighted(i, lanes) * normed(i, lanes); }) /
        length);
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F centred = (weighted(i, lanes) - mean_g) - normed(i, lanes) * mean_gn;
      F value = rstd_lanes * centred;
      if (residual != nullptr) value = load_lanes<F>(residual + i, lanes) + value;
      store_lanes(value, dx + i, lanes);
    });
  }

  // Adds up to 16 fixed-point values to memory that may end after `columns` of them.
  static std::uint32_t add_fixed(F value, float scale, int columns, std::int64_t* sum) {
    if (columns == 16) {
      add_fixed_point(value, F::broadcast(scale), sum);
    } else {
      std::int64_t part[16] = {};
      add_fixed_point(value, F::broadcast(scale), part);
      for (int j = 0; j < columns; ++j) {
        sum[j] = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[j]) +
                                           static_cast<std::uint64_t>(part[j]));
      }
    }
    return max_of_lanes_unsigned(bits_of(value) & Ints::broadcast(0x7fffffff));
  }

  static std::uint32_t norm_gradients(const T* dy, const T* x, std::int64_t stride, const float* mean,
                                      const float* rstd, std::int64_t rows, int columns, float scale,
                                      std::int64_t* dgain, std::int64_t* dbias) {
    F gain_sum = F::zero();
    F bias_sum = F::zero();
    for (std::int64_t r = 0; r < rows; ++r) {
      const F d = load_lanes<F>(dy + r * stride, columns);
      const F n = (load_lanes<F>(x + r * stride, columns) - F::broadcast(mean[r])) * F::broadcast(rstd[r]);
      gain_sum = gain_sum + select(F::first(columns), d * n, F::zero());
      bias_sum = bias_sum + d;
    }
    std::uint32_t greatest = add_fixed(gain_sum, scale, columns, dgain);
    if (dbias != nullptr) {
      const std::uint32_t of_bias = add_fixed(bias_sum, scale, columns, dbias);
      greatest = greatest > of_bias ? greatest : of_bias;
    }
    return greatest;
  }

  static void gelu_forward(bool use_erf, const T* x, std::int64_t count, T* y) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      store_lanes(Gelu<F>::value(use_erf, load_lanes<F>(x + i, lanes)), y + i, lanes);
    });
  }
  template <class D>
  static void gelu_backward(bool use_erf, const T* x, const D* dy, std::int64_t count, T* dx) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F slope = Gelu<F>::derivative(use_erf, load_lanes<F>(x + i, lanes));
      store_lanes(load_lanes<F>(dy + i, lanes) * slope, dx + i, lanes);
    });
  }

  static void bias_dropout_residual(const float* x, const float* bias, const T* residual,
                                    const float* multipliers, std::int64_t count, T* y) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      F value = load_lanes<F>(x + i, lanes);
      if (bias != nullptr) value = value + load_lanes<F>(bias + i, lanes);
      value = apply_multipliers(value, multipliers == nullptr ? nullptr : multipliers + i, lanes);
      store_lanes(load_lanes<F>(residual + i, lanes) + value, y + i, lanes);
    });
  }
  static void dropout_backward(const T* dy, const float* multipliers, std::int64_t count, T* dx) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      store_lanes(apply_multipliers(load_lanes<F>(dy + i, lanes), multipliers + i, lanes), dx + i, lanes);
    });
  }
  static void embed(const T* token, const T* position, const float* multipliers, std::int64_t count, T* y) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      F value = load_lanes<F>(token + i, lanes);
      if (position != nullptr) value = value + load_lanes<F>(position + i, lanes);
      store_lanes(apply_multipliers(value, multipliers == nullptr ? nullptr : multipliers + i, lanes), y + i,
                  lanes);
    });
  }
  static std::uint32_t add_row(const T* row, const float* multipliers, float scale, std::int64_t count,
                               std::int64_t* sum, std::int64_t* second_sum) {
    std::uint32_t greatest = 0;
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F value = apply_multipliers(load_lanes<F>(row + i, lanes),
                                        multipliers == nullptr ? nullptr : multipliers + i, lanes);
      const std::uint32_t bits = add_fixed(value, scale, lanes, sum + i);
      if (second_sum != nullptr) add_fixed(value, scale, lanes, second_sum + i);
      greatest = greatest > bits ? greatest : bits;
    });
    return greatest;
  }

  static ElementwiseKernels<T> kernels() {
    return {.norm_forward = norm_forward,
            .norm_backward = norm_backward,
            .norm_gradients = norm_gradients,
            .gelu_forward = gelu_forward,
            .gelu_backward_f32 = gelu_backward<float>,
            .gelu_backward = gelu_backward<T>,
            .bias_dropout_residual = bias_dropout_residual,
            .dropout_backward = dropout_backward,
            .embed = embed,
            .add_row = add_row};
  }
};

}  // namespace megalith::cpu
