// What the operations of this device ask of the machine that runs their kernels: a GPU, or fibres in tests
// (tests/device/cuda/emulated_launcher.h). Operations above it are plain C++; only its providers know CUDA.
//
// Launches are asynchronous and run one after another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "device/cuda/kernels/activation_kernels.h"
#include "device/cuda/kernels/norm_kernels.h"
#include "device/cuda/kernels/optimizer_kernels.h"
#include "device/cuda/kernels/product_args.h"
#include "device/cuda/launch_plan.h"
#include "device/cuda/product_plan.h"

namespace megalith::cuda {

// A product of the library's, without a tree: y = x w^T, or dx = dy w.
struct LibraryProduct {
  ProductForm form = ProductForm::forward;
  Tensor rows;    // x or dy
  Tensor weight;  // [N, K]
  Tensor result;
};

class KernelLauncher {
 public:
  virtual ~KernelLauncher() = default;
  [[nodiscard]] virtual DeviceShape shape() const = 0;

  virtual void launch(const LaunchPlan&, const NormForwardArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, const NormForwardArgs<bf16>&) = 0;
  virtual void launch(const LaunchPlan&, const NormBackwardArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, const NormBackwardArgs<bf16>&) = 0;
  virtual void launch(const LaunchPlan&, const NormGradientArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, const NormGradientArgs<bf16>&) = 0;

  // `vector` is 1 or kVector of the stored type.
  virtual void launch(const LaunchPlan&, int vector, const ActivationForwardArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const ActivationForwardArgs<bf16>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const ActivationBackwardArgs<float, float>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const ActivationBackwardArgs<bf16, bf16>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const ActivationBackwardArgs<bf16, float>&) = 0;

  // `vector` is 1 or 4.
  virtual void launch(const LaunchPlan&, int vector, const AdamArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const AdamArgs<bf16>&) = 0;
  virtual void launch(const LaunchPlan&, int vector, const CastArgs&) = 0;
  virtual void launch(const LaunchPlan&, const SquaresArgs&) = 0;
  virtual void launch(const LaunchPlan&, const DigestArgs&) = 0;
  virtual void launch(const LaunchPlan&, const FiniteArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, const FiniteArgs<bf16>&) = 0;
  virtual void launch(const LaunchPlan&, const BiasGradientArgs<float>&) = 0;
  virtual void launch(const LaunchPlan&, const BiasGradientArgs<bf16>&) = 0;

  virtual void multiply_fma(const ProductLaunch&, const ProductArgs<float>&) = 0;
  virtual void multiply_fma(const ProductLaunch&, const ProductArgs<bf16>&) = 0;
  virtual void multiply_tensor_cores(const ProductLaunch&, const ProductArgs<bf16>&) = 0;

  // The library's first algorithm for this key whose rows are equal; checks, and waits for the device.
  virtual std::optional<int> find_candidate(const ProductKey& key) = 0;
  // Its first algorithm, unchecked.
  virtual std::optional<int> first_candidate(const ProductKey& key) = 0;
  virtual void multiply_library(const ProductKey& key, int candidate, const LibraryProduct& product) = 0;

  virtual void zero(void* memory, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;  // both on the device

  // A word that kernels set to 1 when the verdict is bad. It reaches the verdict when fetch_words() or the
  // device waits, so a verdict must live until then. Null stands for nobody who would read it.
  virtual std::uint32_t* flag_of(Verdict* verdict) = 0;
  // Zeroed words that kernels add to, and their values after everything launched so far.
  static constexpr std::size_t kWords = 4;
  virtual std::uint64_t* clear_words() = 0;
  virtual std::array<std::uint64_t, kWords> fetch_words() = 0;
};

}  // namespace megalith::cuda
