// A grid of GPU threads on fibres: kernels run on the CPU thread for thread, with barriers, shuffles,
// asynchronous copies, ldmatrix and mma as the PTX ISA describes them. What it proves is a kernel's indices,
// order and synchronisation; what it cannot prove is a GPU's own rounding.
//
// Strict where a GPU is lenient: asynchronous copies arrive at the last moment that wait_copies allows,
// shared memory starts as NaN, a misaligned or overlapping access stops, threads of a block run one after
// another until each waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/bf16.h"

namespace megalith::test {

struct EmulatedGrid {
  std::int64_t blocks_x = 1, blocks_y = 1, blocks_z = 1;
  int threads = 1;
  std::size_t shared_bytes = 0;
};

// Runs `kernel` once per thread of the grid. Throws std::logic_error when threads wait for others that
// returned.
void run_emulated(const EmulatedGrid& grid, const std::function<void()>& kernel);

// The Machine of device/cuda/kernels/machine.h.
struct EmulatedMachine {
  static int thread();
  static int threads();
  static std::int64_t block_x();
  static std::int64_t block_y();
  static std::int64_t block_z();
  static std::int64_t blocks_x();
  static std::int64_t blocks_y();
  static std::byte* shared_memory();
  static void sync();
  static float from_lane_xor(float value, int mask);
  static std::uint32_t from_lane_xor(std::uint32_t value, int mask);
  static void atomic_add(std::int64_t* address, std::int64_t value);
  static void atomic_add(std::uint64_t* address, std::uint64_t value);
  static void raise(std::uint32_t* flag);
  static void copy_async16(void* shared, const void* global);
  static void commit_copies();
  template <int pending>
  static void wait_copies() {
    wait_for_copies(pending);
  }
  template <bool transposed>
  static void load_matrices(std::uint32_t (&r)[4], const bf16* row) {
    load_four_matrices(r, row, transposed);
  }
  // The sixteen products and the sum are added in fp64 and rounded once to fp32.
  static void multiply_add(float* c, const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

 private:
  static void wait_for_copies(int pending);
  static void load_four_matrices(std::uint32_t (&r)[4], const bf16* row, bool transposed);
};

}  // namespace megalith::test
