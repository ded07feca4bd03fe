// The one product of attention: C (+)= A B with every element a chain of fma over the summed dimension, C
// loaded as the chain's start, never added to afterwards. Operands are words (attention_words.h). bf16 is
// widened when packed, which is exact, and two fma, high element of a pair first, are what vdpbf16ps does
// (docs/numerics.md); where the processor has that instruction, pairs are multiplied as they are.
//
// Family: a kernel family's lanes and register tile (attention_portable.cpp and its siblings).
#pragma once

#include <cstddef>

namespace megalith::cpu {

enum class Chain {
  plain,    // a step is a term
  swapped,  // so it is, and of each two steps the second comes first
  words,    // a step is a pair of bf16 terms, multiplied by Family::multiply_words
};

struct ChainOperand {
  const float* data;
  std::ptrdiff_t row;   // distance between rows
  std::ptrdiff_t step;  // distance between elements of the summed dimension
};

template <class Family, Chain kChain, int kRows, int kVectors>
void chain_tile(ChainOperand a, const float* b, std::ptrdiff_t b_step, int steps, float* c,
                std::ptrdiff_t c_row, bool fresh) {
  using F = typename Family::Floats;
  F sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v] = fresh ? F::zero() : F::load(c + r * c_row + v * 16);
  }
  const auto add_step = [&](int k) __attribute__((always_inline)) {
    F lanes[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) lanes[v] = F::load(b + k * b_step + v * 16);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F x = F::broadcast(a.data[r * a.row + k * a.step]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (kChain == Chain::words) {
          sum[r][v] = Family::multiply_words(x, lanes[v], sum[r][v]);
        } else {
          sum[r][v] = fma(x, lanes[v], sum[r][v]);
        }
      }
    }
  };
  if constexpr (kChain == Chain::swapped) {
    for (int k = 0; k < steps; k += 2) {
      add_step(k + 1);
      add_step(k);
    }
  } else {
    for (int k = 0; k < steps; ++k) add_step(k);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v].store(c + r * c_row + v * 16);
  }
}

// Rows that do not fill a tile: the widest tile that fits, once.
template <class Family, Chain kChain, int kRows, int kVectors>
void chain_rows(int rows, ChainOperand a, const float* b, std::ptrdiff_t b_step, int steps, float* c,
                std::ptrdiff_t c_row, bool fresh) {
  for (; rows >= kRows; rows -= kRows) {
    chain_tile<Family, kChain, kRows, kVectors>(a, b, b_step, steps, c, c_row, fresh);
    a.data += kRows * a.row;
    c += kRows * c_row;
  }
  if constexpr (kRows > 1) {
    if (rows > 0) chain_rows<Family, kChain, kRows - 1, kVectors>(rows, a, b, b_step, steps, c, c_row, fresh);
  }
}

template <class Family, Chain kChain, int kVectors>
void chain_columns(int rows, int columns, ChainOperand a, const float* b, std::ptrdiff_t b_step, int steps,
                   float* c, std::ptrdiff_t c_row, bool fresh) {
  for (; columns >= kVectors * 16; columns -= kVectors * 16) {
    chain_rows<Family, kChain, Family::kRows, kVectors>(rows, a, b, b_step, steps, c, c_row, fresh);
    b += kVectors * 16;
    c += kVectors * 16;
  }
  if constexpr (kVectors > 1) {
    if (columns > 0) {
      chain_columns<Family, kChain, kVectors - 1>(rows, columns, a, b, b_step, steps, c, c_row, fresh);
    }
  }
}

// c [rows][columns] continues (fresh: starts at +0) the chain over `steps` products a [rows][steps] b
// [steps][columns]. REQUIRES: columns a multiple of 16; steps even when swapped.
template <class Family, Chain kChain>
void chain_product(int rows, int columns, int steps, ChainOperand a, const float* b, std::ptrdiff_t b_step,
                   float* c, std::ptrdiff_t c_row, bool fresh) {
  chain_columns<Family, kChain, Family::kVectors>(rows, columns, a, b, b_step, steps, c, c_row, fresh);
}

}  // namespace megalith::cpu
