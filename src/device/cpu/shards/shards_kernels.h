// Kernels of operations on shards, templates over the lanes of one kernel family.
#pragma once

#include <cstdint>

#include "core/bf16.h"
#include "device/cpu/simd/several.h"

namespace megalith::cpu {

// Parts are sums, so no denormals (simd/several.h).
struct ShardKernels {
  // y[i] = parts[i], parts[distance + i], ... joined pairwise; `count` elements of `num_parts` parts.
  void (*tree_sum_f32)(const float* parts, std::int64_t distance, int num_parts, std::int64_t count,
                       float* y);
  void (*tree_sum_bf16)(const float* parts, std::int64_t distance, int num_parts, std::int64_t count,
                        bf16* y);
  // y = parts[i] + parts[distance + i] + ... in ascending order; returns the greatest magnitude's bits.
  std::uint32_t (*rank_sum)(const float* parts, std::int64_t distance, int num_parts, std::int64_t count,
                            float* y);
};

ShardKernels shard_kernels_portable();
ShardKernels shard_kernels_avx2();
ShardKernels shard_kernels_avx512();

template <class F>
struct ShardFamily {
  template <int n, class Place>
  static auto join(const float* parts, std::int64_t distance, const Place& place) {
    if constexpr (n == 1) {
      return place.load(parts);
    } else {
      return join<n / 2>(parts, distance, place) + join<n / 2>(parts + n / 2 * distance, distance, place);
    }
  }

  template <int n, class T>
  [[gnu::flatten]] static void sum_of(const float* parts, std::int64_t distance, std::int64_t count, T* y) {
    for_interleaved<F>(
        count, [&](std::int64_t i, auto place) { place.store(join<n>(parts + i, distance, place), y + i); });
  }

  template <class T>
  static void tree_sum(const float* parts, std::int64_t distance, int num_parts, std::int64_t count, T* y) {
    switch (num_parts) {
      case 1:
        return sum_of<1>(parts, distance, count, y);
      case 2:
        return sum_of<2>(parts, distance, count, y);
      case 4:
        return sum_of<4>(parts, distance, count, y);
      case 8:
        return sum_of<8>(parts, distance, count, y);
      case 16:
        return sum_of<16>(parts, distance, count, y);
      case 32:
        return sum_of<32>(parts, distance, count, y);
      default:
        return sum_of<64>(parts, distance, count, y);
    }
  }

  [[gnu::flatten]] static std::uint32_t rank_sum(const float* parts, std::int64_t distance, int num_parts,
                                                 std::int64_t count, float* y) {
    using Ints = typename F::Ints;
    Ints greatest = Ints::broadcast(0);
    for (std::int64_t i = 0; i < count; i += 16) {
      const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
      F sum = F::load_first(parts + i, lanes);
      for (int part = 1; part < num_parts; ++part)
        sum = sum + F::load_first(parts + part * distance + i, lanes);
      sum.store_first(y + i, lanes);
      greatest = max_unsigned(greatest, bits_of(sum) & Ints::broadcast(0x7fffffff));
    }
    return max_of_lanes_unsigned(greatest);
  }

  static ShardKernels kernels() {
    return {.tree_sum_f32 = tree_sum<float>, .tree_sum_bf16 = tree_sum<bf16>, .rank_sum = rank_sum};
  }
};

}  // namespace megalith::cpu
