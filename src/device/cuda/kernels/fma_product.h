// Products by fp32 multiply-adds in exactly the CPU's chain: equal bits with the CPU in fp32 and in bf16
// (pairs, the high element first). 64 x 64 elements a block, 4 x 4 a thread.
#pragma once

#include "device/cuda/kernels/product_args.h"

namespace megalith::cuda {

struct FmaTile {
  static constexpr int kSide = 64;      // rows and columns of a block
  static constexpr int kDepth = 16;     // places of a stage, even
  static constexpr int kThreads = 256;  // 16 x 16
  static constexpr int kLanes = 16;
  static constexpr int kOwn = 4;  // rows and columns of a thread, kLanes apart
};

template <class T, bool a_along, bool b_along>
struct FmaShared {
  using A = OperandTile<T, a_along, FmaTile::kSide, FmaTile::kDepth>;
  using B = OperandTile<T, b_along, FmaTile::kSide, FmaTile::kDepth>;
  static constexpr int kBytes = static_cast<int>(sizeof(T)) * (A::kElements + B::kElements);
};

template <class Machine, class T, bool a_along, bool b_along, int levels, bool gradient>
MEGALITH_KERNEL void fma_product(const ProductArgs<T>& args) {
  using Shared = FmaShared<T, a_along, b_along>;
  constexpr int kOwn = FmaTile::kOwn;
  constexpr int kCount = kOwn * kOwn;
  constexpr bool kPairs = sizeof(T) == 2;
  T* a = reinterpret_cast<T*>(Machine::shared_memory());
  T* b = a + Shared::A::kElements;
  const int row = Machine::thread() / FmaTile::kLanes;
  const int column = Machine::thread() % FmaTile::kLanes;
  const std::int64_t row0 = Machine::block_x() % args.row_tiles * FmaTile::kSide;
  const std::int64_t column0 = Machine::block_x() / args.row_tiles * FmaTile::kSide;
  // An odd end is padded with a zero term in the last pair, as on the CPU.
  const std::int64_t terms = kPairs ? (args.chain.length + 1) / 2 * 2 : args.chain.length;

  LeafTree<levels, kCount> tree;
  GrainSums<gradient ? kCount : 1> sums;
  float c[kCount];
  std::int64_t first, last;
  block_segments<Machine, gradient>(args, &first, &last);
  for (std::int64_t segment = first; segment < last; ++segment) {
    for (float& value : c) value = 0;
    for (std::int64_t place = 0; place < terms; place += FmaTile::kDepth) {
      Machine::sync();  // the last stage was read
      Shared::A::template start_copy<Machine>(args.a, args.chain, segment, place, row0, a);
      Shared::B::template start_copy<Machine>(args.b, args.chain, segment, place, column0, b);
      Machine::commit_copies();
      Machine::template wait_copies<0>();
      Machine::sync();
      const int depth = static_cast<int>(terms - place < FmaTile::kDepth ? terms - place : FmaTile::kDepth);
      for (int t = 0; t < depth; ++t) {
        const int p = kPairs ? t ^ 1 : t;
        float left[kOwn];
        float right[kOwn];
        for (int i = 0; i < kOwn; ++i) left[i] = to_float(a[Shared::A::at(row + i * FmaTile::kLanes, p)]);
        for (int j = 0; j < kOwn; ++j) right[j] = to_float(b[Shared::B::at(column + j * FmaTile::kLanes, p)]);
        for (int i = 0; i < kOwn; ++i) {
          for (int j = 0; j < kOwn; ++j) c[i * kOwn + j] = std::fma(left[i], right[j], c[i * kOwn + j]);
        }
      }
    }
    if constexpr (gradient) {
      sums.add(c, args.scale);
    } else {
      tree.join(segment, c);
    }
  }
  for (int i = 0; i < kOwn; ++i) {
    for (int j = 0; j < kOwn; ++j) {
      const std::int64_t r = row0 + row + i * FmaTile::kLanes;
      const std::int64_t s = column0 + column + j * FmaTile::kLanes;
      if constexpr (gradient) {
        add_element<Machine>(args, r, s, sums.sum[i * kOwn + j]);
      } else {
        store_element(args, r, s, c[i * kOwn + j]);
      }
    }
  }
  if (gradient && sums.greatest >= args.limit) Machine::raise(args.bad);
}

}  // namespace megalith::cuda
