// Launching a kernel's body on a stream.
#pragma once

#include <cuda_runtime.h>

#include "device/cuda/gpu/gpu_machine.cuh"
#include "device/cuda/launch_shape.h"

namespace megalith::cuda {

inline constexpr int kMostThreads = 256;  // of any block here
inline constexpr std::size_t kSharedWithoutAsking = 48 * 1024;

// Both in runtime.cpp: what can be launched at all, and errors with names.
void check_plan(const LaunchPlan& plan, int most_threads, const char* what);
void check(cudaError_t error, const char* what);

// Body is a type with a static function run(args): what the kernel does.
template <class Body, class Args>
__global__ void __launch_bounds__(kMostThreads) kernel(const __grid_constant__ Args args) {
  Body::run(args);
}

template <class Body, class Args>
void launch_body(const char* what, const LaunchPlan& plan, const Args& args, cudaStream_t stream) {
  check_plan(plan, kMostThreads, what);
  if (plan.shared_bytes > kSharedWithoutAsking) {
    check(cudaFuncSetAttribute(kernel<Body, Args>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(plan.shared_bytes)),
          what);
  }
  const dim3 blocks(static_cast<unsigned>(plan.blocks_x), static_cast<unsigned>(plan.blocks_y),
                    static_cast<unsigned>(plan.blocks_z));
  kernel<Body, Args><<<blocks, static_cast<unsigned>(plan.threads), plan.shared_bytes, stream>>>(args);
  check(cudaGetLastError(), what);
}

}  // namespace megalith::cuda
