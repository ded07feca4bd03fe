#include "layers/linear.h"

namespace megalith {

void Linear::forward(const StepContext& step, const Tensor& x, const Tensor& y) const {
  const bool row = cut_ == Cut::row;
  step.device.matmul().forward({.x = x,
                                .w = weight_.working,
                                .bias = row ? Tensor{} : bias(),
                                .y = y,
                                .order = {.leaves = row ? step.profile.tree : 1}});
}

void Linear::input_gradient(const StepContext& step, const Tensor& dy, const Tensor& dx) const {
  const bool column = cut_ == Cut::column;
  step.device.matmul().input_gradient(
      {.dy = dy,
       .w = weight_.working,
       .dx = dx,
       .order = {.leaves = column ? step.profile.tree : 1, .members = members_}});
}

void Linear::weight_gradient(const StepContext& step, const Tensor& dy, const Tensor& x) const {
  step.device.matmul().weight_gradient({.dy = dy,
                                        .x = x,
                                        .dw = weight_.gradient,
                                        .grain = step.profile.grain,
                                        .shift = step.gradient_shift,
                                        .verdict = step.verdict});
  if (bias_ == nullptr) return;
  step.device.matmul().bias_gradient({.dy = dy,
                                      .db = Tensor(bias_->gradient.data, DType::i64, {bias_->spec.columns}),
                                      .shift = step.gradient_shift,
                                      .verdict = step.verdict});
}

}  // namespace megalith
