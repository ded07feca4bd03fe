// Small parts both directions of attention share: packing, rounding to the operands' dtype, masks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"

namespace megalith::cpu {

template <class T>
inline constexpr bool kPairsOf = sizeof(T) == sizeof(bf16);

// x as the operands' dtype T would store it.
template <class T, class F>
F rounded_as(F x) {
  if constexpr (kPairsOf<T>) {
    using Ints = typename F::Ints;
    const Ints bits = bits_of(x);
    const Ints odd = shift_right<16>(bits) & Ints::broadcast(1);
    const Ints rounded =
        (bits + (odd + Ints::broadcast(0x7fff))) & Ints::broadcast(static_cast<int>(0xffff0000u));
    return select(is_nan(x), F::broadcast(__builtin_nanf("")), from_bits(rounded));
  } else {
    return x;
  }
}

// The first n of 16 lanes, for any n.
template <class F>
typename F::Mask first_lanes(std::int64_t n) {
  return F::first(n < 0 ? 0 : n > 16 ? 16 : static_cast<int>(n));
}

// `count` rows of `size` elements as fp32, each padded with zeros to `padded`.
template <class F, class T>
void widen_rows(const T* from, std::int64_t from_row, std::int64_t count, int size, float* to,
                std::size_t padded) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T* source = from + i * from_row;
    float* target = to + static_cast<std::size_t>(i) * padded;
    int d = 0;
    for (; d + 16 <= size; d += 16) F::load(source + d).store(target + d);
    if (d < size) F::load_first(source + d, size - d).store(target + d);
  }
}

template <class F>
void fill_zero(float* to, std::size_t count) {  // count a multiple of 16
  for (std::size_t i = 0; i < count; i += 16) F::zero().store(to + i);
}

// rows [block][padded] to columns [size][block].
template <class F>
void transpose_block(const float* rows, std::size_t padded, int size, int block, float* columns) {
  for (int j = 0; j < block; j += 16) {
    for (int d = 0; d < size; ++d) {
      alignas(64) float lanes[16];
      for (int i = 0; i < 16; ++i)
        lanes[i] = rows[static_cast<std::size_t>(j + i) * padded + static_cast<std::size_t>(d)];
      F::load(lanes).store(columns + static_cast<std::ptrdiff_t>(d) * block + j);
    }
  }
}

// Keys or values `start` .. `start + valid - 1` as rows; the rest of the block is zero.
template <class F, class T>
void pack_rows(const T* first, std::int64_t row, std::int64_t start, std::int64_t valid, int size, int block,
               float* to, std::size_t padded) {
  widen_rows<F>(first + start * row, row, valid, size, to, padded);
  fill_zero<F>(to + static_cast<std::size_t>(valid) * padded,
               static_cast<std::size_t>(block - valid) * padded);
}

}  // namespace megalith::cpu
