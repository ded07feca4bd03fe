// How attention's products take their operands. A word is one fp32 term, or, where the processor multiplies
// bf16 itself, a pair of bf16 terms (low element first in memory, taken high first). Along: a row's words
// are its features. Across: a word holds terms of neighbouring rows, so that the chain runs over rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/attention/attention_lanes.h"
#include "device/cpu/attention/chain_product.h"
#include "device/cpu/simd/transpose.h"

namespace megalith::cpu {

template <class Family, class T>
struct AttentionWords {
  using F = typename Family::Floats;
  static constexpr int kTerms = kPairsOf<T> ? Family::kBf16Terms : 1;
  static constexpr bool kPaired = kTerms == 2;

  static std::ptrdiff_t words(std::ptrdiff_t terms) { return terms / kTerms; }

  // c [rows][columns] continues, or starts at +0, the chain over `terms` products.
  static void product(int rows, int columns, int terms, ChainOperand a, const float* b, std::ptrdiff_t b_step,
                      float* c, std::ptrdiff_t c_row, bool fresh) {
    chain_product<Family, kPaired       ? Chain::words
                          : kPairsOf<T> ? Chain::swapped
                                        : Chain::plain>(rows, columns, static_cast<int>(words(terms)), a, b,
                                                        b_step, c, c_row, fresh);
  }

  // `count` rows of `size` features along, each padded with zeros to words(padded).
  static void pack_along(const T* from, std::int64_t from_row, std::int64_t count, int size, float* to,
                         std::size_t padded) {
    if constexpr (kPaired) {
      constexpr std::size_t kLine = 64;
      const auto row_bytes = static_cast<std::size_t>(size) * sizeof(T);
      for (std::int64_t i = 0; i < count; ++i) {
        auto* row = reinterpret_cast<char*>(to + static_cast<std::size_t>(i) * (padded / 2));
        const auto* source = reinterpret_cast<const char*>(from + i * from_row);
        std::size_t copied = 0;  // line by line: rows are too short for calls
        for (; copied + kLine <= row_bytes; copied += kLine)
          __builtin_memcpy(row + copied, source + copied, kLine);
        if (copied < row_bytes) __builtin_memcpy(row + copied, source + copied, row_bytes - copied);
        if (padded * 2 > row_bytes) __builtin_memset(row + row_bytes, 0, padded * 2 - row_bytes);
      }
    } else {
      widen_rows<F>(from, from_row, count, size, to, padded);
    }
  }
  static void zero_along(float* to, std::int64_t rows, std::size_t padded) {
    __builtin_memset(to, 0, static_cast<std::size_t>(rows) * padded / kTerms * sizeof(float));
  }

  // Rows [0, rows) of `size` features across, [words(rows)][padded]; rows outside [begin, end) are zero, row
  // `begin` lies at `first`. REQUIRES: rows is even where kPaired.
  static void pack_across(const T* first, std::int64_t row, std::int64_t begin, std::int64_t end,
                          std::int64_t rows, int size, float* to, std::size_t padded) {
    if constexpr (kPaired) {
      const auto row_at = [&](std::int64_t r) -> const T* {
        return r >= begin && r < end ? first + (r - begin) * row : nullptr;
      };
      for (std::int64_t r = 0; r < rows; r += 2, to += padded) {
        Family::interleave(row_at(r), row_at(r + 1), size, static_cast<int>(padded), to);
      }
    } else {
      fill_zero<F>(to, static_cast<std::size_t>(begin) * padded);
      widen_rows<F>(first, row, end - begin, size, to + static_cast<std::size_t>(begin) * padded, padded);
      fill_zero<F>(to + static_cast<std::size_t>(end) * padded,
                   static_cast<std::size_t>(rows - end) * padded);
    }
  }

  // Rows `start` .. `start + valid - 1` as columns [words(size)][block], `stride` apart; columns past them
  // are zero. Whole groups of rows that are words already are turned where they lie, the others by way of
  // `rows`, which holds [block][words(padded)].
  static void pack_columns(const T* first, std::int64_t row, std::int64_t start, std::int64_t valid, int size,
                           int block, std::size_t padded, float* rows, float* columns,
                           std::ptrdiff_t stride) {
    const T* from = first + start * row;
    std::int64_t in_place = 0;
    if (sizeof(T) == sizeof(float) / kTerms && words(size) % 4 == 0 && row % kTerms == 0) {
      in_place = valid / 16 * 16;
      transpose_words<F>(reinterpret_cast<const float*>(from), words(row), in_place, words(size), columns,
                         stride);
    }
    const std::int64_t left = valid - in_place;
    pack_along(from + in_place * row, row, left, size, rows, padded);
    zero_along(rows + words(static_cast<std::ptrdiff_t>(padded)) * left, block - valid, padded);
    transpose_words<F>(rows, static_cast<std::ptrdiff_t>(padded / kTerms), block - in_place, words(size),
                       columns + in_place, stride);
  }

  // Rounds to T and stores as columns j .. j + 15 of a row of words.
  static void store_rounded(F value, float* row, int j) {
    if constexpr (kPaired) {
      Family::store_rounded(value, row + j / 2);
    } else {
      rounded_as<T>(value).store(row + j);
    }
  }
};

}  // namespace megalith::cpu
