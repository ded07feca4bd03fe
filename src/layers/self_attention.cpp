#include "layers/self_attention.h"

#include <cmath>

#include "layers/dropout_site.h"
#include "layers/tensor_parallel.h"

namespace megalith {

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
    specs.push_back({.name = shape.name(part),
                     .columns = shape.head_size,
                     .initial = Initial::one,
                     .summed_over_tensor = shape.tensor.place.size > 1});
  }
}

SelfAttention::SelfAttention(const BlockShape& shape, const Tensor& rotary, const Parameters& parameters)
    : shape_(shape.local()),
      sharers_(key_value_sharers(shape.tensor.place, shape.kv_heads)),
      own_kv_columns_(shape.kv_columns() / shape.tensor.place.size),
      rotary_(rotary),
      qkv_(parameters, shape.name("attention.qkv"), shape.biases || shape.qkv_biases, Linear::Cut::column,
           {shape_.query_columns(), own_kv_columns_, own_kv_columns_}),
      query_gain_(shape.head_norms ? &parameters.named(shape.name("attention.query_norm.gain")) : nullptr),
      key_gain_(shape.head_norms ? &parameters.named(shape.name("attention.key_norm.gain")) : nullptr) {}

SelfAttention::Heads SelfAttention::split(const Projected& projected) const {
  const std::int64_t n = shape_.query_columns();
  const std::int64_t g = shape_.kv_columns();
  const Tensor q = projected.qkv.column_slice(0, n);
  if (shares_head()) return {q, projected.kv.column_slice(0, g), projected.kv.column_slice(g, g)};
  return {q, projected.qkv.column_slice(n, g), projected.qkv.column_slice(n + g, g)};
}

