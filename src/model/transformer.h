// The transformer as one stage: embedding, blocks, head. It runs on any Device, the simulated one included,
// and knows nothing of optimizers, files or clocks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "layers/embedding.h"
#include "layers/head.h"
#include "layers/transformer_block.h"
#include "model/model_config.h"

namespace megalith {

// Keys and values of every layer for a number of slots, zero where nothing was written.
struct KeyValueCache {
  KeyValueCache(const ModelConfig& config, DType dtype, std::int64_t slots, std::int64_t capacity,
                TensorPlace place = {});
  std::vector<LayerCache> layers;
  std::int64_t slots;
  std::int64_t capacity;  // tokens per slot
  Arena arena;
};

class Transformer {
 public:
  static std::vector<ParameterSpec> specs(const ModelConfig& config, const NumericsProfile& profile,
                                          const TensorSharing& tensor = {});

  // REQUIRES: parameters made from specs(config, profile); they outlive the transformer.
  Transformer(const ModelConfig& config, const NumericsProfile& profile, const Parameters& parameters,
              const RecomputePlan& recompute = {}, const TensorSharing& tensor = {});

  // One micro batch: adds to loss totals and to the parameters' gradients. The stash is empty before and
  // after.
  void forward_backward(const StepContext& step, Stash& stash, LossTotals& totals) const;
  // f32 [M]: log-probability of each target, dropout off. Uses the stash for activations and empties it.
  void evaluate(const StepContext& step, Stash& stash, const Tensor& log_probability) const;
  // Logits f32 [rows, padded vocabulary] for rows of documents in cache slots; extends the cache by the rows.
  // want_logits: first row for which logits are computed (all earlier rows only fill the cache).
  void forward_cached(const StepContext& step, const std::int32_t* ids, const CacheRows& rows,
                      KeyValueCache& cache, std::int64_t want_logits, const Tensor& logits) const;

  // For generation: every weight moves to where this device's products read it best, and the parameters'
  // own memory of them is given back. From then on only forward_cached() may be called.
  void pack(Device& device, const NumericsProfile& profile, WeightFormat format = WeightFormat::as_stored);

  [[nodiscard]] std::size_t stash_depth() const;
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] std::int64_t padded_vocabulary() const { return padded_vocabulary_; }

 private:
  Tensor forward(const StepContext& step, Stash& stash) const;
  void head_backward(const StepContext& step, const Tensor& x, const Tensor& gradient, Stash& stash,
                     LossTotals& totals) const;
  [[nodiscard]] int head_unit() const;
  [[nodiscard]] int output_unit() const { return config_.tied_output ? kTokenTableUnit : head_unit(); }

  ModelConfig config_;
  TensorSharing tensor_;
  std::int64_t padded_vocabulary_;
  RotaryTable rotary_;
  Embedding embedding_;
  std::vector<TransformerBlock> blocks_;
  Head head_;
  std::optional<Arena> packed_;  // weights as the device reads them
};

// What one micro batch of B sequences of S tokens needs and costs: measured by running the layers themselves
// on the simulated device with measuring arenas.
struct MicroBatchNeeds {
  std::size_t stash_bytes = 0;
  std::size_t workspace_bytes = 0;
  std::size_t parameter_bytes = 0;  // weights, gradients and moments when training; weights otherwise
  Cost training;                    // forward and backward
};
MicroBatchNeeds measure_micro_batch(const ModelConfig& config, const NumericsProfile& profile,
                                    std::int64_t sequences, std::int64_t sequence,
                                    const RecomputePlan& recompute = {}, const TensorSharing& tensor = {});

}  // namespace megalith
