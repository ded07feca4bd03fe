// Kernels of row- and element-wise operations, templates over the lanes of one kernel family and the stored
// type. Raw pointers only: these files are compiled with the family's own instruction set.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/elementary.h"
#include "device/activation.h"
#include "device/cpu/elementwise/activation_lanes.h"
#include "device/cpu/prefetch.h"
#include "device/cpu/simd/several.h"

namespace megalith::cpu {

// Rows of a matrix from one on.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  T* row(std::int64_t r) const { return data + r * stride; }
};

template <class T>
struct ElementwiseKernels {
  // Rows of NormForward; bias may be null.
  void (*norm_forward)(bool centred, Rows<const T> x, const float* gain, const float* bias, float epsilon,
                       std::int64_t rows, std::int64_t count, Rows<T> y, float* mean, float* rstd);
  // Rows of NormBackward's dx; residual may be null, and dx may be residual.
  void (*norm_backward)(bool centred, Rows<const T> dy, Rows<const T> x, const float* mean, const float* rstd,
                        const float* gain, Rows<const T> residual, std::int64_t rows, std::int64_t count,
                        Rows<T> dx);
  // One block of rows: adds the fixed-point sums of dy n to dgain and of dy to dbias (may be null). Returns
  // the greatest magnitude's bits.
  std::uint32_t (*norm_gradients)(Rows<const T> dy, Rows<const T> x, const float* mean, const float* rstd,
                                  std::int64_t rows, std::int64_t count, float scale, std::int64_t* dgain,
                                  std::int64_t* dbias);
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
  // The same in floats, of which the greatest magnitude is a sum's.
  std::uint32_t (*add_row_f32)(const T* row, const float* multipliers, std::int64_t count, float* sum,
                               float* second_sum);
};

template <class T>
ElementwiseKernels<T> elementwise_kernels_portable();
template <class T>
ElementwiseKernels<T> elementwise_kernels_avx2();
template <class T>
ElementwiseKernels<T> elementwise_kernels_avx512();
template <class T>
ElementwiseKernels<T> elementwise_kernels_avx512_bf16();

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

