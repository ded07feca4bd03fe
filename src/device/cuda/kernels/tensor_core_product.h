// bf16 products on tensor cores with a chain of their own. A segment is cut into steps of sixteen places,
// ascending, the last one padded with zeros; each step is one mma.m16n8k16 on the running fp32 sum, which
// starts at +0. Tile sizes, warps and stages are not part of the bits: every element takes the same steps
// wherever it stands.
#pragma once

#include "device/cuda/kernels/product_args.h"

namespace megalith::cuda {

inline constexpr int kStep = 16;  // places of one mma

// rows x columns of a block; warps in a grid of warps_down x warps_across; leaves up to 2^levels.
template <int rows, int columns, int warps_down, int warps_across, int levels>
struct TensorCoreTile {
  static constexpr int kRows = rows;
  static constexpr int kColumns = columns;
  static constexpr int kWarpsDown = warps_down;
  static constexpr int kWarpsAcross = warps_across;
  static constexpr int kLevels = levels;
  static constexpr int kThreads = warps_down * warps_across * kWarp;
  static constexpr int kDepth = 32;  // places of a stage
  static constexpr int kStages = 4;
  static constexpr int kWarpRows = rows / warps_down;
  static constexpr int kWarpColumns = columns / warps_across;
  static constexpr int kDown = kWarpRows / 16;      // mma tiles of a warp
  static constexpr int kAcross = kWarpColumns / 8;  // even: B comes two tiles at a time
  static constexpr int kCount = kDown * kAcross * 4;
  static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0);
};

template <class Tile, bool a_along, bool b_along>
struct TensorCoreShared {
  using A = OperandTile<bf16, a_along, Tile::kRows, Tile::kDepth>;
  using B = OperandTile<bf16, b_along, Tile::kColumns, Tile::kDepth>;
  static constexpr int kStage = A::kElements + B::kElements;
  static constexpr int kBytes = 2 * kStage * Tile::kStages;
};

// One step of a warp: its tiles of A and B out of a stage, then all products. `a` and `b` are the stage's
// tiles; row and column are the warp's first, place is the step's.
template <class Machine, class Tile, bool a_along, bool b_along>
MEGALITH_KERNEL void warp_step(const bf16* a, const bf16* b, int row, int column, int place,
                               float (&c)[Tile::kCount]) {
  using Shared = TensorCoreShared<Tile, a_along, b_along>;
  const int lane = Machine::thread() % kWarp;
  // ldmatrix takes the address of row lane % 8 of matrix lane / 8.
  const int row_of = lane % 8;
  const int low_bit = lane / 8 % 2 * 8;
  const int high_bit = lane / 16 * 8;
  std::uint32_t left[Tile::kDown][4];
  MEGALITH_UNROLL
  for (int i = 0; i < Tile::kDown; ++i) {
    // Matrices in the order of the operand's registers: rows 0-7 and 8-15 of places 0-7, then of places 8-15.
    const int line = row + i * 16;
    const int at = a_along ? Shared::A::at(line + row_of + low_bit, place + high_bit)
                           : Shared::A::at(line + low_bit, place + row_of + high_bit);
    Machine::template load_matrices<!a_along>(left[i], a + at);
  }
  MEGALITH_UNROLL
  for (int j = 0; j < Tile::kAcross; j += 2) {
    // Two tiles of eight columns: places 0-7 and 8-15 of the first, then of the second.
    const int line = column + j * 8;
    const int at = b_along ? Shared::B::at(line + row_of + high_bit, place + low_bit)
                           : Shared::B::at(line + high_bit, place + row_of + low_bit);
    std::uint32_t right[4];
    Machine::template load_matrices<!b_along>(right, b + at);
    MEGALITH_UNROLL
    for (int i = 0; i < Tile::kDown; ++i) {
      float* sum = c + (i * Tile::kAcross + j) * 4;
      Machine::multiply_add(sum, left[i], right[0], right[1]);
      Machine::multiply_add(sum + 4, left[i], right[2], right[3]);
    }
  }
}

