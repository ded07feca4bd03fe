// Kernels on one stream of a GPU, and cuBLASLt beside them.
#pragma once

#include "device/cuda/gpu/cublaslt.h"
#include "device/cuda/gpu/kernel_calls.h"
#include "device/cuda/gpu/runtime.h"
#include "device/cuda/verdict_board.h"

namespace megalith::cuda {

class GpuLauncher final : public KernelLauncher {
 public:
  // The current device must be the stream's.
  GpuLauncher(GpuStream& stream, const DeviceShape& shape);

  [[nodiscard]] DeviceShape shape() const override { return shape_; }

  void launch(const LaunchPlan& plan, const NormForwardArgs<float>& args) override;
  void launch(const LaunchPlan& plan, const NormForwardArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, const NormBackwardArgs<float>& args) override;
  void launch(const LaunchPlan& plan, const NormBackwardArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, const NormGradientArgs<float>& args) override;
  void launch(const LaunchPlan& plan, const NormGradientArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, int vector, const ActivationForwardArgs<float>& args) override;
  void launch(const LaunchPlan& plan, int vector, const ActivationForwardArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<float, float>& args) override;
  void launch(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<bf16, bf16>& args) override;
  void launch(const LaunchPlan& plan, int vector, const ActivationBackwardArgs<bf16, float>& args) override;
  void launch(const LaunchPlan& plan, int vector, const AdamArgs<float>& args) override;
  void launch(const LaunchPlan& plan, int vector, const AdamArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, int vector, const CastArgs& args) override;
  void launch(const LaunchPlan& plan, const SquaresArgs& args) override;
  void launch(const LaunchPlan& plan, const DigestArgs& args) override;
  void launch(const LaunchPlan& plan, const FiniteArgs<float>& args) override;
  void launch(const LaunchPlan& plan, const FiniteArgs<bf16>& args) override;
  void launch(const LaunchPlan& plan, const BiasGradientArgs<float>& args) override;
  void launch(const LaunchPlan& plan, const BiasGradientArgs<bf16>& args) override;
  void multiply_fma(const ProductLaunch& how, const ProductArgs<float>& args) override;
  void multiply_fma(const ProductLaunch& how, const ProductArgs<bf16>& args) override;
  void multiply_tensor_cores(const ProductLaunch& how, const ProductArgs<bf16>& args) override;

  std::optional<int> find_candidate(const ProductKey& key) override;
  std::optional<int> first_candidate(const ProductKey& key) override;
  void multiply_library(const ProductKey& key, int candidate, const LibraryProduct& product) override;

  void zero(void* memory, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  std::uint32_t* flag_of(Verdict* verdict) override;
  std::uint64_t* clear_words() override;
  std::array<std::uint64_t, kWords> fetch_words() override;

  // Waits for the stream and settles verdicts.
  void synchronize();

 private:
  CublasLt* library();

  GpuStream& stream_;
  DeviceShape shape_;
  GpuMemory memory_;
  Arena word_memory_{"results of sums", 64, memory_};
  std::uint64_t* words_ = static_cast<std::uint64_t*>(word_memory_.allocate_bytes(64));
  MappedMemory flag_memory_{VerdictBoard::kWords * sizeof(std::uint32_t)};
  VerdictBoard board_{{static_cast<std::uint32_t*>(flag_memory_.data()), VerdictBoard::kWords}};
  bool library_was_looked_for_ = false;
  std::unique_ptr<CublasLt> library_;
};

}  // namespace megalith::cuda
