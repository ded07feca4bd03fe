// Activations: a thread has `vector` neighbouring elements of a row, a block a stretch of one, and rows are
// taken blocks_y() apart.
#pragma once

#include "device/activation.h"
#include "device/cpu/elementwise/activation_lanes.h"
#include "device/cuda/kernels/pack.h"

namespace megalith::cuda {

template <class T>
struct ActivationForwardArgs {
  Activation activation;
  bool gated;  // x is [gate, up], each `columns` wide
  const T* x;
  std::int64_t x_stride;
  std::int64_t rows, columns;
  T* y;
  std::int64_t y_stride;
};

template <class T, class D>
struct ActivationBackwardArgs {
  Activation activation;
  bool gated;
  const T* x;
  std::int64_t x_stride;
  const D* dy;
  std::int64_t dy_stride;
  std::int64_t rows, columns;
  T* dx;  // may be x
  std::int64_t dx_stride;
};

// Calls body with the activation's slopes: value(x) and derivative(x).
template <class Body>
MEGALITH_KERNEL void with_slope(Activation activation, Body body) {
  switch (activation) {
    case Activation::gelu_erf:
      return body(cpu::GeluErf{});
    case Activation::swiglu:
      return body(cpu::Silu{});
    case Activation::gelu_tanh:
    case Activation::geglu:
      return body(cpu::GeluTanh{});
  }
}
// Calls body(row, column) for each stretch of `vector` columns of this thread. REQUIRES: vector divides
// columns.
template <class Machine, int vector, class Body>
MEGALITH_KERNEL void for_stretches(std::int64_t rows, std::int64_t columns, Body body) {
  const std::int64_t column = (Machine::block_x() * Machine::threads() + Machine::thread()) * vector;
  if (column >= columns) return;
  for (std::int64_t row = Machine::block_y(); row < rows; row += Machine::blocks_y()) body(row, column);
}

template <class Machine, class T, int vector>
MEGALITH_KERNEL void activation_forward(const ActivationForwardArgs<T>& args) {
  with_slope(args.activation, [&](auto slope) {
    for_stretches<Machine, vector>(args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
      const T* x = args.x + row * args.x_stride + column;
      const auto input = load_pack<vector>(x);
      const auto up = load_pack<vector>(args.gated ? x + args.columns : x);
      Pack<T, vector> y;
      for (int i = 0; i < vector; ++i) {
        ScalarFloat value = slope.value(ScalarFloat{to_float(input.element[i])});
        if (args.gated) value = value * ScalarFloat{to_float(up.element[i])};
        store_rounded(value.value, &y.element[i]);
      }
      store_pack(y, args.y + row * args.y_stride + column);
    });
  });
}

template <class Machine, class T, class D, int vector>
MEGALITH_KERNEL void activation_backward(const ActivationBackwardArgs<T, D>& args) {
  with_slope(args.activation, [&](auto slope) {
    for_stretches<Machine, vector>(args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
      const T* x = args.x + row * args.x_stride + column;
      T* dx = args.dx + row * args.dx_stride + column;
      const auto input = load_pack<vector>(x);
      const auto up = load_pack<vector>(args.gated ? x + args.columns : x);
      const auto dy = load_pack<vector>(args.dy + row * args.dy_stride + column);
      Pack<T, vector> dinput;
      Pack<T, vector> dup;
      for (int i = 0; i < vector; ++i) {
        const ScalarFloat at{to_float(input.element[i])};
        ScalarFloat gradient{to_float(dy.element[i])};
        if (args.gated) {
          store_rounded((gradient * slope.value(at)).value, &dup.element[i]);
          gradient = gradient * ScalarFloat{to_float(up.element[i])};
        }
        store_rounded((gradient * slope.derivative(at)).value, &dinput.element[i]);
      }
      if (args.gated) store_pack(dup, dx + args.columns);
      store_pack(dinput, dx);
    });
  });
}

}  // namespace megalith::cuda