// Calls body(index into the warp's sums, row in the block, column in the block) for this thread's elements.
template <class Machine, class Tile, class Body>
MEGALITH_KERNEL void for_elements(Body body) {
  const int warp = Machine::thread() / kWarp;
  const int lane = Machine::thread() % kWarp;
  const int row = warp / Tile::kWarpsAcross * Tile::kWarpRows + lane / 4;
  const int column = warp % Tile::kWarpsAcross * Tile::kWarpColumns + lane % 4 * 2;
  MEGALITH_UNROLL
  for (int i = 0; i < Tile::kDown; ++i) {
    MEGALITH_UNROLL
    for (int j = 0; j < Tile::kAcross; ++j) {
      MEGALITH_UNROLL
      for (int e = 0; e < 4; ++e) {
        body((i * Tile::kAcross + j) * 4 + e, row + i * 16 + e / 2 * 8, column + j * 8 + e % 2);
      }
    }
  }
}

template <class Machine, class Tile, bool a_along, bool b_along, bool gradient>
MEGALITH_KERNEL void tensor_core_product(const ProductArgs<bf16>& args) {
  using Shared = TensorCoreShared<Tile, a_along, b_along>;
  auto* shared = reinterpret_cast<bf16*>(Machine::shared_memory());
  const int warp = Machine::thread() / kWarp;
  const int row = warp / Tile::kWarpsAcross * Tile::kWarpRows;
  const int column = warp % Tile::kWarpsAcross * Tile::kWarpColumns;
  const std::int64_t row0 = Machine::block_x() % args.row_tiles * Tile::kRows;
  const std::int64_t column0 = Machine::block_x() / args.row_tiles * Tile::kColumns;
  std::int64_t first, last;
  block_segments<Machine, gradient>(args, &first, &last);
  const std::int64_t stages_of_segment = (args.chain.length + Tile::kDepth - 1) / Tile::kDepth;
  const std::int64_t stages = (last - first) * stages_of_segment;

  const auto start = [&](std::int64_t stage) {
    if (stage < stages) {
      bf16* a = shared + stage % Tile::kStages * Shared::kStage;
      const std::int64_t segment = first + stage / stages_of_segment;
      const std::int64_t place = stage % stages_of_segment * Tile::kDepth;
      Shared::A::template start_copy<Machine>(args.a, args.chain, segment, place, row0, a);
      Shared::B::template start_copy<Machine>(args.b, args.chain, segment, place, column0,
                                              a + Shared::A::kElements);
    }
    Machine::commit_copies();  // an empty group, too: wait_copies counts groups
  };

  LeafTree<Tile::kLevels, Tile::kCount> tree;
  GrainSums<gradient ? Tile::kCount : 1> sums;
  float c[Tile::kCount] = {};
  for (int stage = 0; stage < Tile::kStages - 1; ++stage) start(stage);
  std::int64_t segment = first;
  std::int64_t place = 0;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    Machine::template wait_copies<Tile::kStages - 2>();  // this thread's share of the stage is there
    Machine::sync();                                     // everybody's is, and the stage before was read
    start(stage + Tile::kStages - 1);
    const bf16* a = shared + stage % Tile::kStages * Shared::kStage;
    for (int step = 0; step < Tile::kDepth && place + step < args.chain.length; step += kStep) {
      warp_step<Machine, Tile, a_along, b_along>(a, a + Shared::A::kElements, row, column, step, c);
    }
    place += Tile::kDepth;
    if (place < args.chain.length) continue;
    if constexpr (gradient) {
      sums.add(c, args.scale);
    } else {
      tree.join(segment, c);
    }
    place = 0;
    if (++segment == last) break;
    MEGALITH_UNROLL
    for (float& value : c) value = 0;
  }
  for_elements<Machine, Tile>([&](int index, int r, int s) {
    if constexpr (gradient) {
      add_element<Machine>(args, row0 + r, column0 + s, sums.sum[index]);
    } else {
      store_element(args, row0 + r, column0 + s, c[index]);
    }
  });
  if (gradient && sums.greatest >= args.limit) Machine::raise(args.bad);
}

}  // namespace megalith::cuda
