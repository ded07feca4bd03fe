#include "layers/self_attention.h"

#include <cmath>

#include "layers/dropout_site.h"

namespace megalith {
namespace {

Tensor as_vector(const Tensor& tensor) {
  return {tensor.data, tensor.dtype, {tensor.count()}};
}

}  // namespace

void SelfAttention::append_specs(const BlockShape& shape, std::vector<ParameterSpec>& specs) {
  Linear::append_specs({.name = shape.name("attention.qkv"),
                        .outputs = shape.qkv_columns(),
                        .inputs = shape.hidden,
                        .bias = shape.biases || shape.qkv_biases,
                        .deviation = shape.init_deviation,
                        .members = {shape.query_columns(), shape.kv_columns(), shape.kv_columns()}},
                       specs);
  if (!shape.head_norms) return;
  for (const char* part : {"attention.query_norm.gain", "attention.key_norm.gain"}) {
    specs.push_back({.name = shape.name(part), .columns = shape.head_size, .initial = Initial::one});
  }
}

SelfAttention::SelfAttention(const BlockShape& shape, const Tensor& rotary, const Parameters& parameters)
    : shape_(shape),
      rotary_(rotary),
      qkv_(parameters, shape.name("attention.qkv"), shape.biases || shape.qkv_biases, Linear::Cut::column,
           {shape.query_columns(), shape.kv_columns(), shape.kv_columns()}),
      query_gain_(shape.head_norms ? &parameters.named(shape.name("attention.query_norm.gain")) : nullptr),
      key_gain_(shape.head_norms ? &parameters.named(shape.name("attention.key_norm.gain")) : nullptr) {}

SelfAttention::Heads SelfAttention::split(const Tensor& qkv) const {
  const std::int64_t n = shape_.query_columns();
  const std::int64_t g = shape_.kv_columns();
  return {qkv.column_slice(0, n), qkv.column_slice(n, g), qkv.column_slice(n + g, g)};
}

SelfAttention::Heads SelfAttention::turned(const Tensor& qkv, const Tensor& normed) const {
  Heads heads = split(qkv);
  if (!shape_.head_norms) return heads;
  heads.q = normed.column_slice(0, shape_.query_columns());
  heads.k = normed.column_slice(shape_.query_columns(), shape_.kv_columns());
  return heads;
}

AttentionShape SelfAttention::attention_shape(const StepContext& step) const {
  return {.sequences = step.batch.sequences,
          .sequence = step.batch.sequence,
          .heads = shape_.heads,
          .kv_heads = shape_.kv_heads,
          .head_size = shape_.head_size,
          .scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_size)),
          .key_block = step.profile.key_block,
          .attention_split = step.profile.attention_split,
          .window = shape_.window};
}

HeadRotation SelfAttention::rotation(const Parameter* gain, const std::int32_t* positions) const {
  return {.head_size = shape_.head_size,
          .gain = gain == nullptr ? Tensor{} : as_vector(gain->working),
          .epsilon = shape_.norm_epsilon,
          .table = rotary_,
          .positions = positions};
}

void SelfAttention::turn(const StepContext& step, const std::int32_t* positions, const Tensor& qkv,
                         const Tensor& normed, const Tensor& rstd) const {
  if (!turns()) return;
  const Heads from = split(qkv);
  const Heads to = turned(qkv, normed);
  const auto statistics = [&](std::int64_t first, std::int64_t count) {
    return rstd.empty() ? Tensor{} : rstd.column_slice(first, count);
  };
  ElementwiseOps& ops = step.device.elementwise();
  ops.forward(HeadRotationForward{.rotation = rotation(query_gain_, positions),
                                  .x = from.q,
                                  .y = to.q,
                                  .rstd = statistics(0, shape_.heads)});
  ops.forward(HeadRotationForward{.rotation = rotation(key_gain_, positions),
                                  .x = from.k,
                                  .y = to.k,
                                  .rstd = statistics(shape_.heads, shape_.kv_heads)});
}

void SelfAttention::core(const StepContext& step, const Tensor& qkv, const Tensor& normed,
                         const Tensor& context, const Tensor& log_sum_exp) const {
  const Heads heads = turned(qkv, normed);
  step.device.attention().forward(
      {.shape = attention_shape(step),
       .q = heads.q,
       .k = heads.k,
       .v = heads.v,
       .document_start = step.batch.document_start,
       .out = context,
       .log_sum_exp = log_sum_exp,
       .dropout = step.dropout(shape_.attention_dropout, attention_weights_site(shape_.layer))});
}

