// A GPU as a CheckedDevice.
#pragma once

#include <deque>

#include "core/arena.h"
#include "device/cuda/checked_device.h"
#include "device/cuda/cuda_device.h"

namespace megalith::test {

class GpuCheckedDevice final : public CheckedDevice {
 public:
  // Two devices on one GPU: one multiplies as it does by default, one with the CPU's chain.
  GpuCheckedDevice()
      : fast_(value_or_throw(cuda::make_device())),
        cpu_(value_or_throw(cuda::make_device({.products = cuda::ProductMode::cpu}))) {}

  MatmulOps& products(cuda::ProductMode mode) override {
    return mode == cuda::ProductMode::cpu ? cpu_->matmul() : fast_->matmul();
  }
  ElementwiseOps& elementwise() override { return fast_->elementwise(); }
  OptimizerOps& optimizer() override { return fast_->optimizer(); }
  void* allocate(std::size_t bytes) override {
    arenas_.emplace_back("operand of a check", bytes + 64, fast_->memory());
    return arenas_.back().allocate_bytes(bytes);
  }
  void upload(void* device, const void* host, std::size_t bytes) override {
    wait();
    fast_->upload(device, host, bytes, fast_->compute_stream());
    wait();
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    wait();
    fast_->download(host, device, bytes, fast_->compute_stream());
    wait();
  }
  void wait() override {
    fast_->synchronize();
    cpu_->synchronize();
  }
  [[nodiscard]] bool emulated() const override { return false; }
  [[nodiscard]] cuda::CudaDevice& device() { return *fast_; }

 private:
  std::unique_ptr<cuda::CudaDevice> fast_;
  std::unique_ptr<cuda::CudaDevice> cpu_;
  std::deque<Arena> arenas_;
};

// Arenas, streams and events: what only a GPU has.
std::span<const KernelCheck> runtime_checks();

}  // namespace megalith::test
