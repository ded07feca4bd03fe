// Kernels of row- and element-wise operations, templates over the lanes of one kernel family and the stored
// type. Raw pointers only: these files are compiled with the family's own instruction set. The norms are
// compiled by nvcc too, where sixteen threads are the lanes (device/cuda/kernels/group_floats.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/elementary.h"
#include "device/activation.h"
#include "device/cpu/elementwise/activation_lanes.h"

namespace megalith::cpu {

template <class T>
struct ElementwiseKernels {
  // One row of NormForward; bias may be null.
  void (*norm_forward)(bool centred, const T* x, const float* gain, const float* bias, float epsilon,
                       std::int64_t count, T* y, float* mean, float* rstd);
  // One row of NormBackward's dx; residual may be null, and dx may be residual.
  void (*norm_backward)(bool centred, const T* dy, const T* x, float mean, float rstd, const float* gain,
                        const T* residual, std::int64_t count, T* dx);
  // Up to 16 columns of one block of rows: adds the fixed-point sums of dy n to dgain and of dy to dbias (may
  // be null). Returns the greatest magnitude's bits.
  std::uint32_t (*norm_gradients)(const T* dy, const T* x, std::int64_t stride, const float* mean,
                                  const float* rstd, std::int64_t rows, int columns, float scale,
                                  std::int64_t* dgain, std::int64_t* dbias);
  // y = act(x), or y = act(x) * up where up is not null; `count` of each.
  void (*activate)(Activation activation, const T* x, const T* up, std::int64_t count, T* y);
  // dx and, where up is not null, dup.
  void (*activate_backward_f32)(Activation activation, const T* x, const T* up, const float* dy,
                                std::int64_t count, T* dx, T* dup);
  void (*activate_backward)(Activation activation, const T* x, const T* up, const T* dy, std::int64_t count,
                            T* dx, T* dup);
  // One head of HeadRotation: `size` features, the first `rotated` of which turn by `table`. gain and rstd
  // may be null.
  void (*rotate)(const T* x, const float* gain, float epsilon, const float* table, int size, int rotated,
                 T* y, float* rstd);
  // Turns one head's dy back into `turned` and, where there is a gain, takes it through the norm and adds the
  // gain's gradient to gain_sum. Both are `size` floats.
  void (*rotate_backward)(const T* dy, const T* x, const float* gain, float rstd, const float* table,
                          int size, int rotated, float* turned, float* gain_sum, T* dx);
  // One row; biases and multipliers may be null. A multiplier is 0 (dropped) or the scale of what is kept.
  void (*bias_dropout_residual)(const float* x, const float* bias, const float* second_bias,
                                const T* residual, const float* multipliers, std::int64_t count, T* y);
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
MEGALITH_KERNEL void for_lanes(std::int64_t count, Body body) {
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

template <class F, class T>
MEGALITH_KERNEL F load_lanes(const T* from, int lanes) {
  return lanes == 16 ? F::load(from) : F::load_first(from, lanes);
}
template <class F, class T>
MEGALITH_KERNEL void store_lanes(F value, T* to, int lanes) {
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

// As add_fixed_point, to memory that ends after `lanes` sums.
template <class F>
void add_fixed_point_first(const F& value, const F& scale, int lanes, std::int64_t* sum) {
  std::int64_t part[16] = {};
  add_fixed_point(value, scale, part);
  for (int j = 0; j < lanes; ++j) {
    sum[j] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[j]) + static_cast<std::uint64_t>(part[j]));
  }
}

template <class F, class T>
struct ElementwiseFamily {
  using Ints = typename F::Ints;

  MEGALITH_KERNEL static float row_sum(std::int64_t count, auto value_at) {
    F sum = F::zero();
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F value = value_at(i, lanes);
      sum = sum + (lanes == 16 ? value : select(F::first(lanes), value, F::zero()));
    });
    return sum_of_lanes(sum);
  }