// Kernels are flattened: a call inside a loop over lanes would pass its operands through memory, and the
// compiler's own measure of what is worth inlining stops short of that.
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

  // The row sums of several rows side by side: each is a chain, so one alone would wait for itself.
  // value(row, offset, lanes)
  template <int n, class Value>
  static void row_sums(std::int64_t count, float* sums, Value value) {
    F sum[n];
    for (F& s : sum) s = F::zero();
    for_lanes(count, [&](std::int64_t i, int lanes) {
#pragma GCC unroll 8
      for (int r = 0; r < n; ++r) {
        const F v = value(r, i, lanes);
        sum[r] = sum[r] + (lanes == 16 ? v : select(F::first(lanes), v, F::zero()));
      }
    });
    for (int r = 0; r < n; ++r) sums[r] = sum_of_lanes(sum[r]);
  }

  // Calls body(first row, number of rows as a constant) for groups of rows.
  template <class Body>
  static void for_row_groups(std::int64_t rows, Body body) {
    constexpr int kGroup = 4;
    std::int64_t r = 0;
    for (; r + kGroup <= rows; r += kGroup) body(r, std::integral_constant<int, kGroup>{});
    for (; r < rows; ++r) body(r, std::integral_constant<int, 1>{});
  }

  [[gnu::flatten]] static void norm_forward(bool centred, Rows<const T> x, const float* gain,
                                            const float* bias, float epsilon, std::int64_t rows,
                                            std::int64_t count, Rows<T> y, float* means, float* rstds) {
    for_row_groups(rows, [&](std::int64_t first, auto group) {
      constexpr int n = decltype(group)::value;
      norm_forward_group<n>(centred, {x.row(first), x.stride}, gain, bias, epsilon, count,
                            {y.row(first), y.stride}, means + first, rstds + first);
    });
  }
  template <int n>
  static void norm_forward_group(bool centred, Rows<const T> x, const float* gain, const float* bias,
                                 float epsilon, std::int64_t count, Rows<T> y, float* means, float* rstds) {
    const float length = static_cast<float>(count);
    const auto input = [&](int r, std::int64_t i, int lanes) { return load_lanes<F>(x.row(r) + i, lanes); };
    float sums[n] = {};
    if (centred) row_sums<n>(count, sums, input);
    F mean[n];
    for (int r = 0; r < n; ++r) {
      means[r] = sums[r] / length;  // of no sum +0
      mean[r] = F::broadcast(means[r]);
    }
    row_sums<n>(count, sums, [&](int r, std::int64_t i, int lanes) {
      __builtin_prefetch(y.row(r) + i, 1);
      const F d = input(r, i, lanes) - mean[r];
      return d * d;
    });
    F rstd[n];
    for (int r = 0; r < n; ++r) {
      const ScalarFloat root = sqrt(ScalarFloat{sums[r] / length + epsilon});
      rstds[r] = 1.0f / root.value;
      rstd[r] = F::broadcast(rstds[r]);
    }
    for (int r = 0; r < n; ++r) {
      for_lanes(count, [&](std::int64_t i, int lanes) {
        __builtin_prefetch(x.row(n + r) + i);  // of the next group: this pass waits for nothing
        const F scaled = (input(r, i, lanes) - mean[r]) * rstd[r] * load_lanes<F>(gain + i, lanes);
        store_lanes(bias == nullptr ? scaled : scaled + load_lanes<F>(bias + i, lanes), y.row(r) + i, lanes);
      });
    }
  }

  [[gnu::flatten]] static void norm_backward(bool centred, Rows<const T> dy, Rows<const T> x,
                                             const float* means, const float* rstds, const float* gain,
                                             Rows<const T> residual, std::int64_t rows, std::int64_t count,
                                             Rows<T> dx) {
    for_row_groups(rows, [&](std::int64_t first, auto group) {
      constexpr int n = decltype(group)::value;
      norm_backward_group<n>(centred, {dy.row(first), dy.stride}, {x.row(first), x.stride}, means + first,
                             rstds + first, gain,
                             {residual.data == nullptr ? nullptr : residual.row(first), residual.stride},
                             count, {dx.row(first), dx.stride});
    });
  }
  template <int n>
  static void norm_backward_group(bool centred, Rows<const T> dy, Rows<const T> x, const float* means,
                                  const float* rstds, const float* gain, Rows<const T> residual,
                                  std::int64_t count, Rows<T> dx) {
    F mean[n];
    F rstd[n];
    for (int r = 0; r < n; ++r) {
      mean[r] = F::broadcast(means[r]);
      rstd[r] = F::broadcast(rstds[r]);
    }
    const auto normed = [&](int r, std::int64_t i, int lanes) {
      return (load_lanes<F>(x.row(r) + i, lanes) - mean[r]) * rstd[r];
    };
    const auto weighted = [&](int r, std::int64_t i, int lanes) {
      return load_lanes<F>(dy.row(r) + i, lanes) * load_lanes<F>(gain + i, lanes);
    };
    const float length = static_cast<float>(count);
    float sums[2 * n] = {};  // of g, then of g n
    if (centred) {
      row_sums<2 * n>(count, sums, [&](int s, std::int64_t i, int lanes) {
        const F g = weighted(s % n, i, lanes);
        return s < n ? g : g * normed(s % n, i, lanes);
      });
    } else {
      row_sums<n>(count, sums + n, [&](int r, std::int64_t i, int lanes) {
        return weighted(r, i, lanes) * normed(r, i, lanes);
      });
    }
    F mean_g[n];
    F mean_gn[n];
    for (int r = 0; r < n; ++r) {
      mean_g[r] = F::broadcast(sums[r] / length);
      mean_gn[r] = F::broadcast(sums[n + r] / length);
    }
    for (int r = 0; r < n; ++r) {
      for_lanes(count, [&](std::int64_t i, int lanes) {
        const F difference = (weighted(r, i, lanes) - mean_g[r]) - normed(r, i, lanes) * mean_gn[r];
        F value = rstd[r] * difference;
        if (residual.data != nullptr) value = load_lanes<F>(residual.row(r) + i, lanes) + value;
        store_lanes(value, dx.row(r) + i, lanes);
      });
    }
  }

  static Ints magnitudes(F value) {
    return bits_of(value) & Ints::broadcast(0x7fffffff);
  }

  // Adds up to 16 fixed-point values to memory that may end after `columns` of them.
  static void add_fixed(F value, float scale, int columns, std::int64_t* sum) {
    if (columns == 16) {
      add_fixed_point(value, F::broadcast(scale), sum);
      return;
    }
    std::int64_t part[16] = {};
    add_fixed_point(value, F::broadcast(scale), part);
    for (int j = 0; j < columns; ++j) {
      sum[j] =
          static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[j]) + static_cast<std::uint64_t>(part[j]));
    }
  }

  [[gnu::flatten]] static std::uint32_t norm_gradients(Rows<const T> dy, Rows<const T> x, const float* mean,
                                                       const float* rstd, std::int64_t rows,
                                                       std::int64_t count, float scale, std::int64_t* dgain,
                                                       std::int64_t* dbias) {
    constexpr int kGroups = 2;  // columns next to each other: two chains each
    Ints greatest = Ints::broadcast(0);
    std::int64_t i = 0;
    for (; i + 16 * kGroups <= count; i += 16 * kGroups)
      greatest = gradient_columns<kGroups>(dy, x, mean, rstd, rows, 16, scale, i, dgain, dbias, greatest);
    for (; i < count; i += 16) {
      const int columns = count - i < 16 ? static_cast<int>(count - i) : 16;
      greatest = gradient_columns<1>(dy, x, mean, rstd, rows, columns, scale, i, dgain, dbias, greatest);
    }
    return max_of_lanes_unsigned(greatest);
  }
  template <int groups>
  static Ints gradient_columns(Rows<const T> dy, Rows<const T> x, const float* mean, const float* rstd,
                               std::int64_t rows, int columns, float scale, std::int64_t first,
                               std::int64_t* dgain, std::int64_t* dbias, Ints greatest) {
    F gain_sum[groups];
    F bias_sum[groups];
    for (int g = 0; g < groups; ++g) gain_sum[g] = bias_sum[g] = F::zero();
    for (std::int64_t r = 0; r < rows; ++r) {
      const F mean_lanes = F::broadcast(mean[r]);
      const F rstd_lanes = F::broadcast(rstd[r]);
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
        const std::int64_t at = first + 16 * g;
        const F d = load_lanes<F>(dy.row(r) + at, columns);
        const F n = (load_lanes<F>(x.row(r) + at, columns) - mean_lanes) * rstd_lanes;
        const F product = columns == 16 ? d * n : select(F::first(columns), d * n, F::zero());
        gain_sum[g] = gain_sum[g] + product;
        bias_sum[g] = bias_sum[g] + d;
      }
    }
    for (int g = 0; g < groups; ++g) {
      add_fixed(gain_sum[g], scale, columns, dgain + first + 16 * g);
      greatest = max_unsigned(greatest, magnitudes(gain_sum[g]));
      if (dbias == nullptr) continue;
      add_fixed(bias_sum[g], scale, columns, dbias + first + 16 * g);
      greatest = max_unsigned(greatest, magnitudes(bias_sum[g]));
    }
    return greatest;
  }

  static constexpr std::int64_t kValuesAhead = 1024;
  // The lines that a group of for_interleaved reads a little later.
  static void ask_ahead(const T* values) {
    ask_for(values + kValuesAhead, 16 * F::kInterleave);
  }

  [[gnu::flatten]] static void activate(Activation activation, const T* x, const T* up, std::int64_t count,
                                        T* y) {
    with_slope(activation, [&](auto slope) {
      for_interleaved<F>(count, [&](std::int64_t i, auto place) {
        // One stream of input alone is read no faster than the arithmetic lets it; two are.
        if (up == nullptr) ask_ahead(x + i);
        auto value = slope.value(place.load(x + i));
        if (up != nullptr) value = value * place.load(up + i);
        place.store(value, y + i);
      });
    });
  }
  template <class D>
  [[gnu::flatten]] static void activate_backward(Activation activation, const T* x, const T* up, const D* dy,
                                                 std::int64_t count, T* dx, T* dup) {
    with_slope(activation, [&](auto slope) {
      for_interleaved<F>(count, [&](std::int64_t i, auto place) {
        if (up == nullptr) ask_ahead(x + i);
        const auto input = place.load(x + i);
        auto gradient = place.load(dy + i);
        if (up != nullptr) {
          const auto factor = place.load(up + i);
          place.store(gradient * slope.value(input), dup + i);
          gradient = gradient * factor;
        }
        place.store(gradient * slope.derivative(input), dx + i);
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
  [[gnu::flatten]] static void rotate(const T* x, const float* gain, float epsilon, const float* table,
                                      int size, int rotated, T* y, float* rstd_out) {
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
  [[gnu::flatten]] static void rotate_backward(const T* dy, const T* x, const float* gain, float rstd,
                                               const float* table, int size, int rotated, float* turned,
                                               float* gain_sum, T* dx) {
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

  [[gnu::flatten]] static void bias_dropout_residual(const float* x, const float* bias,
                                                     const float* second_bias, const T* residual,
                                                     const float* multipliers, std::int64_t count, T* y) {
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
  [[gnu::flatten]] static void dropout_backward(const T* dy, const float* multipliers, std::int64_t count,
                                                T* dx) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      store_lanes(apply_multipliers(load_lanes<F>(dy + i, lanes), multipliers + i, lanes), dx + i, lanes);
    });
  }
  [[gnu::flatten]] static void embed(const T* token, const T* position, const float* multipliers,
                                     std::int64_t count, T* y) {
    for_lanes(count, [&](std::int64_t i, int lanes) {
      F value = load_lanes<F>(token + i, lanes);
      if (position != nullptr) value = value + load_lanes<F>(position + i, lanes);
      store_lanes(apply_multipliers(value, multipliers == nullptr ? nullptr : multipliers + i, lanes), y + i,
                  lanes);
    });
  }
  [[gnu::flatten]] static std::uint32_t add_row(const T* row, const float* multipliers, float scale,
                                                std::int64_t count, std::int64_t* sum,
                                                std::int64_t* second_sum) {
    Ints greatest = Ints::broadcast(0);
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F value = apply_multipliers(load_lanes<F>(row + i, lanes),
                                        multipliers == nullptr ? nullptr : multipliers + i, lanes);
      add_fixed(value, scale, lanes, sum + i);
      if (second_sum != nullptr) add_fixed(value, scale, lanes, second_sum + i);
      greatest = max_unsigned(greatest, magnitudes(value));
    });
    return max_of_lanes_unsigned(greatest);
  }

  static Ints add_lanes(F value, int lanes, float* sum) {
    const F total = load_lanes<F>(sum, lanes) + value;
    store_lanes(total, sum, lanes);
    return magnitudes(total);
  }
  [[gnu::flatten]] static std::uint32_t add_row_f32(const T* row, const float* multipliers,
                                                    std::int64_t count, float* sum, float* second_sum) {
    Ints greatest = Ints::broadcast(0);
    for_lanes(count, [&](std::int64_t i, int lanes) {
      const F value = apply_multipliers(load_lanes<F>(row + i, lanes),
                                        multipliers == nullptr ? nullptr : multipliers + i, lanes);
      greatest = max_unsigned(greatest, add_lanes(value, lanes, sum + i));
      if (second_sum != nullptr) greatest = max_unsigned(greatest, add_lanes(value, lanes, second_sum + i));
    });
    return max_of_lanes_unsigned(greatest);
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
            .add_row = add_row,
            .add_row_f32 = add_row_f32};
  }
};

}  // namespace megalith::cpu
