// Launches the CUDA device's kernels on fibres (emulated_machine.h): the device's operations, plans and
// kernels without a GPU. There is no library.
#pragma once

#include <vector>

#include "device/cuda/emulated_machine.h"
#include "device/cuda/kernel_launcher.h"
#include "device/cuda/kernels/product_instances.h"
#include "device/cuda/verdict_board.h"

namespace megalith::test {

class EmulatedLauncher : public cuda::KernelLauncher {
 public:
  using LaunchPlan = cuda::LaunchPlan;

  // Few multiprocessors: emulated blocks cost milliseconds.
  [[nodiscard]] cuda::DeviceShape shape() const override { return {.multiprocessors = 2}; }

  void launch(const LaunchPlan& plan, const cuda::NormForwardArgs<float>& args) override { norm(plan, args); }
  void launch(const LaunchPlan& plan, const cuda::NormForwardArgs<bf16>& args) override { norm(plan, args); }
  void launch(const LaunchPlan& plan, const cuda::NormBackwardArgs<float>& args) override {
    norm(plan, args);
  }
  void launch(const LaunchPlan& plan, const cuda::NormBackwardArgs<bf16>& args) override { norm(plan, args); }
  void launch(const LaunchPlan& plan, const cuda::NormGradientArgs<float>& args) override {
    norm(plan, args);
  }
  void launch(const LaunchPlan& plan, const cuda::NormGradientArgs<bf16>& args) override { norm(plan, args); }