  MEGALITH_KERNEL static void norm_forward(bool centred, const T* x, const float* gain, const float* bias,
                                           float epsilon, std::int64_t count, T* y, float* mean_out,
                                           float* rstd_out) {
    const float length = static_cast<float>(count);
    float mean = 0;
    if (centred)
      mean = row_sum(count, [&](std::int64_t i, int lanes) { return load_lanes<F>(x + i, lanes); }) / length;
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

  MEGALITH_KERNEL static void norm_backward(bool centred, const T* dy, const T* x, float mean, float rstd,
                                            const float* gain, const T* residual, std::int64_t count, T* dx) {
    const F mean_lanes = F::broadcast(mean);
    const F rstd_lanes = F::broadcast(rstd);
    const auto normed = [&](std::int64_t i, int lanes) {
      return (load_lanes<F>(x + i, lanes) - mean_lanes) * rstd_lanes;
    };
    const auto weighted = [&](std::int64_t i, int lanes) {
      return load_lanes<F>(dy + i, lanes) * load_lanes<F>(gain + i, lanes);
    };
    const float length = static_cast<float>(count);
    const F mean_g = centred ? F::broadcast(row_sum(count, weighted) / length) : F::zero();
    const F mean_gn = F::broadcast(
        row_sum(count, [&](std::int64_t i, int lanes) { return weighted(i, lanes) * normed(i, lanes); }) /
        length);
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F difference = (weighted(i, lanes) - mean_g) - normed(i, lanes) * mean_gn;
      F value = rstd_lanes * difference;
      if (residual != nullptr) value = load_lanes<F>(residual + i, lanes) + value;
      store_lanes(value, dx + i, lanes);
    });
  }

  // Adds up to 16 fixed-point values to memory that may end after `columns` of them.
  MEGALITH_KERNEL static std::uint32_t add_fixed(F value, float scale, int columns, std::int64_t* sum) {
    if (columns == 16) {
      add_fixed_point(value, F::broadcast(scale), sum);
    } else {
      add_fixed_point_first(value, F::broadcast(scale), columns, sum);
    }
    return max_of_lanes_unsigned(bits_of(value) & Ints::broadcast(0x7fffffff));
  }

  MEGALITH_KERNEL static std::uint32_t norm_gradients(const T* dy, const T* x, std::int64_t stride,
                                                      const float* mean, const float* rstd, std::int64_t rows,
                                                      int columns, float scale, std::int64_t* dgain,
                                                      std::int64_t* dbias) {
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

  // Calls body with the activation's slopes: value(x) and derivative(x).
  template <class Body>
  MEGALITH_KERNEL static void with_slope(Activation activation, Body body) {
    switch (activation) {
      case Activation::gelu_erf:
        return body(GeluErf<F>{});
      case Activation::swiglu:
        return body(Silu<F>{});
      case Activation::gelu_tanh:
      case Activation::geglu:
        return body(GeluTanh<F>{});
    }
  }
  static void activate(Activation activation, const T* x, const T* up, std::int64_t count, T* y) {
    with_slope(activation, [&](auto slope) {
      for_lanes(count, [&](std::int64_t i, int lanes) {
        F value = slope.value(load_lanes<F>(x + i, lanes));
        if (up != nullptr) value = value * load_lanes<F>(up + i, lanes);
        store_lanes(value, y + i, lanes);
      });
    });
  }
  template <class D>
  static void activate_backward(Activation activation, const T* x, const T* up, const D* dy,
                                std::int64_t count, T* dx, T* dup) {
    with_slope(activation, [&](auto slope) {
      for_lanes(count, [&](std::int64_t i, int lanes) {
        const F input = load_lanes<F>(x + i, lanes);
        F gradient = load_lanes<F>(dy + i, lanes);
        if (up != nullptr) {
          const F factor = load_lanes<F>(up + i, lanes);
          store_lanes(gradient * slope.value(input), dup + i, lanes);
          gradient = gradient * factor;
        }
        store_lanes(gradient * slope.derivative(input), dx + i, lanes);
      });
    });
  }

  // Both halves of a pair from the two halves of the input, for every lane of the first half.
  template <class Pair>
  static void for_pairs(const float* table, int rotated, Pair pair) {
    const int half = rotated / 2;
    for_lanes(half, [&](std::int64_t i, int lanes) {
      pair(i, lanes, load_lanes<F>(table + i, lanes), load_lanes<F>(table + half + i, lanes));
    });
  }
  static void rotate(const T* x, const float* gain, float epsilon, const float* table, int size, int rotated,
                     T* y, float* rstd_out) {
    F rstd = F::broadcast(1.0f);
    if (gain != nullptr) {
      const float squares = row_sum(size, [&](std::int64_t i, int lanes) {
        const F value = load_lanes<F>(x + i, lanes);
        return value * value;
      });
      const ScalarFloat root = sqrt(ScalarFloat{squares / static_cast<float>(size) + epsilon});
      *rstd_out = 1.0f / root.value;
      rstd = F::broadcast(*rstd_out);
    }
    const auto input = [&](std::int64_t i, int lanes) {
      const F value = load_lanes<F>(x + i, lanes);
      return gain == nullptr ? value : (value * rstd) * load_lanes<F>(gain + i, lanes);
    };
    const int half = rotated / 2;
    for_pairs(table, rotated, [&](std::int64_t i, int lanes, F cosine, F sine) {
      const F low = input(i, lanes);
      const F high = input(half + i, lanes);
      store_lanes(fma(low, cosine, F::zero() - high * sine), y + i, lanes);
      store_lanes(fma(high, cosine, low * sine), y + half + i, lanes);
    });
    for_lanes(size - rotated, [&](std::int64_t i, int lanes) {
      store_lanes(input(rotated + i, lanes), y + rotated + i, lanes);
    });
  }
  static void rotate_backward(const T* dy, const T* x, const float* gain, float rstd, const float* table,
                              int size, int rotated, float* turned, float* gain_sum, T* dx) {
    const int half = rotated / 2;
    for_pairs(table, rotated, [&](std::int64_t i, int lanes, F cosine, F sine) {
      const F low = load_lanes<F>(dy + i, lanes);
      const F high = load_lanes<F>(dy + half + i, lanes);
      store_lanes(fma(low, cosine, high * sine), turned + i, lanes);
      store_lanes(fma(high, cosine, F::zero() - low * sine), turned + half + i, lanes);
    });
    for_lanes(size - rotated, [&](std::int64_t i, int lanes) {
      store_lanes(load_lanes<F>(dy + rotated + i, lanes), turned + rotated + i, lanes);
    });
    if (gain == nullptr) {
      for_lanes(size, [&](std::int64_t i, int lanes) {
        store_lanes(load_lanes<F>(turned + i, lanes), dx + i, lanes);
      });
      return;
    }
    const F rstd_lanes = F::broadcast(rstd);
    const auto normed = [&](std::int64_t i, int lanes) { return load_lanes<F>(x + i, lanes) * rstd_lanes; };
    const auto weighted = [&](std::int64_t i, int lanes) {
      return load_lanes<F>(turned + i, lanes) * load_lanes<F>(gain + i, lanes);
    };
    const F mean_gn = F::broadcast(
        row_sum(size, [&](std::int64_t i, int lanes) { return weighted(i, lanes) * normed(i, lanes); }) /
        static_cast<float>(size));
    for_lanes(size, [&](std::int64_t i, int lanes) {
      const F n = normed(i, lanes);
      store_lanes(load_lanes<F>(gain_sum + i, lanes) + load_lanes<F>(turned + i, lanes) * n, gain_sum + i,
                  lanes);
      store_lanes(rstd_lanes * (weighted(i, lanes) - n * mean_gn), dx + i, lanes);
    });
  }

  static void bias_dropout_residual(const float* x, const float* bias, const float* second_bias,
                                    const T* residual, const float* multipliers, std::int64_t count, T* y) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      F value = load_lanes<F>(x + i, lanes);
      if (bias != nullptr) {
        F offset = load_lanes<F>(bias + i, lanes);
        if (second_bias != nullptr) offset = offset + load_lanes<F>(second_bias + i, lanes);
        value = value + offset;
      }
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
            .activate = activate,
            .activate_backward_f32 = activate_backward<float>,
            .activate_backward = activate_backward<T>,
            .rotate = rotate,
            .rotate_backward = rotate_backward,
            .bias_dropout_residual = bias_dropout_residual,
            .dropout_backward = dropout_backward,
            .embed = embed,
            .add_row = add_row};
  }
};

}  // namespace megalith::cpu