SelfAttention::Heads SelfAttention::turned(const Projected& projected, const Tensor& normed) const {
  Heads heads = split(projected);
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

// Sites count the model's heads, not this rank's.
Dropout SelfAttention::weights_dropout(const StepContext& step) const {
  const auto first_head = static_cast<std::uint32_t>(shape_.tensor.place.rank * shape_.heads);
  return step.dropout(shape_.attention_dropout, attention_weights_site(shape_.layer) + first_head);
}

HeadRotation SelfAttention::rotation(const Parameter* gain, const std::int32_t* positions) const {
  return {.head_size = shape_.head_size,
          .gain = gain == nullptr ? Tensor{} : gain->working.flattened(),
          .epsilon = shape_.norm_epsilon,
          .table = rotary_,
          .positions = positions};
}

void SelfAttention::gather_head(const StepContext& step, const Projected& projected) const {
  if (!shares_head()) return;
  const Heads whole = split(projected);
  std::int64_t first = shape_.query_columns();
  for (const Tensor& to : {whole.k, whole.v}) {
    gather_columns(step, step.tensor->sharers(), projected.qkv.column_slice(first, own_kv_columns_), to);
    first += own_kv_columns_;
  }
}

void SelfAttention::turn(const StepContext& step, const std::int32_t* positions, const Projected& projected,
                         const Tensor& normed, const Tensor& rstd) const {
  if (!turns()) return;
  const Heads from = split(projected);
  const Heads to = turned(projected, normed);
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

void SelfAttention::core(const StepContext& step, const Projected& projected, const Tensor& normed,
                         const Tensor& context, const Tensor& log_sum_exp) const {
  const Heads heads = turned(projected, normed);
  step.device.attention().forward({.shape = attention_shape(step),
                                   .q = heads.q,
                                   .k = heads.k,
                                   .v = heads.v,
                                   .document_start = step.batch.document_start,
                                   .out = context,
                                   .log_sum_exp = log_sum_exp,
                                   .dropout = weights_dropout(step)});
}

void SelfAttention::forward(const StepContext& step, const Tensor& input, const Tensor& context,
                            Stash& stash) const {
  const std::int64_t tokens = step.batch.tokens();
  const Tensor qkv = stash.allocate(input.dtype, {tokens, qkv_columns()});
  Tensor kv;
  if (shares_head()) kv = stash.allocate(input.dtype, {tokens, 2 * shape_.kv_columns()});
  Tensor normed;
  Tensor rstd;
  if (shape_.head_norms) {
    normed = stash.allocate(input.dtype, {tokens, shape_.query_columns() + shape_.kv_columns()});
    rstd = stash.allocate(DType::f32, {tokens, shape_.heads + shape_.kv_heads});
  }
  {
    const ArenaScope scope(step.workspace);
    qkv_.forward(step, all_tokens(step, input, step.workspace), qkv);
  }
  step.observe(shape_.layer, "attention.qkv", Direction::forward, qkv);
  const Projected projected{qkv, kv};
  gather_head(step, projected);
  turn(step, step.batch.positions, projected, normed, rstd);
  for (const Tensor& kept : {input, qkv, kv, normed, rstd}) stash.put(kept);
  if (shape_.recompute == Recompute::selective) {
    const ArenaScope scope(step.workspace);
    core(step, projected, normed, context, step.workspace.allocate(DType::f32, {shape_.heads, tokens}));
  } else {
    const Tensor log_sum_exp = stash.allocate(DType::f32, {shape_.heads, tokens});
    core(step, projected, normed, context, log_sum_exp);
    for (const Tensor& kept : {context, log_sum_exp}) stash.put(kept);
  }
  step.observe(shape_.layer, "attention.core", Direction::forward, context);
}

void SelfAttention::forward_core_again(const StepContext& step, const Tensor& context, Stash& stash) const {
  const Tensor rstd = stash.take();
  const Tensor normed = stash.take();
  const Tensor kv = stash.take();
  const Tensor qkv = stash.take();
  const Tensor input = stash.take();
  const Tensor log_sum_exp = step.workspace.allocate(DType::f32, {shape_.heads, qkv.rows()});
  core(step, {qkv, kv}, normed, context, log_sum_exp);
  for (const Tensor& made : {input, qkv, kv, normed, rstd, context, log_sum_exp}) stash.put(made);
}

void SelfAttention::turn_back(const StepContext& step, const Parameter* gain, const Tensor& x,
                              const Tensor& rstd, const Tensor& dx, const Tensor& dgain) const {
  step.device.elementwise().backward(HeadRotationBackward{.rotation = rotation(gain, step.batch.positions),
                                                          .dy = dx,
                                                          .x = gain == nullptr ? Tensor{} : x,
                                                          .rstd = rstd,
                                                          .dx = dx,
                                                          .dgain = dgain,
                                                          .shift = step.gradient_shift,
                                                          .verdict = step.verdict});
}

void SelfAttention::turn_back_queries(const StepContext& step, const Heads& raw, const Tensor& rstd,
                                      const Tensor& dq) const {
  if (!turns()) return;
  const bool norm = query_gain_ != nullptr;
  turn_back(step, query_gain_, raw.q, norm ? rstd.column_slice(0, shape_.heads) : Tensor{}, dq,
            norm ? query_gain_->gradient.flattened() : Tensor{});
}

void SelfAttention::turn_back_keys(const StepContext& step, const Heads& raw, const Tensor& rstd,
                                   const Tensor& dk, const Tensor& dgain) const {
  if (!turns()) return;
  const bool norm = key_gain_ != nullptr;
  turn_back(step, key_gain_, raw.k, norm ? rstd.column_slice(shape_.heads, shape_.kv_heads) : Tensor{}, dk,
            norm ? dgain : Tensor{});
}

void SelfAttention::sum_over_sharers(const StepContext& step, const Tensor& share, const Tensor& own) const {
  const ArenaScope scope(step.workspace);
  const Tensor parts = exchange_columns(step, step.tensor->sharers(), share);
  step.device.shards().sum({.parts = parts, .y = own});
}

// This rank's query heads give a share of the gradients of the head's keys and values, all D features of
// them. Shares are summed to this rank's features; keys are turned back whole, by every rank of the head
// alike.
void SelfAttention::backward_shared_head(const StepContext& step, const AttentionBackward& core,
                                         const Projected& projected, const Tensor& rstd,
                                         const Tensor& dqkv) const {
  const std::int64_t n = shape_.query_columns();
  const std::int64_t tokens = dqkv.rows();
  const ArenaScope scope(step.workspace);
  AttentionBackward shares = core;
  for (Tensor* share : {&shares.dk, &shares.dv})
    *share = step.workspace.allocate(DType::f32, {tokens, shape_.kv_columns()});
  step.device.attention().backward(shares);
  sum_over_sharers(step, shares.dv, dqkv.column_slice(n + own_kv_columns_, own_kv_columns_));
  const Tensor own_keys = dqkv.column_slice(n, own_kv_columns_);
  sum_over_sharers(step, shares.dk, own_keys);
  const Heads raw = split(projected);
  turn_back_queries(step, raw, rstd, dqkv.column_slice(0, n));
  if (!turns()) return;
  const Communicator& sharers = step.tensor->sharers();
  const Tensor dk = step.workspace.allocate(dqkv.dtype, {tokens, shape_.kv_columns()});
  gather_columns(step, step.tensor->sharers(), own_keys, dk);
  Tensor dgain;
  if (key_gain_ != nullptr) {  // all ranks of the head find the same: the first one's counts
    dgain = sharers.rank() == 0 ? key_gain_->gradient.flattened()
                                : step.workspace.allocate(DType::i64, {shape_.head_size});
  }
  turn_back_keys(step, raw, rstd, dk, dgain);
  step.device.shards().join(
      {.pieces = dk.column_slice(sharers.rank() * own_kv_columns_, own_kv_columns_), .whole = own_keys});
}

void SelfAttention::backward(const StepContext& step, const Tensor& dcontext, const Tensor& dinput,
                             Stash& stash) const {
  const Tensor log_sum_exp = stash.take();
  const Tensor context = stash.take();
  const Tensor rstd = stash.take();
  const Tensor normed = stash.take();
  const Tensor kv = stash.take();
  const Tensor qkv = stash.take();
  const Tensor input = stash.take();
  const ArenaScope scope(step.workspace);
  const Projected projected{qkv, kv};
  const std::int64_t n = shape_.query_columns();
  const Tensor dqkv = step.weight_half_memory().allocate(input.dtype, {qkv.rows(), qkv_columns()});
  const Heads heads = turned(projected, normed);
  AttentionBackward core{.shape = attention_shape(step),
                         .q = heads.q,
                         .k = heads.k,
                         .v = heads.v,
                         .out = context,
                         .dout = dcontext,
                         .log_sum_exp = log_sum_exp,
                         .document_start = step.batch.document_start,
                         .dq = dqkv.column_slice(0, n),
                         .dk = {},
                         .dv = {},
                         .row_dots = step.workspace.allocate(DType::f32, {shape_.heads, qkv.rows()}),
                         .dropout = weights_dropout(step)};
  if (shares_head()) {
    backward_shared_head(step, core, projected, rstd, dqkv);
  } else {
    core.dk = dqkv.column_slice(n, own_kv_columns_);
    core.dv = dqkv.column_slice(n + own_kv_columns_, own_kv_columns_);
    step.device.attention().backward(core);
    turn_back_queries(step, split(projected), rstd, core.dq);
    turn_back_keys(step, split(projected), rstd, core.dk,
                   key_gain_ == nullptr ? Tensor{} : key_gain_->gradient.flattened());
  }
  step.observe(shape_.layer, "attention.qkv", Direction::backward, dqkv);
  qkv_.backward(step, dqkv, input, dinput);
}

void SelfAttention::forward_cached(const StepContext& step, const Tensor& input, const LayerCache& cache,
                                   const CacheRows& rows, const Tensor& context) const {
  const ArenaScope scope(step.workspace);
  const Tensor qkv = step.workspace.allocate(input.dtype, {rows.rows, qkv_columns()});
  qkv_.forward(step, input, qkv);
  Tensor kv;
  if (shares_head()) kv = step.workspace.allocate(input.dtype, {rows.rows, 2 * shape_.kv_columns()});
  Tensor normed;
  Tensor rstd;
  if (shape_.head_norms) {
    normed = step.workspace.allocate(input.dtype, {rows.rows, shape_.query_columns() + shape_.kv_columns()});
    rstd = step.workspace.allocate(DType::f32, {rows.rows, shape_.heads + shape_.kv_heads});
  }
  const Projected projected{qkv, kv};
  gather_head(step, projected);
  turn(step, rows.position, projected, normed, rstd);
  const Heads heads = turned(projected, normed);
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
