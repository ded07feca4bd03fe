// The feed-forward part without its output product: up (or gate and up) and the activation.
#pragma once

#include <vector>

#include "layers/block_shape.h"
#include "layers/linear.h"
#include "layers/parameters.h"
#include "layers/stash.h"
#include "layers/step_context.h"

namespace megalith {

class FeedForward {
 public:
  static constexpr std::size_t kStashDepth = 2;  // tensors one forward puts
  static void append_specs(const BlockShape& shape, std::vector<ParameterSpec>& specs);

  FeedForward(const BlockShape& shape, const Parameters& parameters);

  // activated [M, F] of input [M, H], or of this rank's tokens of it; F is this rank's part.
  void forward(const StepContext& step, const Tensor& input, const Tensor& activated, Stash& stash) const;
  // dinput, as input, from dactivated [M, F], f32 or the compute dtype; adds to the parameters' gradients.
  void backward(const StepContext& step, const Tensor& dactivated, const Tensor& dinput, Stash& stash) const;
  // The same numbers as forward without a stash.
  void forward(const StepContext& step, const Tensor& input, const Tensor& activated) const;

  // activated from the product's result, as forward computed it.
  void activate(const StepContext& step, const Tensor& up, const Tensor& activated) const;

  // The product with a weight, for packing.
  Linear& product() { return up_; }

 private:
  BlockShape shape_;
  Linear up_;
};

}  // namespace megalith
