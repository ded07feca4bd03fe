// A CPU device that shows every floating-point result to a test, which may change it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "device/cpu/cpu_device.h"

namespace megalith::test {

// Called after an operation of this name with what it wrote.
using AfterOperation = std::function<void(std::string_view operation, const Tensor& result)>;

class WatchedMatmul final : public MatmulOps {
 public:
  WatchedMatmul(MatmulOps& ops, const AfterOperation& after) : ops_(ops), after_(after) {}
  void forward(const ForwardProduct& a) override {
    ops_.forward(a);
    after_("product forward", a.y);
  }
  void input_gradient(const InputGradientProduct& a) override {
    ops_.input_gradient(a);
    after_("product backward", a.dx);
  }
  void weight_gradient(const WeightGradientProduct& a) override { ops_.weight_gradient(a); }
  void bias_gradient(const BiasGradient& a) override { ops_.bias_gradient(a); }

 private:
  MatmulOps& ops_;
  const AfterOperation& after_;
};

class WatchedAttention final : public AttentionOps {
 public:
  WatchedAttention(AttentionOps& ops, const AfterOperation& after) : ops_(ops), after_(after) {}
  void forward(const AttentionForward& a) override {
    ops_.forward(a);
    after_("attention forward", a.out);
  }
  void backward(const AttentionBackward& a) override {
    ops_.backward(a);
    after_("attention backward", a.dv);
  }
  void cached(const CachedAttention& a) override { ops_.cached(a); }
  void append(const CacheAppend& a) override { ops_.append(a); }

 private:
  AttentionOps& ops_;
  const AfterOperation& after_;
};

class WatchedElementwise final : public ElementwiseOps {
 public:
  WatchedElementwise(ElementwiseOps& ops, const AfterOperation& after) : ops_(ops), after_(after) {}
  void forward(const NormForward& a) override { watched(&ElementwiseOps::forward, a, "norm forward", a.y); }
  void backward(const NormBackward& a) override {
    watched(&ElementwiseOps::backward, a, "norm backward", a.dx);
  }
  void forward(const ActivationForward& a) override {
    watched(&ElementwiseOps::forward, a, "activation forward", a.y);
  }
  void backward(const ActivationBackward& a) override {
    watched(&ElementwiseOps::backward, a, "activation backward", a.dx);
  }
  void forward(const HeadRotationForward& a) override {
    watched(&ElementwiseOps::forward, a, "rotation forward", a.y);
  }
  void backward(const HeadRotationBackward& a) override {
    watched(&ElementwiseOps::backward, a, "rotation backward", a.dx);
  }
  void forward(const BiasDropoutResidual& a) override {
    watched(&ElementwiseOps::forward, a, "residual forward", a.y);
  }
  void backward(const DropoutBackward& a) override {
    watched(&ElementwiseOps::backward, a, "dropout backward", a.dx);
  }
  void forward(const EmbeddingForward& a) override {
    watched(&ElementwiseOps::forward, a, "embedding forward", a.y);
  }
  void backward(const EmbeddingBackward& a) override { ops_.backward(a); }

 private:
  template <class Args>
  void watched(void (ElementwiseOps::*operation)(const Args&), const Args& args, std::string_view name,
               const Tensor& result) {
    (ops_.*operation)(args);
    after_(name, result);
  }

  ElementwiseOps& ops_;
  const AfterOperation& after_;
};

class WatchedLoss final : public LossOps {
 public:
  WatchedLoss(LossOps& ops, const AfterOperation& after) : ops_(ops), after_(after) {}
  void cap(const SoftCap& a) override { ops_.cap(a); }
  void forward(const CrossEntropyForward& a) override {
    ops_.forward(a);
    after_("loss forward", a.log_probability);
  }
  void partial(const CrossEntropyPartial& a) override { ops_.partial(a); }
  void join(const CrossEntropyJoin& a) override {
    ops_.join(a);
    after_("loss forward", a.log_probability);
  }
  void backward(const CrossEntropyBackward& a) override {
    ops_.backward(a);
    after_("loss backward", a.dlogits);
  }
  void sum(const LossSum& a) override { ops_.sum(a); }

 private:
  LossOps& ops_;
  const AfterOperation& after_;
};

class WatchedOptimizer final : public OptimizerOps {
 public:
  WatchedOptimizer(OptimizerOps& ops, const std::function<void()>& after) : ops_(ops), after_(after) {}
  SquareSum squared_norm(const SquaredNorm& a) override { return ops_.squared_norm(a); }
  void update(const AdamUpdate& a) override {
    ops_.update(a);
    after_();
  }
  void cast(const Cast& a) override { ops_.cast(a); }
  std::uint64_t digest(const Tensor& values, std::uint64_t first_index, std::int64_t index_stride) override {
    return ops_.digest(values, first_index, index_stride);
  }
  void zero(const Tensor& tensor) override { ops_.zero(tensor); }
  bool all_finite(const Tensor& tensor) override { return ops_.all_finite(tensor); }

 private:
  OptimizerOps& ops_;
  const std::function<void()>& after_;
};

class WatchedDevice final : public Device {
 public:
  explicit WatchedDevice(int num_threads)
      : device_(cpu::make_device(num_threads, cpu::available_isas().back())) {}

  // What every operation calls from now on.
  void watch(AfterOperation after) { after_ = std::move(after); }
  void leave_alone() {
    watch([](std::string_view, const Tensor&) {});
  }
  // What every update of a tensor by the optimizer calls from now on.
  void watch_updates(std::function<void()> after) { after_update_ = std::move(after); }
  // Arenas made from now on get their memory there.
  void take_memory_from(ArenaMemory& memory) { memory_ = &memory; }

  MatmulOps& matmul() override { return matmul_; }
  AttentionOps& attention() override { return attention_; }
  ElementwiseOps& elementwise() override { return elementwise_; }
  LossOps& loss() override { return loss_; }
  OptimizerOps& optimizer() override { return optimizer_; }
  ShardOps& shards() override { return device_->shards(); }
  ArenaMemory& memory() override { return *memory_; }
  [[nodiscard]] std::string description() const override { return device_->description(); }
  [[nodiscard]] int num_threads() const override { return device_->num_threads(); }
  double peak_flops(DType) override { return 0; }

 private:
  std::unique_ptr<Device> device_;
  ArenaMemory* memory_ = &host_memory();
  AfterOperation after_ = [](std::string_view, const Tensor&) {};
  std::function<void()> after_update_ = [] {};
  WatchedMatmul matmul_{device_->matmul(), after_};
  WatchedAttention attention_{device_->attention(), after_};
  WatchedElementwise elementwise_{device_->elementwise(), after_};
  WatchedLoss loss_{device_->loss(), after_};
  WatchedOptimizer optimizer_{device_->optimizer(), after_update_};
};

}  // namespace megalith::test
