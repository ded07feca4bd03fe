// What the kernels of products share: their arguments, the tree of leaves, and how a finished element leaves.
#pragma once

#include "core/bf16.h"
#include "core/fixed_point.h"
#include "device/cuda/kernels/chain_map.h"
#include "device/cuda/kernels/operand_tile.h"

namespace megalith::cuda {

// result[i, j] = sum over the chain of a(i) b(j).
template <class T>
struct ProductArgs {
  Operand<T> a, b;  // extents are the result's rows and columns
  ChainMap chain;
  std::int64_t row_tiles;  // block_x() counts tiles, those of one strip of columns after another

  // Forward and input gradient: segments are leaves.
  const float* bias;  // may be null
  float* y_f32;       // one of the two
  T* y;
  std::int64_t y_stride;

  // Weight gradient: segments are grains, of which block_z() has its share.
  std::int64_t segments_per_block;
  std::int64_t* sums;
  std::int64_t sums_stride;
  float scale;
  std::uint32_t limit;  // magnitude bits from which on a contribution is bad
  std::uint32_t* bad;
};

// Subtrees of 2^l finished leaves wait at level l for their partners. REQUIRES: leaves <= 2^levels.
template <int levels, int count>
struct LeafTree {
  float waiting[levels == 0 ? 1 : levels][count];

  // Joins leaf `leaf`'s sums, which come in order, like a binary counter's carry. After the last of a power
  // of two `sums` is the root.
  MEGALITH_KERNEL void join(std::int64_t leaf, float (&sums)[count]) {
    MEGALITH_UNROLL
    for (int level = 0; level < levels; ++level) {
      const bool completes = ((leaf >> level) & 1) != 0;
      MEGALITH_UNROLL
      for (int i = 0; i < count; ++i) {
        if (completes) {
          sums[i] = waiting[level][i] + sums[i];
        } else {
          waiting[level][i] = sums[i];
        }
      }
      if (!completes) return;
    }
  }
};

// Integer sums of a tile's elements over grains.
template <int count>
struct GrainSums {
  std::uint64_t sum[count] = {};
  std::uint32_t greatest = 0;

  MEGALITH_KERNEL void add(const float (&values)[count], float scale) {
    MEGALITH_UNROLL
    for (int i = 0; i < count; ++i) {
      const std::uint32_t bits = magnitude_bits(values[i]);
      greatest = greatest > bits ? greatest : bits;
      sum[i] += static_cast<std::uint64_t>(scaled_to_fixed_point(values[i] * scale));
    }
  }
};

// Element (row, column) of a finished product.
template <class T>
MEGALITH_KERNEL void store_element(const ProductArgs<T>& args, std::int64_t row, std::int64_t column,
                                   float value) {
  if (row >= args.a.extent || column >= args.b.extent) return;
  if (args.bias != nullptr) value = value + args.bias[column];
  const std::int64_t at = row * args.y_stride + column;
  if (args.y_f32 != nullptr) {
    args.y_f32[at] = value;
  } else if constexpr (sizeof(T) == 2) {
    args.y[at] = to_bf16(value);
  } else {
    args.y[at] = value;
  }
}

template <class Machine, class T>
MEGALITH_KERNEL void add_element(const ProductArgs<T>& args, std::int64_t row, std::int64_t column,
                                 std::uint64_t sum) {
  if (row >= args.a.extent || column >= args.b.extent) return;
  Machine::atomic_add(args.sums + row * args.sums_stride + column, static_cast<std::int64_t>(sum));
}

// The segments of this block.
template <class Machine, bool gradient, class T>
MEGALITH_KERNEL void block_segments(const ProductArgs<T>& args, std::int64_t* first, std::int64_t* last) {
  *first = gradient ? Machine::block_z() * args.segments_per_block : 0;
  *last = gradient ? *first + args.segments_per_block : args.chain.segments;
  if (*last > args.chain.segments) *last = args.chain.segments;
}

}  // namespace megalith::cuda
