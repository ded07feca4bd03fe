// Stages of operands in shared memory: `outer` rows or columns of the result by `depth` places of a chain,
// laid as they lie in memory, so that 16 bytes go at once wherever they follow each other. What lies outside
// is zero.
#pragma once

#include "core/bf16.h"
#include "device/cuda/kernels/chain_map.h"
#include "device/cuda/kernels/machine.h"

namespace megalith::cuda {

// A matrix whose chains run along its rows (element s of line o at data[o * stride + s]) or across them
// (data[s * stride + o]).
template <class T>
struct Operand {
  const T* data;
  std::int64_t stride;
  std::int64_t extent;  // lines: rows or columns of the result
};

template <class T, bool along_rows, int outer, int depth>
struct OperandTile {
  static constexpr int kChunk = 16 / sizeof(T);
  // One chunk of padding: eight rows read at once lie in different banks.
  static constexpr int kPitch = (along_rows ? depth : outer) + kChunk;
  static constexpr int kElements = kPitch * (along_rows ? outer : depth);

  // Where place `place` of line `line` stands.
  MEGALITH_KERNEL static int at(int line, int place) {
    return along_rows ? line * kPitch + place : place * kPitch + line;
  }

  // All threads of the block start copying places [place, place + depth) of lines [line, line + outer) to
  // `tile`.
  template <class Machine>
  MEGALITH_KERNEL static void start_copy(const Operand<T>& operand, const ChainMap& chain,
                                         std::int64_t segment, std::int64_t place, std::int64_t line,
                                         T* tile) {
    constexpr int kChunksInRow = (along_rows ? depth : outer) / kChunk;
    constexpr int kRows = along_rows ? outer : depth;
    for (int index = Machine::thread(); index < kRows * kChunksInRow; index += Machine::threads()) {
      const int row = index / kChunksInRow;
      const int first = index % kChunksInRow * kChunk;
      T* to = tile + row * kPitch + first;
      if constexpr (along_rows) {
        copy_along<Machine>(operand, chain, segment, place + first, line + row, to);
      } else {
        copy_across<Machine>(operand, chain, segment, place + row, line + first, to);
      }
    }
  }

 private:
  MEGALITH_KERNEL static bool aligned(const T* address) {
    return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
  }

  template <class Machine>
  MEGALITH_KERNEL static void copy_along(const Operand<T>& operand, const ChainMap& chain,
                                         std::int64_t segment, std::int64_t place, std::int64_t line, T* to) {
    const bool present = line < operand.extent;
    const T* from = operand.data + (present ? line * operand.stride : 0);
    std::int64_t run = 0;
    if (present && place < chain.length) {
      const T* start = from + chain.source(segment, place, &run);
      if (run >= kChunk && aligned(start)) return Machine::copy_async16(to, start);
    }
    for (int e = 0; e < kChunk; ++e) {
      to[e] = present && place + e < chain.length ? from[chain.source(segment, place + e, &run)] : T{};
    }
  }

  template <class Machine>
  MEGALITH_KERNEL static void copy_across(const Operand<T>& operand, const ChainMap& chain,
                                          std::int64_t segment, std::int64_t place, std::int64_t line,
                                          T* to) {
    const bool present = place < chain.length;
    std::int64_t run = 0;
    const T* from = operand.data + line + (present ? chain.source(segment, place, &run) * operand.stride : 0);
    if (present && line + kChunk <= operand.extent && aligned(from)) return Machine::copy_async16(to, from);
    for (int e = 0; e < kChunk; ++e) to[e] = present && line + e < operand.extent ? from[e] : T{};
  }
};

}  // namespace megalith::cuda
