#include "model/transformer.h"

#include <algorithm>

#include "device/sim/simulated_device.h"

namespace megalith {
namespace {

EmbeddingShape embedding_shape(const ModelConfig& config, const NumericsProfile& profile) {
  return {.vocabulary = config.vocabulary,
          .padded_vocabulary = padded_vocabulary(config, profile.tree),
          .hidden = config.hidden,
          .positions = config.positions == Positions::learned ? config.sequence : 0,
          .dropout = config.dropout,
          .init_deviation = init_deviation(config)};
}

BlockShape block_shape(const ModelConfig& config, int layer, const TensorSharing& tensor,
                       Recompute recompute = Recompute::none) {
  return {.layer = layer,
          .hidden = config.hidden,
          .feed_forward = config.feed_forward,
          .heads = static_cast<int>(config.heads),
          .kv_heads = static_cast<int>(config.kv_heads),
          .head_size = static_cast<int>(config.head_size),
          .norm = config.norm,
          .norm_epsilon = static_cast<float>(config.norm_epsilon),
          .biases = config.biases,
          .qkv_biases = config.qkv_biases,
          .activation = config.activation,
          .parallel_residual = config.parallel_residual,
          .head_norms = config.head_norms,
          .window = config.attention_window,
          .dropout = config.dropout,
          .attention_dropout = config.attention_dropout,
          .init_deviation = init_deviation(config),
          .residual_init_deviation = residual_init_deviation(config),
          .recompute = recompute,
          .tensor = tensor};
}

RotaryShape rotary_shape(const ModelConfig& config) {
  const RotaryConfig& rotary = config.rotary;
  return {.features = static_cast<int>(config.rotary_features()),
          .base = rotary.base,
          .scaling = rotary.scaling,
          .factor = rotary.factor,
          .low_frequency = rotary.low_frequency,
          .high_frequency = rotary.high_frequency,
          .original_sequence = rotary.original_sequence};
}

HeadShape head_shape(const ModelConfig& config, const NumericsProfile& profile, const TensorSharing& tensor) {
  return {.vocabulary = config.vocabulary,
          .padded_vocabulary = padded_vocabulary(config, profile.tree),
          .hidden = config.hidden,
          .tied = config.tied_output,
          .norm = block_shape(config, 0, tensor).norm_shape(),
          .softcap = static_cast<float>(config.logit_softcap),
          .init_deviation = init_deviation(config),
          .tensor = tensor.place};
}

constexpr int kEmbeddingLayer = -1;

// Key/value heads that a tensor rank's queries see.
std::int64_t cached_heads(const ModelConfig& config, TensorPlace place) {
  return std::max<std::int64_t>(1, config.kv_heads / place.size);
}

std::size_t cache_bytes(const ModelConfig& config, DType dtype, std::int64_t slots, std::int64_t capacity,
                        TensorPlace place) {
  return static_cast<std::size_t>(2 * config.layers * slots * capacity * cached_heads(config, place) *
                                  config.head_size) *
             size_of(dtype) +
         static_cast<std::size_t>(config.layers) * 128;
}

}  // namespace

KeyValueCache::KeyValueCache(const ModelConfig& config, DType dtype, std::int64_t slots_,
                             std::int64_t capacity_, TensorPlace place)
    : slots(slots_),
      capacity(capacity_),
      arena("key/value cache", cache_bytes(config, dtype, slots_, capacity_, place)) {
  const std::int64_t heads = cached_heads(config, place);
  for (int layer = 0; layer < config.layers; ++layer) {
    layers.push_back({.keys = arena.allocate(dtype, {slots, heads, capacity, config.head_size}),
                      .values = arena.allocate(dtype, {slots, heads, capacity, config.head_size})});
  }
}

std::vector<ParameterSpec> Transformer::specs(const ModelConfig& config, const NumericsProfile& profile,
                                              const TensorSharing& tensor) {
  std::vector<ParameterSpec> list;
  const auto append = [&list](std::vector<ParameterSpec> more, int unit) {
    for (ParameterSpec& spec : more) {
      spec.unit = spec.name == Embedding::kTokenTable ? kTokenTableUnit : unit;
      list.push_back(std::move(spec));
    }
  };
  append(Embedding::specs(embedding_shape(config, profile)), kEmbeddingUnit);
  for (int layer = 0; layer < config.layers; ++layer)
    append(TransformerBlock::specs(block_shape(config, layer, tensor)), block_unit(layer));
  append(Head::specs(head_shape(config, profile, tensor)),
         megalith::head_unit(static_cast<int>(config.layers)));
  number_elements(list);
  return list;
}

Transformer::Transformer(const ModelConfig& config, const NumericsProfile& profile,
                         const Parameters& parameters, const RecomputePlan& recompute,
                         const TensorSharing& tensor)
    : config_(config),
      tensor_(tensor),
      padded_vocabulary_(megalith::padded_vocabulary(config, profile.tree)),
      rotary_(rotary_shape(config), config.sequence, parameters.measuring()),
      embedding_(embedding_shape(config, profile), parameters),
      head_(head_shape(config, profile, tensor), parameters) {
  MEGALITH_CHECK(tensor.place == parameters.place(), "parameters of another tensor rank");
  for (int layer = 0; layer < config.layers; ++layer)
    blocks_.emplace_back(block_shape(config, layer, tensor, recompute.of_block(layer)), rotary_.tensor(),
                         parameters);
}

void Transformer::pack(Device& device, const NumericsProfile& profile, WeightFormat format) {
  std::vector<Linear*> products;
  for (TransformerBlock& block : blocks_) {
    for (Linear* product : block.products()) products.push_back(product);
  }
  products.push_back(&head_.product());
  std::size_t bytes = 0;
  for (const Linear* product : products) bytes += product->packed_bytes(device, profile, format);
  if (bytes == 0) return;
  packed_.emplace("packed weights", bytes + products.size() * 64);
  for (Linear* product : products) product->pack(device, profile, format, *packed_);
  if (config_.tied_output) embedding_.read_packed(head_.product().packed(), format);
}

std::size_t Transformer::stash_depth() const {
  return blocks_.size() * TransformerBlock::kStashDepth + 1;
}

Tensor Transformer::forward(const StepContext& step, Stash& stash) const {
  const std::int64_t tokens = step.batch.tokens();
  const std::int64_t held = tensor_.held_tokens(tokens);
  Tensor x = stash.allocate(step.profile.compute, {held, config_.hidden});
  {
    const UnitUse table(step.units, kTokenTableUnit), rest(step.units, kEmbeddingUnit);
    embedding_.forward(step, step.batch.ids, step.batch.positions, tokens, x);
  }
  step.observe(kEmbeddingLayer, "embedding", Direction::forward, x);
  int layer = 0;
  for (const TransformerBlock& block : blocks_) {
    const UnitUse use(step.units, block_unit(layer++));
    const Tensor y = stash.allocate(step.profile.compute, {held, config_.hidden});
    block.forward(step, x, y, stash);
    x = y;
  }
  return x;
}

int Transformer::head_unit() const {
  return megalith::head_unit(static_cast<int>(blocks_.size()));
}

// A tied output adds to the token table, and so will the embedding.
void Transformer::head_backward(const StepContext& step, const Tensor& x, const Tensor& gradient,
                                Stash& stash, LossTotals& totals) const {
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  UnitGradients of_head(step.units, head_unit());
  UnitGradients of_output(step.units, output_unit(), !config_.tied_output);
  head_.forward_backward(step, x, gradient, stash, totals);
  of_head.added();
  if (config_.tied_output) of_output.added();
}

void Transformer::forward_backward(const StepContext& step, Stash& stash, LossTotals& totals) const {
  const Tensor x = forward(step, stash);
  const ArenaScope scope(step.workspace);
  const Tensor gradient = step.workspace.allocate(step.profile.compute, {x.rows(), config_.hidden});
  head_backward(step, x, gradient, stash, totals);
  for (int layer = static_cast<int>(blocks_.size()) - 1; layer >= 0; --layer) {
    const UnitUse use(step.units, block_unit(layer));
    UnitGradients gradients(step.units, block_unit(layer));
    blocks_[static_cast<std::size_t>(layer)].backward(step, gradient, stash);
    gradients.added();
  }
  UnitGradients rest(step.units, kEmbeddingUnit);
  UnitGradients tokens(step.units, kTokenTableUnit);
  embedding_.backward(step, gradient);
  rest.added();
  tokens.added();
  step.observe(kEmbeddingLayer, "embedding", Direction::backward, gradient);
  MEGALITH_CHECK(stash.empty(), "backward left activations in the stash");
  stash.clear();
}

void Transformer::evaluate(const StepContext& step, Stash& stash, const Tensor& log_probability) const {
  const Tensor x = forward(step, stash);
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  head_.evaluate(step, x, log_probability);
  stash.clear();
}

void Transformer::forward_cached(const StepContext& step, const std::int32_t* ids, const CacheRows& rows,
                                 KeyValueCache& cache, std::int64_t want_logits, const Tensor& logits) const {
  const ArenaScope scope(step.workspace);
  const Tensor x = step.workspace.allocate(step.profile.compute, {rows.rows, config_.hidden});
  {
    const UnitUse table(step.units, kTokenTableUnit), rest(step.units, kEmbeddingUnit);
    embedding_.forward(step, ids, rows.position, rows.rows, x);
  }
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    const UnitUse use(step.units, block_unit(static_cast<int>(layer)));
    blocks_[layer].forward_cached(step, x, cache.layers[layer], rows);
  }
  if (want_logits == rows.rows) return;
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  head_.logits(step, x.row_slice(want_logits, rows.rows - want_logits), logits);
}

