// Operations on the pieces that ranks exchange: float sums in tree order, and moves of bits.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "device/cost.h"
#include "device/matmul.h"

namespace megalith {

// y = the R parts joined ((0+1)+(2+3))+... in fp32, rounded once where y is not f32. What a product of `tree`
// leaves writes is what the sums of its R shares, each of tree / R leaves, give here (docs/numerics.md).
struct TreeSum {
  Tensor parts;  // f32 [R, M, H], dense; R a power of two up to 64
  Tensor y;      // f32 or bf16 [M, H]; in f32 it may be part 0
};

// y = parts[0] + parts[1] + ... in ascending order, in fp32: what ranks each have summed of a gradient in
// f32. A sum of 2^(62 - shift) or more in magnitude, Inf or NaN declares the step bad, as in
// WeightGradientProduct.
struct RankSum {
  Tensor parts;  // f32 [R, n], dense
  Tensor y;      // f32 [n], no part of the others' memory
  int shift = 0;
  Verdict* verdict = nullptr;
};

// Rows of a table that is cut by rows: y[t] = table[ids[t] - first_row], or zeros where another rank has that
// row.
struct RowLookup {
  const std::int32_t* ids = nullptr;  // [M]
  std::int64_t first_row = 0;         // of the whole table
  Tensor table;                       // f32 or bf16 [rows, H]
  Tensor y;                           // as the table [M, H]
};

// Takes each row from the rank that has it: y[t] = parts[ids[t] / part_rows][t]. Bits move; nothing is added.
struct RowSelect {
  const std::int32_t* ids = nullptr;  // [M], each < R part_rows
  std::int64_t part_rows = 0;         // rows of the table on each rank
  Tensor parts;                       // f32 or bf16 [R, M, H], dense
  Tensor y;                           // as the parts [M, H]
};

// Column pieces as ranks exchange them, and the rows that they make up: whole[t] = pieces[0][t],
// pieces[1][t], ...
struct ColumnPieces {
  Tensor pieces;  // f32 or bf16 [R, M, c], dense unless R is 1
  Tensor whole;   // as the pieces [M, R c]
};

class ShardOps {
 public:
  virtual ~ShardOps() = default;
  virtual void sum(const TreeSum&) = 0;
  virtual void rank_sum(const RankSum&) = 0;
  virtual void lookup(const RowLookup&) = 0;
  virtual void select(const RowSelect&) = 0;
  virtual void join(const ColumnPieces&) = 0;   // whole from pieces
  virtual void split(const ColumnPieces&) = 0;  // pieces from whole
};

Cost cost_of(const TreeSum&);
Cost cost_of(const RankSum&);
Cost cost_of(const RowLookup&);
Cost cost_of(const RowSelect&);
Cost cost_of(const ColumnPieces&);

}  // namespace megalith
