// The norms' rows in the order of device/elementwise.h: sixteen lanes per row, as the CPU's kernels add them.
// Templates over lanes; the emulated kernels' tests compare their bits with the CPU's.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/elementary.h"

namespace megalith::cuda {

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
template <class F, class T>
struct RowArithmetic {
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
};

}  // namespace megalith::cuda