MicroBatchNeeds measure_micro_batch(const ModelConfig& config, const NumericsProfile& profile,
                                    std::int64_t sequences, std::int64_t sequence,
                                    const RecomputePlan& recompute, const TensorSharing& tensor) {
  const Parameters parameters(Transformer::specs(config, profile, tensor), profile.compute,
                              Parameters::Use::measuring, tensor.place);
  const Transformer transformer(config, profile, parameters, recompute, tensor);
  const TensorGroup group = TensorGroup::simulated(tensor.place, static_cast<int>(config.kv_heads));
  const std::unique_ptr<sim::SimulatedDevice> device = sim::make_device();
  Arena stash_arena = Arena::measuring("stash");
  Arena workspace = Arena::measuring("workspace");
  Stash stash(stash_arena, transformer.stash_depth());
  const MicroBatch batch{.sequences = sequences, .sequence = sequence};
  Verdict verdict;
  const StepContext step{.device = *device,
                         .profile = profile,
                         .workspace = workspace,
                         .batch = batch,
                         .training = true,
                         .verdict = &verdict,
                         .tensor = tensor.place.size > 1 ? &group : nullptr};
  LossTotals totals;
  transformer.forward_backward(step, stash, totals);
  return {.stash_bytes = stash_arena.peak(),
          .workspace_bytes = workspace.peak(),
          .parameter_bytes = parameters.bytes(),
          .training = device->total()};
}

}  // namespace megalith
