#include "layers/feed_forward.h"

#include "layers/tensor_parallel.h"

namespace megalith {
namespace {

// Gate and up are fused: leaf f of their sum is part f of each.
std::array<std::int64_t, 3> members_of(const BlockShape& shape) {
  if (!is_gated(shape.activation)) return {};
  return {shape.feed_forward, shape.feed_forward, 0};
}

}  // namespace

void FeedForward::append_specs(const BlockShape& shape, std::vector<ParameterSpec>& specs) {
  Linear::append_specs({.name = shape.name("feed_forward.up"),
                        .outputs = shape.up_columns(),
                        .inputs = shape.hidden,
                        .bias = shape.biases,
                        .deviation = shape.init_deviation,
                        .members = members_of(shape)},
                       specs);
}

FeedForward::FeedForward(const BlockShape& shape, const Parameters& parameters)
    : shape_(shape.local()),
      up_(parameters, shape.name("feed_forward.up"), shape.biases, Linear::Cut::column, members_of(shape_)) {}

void FeedForward::activate(const StepContext& step, const Tensor& up, const Tensor& activated) const {
  step.device.elementwise().forward(
      ActivationForward{.activation = shape_.activation, .x = up, .y = activated});
}

void FeedForward::forward(const StepContext& step, const Tensor& input, const Tensor& activated,
                          Stash& stash) const {
  const Tensor up = stash.allocate(input.dtype, {step.batch.tokens(), shape_.up_columns()});
  {
    const ArenaScope scope(step.workspace);
    up_.forward(step, all_tokens(step, input, step.workspace), up);
  }
  step.observe(shape_.layer, "feed_forward.up", Direction::forward, up);
  activate(step, up, activated);
  stash.put(input);
  stash.put(up);
}

void FeedForward::forward(const StepContext& step, const Tensor& input, const Tensor& activated) const {
  const ArenaScope scope(step.workspace);
  const Tensor up = step.workspace.allocate(input.dtype, {input.rows(), shape_.up_columns()});
  up_.forward(step, input, up);
  activate(step, up, activated);
}

void FeedForward::backward(const StepContext& step, const Tensor& dactivated, const Tensor& dinput,
                           Stash& stash) const {
  const Tensor up = stash.take();
  const Tensor input = stash.take();
  const Tensor& dup = up;  // takes the gradient of what it held
  step.device.elementwise().backward(
      ActivationBackward{.activation = shape_.activation, .x = up, .dy = dactivated, .dx = dup});
  step.observe(shape_.layer, "feed_forward.up", Direction::backward, dup);
  up_.backward(step, dup, input, dinput);
}

}  // namespace megalith
