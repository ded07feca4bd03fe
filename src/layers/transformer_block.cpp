#include "layers/transformer_block.h"

#include <cmath>

#include "layers/dropout_site.h"

namespace megalith {
namespace {

std::string prefix(const BlockShape& shape) {
  return fmt::format("layers.{}.", shape.layer);
}

const Parameter* optional(const Parameters& parameters, bool present, const std::string& name) {
  return present ? &parameters.named(name) : nullptr;
}

struct HeadColumns {
  Tensor q, k, v;
};

// Q, K and V stand side by side in the columns of one product's output.
HeadColumns split_qkv(const Tensor& qkv) {
  const std::int64_t hidden = qkv.columns() / 3;
  return {qkv.column_slice(0, hidden), qkv.column_slice(hidden, hidden),
          qkv.column_slice(2 * hidden, hidden)};
}

}  // namespace

std::vector<ParameterSpec> TransformerBlock::specs(const BlockShape& shape) {
  std::vector<ParameterSpec> list;
  const auto norm = [&](const std::string& name) {
    list.push_back(
        {.name = prefix(shape) + name + ".gain", .columns = shape.hidden, .initial = Initial::one});
    if (shape.biases) list.push_back({.name = prefix(shape) + name + ".bias", .columns = shape.hidden});
  };
  const auto product = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs,
                           double deviation) {
    list.push_back({.name = prefix(shape) + name + ".weight",
                    .rows = outputs,
                    .columns = inputs,
                    .padded_rows = outputs,
                    .initial = Initial::normal,
                    .standard_deviation = deviation,
                    .decay = true,
                    .is_matrix = true});
    if (shape.biases) list.push_back({.name = prefix(shape) + name + ".bias", .columns = outputs});
  };
  norm("attention.norm");
  product("attention.qkv", 3 * shape.hidden, shape.hidden, shape.init_deviation);
  product("attention.out", shape.hidden, shape.hidden, shape.residual_init_deviation);
  norm("feed_forward.norm");
  product("feed_forward.up", shape.feed_forward, shape.hidden, shape.init_deviation);
  product("feed_forward.down", shape.hidden, shape.feed_forward, shape.residual_init_deviation);
  return list;
}

TransformerBlock::TransformerBlock(const BlockShape& shape, const Parameters& parameters)
    : shape_(shape),
      attention_norm_(parameters.named(prefix(shape) + "attention.norm.gain"),
                      optional(parameters, shape.biases, prefix(shape) + "attention.norm.bias"),
                      shape.norm_epsilon),
      qkv_(parameters.named(prefix(shape) + "attention.qkv.weight"),
           optional(parameters, shape.biases, prefix(shape) + "attention.qkv.bias"), Linear::Cut::column,
           {shape.hidden, shape.hidden, shape.hidden}),
      attention_out_(parameters.named(prefix(shape) + "attention.out.weight"),
                     optional(parameters, shape.biases, prefix(shape) + "attention.out.bias"),
                     Linear::Cut::row),
      feed_forward_norm_(parameters.named(prefix(shape) + "feed_forward.norm.gain"),
                         optional(parameters, shape.biases, prefix(shape) + "feed_forward.norm.bias"),
                         shape.norm_epsilon),
      up_(parameters.named(prefix(shape) + "feed_forward.up.weight"),
          optional(parameters, shape.biases, prefix(shape) + "feed_forward.up.bias"), Linear::Cut::column),
      down_(parameters.named(prefix(shape) + "feed_forward.down.weight"),
            optional(parameters, shape.biases, prefix(shape) + "feed_forward.down.bias"), Linear::Cut::row) {}

AttentionShape TransformerBlock::attention_shape(const StepContext& step) const {
  return {.sequences = step.batch.sequences,
          .sequence = step.batch.sequence,
          .heads = shape_.heads,
          .kv_heads = shape_.heads,
          .head_size = static_cast<int>(shape_.head_size()),
          .scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_size())),
          .key_block = step.profile.key_block,
          .attention_split = step.profile.attention_split};
}

void TransformerBlock::residual_add(const StepContext& step, const Linear& product, const Tensor& input,
                                    const Tensor& residual, const Tensor& y, std::uint32_t site) const {
  const ArenaScope scope(step.workspace);
  const Tensor sum = step.workspace.allocate(DType::f32, {input.rows(), shape_.hidden});
  product.forward(step, input, sum);
  step.device.elementwise().forward(BiasDropoutResidual{.x = sum,
                                                        .bias = product.bias(),
                                                        .residual = residual,
                                                        .y = y,
                                                        .dropout = step.dropout(shape_.dropout, site)});
}

