#include "layers/embedding.h"

#include "layers/dropout_site.h"

namespace megalith {
namespace {
constexpr const char* kPositionTable = "embedding.positions";
}

std::vector<ParameterSpec> Embedding::specs(const EmbeddingShape& shape) {
  const auto table = [&](const char* name, std::int64_t rows, std::int64_t padded_rows) {
    return ParameterSpec{.name = name,
                         .rows = rows,
                         .columns = shape.hidden,
                         .padded_rows = padded_rows,
                         .initial = Initial::normal,
                         .standard_deviation = shape.init_deviation,
                         .decay = true,
                         .is_matrix = true};
  };
  std::vector<ParameterSpec> specs = {table(kTokenTable, shape.vocabulary, shape.padded_vocabulary)};
  specs.front().cut = Cut::rows;
  if (shape.positions > 0) specs.push_back(table(kPositionTable, shape.positions, shape.positions));
  return specs;
}

Embedding::Embedding(const EmbeddingShape& shape, const Parameters& parameters)
    : shape_(shape),
      tokens_(parameters.named(kTokenTable)),
      positions_(shape.positions > 0 ? &parameters.named(kPositionTable) : nullptr) {}

void Embedding::forward(const StepContext& step, const std::int32_t* ids, const std::int32_t* positions,
                        const Tensor& y) const {
  const ArenaScope scope(step.workspace);
  Tensor table = tokens_.working;
  if (packed_ != nullptr) {  // the rows that are read, in the order in which they are
    table = step.workspace.allocate(y.dtype, {y.rows(), shape_.hidden});
    step.device.matmul().unpack(
        {.w = tokens_.working, .format = packed_as_, .packed = packed_, .rows = ids, .to = table});
    ids = nullptr;
  }
  step.device.elementwise().forward(
      EmbeddingForward{.ids = ids,
                       .positions = positions,
                       .token_table = table,
                       .position_table = positions_ == nullptr ? Tensor{} : positions_->working,
                       .y = y,
                       .dropout = step.dropout(shape_.dropout, kEmbeddingSite)});
}

void Embedding::backward(const StepContext& step, const Tensor& dy) const {
  step.device.elementwise().backward(
      EmbeddingBackward{.ids = step.batch.ids,
                        .positions = step.batch.positions,
                        .dy = dy,
                        .dtoken_table = tokens_.gradient,
                        .dposition_table = positions_ == nullptr ? Tensor{} : positions_->gradient,
                        .dropout = step.dropout(shape_.dropout, kEmbeddingSite),
                        .shift = step.gradient_shift,
                        .verdict = step.verdict});
}

}  // namespace megalith