void SelfAttention::forward(const StepContext& step, const Tensor& input, const Tensor& context,
                            Stash& stash) const {
  const std::int64_t tokens = input.rows();
  const Tensor qkv = stash.allocate(input.dtype, {tokens, shape_.qkv_columns()});
  qkv_.forward(step, input, qkv);
  step.observe(shape_.layer, "attention.qkv", Direction::forward, qkv);
  Tensor normed;
  Tensor rstd;
  if (shape_.head_norms) {
    normed = stash.allocate(input.dtype, {tokens, shape_.query_columns() + shape_.kv_columns()});
    rstd = stash.allocate(DType::f32, {tokens, shape_.heads + shape_.kv_heads});
  }
  turn(step, step.batch.positions, qkv, normed, rstd);
  for (const Tensor& kept : {input, qkv, normed, rstd}) stash.put(kept);
  if (shape_.recompute == Recompute::selective) {
    const ArenaScope scope(step.workspace);
    core(step, qkv, normed, context, step.workspace.allocate(DType::f32, {shape_.heads, tokens}));
  } else {
    const Tensor log_sum_exp = stash.allocate(DType::f32, {shape_.heads, tokens});
    core(step, qkv, normed, context, log_sum_exp);
    for (const Tensor& kept : {context, log_sum_exp}) stash.put(kept);
  }
  step.observe(shape_.layer, "attention.core", Direction::forward, context);
}

void SelfAttention::forward_core_again(const StepContext& step, const Tensor& context, Stash& stash) const {
  const Tensor rstd = stash.take();
  const Tensor normed = stash.take();
  const Tensor qkv = stash.take();
  const Tensor input = stash.take();
  const Tensor log_sum_exp = step.workspace.allocate(DType::f32, {shape_.heads, qkv.rows()});
  core(step, qkv, normed, context, log_sum_exp);
  for (const Tensor& made : {input, qkv, normed, rstd, context, log_sum_exp}) stash.put(made);
}

void SelfAttention::turn_back(const StepContext& step, const Tensor& qkv, const Tensor& rstd,
                              const Tensor& dqkv) const {
  if (!turns()) return;
  const Heads raw = split(qkv);
  const Heads gradient = split(dqkv);
  const auto back = [&](const Parameter* gain, const Tensor& x, const Tensor& dx, std::int64_t first,
                        std::int64_t count) {
    step.device.elementwise().backward(
        HeadRotationBackward{.rotation = rotation(gain, step.batch.positions),
                             .dy = dx,
                             .x = gain == nullptr ? Tensor{} : x,
                             .rstd = gain == nullptr ? Tensor{} : rstd.column_slice(first, count),
                             .dx = dx,
                             .dgain = gain == nullptr ? Tensor{} : as_vector(gain->gradient),
                             .shift = step.gradient_shift,
                             .verdict = step.verdict});
  };
  back(query_gain_, raw.q, gradient.q, 0, shape_.heads);
  back(key_gain_, raw.k, gradient.k, shape_.heads, shape_.kv_heads);
}

void SelfAttention::backward(const StepContext& step, const Tensor& dcontext, const Tensor& dinput,
                             Stash& stash) const {
  const Tensor log_sum_exp = stash.take();
  const Tensor context = stash.take();
  const Tensor rstd = stash.take();
  const Tensor normed = stash.take();
  const Tensor qkv = stash.take();
  const Tensor input = stash.take();
  const ArenaScope scope(step.workspace);
  const Tensor dqkv = step.weight_half_memory().allocate(input.dtype, {input.rows(), shape_.qkv_columns()});
  const Heads heads = turned(qkv, normed);
  const Heads gradient = split(dqkv);
  step.device.attention().backward(
      {.shape = attention_shape(step),
       .q = heads.q,
       .k = heads.k,
       .v = heads.v,
       .out = context,
       .dout = dcontext,
       .log_sum_exp = log_sum_exp,
       .document_start = step.batch.document_start,
       .dq = gradient.q,
       .dk = gradient.k,
       .dv = gradient.v,
       .row_dots = step.workspace.allocate(DType::f32, {shape_.heads, input.rows()}),
       .dropout = step.dropout(shape_.attention_dropout, attention_weights_site(shape_.layer))});
  turn_back(step, qkv, rstd, dqkv);
  step.observe(shape_.layer, "attention.qkv", Direction::backward, dqkv);
  qkv_.weight_gradient(step, dqkv, input);
  qkv_.input_gradient(step, dqkv, dinput);
}

void SelfAttention::forward_cached(const StepContext& step, const Tensor& input, const LayerCache& cache,
                                   const CacheRows& rows, const Tensor& context) const {
  const ArenaScope scope(step.workspace);
  const Tensor qkv = step.workspace.allocate(input.dtype, {rows.rows, shape_.qkv_columns()});
  qkv_.forward(step, input, qkv);
  Tensor normed;
  Tensor rstd;
  if (shape_.head_norms) {
    normed = step.workspace.allocate(input.dtype, {rows.rows, shape_.query_columns() + shape_.kv_columns()});
    rstd = step.workspace.allocate(DType::f32, {rows.rows, shape_.heads + shape_.kv_heads});
  }
  turn(step, rows.position, qkv, normed, rstd);
  const Heads heads = turned(qkv, normed);
  step.device.attention().append({.rows = rows.rows,
                                  .k = heads.k,
                                  .v = heads.v,
                                  .k_cache = cache.keys,
                                  .v_cache = cache.values,
                                  .slot = rows.slot,
                                  .position = rows.position});
  step.device.attention().cached({.shape = attention_shape(step),
                                  .rows = rows.rows,
                                  .q = heads.q,
                                  .k_cache = cache.keys,
                                  .v_cache = cache.values,
                                  .slot = rows.slot,
                                  .position = rows.position,
                                  .out = context});
}

}  // namespace megalith