  void launch(const LaunchPlan& plan, int vector, const cuda::ActivationForwardArgs<float>& args) override {
    activate(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector, const cuda::ActivationForwardArgs<bf16>& args) override {
    activate(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector,
              const cuda::ActivationBackwardArgs<float, float>& args) override {
    activate(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector,
              const cuda::ActivationBackwardArgs<bf16, bf16>& args) override {
    activate(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector,
              const cuda::ActivationBackwardArgs<bf16, float>& args) override {
    activate(plan, vector, args);
  }

  void launch(const LaunchPlan& plan, int vector, const cuda::AdamArgs<float>& args) override {
    adam(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector, const cuda::AdamArgs<bf16>& args) override {
    adam(plan, vector, args);
  }
  void launch(const LaunchPlan& plan, int vector, const cuda::CastArgs& args) override {
    run(plan, [&] { vector == 1 ? cuda::cast<Machine, 1>(args) : cuda::cast<Machine, 4>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::SquaresArgs& args) override {
    run(plan, [&] { cuda::squares<Machine>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::DigestArgs& args) override {
    run(plan, [&] { cuda::digest<Machine>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::FiniteArgs<float>& args) override {
    run(plan, [&] { cuda::finite<Machine>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::FiniteArgs<bf16>& args) override {
    run(plan, [&] { cuda::finite<Machine>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::BiasGradientArgs<float>& args) override {
    run(plan, [&] { cuda::bias_gradient<Machine>(args); });
  }
  void launch(const LaunchPlan& plan, const cuda::BiasGradientArgs<bf16>& args) override {
    run(plan, [&] { cuda::bias_gradient<Machine>(args); });
  }

  void multiply_fma(const cuda::ProductLaunch& how, const cuda::ProductArgs<float>& args) override {
    fma(how, args);
  }
  void multiply_fma(const cuda::ProductLaunch& how, const cuda::ProductArgs<bf16>& args) override {
    fma(how, args);
  }
  void multiply_tensor_cores(const cuda::ProductLaunch& how, const cuda::ProductArgs<bf16>& args) override {
    cuda::TensorCoreInstance::call(how, [&]<cuda::ProductForm form, class Tile>() {
      using Form = cuda::FormTraits<form>;
      using Shared = cuda::TensorCoreShared<Tile, Form::kAlongA, Form::kAlongB>;
      run(product_plan(how, Tile::kThreads, Shared::kBytes), [&] {
        cuda::tensor_core_product<Machine, Tile, Form::kAlongA, Form::kAlongB, Form::kGradient>(args);
      });
    });
  }

  std::optional<int> find_candidate(const cuda::ProductKey&) override { return std::nullopt; }
  std::optional<int> first_candidate(const cuda::ProductKey&) override { return std::nullopt; }
  void multiply_library(const cuda::ProductKey&, int, const cuda::LibraryProduct&) override {
    throw WorldFailed("the emulated device has no library");
  }

  void zero(void* memory, std::size_t bytes) override { std::memset(memory, 0, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }

  std::uint32_t* flag_of(Verdict* verdict) override {
    return board_.word_of(verdict, [] {});
  }
  std::uint64_t* clear_words() override {
    words_.fill(0);
    return words_.data();
  }
  std::array<std::uint64_t, kWords> fetch_words() override {
    board_.settle();
    return words_;
  }

 private:
  using Machine = EmulatedMachine;

  static void run(const LaunchPlan& plan, const std::function<void()>& kernel) {
    run_emulated({.blocks_x = plan.blocks_x,
                  .blocks_y = plan.blocks_y,
                  .blocks_z = plan.blocks_z,
                  .threads = plan.threads,
                  .shared_bytes = plan.shared_bytes},
                 kernel);
  }
  static LaunchPlan product_plan(const cuda::ProductLaunch& how, int threads, int shared_bytes) {
    return {.blocks_x = how.plan.row_tiles * how.plan.column_tiles,
            .blocks_z = how.plan.shares,
            .threads = threads,
            .shared_bytes = static_cast<std::size_t>(shared_bytes)};
  }
  template <class T>
  static void norm(const LaunchPlan& plan, const cuda::NormForwardArgs<T>& args) {
    run(plan, [&] { cuda::norm_forward<Machine>(args); });
  }
  template <class T>
  static void norm(const LaunchPlan& plan, const cuda::NormBackwardArgs<T>& args) {
    run(plan, [&] { cuda::norm_backward<Machine>(args); });
  }
  template <class T>
  static void norm(const LaunchPlan& plan, const cuda::NormGradientArgs<T>& args) {
    run(plan, [&] { cuda::norm_gradients<Machine>(args); });
  }
  template <class T>
  static void activate(const LaunchPlan& plan, int vector, const cuda::ActivationForwardArgs<T>& args) {
    run(plan, [&] {
      vector == 1 ? cuda::activation_forward<Machine, T, 1>(args)
                  : cuda::activation_forward<Machine, T, cuda::kVector<T>>(args);
    });
  }
  template <class T, class D>
  static void activate(const LaunchPlan& plan, int vector, const cuda::ActivationBackwardArgs<T, D>& args) {
    run(plan, [&] {
      vector == 1 ? cuda::activation_backward<Machine, T, D, 1>(args)
                  : cuda::activation_backward<Machine, T, D, cuda::kVector<T>>(args);
    });
  }
  template <class W>
  static void adam(const LaunchPlan& plan, int vector, const cuda::AdamArgs<W>& args) {
    run(plan, [&] { vector == 1 ? cuda::adam<Machine, W, 1>(args) : cuda::adam<Machine, W, 4>(args); });
  }
  template <class T>
  static void fma(const cuda::ProductLaunch& how, const cuda::ProductArgs<T>& args) {
    cuda::FmaInstance<T>::call(how, [&]<cuda::ProductForm form, int levels>() {
      using Form = cuda::FormTraits<form>;
      using Shared = cuda::FmaShared<T, Form::kAlongA, Form::kAlongB>;
      run(product_plan(how, cuda::FmaTile::kThreads, Shared::kBytes), [&] {
        cuda::fma_product<Machine, T, Form::kAlongA, Form::kAlongB, levels, Form::kGradient>(args);
      });
    });
  }

  std::array<std::uint64_t, kWords> words_{};
  std::vector<std::uint32_t> flags_ = std::vector<std::uint32_t>(cuda::VerdictBoard::kWords);
  cuda::VerdictBoard board_{flags_};
};

}  // namespace megalith::test
