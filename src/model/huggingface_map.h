// Which tensors of a Hugging Face folder our parameters are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/huggingface_config.h"

namespace megalith {

// A box of one of our parameters, [rows, columns] at (row, column), and the box of the stored tensor that it
// is, at (source_row, source_column). Vectors are one row.
struct WeightPiece {
  std::string parameter;
  std::string source;
  std::int64_t row = 0, column = 0;
  std::int64_t rows = 1, columns = 0;
  std::int64_t source_row = 0, source_column = 0;
  std::int64_t source_rows = 1, source_columns = 0;  // of the whole stored tensor
  bool transposed = false;                           // stored [inputs, outputs]; source_* speak of that
  // Rows (of a vector, columns) come from blocks that lie `block_distance` apart; 0: from one.
  std::int64_t block = 0, block_distance = 0;

  // Where row r (of a vector, column r) of the box stands, counted from the box's first.
  [[nodiscard]] std::int64_t stored_at(std::int64_t r) const {
    return block == 0 ? r : r / block * block_distance + r % block;
  }
};

// Every piece of every parameter. `prefix` stands before all names but the output's: "model.",
// "gpt_neox.", "transformer." or "".
std::vector<WeightPiece> huggingface_pieces(const HuggingFaceConfig& config, const std::string& prefix);

// The tensor by whose name the prefix is found: it ends with this.
std::string_view token_table_suffix(HuggingFaceKind kind);

// Tensors that files hold and models do not need: masks, rotary frequencies, a second copy of tied weights.
bool is_superfluous(const HuggingFaceConfig& config, std::string_view name);

}  // namespace megalith
