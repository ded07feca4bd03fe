// A model that generates, whole or in the pieces that the stages of a pipeline hold. Over stages every call
// is collective: all ranks of the pipeline make it alike, rows pass the stages one after the other, and all
// get the logits, so that each draws the same next token by itself.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "comm/mesh.h"
#include "model/transformer.h"

namespace megalith {

class CachedModel {
 public:
  // Outlives the model.
  explicit CachedModel(const Transformer& whole) : chunks_({&whole}) {}
  // This rank's chunks in the engine's order. All outlive the model; group and gate may be null.
  CachedModel(const std::deque<Transformer>& chunks, const Mesh& mesh, const TensorGroup* tensor = nullptr,
              UnitGate* units = nullptr);
  // The same rank among ranks that are not there, for measuring on the simulated device.
  [[nodiscard]] CachedModel simulated() const;

  // Keys and values of this rank's chunks.
  using Cache = std::vector<KeyValueCache>;
  [[nodiscard]] Cache make_cache(DType dtype, std::int64_t slots, std::int64_t capacity) const;
  // Rows of documents in cache slots; extends the cache by the rows.
  // want_logits: first row for which logits f32 [rows, padded vocabulary] are computed (all earlier rows only
  // fill the cache).
  void forward(const StepContext& step, const std::int32_t* ids, const CacheRows& rows, Cache& cache,
               std::int64_t want_logits, const Tensor& logits) const;

  [[nodiscard]] const ModelConfig& config() const { return chunks_.front()->config(); }
  [[nodiscard]] std::int64_t padded_vocabulary() const { return chunks_.front()->padded_vocabulary(); }

 private:
  std::vector<const Transformer*> chunks_;
  const Mesh* mesh_ = nullptr;  // null: one rank has the whole
  const TensorGroup* tensor_ = nullptr;
  UnitGate* units_ = nullptr;
  std::shared_ptr<const Mesh> own_mesh_;          // of simulated()
  std::shared_ptr<const TensorGroup> own_group_;  // the same
};

}  // namespace megalith
