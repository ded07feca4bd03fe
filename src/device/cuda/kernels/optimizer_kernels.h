// The optimizer's kernels: elementwise passes and integer sums, which any cut leaves equal.
#pragma once

#include "core/digest.h"
#include "core/elementary.h"
#include "core/fixed_point.h"
#include "device/cuda/kernels/optimizer_arithmetic.h"
#include "device/cuda/kernels/pack.h"

namespace megalith::cuda {

template <class W>  // of the working weights
struct AdamArgs {
  const std::int64_t* gradient;
  AdamScalars scalars;
  std::int64_t count;
  float* master;
  float* m;
  float* v;
  W* working;  // may be null
};

struct CastArgs {
  const float* from;
  std::int64_t count;
  bf16* to;
};

struct SquaresArgs {
  const std::int64_t* gradient;
  double factor;
  std::int64_t count;
  std::uint64_t* words;  // four: SquareSum::add_words
};

struct DigestArgs {
  const float* values;
  std::int64_t count;
  std::uint64_t first_index;
  std::uint64_t* sum;
};

template <class T>
struct FiniteArgs {
  const T* values;
  std::int64_t stride;
  std::int64_t rows, columns;
  std::uint32_t* bad;
};

// Column sums of blocks of 32 rows, each rounded once to fixed point.
template <class T>
struct BiasGradientArgs {
  const T* dy;
  std::int64_t stride;
  std::int64_t rows, columns;
  float scale;
  std::int64_t* db;
  std::uint32_t* bad;
};

template <class Machine>
MEGALITH_KERNEL std::int64_t thread_in_grid() {
  return Machine::block_x() * Machine::threads() + Machine::thread();
}
template <class Machine>
MEGALITH_KERNEL std::int64_t threads_in_row_of_blocks() {
  return Machine::blocks_x() * Machine::threads();
}

// Sums a number of every thread of the block into *total. REQUIRES: threads() is a power of two, and the
// block's shared memory holds one word per thread.
template <class Machine>
MEGALITH_KERNEL void add_block_sum(std::uint64_t value, std::uint64_t* total) {
  auto* slots = reinterpret_cast<std::uint64_t*>(Machine::shared_memory());
  const int thread = Machine::thread();
  slots[thread] = value;
  for (int width = Machine::threads() / 2; width > 0; width /= 2) {
    Machine::sync();
    if (thread < width) slots[thread] += slots[thread + width];
  }
  if (thread == 0) Machine::atomic_add(total, slots[0]);
  Machine::sync();  // before the next sum takes the slots
}

template <class Machine, class W, int vector>
MEGALITH_KERNEL void adam(const AdamArgs<W>& args) {
  const std::int64_t begin = thread_in_grid<Machine>() * vector;
  if (begin >= args.count) return;
  const AdamStep<ScalarFloat> step(args.scalars);
  const auto update = [&](std::int64_t fixed, float& m, float& v, float& w) {
    ScalarFloat new_m{m};
    ScalarFloat new_v{v};
    ScalarFloat new_w{w};
    step.apply(ScalarFloat{mean_gradient(fixed, args.scalars.factor)}, new_m, new_v, new_w);
    m = new_m.value;
    v = new_v.value;
    w = new_w.value;
  };
  if (begin + vector > args.count) {
    for (std::int64_t i = begin; i < args.count; ++i) {
      update(args.gradient[i], args.m[i], args.v[i], args.master[i]);
      if (args.working != nullptr) store_rounded(args.master[i], args.working + i);
    }
    return;
  }
  const auto gradient = load_pack<vector>(args.gradient + begin);
  auto m = load_pack<vector, float>(args.m + begin);
  auto v = load_pack<vector, float>(args.v + begin);
  auto w = load_pack<vector, float>(args.master + begin);
  Pack<W, vector> working;
  for (int i = 0; i < vector; ++i) {
    update(gradient.element[i], m.element[i], v.element[i], w.element[i]);
    store_rounded(w.element[i], &working.element[i]);
  }
  store_pack(m, args.m + begin);
  store_pack(v, args.v + begin);
  store_pack(w, args.master + begin);
  if (args.working != nullptr) store_pack(working, args.working + begin);
}

template <class Machine, int vector>
MEGALITH_KERNEL void cast(const CastArgs& args) {
  const std::int64_t begin = thread_in_grid<Machine>() * vector;
  if (begin + vector > args.count) {
    for (std::int64_t i = begin; i < args.count; ++i) args.to[i] = to_bf16(args.from[i]);
    return;
  }
  const auto from = load_pack<vector>(args.from + begin);
  Pack<bf16, vector> to;
  for (int i = 0; i < vector; ++i) to.element[i] = to_bf16(from.element[i]);
  store_pack(to, args.to + begin);
}

// high * 2^52 + low as 128 bits in two's complement, word by word. A word's sum holds 2^32 additions.
MEGALITH_KERNEL inline void add_to_words(const SquareLimbs& limbs, std::uint64_t* words) {
  const std::uint64_t shifted = static_cast<std::uint64_t>(limbs.high) << 52;
  const std::uint64_t low = shifted + static_cast<std::uint64_t>(limbs.low);
  const std::uint64_t high = static_cast<std::uint64_t>(limbs.high >> 12) +
                             static_cast<std::uint64_t>(limbs.low >> 63) + (low < shifted ? 1 : 0);
  words[0] += low & 0xffffffffu;
  words[1] += low >> 32;
  words[2] += high & 0xffffffffu;
  words[3] += high >> 32;
}

template <class Machine>
MEGALITH_KERNEL void squares(const SquaresArgs& args) {
  constexpr int kElementsPerFold = 4;  // of one thread: the limbs would hold 1024
  std::uint64_t words[4] = {};
  const std::int64_t step = threads_in_row_of_blocks<Machine>();
  for (std::int64_t i = thread_in_grid<Machine>(); i < args.count; i += kElementsPerFold * step) {
    SquareLimbs limbs;
    for (int e = 0; e < kElementsPerFold; ++e) {
      if (i + e * step < args.count) limbs.add(mean_gradient(args.gradient[i + e * step], args.factor));
    }
    add_to_words(limbs, words);
  }
  for (int w = 0; w < 4; ++w) add_block_sum<Machine>(words[w], args.words + w);
}

template <class Machine>
MEGALITH_KERNEL void digest(const DigestArgs& args) {
  std::uint64_t sum = 0;
  for (std::int64_t i = thread_in_grid<Machine>(); i < args.count; i += threads_in_row_of_blocks<Machine>()) {
    sum += element_digest(args.first_index + static_cast<std::uint64_t>(i),
                          std::bit_cast<std::uint32_t>(args.values[i]));
  }
  add_block_sum<Machine>(sum, args.sum);
}

template <class Machine, class T>
MEGALITH_KERNEL void finite(const FiniteArgs<T>& args) {
  std::uint32_t greatest = 0;
  for (std::int64_t row = Machine::block_y(); row < args.rows; row += Machine::blocks_y()) {
    for (std::int64_t i = thread_in_grid<Machine>(); i < args.columns;
         i += threads_in_row_of_blocks<Machine>()) {
      const std::uint32_t bits = magnitude_bits(to_float(args.values[row * args.stride + i]));
      greatest = greatest > bits ? greatest : bits;
    }
  }
  if (greatest >= 0x7f800000u) Machine::raise(args.bad);
}

template <class Machine, class T>
MEGALITH_KERNEL void bias_gradient(const BiasGradientArgs<T>& args) {
  constexpr std::int64_t kRows = 32;  // of one contribution (docs/numerics.md)
  const std::int64_t column = thread_in_grid<Machine>();
  if (column >= args.columns) return;
  std::uint64_t total = 0;
  bool good = true;
  for (std::int64_t row = Machine::block_y() * kRows; row < args.rows; row += Machine::blocks_y() * kRows) {
    const std::int64_t rows = args.rows - row < kRows ? args.rows - row : kRows;
    float sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) sum = sum + to_float(args.dy[(row + r) * args.stride + column]);
    total += static_cast<std::uint64_t>(scaled_to_fixed_point(sum * args.scale));
    good = good && magnitude_bits(sum) < contribution_limit_bits(rows);
  }
  Machine::atomic_add(args.db + column, static_cast<std::int64_t>(total));
  if (!good) Machine::raise(args.bad);
}

}  // namespace megalith::cuda
