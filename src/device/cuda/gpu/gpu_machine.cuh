// The Machine of kernels/machine.h on a GPU: registers and instructions. Everything a test on fibres cannot
// see is in this file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"

namespace megalith::cuda {

// Kernels are host and device functions for the compiler; only the device's side has a body here.
#ifdef __CUDA_ARCH__
#define MEGALITH_ON_GPU(...) __VA_ARGS__
#else
#define MEGALITH_ON_GPU(...)
#endif

struct GpuMachine {
  static MEGALITH_KERNEL int thread() {
    int value = 0;
    MEGALITH_ON_GPU(value = static_cast<int>(threadIdx.x);)
    return value;
  }
  static MEGALITH_KERNEL int threads() {
    int value = 0;
    MEGALITH_ON_GPU(value = static_cast<int>(blockDim.x);)
    return value;
  }
  static MEGALITH_KERNEL std::int64_t block_x() {
    std::int64_t value = 0;
    MEGALITH_ON_GPU(value = blockIdx.x;)
    return value;
  }
  static MEGALITH_KERNEL std::int64_t block_y() {
    std::int64_t value = 0;
    MEGALITH_ON_GPU(value = blockIdx.y;)
    return value;
  }
  static MEGALITH_KERNEL std::int64_t block_z() {
    std::int64_t value = 0;
    MEGALITH_ON_GPU(value = blockIdx.z;)
    return value;
  }
  static MEGALITH_KERNEL std::int64_t blocks_x() {
    std::int64_t value = 0;
    MEGALITH_ON_GPU(value = gridDim.x;)
    return value;
  }
  static MEGALITH_KERNEL std::int64_t blocks_y() {
    std::int64_t value = 0;
    MEGALITH_ON_GPU(value = gridDim.y;)
    return value;
  }
  static MEGALITH_KERNEL std::byte* shared_memory() {
    std::byte* start = nullptr;
    MEGALITH_ON_GPU(extern __shared__ __align__(16) unsigned char shared[];
                    start = reinterpret_cast<std::byte*>(shared);)
    return start;
  }
  static MEGALITH_KERNEL void sync() { MEGALITH_ON_GPU(__syncthreads();) }

  // The two halves of a warp are groups of their own and may be elsewhere.
  template <class T>
  static MEGALITH_KERNEL T from_lane_xor(T value, [[maybe_unused]] int mask) {
    MEGALITH_ON_GPU(value = __shfl_xor_sync(0xffffu << (threadIdx.x & 16u), value, mask, 16);)
    return value;
  }

  static MEGALITH_KERNEL void atomic_add([[maybe_unused]] std::uint64_t* address,
                                         [[maybe_unused]] std::uint64_t value) {
    MEGALITH_ON_GPU(
        atomicAdd(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));)
  }
  static MEGALITH_KERNEL void atomic_add(std::int64_t* address, std::int64_t value) {
    atomic_add(reinterpret_cast<std::uint64_t*>(address), static_cast<std::uint64_t>(value));
  }
  // The word lies in the host's memory.
  static MEGALITH_KERNEL void raise([[maybe_unused]] std::uint32_t* flag) {
    MEGALITH_ON_GPU(*static_cast<volatile std::uint32_t*>(flag) = 1;)
  }

  static MEGALITH_KERNEL std::uint32_t shared_address([[maybe_unused]] const void* pointer) {
    std::uint32_t address = 0;
    MEGALITH_ON_GPU(address = static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));)
    return address;
  }
  static MEGALITH_KERNEL void copy_async16([[maybe_unused]] void* shared,
                                           [[maybe_unused]] const void* global) {
    MEGALITH_ON_GPU(asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                                 :
                                 : "r"(shared_address(shared)), "l"(global)
                                 : "memory");)
  }
  static MEGALITH_KERNEL void commit_copies() {
    MEGALITH_ON_GPU(asm volatile("cp.async.commit_group;" : : : "memory");)
  }
  template <int pending>
  static MEGALITH_KERNEL void wait_copies() {
    MEGALITH_ON_GPU(asm volatile("cp.async.wait_group %0;" : : "n"(pending) : "memory");)
  }

  template <bool transposed>
  static MEGALITH_KERNEL void load_matrices([[maybe_unused]] std::uint32_t (&r)[4],
                                            [[maybe_unused]] const bf16* row) {
    if constexpr (transposed) {
      MEGALITH_ON_GPU(asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                                   : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                                   : "r"(shared_address(row))
                                   : "memory");)
    } else {
      MEGALITH_ON_GPU(asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                                   : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                                   : "r"(shared_address(row))
                                   : "memory");)
    }
  }
  static MEGALITH_KERNEL void multiply_add([[maybe_unused]] float* c,
                                           [[maybe_unused]] const std::uint32_t (&a)[4],
                                           [[maybe_unused]] std::uint32_t b0,
                                           [[maybe_unused]] std::uint32_t b1) {
    MEGALITH_ON_GPU(asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));)
  }
};

}  // namespace megalith::cuda
