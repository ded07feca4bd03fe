// Several sources as one: which source a sample comes from, without a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace megalith {

// A pure function of the sample's index and the weights, evaluated at one point at a time in time logarithmic
// in the number of sources. The sources are the leaves of a binary tree; at a node whose left part has the
// share p of its weight, sample i goes left where floor((i + 1) p) > floor(i p), as its sample floor(i p),
// and else right. After any number of samples every source has its share to within one sample per level.
class BlendOrder {
 public:
  // REQUIRES: at least one weight; each positive; their sum below 2^62.
  explicit BlendOrder(const std::vector<std::uint64_t>& weights);

  struct Place {
    std::size_t source = 0;
    std::int64_t index = 0;  // counts the samples of this source
  };
  // REQUIRES: sample >= 0.
  [[nodiscard]] Place place(std::int64_t sample) const;
  // How many of the first `samples` come from a source.
  [[nodiscard]] std::int64_t count(std::size_t source, std::int64_t samples) const;

 private:
  // floor(samples * weight of [begin, middle) / weight of [begin, end))
  [[nodiscard]] std::int64_t left_of(std::int64_t samples, std::size_t begin, std::size_t middle,
                                     std::size_t end) const;
  std::vector<std::uint64_t> weight_before_;  // of sources 0 .. k - 1; one more than there are sources
};

struct BlendSource {
  std::string name;
  std::unique_ptr<const Dataset> dataset;
  std::uint64_t weight = 1;
};

// Each source goes through its own epochs in its own order. samples_per_epoch() is the sum over the sources.
// REQUIRES: what BlendOrder requires.
std::unique_ptr<Dataset> make_blend(std::vector<BlendSource> sources);

}  // namespace megalith