Tensor TransformerBlock::forward(const StepContext& step, const Tensor& x, Stash& stash) const {
  const std::int64_t tokens = x.rows();
  const std::int64_t hidden = shape_.hidden;
  const DType dtype = step.profile.compute;
  const int layer = shape_.layer;

  const Tensor attention_input = stash.allocate(dtype, {tokens, hidden});
  attention_norm_.forward(step, x, attention_input, stash);
  stash.put(attention_input);
  step.observe(layer, "attention.norm", Direction::forward, attention_input);

  const Tensor qkv = stash.allocate(dtype, {tokens, 3 * hidden});
  qkv_.forward(step, attention_input, qkv);
  stash.put(qkv);
  step.observe(layer, "attention.qkv", Direction::forward, qkv);

  const Tensor context = stash.allocate(dtype, {tokens, hidden});
  const Tensor log_sum_exp = stash.allocate(DType::f32, {shape_.heads, tokens});
  const HeadColumns columns = split_qkv(qkv);
  step.device.attention().forward(
      {.shape = attention_shape(step),
       .q = columns.q,
       .k = columns.k,
       .v = columns.v,
       .document_start = step.batch.document_start,
       .out = context,
       .log_sum_exp = log_sum_exp,
       .dropout = step.dropout(shape_.attention_dropout, attention_weights_site(layer))});
  stash.put(context);
  stash.put(log_sum_exp);
  step.observe(layer, "attention.core", Direction::forward, context);

  const Tensor middle = stash.allocate(dtype, {tokens, hidden});
  residual_add(step, attention_out_, context, x, middle, attention_out_site(layer));
  step.observe(layer, "attention.out", Direction::forward, middle);

  const Tensor feed_forward_input = stash.allocate(dtype, {tokens, hidden});
  feed_forward_norm_.forward(step, middle, feed_forward_input, stash);
  stash.put(feed_forward_input);
  step.observe(layer, "feed_forward.norm", Direction::forward, feed_forward_input);

  const Tensor up = stash.allocate(dtype, {tokens, shape_.feed_forward});
  const Tensor activated = stash.allocate(dtype, {tokens, shape_.feed_forward});
  up_.forward(step, feed_forward_input, up);
  step.observe(layer, "feed_forward.up", Direction::forward, up);
  step.device.elementwise().forward(
      ActivationForward{.activation = shape_.activation, .x = up, .y = activated});
  stash.put(up);
  stash.put(activated);

  const Tensor y = stash.allocate(dtype, {tokens, hidden});
  residual_add(step, down_, activated, middle, y, feed_forward_out_site(layer));
  step.observe(layer, "feed_forward.down", Direction::forward, y);
  return y;
}

Tensor TransformerBlock::through_dropout(const StepContext& step, const Tensor& gradient,
                                         std::uint32_t site) const {
  const Dropout dropout = step.dropout(shape_.dropout, site);
  if (!dropout.active()) return gradient;
  const Tensor dx = step.workspace.allocate(gradient.dtype, {gradient.rows(), gradient.columns()});
  step.device.elementwise().backward(DropoutBackward{.dy = gradient, .dx = dx, .dropout = dropout});
  return dx;
}

// Returns the gradient of the feed-forward norm's output, in workspace memory of the caller's scope.
Tensor TransformerBlock::feed_forward_backward(const StepContext& step, const Tensor& gradient,
                                               Stash& stash) const {
  const Tensor activated = stash.take();
  const Tensor up = stash.take();
  const Tensor input = stash.take();
  const Tensor dinput = step.workspace.allocate(gradient.dtype, {input.rows(), input.columns()});

  const ArenaScope scope(step.workspace);
  const Tensor dout = through_dropout(step, gradient, feed_forward_out_site(shape_.layer));
  down_.weight_gradient(step, dout, activated);
  const Tensor dactivated = step.workspace.allocate(DType::f32, {up.rows(), up.columns()});
  down_.input_gradient(step, dout, dactivated);
  // The activation's output is no longer needed: its memory takes the gradient of its input.
  const Tensor dup = activated;
  step.device.elementwise().backward(
      ActivationBackward{.activation = shape_.activation, .x = up, .dy = dactivated, .dx = dup});
  step.observe(shape_.layer, "feed_forward.up", Direction::backward, dup);
  up_.weight_gradient(step, dup, input);
  up_.input_gradient(step, dup, dinput);
  return dinput;
}

