// Rows of words to columns, four by four, or sixteen by sixteen where a family can.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megalith::cpu {

// `rows` rows of `words` words each: to[t * to_stride + i] = from[i * stride + t]. The row ends may be read
// up to a multiple of four words. REQUIRES: rows a multiple of 4. Static: every kernel family has its own.
static inline void transpose_words(const float* from, std::ptrdiff_t stride, std::int64_t rows,
                                   std::int64_t words, float* to, std::ptrdiff_t to_stride) {
  using Four = float __attribute__((vector_size(16)));
  const auto load = [](const float* address) {
    Four x;
    __builtin_memcpy(&x, address, sizeof(x));  // of any alignment
    return x;
  };
  const auto store = [](float* address, Four x) { __builtin_memcpy(address, &x, sizeof(x)); };
  for (std::int64_t i = 0; i < rows; i += 4) {
    for (std::int64_t t = 0; t < words; t += 4) {
      const float* block = from + i * stride + t;
      const Four r0 = load(block);
      const Four r1 = load(block + stride);
      const Four r2 = load(block + 2 * stride);
      const Four r3 = load(block + 3 * stride);
      const Four low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
      const Four low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
      const Four high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
      const Four high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
      float* column = to + t * to_stride + i;
      store(column, __builtin_shufflevector(low01, low23, 0, 1, 4, 5));
      if (t + 1 < words) store(column + to_stride, __builtin_shufflevector(low01, low23, 2, 3, 6, 7));
      if (t + 2 < words) store(column + 2 * to_stride, __builtin_shufflevector(high01, high23, 0, 1, 4, 5));
      if (t + 3 < words) store(column + 3 * to_stride, __builtin_shufflevector(high01, high23, 2, 3, 6, 7));
    }
  }
}

// The same with the lanes of a family, whose sixteen registers may hold a square of words.
template <class F>
void transpose_words(const float* from, std::ptrdiff_t stride, std::int64_t rows, std::int64_t words,
                     float* to, std::ptrdiff_t to_stride) {
  std::int64_t square_rows = 0;
  if constexpr (F::kTransposesSquares) {
    square_rows = rows / 16 * 16;
    const std::int64_t square_words = words / 16 * 16;
    for (std::int64_t i = 0; i < square_rows; i += 16) {
      for (std::int64_t t = 0; t < square_words; t += 16)
        F::transpose_square(from + i * stride + t, stride, to + t * to_stride + i, to_stride);
    }
    transpose_words(from + square_words, stride, square_rows, words - square_words,
                    to + square_words * to_stride, to_stride);
  }
  transpose_words(from + square_rows * stride, stride, rows - square_rows, words, to + square_rows,
                  to_stride);
}

}  // namespace megalith::cpu
