#include "layers/embedding.h"

#include "layers/dropout_site.h"
#include "layers/tensor_parallel.h"

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
                        std::int64_t tokens, const Tensor& y) const {
  if (step.tensor != nullptr) return forward_shared(step, ids, positions, tokens, y);
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
                       .position_table = position_table(),
                       .y = y,
                       .dropout = step.dropout(shape_.dropout, kEmbeddingSite)});
}

void Embedding::forward_shared(const StepContext& step, const std::int32_t* ids,
                               const std::int32_t* positions, std::int64_t tokens, const Tensor& y) const {
  MEGALITH_CHECK(packed_ == nullptr, "tensor ranks read the token table as it is stored");
  const ArenaScope scope(step.workspace);
  const Tensor& table = tokens_.working;
  const Tensor found = step.workspace.allocate(table.dtype, {tokens, shape_.hidden});
  step.device.shards().lookup(
      {.ids = ids, .first_row = step.tensor->place().rank * table.rows(), .table = table, .y = found});
  const RowParts parts = exchange_rows(step, found);
  const Tensor selected = found.row_slice(0, parts.rows());
  step.device.shards().select(
      {.ids = ids + parts.first, .part_rows = table.rows(), .parts = parts.parts, .y = selected});
  step.device.elementwise().forward(
      EmbeddingForward{.positions = positions + parts.first,
                       .token_table = selected,
                       .position_table = position_table(),
                       .y = parts.of(y),
                       .dropout = step.dropout(shape_.dropout, kEmbeddingSite, parts.first)});
  complete_rows(step, parts, y);
}

void Embedding::backward(const StepContext& step, const Tensor& held) const {
  const ArenaScope scope(step.workspace);
  const Tensor dy = all_tokens(step, held, step.workspace);
  step.device.elementwise().backward(EmbeddingBackward{
      .ids = step.batch.ids,
      .positions = step.batch.positions,
      .dy = dy,
      .dtoken_table = tokens_.gradient,
      .dposition_table = positions_ == nullptr ? Tensor{} : positions_->gradient,
      .dropout = step.dropout(shape_.dropout, kEmbeddingSite),
      .shift = step.gradient_shift,
      .verdict = step.verdict,
      .first_row = step.tensor == nullptr ? 0 : step.tensor->place().rank * tokens_.gradient.rows()});
}

}  // namespace megalith