// Returns the gradient of the attention norm's output, in workspace memory of the caller's scope.
Tensor TransformerBlock::attention_backward(const StepContext& step, const Tensor& gradient,
                                            Stash& stash) const {
  const Tensor log_sum_exp = stash.take();
  const Tensor context = stash.take();
  const Tensor qkv = stash.take();
  const Tensor input = stash.take();
  const std::int64_t tokens = gradient.rows();
  const Tensor dinput = step.workspace.allocate(gradient.dtype, {tokens, shape_.hidden});

  const ArenaScope scope(step.workspace);
  const Tensor dout = through_dropout(step, gradient, attention_out_site(shape_.layer));
  attention_out_.weight_gradient(step, dout, context);
  const Tensor dcontext = step.workspace.allocate(gradient.dtype, {tokens, shape_.hidden});
  attention_out_.input_gradient(step, dout, dcontext);
  const Tensor dqkv = step.workspace.allocate(gradient.dtype, {tokens, 3 * shape_.hidden});
  const HeadColumns columns = split_qkv(qkv);
  const HeadColumns dcolumns = split_qkv(dqkv);
  step.device.attention().backward(
      {.shape = attention_shape(step),
       .q = columns.q,
       .k = columns.k,
       .v = columns.v,
       .out = context,
       .dout = dcontext,
       .log_sum_exp = log_sum_exp,
       .document_start = step.batch.document_start,
       .dq = dcolumns.q,
       .dk = dcolumns.k,
       .dv = dcolumns.v,
       .row_dots = step.workspace.allocate(DType::f32, {shape_.heads, tokens}),
       .dropout = step.dropout(shape_.attention_dropout, attention_weights_site(shape_.layer))});
  step.observe(shape_.layer, "attention.qkv", Direction::backward, dqkv);
  qkv_.weight_gradient(step, dqkv, input);
  qkv_.input_gradient(step, dqkv, dinput);
  return dinput;
}

void TransformerBlock::backward(const StepContext& step, const Tensor& gradient, Stash& stash) const {
  {
    const ArenaScope scope(step.workspace);
    const Tensor dnormed = feed_forward_backward(step, gradient, stash);
    feed_forward_norm_.backward(step, dnormed, gradient, gradient, stash);
    step.observe(shape_.layer, "feed_forward.norm", Direction::backward, gradient);
  }
  const ArenaScope scope(step.workspace);
  const Tensor dnormed = attention_backward(step, gradient, stash);
  attention_norm_.backward(step, dnormed, gradient, gradient, stash);
  step.observe(shape_.layer, "attention.norm", Direction::backward, gradient);
}

void TransformerBlock::forward_cached(const StepContext& step, const Tensor& x, const LayerCache& cache,
                                      const CacheRows& rows) const {
  const ArenaScope scope(step.workspace);
  const std::int64_t hidden = shape_.hidden;
  const DType dtype = step.profile.compute;
  const Tensor normed = step.workspace.allocate(dtype, {rows.rows, hidden});
  attention_norm_.forward(step, x, normed);
  const Tensor qkv = step.workspace.allocate(dtype, {rows.rows, 3 * hidden});
  qkv_.forward(step, normed, qkv);

  const HeadColumns columns = split_qkv(qkv);
  step.device.attention().append({.rows = rows.rows,
                                  .k = columns.k,
                                  .v = columns.v,
                                  .k_cache = cache.keys,
                                  .v_cache = cache.values,
                                  .slot = rows.slot,
                                  .position = rows.position});
  const Tensor context = step.workspace.allocate(dtype, {rows.rows, hidden});
  step.device.attention().cached({.shape = attention_shape(step),
                                  .rows = rows.rows,
                                  .q = columns.q,
                                  .k_cache = cache.keys,
                                  .v_cache = cache.values,
                                  .slot = rows.slot,
                                  .position = rows.position,
                                  .out = context});
  residual_add(step, attention_out_, context, x, x, attention_out_site(shape_.layer));

  feed_forward_norm_.forward(step, x, normed);
  const Tensor up = step.workspace.allocate(dtype, {rows.rows, shape_.feed_forward});
  up_.forward(step, normed, up);
  const Tensor activated = step.workspace.allocate(dtype, {rows.rows, shape_.feed_forward});
  step.device.elementwise().forward(
      ActivationForward{.activation = shape_.activation, .x = up, .y = activated});
  residual_add(step, down_, activated, x, x, feed_forward_out_site(shape_.layer));
}

}  // namespace megalith
