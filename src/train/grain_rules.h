// Which grains a batch may be cut into: the one place that says it.
#pragma once

#include <cstdint>
#include <vector>

namespace megalith {

struct BatchConfig;

// The first rule that a grain breaks.
enum class GrainRule : std::uint8_t {
  none,
  whole_blocks,     // a multiple of kBiasBlock tokens, so that gains and biases have whole blocks too
  whole_sequences,  // whole sequences, or an even part of one
  whole_grains      // a micro batch is whole grains
};
GrainRule broken_grain_rule(std::int64_t grain, const BatchConfig& batch);

// Sequences that whole grains are a multiple of.
std::int64_t sequences_of_whole_grains(std::int64_t grain, std::int64_t sequence);
// The fewest whole sequences that are a grain.
std::int64_t least_grain_of_sequences(std::int64_t sequence);

// Those that break no rule, ascending.
std::vector<std::int64_t> legal_grains(const BatchConfig& batch);

}  // namespace megalith
