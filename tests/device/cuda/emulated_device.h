// The CUDA device on fibres, with memory of the host.
#pragma once

#include <cstdlib>
#include <memory>

#include "device/cuda/checked_device.h"
#include "device/cuda/emulated_launcher.h"
#include "device/cuda/operations.h"

namespace megalith::test {

template <class Launcher = EmulatedLauncher>
class EmulatedDevice final : public CheckedDevice {
 public:
  MatmulOps& products(cuda::ProductMode mode) override {
    return mode == cuda::ProductMode::cpu ? *cpu_products_ : *fast_products_;
  }
  ElementwiseOps& elementwise() override { return *elementwise_; }
  OptimizerOps& optimizer() override { return *optimizer_; }
  void* allocate(std::size_t bytes) override {
    memory_.emplace_back(std::aligned_alloc(64, (bytes + 63) / 64 * 64), std::free);
    return memory_.back().get();
  }
  void upload(void* device, const void* host, std::size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void wait() override { launcher_.fetch_words(); }
  [[nodiscard]] bool emulated() const override { return true; }

 private:
  Launcher launcher_;
  std::unique_ptr<MatmulOps> fast_products_ = cuda::make_matmul(launcher_, cuda::ProductMode::fast);
  std::unique_ptr<MatmulOps> cpu_products_ = cuda::make_matmul(launcher_, cuda::ProductMode::cpu);
  std::unique_ptr<ElementwiseOps> elementwise_ = cuda::make_elementwise(launcher_);
  std::unique_ptr<OptimizerOps> optimizer_ = cuda::make_optimizer(launcher_);
  std::vector<std::unique_ptr<void, void (*)(void*)>> memory_;
};

}  // namespace megalith::test
