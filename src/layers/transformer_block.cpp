#include "layers/transformer_block.h"

#include "layers/dropout_site.h"
#include "layers/tensor_parallel.h"

namespace megalith {
namespace {

LinearShape output_shape(const BlockShape& shape, const char* part, std::array<std::int64_t, 3> inputs,
                         bool bias) {
  return {.name = shape.name(part),
          .outputs = shape.hidden,
          .inputs = inputs[0] + inputs[1] + inputs[2],
          .bias = bias,
          .deviation = shape.residual_init_deviation,
          .cut = Cut::columns,
          .members = inputs};
}

Linear first_output(const BlockShape& shape, const Parameters& parameters) {
  const Parameter* bias = shape.biases ? &parameters.named(shape.name("attention.out.bias")) : nullptr;
  if (!shape.parallel_residual) {
    return {parameters.named(shape.name("attention.out.weight")), bias, Linear::Cut::row};
  }
  return {parameters.named(shape.name("out.weight")),
          bias,
          Linear::Cut::row,
          {shape.local().query_columns(), shape.local().feed_forward, 0}};
}

std::optional<Linear> second_output(const BlockShape& shape, const Parameters& parameters) {
  if (shape.parallel_residual) return std::nullopt;
  return Linear(parameters, shape.name("feed_forward.down"), shape.biases, Linear::Cut::row);
}

}  // namespace

std::vector<ParameterSpec> TransformerBlock::specs(const BlockShape& shape) {
  std::vector<ParameterSpec> list;
  NormLayer::append_specs(shape.norm_shape(), shape.name("attention.norm"), list);
  SelfAttention::append_specs(shape, list);
  if (!shape.parallel_residual) {
    Linear::append_specs(output_shape(shape, "attention.out", {shape.query_columns()}, shape.biases), list);
  }
  NormLayer::append_specs(shape.norm_shape(), shape.name("feed_forward.norm"), list);
  FeedForward::append_specs(shape, list);
  if (!shape.parallel_residual) {
    Linear::append_specs(output_shape(shape, "feed_forward.down", {shape.feed_forward}, shape.biases), list);
    return list;
  }
  Linear::append_specs(output_shape(shape, "out", {shape.query_columns(), shape.feed_forward}, false), list);
  if (!shape.biases) return list;
  for (const char* part : {"attention.out.bias", "feed_forward.down.bias"}) {
    list.push_back({.name = shape.name(part), .columns = shape.hidden});
  }
  return list;
}

TransformerBlock::TransformerBlock(const BlockShape& shape, const Tensor& rotary,
                                   const Parameters& parameters)
    : shape_(shape.local()),
      attention_norm_(shape.norm_shape(), shape.name("attention.norm"), parameters),
      attention_(shape, rotary, parameters),
      feed_forward_norm_(shape.norm_shape(), shape.name("feed_forward.norm"), parameters),
      feed_forward_(shape, parameters),
      attention_out_(first_output(shape, parameters)),
      down_(second_output(shape, parameters)) {
  if (shape.parallel_residual && shape.biases)
    second_bias_ = &parameters.named(shape.name("feed_forward.down.bias"));
}

std::vector<Linear*> TransformerBlock::products() {
  std::vector<Linear*> list = {&attention_.product(), &attention_out_, &feed_forward_.product()};
  if (down_) list.push_back(&*down_);
  return list;
}

TransformerBlock::Parts TransformerBlock::parts_of(const Tensor& both) const {
  return {both.column_slice(0, shape_.query_columns()),
          both.column_slice(shape_.query_columns(), shape_.feed_forward), both};
}

Tensor TransformerBlock::row_memory(const StepContext& step, std::int64_t rows) const {
  return step.workspace.allocate(step.profile.compute, {rows, shape_.hidden});
}

void TransformerBlock::residual_add(const StepContext& step, const Linear& product, const Tensor& input,
                                    const Tensor& residual, const Tensor& y, std::uint32_t site) const {
  const ArenaScope scope(step.workspace);
  const Tensor sum = step.workspace.allocate(DType::f32, {input.rows(), shape_.hidden});
  product.forward(step, input, sum);
  if (step.tensor == nullptr) return add_to_residual(step, product, sum, residual, y, 0, site);
  const RowParts shares = exchange_rows(step, sum);
  const Tensor joined = shares.parts.row_slice(0, shares.rows());
  step.device.shards().sum({.parts = shares.parts, .y = joined});
  add_to_residual(step, product, joined, shares.of(residual), shares.of(y), shares.first, site);
  complete_rows(step, shares, y);
}

void TransformerBlock::add_to_residual(const StepContext& step, const Linear& product, const Tensor& sum,
                                       const Tensor& residual, const Tensor& y, std::int64_t first,
                                       std::uint32_t site) const {
  step.device.elementwise().forward(
      BiasDropoutResidual{.x = sum,
                          .bias = product.bias(),
                          .second_bias = second_bias_ == nullptr ? Tensor{} : second_bias_->working,
                          .residual = residual,
                          .y = y,
                          .dropout = step.dropout(shape_.dropout, site, first)});
}

void TransformerBlock::forward(const StepContext& step, const Tensor& x, const Tensor& y,
                               Stash& stash) const {
  const ArenaScope scope(step.workspace);
  if (shape_.recompute != Recompute::full) return forward_ending(step, forward_to_ending(step, x, stash), y);
  {
    const Stash::Elsewhere forgotten(stash, step.workspace);
    forward_ending(step, forward_to_ending(step, x, stash), y);
  }
  stash.put(x);
}

Tensor TransformerBlock::context_memory(const StepContext& step, Stash& stash, std::int64_t rows,
                                        std::int64_t columns) const {
  return selective() ? step.workspace.allocate(step.profile.compute, {rows, columns})
                     : stash.allocate(step.profile.compute, {rows, columns});
}

TransformerBlock::Ending TransformerBlock::forward_to_ending(const StepContext& step, const Tensor& x,
                                                             Stash& stash) const {
  if (shape_.parallel_residual) return forward_to_ending_parallel(step, x, stash);
  const std::int64_t tokens = step.batch.tokens();
  const std::int64_t held = x.rows();
  const DType dtype = step.profile.compute;
  const int layer = shape_.layer;

  const Tensor attention_input = stash.allocate(dtype, {held, shape_.hidden});
  attention_norm_.forward(step, x, attention_input, stash);
  step.observe(layer, "attention.norm", Direction::forward, attention_input);
  const Tensor context = context_memory(step, stash, tokens, shape_.query_columns());
  attention_.forward(step, attention_input, context, stash);
  if (!selective()) stash.put(context);
  const Tensor middle = stash.allocate(dtype, {held, shape_.hidden});
  residual_add(step, attention_out_, context, x, middle, attention_out_site(layer));
  step.observe(layer, "attention.out", Direction::forward, middle);

  const Tensor feed_forward_input = stash.allocate(dtype, {held, shape_.hidden});
  feed_forward_norm_.forward(step, middle, feed_forward_input, stash);
  step.observe(layer, "feed_forward.norm", Direction::forward, feed_forward_input);
  const Tensor activated = stash.allocate(dtype, {tokens, shape_.feed_forward});
  feed_forward_.forward(step, feed_forward_input, activated, stash);
  stash.put(activated);
  return {.input = activated, .residual = middle};
}

void TransformerBlock::forward_ending(const StepContext& step, const Ending& ending, const Tensor& y) const {
  const int layer = shape_.layer;
  if (shape_.parallel_residual) {
    residual_add(step, attention_out_, ending.input, ending.residual, y, attention_out_site(layer));
    step.observe(layer, "out", Direction::forward, y);
  } else {
    residual_add(step, *down_, ending.input, ending.residual, y, feed_forward_out_site(layer));
    step.observe(layer, "feed_forward.down", Direction::forward, y);
  }
}

TransformerBlock::Ending TransformerBlock::forward_to_ending_parallel(const StepContext& step,
                                                                      const Tensor& x, Stash& stash) const {
  const std::int64_t held = x.rows();
  const DType dtype = step.profile.compute;
  const int layer = shape_.layer;
  const Tensor attention_input = stash.allocate(dtype, {held, shape_.hidden});
  attention_norm_.forward(step, x, attention_input, stash);
  step.observe(layer, "attention.norm", Direction::forward, attention_input);
  const Tensor feed_forward_input = stash.allocate(dtype, {held, shape_.hidden});
  feed_forward_norm_.forward(step, x, feed_forward_input, stash);
  step.observe(layer, "feed_forward.norm", Direction::forward, feed_forward_input);
  const Parts parts = parts_of(
      context_memory(step, stash, step.batch.tokens(), shape_.query_columns() + shape_.feed_forward));
  attention_.forward(step, attention_input, parts.context, stash);
  feed_forward_.forward(step, feed_forward_input, parts.activated, stash);
  if (!selective()) stash.put(parts.both);
  return {.input = parts.both, .residual = x};
}

Tensor TransformerBlock::through_dropout(const StepContext& step, const Tensor& gradient,
                                         std::uint32_t site) const {
  const bool gathered = gradient.rows() != step.batch.tokens();  // which is a copy by itself
  const Dropout dropout = step.dropout(shape_.dropout, site, first_token(step, gradient.rows()));
  Tensor dx = gradient;
  if (dropout.active() || (step.deferred != nullptr && !gathered)) {
    Arena& memory = gathered ? step.workspace : step.weight_half_memory();
    dx = memory.allocate(step.profile.compute, {gradient.rows(), shape_.hidden});
    step.device.elementwise().backward(DropoutBackward{.dy = gradient, .dx = dx, .dropout = dropout});
  }
  return all_tokens(step, dx, step.weight_half_memory());
}

Tensor TransformerBlock::take_context(const StepContext& step, Stash& stash) const {
  if (!selective()) return stash.take();
  const Tensor context =
      step.weight_half_memory().allocate(step.profile.compute, {step.batch.tokens(), shape_.query_columns()});
  attention_.forward_core_again(step, context, stash);
  return context;
}

TransformerBlock::Parts TransformerBlock::take_parts(const StepContext& step, Stash& stash) const {
  if (!selective()) return parts_of(stash.take());
  const Parts parts = parts_of(step.weight_half_memory().allocate(
      step.profile.compute, {step.batch.tokens(), shape_.query_columns() + shape_.feed_forward}));
  const Tensor up = stash.take();
  const Tensor feed_forward_input = stash.take();
  attention_.forward_core_again(step, parts.context, stash);
  feed_forward_.activate(step, up, parts.activated);
  for (const Tensor& kept : {feed_forward_input, up}) stash.put(kept);
  return parts;
}

// gradient: of y on entry, of what the feed-forward's norm normalised on return.
void TransformerBlock::backward_feed_forward(const StepContext& step, const Tensor& gradient,
                                             Stash& stash) const {
  const ArenaScope scope(step.workspace);
  const Tensor activated = stash.take();
  const Tensor dinput = row_memory(step, gradient.rows());
  {
    const ArenaScope inner(step.workspace);
    const Tensor dout = through_dropout(step, gradient, feed_forward_out_site(shape_.layer));
    down_->weight_gradient(step, dout, activated);
    const Tensor dactivated = step.workspace.allocate(DType::f32, {activated.rows(), activated.columns()});
    down_->input_gradient(step, dout, dactivated);
    feed_forward_.backward(step, dactivated, dinput, stash);
  }
  feed_forward_norm_.backward(step, dinput, gradient, gradient, stash);
  step.observe(shape_.layer, "feed_forward.norm", Direction::backward, gradient);
}

void TransformerBlock::backward_attention(const StepContext& step, const Tensor& gradient,
                                          Stash& stash) const {
  const ArenaScope scope(step.workspace);
  const Tensor context = take_context(step, stash);
  const Tensor dinput = row_memory(step, gradient.rows());
  {
    const ArenaScope inner(step.workspace);
    const Tensor dout = through_dropout(step, gradient, attention_out_site(shape_.layer));
    attention_out_.weight_gradient(step, dout, context);
    const Tensor dcontext = step.workspace.allocate(gradient.dtype, {context.rows(), context.columns()});
    attention_out_.input_gradient(step, dout, dcontext);
    attention_.backward(step, dcontext, dinput, stash);
  }
  attention_norm_.backward(step, dinput, gradient, gradient, stash);
  step.observe(shape_.layer, "attention.norm", Direction::backward, gradient);
}

void TransformerBlock::backward_parallel(const StepContext& step, const Tensor& gradient,
                                         Stash& stash) const {
  const ArenaScope scope(step.workspace);
  const Parts parts = take_parts(step, stash);
  const Tensor dfeed_forward = row_memory(step, gradient.rows());
  const Tensor dattention = row_memory(step, gradient.rows());
  {
    const ArenaScope inner(step.workspace);
    const Tensor dout = through_dropout(step, gradient, attention_out_site(shape_.layer));
    attention_out_.weight_gradient(step, dout, parts.both);
    if (second_bias_ != nullptr) {
      step.device.matmul().bias_gradient({.dy = dout,
                                          .db = second_bias_->gradient.flattened(),
                                          .shift = step.gradient_shift,
                                          .verdict = step.verdict});
    }
    const Tensor dactivated = step.workspace.allocate(DType::f32, {dout.rows(), shape_.feed_forward});
    attention_out_.input_gradient(step, dout, dactivated, shape_.query_columns());
    const Tensor dcontext = step.workspace.allocate(gradient.dtype, {dout.rows(), shape_.query_columns()});
    attention_out_.input_gradient(step, dout, dcontext);
    feed_forward_.backward(step, dactivated, dfeed_forward, stash);
    attention_.backward(step, dcontext, dattention, stash);
  }
  feed_forward_norm_.backward(step, dfeed_forward, gradient, gradient, stash);
  step.observe(shape_.layer, "feed_forward.norm", Direction::backward, gradient);
  attention_norm_.backward(step, dattention, gradient, gradient, stash);
  step.observe(shape_.layer, "attention.norm", Direction::backward, gradient);
}

void TransformerBlock::backward(const StepContext& step, const Tensor& gradient, Stash& stash) const {
  if (shape_.recompute != Recompute::full) return backward_kept(step, gradient, stash);
  const Tensor x = stash.take();
  const ArenaScope scope(step.workspace);
  const Stash::Elsewhere again(stash, step.weight_half_memory());
  StepContext unobserved = step;  // what this forward makes was observed the first time
  unobserved.observer = nullptr;
  forward_to_ending(unobserved, x, stash);
  backward_kept(step, gradient, stash);
}

void TransformerBlock::backward_kept(const StepContext& step, const Tensor& gradient, Stash& stash) const {
  if (shape_.parallel_residual) return backward_parallel(step, gradient, stash);
  backward_feed_forward(step, gradient, stash);
  backward_attention(step, gradient, stash);
}

void TransformerBlock::forward_cached(const StepContext& step, const Tensor& x, const LayerCache& cache,
                                      const CacheRows& rows) const {
  if (shape_.parallel_residual) return forward_cached_parallel(step, x, cache, rows);
  const ArenaScope scope(step.workspace);
  const DType dtype = step.profile.compute;
  const Tensor normed = row_memory(step, rows.rows);
  attention_norm_.forward(step, x, normed);
  const Tensor context = step.workspace.allocate(dtype, {rows.rows, shape_.query_columns()});
  attention_.forward_cached(step, normed, cache, rows, context);
  residual_add(step, attention_out_, context, x, x, attention_out_site(shape_.layer));
  feed_forward_norm_.forward(step, x, normed);
  const Tensor activated = step.workspace.allocate(dtype, {rows.rows, shape_.feed_forward});
  feed_forward_.forward(step, normed, activated);
  residual_add(step, *down_, activated, x, x, feed_forward_out_site(shape_.layer));
}

void TransformerBlock::forward_cached_parallel(const StepContext& step, const Tensor& x,
                                               const LayerCache& cache, const CacheRows& rows) const {
  const ArenaScope scope(step.workspace);
  const Tensor normed = row_memory(step, rows.rows);
  const Parts parts = parts_of(step.workspace.allocate(
      step.profile.compute, {rows.rows, shape_.query_columns() + shape_.feed_forward}));
  attention_norm_.forward(step, x, normed);
  attention_.forward_cached(step, normed, cache, rows, parts.context);
  feed_forward_norm_.forward(step, x, normed);
  feed_forward_.forward(step, normed, parts.activated);
  residual_add(step, attention_out_, parts.both, x, x, attention_out_site(shape_.layer));
}

}  // namespace megalith
