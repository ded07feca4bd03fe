// Generation: prefill, then one token at a time, with the bits of training's forward pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/sampler.h"
#include "pipeline/cached_model.h"

namespace megalith {

class Generator {
 public:
  // `slots`: sequences decoded side by side, at least 1. The cache holds slots x `capacity` tokens; 0, or
  // more than the model's longest sequence, is that.
  // Over stages of a pipeline every call is collective (CachedModel).
  Generator(Device& device, const CachedModel& model, const NumericsProfile& profile, std::int64_t slots,
            std::int64_t capacity = 0);
  Generator(Device& device, const Transformer& whole, const NumericsProfile& profile, std::int64_t slots,
            std::int64_t capacity = 0)
      : Generator(device, CachedModel(whole), profile, slots, capacity) {}

  // Log-probability of every token of a document after its first: ids.size() - 1 values, equal by bits to
  // training's forward pass without dropout. REQUIRES: 1 <= ids.size() <= context().
  std::vector<float> score(std::span<const std::int32_t> ids);

  // Forgets everything, then fills the first `num_slots` slots with the prompt; logits(slot) then predict its
  // next token. REQUIRES: 1 <= prompt.size() <= context(), 1 <= num_slots <= slots.
  void prefill(std::span<const std::int32_t> prompt, std::int64_t num_slots);

  // Appends one token to each active slot. REQUIRES: ids.size() is prefill's num_slots, length() < context().
  void decode(std::span<const std::int32_t> ids);

  // Logits of the next token of a slot, one per vocabulary entry. Valid until the next call.
  [[nodiscard]] std::span<const float> logits(std::int64_t slot) const;

  // Log-probability of `id` as the next token of a slot, by the function training uses.
  [[nodiscard]] float log_probability(std::int64_t slot, std::int32_t id);

  [[nodiscard]] std::int64_t length() const { return length_; }  // tokens in each active slot
  [[nodiscard]] std::int64_t context() const { return capacity_; }
  [[nodiscard]] std::int64_t vocabulary() const { return model_.config().vocabulary; }

 private:
  [[nodiscard]] StepContext step(Arena& workspace) const;
  void forget();
  // Runs rows through the model: `rows` ids at document positions from `first`, all in `slot`. Logits of the
  // rows from `want_logits` on land in logits_ from row 0.
  void extend(std::span<const std::int32_t> ids, std::int64_t first, std::int32_t slot,
              std::int64_t want_logits);
  // log_probability[r] = log p(targets[r]) under row r of logits_.
  void score_rows(std::span<const std::int32_t> targets, float* log_probability);

  Device& device_;
  CachedModel model_;
  NumericsProfile profile_;
  std::int64_t slots_, capacity_;
  CachedModel::Cache cache_;
  MicroBatch no_batch_;
  std::int64_t most_rows_;  // of one call
  Arena workspace_;
  Arena buffers_;
  Tensor logits_;  // f32 [most rows, padded vocabulary]
  std::vector<std::int32_t> slot_;
  std::vector<std::int32_t> position_;
  std::int64_t num_active_ = 0;
  std::int64_t length_ = 0;
};

}  // namespace megalith
