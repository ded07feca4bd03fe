// Kernels of exact products, templates over the lanes of one kernel family. Raw pointers only: these files
// are compiled with the family's own instruction set.
//
// Packed operands are made of 32-bit words kept in float arrays. A word is one fp32 term: bf16 is widened
// when packed, which is exact, with the elements of each pair swapped, high before low, so that one plain
// loop is the promised chain. Where the processor multiplies bf16 itself a word is a pair of bf16 terms in
// their own order, and the instruction takes the high one first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"
#include "device/cpu/prefetch.h"
#include "device/cpu/simd/transpose.h"

namespace megalith::cpu {

inline constexpr int kTileRows = 6;  // at most

inline constexpr std::int64_t kLineFloats = 16;

// Cache lines that are asked for while a tile is computed: rows of them, one address a word.
struct LinesAhead {
  const void* first = nullptr;             // null: nothing
  std::ptrdiff_t word_bytes = kLineBytes;  // from word to word; of less than a line, several ask for the same
  std::int64_t row_words = std::int64_t{1} << 60;
  std::ptrdiff_t row_bytes = 0;  // from row to row
};

// Calls body(word, address to ask for) for words 0 .. words - 1. Addresses may lie beyond what there is:
// asking for them does nothing. Where nothing is to be asked for it is, over and over, what is read anyway.
template <class Body>
inline __attribute__((always_inline)) void for_words(std::int64_t words, const LinesAhead& ahead,
                                                     const float* read_anyway, Body body) {
  const bool nothing = ahead.first == nullptr;
  const char* row = static_cast<const char*>(nothing ? read_anyway : ahead.first);
  const std::ptrdiff_t word_bytes = nothing ? 0 : ahead.word_bytes;
  for (std::int64_t word = 0; word < words; row += ahead.row_bytes) {
    const std::int64_t end = words - word < ahead.row_words ? words : word + ahead.row_words;
    for (const char* line = row; word < end; ++word, line += word_bytes) body(word, line);
  }
}

// Where a tile's chains come from and go to.
struct TileSums {
  const float* start = nullptr;  // the chains so far, or null: +0
  // Finished subtrees that stand to the left of what these chains complete, the nearest first: each is added
  // to the result in turn.
  const float* joins[8] = {};
  int num_joins = 0;
  float* to = nullptr;  // may be `start` or a join
  LinesAhead ahead;     // what is read next after this product
};

// Functions of one kernel family. A tile is up to kTileRows x columns floats, row after row.
struct MatmulKernels {
  int columns;          // of a tile: a multiple of 16
  int bf16_terms_word;  // terms in a word of packed bf16: 1 or 2

  // Continues the tile's chains over `words` words, for tiles of 1 .. kTileRows rows. Row i of A lies at
  // a + i * a_row; word t of it at distance t * a_word. B is a panel [words][columns].
  using Tile = void (*)(const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_word, const float* b,
                        std::int64_t words, const TileSums& sums);
  Tile tiles_bf16[kTileRows];
  Tile tiles_f32[kTileRows];
  // Packs `count` consecutive elements as words of a chain; an odd number of bf16 gets a zero as the high
  // element of its last pair.
  void (*pack_chain_bf16)(const bf16* from, std::int64_t count, float* to);
  void (*pack_chain_f32)(const float* from, std::int64_t count, float* to);
  // Rows [0, rows) x columns [0, count) of a matrix as a panel [words][width], chains along the rows, count
  // <= width: columns past the end are zero. With bf16 the number of rows must be even.
  void (*pack_panel_bf16)(const bf16* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                          std::int64_t width, float* panel);
  void (*pack_panel_f32)(const float* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                         std::int64_t width, float* panel);
  // Elements [0, count) of `rows` rows, rows <= columns, as the panel [words][columns] whose column j is row
  // j's chain; columns past the rows are zero. An odd end is padded as by pack_chain.
  void (*pack_transposed_bf16)(const bf16* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                               float* panel);
  void (*pack_transposed_f32)(const float* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                              float* panel);
  // Widens `count` elements without swapping.
  void (*widen_bf16)(const bf16* from, std::int64_t count, float* to);
  void (*widen_f32)(const float* from, std::int64_t count, float* to);
  // Sums of `rows` rows, each column one chain from +0 on; `count` columns <= columns, all of which are
  // written.
  void (*sum_rows_bf16)(const bf16* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                        float* sums);
  void (*sum_rows_f32)(const float* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                       float* sums);
  // sum = left + right, elementwise; sum may be either.
  void (*add)(const float* left, const float* right, std::int64_t count, float* sum);
  // One row of a finished tile: + bias (may be null), then stored.
  void (*store_f32)(const float* tile, const float* bias, std::int64_t count, float* out);
  void (*store_bf16)(const float* tile, const float* bias, std::int64_t count, bf16* out);
  // sum += count integers, modulo 2^64.
  void (*add_integers)(const std::int64_t* from, std::int64_t count, std::int64_t* sum);
  // sum += fixed point of the tile row; returns the greatest magnitude's bits.
  std::uint32_t (*accumulate)(const float* tile, float scale, std::int64_t count, std::int64_t* sum);
  // The greatest magnitude's bits of `count` floats, a multiple of 16.
  std::uint32_t (*greatest)(const float* tile, std::int64_t count);
};

// Rows that are turned together.
inline constexpr std::int64_t kTransposed = 16;

MatmulKernels matmul_kernels_portable();
MatmulKernels matmul_kernels_avx2();
MatmulKernels matmul_kernels_avx512();
MatmulKernels matmul_kernels_avx512_bf16();

template <class F, int kVectors>
struct MatmulFamily {
  static constexpr int kColumns = 16 * kVectors;

