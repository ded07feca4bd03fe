// A device whose product with one certain weight comes out with an infinity, as a broken kernel or an
// overflow would make it.
#pragma once

#include <cmath>
#include <string>

#include "core/bf16.h"
#include "device/device.h"

namespace megalith::test {

class PoisonedDevice final : public Device, private MatmulOps {
 public:
  explicit PoisonedDevice(Device& device) : device_(device) {}

  // Row 5 of the forward product (or of the input gradient) with this weight gets an infinity; null: none.
  const void* forward_weight = nullptr;
  const void* backward_weight = nullptr;

  MatmulOps& matmul() override { return *this; }
  AttentionOps& attention() override { return device_.attention(); }
  ElementwiseOps& elementwise() override { return device_.elementwise(); }
  LossOps& loss() override { return device_.loss(); }
  OptimizerOps& optimizer() override { return device_.optimizer(); }
  [[nodiscard]] std::string description() const override { return "poisoned " + device_.description(); }
  [[nodiscard]] int num_threads() const override { return device_.num_threads(); }
  double peak_flops(DType dtype) override { return device_.peak_flops(dtype); }

 private:
  static void poison(const Tensor& tensor) {
    if (tensor.dtype == DType::bf16) {
      tensor.row<bf16>(5)[1] = to_bf16(INFINITY);
    } else {
      tensor.row<float>(5)[1] = INFINITY;
    }
  }
  void forward(const ForwardProduct& product) override {
    device_.matmul().forward(product);
    if (product.w.data == forward_weight) poison(product.y);
  }
  void input_gradient(const InputGradientProduct& product) override {
    device_.matmul().input_gradient(product);
    if (product.w.data == backward_weight) poison(product.dx);
  }
  void weight_gradient(const WeightGradientProduct& product) override {
    device_.matmul().weight_gradient(product);
  }
  void bias_gradient(const BiasGradient& args) override { device_.matmul().bias_gradient(args); }

  Device& device_;
};

}  // namespace megalith::test
