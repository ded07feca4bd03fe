// The layouts that a number of ranks may have, and which of them are legal.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "train/layout_rules.h"

namespace megalith {

// All triples of degrees whose product is `ranks`, with the other keys as the config has them, checked.
struct LayoutCensus {
  std::vector<ParallelConfig> legal;
  std::int64_t enumerated = 0;
  std::array<std::int64_t, kLayoutRules> refused = {};  // by the first rule that each breaks
};
LayoutCensus all_layouts(const TrainConfig& config, std::int64_t ranks);

// All layouts of all_layouts with every value of the keys that make a difference there: schedule
// (interleaved: two chunks), ZeRO, recomputation and sequence parallelism.
LayoutCensus all_variants(const TrainConfig& config, std::int64_t ranks);

// Of all_variants as few as have, for every triple of degrees, every value of every key that is legal there.
std::vector<ParallelConfig> covering_variants(const LayoutCensus& variants);

}  // namespace megalith
