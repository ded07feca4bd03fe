#include "model/transformer.h"

#include <algorithm>
#include <set>
#include <utility>

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

std::size_t cache_bytes(const ModelConfig& config, std::int64_t layers, DType dtype, std::int64_t slots,
                        std::int64_t capacity, TensorPlace place) {
  return static_cast<std::size_t>(2 * layers * slots * capacity * cached_heads(config, place) *
                                  config.head_size) *
             size_of(dtype) +
         static_cast<std::size_t>(layers) * 128;
}

// With its layers counted.
ModelPart of_model(ModelPart part, const ModelConfig& config) {
  part.end_layer = std::min(part.end_layer, static_cast<int>(config.layers));
  return part;
}

int layers_of(const ModelPart& part, const ModelConfig& config) {
  return of_model(part, config).end_layer - part.first_layer;
}

}  // namespace

KeyValueCache::KeyValueCache(const ModelConfig& config, DType dtype, std::int64_t slots_,
                             std::int64_t capacity_, TensorPlace place, const ModelPart& part)
    : slots(slots_),
      capacity(capacity_),
      arena("key/value cache",
            cache_bytes(config, layers_of(part, config), dtype, slots_, capacity_, place)) {
  const std::int64_t heads = cached_heads(config, place);
  for (int layer = 0; layer < layers_of(part, config); ++layer) {
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

std::vector<ParameterSpec> Transformer::specs(const ModelConfig& config, const NumericsProfile& profile,
                                              std::span<const ModelPart> parts, const TensorSharing& tensor) {
  const auto any = [&](auto holds) { return std::any_of(parts.begin(), parts.end(), holds); };
  const bool embedding = any([](const ModelPart& part) { return part.embedding; });
  const bool head = any([](const ModelPart& part) { return part.head; });
  const int layers = static_cast<int>(config.layers);
  std::vector<ParameterSpec> list;
  for (ParameterSpec& spec : specs(config, profile, tensor)) {
    const int layer = spec.unit - block_unit(0);
    const bool tied = spec.unit == kTokenTableUnit && head && config.tied_output;
    if (!embedding && tied) spec.held_elsewhere = true;
    const bool wanted =
        spec.unit <= kEmbeddingUnit ? embedding || tied
        : layer == layers
            ? head
            : any([&](const ModelPart& part) { return layer >= part.first_layer && layer < part.end_layer; });
    if (wanted) list.push_back(std::move(spec));
  }
  return list;
}

Transformer::Transformer(const ModelConfig& config, const NumericsProfile& profile,
                         const Parameters& parameters, const RecomputePlan& recompute,
                         const TensorSharing& tensor, const ModelPart& part)
    : config_(config),
      tensor_(tensor),
      part_(of_model(part, config)),
      padded_vocabulary_(megalith::padded_vocabulary(config, profile.tree)),
      rotary_(rotary_shape(config), config.sequence, parameters.measuring()) {
  MEGALITH_CHECK(tensor.place == parameters.place(), "parameters of another tensor rank");
  if (part_.embedding) embedding_.emplace(embedding_shape(config, profile), parameters);
  for (int layer = part_.first_layer; layer < part_.end_layer; ++layer) {
    blocks_.emplace_back(block_shape(config, layer, tensor, recompute.of_block(layer - part_.first_layer)),
                         rotary_.tensor(), parameters);
  }
  if (part_.head) head_.emplace(head_shape(config, profile, tensor), parameters);
}

std::vector<Linear*> Transformer::products() {
  std::vector<Linear*> products;
  for (TransformerBlock& block : blocks_) {
    for (Linear* product : block.products()) products.push_back(product);
  }
  products.push_back(&head_->product());
  return products;
}

void Transformer::pack_products(Device& device, const NumericsProfile& profile, WeightFormat format,
                                const WeightSource* source) {
  const std::vector<Linear*> products = this->products();
  std::size_t bytes = 0;
  for (const Linear* product : products) bytes += product->packed_bytes(device, profile, format);
  if (bytes == 0) return;
  packed_.emplace("packed weights", bytes + products.size() * 64);
  for (Linear* product : products) product->pack(device, profile, format, *packed_, source);
  if (config_.tied_output) embedding_->read_packed(head_->product().packed(), format);
}

void Transformer::pack(Device& device, const NumericsProfile& profile, WeightFormat format) {
  pack_products(device, profile, format, nullptr);
}

void Transformer::load_and_pack(Device& device, const NumericsProfile& profile, WeightFormat format,
                                const WeightSource& source, const Parameters& parameters) {
  pack_products(device, profile, format, &source);
  std::set<const Parameter*> packed;
  for (const Linear* product : products()) {
    if (product->packed() != nullptr) packed.insert(&product->weight());
  }
  ThreadPool pool(device.num_threads());
  for (const Parameter& parameter : parameters.all()) {
    if (packed.count(&parameter) == 0) load_rows(parameter, source, pool);
  }
}

std::size_t Transformer::stash_depth() const {
  return (blocks_.size() + 1) * TransformerBlock::kStashDepth;
}

std::size_t Transformer::weight_halves() const {
  constexpr std::size_t kProductsOfBlock = 4;
  return blocks_.size() * kProductsOfBlock;
}

int Transformer::head_unit() const {
  return megalith::head_unit(static_cast<int>(config_.layers));
}

int Transformer::output_unit() const {
  return config_.tied_output ? kTokenTableUnit : head_unit();
}

void Transformer::forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const {
  const auto memory = [&] {
    return stash.allocate(step.profile.compute, {rows_handed_on(step.batch.tokens()), config_.hidden});
  };
  Tensor stream = x;
  if (embedding_) {
    stream = memory();
    const UnitUse tokens(step.units, kTokenTableUnit), rest(step.units, kEmbeddingUnit);
    embedding_->forward(step, step.batch.ids, step.batch.positions, step.batch.tokens(), stream);
    step.observe(kEmbeddingLayer, "embedding", Direction::forward, stream);
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const UnitUse use(step.units, block_unit(part_.first_layer + static_cast<int>(i)));
    const bool handed_on = i + 1 == blocks_.size() && !head_;
    const Tensor result = handed_on ? y : memory();
    blocks_[i].forward(step, stream, result, stash);
    stream = result;
  }
  if (head_) stash.put(stream);
}

// A tied output adds to the token table, and so will the embedding where both are here.
void Transformer::head_backward(const StepContext& step, const Tensor& x, const Tensor& gradient,
                                Stash& stash, LossTotals& totals) const {
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  UnitGradients of_head(step.units, head_unit());
  UnitGradients of_output(step.units, output_unit(), !(config_.tied_output && embedding_));
  head_->forward_backward(step, x, gradient, stash, totals);
  of_head.added();
  if (config_.tied_output) of_output.added();
}

void Transformer::embedding_backward(const StepContext& step, const Tensor& gradient) const {
  UnitGradients rest(step.units, kEmbeddingUnit);
  UnitGradients tokens(step.units, kTokenTableUnit);
  embedding_->backward(step, gradient);
  rest.added();
  tokens.added();
  step.observe(kEmbeddingLayer, "embedding", Direction::backward, gradient);
}

void Transformer::backward(const StepContext& step, const Tensor& gradient, Stash& stash,
                           LossTotals& totals) const {
  if (head_) head_backward(step, stash.take(), gradient, stash, totals);
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    const int unit = block_unit(part_.first_layer + static_cast<int>(i));
    const UnitUse use(step.units, unit);
    UnitGradients gradients(step.units, unit, step.deferred == nullptr);
    blocks_[i].backward(step, gradient, stash);
    gradients.added();
    if (step.deferred != nullptr) step.deferred->end_unit(unit);
  }
  if (embedding_) embedding_backward(step, gradient);
  MEGALITH_CHECK(stash.empty(), "backward left activations in the stash");
}

void Transformer::end_step(const StepContext& step) const {
  if (step.units == nullptr) return;
  if (head_) step.units->step_added(head_unit());
  for (int layer = part_.end_layer; layer-- > part_.first_layer;) step.units->step_added(block_unit(layer));
  if (embedding_) step.units->step_added(kEmbeddingUnit);
  if (embedding_ || (head_ && config_.tied_output)) step.units->step_added(kTokenTableUnit);
}

void Transformer::score(const StepContext& step, Stash& stash, const Tensor& log_probability) const {
  const Tensor x = stash.take();
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  head_->evaluate(step, x, log_probability);
  stash.clear();
}

void Transformer::forward_backward(const StepContext& step, Stash& stash, LossTotals& totals) const {
  forward(step, {}, {}, stash);
  const ArenaScope scope(step.workspace);
  const Tensor gradient =
      step.workspace.allocate(step.profile.compute, {rows_handed_on(step.batch.tokens()), config_.hidden});
  backward(step, gradient, stash, totals);
  stash.clear();
}

void Transformer::evaluate(const StepContext& step, Stash& stash, const Tensor& log_probability) const {
  forward(step, {}, {}, stash);
  score(step, stash, log_probability);
}

void Transformer::forward_cached(const StepContext& step, const std::int32_t* ids, const Tensor& x,
                                 const CacheRows& rows, KeyValueCache& cache) const {
  if (embedding_) {
    const UnitUse tokens(step.units, kTokenTableUnit), rest(step.units, kEmbeddingUnit);
    embedding_->forward(step, ids, rows.position, rows.rows, x);
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const UnitUse use(step.units, block_unit(part_.first_layer + static_cast<int>(i)));
    blocks_[i].forward_cached(step, x, cache.layers[i], rows);
  }
}

void Transformer::logits(const StepContext& step, const Tensor& x, const Tensor& logits) const {
  const UnitUse head(step.units, head_unit()), output(step.units, output_unit());
  head_->logits(step, x, logits);
}

void Transformer::forward_cached(const StepContext& step, const std::int32_t* ids, const CacheRows& rows,
                                 KeyValueCache& cache, std::int64_t want_logits, const Tensor& logits) const {
  const ArenaScope scope(step.workspace);
  const Tensor x = step.workspace.allocate(step.profile.compute, {rows.rows, config_.hidden});
  forward_cached(step, ids, x, rows, cache);
  if (want_logits < rows.rows) this->logits(step, x.row_slice(want_logits, rows.rows - want_logits), logits);
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
