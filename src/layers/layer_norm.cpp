#include "layers/layer_norm.h"

namespace megalith {
namespace {

Tensor as_vector(const Tensor& tensor) {
  return {tensor.data, tensor.dtype, {tensor.count()}};
}

}  // namespace

void LayerNorm::run(const StepContext& step, const Tensor& x, const Tensor& y, const Tensor& mean,
                    const Tensor& rstd) const {
  step.device.elementwise().forward(
      NormForward{.x = x,
                       .gain = as_vector(gain_.master),
                       .bias = bias_ == nullptr ? Tensor{} : as_vector(bias_->master),
                       .epsilon = epsilon_,
                       .y = y,
                       .mean = mean,
                       .rstd = rstd});
}

void LayerNorm::forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const {
  const Tensor mean = stash.allocate(DType::f32, {x.rows()});
  const Tensor rstd = stash.allocate(DType::f32, {x.rows()});
  run(step, x, y, mean, rstd);
  stash.put(x);
  stash.put(mean);
  stash.put(rstd);
}

void LayerNorm::forward(const StepContext& step, const Tensor& x, const Tensor& y) const {
  const ArenaScope scope(step.workspace);
  run(step, x, y, step.workspace.allocate(DType::f32, {x.rows()}),
      step.workspace.allocate(DType::f32, {x.rows()}));
}

void LayerNorm::backward(const StepContext& step, const Tensor& dy, const Tensor& residual_gradient,
                         const Tensor& dx, Stash& stash) const {
  const Tensor rstd = stash.take();
  const Tensor mean = stash.take();
  const Tensor x = stash.take();
  step.device.elementwise().backward(
      NormBackward{.dy = dy,
                        .x = x,
                        .mean = mean,
                        .rstd = rstd,
                        .gain = as_vector(gain_.master),
                        .residual_gradient = residual_gradient,
                        .dx = dx,
                        .dgain = as_vector(gain_.gradient),
                        .dbias = bias_ == nullptr ? Tensor{} : as_vector(bias_->gradient),
                        .shift = step.gradient_shift,
                        .verdict = step.verdict});
}

}  // namespace megalith
