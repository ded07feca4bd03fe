#include "layers/norm_layer.h"

namespace megalith {

void NormLayer::append_specs(const NormShape& shape, const std::string& name,
                             std::vector<ParameterSpec>& specs) {
  specs.push_back({.name = name + ".gain",
                   .columns = shape.hidden,
                   .initial = Initial::one,
                   .summed_over_tensor = shape.cut_tokens});
  if (!shape.bias) return;
  specs.push_back({.name = name + ".bias", .columns = shape.hidden, .summed_over_tensor = shape.cut_tokens});
}

NormLayer::NormLayer(const NormShape& shape, const std::string& name, const Parameters& parameters)
    : shape_(shape),
      gain_(parameters.named(name + ".gain")),
      bias_(shape.bias ? &parameters.named(name + ".bias") : nullptr) {}

void NormLayer::run(const StepContext& step, const Tensor& x, const Tensor& y, const Tensor& mean,
                    const Tensor& rstd) const {
  step.device.elementwise().forward(
      NormForward{.norm = shape_.norm,
                  .x = x,
                  .gain = gain_.working.flattened(),
                  .bias = bias_ == nullptr ? Tensor{} : bias_->working.flattened(),
                  .epsilon = shape_.epsilon,
                  .y = y,
                  .mean = mean,
                  .rstd = rstd});
}

void NormLayer::forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const {
  const Tensor mean = stash.allocate(DType::f32, {x.rows()});
  const Tensor rstd = stash.allocate(DType::f32, {x.rows()});
  run(step, x, y, mean, rstd);
  stash.put(x);
  stash.put(mean);
  stash.put(rstd);
}

void NormLayer::forward(const StepContext& step, const Tensor& x, const Tensor& y) const {
  const ArenaScope scope(step.workspace);
  run(step, x, y, step.workspace.allocate(DType::f32, {x.rows()}),
      step.workspace.allocate(DType::f32, {x.rows()}));
}

void NormLayer::backward(const StepContext& step, const Tensor& dy, const Tensor& residual_gradient,
                         const Tensor& dx, Stash& stash) const {
  const Tensor rstd = stash.take();
  const Tensor mean = stash.take();
  const Tensor x = stash.take();
  step.device.elementwise().backward(
      NormBackward{.norm = shape_.norm,
                   .dy = dy,
                   .x = x,
                   .mean = mean,
                   .rstd = rstd,
                   .gain = gain_.working.flattened(),
                   .residual_gradient = residual_gradient,
                   .dx = dx,
                   .dgain = gain_.gradient.flattened(),
                   .dbias = bias_ == nullptr ? Tensor{} : bias_->gradient.flattened(),
                   .shift = step.gradient_shift,
                   .verdict = step.verdict});
}

}  // namespace megalith
