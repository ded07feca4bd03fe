// What a kernel may ask of the machine it runs on. Kernels are templates over a Machine and touch nothing
// else, so the same text runs on a GPU (gpu_machine.cuh) and, thread for thread, on fibres in tests
// (tests/device/cuda/emulated_machine.h). All functions are static:
//
//   thread(), threads()                      this thread's number in its block, and how many there are
//   block_x(), block_y(), block_z()          this block's place in the grid
//   blocks_x(), blocks_y()                   the grid's extents
//   shared_memory()                          the block's dynamic shared memory
//   sync()                                   waits for all threads of the block that have not returned
//   from_lane_xor(value, mask)               value of the thread whose number differs by mask < 16
//   atomic_add(address, value)               64-bit integers only
//   raise(flag)                              sets *flag to 1
//   copy_async16(shared, global)             starts a copy of 16 aligned bytes
//   commit_copies(), wait_copies<n>()        closes a group of copies; waits until at most n groups are under
//   way load_matrices<transposed>(r, row)        ldmatrix.x4 of 16-bit elements multiply_add(c, a, b0, b1)
//   mma.m16n8k16 of bf16 with fp32 sums
//
// The last two, by whole warps, have the operand layouts of the PTX ISA. from_lane_xor is called by whole
// groups of sixteen.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernel_function.h"

// Arrays in registers need loops without a counter. Elsewhere the pragma has no meaning.
#if defined(__CUDACC__)
#define MEGALITH_UNROLL _Pragma("unroll")
#else
#define MEGALITH_UNROLL
#endif

namespace megalith::cuda {

inline constexpr int kWarp = 32;  // threads

}  // namespace megalith::cuda
