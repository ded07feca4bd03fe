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

// Keys [begin, end) of a block, for one query; they may lie outside of it.
struct Visible {
  std::int64_t begin, end;
};

// Lanes j .. j + 15 of a block: `seen` where the key is visible, else `masked`.
template <class F>
F only_visible(Visible visible, int j, F seen, F masked) {
  return select(first_lanes<F>(visible.begin - j), masked,
                select(first_lanes<F>(visible.end - j), seen, masked));
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

}  // namespace megalith::cpu
