// The order in which an epoch visits its samples.
#pragma once

#include <cstdint>

namespace megalith {

// A keyed permutation of 0..num_samples-1 for every epoch, evaluated at one point at a time: memory and time
// do not grow with the number of samples, so any rank finds its samples after any restart without a table.
class SampleOrder {
 public:
  // REQUIRES: num_samples >= 1.
  SampleOrder(std::uint64_t seed, std::int64_t num_samples);

  // The sample that comes at `index`, which counts on through the epochs: epoch = index / num_samples.
  // REQUIRES: index >= 0.
  [[nodiscard]] std::int64_t slot(std::int64_t index) const;

 private:
  [[nodiscard]] std::uint64_t permute(std::uint64_t value, std::uint64_t epoch) const;

  std::uint64_t seed_;
  std::int64_t num_samples_;
  int half_bits_;  // the cipher below permutes numbers of twice this many bits
};

}  // namespace megalith
