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

}  // namespace megalith
