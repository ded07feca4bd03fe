// Kernels of products with int8 weights, templates over one kernel family (docs/numerics.md, "Int8 weights").
// Raw pointers only: these files are compiled with the family's own instruction set.
//
// A block is 32 consecutive terms of a chain: integers q in [-127, 127] and one scale d in bf16.
// A weight's strip holds, block after block, the scales [columns] and q + 128 as bytes [8][columns][4], so
// that one load feeds four terms of sixteen chains. A row's block holds q in the form that the family
// multiplies, its scale, and -128 * sum(q), where its sums start: that takes the 128 out again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/int8_block.h"

namespace megalith::cpu {

inline constexpr int kInt8TileRows = 6;  // at most

struct Int8Kernels {
  const char* name;
  int columns;    // of a strip: a multiple of 16
  int row_words;  // 32-bit words of a row's block

  // The chains of 1 .. kInt8TileRows rows and one strip over `blocks` blocks, from +0. Row i of the left
  // operand lies at x + i * x_row.
  using Tile = void (*)(const std::int32_t* x, std::ptrdiff_t x_row, const std::byte* strip,
                        std::int64_t blocks, const TileSums& sums);
  Tile tiles[kInt8TileRows];
  void (*quantise_row)(const float* x, std::int64_t blocks, std::int32_t* to);
  // q + 128 of one block as bytes; returns the scale.
  bf16 (*quantise_weights)(const float* w, std::uint8_t* to);

  [[nodiscard]] std::ptrdiff_t block_bytes() const { return columns * (kInt8Block + 2); }
};

Int8Kernels int8_kernels_portable();
Int8Kernels int8_kernels_avx2();
Int8Kernels int8_kernels_avx512();
Int8Kernels int8_kernels_avx512_vnni();

// Dot multiplies four bytes of sixteen chains with four terms of a row:
//   kWords                   32-bit words that four terms of a row are
//   store(q, words)          a block of a row in that form
//   add(sums, bytes, words)  sums + the products
template <class F, class Dot, int kVectors>
struct Int8Family {
  using Ints = typename F::Ints;
  static constexpr int kColumns = 16 * kVectors;
  static constexpr int kSteps = kInt8Block / 4;
  static constexpr int kRowWords = kSteps * Dot::kWords + 2;

  template <int kRows>
  static void tile(const std::int32_t* x, std::ptrdiff_t x_row, const std::byte* strip, std::int64_t blocks,
                   const TileSums& sums) {
    F sum[kRows][kVectors];
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = F::zero();
    }
    for (std::int64_t block = 0; block < blocks; ++block) {
      const auto* scales = reinterpret_cast<const bf16*>(strip);
      const std::byte* bytes = strip + kColumns * sizeof(bf16);
      Ints dots[kRows][kVectors];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) dots[i][v] = Ints::broadcast(x[i * x_row + kRowWords - 1]);
      }
#pragma GCC unroll 8
      for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const Ints right =
              Ints::load(reinterpret_cast<const std::int32_t*>(bytes + (step * kVectors + v) * 64));
#pragma GCC unroll 6
          for (int i = 0; i < kRows; ++i)
            dots[i][v] = Dot::add(dots[i][v], right, x + i * x_row + step * Dot::kWords);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const F scale = F::load(scales + v * 16);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) {
          const F row_scale = F::broadcast(__builtin_bit_cast(float, x[i * x_row + kRowWords - 2]));
          sum[i][v] = fma(to_floats(dots[i][v]), scale * row_scale, sum[i][v]);
        }
      }
      x += kRowWords;
      strip += kColumns * (kInt8Block + 2);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int at = i * kColumns + v * 16;
        for (int join = 0; join < sums.num_joins; ++join)
          sum[i][v] = F::load(sums.joins[join] + at) + sum[i][v];
        sum[i][v].store(sums.to + at);
      }
    }
  }

  // A block that holds an infinity or NaN has the scale NaN; one whose scale would not be a normal number is
  // zero.
  static bf16 quantise(const float* x, std::int32_t* q) {
    const F low = F::load(x);
    const F high = F::load(x + 16);
    const Ints magnitude = Ints::broadcast(0x7fffffff);
    const std::uint32_t greatest =
        max_of_lanes_unsigned(max_unsigned(bits_of(low) & magnitude, bits_of(high) & magnitude));
    const float most = __builtin_bit_cast(float, greatest);
    const bool finite = greatest < 0x7f800000;
    if (!finite || most < 127 * 0x1p-126f) {
      for (int i = 0; i < kInt8Block; ++i) q[i] = 0;
      return {static_cast<std::uint16_t>(finite ? 0 : 0x7fc0)};
    }
    // The scale is rounded by at most one part in 256, so no |q| exceeds 127.5 before it is rounded itself.
    const bf16 scale = to_bf16(most / 127);
    const F divisor = F::broadcast(to_float(scale));
    to_nearest_ints(low / divisor).store(q);
    to_nearest_ints(high / divisor).store(q + 16);
    return scale;
  }
  static void quantise_row(const float* x, std::int64_t blocks, std::int32_t* to) {
    for (std::int64_t block = 0; block < blocks; ++block) {
      alignas(64) std::int32_t q[kInt8Block];
      const bf16 scale = quantise(x, q);
      std::int32_t sum = 0;
      for (const std::int32_t value : q) sum += value;
      Dot::store(q, to);
      to[kRowWords - 2] = __builtin_bit_cast(std::int32_t, to_float(scale));
      to[kRowWords - 1] = -128 * sum;
      x += kInt8Block;
      to += kRowWords;
    }
  }
  static bf16 quantise_weights(const float* w, std::uint8_t* to) {
    alignas(64) std::int32_t q[kInt8Block];
    const bf16 scale = quantise(w, q);
    for (int i = 0; i < kInt8Block; ++i) to[i] = static_cast<std::uint8_t>(q[i] + 128);
    return scale;
  }

  static Int8Kernels kernels(const char* name) {
    return {.name = name,
            .columns = kColumns,
            .row_words = kRowWords,
            .tiles = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>},
            .quantise_row = quantise_row,
            .quantise_weights = quantise_weights};
  }
};

// A row's terms as pairs of 16 bits, for processors that multiply those: bytes 0 and 2 of a word, 1 and 3.
static inline void store_as_pairs(const std::int32_t* q, std::int32_t* words) {
  for (int i = 0; i < kInt8Block; i += 4) {
    words[i / 2] = (q[i] & 0xffff) | (q[i + 2] << 16);
    words[i / 2 + 1] = (q[i + 1] & 0xffff) | (q[i + 3] << 16);
  }
}
static inline void store_as_bytes(const std::int32_t* q, std::int32_t* words) {
  std::int8_t bytes[kInt8Block];
  for (int i = 0; i < kInt8Block; ++i) bytes[i] = static_cast<std::int8_t>(q[i]);
  __builtin_memcpy(words, bytes, sizeof(bytes));
}

}  // namespace megalith::cpu
