// The transformer, or a part of it: embedding, blocks, head. It runs on any Device, the simulated one
// included, and knows nothing of optimizers, files, clocks or schedules.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "layers/embedding.h"
#include "layers/head.h"
#include "layers/transformer_block.h"
#include "model/model_config.h"
#include "model/model_part.h"

namespace megalith {

// Keys and values of the blocks of a part for a number of slots, zero where nothing was written.
struct KeyValueCache {
  KeyValueCache(const ModelConfig& config, DType dtype, std::int64_t slots, std::int64_t capacity,
                TensorPlace place = {}, const ModelPart& part = {});
  std::vector<LayerCache> layers;
  std::int64_t slots;
  std::int64_t capacity;  // tokens per slot
  Arena arena;
};

class Transformer {
 public:
  // Of the whole model, and what of that a rank needs for its parts. A tied token table is needed at both
  // ends; the last one's is a copy.
  static std::vector<ParameterSpec> specs(const ModelConfig& config, const NumericsProfile& profile,
                                          const TensorSharing& tensor = {});
  static std::vector<ParameterSpec> specs(const ModelConfig& config, const NumericsProfile& profile,
                                          std::span<const ModelPart> parts, const TensorSharing& tensor = {});

  // REQUIRES: parameters made from specs of parts that include this one; they outlive the transformer.
  Transformer(const ModelConfig& config, const NumericsProfile& profile, const Parameters& parameters,
              const RecomputePlan& recompute = {}, const TensorSharing& tensor = {},
              const ModelPart& part = {});

  // One micro batch through the part. x [M, H]: what the part before made, which must live as long as the
  // stash; unused by a part with the embedding, which reads the batch's ids. y [M, H]: memory for what the
  // part after reads; unused by a part with the head, which keeps it.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y, Stash& stash) const;
  // gradient [M, H]: of y on entry, of x on return. A part with the head adds to the loss totals and begins
  // by itself; at a part with the embedding nothing of use returns. Takes everything from the stash.
  void backward(const StepContext& step, const Tensor& gradient, Stash& stash, LossTotals& totals) const;
  // Tells the gate that no more is added to the gradients of this part's units in this step.
  void end_step(const StepContext& step) const;
  // REQUIRES: a head, after forward(). f32 [M]: log-probability of each target; empties the stash.
  void score(const StepContext& step, Stash& stash, const Tensor& log_probability) const;

  // The same of the whole model at once. The stash is empty before and after.
  void forward_backward(const StepContext& step, Stash& stash, LossTotals& totals) const;
  // f32 [M]: log-probability of each target, dropout off. Uses the stash for activations and empties it.
  void evaluate(const StepContext& step, Stash& stash, const Tensor& log_probability) const;

  // Rows of documents in cache slots, through the part: x [rows, H] becomes what the part after reads. A part
  // with the embedding writes x from ids. Extends the cache by the rows.
  void forward_cached(const StepContext& step, const std::int32_t* ids, const Tensor& x,
                      const CacheRows& rows, KeyValueCache& cache) const;
  // REQUIRES: a head. f32 [rows, padded vocabulary] of what forward_cached made.
  void logits(const StepContext& step, const Tensor& x, const Tensor& logits) const;
  // Logits f32 [rows, padded vocabulary] of the whole model at once.
  // want_logits: first row for which logits are computed (all earlier rows only fill the cache).
  void forward_cached(const StepContext& step, const std::int32_t* ids, const CacheRows& rows,
                      KeyValueCache& cache, std::int64_t want_logits, const Tensor& logits) const;

  // For generation: every product's weight is put where this device reads it best, and is read there from
  // then on; only forward_cached() may be called. REQUIRES: the whole model, and its parameters filled.
  void pack(Device& device, const NumericsProfile& profile, WeightFormat format = WeightFormat::as_stored);
  // The same, from a stored model: weights that are packed never stand in their parameters' memory, the
  // others do afterwards. REQUIRES: the parameters that the model was made with, for inference.
  void load_and_pack(Device& device, const NumericsProfile& profile, WeightFormat format,
                     const WeightSource& source, const Parameters& parameters);

  [[nodiscard]] std::size_t stash_depth() const;
  // Weight halves of one micro batch, at most.
  [[nodiscard]] std::size_t weight_halves() const;
  // Rows of what parts hand on, of a micro batch of so many tokens.
  [[nodiscard]] std::int64_t rows_handed_on(std::int64_t tokens) const { return tensor_.held_tokens(tokens); }
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const ModelPart& part() const { return part_; }
  [[nodiscard]] std::int64_t padded_vocabulary() const { return padded_vocabulary_; }

 private:
  std::vector<Linear*> products();
  void pack_products(Device& device, const NumericsProfile& profile, WeightFormat format,
                     const WeightSource* source);
  [[nodiscard]] int head_unit() const;
  // Of the output product: the token table where it is tied.
  [[nodiscard]] int output_unit() const;
  void head_backward(const StepContext& step, const Tensor& x, const Tensor& gradient, Stash& stash,
                     LossTotals& totals) const;
  void embedding_backward(const StepContext& step, const Tensor& gradient) const;

  ModelConfig config_;
  TensorSharing tensor_;
  ModelPart part_;
  std::int64_t padded_vocabulary_;
  RotaryTable rotary_;
  std::optional<Embedding> embedding_;
  std::vector<TransformerBlock> blocks_;
  std::optional<Head> head_;
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
