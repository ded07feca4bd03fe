// Token and learned position embeddings: the start of the residual stream.
#pragma once

#include <vector>

#include "layers/parameters.h"
#include "layers/step_context.h"

namespace megalith {

struct EmbeddingShape {
  std::int64_t vocabulary = 0;
  std::int64_t padded_vocabulary = 0;
  std::int64_t hidden = 0;
  std::int64_t positions = 0;  // learned ones; 0: none
  double dropout = 0;
  double init_deviation = 0.02;
};

class Embedding {
 public:
  static constexpr const char* kTokenTable = "embedding.tokens";
  static std::vector<ParameterSpec> specs(const EmbeddingShape& shape);

  Embedding(const EmbeddingShape& shape, const Parameters& parameters);

  // y [M, H], or this rank's tokens of it, for M = tokens of ids and document-relative positions.
  void forward(const StepContext& step, const std::int32_t* ids, const std::int32_t* positions,
               std::int64_t tokens, const Tensor& y) const;
  // Adds the gradient of the micro batch's tokens to both tables; dy as y.
  void backward(const StepContext& step, const Tensor& dy) const;
  // The token table is packed from now on, as the head's weight: forward() reads it there.
  void read_packed(const void* table, WeightFormat format) {
    packed_ = table;
    packed_as_ = format;
  }

 private:
  // Each rank has some rows of the token table: those that its tokens need come from whoever has them.
  void forward_shared(const StepContext& step, const std::int32_t* ids, const std::int32_t* positions,
                      std::int64_t tokens, const Tensor& y) const;
  [[nodiscard]] Tensor position_table() const {
    return positions_ == nullptr ? Tensor{} : positions_->working;
  }

  EmbeddingShape shape_;
  const Parameter& tokens_;
  const Parameter* positions_;    // null: none
  const void* packed_ = nullptr;  // the token table, or null
  WeightFormat packed_as_ = WeightFormat::as_stored;
};

}  // namespace megalith
