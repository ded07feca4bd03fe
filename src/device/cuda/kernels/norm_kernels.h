// LayerNorm and RMSNorm: a row, or a block of 32 rows by 16 columns, per group of sixteen threads. The
// arithmetic is the CPU's own template.
#pragma once

#include "device/cuda/kernels/group_floats.h"
#include "device/cuda/kernels/row_arithmetic.h"

namespace megalith::cuda {

template <class T>
struct NormForwardArgs {
  bool centred;
  const T* x;
  std::int64_t x_stride;
  const float* gain;
  const float* bias;  // may be null
  float epsilon;
  std::int64_t rows, columns;
  T* y;
  std::int64_t y_stride;
  float* mean;
  float* rstd;
};

template <class T>
struct NormBackwardArgs {
  bool centred;
  const T* dy;
  std::int64_t dy_stride;
  const T* x;
  std::int64_t x_stride;
  const float* mean;
  const float* rstd;
  const float* gain;
  const T* residual;  // may be null
  std::int64_t residual_stride;
  std::int64_t rows, columns;
  T* dx;
  std::int64_t dx_stride;
};

// Gradients of gain and bias; REQUIRES: x and dy have one stride.
template <class T>
struct NormGradientArgs {
  const T* dy;
  const T* x;
  std::int64_t stride;
  const float* mean;
  const float* rstd;
  std::int64_t rows, columns;
  float scale;
  std::int64_t* dgain;
  std::int64_t* dbias;  // may be null
  std::uint32_t* bad;
};

inline constexpr std::int64_t kGradientRows = 32;  // of one contribution (docs/numerics.md)

template <class Machine>
MEGALITH_KERNEL std::int64_t group_in_grid() {
  return Machine::block_x() * (Machine::threads() / kGroup) + Machine::thread() / kGroup;
}

template <class Machine, class T>
MEGALITH_KERNEL void norm_forward(const NormForwardArgs<T>& args) {
  const std::int64_t row = group_in_grid<Machine>();
  if (row >= args.rows) return;
  RowArithmetic<GroupFloats<Machine>, T>::norm_forward(
      args.centred, args.x + row * args.x_stride, args.gain, args.bias, args.epsilon, args.columns,
      args.y + row * args.y_stride, args.mean + row, args.rstd + row);
}

template <class Machine, class T>
MEGALITH_KERNEL void norm_backward(const NormBackwardArgs<T>& args) {
  const std::int64_t row = group_in_grid<Machine>();
  if (row >= args.rows) return;
  const T* residual = args.residual == nullptr ? nullptr : args.residual + row * args.residual_stride;
  RowArithmetic<GroupFloats<Machine>, T>::norm_backward(
      args.centred, args.dy + row * args.dy_stride, args.x + row * args.x_stride, args.mean[row],
      args.rstd[row], args.gain, residual, args.columns, args.dx + row * args.dx_stride);
}

// Groups of a block lie side by side along the columns, blocks below each other along y.
template <class Machine, class T>
MEGALITH_KERNEL void norm_gradients(const NormGradientArgs<T>& args) {
  const std::int64_t column = group_in_grid<Machine>() * kGroup;
  if (column >= args.columns) return;
  const std::int64_t left = args.columns - column;
  const int columns = left < kGroup ? static_cast<int>(left) : kGroup;
  for (std::int64_t row = Machine::block_y() * kGradientRows; row < args.rows;
       row += Machine::blocks_y() * kGradientRows) {
    const std::int64_t rows = args.rows - row < kGradientRows ? args.rows - row : kGradientRows;
    const std::int64_t at = row * args.stride + column;
    const std::uint32_t greatest = RowArithmetic<GroupFloats<Machine>, T>::norm_gradients(
        args.dy + at, args.x + at, args.stride, args.mean + row, args.rstd + row, rows, columns, args.scale,
        args.dgain + column, args.dbias == nullptr ? nullptr : args.dbias + column);
    if (greatest >= contribution_limit_bits(rows)) Machine::raise(args.bad);
  }
}

}  // namespace megalith::cuda
