#include "layers/tensor_parallel.h"

namespace megalith {

std::int64_t first_token(const StepContext& step, std::int64_t rows) {
  const std::int64_t tokens = step.batch.tokens();
  return rows == tokens ? 0 : step.tensor->place().begin(tokens);
}

ComingTokens begin_all_tokens(const StepContext& step, const Tensor& held, Arena& memory) {
  const std::int64_t tokens = step.batch.tokens();
  if (held.rows() == tokens) return {.all = held};
  const Tensor all = memory.allocate(held.dtype, {tokens, held.columns()});
  return {.all = all, .coming = true, .request = step.tensor->ranks().all_gather(held.bytes(), all.bytes())};
}

Tensor wait_for_tokens(const StepContext& step, const ComingTokens& tokens) {
  if (tokens.coming) step.tensor->ranks().wait(tokens.request);
  return tokens.all;
}

Tensor all_tokens(const StepContext& step, const Tensor& held, Arena& memory) {
  return wait_for_tokens(step, begin_all_tokens(step, held, memory));
}

RowParts begin_exchange_rows(const StepContext& step, const Tensor& mine) {
  Communicator& ranks = step.tensor->ranks();
  const TensorPlace place = step.tensor->place();
  const std::int64_t size = place.size;
  const bool even = mine.rows() % size == 0;
  const std::int64_t rows = even ? mine.rows() / size : mine.rows();
  const Tensor parts = step.workspace.allocate(mine.dtype, {size, rows, mine.columns()});
  return {.parts = parts,
          .first = even ? place.rank * rows : 0,
          .request = even ? ranks.all_to_all(mine.bytes(), parts.bytes())
                          : ranks.all_gather(mine.bytes(), parts.bytes())};
}

RowParts exchange_rows(const StepContext& step, const Tensor& mine) {
  const RowParts parts = begin_exchange_rows(step, mine);
  step.tensor->ranks().wait(parts.request);
  return parts;
}

void complete_rows(const StepContext& step, const RowParts& parts, const Tensor& y) {
  if (y.rows() == parts.rows()) return;
  Communicator& ranks = step.tensor->ranks();
  ranks.wait(ranks.all_gather(parts.of(y).bytes(), y.bytes()));
}

Tensor gather_parts(const StepContext& step, const Tensor& mine) {
  Communicator& ranks = step.tensor->ranks();
  const Tensor parts = step.workspace.allocate(mine.dtype, {ranks.size(), mine.rows(), mine.columns()});
  ranks.wait(ranks.all_gather(mine.bytes(), parts.bytes()));
  return parts;
}

void sum_parts(const StepContext& step, const RowParts& shares, const Tensor& y) {
  step.tensor->ranks().wait(shares.request);
  step.device.shards().sum({.parts = shares.parts, .y = shares.of(y)});
  complete_rows(step, shares, y);
}

void sum_over_ranks(const StepContext& step, const Tensor& share, const Tensor& y) {
  const ArenaScope scope(step.workspace);
  sum_parts(step, begin_exchange_rows(step, share), y);
}

Tensor exchange_columns(const StepContext& step, Communicator& ranks, const Tensor& mine) {
  const std::int64_t columns = mine.columns() / ranks.size();
  const Tensor received = step.workspace.allocate(mine.dtype, {ranks.size(), mine.rows(), columns});
  const ArenaScope scope(step.workspace);
  const Tensor pieces = step.workspace.allocate(mine.dtype, {ranks.size(), mine.rows(), columns});
  step.device.shards().split({.pieces = pieces, .whole = mine});
  ranks.wait(ranks.all_to_all(pieces.bytes(), received.bytes()));
  return received;
}

void gather_columns(const StepContext& step, Communicator& ranks, const Tensor& piece, const Tensor& whole) {
  const ArenaScope scope(step.workspace);
  const std::int64_t rows = piece.rows();
  const Tensor pieces = step.workspace.allocate(piece.dtype, {ranks.size(), rows, piece.columns()});
  const Tensor mine = pieces.row_slice(ranks.rank() * rows, rows);
  step.device.shards().split({.pieces = mine, .whole = piece});
  ranks.wait(ranks.all_gather(mine.bytes(), pieces.bytes()));
  step.device.shards().join({.pieces = pieces, .whole = whole});
}

}  // namespace megalith
