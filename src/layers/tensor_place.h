// A rank's place among those that share each matrix.
#pragma once

#include <cstdint>

namespace megalith {

// Rank r of T holds part [r n / T, (r + 1) n / T) of whatever n things are cut.
struct TensorPlace {
  int size = 1;
  int rank = 0;

  [[nodiscard]] std::int64_t begin(std::int64_t extent) const { return extent * rank / size; }
  [[nodiscard]] std::int64_t end(std::int64_t extent) const { return extent * (rank + 1) / size; }
  [[nodiscard]] std::int64_t part(std::int64_t extent) const { return end(extent) - begin(extent); }
  bool operator==(const TensorPlace&) const = default;
};

// How tensor ranks share a model, as one of them sees it.
struct TensorSharing {
  TensorPlace place;
  // Norms, dropout and the residual stream between products are cut by tokens, not done by every rank alike.
  bool sequence_parallel = false;

  // Tokens of the residual stream that the rank has, of a micro batch.
  [[nodiscard]] std::int64_t held_tokens(std::int64_t tokens) const {
    return sequence_parallel ? place.part(tokens) : tokens;
  }
};

}  // namespace megalith
