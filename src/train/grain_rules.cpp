#include "train/grain_rules.h"

#include <numeric>

#include "train/divisors.h"
#include "train/train_config.h"

namespace megalith {

GrainRule broken_grain_rule(std::int64_t grain, const BatchConfig& batch) {
  if (grain % kBiasBlock != 0) return GrainRule::whole_blocks;
  if (grain % batch.sequence != 0 && batch.sequence % grain != 0) return GrainRule::whole_sequences;
  if (batch.micro % sequences_of_whole_grains(grain, batch.sequence) != 0) return GrainRule::whole_grains;
  return GrainRule::none;
}

std::int64_t sequences_of_whole_grains(std::int64_t grain, std::int64_t sequence) {
  return std::lcm(grain, sequence) / sequence;
}

std::int64_t least_grain_of_sequences(std::int64_t sequence) {
  return std::lcm(sequence, kBiasBlock);
}

// By the last rule every one divides the micro batch's tokens.
std::vector<std::int64_t> legal_grains(const BatchConfig& batch) {
  std::vector<std::int64_t> grains = divisors_of(batch.micro * batch.sequence);
  std::erase_if(grains,
                [&](std::int64_t grain) { return broken_grain_rule(grain, batch) != GrainRule::none; });
  return grains;
}

}  // namespace megalith
