// How T tensor ranks share the work on M tokens (Shoeybi et al., arXiv 1909.08053; with sequence parallelism
// Korthikanti et al., arXiv 2205.05198). A product whose outputs are cut needs all tokens; one whose inputs
// are cut gives every rank an f32 share of each sum. The shares cross over in f32, each rank joins those of
// its M / T tokens by tree, rounds once and goes on with those tokens alone: where norms, dropout and
// residual stream are sequence parallel to the next gather, otherwise just through the residual sum.
//
// Without a tensor group every function here hands back what it was given.
#pragma once

#include "layers/step_context.h"
#include "layers/tensor_group.h"

namespace megalith {

// Token 0 of a tensor of the residual stream that has `rows` of the micro batch's tokens: all or this rank's.
std::int64_t first_token(const StepContext& step, std::int64_t rows);

// All tokens of what this rank may have only its own of; where they come from other ranks, in `memory`.
Tensor all_tokens(const StepContext& step, const Tensor& held, Arena& memory);

// The same while they are on their way: `all` is complete after wait_for_tokens.
struct ComingTokens {
  Tensor all;
  bool coming = false;
  Communicator::Request request = {};
};
ComingTokens begin_all_tokens(const StepContext& step, const Tensor& held, Arena& memory);
Tensor wait_for_tokens(const StepContext& step, const ComingTokens& tokens);

// What every rank has of rows [first, first + rows): this rank's share of the rows or, where they cannot be
// cut evenly (a few rows of a generation), all of them.
struct RowParts {
  Tensor parts;  // [T, rows, columns], in the workspace
  std::int64_t first = 0;
  Communicator::Request request = {};  // until it was waited for, parts are on their way
  [[nodiscard]] std::int64_t rows() const { return parts.shape[2]; }
  // Those rows of y, which has them alone or all rows.
  [[nodiscard]] Tensor of(const Tensor& y) const {
    return y.rows() == rows() ? y : y.row_slice(first, rows());
  }
};
// mine [M, columns], dense. REQUIRES: a tensor group.
RowParts begin_exchange_rows(const StepContext& step, const Tensor& mine);
RowParts exchange_rows(const StepContext& step, const Tensor& mine);
// Afterwards, of y whose rows `parts` describes each rank filled in: the rest of them, where y has more.
void complete_rows(const StepContext& step, const RowParts& parts, const Tensor& y);

// [T, M, columns] of every rank's mine [M, columns], in the workspace.
Tensor gather_parts(const StepContext& step, const Tensor& mine);

// Waits for shares f32 that are on their way; y = round(their tree sum), of all tokens or of this rank's, as
// y has rows.
void sum_parts(const StepContext& step, const RowParts& shares, const Tensor& y);
// y = round(tree sum over ranks of share f32 [M, H]), of all tokens or of this rank's, as y has rows.
void sum_over_ranks(const StepContext& step, const Tensor& share, const Tensor& y);

// Of columns that R ranks share: what every rank has of this rank's columns, [R, M, C / R] in the workspace,
// of mine [M, C].
Tensor exchange_columns(const StepContext& step, Communicator& ranks, const Tensor& mine);
// whole [M, R c] of every rank's columns piece [M, c].
void gather_columns(const StepContext& step, Communicator& ranks, const Tensor& piece, const Tensor& whole);

}  // namespace megalith