  template <int kRows>
  static void tile(const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_word, const float* b,
                   std::int64_t words, const TileSums& sums) {
    F sum[kRows][kVectors];
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sum[i][v] = sums.start == nullptr ? F::zero() : F::load(sums.start + i * kColumns + v * 16);
      }
    }
    const auto add_word = [&](std::int64_t, const char* line) __attribute__((always_inline)) {
      __builtin_prefetch(line, 0, 2);
      F right[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) right[v] = F::load(b + v * 16);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const F left = F::broadcast(a[i * a_row]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
      }
      a += a_word;
      b += kColumns;
    };
    for_words(words, sums.ahead, b, add_word);
    for (int join = 0; join < sums.num_joins; ++join) {
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sum[i][v] = F::load(sums.joins[join] + i * kColumns + v * 16) + sum[i][v];
        }
      }
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v].store(sums.to + i * kColumns + v * 16);
    }
  }

  static void widen_chain(const bf16* from, std::int64_t count, float* to) {
    std::int64_t i = 0;
    for (; i + 1 < count; i += 2) {
      to[i] = to_float(from[i + 1]);
      to[i + 1] = to_float(from[i]);
    }
    if (i < count) {
      to[i] = 0.0f;
      to[i + 1] = to_float(from[i]);
    }
  }
  template <class T>
  static void widen(const T* from, std::int64_t count, float* to) {
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) F::load(from + i).store(to + i);
    if (i < count)
      F::load_first(from + i, static_cast<int>(count - i)).store_first(to + i, static_cast<int>(count - i));
  }
  template <class T>
  static void pack_transposed(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                              float* panel) {
    constexpr std::int64_t kChunk = 64;
    for (std::int64_t j = 0; j < kColumns; j += kTransposed) {
      for (std::int64_t t = 0; t < count; t += kChunk) {
        const std::int64_t terms = count - t < kChunk ? count - t : kChunk;
        alignas(64) float chains[kTransposed][kChunk];
        for (std::int64_t i = 0; i < kTransposed; ++i) {
          if (j + i >= rows) {
            for (float& value : chains[i]) value = 0.0f;
          } else if constexpr (sizeof(T) == 2) {
            widen_chain(from + (j + i) * stride + t, terms, chains[i]);
          } else {
            widen(from + (j + i) * stride + t, terms, chains[i]);
          }
        }
        const std::int64_t words = sizeof(T) == 2 ? (terms + 1) / 2 * 2 : terms;
        transpose_words<F>(chains[0], kChunk, kTransposed, words, panel + t * kColumns + j, kColumns);
      }
    }
  }
  template <class T>
  static void pack_panel(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                         std::int64_t width, float* panel) {
    constexpr std::int64_t kSwap = sizeof(T) == 2 ? 1 : 0;
    if (width < 16) {  // whole vectors, each overwriting what the one before wrote past its row
      for (std::int64_t r = 0; r < rows; ++r) {
        const F value = F::load_first(from + (r ^ kSwap) * stride, static_cast<int>(count));
        if (r * width + 16 <= rows * width) {
          value.store(panel + r * width);
        } else {
          value.store_first(panel + r * width, static_cast<int>(width));
        }
      }
      return;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* row = from + (r ^ kSwap) * stride;
      float* to = panel + r * width;
      if (count < width) {
        for (std::int64_t i = 0; i < width; i += 16) F::zero().store(to + i);
      }
      widen(row, count, to);
    }
  }
  template <class T>
  static void sum_rows(const T* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t count,
                       float* sums) {
    F sum[kVectors];
    for (F& s : sum) s = F::zero();
    if (count == kColumns) {
      constexpr std::int64_t kRowsAhead = 32;  // rows lie too far apart for the processor to foresee them
      for (std::int64_t r = 0; r < rows; ++r) {
        ask_for(from + (r + kRowsAhead) * stride, kColumns);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[v] = sum[v] + F::load(from + r * stride + v * 16);
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (int v = 0; v < kVectors && v * 16 < count; ++v) {
          const std::int64_t left = count - v * 16;
          sum[v] =
              sum[v] + F::load_first(from + r * stride + v * 16, left < 16 ? static_cast<int>(left) : 16);
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) sum[v].store(sums + v * 16);
  }
  static void add(const float* left, const float* right, std::int64_t count, float* sum) {
    for (std::int64_t i = 0; i < count; i += 16) (F::load(left + i) + F::load(right + i)).store(sum + i);
  }
  static void add_integers(const std::int64_t* from, std::int64_t count, std::int64_t* sum) {
    for (std::int64_t i = 0; i < count; ++i) {
      sum[i] =
          static_cast<std::int64_t>(static_cast<std::uint64_t>(sum[i]) + static_cast<std::uint64_t>(from[i]));
    }
  }
  template <class T>
  static void store(const float* tile, const float* bias, std::int64_t count, T* out) {
    for (std::int64_t i = 0; i < count; i += 16) {
      const int n = count - i < 16 ? static_cast<int>(count - i) : 16;
      F value = F::load(tile + i);
      if (bias != nullptr) value = value + F::load_first(bias + i, n);
      if (n == 16) {
        value.store(out + i);
      } else {
        value.store_first(out + i, n);
      }
    }
  }
  static std::uint32_t accumulate(const float* tile, float scale, std::int64_t count, std::int64_t* sum) {
    using Ints = typename F::Ints;
    Ints greatest = Ints::broadcast(0);
    const F factor = F::broadcast(scale);
    for (std::int64_t i = 0; i < count; i += 16) {
      const F value = F::load(tile + i);
      greatest = max_unsigned(greatest, bits_of(value) & Ints::broadcast(0x7fffffff));
      add_fixed_point(value, factor, sum + i);
    }
    return max_of_lanes_unsigned(greatest);
  }
  static std::uint32_t greatest_of(const float* tile, std::int64_t count) {
    using Ints = typename F::Ints;
    Ints greatest = Ints::broadcast(0);
    for (std::int64_t i = 0; i < count; i += 16)
      greatest = max_unsigned(greatest, bits_of(F::load(tile + i)) & Ints::broadcast(0x7fffffff));
    return max_of_lanes_unsigned(greatest);
  }

  static MatmulKernels kernels() {
    return {.columns = kColumns,
            .bf16_terms_word = 1,
            .tiles_bf16 = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>},
            .tiles_f32 = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>},
            .pack_chain_bf16 = widen_chain,
            .pack_chain_f32 = widen<float>,
            .pack_panel_bf16 = pack_panel<bf16>,
            .pack_panel_f32 = pack_panel<float>,
            .pack_transposed_bf16 = pack_transposed<bf16>,
            .pack_transposed_f32 = pack_transposed<float>,
            .widen_bf16 = widen<bf16>,
            .widen_f32 = widen<float>,
            .sum_rows_bf16 = sum_rows<bf16>,
            .sum_rows_f32 = sum_rows<float>,
            .add = add,
            .store_f32 = store<float>,
            .store_bf16 = store<bf16>,
            .add_integers = add_integers,
            .accumulate = accumulate,
            .greatest = greatest_of};
  }
};

}  // namespace megalith::cpu
