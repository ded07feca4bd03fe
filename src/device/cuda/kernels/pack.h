// Neighbouring elements that one thread reads and writes at once.
#pragma once

#include <cstdint>

#include "core/bf16.h"

namespace megalith::cuda {

// Elements of a whole access, 16 bytes.
template <class T>
inline constexpr int kVector = static_cast<int>(16 / sizeof(T));

// Aligned to the widest access, 16 bytes.
template <class T, int n>
struct alignas(sizeof(T) * n < 16 ? sizeof(T) * n : 16) Pack {
  T element[n];
};

template <int n, class T>
MEGALITH_KERNEL Pack<T, n> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, n>*>(from);
}
template <class T, int n>
MEGALITH_KERNEL void store_pack(const Pack<T, n>& pack, T* to) {
  *reinterpret_cast<Pack<T, n>*>(to) = pack;
}

MEGALITH_KERNEL inline void store_rounded(float value, float* to) {
  *to = value;
}
MEGALITH_KERNEL inline void store_rounded(float value, bf16* to) {
  *to = to_bf16(value);
}

}  // namespace megalith::cuda
